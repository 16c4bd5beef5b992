"""A twin experiment as its namelist plans it, checked before anything runs; and the run folder of its ocean."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupler import launch
from coupler import settings as coupling
from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models import settings
from models.assimilation.truth import Truth, open_truth
from models.campaign.forecast import start_state
from models.campaign.runs import START, fortran
from models.data.ocean import Switches, read_switches

CALENDARS = {30: ("360_day",), 0: ("noleap", "365_day"), 1: ("standard", "gregorian", "proleptic_gregorian")}
WAIT = 300.0  # seconds the ocean waits for increments
WEIGHTS = {"flat": 0, "hat": 1}
SWITCHES = {"ln_dyninc": "uv", "ln_thkinc": "h", "ln_trainc": "t"}


@dataclass(frozen=True)
class Twin:
    """The switches of &namassim, those of the ocean, and the truth. `steps`: ocean steps of a window."""

    cfg: Path
    group: settings.NamAssim
    switches: Switches
    truth: Truth
    steps: int

    @property
    def windows(self) -> int:
        """How many analyses are made."""
        return self.truth.windows

    def edits(self) -> dict[str, str]:
        """What this experiment sets in the ocean's namelist, 'group.switch' to Fortran text."""
        date = self.truth.date(0)
        last = self.windows * self.steps
        logical = {True: ".true.", False: ".false."}
        return {
            "namrun.nn_it000": "1",
            "namrun.nn_itend": str(last),
            "namrun.nn_date0": f"{date.year * 10000 + date.month * 100 + date.day}",
            "namrun.ln_rstart": ".true.",
            "namrun.nn_rstctl": "0",
            "namrun.cn_ocerst_in": f"'{START}'",
            "nam_asminc.ln_bkgwri": ".true.",
            "nam_asminc.ln_asmdin": logical[self.group.cn_update == "direct"],
            "nam_asminc.ln_asmiau": logical[self.group.cn_update != "direct"],
            "nam_asminc.niaufn": str(WEIGHTS.get(self.group.cn_update, 0)),
            "nam_asminc.nn_asmwin": str(self.steps),
            "nam_asminc.rn_asmwait": f"{WAIT:.1f}",
            "nam_asminc.ln_sshinc": ".false.",
        } | {f"nam_asminc.{key}": logical[bool(set(of) & set(self.group.cn_fields))] for key, of in SWITCHES.items()}


def load(cfg: Path) -> Twin:
    """The experiment of CFG. HaloclineError for wrong switches, and for a truth that is too short or not of this ocean."""
    group = next(iter(settings.load(cfg, settings.NamAssim)), None)
    if group is None:
        raise HaloclineError(
            f"{coupling.config_file(cfg)} has no group &namassim, which says what is assimilated. "
            "namelists/gyre_assimilate is an example."
        )
    switches = read_switches(cfg)
    unknown = [name for name in group.cn_fields if name not in ("u", "v", "h", "t")]
    if unknown or not group.cn_fields:
        raise HaloclineError(
            f"cn_fields holds '{', '.join(unknown)}'. Allowed: 'u', 'v', 'h', 't', at least one.\n  {group.where('cn_fields')}."
        )
    steps = group.rn_window / switches.step
    if abs(steps - round(steps)) > 1e-9 * steps or round(steps) < 1:
        raise HaloclineError(
            f"a window of {group.rn_window:g} s is {steps:g} steps of {switches.step:g} s; it must be a whole number.\n"
            f"  {group.where('rn_window')}; {switches.where('namdom', 'rn_dt')}. "
            f"Set rn_window to {max(round(steps), 1) * switches.step:g}, or another step."
        )
    truth = open_truth(Path(group.cn_truth), group.rn_window, group.nn_windows, group.where("cn_truth"))
    if group.nn_drop >= truth.windows:
        raise HaloclineError(
            f"nn_drop = {group.nn_drop} leaves out all {truth.windows} windows.\n  {group.where('nn_drop')}. Lower it."
        )
    twin = Twin(cfg, group, switches, truth, round(steps))
    _check_grid(twin)
    _check_dates(twin)
    return twin


def _check_grid(twin: Twin) -> None:
    """The truth must lie on the ocean's grid, its levels and its calendar's day."""
    data, switches, path = twin.truth.data, twin.switches, twin.truth.path
    nx, ny = switches.size
    where = f"  {twin.group.where('cn_truth')}; {switches.where('namusr_def', 'nn_nx')}."
    levels, rows, columns = data["h"].shape[1:]
    layers = int(switches["namusr_def", "nn_layers"])
    if (levels, rows, columns) != (layers, ny + 2, nx + 2):
        raise HaloclineError(
            f"the truth {path} has {levels} layers of {columns} x {rows} cells (with their rim of land), the ocean {layers} of "
            f"{nx + 2} x {ny + 2}.\n{where} Coarsen the truth to this grid (halocline coarsen)."
        )
    width, dx = float(data["e1t"].values[1:-1, 1:-1].mean()), float(switches["namusr_def", "rn_dx"])
    for name, found, wanted in (
        ("rn_dx", [width], [dx]),
        ("rn_gred", data["gred"].values, switches["namusr_def", "rn_gred"]),
        ("rn_h", data["h_rest"].values, switches["namusr_def", "rn_h"]),
    ):
        wanted = np.ravel(wanted)[: len(found)]
        if not np.allclose(found, wanted, rtol=1e-5):
            raise HaloclineError(
                f"the truth {path} has {name} = {_listed(found)}, the ocean {_listed(wanted)}.\n"
                f"  {twin.group.where('cn_truth')}; {switches.where('namusr_def', name)}. Both must lie on one grid."
            )


def _listed(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _check_dates(twin: Twin) -> None:
    attrs, switches = twin.truth.time_attrs, twin.switches
    leap, calendar = int(switches["namrun", "nn_leapy"]), attrs.get("calendar", "standard")
    if calendar not in CALENDARS.get(leap, ()):
        raise HaloclineError(
            f"the truth {twin.truth.path} has the calendar '{calendar}', the ocean nn_leapy = {leap} "
            f"({' or '.join(CALENDARS.get(leap, ('unknown',)))}).\n  {switches.where('namrun', 'nn_leapy')}. Set it to the truth's."
        )
    date = twin.truth.date(0)
    if date.hour or date.minute or date.second:
        raise HaloclineError(
            f"the first state of {twin.truth.path} is of {date}: an ocean begins at midnight (nn_date0).\n"
            f"  {twin.group.where('cn_truth')}. Take a truth whose states begin at midnight."
        )


def prepare(
    twin: Twin, ocean_ranks: int, coupler_ranks: int | None, rundir: Path, ocean: Path | None, overwrite: bool
) -> launch.Job:
    """The run folder: namelist with `edits`, the true start state as a restart, files of CFG as links; and its command.

    coupler_ranks None: one where the run is coupled (ln_cpl and a &namnet), else none.
    """
    path = coupling.config_file(twin.cfg)
    with tempfile.TemporaryDirectory(prefix="halocline_assimilate_") as scratch:
        folder = Path(scratch)
        if twin.cfg.is_dir():
            for file in sorted(path.parent.iterdir()):
                if file.name != "namelist_cfg" and file.is_file():
                    (folder / file.name).symlink_to(file.resolve())
        target = folder / "namelist_cfg"
        text = path.read_text(encoding="utf-8", errors="replace")
        there = {group.name for group in read_groups(path)}
        missing = [name for name in ("namrun", "nam_asminc") if name not in there]
        target.write_text(text + "".join(f"\n&{name}\n/\n" for name in missing), encoding="utf-8")
        fortran(target, twin.edits())
        if coupler_ranks is None:
            networks = coupling.load(folder).namnet
            coupler_ranks = int(bool(networks) and bool(twin.switches["namrun", "ln_cpl"]))
        job = launch.prepare(folder, ocean_ranks, coupler_ranks, rundir, ocean, overwrite=overwrite)
    start_state(twin.truth.data, int(twin.truth.records[0]), job.rundir / START)
    return job
