"""The reference ocean as a program: its switches, its executable, one run of it in a folder."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import f90nml

from coupler.errors import HaloclineError
from coupler.launch import ENVIRONMENT
from coupler.namelist import read_groups
from coupler.programs import REPOSITORY
from coupler.settings import config_file

GROUPS = (
    (
        "namrun namusr_def namdom nammpp namlbc namdyn_ldf namzb20 namsbc namdrg namtra namdia namtrd namrhs"  # all it reads
    ).split()
)
DAYS = {30: 360, 0: 365}  # days of a year by nn_leapy


@dataclass(frozen=True)
class Switches:
    """The ocean's groups of a namelist_cfg; what it leaves out has the defaults of namelist_ref."""

    path: Path
    given: f90nml.Namelist
    defaults: f90nml.Namelist

    def __getitem__(self, key: tuple[str, str]) -> Any:
        """Value of (group, switch)."""
        group, name = key
        return self.given.get(group, {}).get(name, self.defaults[group][name])

    def where(self, group: str, name: str) -> str:
        """File, line and group of a switch, for messages."""
        for found in read_groups(self.path):
            if found.name == group:
                return found.where(name)
        return f"the default of &{group}, {name}"

    def changed(self, changes: dict[str, dict[str, Any]]) -> str:
        """The text of a namelist_cfg for the ocean, with `changes` (group, switch, value) laid over."""
        text = f90nml.Namelist({name: group.copy() for name, group in self.given.items()})
        for name, group in changes.items():
            text.setdefault(name, f90nml.Namelist()).update(group)
        text.uppercase, text.end_comma = False, False
        return str(text) + "\n"

    def differences(self, other: "Switches", ignore: set[str]) -> list[tuple[str, str]]:
        """(group, switch) of all values that differ, those named in `ignore` left out."""
        return [
            (group, name)
            for group in GROUPS
            for name in self.defaults[group]
            if name not in ignore and _plain(self[group, name]) != _plain(other[group, name])
        ]

    @property
    def step(self) -> float:
        """rn_Dt [s]."""
        return float(self["namdom", "rn_dt"])

    @property
    def size(self) -> tuple[int, int]:
        """nn_nx, nn_ny: wet cells along i and j."""
        return int(self["namusr_def", "nn_nx"]), int(self["namusr_def", "nn_ny"])


def parse(text: str, like: Switches) -> Switches:
    """Switches of a namelist's text, with the path and the defaults of `like`."""
    return Switches(like.path, f90nml.reads(text), like.defaults)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.split()
    return [float(entry) for entry in value] if isinstance(value, list) else value


def read_switches(cfg: Path) -> Switches:
    """The switches of CFG (a folder that holds namelist_cfg, or the file). HaloclineError for what the ocean does not know."""
    path = config_file(cfg)
    reference = REPOSITORY / "namelists" / "namelist_ref"
    defaults = f90nml.read(reference)
    groups = [group for group in read_groups(path) if group.name in GROUPS]
    for group in groups:
        for name in group.values():
            if name not in defaults[group.name]:
                raise HaloclineError(
                    f"unknown key '{name}' in &{group.name}.\n  {group.where(name)}. "
                    f"Allowed: {', '.join(defaults[group.name])}."
                )
    return Switches(path, f90nml.reads("\n".join(group.text for group in groups) + "\n"), defaults)


def executable(precision: str) -> Path:
    """build/PRECISION/gyre.exe. HaloclineError when it is not built."""
    path = REPOSITORY / "build" / precision / "gyre.exe"
    if not os.access(path, os.X_OK):
        raise HaloclineError(f"no ocean in {precision} precision at {path}. Build it: make fortran PREC={precision}.")
    return path


def start(program: Path, folder: Path, text: str) -> subprocess.Popen[bytes]:
    """Write namelist_cfg into the folder and start the ocean there on one rank; what it prints goes to log.txt.

    It inherits file handles that are marked so: locks on its folder live as long as it does.
    """
    for name in ("halocline.abort", "namelist_ref"):
        (folder / name).unlink(missing_ok=True)
    (folder / "namelist_cfg").write_text(text, encoding="utf-8")
    environment = {**ENVIRONMENT, **os.environ}
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [str(program)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=False,
        )


def check_end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """HaloclineError with the ocean's own words when the run in `folder` has not ended well."""
    last = ""
    with contextlib.suppress(OSError, IndexError):
        last = (folder / "ocean.output").read_text(encoding="utf-8", errors="replace").splitlines()[-1]
    if process.returncode == 0 and "run ended well" in last:
        return
    for name in ("halocline.abort", "log.txt", "ocean.output"):
        with contextlib.suppress(OSError):
            words = (folder / name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:]
            if words:
                break
    else:
        words = ["it left no message."]
    raise HaloclineError(
        f"the ocean in {folder} stopped (exit code {process.returncode}):\n    " + "\n    ".join(words)
    )


def run(program: Path, folder: Path, text: str) -> None:
    """Run the ocean in a folder to its end; HaloclineError with its message when it fails."""
    process = start(program, folder, text)
    try:
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    check_end(process, folder)
