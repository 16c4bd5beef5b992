"""How far the run is, in a small file."""

import json
import time
from pathlib import Path

from coupler.handshake import Handshake

PROGRESS_FILE = Path("halocline.progress")


class Progress:
    """Leaves the step and the date in a small file twice a second, for `halocline run` to show."""

    def __init__(self, shake: Handshake) -> None:
        """Start the clock at the first step."""
        self._shake, self._start, self._shown = shake, time.perf_counter(), 0.0

    def show(self, kt: int) -> None:
        """Write the file when the last time is half a second ago."""
        now = time.perf_counter()
        if now - self._shown < 0.5:
            return
        self._shown = now
        line = {
            "kt": kt,
            "first": self._shake.time.nn_it000,
            "last": self._shake.time.nn_itend,
            "date": self._shake.date(kt).isoformat(" "),
            "seconds": round(now - self._start, 3),
        }
        PROGRESS_FILE.write_text(json.dumps(line), encoding="utf-8")
