"""When a field travels, and the refusals that OASIS would make by stopping the job."""

from dataclasses import dataclass, field
from operator import index

from coupler.oasis.exceptions import PyOasisException


@dataclass
class Coupling:
    """One use of a variable: every `period`, at times t with (t + lag) % period == 0; `last` is the latest."""

    name: str
    period: int
    lag: int = 0
    last: int | None = None

    def due(self, time: int) -> bool:
        """True where it travels at `time`."""
        return (time + self.lag) % self.period == 0

    def next(self) -> int:
        """First time after the last one, or from the start of the run."""
        if self.last is not None:
            return self.last + self.period
        return -self.lag % self.period


@dataclass
class Clock:
    """Times [unit of the namcouple] of one component; unit: what one unit of OASIS is worth."""

    runtime: int
    unit: int = 1
    where: str = "namcouple"
    latest: int = 0
    couplings: list[Coupling] = field(default_factory=list)

    def check(self, time: int, name: str, own: list[Coupling]) -> bool:
        """True where a put or get of variable `name` at `time` exchanges something.

        Raises PyOasisException for a time at or after $RUNTIME, before the latest exchange, or after one left out.
        """
        try:
            time = index(time)
        except TypeError:
            raise PyOasisException(
                f"'{name}': the time {time!r} is not an integer; OASIS counts whole seconds."
            ) from None
        if not 0 <= time < self.runtime:
            raise PyOasisException(
                f"'{name}' at time {time}: allowed are 0 to {self.runtime - 1}, because $RUNTIME in {self.where} is "
                f"{self.runtime} and the exchange of the last period happens before it. Stop the loop earlier or raise $RUNTIME."
            )
        if time < self.latest:
            raise PyOasisException(
                f"'{name}' at time {time}: this component has already exchanged at time {self.latest}; OASIS never goes back."
            )
        for coupling in self.couplings:
            if coupling.last is not None and time > coupling.last + coupling.period:
                raise PyOasisException(
                    f"'{name}' at time {time}: '{coupling.name}' travels every {coupling.period} and was left out at time "
                    f"{coupling.last + coupling.period}. Put and get every field at every coupling time."
                )
        return any(coupling.due(time) for coupling in own)

    def done(self, time: int, own: list[Coupling]) -> None:
        """An exchange happened."""
        self.latest = time
        for coupling in own:
            if coupling.due(time):
                coupling.last = time

    def missing(self) -> Coupling | None:
        """A coupling whose other side still waits for an exchange, or None: then leaving hurts nobody."""
        left = [item for item in self.couplings if item.next() < self.runtime and item.next() + item.lag < self.runtime]
        return min(left, key=Coupling.next, default=None)
