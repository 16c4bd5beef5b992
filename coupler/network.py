"""A network bound to the fields of the exchanges: views in, engine, scale and mask, views out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coupler.engines.base import Engine
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.grid import Box


@dataclass(frozen=True)
class Feed:
    """One input: the part of a stack that the network sees, and its own copy where type or halo differ."""

    view: np.ndarray
    array: np.ndarray
    static: bool

    @property
    def copied(self) -> bool:
        """True where the network reads a copy."""
        return self.array is not self.view


class Network:
    """Runs an engine on this rank's subdomain.

    inputs and outputs map names of the contract to names of fields; every output is scaled by `scale` and set to zero
    where its mask is.
    """

    def __init__(
        self, name: str, engine: Engine, inputs: Mapping[str, str], outputs: Mapping[str, str], scale: float
    ) -> None:
        """Not usable before `bind`."""
        self.name, self.engine, self.inputs, self.outputs, self.scale = name, engine, inputs, outputs, scale
        self.period = 1
        self._feeds: dict[str, Feed] = {}
        self._results: dict[str, np.ndarray] = {}
        self._masks: dict[str, np.ndarray] = {}

    def bind(self, received: Mapping[str, Plan], sent: Mapping[str, Plan]) -> None:
        """Connect to the stacks: `received` and `sent` give the plan that holds a field."""
        radius, dtype = self.engine.contract.radius, np.dtype(self.engine.contract.dtype)
        for name, field in self.inputs.items():
            plan = received[field]
            view = _trim(plan.views[field], plan.exchange.halo - radius)
            same = view.dtype == dtype and view.flags.c_contiguous
            self._feeds[name] = Feed(view, view if same else np.empty(view.shape, dtype), plan.exchange.static)
        for name, field in self.outputs.items():
            self._results[name] = sent[field].views[field]
        if not self._feeds:  # a network without inputs (null) takes the sizes of its first output
            view = next(iter(self._results.values()))
            self._feeds["sizes"] = Feed(view, view, static=True)
        for spec in self.engine.contract.outputs:
            if spec.mask is not None:
                plan = received[self.inputs[spec.mask]]
                self._masks[spec.name] = _trim(plan.views[self.inputs[spec.mask]], plan.exchange.halo)

    def take_static(self) -> None:
        """Copy the static inputs once, after they have arrived."""
        for feed in self._feeds.values():
            if feed.static and feed.copied:
                feed.array[...] = feed.view

    def run(self, kt: int, box: Box) -> None:
        """Inputs of step `kt` to outputs, in place.

        Raises HaloclineError when an output is not finite, with the place.
        """
        for feed in self._feeds.values():
            if feed.copied and not feed.static:
                feed.array[...] = feed.view
        results = self.engine.run({name: feed.array for name, feed in self._feeds.items()})
        for name, target in self._results.items():
            if self.scale == 1.0:
                target[...] = results[name]
            else:
                np.multiply(results[name], self.scale, out=target, casting="same_kind")
            mask = self._masks.get(name)
            if mask is not None:
                target[np.broadcast_to(mask == 0, target.shape)] = 0.0
            if not np.isfinite(target).all():
                k, j, i = (int(index) for index in np.argwhere(~np.isfinite(target))[0])
                raise HaloclineError(
                    f"network '{self.name}' returned {target[k, j, i]} in '{name}' at (i,j,k) = "
                    f"({box.i0 + i + 1},{box.j0 + j + 1},{k + 1}), step {kt}; only finite numbers reach the ocean. "
                    "Look at the inputs there (&namdiag, cn_diag), or use another artefact."
                )


def _trim(view: np.ndarray, cells: int) -> np.ndarray:
    """The part of a padded block (levels, J, I) without its outer `cells`."""
    return view if cells == 0 else view[:, cells:-cells, cells:-cells]
