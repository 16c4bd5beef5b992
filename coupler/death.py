"""What ended a job of which no side could tell: read from what the launcher printed, and from the disk."""

import re
import shutil
import signal
from pathlib import Path

from coupler.stop import CAUGHT

FULL = 64 * 1024  # bytes free, below which nothing more fits
# Open MPI's mpirun, then Slurm's srun.
BY_SIGNAL = (
    re.compile(r"process rank (\d+) with PID \d+ on node \S+ exited on\s+signal (\d+)"),
    re.compile(r"srun: error: \S+ task (\d+): (Killed|Terminated|Segmentation fault|Bus error|Aborted)"),
)
BY_CODE = (
    re.compile(r"Process name: \[\[\d+,\d+\],(\d+)\]\s+Exit code:\s+(\d+)"),
    re.compile(r"mpirun has exited due to process rank (\d+) with PID (\d+)\s+on\s+node \S+ exiting improperly"),
    re.compile(r"srun: error: \S+ task (\d+): Exited with exit code (\d+)"),
)
NAMES = {"Killed": 9, "Terminated": 15, "Segmentation fault": 11, "Bus error": 7, "Aborted": 6}
REASONS = {
    signal.SIGKILL: "Somebody killed it, or its node had no memory left (`dmesg` says so)",
    signal.SIGTERM: "Somebody, or the batch system, ended it",
    signal.SIGSEGV: "A wrong memory access: the stack limit (`ulimit -s unlimited`), or a defect; compile with -g -fbacktrace",
    signal.SIGXFSZ: "A file is larger than allowed (`ulimit -f`)",
    signal.SIGBUS: "A file that it had mapped was cut, or the memory has a fault",
}


def cause(log: str, code: int, ocean_ranks: int, rundir: Path) -> str | None:
    """A sentence on the first process that died, None where nothing is known of one.

    log: what mpirun or srun printed; code: its exit code, negative if a signal ended it.
    """
    if shutil.disk_usage(rundir).free < FULL:
        return (
            f"no space is left on the disk of {rundir}: neither side could write on. Make room there, or run elsewhere."
        )
    for pattern in BY_SIGNAL:
        found = pattern.search(log)
        if found:
            return f"{_who(int(found[1]), ocean_ranks)} {_ended_by(NAMES.get(found[2]) or int(found[2]))}"
    for pattern in BY_CODE:
        found = pattern.search(log)
        if found:
            how = "without MPI_Finalize" if "improperly" in found[0] else f"with exit code {found[2]}"
            return (
                f"{_who(int(found[1]), ocean_ranks)} left {how} before the run's end, and told nobody why. Look at its own "
                "output."
            )
    if code < 0:  # as Python tells it
        return f"the launcher {_ended_by(-code)}"
    if CAUGHT in log:  # mpirun hands it to the ranks, and kills them a second later
        return (
            "the launcher was ended, by SIGTERM as it seems. To end a run with restarts on both sides, send SIGTERM to `halocline "
            "run` or touch halocline.stop in the run folder."
        )
    # mpirun names nobody when MPI had not started.
    return f"a process of the launch {_ended_by(code - 128)}" if 128 < code < 128 + signal.NSIG else None


def _ended_by(number: int) -> str:
    """The signal, and what it may mean."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"was ended by signal {number}. Look at its output."
    return f"was ended by signal {number} ({known.name}). {REASONS.get(known, 'Look at its output')}."


def _who(rank: int, ocean_ranks: int) -> str:
    """Side and rank of a rank of the launch, in which the ocean comes first."""
    side, own = ("ocean", rank) if rank < ocean_ranks else ("coupler", rank - ocean_ranks)
    return f"rank {own} of the {side} (rank {rank} of the launch)"
