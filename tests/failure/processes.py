"""The processes of one job, found by the folder that they work in: other jobs of the machine are not touched."""

import os
import signal
import time
from pathlib import Path


def processes_in(folder: Path) -> dict[int, str]:
    """Process -> command line, of those whose working folder is `folder`."""
    found = {}
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if cwd.resolve() == folder.resolve():
                found[int(cwd.parent.name)] = (cwd.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it ended by itself
    return found


def launcher(folder: Path) -> list[int]:
    """mpirun of the job; empty when it has ended."""
    return [pid for pid, line in processes_in(folder).items() if Path(line.split(" ")[0]).name == "mpirun"]


def ranks(folder: Path) -> list[int]:
    """The processes that are ranks of the job."""
    found = []
    for pid in processes_in(folder):
        try:
            if b"OMPI_COMM_WORLD_RANK=" in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def tell(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_for(path: Path, process, seconds: float = 60.0) -> None:
    """Until the file is there, or the job has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
