"""A wish to end early: SIGTERM, or the file halocline.stop in the run folder. The ocean is told, and both sides write restarts."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType

STOP_FILE = Path("halocline.stop")
STARTED = (
    time.time() - 5
)  # an older file is left from an earlier job; the ocean may be up a little earlier than this process


class Stop:
    """`wanted()` is true once this process got SIGTERM, or the file is there. A second SIGTERM ends the process."""

    def __init__(self, look: bool) -> None:
        """look: for the file too, twice a second; one rank is enough."""
        self._look, self._wanted, self._looked = look, False, 0.0
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._caught)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True
        signal.signal(number, signal.SIG_DFL)

    def wanted(self) -> bool:
        """Has anybody asked for an early end?"""
        now = time.monotonic()
        if self._look and not self._wanted and now - self._looked > 0.5:
            self._looked = now
            try:
                self._wanted = STOP_FILE.stat().st_mtime >= STARTED
            except OSError:
                self._wanted = False
        return self._wanted
