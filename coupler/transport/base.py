"""What every transport offers to the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from coupler.exchange import Plan
from coupler.grid import Ownership
from coupler.handshake import GridPart, Handshake


@dataclass(frozen=True)
class Header:
    """What travels with every message to the coupler."""

    kt: int
    restart: bool
    last: bool


OK, HELD, FALLBACK, INACTIVE = 0, 1, 2, 3


class Transport(Protocol):
    """Moves exchanges between the ocean and this coupler rank; never waits longer than its time-out."""

    rank: int
    size: int

    def handshake(self) -> Handshake:
        """The ocean's description of itself, the same on every coupler rank."""

    def ownership(self, part: GridPart) -> Ownership:
        """Which rank of the other side holds each cell of a grid."""

    def define(self, plans: Sequence[Plan], wire: int, timeout: float) -> None:
        """Tell the ocean which exchanges there are, and make the messages ready."""

    def receive(self, plan: Plan, kt: int) -> Header | None:
        """Fill the stack of a plan with the fields of step `kt`; None on a rank without a peer."""

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """Send the stack of a plan as the answer to step `kt`."""

    def gather(self, value: Any) -> list[Any] | None:
        """Values of all coupler ranks on rank 0, None elsewhere."""

    def abort(self, message: str) -> None:
        """End the whole job: one message, a non-zero exit code."""

    def finish(self) -> None:
        """Complete what is under way; waits for nobody."""
