"""Prepare a run folder, launch ocean and coupler as one MPI job, watch it, and say how it ended."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from coupler import death, settings
from coupler.ending import early, go_on, interventions, last_restarts, read_end, table
from coupler.errors import HaloclineError
from coupler.log import close_log
from coupler.namcouple import describe, write
from coupler.namelist import read_groups, with_value
from coupler.preflight import check_coupled
from coupler.programs import REPOSITORY, executable, inherited, launcher
from coupler.screen import watch
from coupler.stop import STOP_FILE
from coupler.trace import add_ocean
from coupler.versions import revision

MARKS = (
    "halocline.abort",
    "halocline.progress",
    "halocline.trace.json",
    "coupler.log.jsonl",
    "halocline.stop",
    "halocline.traceback",
    "halocline.coupler.json",
    "halocline.ocean.json",
)

# Open MPI as root and on fewer cores than ranks; one thread per rank; whatever the user has set stays.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime's
    # Huge pages for large arrays, as numpy has them: 13.5 MB there and back take 5.6 instead of 9.0 ms.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


@dataclass(frozen=True)
class Job:
    """A prepared run folder and the command that runs in it."""

    rundir: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    coupled: bool
    ocean_ranks: int
    log: settings.NamLog = field(default_factory=settings.NamLog)

    def command_line(self) -> str:
        """The command as a user would type it."""
        return f"cd {shlex.quote(str(self.rundir))} && {shlex.join(self.command)}"


def prepare(
    cfg: Path,
    ocean_ranks: int,
    coupler_ranks: int,
    rundir: Path | None = None,
    ocean: Path | None = None,
    link: Sequence[Path] = (),
    overwrite: bool = False,
    transport: str | None = None,
    trace: bool = False,
) -> Job:
    """Fill a run folder from CFG: its files as links, the namelist as a copy, and the command to start.

    transport: in place of cn_transport, written into the copy, which both sides read; trace: the same with ln_trace.

    Raises HaloclineError when something is missing, when the run folder holds an earlier run and `overwrite` is not
    set, or when the namelist has errors (before anything is written).
    """
    namelist = settings.config_file(cfg)
    table_of_switches = settings.load(cfg)
    if transport not in (None, "mpi", "oasis"):
        raise HaloclineError(f"transport '{transport}' is unknown. Allowed: mpi, oasis.")
    over_oasis = (transport or table_of_switches.namcpl.cn_transport) == "oasis" and coupler_ranks > 0
    program = executable(ocean, table_of_switches.namcpl.cn_exe, namelist.parent, over_oasis)
    if coupler_ranks and program.name in ("gyre.exe", "gyre_oasis.exe"):
        check_coupled(table_of_switches)
    starter = launcher()
    if rundir is None:
        rundir = Path("runs") / namelist.resolve().parent.name
    rundir = rundir.resolve()
    if rundir == namelist.resolve().parent:
        raise HaloclineError(f"the run folder {rundir} is the configuration itself. Give another one with --rundir.")
    missing = [path for path in link if not path.exists()]
    if missing:
        raise HaloclineError(f"no file {missing[0]} to link into the run folder (--link).")
    if rundir.exists() and not rundir.is_dir():
        raise HaloclineError(f"{rundir} is a file, not a run folder. Give a folder with --rundir.")
    if rundir.exists() and any(rundir.iterdir()):
        if not overwrite:
            raise HaloclineError(
                f"the run folder {rundir} is not empty. Give another one with --rundir, or add --overwrite."
            )
        if not (rundir / "namelist_cfg").exists():
            raise HaloclineError(f"{rundir} does not look like a run folder (no namelist_cfg); it is not emptied.")
        shutil.rmtree(rundir)
    try:
        fill(rundir, cfg, link, transport, trace)
    except OSError as error:
        raise HaloclineError(
            f"cannot make the run folder {rundir}: {error.strerror}. Give another one with --rundir."
        ) from None
    table_of_switches = settings.load(rundir)
    environment = {key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()}
    environment["HALOCLINE_REVISION"] = revision()
    environment["HALOCLINE_TIMEOUT_START"] = f"{table_of_switches.namcpl.rn_timeout_start:g}"
    if over_oasis:
        namcouple = rundir / "namcouple"
        if namcouple.is_symlink():  # the user's own stays as it is
            text = namcouple.read_text(encoding="utf-8")
            namcouple.unlink()
            namcouple.write_text(text, encoding="utf-8")
        write(table_of_switches, describe(program, rundir, environment), namcouple)
    command = _command(starter, program, ocean_ranks, coupler_ranks, rundir)
    return Job(rundir, command, environment, coupler_ranks > 0, ocean_ranks, table_of_switches.namlog)


def fill(rundir: Path, cfg: Path, link: Sequence[Path], transport: str | None, trace: bool = False) -> None:
    """The files of CFG and of `link` as links in a run folder, the namelist as a copy, and our namelist_ref if it has none."""
    rundir.mkdir(parents=True, exist_ok=True)
    if cfg.is_dir():
        for path in sorted(cfg.iterdir()):
            if path.name != "namelist_cfg" and path.is_file():
                (rundir / path.name).symlink_to(path.resolve())
    text = settings.config_file(cfg).read_text(encoding="utf-8", errors="replace")
    changes = [("namcpl", "cn_transport", f"'{transport}'")] if transport else []
    for change in [*changes, *([("namlog", "ln_trace", ".true.")] if trace else [])]:
        text = _with_switch(text, settings.config_file(cfg), *change)
    (rundir / "namelist_cfg").write_text(text, encoding="utf-8")
    shared = REPOSITORY / "namelists" / "namelist_ref"
    if not (rundir / "namelist_ref").exists() and shared.exists():
        shutil.copyfile(shared, rundir / "namelist_ref")
    for path in link:
        target = rundir / path.name
        target.unlink(missing_ok=True)
        target.symlink_to(path.resolve())


def _with_switch(text: str, namelist: Path, name: str, key: str, value: str) -> str:
    """The text of a namelist, with another value in one of its groups. namelist: the file that it was read from."""
    groups = [group for group in read_groups(namelist) if group.name == name]
    return with_value(text, groups[0], key, value) if groups else f"{text}\n&{name} {key} = {value} /\n"


def _command(starter: str, program: Path, ocean_ranks: int, coupler_ranks: int, rundir: Path) -> list[str]:
    """The launch of both programs; for srun the list of programs goes to a file."""
    couple = [sys.executable, "-P", "-m", "coupler.cli", "couple", "."]
    if Path(starter).name == "srun":
        rows = [f"0-{ocean_ranks - 1} {program}"]
        if coupler_ranks:
            rows.append(f"{ocean_ranks}-{ocean_ranks + coupler_ranks - 1} {shlex.join(couple)}")
        (rundir / "halocline.multiprog").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return [
            starter,
            "-n",
            str(ocean_ranks + coupler_ranks),
            "--kill-on-bad-exit=1",
            "--multi-prog",
            "halocline.multiprog",
        ]
    command = [starter, "-np", str(ocean_ranks), str(program)]
    if coupler_ranks:
        command += [":", "-np", str(coupler_ranks), *couple]
    return command


class Screen(Console):
    """A console whose reader may leave: the run goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on; also the interpreter when it ends."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(job: Job, console: Console) -> None:
    """Run the job with progress on the terminal, then the table of where the time went.

    SIGTERM to this process ends a coupled run early, with restarts on both sides; a second one, Ctrl-C or a terminal that is
    closed (but under nohup) ends the job at once.
    Raises HaloclineError when the job fails: a side ended with an error, or without its end marker.
    """
    for name in MARKS:
        (job.rundir / name).unlink(missing_ok=True)
    log = job.rundir / "run.log"
    start = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            job.command,
            cwd=job.rundir,
            env={**inherited(), **job.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        previous = _listen(job, console)
        try:
            watch(job.rundir, job.log, process, console)
        except BaseException as error:
            _end(process)
            if job.coupled:
                close_log(job.rundir, str(error) or f"`halocline run` was ended: {type(error).__name__}")
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        why = _why(job, log, process.returncode)
        if job.coupled:
            close_log(job.rundir, why)
        raise HaloclineError(why)
    end = read_end(job.rundir) if job.coupled else {}
    missing = [side for side in ("ocean", "coupler") if side not in end] if job.coupled else []
    if missing:
        why = (
            f"the job ended with exit code 0 but without the end marker of the {' and the '.join(missing)} "
            f"(halocline.{missing[0]}.json in {job.rundir}).\n  Look at {log}. Does the model call cpl_finalize?"
        )
        close_log(job.rundir, why)
        raise HaloclineError(why)
    console.print(f"run ended well after {seconds:.1f} s in {_short(job.rundir)}")
    if end:
        add_ocean(job.rundir, end["ocean"])
        for line in early(end):
            console.print(line, highlight=False, soft_wrap=True)
        console.print(table(end))
        for line in interventions(end):
            console.print(line, highlight=False)


def _listen(job: Job, console: Console) -> dict[signal.Signals, Any]:
    """Take the signals that end the job; returns what took them before. Only the main thread can: others leave them to it."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    end_now = partial(_end_now, job)
    wanted = {signal.SIGTERM: partial(_terminated, job, console), signal.SIGINT: end_now, signal.SIGHUP: end_now}
    return {
        number: signal.signal(number, handler)
        for number, handler in wanted.items()
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup, a shell's background
    }


def _end(process: subprocess.Popen) -> None:
    """End the launcher, which ends the ranks."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _terminated(job: Job, console: Console, number: int, frame: FrameType | None) -> None:
    """SIGTERM: ask the coupler for an early end; the second time, or without a coupler, end the job."""
    signal.signal(number, partial(_end_now, job))
    if not job.coupled:
        _end_now(job, number, frame)
    (job.rundir / STOP_FILE).touch()
    console.print(
        "SIGTERM: both sides are asked to write restarts and end; once more ends the job at once", highlight=False
    )


def _end_now(job: Job, number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    raise HaloclineError(f"the job was ended by signal {number} ({name}) to `halocline run`.{_left(job)}")


def _why(job: Job, log: Path, code: int) -> str:
    """The cause of a failure in words: the abort message, or else the last lines of the log."""
    try:
        told = (job.rundir / "halocline.abort").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        told = ""
    text = log.read_text(encoding="utf-8", errors="replace")
    cause = told or death.cause(text, code, job.ocean_ranks, job.rundir)
    if not cause or (code == 128 + signal.SIGALRM and not told):
        cause = "no side left a message; the last lines of the log:\n    " + "\n    ".join(text.splitlines()[-12:])
        if code == 128 + signal.SIGALRM:
            cause = (
                "MPI_Init did not return within rn_timeout_start: a program of the launch never called it. Is the "
                "executable an MPI program, of the same MPI as mpi4py?"
            )
    if re.search(r"file '[^/'][^']*' does not exist", cause):
        cause += "\n  The run folder lacks it: `halocline run ... --link FILE` puts a file of your own there."
    return f"{cause}{_left(job)}\n  The job ended with exit code {code}; everything it printed is in {_short(log)}."


def _left(job: Job) -> str:
    """How far a run came that failed, and from where it is continued; nothing if it made no step."""
    try:
        shown = json.loads((job.rundir / "halocline.progress").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    kt = last_restarts(job.rundir)
    rest = f"Both sides have left restarts of step {kt}. {go_on(kt)}" if kt else "It left no restarts of both sides."
    return f"\n  It had reached step {max(shown['kt'], kt)} or a later one. {rest}"


def _short(path: Path) -> str:
    """A path relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
