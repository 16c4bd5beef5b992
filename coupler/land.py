"""What networks see under land and beyond closed edges: a number, or the nearest wet value."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coupler.exchange import Plan
from coupler.fields import Field

MASKS = {"T": "tmask", "U": "umask", "V": "vmask", "F": "fmask", "W": "wmask"}
REACH = 4  # cells that `replicate` looks around a dry cell; further in, the fill is zero


def mask_name(field: Field) -> str:
    """The mask of a field: tmask, umask, ... on the first grid, tmask_2, ... on the second."""
    return MASKS[field.point] if field.grid == 1 else f"{MASKS[field.point]}_{field.grid}"


def mask_of(received: Mapping[str, Plan], field: Field, halo: int) -> np.ndarray | None:
    """The static mask of a field, (1 or k, J, I) with `halo` cells around the subdomain; None where none travels."""
    plan = received.get(mask_name(field))
    if plan is None or not plan.exchange.static or plan.exchange.halo < halo:
        return None
    cut = plan.exchange.halo - halo
    view = plan.views[mask_name(field)]
    return view if cut == 0 else view[:, cut:-cut, cut:-cut]


@dataclass(frozen=True)
class LandFill:
    """Writes the fill of a field under land, each time after the field has arrived."""

    view: np.ndarray
    dry: np.ndarray
    value: float

    def apply(self) -> None:
        """Overwrite the dry cells of the view (k, J, I)."""
        np.copyto(self.view, self.value, where=self.dry)


def land_fills(plan: Plan, received: Mapping[str, Plan], fill: Mapping[str, float]) -> list[LandFill]:
    """The fills of one exchange: fields that change in time, have a number as fill, and whose mask travels."""
    if plan.exchange.static:
        return []
    fills = []
    for field in plan.exchange.fields:
        mask = mask_of(received, field, plan.exchange.halo)
        if mask is not None and field.name in fill:
            view = plan.views[field.name]
            fills.append(LandFill(view, np.broadcast_to(mask == 0, view.shape).copy(), fill[field.name]))
    return fills


def nearest_wet(mask: np.ndarray) -> np.ndarray:
    """Index of the nearest wet cell of every cell of a level, without the outer REACH cells.

    mask: (J, I), zero on land. Returns (J - 2 REACH, I - 2 REACH) flat indices into (J, I); -1 where no cell within REACH
    is wet. Of equally near cells the southernmost, then the westernmost is taken, so that the choice does not depend on the cut.
    """
    nj, ni = mask.shape
    flat = np.arange(nj * ni).reshape(nj, ni)
    inner = (slice(REACH, nj - REACH), slice(REACH, ni - REACH))
    found = np.where(mask[inner] != 0, flat[inner], -1)
    around = range(-REACH, REACH + 1)
    offsets = [(j, i) for j in around for i in around if 0 < j * j + i * i <= REACH * REACH]
    for j, i in sorted(offsets, key=lambda o: (o[0] ** 2 + o[1] ** 2, o)):
        part = (slice(REACH + j, nj - REACH + j), slice(REACH + i, ni - REACH + i))
        take = (found < 0) & (mask[part] != 0)
        found[take] = flat[part][take]
    return found


def replicate(view: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values (k, j, i) of a view (k, J, I) through the indices of `nearest_wet`, one per level or one for all."""
    planes = view.reshape(view.shape[0], -1)
    index = np.broadcast_to(index, (view.shape[0], *index.shape[1:]))
    values = np.take_along_axis(planes, np.where(index < 0, 0, index).reshape(view.shape[0], -1), axis=1)
    return np.where(index < 0, view.dtype.type(0), values.reshape(index.shape))
