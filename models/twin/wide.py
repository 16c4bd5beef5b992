"""A field with cells round the interior, and the neighbours of its cells."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

HALO = 2  # cells round the grid that a step reads; the widest stencil is that of the biharmonic friction


class Wide(NamedTuple):
    """values (..., J, I): `lo` cells lie before the interior and `hi` after it, along j and along i."""

    values: Tensor
    lo: int
    hi: int

    def at(self, di: int = 0, dj: int = 0, lo: int = 0, hi: int = 0) -> Tensor:
        """The neighbour `di` columns east and `dj` rows north of each cell of the interior, widened by `lo` and `hi`."""
        rows, columns = self.values.shape[-2:]
        j, i = self.lo - lo + dj, self.lo - lo + di
        return self.values[..., j : rows - self.hi + hi + dj, i : columns - self.hi + hi + di]


def widen(x: Tensor, cyclic: bool, land: float = 0.0) -> Wide:
    """A field of the grid (..., nj, ni) with its halo: what lies beyond a closed edge is land and has the value `land`.

    The rows beyond the south and the north are land on every grid of the twin.
    """
    if cyclic:
        x = torch.cat([x[..., -HALO:], x, x[..., :HALO]], dim=-1)
        return Wide(pad(x, (0, 0, HALO, HALO), value=land), HALO, HALO)
    return Wide(pad(x, (HALO, HALO, HALO, HALO), value=land), HALO, HALO)
