"""Runs of the ocean: one for each member of the ensemble, reduced to its statistics, kept so that it is run once."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import numpy as np
from rich.console import Console

from coupler import launch
from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import config_file
from models.campaign import runs
from models.campaign.forecast import start_state
from models.campaign.schedule import side_by_side
from models.data import store
from models.data.ocean import Switches, read_switches
from models.eki.files import replace
from models.eki.observed import Observation
from models.eki.parameters import Parameter, fortran
from models.evaluation.climate import Climate, climate_of
from models.evaluation.stability import Stability
from models.evaluation.states import DAY
from models.settings import GROUPS, NamEki

STATES = "vozocrtx vomecrty thkcello sosstsst"  # what evaluation reads
RESULT = "{:02d}_{:03d}.json"  # of iteration and member


@dataclass(frozen=True)
class Start:
    """Where a run begins: a record of a data set of the truth, or a restart."""

    path: Path
    record: int = -1

    def __str__(self) -> str:
        return str(self.path) if self.record < 0 else f"{self.path} state {self.record + 1}"


@dataclass(frozen=True)
class Member:
    """One run to be made: the switches' values and its start."""

    iteration: int
    number: int
    values: tuple[float, ...]
    start: Start

    def __str__(self) -> str:
        return f"iteration {self.iteration} member {self.number}"


@dataclass(frozen=True)
class Ensemble:
    """How members are run, and where their results and run folders lie."""

    eki: NamEki
    parameters: Sequence[Parameter]
    observation: Observation
    switches: Switches
    folder: Path

    @classmethod
    def of(cls, eki: NamEki, parameters: Sequence[Parameter], observation: Observation, folder: Path) -> "Ensemble":
        """HaloclineError where the ocean's states cannot be written as often as the truth's, or its executable is not there."""
        if eki.cn_exe and not (Path(eki.cn_exe).is_file() and os.access(eki.cn_exe, os.X_OK)):
            raise HaloclineError(
                f"cn_exe = '{eki.cn_exe}' is not an executable.\n  {eki.where('cn_exe')}. Paths count from the folder in which the "
                "command runs."
            )
        switches = read_switches(Path(eki.cn_ocean))
        steps = observation.every / switches.step
        if abs(steps - round(steps)) > 1e-6 * steps or steps < 1:
            raise HaloclineError(
                f"the truth's states are {observation.every:g} s apart, {steps:g} steps of rn_Dt = {switches.step:g} s; it "
                f"must be a whole number.\n  {switches.where('namdom', 'rn_dt')}."
            )
        return cls(eki, parameters, observation, switches, folder)

    def run(self, members: Sequence[Member], console: Console) -> list[dict[str, Any]]:
        """The results of members, in their order; those that have run are read. nn_jobs at a time.

        HaloclineError for runs that end otherwise than well or by the switches that were tried (no executable, a full disk).
        """
        found = {member: self.result(member) for member in members}
        missing = [member for member, result in found.items() if result is None]
        jobs = {member: self.prepared(member, self.eki.rn_days) for member in missing}
        ends: dict[Member, dict[str, Any]] = {}

        def work(member: Member, _: int | None) -> None:
            ends[member] = ended(jobs[member], self.switches.step)

        def reduce(member: Member) -> None:  # in this thread: NetCDF is not made for several
            rundir, end = jobs[member].rundir, ends[member]
            climate = None
            if end["status"] == "finished":
                climate = climate_of(rundir, self.observation.like.grid, self.eki.rn_spinup)
                end |= judged(climate.stability)
            statistics = None
            if climate is not None and end["status"] == "finished":
                with np.errstate(divide="ignore", invalid="ignore"):
                    vector = self.observation.of(climate)
                if np.isfinite(vector).all():
                    statistics = vector.tolist()
                else:
                    end |= {"status": "failed", "message": "statistics that are not finite: no eddies left"}
            result = {
                "values": dict(zip(self.eki.cn_parameters, member.values, strict=True)),
                "start": str(member.start),
                **end,
                "statistics": statistics,
            }
            replace(self._path(member), json.dumps(result).encode())
            shutil.rmtree(rundir)

        side_by_side(missing, work, self.eki.nn_jobs, console, then=reduce)
        return [found[member] or self._read(member) for member in members]

    def result(self, member: Member) -> dict[str, Any] | None:
        """What a member has left: None where it has not run, or not with these values and this start."""
        try:
            found = self._read(member)
        except (OSError, ValueError):
            return None
        same = tuple(found["values"].values()) == member.values and found["start"] == str(member.start)
        return found if same else None

    def _read(self, member: Member) -> dict[str, Any]:
        return json.loads(self._path(member).read_text(encoding="utf-8"))

    def _path(self, member: Member) -> Path:
        return self.folder / "members" / RESULT.format(member.iteration, member.number)

    def prepared(self, member: Member, days: float) -> launch.Job:
        """A run folder of its own, new for each attempt: what a killed training has left running cannot write into it."""
        place = self.folder / "runs"
        place.mkdir(exist_ok=True)
        rundir = Path(tempfile.mkdtemp(prefix=f"{member.iteration:02d}_{member.number:03d}_", dir=place))
        with tempfile.TemporaryDirectory(prefix="halocline_eki_") as scratch:
            here = Path(scratch)
            configured(Path(self.eki.cn_ocean), here, self._edits(member, days))
            restart = self._restart(member.start)
            (here / runs.START).unlink(missing_ok=True)
            (here / runs.START).symlink_to(restart.resolve())
            coupled = bool(self.switches["namrun", "ln_cpl"])
            exe = Path(self.eki.cn_exe) if self.eki.cn_exe else None
            return launch.prepare(
                here, self.eki.nn_ocean_ranks, self.eki.nn_coupler_ranks if coupled else 0, rundir, exe
            )

    def _edits(self, member: Member, days: float) -> dict[str, str]:
        step = self.switches.step
        edits = {
            "namrun.nn_it000": "1",
            "namrun.nn_itend": str(round(days * DAY / step)),
            "namrun.ln_rstart": ".true.",
            "namrun.nn_rstctl": "0",
            "namrun.cn_ocerst_in": f"'{runs.START}'",
            "namrun.nn_stock": "0",
            "namrun.nn_write": str(round(self.observation.every / step)),
            "namrun.nn_stat": str(max(1, round(DAY / step))),
            "namdom.ln_meshmask": ".true.",
            "namdia.ln_inst": ".true.",
            "namdia.ln_mean": ".false.",
            "namdia.cn_inst": f"'{STATES}'",
            **fortran(self.parameters, member.values),
        }
        if member.start.record >= 0:
            time = store.read(member.start.path)["time"]
            date = cftime.num2date(
                round(float(time.values[member.start.record])),
                time.attrs["units"],
                time.attrs.get("calendar", "standard"),
            )
            edits["namrun.nn_date0"] = f"{date.year * 10000 + date.month * 100 + date.day}"
        return edits

    def _restart(self, start: Start) -> Path:
        if start.record < 0:
            return start.path
        path = self.folder / "starts" / f"{start.path.stem}_{start.record:05d}.nc"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            part = path.with_name(f"{path.stem}.part.nc")
            try:
                start_state(store.read(start.path), start.record, part)
                part.replace(path)
            except OSError as error:
                raise HaloclineError(f"cannot write {path}: {error.strerror}. Make room, then run again.") from None
        return path


def configured(cfg: Path, folder: Path, edits: Mapping[str, str]) -> None:
    """The files of CFG as links in a folder, and its namelist with switches set; missing groups are added, ours left out."""
    path = config_file(cfg)
    if cfg.is_dir():
        for file in sorted(path.parent.iterdir()):
            if file.name != "namelist_cfg" and file.is_file():
                (folder / file.name).symlink_to(file.resolve())
    groups = read_groups(path)
    there = {group.name for group in groups}
    wanted = dict.fromkeys(where.partition(".")[0] for where in edits)
    rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for group in reversed([one for one in groups if one.name in GROUPS]):
        del rows[group.line - 1 : group.line - 1 + len(group.text.splitlines())]
    missing = [group for group in wanted if ":" not in group and group not in there]
    (folder / "namelist_cfg").write_text(
        "\n".join([*rows, *(f"&{group}\n/" for group in missing)]) + "\n", encoding="utf-8"
    )
    runs.fortran(folder / "namelist_cfg", edits)


def ended(job: launch.Job, step: float) -> dict[str, Any]:
    """Run a job; status 'finished' or 'blew up', with the day and the message, and wall-clock seconds. step: rn_Dt [s].

    HaloclineError for other ends than those.
    """
    began = time.perf_counter()
    end: dict[str, Any] = {"status": "finished", "day": None, "message": ""}
    try:
        launch.run(job, Console(quiet=True))
    except HaloclineError as error:
        if not runs.BLEW_UP.search(str(error)):
            raise
        words = " ".join(line.removeprefix("gyre: error:").strip() for line in str(error).splitlines()[:2])
        end = {"status": "blew up", "day": _day(job.rundir, str(error), step), "message": words}
    return {**end, "seconds": round(time.perf_counter() - began, 2)}


def judged(stability: Stability) -> dict[str, Any]:
    """A run that ended well with bad states has blown up on the day of the first."""
    if stability.stable:
        return {}
    return {
        "status": "blew up",
        "day": int(stability.reached // DAY),
        "message": stability.ended or "states that are not finite or faster than 10 m s-1",
    }


def _day(rundir: Path, message: str, step: float) -> int:
    """The day of the step in the message, or else of the last line of run.stat."""
    found = runs.STEP.search(message)
    if found:
        return int(int(found.group(1) or found.group(2)) * step // DAY)
    try:
        last = (rundir / "run.stat").read_text(encoding="utf-8").splitlines()[-1]
        return int(int(last.split()[0]) * step // DAY)
    except (OSError, ValueError, IndexError):
        return 0


def starts(eki: NamEki, rng: np.random.Generator) -> list[Start]:
    """A start for each member: cn_restart, or true states evenly spaced over the data sets of cn_truth, shuffled.

    HaloclineError when cn_restart is not there.
    """
    if eki.cn_restart:
        path = Path(eki.cn_restart)
        if not path.is_file():
            raise HaloclineError(f"there is no restart {path}.\n  {eki.where('cn_restart')}.")
        return [Start(path)] * eki.nn_members
    lengths = [store.read(Path(name)).sizes["time"] for name in eki.cn_truth]
    places = [Start(Path(name), n) for name, length in zip(eki.cn_truth, lengths, strict=True) for n in range(length)]
    chosen = np.linspace(0, len(places) - 1, eki.nn_members).astype(int)
    return [places[n] for n in rng.permutation(chosen)]


def fitted_climate(
    ensemble: Ensemble, values: tuple[float, ...], days: float, skip: float
) -> tuple[dict[str, Any], Climate | None]:
    """A run of `days` with these values, from cn_restart or the first true state: how it ended, and its climate after `skip` days.

    None in place of the climate of a run that blew up.
    """
    eki = ensemble.eki
    start = Start(Path(eki.cn_restart)) if eki.cn_restart else Start(Path(eki.cn_truth[0]), 0)
    job, climate = ensemble.prepared(Member(0, 0, values, start), days), None
    # In a thread: in the main one SIGTERM would end the run early, as if it were whole.
    (end,) = side_by_side([job], lambda one, _: ended(one, ensemble.switches.step), 1, Console(quiet=True))
    if end["status"] == "finished":
        climate = climate_of(job.rundir, ensemble.observation.like.grid, skip, name="fitted")
        end |= judged(climate.stability)
    shutil.rmtree(job.rundir)
    return end, climate if end["status"] == "finished" else None
