"""Wall-clock timers, separated into work and waiting."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Timers:
    """Seconds per phase on this rank."""

    def __init__(self) -> None:
        """Start with every phase at zero; `total` counts from here."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.start = perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Add the time spent inside the `with` block to `phase`."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += perf_counter() - start

    def total(self) -> float:
        """Seconds since this object was made."""
        return perf_counter() - self.start
