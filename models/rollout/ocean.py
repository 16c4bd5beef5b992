"""The ocean of a training: its run folder, its switches, the truth that it is compared with, from the start or from a restart."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coupler import launch
from coupler import settings as coupling
from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models.assimilation.truth import Truth, open_truth
from models.assimilation.twin import SWITCHES
from models.campaign.forecast import start_state
from models.campaign.runs import START, fortran
from models.data import climatology
from models.data.ocean import Switches, read_switches
from models.rollout.trajectory import RECORD, Calls, calls
from models.rollout.versions import Version
from models.settings import NamRollout, NamTrain

if TYPE_CHECKING:
    from models.training.setup import Setup

WAIT = 600.0  # longest wait of the ocean for the end of a window's training [s]
DAY = 86400.0
EPOCHS = ("nn_epochs", "nn_patience")
LAST_STEP = 2**31 - 1  # of the ocean's default integer


@dataclass(frozen=True)
class Plan:
    """What is run: switches, truth, and the truth's states that windows go over, again and again.

    first: the truth's state at which they begin; count: windows until its first state comes again; steps: of a window; calls: of
    the network in a window, where they are recorded.
    """

    rollout: NamRollout
    switches: Switches
    truth: Truth
    network: str
    first: int
    count: int
    steps: int
    calls: Calls | None = None

    def begin(self, window: int) -> int:
        """State of the truth at the begin of a window, from 1."""
        return self.first + (window - 1) % self.count

    def restart(self, folder: Path, window: int) -> Path:
        """What the ocean writes at the end of a window."""
        return folder / f"{self.switches['namrun', 'cn_exp']}_{window * self.steps:08d}_restart.nc"

    def edits(self, window: int, version: Version) -> dict[str, str]:
        """What the ocean's namelist gets, to begin after `window` windows with this version."""
        date, logical = self.truth.date(self.first), {True: ".true.", False: ".false."}
        fields = set(self.rollout.cn_fields)
        net = f"namnet:{self.network}"
        record = {
            "namcpl.ln_record": ".true.", "namcpl.cn_record": f"'{RECORD}'", "namcpl.rn_record": f"{self.rollout.rn_window!r}",
        }  # fmt: skip
        return {
            **(record if self.calls else {}),
            "namrun.nn_it000": str(window * self.steps + 1),
            "namrun.nn_itend": str(self.rollout.nn_windows * self.steps),
            "namrun.nn_date0": f"{date.year * 10000 + date.month * 100 + date.day}",
            "namrun.ln_rstart": ".true.",
            "namrun.nn_rstctl": "2" if window else "0",
            "namrun.cn_ocerst_in": f"'{START}'",
            "namrun.nn_stock": str(self.rollout.nn_swap * self.steps),
            "namrun.ln_cpl": ".true.",
            "nam_asminc.ln_bkgwri": ".true.",
            "nam_asminc.ln_asmdin": ".true.",
            "nam_asminc.ln_asmiau": ".false.",
            "nam_asminc.ln_sshinc": ".false.",
            "nam_asminc.nn_asmwin": str(self.steps),
            "nam_asminc.rn_asmwait": f"{WAIT:.1f}",
            **{f"nam_asminc.{key}": logical[bool(set(of) & fields)] for key, of in SWITCHES.items()},
            f"{net}.cn_artefact": f"'{version.path.name}'",
            f"{net}.cn_sha256": f"'{version.sha256}'",
            f"{net}.ln_swap": ".true.",
        }


def plan(rollout: NamRollout, setup: "Setup") -> Plan:
    """Check the switches against the ocean, its coupling and the data. HaloclineError names what does not fit."""
    if not rollout.cn_ocean:
        raise HaloclineError(
            f"cn_mode = '{setup.train.cn_mode}' needs an ocean that runs: cn_ocean is empty.\n  {rollout.where('cn_ocean')}. "
            "Name a coupled configuration, namelists/gyre_closure for example."
        )
    unknown = [name for name in rollout.cn_fields if name not in ("u", "v", "h", "t")]
    if unknown or not rollout.cn_fields:
        raise HaloclineError(
            f"cn_fields holds '{', '.join(unknown)}'. Allowed: 'u', 'v', 'h', 't', at least one.\n"
            f"  {rollout.where('cn_fields')}."
        )
    _files(rollout)
    _obeyed(setup.train)
    switches = read_switches(Path(rollout.cn_ocean))
    steps = rollout.rn_window / switches.step
    if abs(steps - round(steps)) > 1e-9 * steps or round(steps) < 1:
        raise HaloclineError(
            f"a window of {rollout.rn_window:g} s is {steps:g} steps of {switches.step:g} s; it must be a whole number.\n"
            f"  {rollout.where('rn_window')}. Set it to {max(round(steps), 1) * switches.step:g}."
        )
    if rollout.nn_windows * round(steps) > LAST_STEP:
        raise HaloclineError(
            f"{rollout.nn_windows} windows of {round(steps)} steps are {rollout.nn_windows * round(steps)} steps; the ocean counts "
            f"to {LAST_STEP}.\n  {rollout.where('nn_windows')}. Take {LAST_STEP // round(steps)} or fewer."
        )
    settings = coupling.load(Path(rollout.cn_ocean))
    network = _network(rollout, settings)
    truth, first, count = _records(rollout, setup)
    found = None
    if setup.adjoint is not None:
        inputs, outputs = (
            [channel.name for channel in some] for some in (setup.samples.channels, setup.samples.outputs)
        )
        found = calls(settings, network, inputs, outputs, rollout.rn_window, switches.step)
    return Plan(rollout, switches, truth, network, first, count, round(steps), found)


def _files(rollout: NamRollout) -> None:
    """HaloclineError for an ocean, an executable or a restart that is not there."""
    namelist = coupling.config_file(Path(rollout.cn_ocean))
    executable = os.access(rollout.cn_exe, os.X_OK) and Path(rollout.cn_exe).is_file()
    for key, what, good in (
        ("cn_ocean", f"a configuration: there is no {namelist}", namelist.is_file()),
        ("cn_exe", "an executable", executable or not rollout.cn_exe),
        ("cn_restart", "a restart file", Path(rollout.cn_restart).is_file() or not rollout.cn_restart),
    ):
        if not good:
            raise HaloclineError(
                f"{key} = '{getattr(rollout, key)}' is not {what}.\n  {rollout.where(key)}. Paths count from the folder in which "
                "the command runs."
            )


def _obeyed(train: NamTrain) -> None:
    """HaloclineError for a device that is not used, and for epochs, where windows are counted."""
    if train.cn_device != "cpu":
        raise HaloclineError(
            f"cn_device = '{train.cn_device}', but cn_mode = '{train.cn_mode}' trains on the CPU, beside the ocean.\n"
            f"  {train.where('cn_device')}. Leave it out; the device is never changed silently."
        )
    for name in EPOCHS:
        if name in train.model_fields_set and getattr(train, name):
            raise HaloclineError(
                f"{name} = {getattr(train, name)} is a switch of another cn_mode; cn_mode = '{train.cn_mode}' counts windows.\n"
                f"  {train.where(name)}. Leave it out; nn_windows in &namrollout is the length."
            )


def _network(rollout: NamRollout, settings: coupling.Settings) -> str:
    """The &namnet that is trained; its exchanges must begin anew with each window."""
    names = [group.cn_name for group in settings.namnet]
    wanted = rollout.cn_network or (names[0] if len(names) == 1 else "")
    if wanted not in names:
        raise HaloclineError(
            f"{settings.path} has the networks {', '.join(names) or '(none)'}; cn_network = '{rollout.cn_network}' is none of them."
            f"\n  {rollout.where('cn_network')}. Name the &namnet that is to be trained."
        )
    for group in settings.namexc:
        if group.nn_lag:
            raise HaloclineError(
                f"exchange '{group.cn_name}' has nn_lag = 1: the first answer in a window would be that of a state which the "
                f"truth has replaced.\n  {group.where('nn_lag')}. Train with nn_lag = 0."
            )
        calls = rollout.rn_window / group.rn_period if group.rn_period else 1.0
        if abs(calls - round(calls)) > 1e-9 * calls:
            raise HaloclineError(
                f"a window of {rollout.rn_window:g} s is no multiple of rn_period = {group.rn_period:g} s of exchange "
                f"'{group.cn_name}'.\n  {rollout.where('rn_window')}; {group.where('rn_period')}. Windows begin with an exchange."
            )
    return wanted


def _records(rollout: NamRollout, setup: "Setup") -> tuple[Truth, int, int]:
    """The truth, the state that windows begin with, and the windows until it comes again: those of the training part.

    After a whole number of years, where the training part has one, so that an annual cycle goes on.
    """
    data = setup.train.cn_data
    named = rollout.cn_truth or data[0]
    if named not in data:
        raise HaloclineError(
            f"cn_truth = '{named}' is none of the data sets of the training, {', '.join(data)}.\n"
            f"  {rollout.where('cn_truth')}. Its split tells which states may be seen; add it to cn_data."
        )
    lengths = [open_truth(Path(name), rollout.rn_window, 0, setup.train.where("cn_data")) for name in data]
    truth, offset = None, 0
    for name, one in zip(data, lengths, strict=True):
        if name == named:
            truth = one
            break
        offset += one.data.sizes["time"]
    assert truth is not None  # named is one of data
    seen = np.isin(truth.records + offset, setup.samples.train)
    if not seen.any():
        raise HaloclineError(f"no state of {named} is in the training part.\n  {rollout.where('cn_truth')}.")
    first = int(np.argmax(seen))
    after = np.flatnonzero(~seen[first:])
    count = (int(after[0]) if after.size else len(seen) - first) - 1
    year = climatology.year_days(truth.time_attrs.get("calendar", "standard")) * DAY / rollout.rn_window
    years = int(count // year)
    if years and abs(years * year - round(years * year)) < 1e-6:
        count = round(years * year)
    if count < 1:
        raise HaloclineError(
            f"the training part of {named} holds no window of {rollout.rn_window:g} s.\n  {rollout.where('rn_window')}. "
            "Shorten the windows, or take a longer truth."
        )
    return truth, first, count


def prepare(plan: Plan, folder: Path, window: int, version: Version, restart: Path | None) -> launch.Job:
    """The ocean's run folder, to begin after `window` windows, from `restart` or from the truth's first state."""
    job = run_folder(plan, folder, plan.edits(window, version), restart)
    try:
        os.link(version.path, job.rundir / version.path.name)
    except OSError as error:
        raise HaloclineError(f"cannot fill {job.rundir}: {error.strerror} ({error.filename}).") from None
    return job


def run_folder(plan: Plan, folder: Path, edits: dict[str, str], restart: Path | None) -> launch.Job:
    """A run folder of the ocean with other switches, and what it begins from: `restart`, cn_restart, or the truth's first state."""
    rollout = plan.rollout
    cfg = Path(rollout.cn_ocean)
    path = coupling.config_file(cfg)
    with tempfile.TemporaryDirectory(prefix="halocline_rollout_") as scratch:
        here = Path(scratch)
        if cfg.is_dir():
            for file in sorted(path.parent.iterdir()):
                if file.name != "namelist_cfg" and file.is_file():
                    (here / file.name).symlink_to(file.resolve())
        target = here / "namelist_cfg"
        there = {group.name for group in read_groups(path)}
        missing = [name for name in ("namrun", "nam_asminc", "namcpl") if name not in there]
        text = path.read_text(encoding="utf-8", errors="replace")
        target.write_text(text + "".join(f"\n&{name}\n/\n" for name in missing), encoding="utf-8")
        fortran(target, edits)
        exe = Path(rollout.cn_exe) if rollout.cn_exe else None
        job = launch.prepare(here, rollout.nn_ocean_ranks, rollout.nn_coupler_ranks, folder, exe, overwrite=True)
    begin = restart or (Path(rollout.cn_restart) if rollout.cn_restart else None)
    try:
        if begin is not None:
            shutil.copyfile(begin, job.rundir / START)
        else:
            start_state(plan.truth.data, int(plan.truth.records[plan.first]), job.rundir / START)
    except OSError as error:
        raise HaloclineError(f"cannot fill {job.rundir}: {error.strerror} ({error.filename}).") from None
    return job
