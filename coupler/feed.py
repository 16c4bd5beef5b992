"""An input of a network: made from the stack of its exchange, each time its field has arrived."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from coupler.contract import InputSpec, OutputSpec
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field
from coupler.land import REACH, mask_name, mask_of, nearest_wet, replicate
from coupler.links import Link
from coupler.stagger import to_point


@dataclass(frozen=True)
class Feed:
    """One input (k, J, I): how it is made, where it lies, and whether once is enough."""

    array: np.ndarray
    make: Callable[[], np.ndarray] | None
    static: bool

    def update(self) -> None:
        """Bring the array up to date; nothing to do where the network reads the stack itself."""
        if self.make is not None:
            self.array[...] = self.make()


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
    moved = int(field.point != spec.point)
    reach = REACH if spec.fill == "replicate" else 0
    halo = halo_of(spec, field, radius)
    view = inner(link.cut(plan.views[link.field]), plan.exchange.halo - halo)
    mask = mask_of(received, field, halo)
    if mask is None and (reach or (moved and spec.interpolate == "masked")):
        raise HaloclineError(
            f"input '{spec.name}' of network '{network}' needs the mask of the {field.point} points (fill 'replicate', or "
            f"a masked mean), and none travels. Add '{mask_name(field)}' to a static exchange."
        )
    if not moved and not reach:
        direct = view.dtype == dtype and view.flags.c_contiguous
        return Feed(
            view if direct else np.empty(view.shape, dtype), None if direct else lambda: view, plan.exchange.static
        )
    nearest: list[np.ndarray] = []

    def make() -> np.ndarray:
        values = view
        if reach and mask is not None:
            if not nearest:  # once, when the mask has arrived
                nearest.append(np.stack([nearest_wet(level) for level in mask]))
            values = replicate(view, nearest[0])
        if moved:
            weights = mask if spec.interpolate == "masked" and not reach else None
            values = to_point(values, field.point, spec.point, weights)
        return values

    shrink = 2 * (moved + reach)
    shape = (view.shape[0], view.shape[1] - shrink, view.shape[2] - shrink)
    return Feed(np.empty(shape, dtype), make, plan.exchange.static)


def inner(view: np.ndarray, cells: int) -> np.ndarray:
    """A padded block (levels, J, I) without its outer `cells`."""
    return view if cells == 0 else view[:, cells : view.shape[1] - cells, cells : view.shape[2] - cells]
