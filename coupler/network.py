"""A network bound to the fields of the exchanges: land, levels and staggering in, engine, scale, staggering and mask out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from coupler.contract import InputSpec
from coupler.engines.base import Engine
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field
from coupler.grid import Box
from coupler.land import REACH, mask_name, mask_of, nearest_wet, replicate
from coupler.links import Link
from coupler.stagger import to_point


@dataclass(frozen=True)
class Feed:
    """One input: how it is made, where it lies, and whether once is enough."""

    array: np.ndarray
    make: Callable[[], np.ndarray] | None
    static: bool

    def update(self) -> None:
        """Bring the array up to date; nothing to do where the network reads the stack itself."""
        if self.make is not None:
            self.array[...] = self.make()


class Network:
    """Runs an engine on this rank's subdomain.

    inputs and outputs map names of the contract to fields; outputs are brought to the point of their field, scaled, and
    set to zero where their mask is.
    """

    def __init__(
        self, name: str, engine: Engine, inputs: Mapping[str, Link], outputs: Mapping[str, Link], scale: float
    ) -> None:
        """Not usable before `bind`."""
        self.name, self.engine, self.inputs, self.outputs, self.scale = name, engine, inputs, outputs, scale
        self.period = 1
        self.grid = 1
        self._ran = False
        self._margin = 0
        self._feeds: dict[str, Feed] = {}
        self._targets: dict[str, tuple[np.ndarray, np.ndarray | None, str, str]] = {}
        self._finite: dict[str, np.ndarray] = {}

    def margin(self, into: Mapping[str, Field]) -> int:
        """Cells around the subdomain on which the network runs: 1 when an output changes its point."""
        specs = {spec.name: spec for spec in self.engine.contract.outputs}
        moved = (
            into[link.field].point != specs[name].point for name, link in self.outputs.items() if link.field in into
        )
        return int(any(moved))

    def halo(self, spec: InputSpec, field: Field, into: Mapping[str, Field]) -> int:
        """Cells of halo that an input needs: radius, one for each change of point, the reach of `replicate`."""
        reach = REACH if spec.fill == "replicate" else 0
        return self.engine.contract.radius + self.margin(into) + int(field.point != spec.point) + reach

    def bind(self, received: Mapping[str, Plan], sent: Mapping[str, Plan]) -> None:
        """Connect to the stacks: `received` and `sent` give the plan that holds a field."""
        into = {field.name: field for plan in sent.values() for field in plan.exchange.fields}
        self._margin = self.margin(into)
        for spec in self.engine.contract.inputs:
            self._feeds[spec.name] = self._feed(spec, received)
        for out in self.engine.contract.outputs:
            link = self.outputs[out.name]
            field = into[link.field]
            mask = None
            if field.point != out.point:
                mask = mask_of(received, field, 0)
            elif out.mask is not None:
                source = self.inputs[out.mask].field
                mask = _inner(received[source].views[source], received[source].exchange.halo)
            target = link.cut(sent[link.field].views[link.field])
            self._targets[out.name] = (target, mask, out.point, field.point)
            self._finite[out.name] = np.ones(target.shape, bool)
        if not self._feeds:  # a network without inputs (null) takes the sizes of its first output
            view = next(iter(self._targets.values()))[0]
            self._feeds["sizes"] = Feed(view, None, static=True)

    def _feed(self, spec: InputSpec, received: Mapping[str, Plan]) -> Feed:
        """How one input is made from the stack of its exchange: nearest wet values, then the other point, then the type."""
        link = self.inputs[spec.name]
        plan = received[link.field]
        field = next(item for item in plan.exchange.fields if item.name == link.field)
        moved = int(field.point != spec.point)
        reach = REACH if spec.fill == "replicate" else 0
        halo = self.engine.contract.radius + self._margin + moved + reach
        view = _inner(link.cut(plan.views[link.field]), plan.exchange.halo - halo)
        mask = mask_of(received, field, halo)
        if mask is None and (reach or (moved and spec.interpolate == "masked")):
            raise HaloclineError(
                f"input '{spec.name}' of network '{self.name}' needs the mask of the {field.point} points (fill 'replicate', or "
                f"a masked mean), and none travels. Add '{mask_name(field)}' to a static exchange."
            )
        dtype = np.dtype(self.engine.contract.dtype)
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

    def take_static(self) -> None:
        """Make the static inputs once, after they have arrived."""
        for feed in self._feeds.values():
            if feed.static:
                feed.update()

    def run(self, kt: int, box: Box) -> None:
        """Inputs of step `kt` to outputs, in place.

        Raises HaloclineError when an output is not finite, with the place.
        """
        if self.engine.name == "null" and self._ran:
            return  # its zeros are there
        self._ran = True
        for feed in self._feeds.values():
            if not feed.static:
                feed.update()
        results = self.engine.run({name: feed.array for name, feed in self._feeds.items()})
        for name, (target, mask, point, wanted) in self._targets.items():
            value = results[name]
            if self._margin:
                value = to_point(value, point, wanted) if point != wanted else value[:, 1:-1, 1:-1]
            if self.scale == 1.0:
                target[...] = value
            else:
                np.multiply(value, self.scale, out=target, casting="same_kind")
            if mask is not None:
                target[np.broadcast_to(mask == 0, target.shape)] = 0.0
            if not np.isfinite(target, out=self._finite[name]).all():
                k, j, i = (int(index) for index in np.argwhere(~self._finite[name])[0])
                raise HaloclineError(
                    f"network '{self.name}' returned {target[k, j, i]} in '{name}' at (i,j,k) = "
                    f"({box.i0 + i + 1},{box.j0 + j + 1},{k + 1}), step {kt}; only finite numbers reach the ocean. "
                    "Look at the inputs there (&namdiag, cn_diag), or use another artefact."
                )


def _inner(view: np.ndarray, cells: int) -> np.ndarray:
    """A padded block (levels, J, I) without its outer `cells`."""
    return view if cells == 0 else view[:, cells : view.shape[1] - cells, cells : view.shape[2] - cells]
