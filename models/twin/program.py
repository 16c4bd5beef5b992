"""The twin as a program: in place of the ocean, from its namelist and restart to its files."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coupler.errors import HaloclineError
from coupler.launch import fill
from coupler.namelist import read_groups, with_value
from coupler.programs import REPOSITORY
from coupler.settings import config_file
from models.data.ocean import Switches, read_switches
from models.data.ocean_restart import Restart, read_restart
from models.twin.output import Output
from models.twin.run import Twin
from models.twin.state import State
from models.twin.statistics import Statistics, check
from models.twin.switches import physics

DTYPES = {"double": torch.float64, "single": torch.float32}


def run(
    cfg: Path,
    console: Console,
    rundir: Path | None = None,
    steps: int | None = None,
    dtype: str = "double",
    compiled: bool = False,
    link: list[Path] | None = None,
    overwrite: bool = False,
) -> Path:
    """Run the twin of CFG in a run folder; its path.

    steps: in place of nn_itend; link: files such as a restart, as links in the folder. HaloclineError for a switch that the twin
    does not have, a restart that does not fit, a folder with an earlier run, a state that is not finite or outcrops.
    """
    if dtype not in DTYPES:
        raise HaloclineError(f"there is no precision '{dtype}'. Allowed: {', '.join(DTYPES)}.")
    switches = read_switches(cfg)
    physics(switches)  # names what the twin lacks, and values that the ocean refuses, before a folder is made
    refuse(switches, steps)
    folder = _folder(cfg, rundir, link or [], overwrite)
    if steps is not None:
        _shorten(folder / "namelist_cfg", steps)
    try:
        seconds, last, first = _steps(folder, DTYPES[dtype], compiled, console)
    except HaloclineError as error:
        (folder / "halocline.abort").write_text(f"twin: error: {error}\n", encoding="utf-8")
        raise
    except OSError as error:
        raise HaloclineError(
            f"cannot write in {folder}: {error.strerror or error}. Is the disk full, or cn_exp no name of a file?"
        ) from None
    per_step = 1e3 * seconds / (last - first + 1)
    console.print(
        f"{last - first + 1} steps in {seconds:.2f} s, {per_step:.3f} ms per step; files in {folder}", highlight=False
    )
    return folder


def refuse(switches: Switches, steps: int | None = None) -> None:
    """HaloclineError for a run that the twin cannot make, besides the terms that it lacks: coupled, or steps that make no run."""

    def stop(name: str, words: str, advice: str = "") -> None:
        raise HaloclineError(f"{words}\n  {switches.where('namrun', name)}. {advice}".rstrip())

    it000, itend = (int(switches["namrun", name]) for name in ("nn_it000", "nn_itend"))
    if switches["namrun", "ln_cpl"]:
        stop(
            "ln_cpl",
            "`halocline twin` runs the ocean alone, this namelist is that of a coupled run.",
            "Set ln_cpl = .false.; `halocline run` couples the Fortran ocean, and cn_mode = 'online' of `halocline train` steps "
            "the twin with a network in it.",
        )
    if it000 < 1:
        stop("nn_it000", f"nn_it000 = {it000} must be at least 1.")
    if steps is None and itend < it000:
        stop("nn_itend", f"nn_itend = {itend} is less than nn_it000 = {it000}.")
    if not switches["namrun", "ln_rstart"] and it000 != 1:
        stop(
            "nn_it000",
            f"a run that begins from rest begins with step 1, not {it000}.",
            "Set ln_rstart = .true. and cn_ocerst_in to continue.",
        )
    if switches["namrun", "nn_rstctl"] not in (0, 2):
        stop("nn_rstctl", "nn_rstctl must be 0 or 2.")


def begin(twin: Twin, folder: Path) -> tuple[State, bool]:
    """The first state, from rest or from cn_ocerst_in, and whether the first step is a forward one."""
    switches = twin.switches
    if not switches["namrun", "ln_rstart"]:
        return twin.rest(), True
    path = folder / str(switches["namrun", "cn_ocerst_in"]).strip()
    if not path.exists():
        raise HaloclineError(
            f"the restart {path} does not exist.\n  {switches.where('namrun', 'cn_ocerst_in')}. Give it with --link."
        )
    restart = read_restart(path)
    if int(switches["namrun", "nn_rstctl"]) != 0:
        _check_time(twin, restart, path)
    return twin.state(restart), bool(switches["namdom", "ln_1st_euler"]) or not restart.whole


def _check_time(twin: Twin, restart: Restart, path: Path) -> None:
    """The run must go on where the restart ends."""
    numbers, where = restart.numbers, twin.switches.where
    first, step = int(twin.switches["namrun", "nn_it000"]), twin.physics.rn_dt
    lacking = {"kt", "rdt", "ndastp"} - numbers.keys()
    if lacking:
        raise HaloclineError(
            f"the restart {path} does not say {', '.join(sorted(lacking))}.\n  {where('namrun', 'nn_rstctl')}. "
            "Set nn_rstctl = 0 to begin a new experiment from its state."
        )
    kt = round(numbers["kt"])
    date = twin.date(kt)
    today = date.year * 10000 + date.month * 100 + date.day
    if kt + 1 != first:
        raise HaloclineError(
            f"the restart {path} was written after step {kt}, the run begins with step {first}.\n"
            f"  {where('namrun', 'nn_it000')}. Set nn_it000 = {kt + 1}, or nn_rstctl = 0 to begin a new experiment."
        )
    if abs(numbers["rdt"] - step) > 1e-6 * step:
        raise HaloclineError(
            f"the restart {path} has a time step of {numbers['rdt']:g} s, the namelist {step:g} s.\n  {where('namdom', 'rn_dt')}. "
            "With nn_rstctl = 0 and ln_1st_euler = .true. another step may begin here."
        )
    if round(numbers["ndastp"]) != today:
        raise HaloclineError(
            f"the restart {path} is of the day {round(numbers['ndastp'])}, by the namelist this is {today}.\n"
            f"  {where('namrun', 'nn_date0')}. Set nn_date0 and nn_leapy as in the first run, or nn_rstctl = 0."
        )


def _steps(folder: Path, dtype: torch.dtype, compiled: bool, console: Console) -> tuple[float, int, int]:
    """All steps of the namelist in `folder`: seconds, last and first step."""
    switches = read_switches(folder)
    twin = Twin(switches, dtype, compiled=compiled)
    first, last = (int(switches["namrun", name]) for name in ("nn_it000", "nn_itend"))
    state, forward = begin(twin, folder)
    output, statistics = Output(twin, folder, first, last), Statistics(twin, folder, last)
    if compiled:
        _compile(twin, state, console)
    columns = TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    log = (folder / "ocean.output").open("w", encoding="utf-8")
    with (
        log,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        torch.no_grad(),
        ExitStack() as failed,
    ):
        failed.callback(output.drop)
        print(f" Halocline twin of the reference ocean, {dtype}, steps {first} to {last}", file=log, flush=True)
        task = bar.add_task("steps", total=last - first + 1)
        began = time.perf_counter()
        for kt, after in enumerate(twin.states(state, first, last - first + 1, forward=forward), first):
            check(twin, after.now, kt)
            words = statistics.after(kt, after.now)
            output.after(kt, after)
            if words:
                print(words, file=log, flush=True)
            bar.advance(task)
        seconds = time.perf_counter() - began
        output.close()
        failed.pop_all()
        print(f" twin: run ended well at kt = {last}", file=log)
    text = f"ranks 1  steps {last - first + 1}\n{'part [s]':27}" + "".join(
        f"{name:>14}" for name in ("min", "mean", "max", "ms per step")
    )
    row = f"{'whole run':27}" + 3 * f"{seconds:14.6f}" + f"{1e3 * seconds / (last - first + 1):14.6f}"
    (folder / "timing.output").write_text(f"{text}\n{row}\n", encoding="utf-8")
    return seconds, last, first


def _compile(twin: Twin, state: State, console: Console) -> None:
    """Build the step now, for fields of their own each: from rest the two levels are one."""
    began = time.perf_counter()
    with torch.no_grad():
        twin.step(State(*(level.map(torch.clone) for level in state)), 1)
    console.print(f"the step is compiled, in {time.perf_counter() - began:.1f} s", highlight=False)


def _folder(cfg: Path, rundir: Path | None, link: list[Path], overwrite: bool) -> Path:
    """The run folder as `halocline run` fills it: the files of CFG as links, the namelist as a copy."""
    namelist = config_file(cfg)
    own, shared = namelist.parent / "namelist_ref", REPOSITORY / "namelists" / "namelist_ref"
    if own.exists() and own.read_bytes() != shared.read_bytes():
        raise HaloclineError(
            f"{own} is not the namelist_ref of this version, and the twin knows only that one's defaults.\n"
            "  Move what differs into namelist_cfg and remove it."
        )
    folder = (rundir or Path("runs") / namelist.resolve().parent.name).resolve()
    if folder == namelist.resolve().parent:
        raise HaloclineError(f"the run folder {folder} is the configuration itself. Give another one with --rundir.")
    missing = [path for path in link if not path.exists()]
    if missing:
        raise HaloclineError(f"no file {missing[0]} to link into the run folder (--link).")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not overwrite:
            raise HaloclineError(
                f"the run folder {folder} is not empty. Give another one with --rundir, or add --overwrite."
            )
        if not (folder / "namelist_cfg").exists():
            raise HaloclineError(f"{folder} does not look like a run folder (no namelist_cfg); it is not emptied.")
        shutil.rmtree(folder)
    try:
        fill(folder, cfg, link, None)
    except OSError as error:
        raise HaloclineError(
            f"cannot make the run folder {folder}: {error.strerror}. Give another one with --rundir."
        ) from None
    return folder


def _shorten(namelist: Path, steps: int) -> None:
    """nn_itend so that the run has `steps` steps."""
    switches, text = read_switches(namelist), namelist.read_text(encoding="utf-8")
    last = int(switches["namrun", "nn_it000"]) + steps - 1
    groups = [group for group in read_groups(namelist) if group.name == "namrun"]
    text = with_value(text, groups[0], "nn_itend", str(last)) if groups else f"{text}\n&namrun nn_itend = {last} /\n"
    namelist.write_text(text, encoding="utf-8")
