"""Wall-clock timers, separated into work and waiting."""

from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

from coupler.trace import Trace, write

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Timers:
    """Seconds per phase on this rank. Phases nest; the time of an inner one is not the outer one's, so that all add up.

    A phase of one network is called 'PHASE NETWORK'. trace: takes every phase with its begin and end, None: nobody does.
    One `with` block costs 0.4 us, 0.7 us with a trace.
    """

    def __init__(self) -> None:
        """Start with every phase at zero; `total` counts from here."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.start = perf_counter()
        self.trace: Trace | None = None
        self._open: list[list] = []  # name, begin, seconds of inner phases
        self._phases: dict[str, Phase] = {}

    def __call__(self, phase: str) -> "Phase":
        """Add the time spent inside the `with` block to `phase`."""
        if phase not in self._phases:
            self._phases[phase] = Phase(self, phase)
        return self._phases[phase]

    def step(self, kt: int) -> "Phase":
        """The phase 'step', whose own time is that between all others; a trace notes which step it is."""
        if self.trace is not None:
            self.trace.kt = kt
        return self("step")

    def around(self, phase: str, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """`function`, timed as `phase`."""

        def timed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with self(phase):
                return function(*args, **kwargs)

        return timed

    def begin(self, phase: str) -> None:
        """Enter a phase."""
        self._open.append([phase, perf_counter(), 0.0])

    def end(self) -> None:
        """Leave the phase that was entered last."""
        now = perf_counter()
        phase, begin, inner = self._open.pop()
        self.seconds[phase] += now - begin - inner
        if self._open:
            self._open[-1][2] += now - begin
        if self.trace is not None:
            self.trace.add(phase, begin, now)

    def unfinished(self) -> list[tuple[str, float]]:
        """Phases that are not left yet, outer first, each with its begin."""
        return [(phase, begin) for phase, begin, _ in self._open]

    def total(self) -> float:
        """Seconds since this object was made."""
        return perf_counter() - self.start


class Phase:
    """The `with` block of one phase."""

    __slots__ = ("_name", "_timers")

    def __init__(self, timers: Timers, name: str) -> None:
        self._timers, self._name = timers, name

    def __enter__(self) -> None:
        self._timers.begin(self._name)

    def __exit__(self, *error: object) -> None:
        self._timers.end()


def write_alone(timers: Timers) -> None:
    """The trace of this rank by itself, where the run ends with an error and the others are not asked."""
    if timers.trace is not None:
        track = timers.trace.close(timers.unfinished())
        write([track], {"ended": "with an error; this is the rank that saw it", "seconds": dict(timers.seconds)})


def of_phase(seconds: dict[str, float], phase: str) -> float:
    """Seconds of a phase, over all its networks."""
    return sum(value for name, value in seconds.items() if name.split(" ")[0] == phase)


def by_network(seconds: dict[str, float], phase: str) -> dict[str, float]:
    """Network -> seconds of a phase."""
    parts = {name.partition(" ")[::2]: value for name, value in seconds.items()}
    return {network: value for (name, network), value in parts.items() if name == phase and network}
