"""An input of a network: made from the stack of its exchange, each time its field has arrived."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from coupler.contract import InputSpec, OutputSpec
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field
from coupler.land import REACH, mask_name, mask_of, nearest_wet, replicate
from coupler.links import Link
from coupler.stagger import to_point

Block = TypeVar("Block")  # numpy's array or a tensor


@dataclass
class Feed:
    """One input (k, J, I): which part of which stack it is made from, what is done to that part, and where it lies.

    levels: of the stack; cut: outer cells of the stack that it does not need; source, target: points of the field and of the
    input; reach: cells around it for the nearest wet value (0: no fill 'replicate'); mask: of the field, as wide as the part;
    masked: the change of point is a masked mean. array: the input in `dtype`; the part itself where nothing has to be done.
    """

    plan: Plan
    levels: slice
    cut: int
    source: str
    target: str
    reach: int
    mask: np.ndarray | None
    masked: bool
    dtype: np.dtype
    array: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.view = inner(self.plan.stack[self.levels], self.cut)
        direct = not self.moved and not self.reach and self.view.dtype == self.dtype and self.view.flags.c_contiguous
        levels, nj, ni = self.view.shape
        shrink = 2 * (self.moved + self.reach)
        self.array = self.view if direct else np.empty((levels, nj - shrink, ni - shrink), self.dtype)

    @property
    def moved(self) -> bool:
        """True where the field lies on another point than the input."""
        return self.source != self.target

    @property
    def static(self) -> bool:
        """True where once is enough."""
        return self.plan.exchange.static

    @cached_property
    def nearest(self) -> np.ndarray:
        """(1 or k, J, I) indices of `nearest_wet`; not before the mask has arrived."""
        assert self.mask is not None
        return np.stack([nearest_wet(level) for level in self.mask])

    def update(self) -> None:
        """Bring the array up to date; nothing to do where the network reads the stack itself."""
        if self.array is self.view:
            return
        values = replicate(self.view, self.nearest) if self.reach else self.view
        if self.moved:
            to_point(values, self.source, self.target, self.mask if self.masked else None, self.array)
        else:
            self.array[...] = values


def halo_of(spec: InputSpec, field: Field | OutputSpec, radius: int) -> int:
    """Cells of halo that an input needs: `radius`, one for a change of point, the reach of `replicate`."""
    return radius + int(field.point != spec.point) + (REACH if spec.fill == "replicate" else 0)


def make_feed(
    network: str, spec: InputSpec, link: Link, radius: int, dtype: np.dtype, received: Mapping[str, Plan]
) -> Feed:
    """How one input is made from the stack of its exchange: nearest wet values, then the other point, then the type.

    radius: cells around the subdomain that the network reads. Raises HaloclineError where a mask is needed and none travels.
    """
    plan = received[link.field]
    field = next(item for item in plan.exchange.fields if item.name == link.field)
    moved = field.point != spec.point
    reach = REACH if spec.fill == "replicate" else 0
    halo = halo_of(spec, field, radius)
    mask = mask_of(received, field, halo)
    if mask is None and (reach or (moved and spec.interpolate == "masked")):
        raise HaloclineError(
            f"input '{spec.name}' of network '{network}' needs the mask of the {field.point} points (fill 'replicate', or "
            f"a masked mean), and none travels. Add '{mask_name(field)}' to a static exchange."
        )
    start, (first, last) = plan.first_level(link.field), link.levels or (1, field.levels)
    return Feed(
        plan, slice(start + first - 1, start + last), plan.exchange.halo - halo, field.point, spec.point, reach, mask,
        masked=moved and spec.interpolate == "masked" and not reach, dtype=dtype,
    )  # fmt: skip


def inner(view: Block, cells: int) -> Block:
    """A padded block (levels, J, I) without its outer `cells`."""
    nj, ni = view.shape[1:]  # type: ignore[attr-defined]
    return view if cells == 0 else view[:, cells : nj - cells, cells : ni - cells]  # type: ignore[index]
