"""One member of the truth: a folder that a chain of one-year runs of the fine ocean fills.

Each year runs in FOLDER/work; its output and then its restart are renamed into FOLDER when the ocean has ended well. So a year is
done when its restart is there, a kill leaves nothing half-written under a final name, and the last two restarts are kept.

    EXP_<first step>_<last step>_burst.nc or _inst.nc    output of a year after the spin-up
    EXP_<last step>_restart.nc
    namelist_cfg, mesh_mask.nc, ocean.output, run.stat   of the last year
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from models.data import ocean
from models.settings import NamTruth

FIELDS = "vozocrtx vomecrty thkcello sosstsst"  # u, v, h, sst
SIGNATURE = "halocline.truth.json"  # executable and versions that made a folder
CHAIN = {
    "nn_it000",
    "nn_itend",
    "ln_rstart",
    "cn_ocerst_in",
    "nn_stat",
    "nn_stock",
}  # differ between years, or leave the bits alone


@dataclass(frozen=True)
class Member:
    """A member's folder and everything that says how it is made."""

    folder: Path
    switches: ocean.Switches
    group: NamTruth

    def __post_init__(self) -> None:
        """HaloclineError for a calendar or times that do not fit the time step."""
        if self.switches["namrun", "nn_leapy"] not in ocean.DAYS:
            raise HaloclineError(
                "nn_leapy = 1: the truth is made of years of equal length.\n  "
                f"{self.switches.where('namrun', 'nn_leapy')}. Set 30 (360 days) or 0 (365 days)."
            )
        for name, seconds in (("rn_every", self.group.rn_every), ("rn_burst_d", self.group.rn_burst_d)):
            if abs(seconds / self.switches.step - round(seconds / self.switches.step)) > 1e-9:
                raise HaloclineError(
                    f"{name} = {seconds:g} s is no multiple of the time step of {self.switches.step:g} s.\n"
                    f"  {self.group.where(name)}. Change it, or rn_Dt of &namdom."
                )
        if self.steps % self.every:
            raise HaloclineError(
                f"a year of {self.steps} steps is no multiple of rn_every = {self.group.rn_every:g} s ({self.every} steps).\n"
                f"  {self.group.where('rn_every')}. Bursts would be cut at the end of a year; choose a part of it."
            )
        if self.group.ln_burst and not 0 < 2 * self.half < self.every:
            raise HaloclineError(
                f"bursts of +-{self.group.rn_burst_d:g} s do not fit between states {self.group.rn_every:g} s apart.\n"
                f"  {self.group.where('rn_burst_d')}. It must be positive and less than half of rn_every."
            )

    @property
    def name(self) -> str:
        """Name of the member."""
        return self.group.cn_name

    @property
    def years(self) -> int:
        """Years from rest to the end."""
        return self.group.nn_spinup + self.group.nn_years

    @property
    def steps(self) -> int:
        """Steps of a year."""
        return round(ocean.DAYS[self.switches["namrun", "nn_leapy"]] * 86400.0 / self.switches.step)

    @property
    def every(self) -> int:
        """Steps between states that are written."""
        return round(self.group.rn_every / self.switches.step)

    @property
    def half(self) -> int:
        """Half-width of a burst in steps."""
        return round(self.group.rn_burst_d / self.switches.step)

    def output(self, year: int) -> Path | None:
        """File of a year (from 1), None in the spin-up."""
        if year <= self.group.nn_spinup:
            return None
        kind = "burst" if self.group.ln_burst else "inst"
        span = f"{(year - 1) * self.steps + 1:08d}_{year * self.steps:08d}"
        return self.folder / f"{self.switches['namrun', 'cn_exp']}_{span}_{kind}.nc"

    def outputs(self) -> list[Path]:
        """Files of all years that write, in order."""
        return [path for year in range(1, self.years + 1) if (path := self.output(year)) is not None]

    def restart(self, year: int) -> Path:
        """Restart at the end of a year."""
        return self.folder / f"{self.switches['namrun', 'cn_exp']}_{year * self.steps:08d}_restart.nc"

    def bytes_of_year(self) -> int:
        """Size of a year's output, about."""
        nx, ny = self.switches.size
        records = self.steps // self.every * (3 if self.group.ln_burst else 1)
        return records * (nx + 2) * (ny + 2) * 4 * (3 * int(self.switches["namusr_def", "nn_layers"]) + 1)

    def first_missing(self, coarsened: Callable[[Path], bool]) -> int:
        """The year to run next; `years` + 1 when all are done. coarsened: a fine file is no longer needed.

        HaloclineError when the output of an early year is gone and the restart to make it again, too.
        """
        last = max((year for year in range(1, self.years + 1) if self.restart(year).exists()), default=0)
        for year in range(1, last + 1):
            path = self.output(year)
            if path is None or path.exists() or coarsened(path):
                continue
            if year > 1 and not self.restart(year - 1).exists():
                raise HaloclineError(
                    f"member '{self.name}': {path} is missing, and the restart before it, {self.restart(year - 1).name}, is gone.\n"
                    "  Bring the file back, or name with --coarsen the configuration that has coarsened it, or remove the folder "
                    "to begin again."
                )
            return year
        return last + 1

    def check_folder(self) -> None:
        """HaloclineError when the folder was made with other switches or in another precision."""
        made = self.folder / "namelist_cfg"
        if not made.exists():
            return
        there = ocean.read_switches(made)
        steps = int(there["namrun", "nn_itend"])
        year = max(1, -(-steps // self.steps))
        mine = ocean.parse(self.namelist(year), self.switches)
        for group, name in mine.differences(there, CHAIN):
            raise HaloclineError(
                f"the folder {self.folder} was made with another {name}: {there[group, name]}, now {mine[group, name]}.\n"
                f"  {self.switches.where(group, name)}. Set it back, or give another folder with --out."
            )
        if steps != year * self.steps:
            raise HaloclineError(
                f"the folder {self.folder} was not made in years of {self.steps} steps: its last run ended at {steps}.\n"
                f"  {made}. Give another folder with --out."
            )
        precision = self._precision_there()
        if precision and precision != self.group.cn_precision:
            raise HaloclineError(
                f"the folder {self.folder} was made in {precision} precision, cn_precision is '{self.group.cn_precision}'.\n"
                f"  {self.group.where('cn_precision')}. Set it back, or give another folder with --out."
            )

    def _precision_there(self) -> str:
        try:
            head = (self.folder / "ocean.output").read_text(encoding="utf-8", errors="replace")[:200]
        except OSError:
            return ""
        return next((word for word in ("single", "double") if f" {word} precision" in head), "")

    def namelist(self, year: int) -> str:
        """The namelist_cfg of a year."""
        run: dict[str, Any] = {
            "nn_it000": (year - 1) * self.steps + 1,
            "nn_itend": year * self.steps,
            "ln_rstart": year > 1,
            "nn_write": 0,
        }
        if year > 1:
            run["cn_ocerst_in"] = self.restart(year - 1).name
        changes: dict[str, dict[str, Any]] = {"namrun": run, "namusr_def": {"nn_seed": self.group.nn_seed}}
        if year > self.group.nn_spinup and self.group.ln_burst:
            changes["namdia"] = {
                "nn_burst": self.every,
                "nn_burst_d": self.half,
                "cn_burst": FIELDS,
                "ln_inst": False,
                "ln_mean": False,
            }
        elif year > self.group.nn_spinup:
            run["nn_write"] = self.every
            changes["namdia"] = {"cn_inst": FIELDS, "ln_inst": True, "ln_mean": False}
        return self.switches.changed(changes)

    def start(self, program: Path, year: int) -> subprocess.Popen[bytes]:
        """Start a year in FOLDER/work."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        if year > 1:
            (work / self.restart(year - 1).name).symlink_to(self.restart(year - 1).resolve())
        return ocean.start(program, work, self.namelist(year))

    def finish(self, process: subprocess.Popen[bytes], year: int) -> None:
        """Take over what a year has written. HaloclineError with the ocean's words when it failed."""
        work = self.folder / "work"
        ocean.check_end(process, work)
        wanted = [path for path in (self.output(year), self.restart(year)) if path is not None]
        missing = [path.name for path in wanted if not (work / path.name).exists()]
        if missing:
            raise HaloclineError(f"the ocean in {work} ended well, but did not write {', '.join(missing)}.")
        for path in work.iterdir():
            if path.is_file() and not path.is_symlink() and path.name != self.restart(year).name:
                path.replace(self.folder / path.name)
        (work / self.restart(year).name).replace(self.restart(year))
        shutil.rmtree(work)
        if year > 2:
            self.restart(year - 2).unlink(missing_ok=True)
