"""What every transport offers to the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from coupler.exchange import Plan
from coupler.grid import Ownership
from coupler.handshake import GridPart, Handshake
from coupler.stop import Stop

if TYPE_CHECKING:  # relay.py needs MPI, who reads a header does not
    from coupler.transport.relay import Relay


@dataclass(frozen=True)
class Header:
    """What travels with every message to the coupler.

    kt: its step; restart: the last step, since the message before of this exchange, at whose end the ocean writes a restart (0:
    none); last: no message of this exchange follows; end: the step after which the run ends, where that is earlier than the
    handshake said (0: it is not).
    """

    kt: int
    restart: int
    last: bool
    end: int = 0


OK, HELD, FALLBACK, INACTIVE = 0, 1, 2, 3


class Transport(Protocol):
    """Moves exchanges between the ocean and this coupler rank; never waits longer than its time-out."""

    rank: int
    size: int
    local_rank: int  # place among the coupler ranks of this node
    stop: Stop  # a wish to end early, told with every answer

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

    def share(self, value: Any) -> Any:
        """The value of rank 0, on every coupler rank. Collective."""

    def allsum(self, values: np.ndarray) -> np.ndarray:
        """Sum of int64 arrays over all coupler ranks, on every rank; the same for any number of ranks. Collective."""

    def relay(self, plan: Plan) -> "Relay":
        """Halo exchange between coupler ranks, for a field that one network makes and another reads. Collective."""

    def abort(self, message: str) -> None:
        """End the whole job: one message, a non-zero exit code."""

    def finish(self) -> None:
        """Complete what is under way; waits for nobody."""
