"""A transport without an ocean: what a rank of the coupler would meet, known from a handshake. For `halocline check`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.grid import Ownership, ownership
from coupler.handshake import GridPart, Handshake
from coupler.stop import Stop
from coupler.transport.alone import Alone
from coupler.transport.base import Header


class NoRelay:
    """In the place of the halos that coupler ranks give each other."""

    timeout = 0.0

    def update(self, interior: np.ndarray) -> None:
        """Nobody is there to give anything to."""


class AbsentTransport(Alone):
    """Rank `rank` of `size` coupler ranks, before any message. Collective sums and gathers know this rank alone."""

    def __init__(self, shake: Handshake, rank: int, size: int) -> None:
        """The local rank is the rank: as on one node."""
        self.shake, self.rank, self.size, self.local_rank, self.stop = shake, rank, size, rank, Stop()

    def handshake(self) -> Handshake:
        """The handshake that was given."""
        return self.shake

    def ownership(self, part: GridPart) -> Ownership:
        """Which ocean rank owns each cell of a grid."""
        return ownership(part.grid, part.boxes)

    def define(self, plans: Sequence[Plan], wire: int, timeout: float) -> None:
        """Nobody is told."""

    def receive(self, plan: Plan, kt: int) -> Header | None:
        """HaloclineError: nothing ever comes."""
        raise HaloclineError(f"exchange '{plan.exchange.name}': there is no ocean in a check.")

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """HaloclineError: nobody takes anything."""
        raise HaloclineError(f"exchange '{plan.exchange.name}': there is no ocean in a check.")

    def relay(self, plan: Plan) -> Any:
        """A relay that moves nothing."""
        return NoRelay()

    def abort(self, message: str) -> None:
        """HaloclineError with the message."""
        raise HaloclineError(message)

    def finish(self) -> None:
        """Nothing is under way."""
