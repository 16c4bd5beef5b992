"""The networks of a run: what their contracts promise, and whether their files are those that the run was pinned to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coupler import settings
from coupler.artefacts.page import contract_of
from coupler.contract import Contract
from coupler.engines.base import find_artefact
from coupler.errors import HaloclineError
from coupler.settings import NamNet, Settings
from models.report.folder import Folder


@dataclass(frozen=True)
class Network:
    """One group &namnet with its artefact.

    trouble: why the file or its contract cannot be read, '' where they can; loaded: the hash that the run's log tells.
    """

    group: NamNet
    path: Path | None
    sha256: str
    contract: Contract | None
    trouble: str = ""
    loaded: str = ""

    @property
    def pin(self) -> str:
        """Whether the file of today is the one of the namelist."""
        wanted = self.wanted
        if self.loaded and self.sha256:
            return (
                "as loaded by the run"
                if self.loaded == self.sha256
                else f"another file than the run loaded ({self.loaded})"
            )
        if not self.sha256:
            return f"the namelist pins {wanted}" if wanted else "not pinned"
        if not wanted:
            return "not pinned: the file may have changed since the run"
        return (
            "as pinned in the namelist"
            if wanted == self.sha256
            else f"another file than the run was pinned to ({wanted})"
        )

    @property
    def fits(self) -> bool:
        """The file is the one that the run loaded, or else that the namelist pins."""
        return bool(self.sha256) and (self.loaded or self.wanted) == self.sha256

    @property
    def wanted(self) -> str:
        """The hash that the namelist pins."""
        return self.group.cn_sha256.strip().lower()

    @property
    def period(self) -> str:
        """How often it runs, where the namelist says so."""
        return seconds(self.group.rn_period) if self.group.rn_period else "that of its exchanges"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the contract promises, as rows (name, text)."""
        if self.contract is None:
            return []
        made = self.contract
        noise = made.stochastic
        rows = [
            ("Family", f"{made.family}, version {made.version}"),
            ("Inputs", ", ".join(f"{one.name} [{one.units}] at {one.point}" for one in made.inputs) or "none"),
            ("Outputs", ", ".join(f"{one.name} [{one.units}] at {one.point}, {one.kind}" for one in made.outputs)),
            (
                "Receptive field",
                f"radius {made.radius} cells; cut and whole agree: {made.decomposition}; edges {made.edges}",
            ),
            ("Numbers", {"f4": "32 bits", "f8": "64 bits"}[made.dtype]),
            ("Stochastic", f"{noise.kind}, {noise.time} in time, levels {noise.levels}" if noise else "no"),
            (
                "Trained on",
                "; ".join(f"{key}: {value}" for key, value in (made.trained_on or {}).items()) or "not stated",
            ),
        ]
        if made.coefficients:
            rows.append(("Coefficients", ", ".join(f"{key} = {value:g}" for key, value in made.coefficients.items())))
        if made.window is not None:
            rows.append(("Increment window", seconds(made.window)))
        return rows


def switches_of(folder: Folder) -> Settings:
    """The coupler's switches of a run. HaloclineError when there is no namelist_cfg, or it has errors."""
    return settings.load(folder.path)


def networks(folder: Folder, switches: Settings) -> list[Network]:
    """Every network that the namelist names, in its order."""
    told = folder.event("start").get("networks", [])
    loaded = {one["name"]: str(one.get("sha256") or "") for one in told if isinstance(one, dict) and "name" in one}
    search = [folder.path, switches.path.resolve().parent]
    return [replace(_network(group, search), loaded=loaded.get(group.cn_name, "")) for group in switches.namnet]


def seconds(value: float) -> str:
    """A time span for people: the largest unit that it is a whole or short number of."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if value >= length and round(value / length, 2) == value / length:
            return f"{value / length:g} {unit if value != length or unit != 'days' else 'day'}"
    return f"{value:g} s"


def _network(group: NamNet, search: Sequence[Path]) -> Network:
    if group.cn_engine == "null" or not group.cn_artefact:
        return Network(group, None, "", None, "engine 'null': zeros, no file")
    path, digest = None, ""
    try:
        path = find_artefact(group.cn_artefact, search)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Network(group, path, digest, contract_of(path))
    except (HaloclineError, OSError) as error:
        return Network(group, path, digest, None, str(error))
