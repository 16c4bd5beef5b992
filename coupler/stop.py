"""A wish to end early: SIGTERM, the file halocline.stop in the run folder, or rn_walltime. Both sides then write restarts."""

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

STOP_FILE = Path("halocline.stop")
CAUGHT = "the coupler got SIGTERM"
STARTED = (
    time.time() - 5
)  # an older file is left from an earlier job; the ocean may be up a little earlier than this process

# From the wish to the end: the answer that tells it, the ocean's sum over its ranks, its last step; one more with a lag.
STEPS = 4
FINISH = 5.0  # seconds that files and timers may take after the last step
UNKNOWN = 0.05, 60.0  # share of the limit, at most so many seconds: a restart, before one was measured


class Stop:
    """`wanted()` is true once somebody asked for an early end, or the wall-clock limit is near; `reason` says which.

    Nothing is caught before `listen`. A second SIGTERM ends the process.
    """

    def __init__(self, walltime: float = 0.0) -> None:
        """walltime: rn_walltime, seconds since this process started; 0: no limit."""
        self.reason = ""
        self._walltime, self._lead, self._caught, self._looked = walltime, False, False, 0.0
        self._step = self._restart = self._writing = 0.0  # longest so far [s]; the interval in which one was begun
        self._last: float | None = None

    def listen(self, lead: bool) -> None:
        """From now on SIGTERM is a wish. lead: this rank looks for the file and at the clock; others tell it by the file."""
        self._lead = lead
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._catch)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self._caught = True
        signal.signal(number, signal.SIG_DFL)
        if self._lead:
            os.write(2, f"halocline: {CAUGHT}\n".encode())

    def wanted(self) -> bool:
        """Has anybody asked for an early end, or is it time?"""
        if not self.reason and self._caught:
            self._say("SIGTERM to the coupler")
            if not self._lead:
                STOP_FILE.touch()  # over OASIS only the leading rank speaks with the ocean
        if self._lead and not self.reason:
            self._look()
        return bool(self.reason)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked > 0.5:
            self._looked = now
            try:
                if STOP_FILE.stat().st_mtime >= STARTED:
                    self._say(str(STOP_FILE))
            except OSError:
                pass
        if self._walltime and not self.reason:
            passed, reserve = age(), self.reserve()
            if passed + reserve > self._walltime:
                self._say(
                    f"rn_walltime = {self._walltime:g} s: {passed:.1f} s had passed, {reserve:.1f} s were kept for the end"
                )

    def _say(self, reason: str) -> None:
        self.reason = reason
        if self._lead:
            print(f"halocline: both sides are asked to write restarts and end: {reason}", flush=True)

    def reserve(self) -> float:
        """Seconds that an early end may take: steps of the longest interval between two exchanges, restarts, the files.

        Two restarts: one may be due before the next look at the clock.
        """
        share, most = UNKNOWN
        return STEPS * self._step + 2 * (self._restart or min(share * self._walltime, most)) + FINISH

    def step(self, restart: bool) -> None:
        """An exchange step has ended, `restart`: one was written in it. The ocean writes its own before the next exchange."""
        now = time.monotonic()
        if self._last is None:  # the first holds what is done once
            self._last = now
            return
        took, self._last = now - self._last, now
        if self._writing:
            self._restart, self._writing = max(self._restart, self._writing + took), 0.0
        elif not restart:
            self._step = max(self._step, took)
        if restart:
            self._writing = took


def age() -> float:
    """Seconds since this process started: MPI_Init, which waits for every program of the launch, is part of them."""
    start = int(Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")
