"""A thread that ends the job when a piece of work takes too long, e.g. a network that never returns."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Calls `bark(sentence)` from its own thread when guarded work lasts longer than `timeout` seconds."""

    def __init__(self, timeout: float, bark: Callable[[str], None]) -> None:
        """Start the thread; it ends with the process."""
        self._timeout, self._bark = timeout, bark
        self._deadline: float | None = None
        self._work = ""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def __call__(self, work: str) -> Iterator[None]:
        """Guard the `with` block; `work` names it in the message."""
        self._work, self._deadline = work, time.monotonic() + self._timeout
        try:
            yield
        finally:
            self._deadline = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(0.5, self._timeout / 4))
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._bark(f"{self._work} did not return within rn_timeout = {self._timeout:g} s.")
                return
