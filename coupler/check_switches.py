"""Every switch of a configuration with its value and where the value came from: default, namelist_ref, line of namelist_cfg."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from coupler.namelist import Group, read_groups
from coupler.settings import GROUPS, NamGroup, Settings

# In namelists/namelist_ref the groups below this line are generated from the tables of switches; the ocean's are above it.
GENERATED = "!! --- Halocline"


@dataclass(frozen=True)
class Value:
    """One switch: `group` and, in a repeated group, `name`; `source` is 'default', 'namelist_ref' or 'namelist_cfg'."""

    group: str
    name: str
    key: str
    value: Any
    source: str
    line: int | None = None

    @property
    def place(self) -> str:
        """'default', 'namelist_ref', or 'line 31' of namelist_cfg."""
        return f"line {self.line}" if self.source == "namelist_cfg" else self.source


def of_coupler(settings: Settings) -> list[Value]:
    """Every switch of the coupler's groups, in the order of the tables."""
    groups: list[tuple[str, NamGroup]] = [("namcpl", settings.namcpl)]
    groups += [("namexc", group) for group in settings.namexc]
    groups += [("namnet", group) for group in settings.namnet]
    groups += [("namdiag", settings.namdiag), ("namlog", settings.namlog)]
    return [value for name, group in groups for value in _of_group(name, group)]


def _of_group(name: str, group: NamGroup) -> list[Value]:
    label, rows = getattr(group, "cn_name", ""), []
    for key in type(group).model_fields:
        line = group.line_of(key)
        rows.append(Value(name, label, key, getattr(group, key), "default" if line is None else "namelist_cfg", line))
    return rows


def of_ocean(cfg: Path, reference: Path) -> list[Value]:
    """Switches of groups that are not the coupler's, as far as they can be read; namelist_cfg wins over namelist_ref.

    Only groups that namelist_cfg holds: the ocean, not the coupler, knows what it makes of them.
    """
    found: dict[tuple[str, str], Value] = {}
    here = [group for group in _groups(cfg) if group.name not in GROUPS]
    names = {group.name for group in here}
    for group in [*(group for group in _above(reference) if group.name in names), *here]:
        source = "namelist_cfg" if group.path == cfg else "namelist_ref"
        for key, value in _values(group).items():
            line = group.line_of(key)
            found[group.name, key] = Value(group.name, "", group.spelt(key), value, source, line)
    order = {group.name: number for number, group in reversed(list(enumerate(here)))}
    return sorted(found.values(), key=lambda value: order[value.group])


def without_effect(reference: Path) -> list[str]:
    """Switches of the coupler in a namelist_ref that differ from the defaults: the coupler reads namelist_cfg alone."""
    notes = []
    for group in _groups(reference):
        if group.name not in GROUPS or group.name in ("namexc", "namnet"):
            continue
        fields = {key.lower(): field for key, field in GROUPS[group.name].model_fields.items()}
        for key, value in _values(group).items():
            usual = fields[key].default if key in fields else None
            same = [value] == [usual] or ([value] if value != "" else []) == usual
            if not same:
                notes.append(
                    f"{group.where(key)} has no effect: the coupler reads namelist_cfg alone, its defaults are built in. Write "
                    f"it into namelist_cfg."
                )
    return notes


def _groups(path: Path) -> Sequence[Group]:
    """Groups of a file, none where it is missing or cannot be cut."""
    try:
        return read_groups(path)
    except HaloclineError:
        return []


def _above(reference: Path) -> list[Group]:
    """Groups of namelist_ref that belong to the ocean."""
    groups = _groups(reference)
    if not groups:
        return []
    rows = reference.read_text(encoding="utf-8", errors="replace").splitlines()
    end = next((n for n, row in enumerate(rows, start=1) if row.startswith(GENERATED)), len(rows) + 1)
    return [group for group in groups if group.line < end and group.name not in GROUPS]


def _values(group: Group) -> dict[str, Any]:
    """Keys and values; none of a group that is not plain Fortran namelist (NEMO's own may hold derived types)."""
    try:
        return {key: value for key, value in group.values().items() if not isinstance(value, dict)}
    except HaloclineError:
        return {}
