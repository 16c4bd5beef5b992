"""The state of the twin: two time levels, with any number of members in front."""

from typing import NamedTuple

import torch
from torch import Tensor


class Level(NamedTuple):
    """One time level: u, v [m s-1], h [m] (..., k, nj, ni); t [degC] (..., 1, nj, ni). Land: u, v, t 0, h at rest."""

    u: Tensor
    v: Tensor
    h: Tensor
    t: Tensor

    def map(self, change) -> "Level":  # type: ignore[no-untyped-def]  # a function of one tensor
        """The level with `change` applied to each field."""
        return Level(*map(change, self))


class State(NamedTuple):
    """The before and the now level. A run begins with a forward step when both are equal and `forward` says so."""

    before: Level
    now: Level

    def detach(self) -> "State":
        """The same values, cut from the graph."""
        return State(*(level.map(Tensor.detach) for level in self))

    def to(self, dtype: torch.dtype, device: torch.device | str | None = None) -> "State":
        """The same in another precision or on another device."""
        return State(*(level.map(lambda x: x.to(dtype=dtype, device=device)) for level in self))


class Tendency(NamedTuple):
    """What a closure adds: du, dv [m s-2] (..., k, nj, ni); dt [degC s-1] (..., 1, nj, ni) or None."""

    du: Tensor
    dv: Tensor
    dt: Tensor | None = None
