"""A command of `halocline` as a process of its own: trainings and assimilations run side by side so."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coupler.errors import HaloclineError

LAST = 12  # lines of the log that a message shows


def command(words: Sequence[str], log: Path, core: int | None = None) -> None:
    """Run `halocline WORDS`, its output to `log`; core: bind it, and all that it starts, to one core.

    HaloclineError with the last lines of the log when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-P", "-m", "coupler.cli", *words]
    if core is not None:
        line = ["taskset", "-c", str(core), *line]
    with log.open("wb") as out:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=os.environ)
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]
        raise HaloclineError(
            f"`halocline {' '.join(words)}` failed (exit code {done.returncode}):\n    "
            + "\n    ".join(tail)
            + f"\n  Everything it printed is in {log}."
        )
