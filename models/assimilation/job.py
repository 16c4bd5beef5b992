"""The ocean of a twin experiment or of a training, as a job beside this process: started, watched, ended."""

import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, TracebackType

from rich.console import Console

from coupler import launch
from coupler.errors import HaloclineError
from coupler.log import ABORT_FILE
from models.console import PLAIN_WIDTH

POLL = 0.001  # seconds between looks for a file: a window takes about 50 ms
SILENCE = 600.0  # longest wait for a background [s]


class OceanJob:
    """Runs a job in a child process, as `halocline run` does. A context manager: on leaving with an error the job is ended.

    beside: what the ocean runs for, 'training' or 'experiment'; an ocean that waits for it reads of its end in ABORT_FILE.
    `launched` starts it (launch.run, or a stand-in that can be pickled by name: (job, console) -> None).
    """

    def __init__(
        self, job: launch.Job, beside: str, launched: Callable[[launch.Job, Console], None] = launch.run
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.job, self.beside = job, beside
        self._here, there = context.Pipe(duplex=False)
        self._process = context.Process(target=_child, args=(launched, job, there), daemon=True)

    def __enter__(self) -> "OceanJob":
        self._process.start()
        return self

    def wait_for(self, path: Path, limit: float = SILENCE) -> None:
        """Return when the file is there. HaloclineError with the job's message when it has died, or `limit` [s] are over."""
        until = time.monotonic() + limit
        while not path.exists():
            if not self._process.is_alive() and not path.exists():
                raise HaloclineError(f"{self._ended()}\n  The ocean ended before it wrote {path.name}.")
            if time.monotonic() > until:
                raise HaloclineError(
                    f"the ocean has not written {path.name} in {limit:g} s.\n  Look at ocean.output and run.log in {path.parent}: "
                    "does this executable know &nam_asminc (make fortran)?"
                )
            time.sleep(POLL)

    def finish(self, limit: float = SILENCE) -> str:
        """Wait for the end of the job; what `halocline run` would have printed. HaloclineError when it failed."""
        self._process.join(limit)
        if self._process.is_alive():
            raise HaloclineError(f"the ocean in {self.job.rundir} did not end within {limit:g} s of its last window.")
        text = self._ended()
        if self._process.exitcode:
            raise HaloclineError(text)
        return text

    def _ended(self) -> str:
        self._process.join()
        killed = f"the process that ran the ocean in {self.job.rundir} was killed (exit code {self._process.exitcode})."
        try:
            return self._here.recv_bytes().decode() if self._here.poll() else killed
        except EOFError:  # SIGKILL
            return killed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._say_why(error)
        for patience in (1.0, 10.0):  # the first SIGTERM asks for an early end, the second ends the job at once [s]
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._here.close()

    def _say_why(self, error: BaseException) -> None:
        """For a coupled ocean, which waits for increments that will not come; the cause that a side has left is the first one."""
        path = self.job.rundir / ABORT_FILE
        part, words = path.with_name(f"{path.name}.part"), str(error) or type(error).__name__
        with suppress(OSError):  # a disk that takes nothing more keeps no ocean from its end
            if not path.exists():
                part.write_text(f"the {self.beside} has ended: {words}\n", encoding="utf-8")
                part.replace(path)


def _child(launched: Callable[[launch.Job, Console], None], job: launch.Job, there: Connection) -> None:
    """The child: SIGTERM ends the job, too; its last words go through the pipe."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    said = io.StringIO()
    try:
        launched(job, Console(file=said, width=PLAIN_WIDTH))
    except HaloclineError as error:
        there.send_bytes(str(error).encode())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    there.send_bytes(said.getvalue().encode())


def _outlive_nobody() -> None:
    """Of the child: a parent that was killed (SIGKILL, out of memory) ends the job as `OceanJob.__exit__` would have."""
    if (parent := multiprocessing.parent_process()) is None:
        return
    parent.join()
    for patience in (1.0, 10.0):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience)
