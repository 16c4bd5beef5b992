"""What enters and leaves a network on a device: coupler.feed.Feed, coupler.outlet.Outlet and their noise, in torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from coupler.engines.arrivals import Lane, arrivals_of, host_tensor, kind_of
from coupler.engines.drawn import DeviceNoise
from coupler.feed import Feed, inner
from coupler.land import replicate
from coupler.noise import Noise
from coupler.outlet import Outlet
from coupler.stagger import shifts


class Inlet:
    """One input on its way from the stack to its place in the graph's tensor."""

    def __init__(self, feed: Feed, slot: torch.Tensor, device: torch.device) -> None:
        self.feed, self._slot, self._device = feed, slot, device
        self.arrivals = None if feed.static else arrivals_of(feed.plan, device)
        self._here: torch.Tensor | None = None

    def take_static(self) -> None:
        """Copy a static input, or what land and staggering need, to the device."""
        feed, device = self.feed, self._device
        if self.arrivals is None:
            self._slot.copy_(torch.from_numpy(feed.array))
            return
        if feed.reach:
            cells = np.arange(feed.plan.stack.size).reshape(feed.plan.stack.shape)
            view = inner(cells[feed.levels], feed.cut)
            near = replicate(view, feed.nearest)
            lost = np.broadcast_to(feed.nearest < 0, near.shape)
            self._near = torch.from_numpy(near).to(device)
            self._lost = torch.from_numpy(lost.copy()).to(device)
        self._wet = None
        if feed.masked:
            assert feed.mask is not None
            # Torch in the order of coupler.stagger.to_point: weights are the same at every step.
            self._wet = torch.from_numpy(feed.mask != 0).to(device)
            wet = self._wet.to(kind_of(feed.plan.stack.dtype))
            self._weight = torch.clamp(sum_of(wet, feed.source, feed.target, torch.zeros_like), min=1)

    def put(self) -> None:
        """Write the input to its place, from the stack as it is."""
        feed = self.feed
        assert self.arrivals is not None
        if feed.reach:
            values = self.arrivals.stack.view(-1).index_select(0, self._near.view(-1)).view(self._near.shape)
            values.masked_fill_(self._lost, 0.0)
        else:
            values = inner(self.arrivals.stack[feed.levels], feed.cut)
        if feed.moved and self._wet is not None:
            values = torch.where(self._wet, values, 0.0)
            values = sum_of(values, feed.source, feed.target, torch.zeros_like) / self._weight
        elif feed.moved:
            values = mean_of(values, feed.source, feed.target)
        self._slot.copy_(values)

    def fetch(self, lane: Lane) -> None:
        """Start to copy the input to the host."""
        if self._here is None:
            self._here = host_tensor(tuple(self._slot.shape), self._slot.dtype, self._device)
        lane.fetch(self._here, self._slot)

    def read(self) -> None:
        """Put what was fetched into the array of the feed."""
        assert self._here is not None
        self.feed.array[...] = self._here.numpy()


class Drawn:
    """Noise and its place on the device; made there, or with a memory ('ar1') on the CPU and copied."""

    def __init__(self, source: Noise, slot: torch.Tensor, device: torch.device) -> None:
        self._source, self._slot = source, slot
        self._made = None if source.time == "ar1" else DeviceNoise(source, device)
        self._here = host_tensor(tuple(slot.shape) if self._made is None else (0,), slot.dtype, device)

    def draw(self, call: int, lane: Lane) -> None:
        """Put the noise of the network's call in its place."""
        if self._made is not None:
            self._made.draw(call, self._slot)
            return
        self._here.numpy()[...] = self._source.at(call)
        lane.bring(self._slot, self._here)


class Exit:
    """One output: noise, 1/window, the ocean's point, zero on land; see coupler.outlet.Outlet, whose target gets the result."""

    def __init__(self, outlet: Outlet, kind: torch.dtype, device: torch.device, every: bool) -> None:
        self.outlet, self._device, self._every = outlet, device, every
        self._noise: torch.Tensor | None = None
        self._land: torch.Tensor | None = None
        if outlet.noise is not None:
            levels, nj, ni = outlet.target.shape
            margin = 2 * outlet.margin
            self._noise = torch.zeros((levels, nj + margin, ni + margin), dtype=kind, device=device)
            self._drawn = Drawn(outlet.noise, self._noise, device)

    def take_static(self) -> None:
        """Copy the mask to the device."""
        wet = self.outlet.wet
        self._land = None if wet is None else torch.from_numpy(~wet).to(self._device)

    def cut(self, levels: slice) -> slice:
        """The levels of this output in a chunk of `levels`."""
        return levels if self._every else slice(None)

    def size(self, levels: slice) -> int:
        """Numbers of this output in a chunk of `levels`."""
        return self.outlet.target[self.cut(levels)].size

    def draw(self, call: int, lane: Lane) -> None:
        """Noise of a call; with factor 0 only where it remembers."""
        noise = self.outlet.noise
        if noise is not None and (self.outlet.factor or noise.time == "ar1"):
            self._drawn.draw(call, lane)

    def put(self, results: Mapping[str, Any], levels: slice, part: torch.Tensor) -> None:
        """Write what goes back, (k, nj, ni) of the levels, to `part`."""
        outlet, value = self.outlet, results[self.outlet.name]
        if self._noise is not None and outlet.inv_std is not None and outlet.factor:
            value = value + self._noise[self.cut(levels)] * outlet.factor / results[outlet.inv_std]
        if outlet.rate is not None:
            value = value * outlet.rate
        if outlet.margin:
            value = mean_of(value, outlet.point, outlet.wanted) if outlet.point != outlet.wanted else inner(value, 1)
        part.copy_(value)
        if self._land is not None:
            part.masked_fill_(self._land[self.cut(levels)], 0.0)


def mean_of(field: torch.Tensor, source: str, target: str) -> torch.Tensor:
    """The plain mean of coupler.stagger.to_point, operation by operation: (k, J, I) to (k, J - 2, I - 2)."""
    return sum_of(field, source, target) * (1.0 / len(shifts(source, target)))


def sum_of(field: torch.Tensor, source: str, target: str, start: Any = None) -> torch.Tensor:
    """Sum of the values around each value at `target`; start: makes what is added to first (default: nothing is)."""
    nj, ni = field.shape[1:]
    parts = [field[:, 1 + j : nj - 1 + j, 1 + i : ni - 1 + i] for j, i in shifts(source, target)]
    total = parts.pop(0).clone() if start is None else start(parts[0])
    for part in parts:
        total += part
    return total
