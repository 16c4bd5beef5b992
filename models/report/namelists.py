"""The namelists of a run as they took effect: what namelist_cfg sets, and the defaults of everything else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from coupler import settings
from coupler.errors import HaloclineError
from coupler.namelist import Group, read_groups
from models.report.folder import Folder
from models.settings import GROUPS as TOOLS


@dataclass(frozen=True)
class Value:
    """A switch: its value as Fortran writes it, whether namelist_cfg sets it, and what it means where that is known."""

    key: str
    text: str
    given: bool
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """One group; label: which of several groups of that name (its cn_name), '' for a single one."""

    name: str
    label: str
    values: tuple[Value, ...]
    ours: bool

    @property
    def heading(self) -> str:
        """The group as it is named to people."""
        return f"&{self.name} {self.label}".rstrip()

    @property
    def given(self) -> list[Value]:
        """What namelist_cfg sets."""
        return [value for value in self.values if value.given]

    @property
    def defaults(self) -> list[Value]:
        """What has its default."""
        return [value for value in self.values if not value.given]

    def value(self, key: str) -> str | None:
        """The text of a switch, None where the group has no such."""
        return next((value.text for value in self.values if value.key.lower() == key.lower()), None)


@dataclass(frozen=True)
class Difference:
    """A switch with its values in two runs; None: the other run does not have it."""

    group: str
    key: str
    mine: str | None
    theirs: str | None


def effective(folder: Folder) -> list[Table]:
    """Groups of the ocean, then of the coupler, in the order of namelist_cfg.

    Raises HaloclineError when there is no namelist_cfg, or one that cannot be cut into groups.
    """
    path = folder.path / "namelist_cfg"
    if not path.is_file():
        raise HaloclineError(
            f"there is no namelist_cfg in {folder.path}: what the run was configured with is not known."
        )
    given = read_groups(path)
    known = {group.name: _parsed(group) for group in _reference(folder)}
    ocean = [_ocean(group, known.get(group.name, {})) for group in given if group.name not in settings.GROUPS]
    silent = [
        Table(name, "", tuple(Value(key, fortran(value), False) for key, value in values.items()), False)
        for name, values in known.items()
        if name not in {group.name for group in given} and name not in settings.GROUPS and name not in TOOLS
    ]
    return [*ocean, *silent, *_ours(folder, given)]


def differences(mine: Iterable[Table], theirs: Iterable[Table]) -> list[Difference]:
    """The switches that two runs do not have the same, in groups that both have."""
    left, right = _flat(mine), _flat(theirs)
    both = {group for group, _ in left} & {group for group, _ in right}
    return [
        Difference(*place, left.get(place), right.get(place))
        for place in dict.fromkeys([*left, *right])
        if place[0] in both and left.get(place) != right.get(place)
    ]


def number(tables: Iterable[Table], key: str) -> float | None:
    """The value of a numeric switch of any group; None where there is none, or it is no number."""
    for table in tables:
        text = table.value(key)
        if text is not None:
            try:
                return float(text)
            except ValueError:
                return None
    return None


def fortran(value: Any) -> str:
    """A value as a namelist has it."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, float):
        return f"{value:g}" if value == float(f"{value:g}") else repr(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(fortran(item) for item in value) or "''"
    return "" if value is None else str(value)


def _reference(folder: Folder) -> list[Group]:
    path = folder.path / "namelist_ref"
    try:
        return read_groups(path) if path.is_file() else []
    except HaloclineError:
        return []


def _parsed(group: Group) -> dict[str, Any]:
    try:
        return group.values()
    except HaloclineError:
        return {}


def _ocean(group: Group, defaults: Mapping[str, Any]) -> Table:
    """A group of the ocean: the file's values over those of namelist_ref."""
    own = _parsed(group)
    values = [Value(group.spelt(key), fortran(value), True) for key, value in own.items()]
    values += [Value(key, fortran(value), False) for key, value in defaults.items() if key not in own]
    return Table(group.name, "", tuple(values), False)


def _ours(folder: Folder, given: list[Group]) -> list[Table]:
    """The coupler's groups with every default; as they stand where they have errors. None in a run without any of them."""
    if not any(group.name in settings.GROUPS for group in given):
        return []
    try:
        switches = settings.load(folder.path)
    except HaloclineError:
        return [Table(g.name, "", _ocean(g, {}).values, True) for g in given if g.name in settings.GROUPS]
    tables = []
    for name in settings.GROUPS:
        held = getattr(switches, name)
        for group in held if isinstance(held, list) else [held]:
            fields = type(group).model_fields
            values = tuple(
                Value(key, fortran(getattr(group, key)), group.line_of(key) is not None, field.description or "")
                for key, field in fields.items()
            )
            tables.append(Table(name, getattr(group, "cn_name", ""), values, True))
    return tables


def _flat(tables: Iterable[Table]) -> dict[tuple[str, str], str]:
    """(group, key) -> text."""
    return {(table.heading, value.key.lower()): value.text for table in tables for value in table.values}
