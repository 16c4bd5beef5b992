"""A network whose fields stay on its device: inputs made there, noise and mask applied there, one copy back."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
import torch

from coupler.contract import Contract, InputSpec
from coupler.engines.arrays import disagreement
from coupler.engines.arrivals import Arrivals, Lane, arrivals_of, host_tensor, kind_of
from coupler.engines.failures import run_failed
from coupler.engines.tensors import Specs, channels, stacked_shape
from coupler.engines.torchbase import TorchEngine
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.feed import Feed, inner
from coupler.land import replicate
from coupler.noise import Noise
from coupler.outlet import Outlet
from coupler.stagger import shifts

CHUNK = 2**18  # cells of a chunk: large enough to fill a GPU, and a chunk's copy back takes a hundredth of its convolutions


class Resident:
    """Runs a torch engine on tensors that stay on its device; the same operations in the same order as the CPU's path.

    feeds, outlets: of a network, by input and output; noise: generators of the graph's noise inputs. chunks: parts of the
    levels that are run one after the other, so that the results of one are copied back beside the next; 0: as many as pay.
    """

    def __init__(
        self,
        engine: TorchEngine,
        feeds: Mapping[str, Feed],
        outlets: Mapping[str, Outlet],
        noise: Mapping[str, Noise],
        chunks: int = 0,
    ) -> None:
        """Allocates everything that a step needs; `take_static` comes before the first `run`."""
        self.engine, self.contract = engine, engine.contract
        self.device = torch.device(engine.device)
        self._kind = kind_of(np.dtype(self.contract.dtype))
        self._lane = Lane(self.device)
        self._noise = noise
        contract = self.contract
        first = next(iter(feeds.values())).array
        every = [feeds[spec.name].array.shape[0] for spec in contract.inputs if spec.levels == "all"]
        k = max(every or [int(spec.levels) for spec in (*contract.inputs, *contract.noise)])  # type: ignore[call-overload]
        self._padded = (k, *first.shape[1:])
        self.shape = (k, *(size - 2 * contract.radius for size in first.shape[1:]))
        self._tensors, slots = self._make_tensors()
        self._scalars = self._tensors[len(self._tensors) - len(contract.scalars) :]
        self._feeds = {name: _Inlet(feed, slots[name], self.device) for name, feed in feeds.items()}
        self._noises = {name: _Drawn(source, slots[name], self.device) for name, source in noise.items()}
        if not chunks:
            chunks = 1 if self.device.type == "cpu" else max(1, prod(self.shape) // CHUNK)
        count = min(chunks, k) if _splits(contract) else 1
        self.levels = [slice(n * k // count, (n + 1) * k // count) for n in range(count)]
        self._exits = {
            name: _Exit(outlet, self._kind, self.device, out.levels == "all")
            for name, outlet in outlets.items()
            for out in contract.outputs
            if out.name == name
        }
        sizes = [sum(exit_.size(levels) for exit_ in self._exits.values()) for levels in self.levels]
        self._there = [torch.zeros(size, dtype=self._kind, device=self.device) for size in sizes]
        self._here = [host_tensor((size,), self._kind, self.device) for size in sizes]

    @property
    def arrivals(self) -> list[Arrivals]:
        """The stacks that it reads, each once."""
        return list({id(f.arrivals): f.arrivals for f in self._feeds.values() if f.arrivals is not None}.values())

    def take_static(self, received: Mapping[str, Plan]) -> None:
        """Copy static inputs, masks and index maps to the device, once they have arrived and outlets have read theirs."""
        for arrivals in self.arrivals:
            arrivals.take_static(received)
        for part in (*self._feeds.values(), *self._exits.values()):
            part.take_static()

    def run(self, kt: int, call: int, scalars: Mapping[str, float], back: Sequence[str] = ()) -> None:
        """Inputs of step `kt` to the targets of the outlets: sampled, at the ocean's points, masked. call: of the network.

        back: inputs that are copied to the arrays of their feeds, for whoever reads them on the CPU. HaloclineError where the
        network fails, or returns something else than its contract says.
        """
        try:
            with torch.inference_mode():
                self._queue(kt, call, scalars)
                for name in back:
                    self._feeds[name].fetch(self._lane)
                for arrivals in self.arrivals:
                    arrivals.wait()
                self._lane.wait()
        except HaloclineError:
            raise
        except Exception as error:
            raise run_failed(self.contract, self.engine.library, self.engine.device, self.shape, error) from None
        for name in back:
            self._feeds[name].read()
        for levels, here in zip(self.levels, self._here, strict=True):
            for exit_, part in self._parts(levels, here.numpy()):
                exit_.outlet.target[exit_.cut(levels)] = part

    def make_inputs(self) -> None:
        """Everything between the stacks and the graph's tensors."""
        for inlet in self._feeds.values():
            if inlet.arrivals is not None:
                inlet.put()

    def infer(self, levels: slice) -> dict[str, Any]:
        """The network on some levels of what lies in the graph's tensors: output -> (k, nj, ni)."""
        contract = self.contract
        specs = [] if contract.stacked else [*contract.inputs, *contract.noise]
        fields = self._tensors[: len(self._tensors) - len(contract.scalars)]
        cut = [t[levels] if contract.stacked or spec.levels == "all" else t for t, spec in _pairs(fields, specs)]
        whole = len(self.levels) == 1
        results = self.engine.run_tensors([*(fields if whole else cut), *self._scalars])
        return self._unpack(results, (levels.stop - levels.start, *self.shape[1:]))

    def put_out(self, levels: slice, results: Mapping[str, Any], there: Any) -> None:
        """What the outputs pass on the device, into the array that is copied back."""
        for exit_, part in self._parts(levels, there):
            exit_.put(results, levels, part)

    def _queue(self, kt: int, call: int, scalars: Mapping[str, float]) -> None:
        """One step, in the order of the queue; on a GPU the CPU draws noise while the network runs."""
        for arrivals in self.arrivals:
            arrivals.load(kt)
        self.make_inputs()
        for tensor, name in zip(self._scalars, self.contract.scalars, strict=True):
            tensor.fill_(scalars[name])
        for drawn in self._noises.values():
            drawn.draw(call, self._lane)
        for number, levels in enumerate(self.levels):
            results = self.infer(levels)
            for exit_ in self._exits.values() if number == 0 else ():
                exit_.draw(call, self._lane)
            self.put_out(levels, results, self._there[number])
            self._lane.fetch(self._here[number], self._there[number])

    def _parts(self, levels: slice, flat: Any) -> list[tuple["_Exit", Any]]:
        """The array of a chunk, output by output."""
        sizes = [exit_.size(levels) for exit_ in self._exits.values()]
        limits = pairwise(accumulate(sizes, initial=0))
        return [
            (exit_, flat[a:b].reshape(-1, *exit_.outlet.target.shape[1:]))
            for exit_, (a, b) in zip(self._exits.values(), limits, strict=True)
        ]

    def _make_tensors(self) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """The graph's tensors, and where in them each input lies, (k, J, I)."""
        contract, plane = self.contract, self._padded[1:]
        specs: Specs = (*contract.inputs, *contract.noise)
        scalars = [self._zeros((1,)) for _ in contract.scalars]
        if not contract.stacked:
            sizes = [self._padded[0] if spec.levels == "all" else int(spec.levels) for spec in specs]
            fields = [self._zeros((size, *plane)) for size in sizes]
            return [*fields, *scalars], dict(zip((spec.name for spec in specs), fields, strict=True))
        shape = stacked_shape(contract, specs, self._padded)
        if self.engine.channels_last and len(shape) == 4:
            n, c, nj, ni = shape
            tensor = self._zeros((n, nj, ni, c)).permute(0, 3, 1, 2)
        else:
            tensor = self._zeros(shape)
        parts = _fields(contract, specs, tensor, plane)
        return [tensor, *scalars], dict(zip((spec.name for spec in specs), parts, strict=True))

    def _zeros(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros(shape, dtype=self._kind, device=self.device)

    def _unpack(self, results: Sequence[Any], shape: tuple[int, ...]) -> dict[str, Any]:
        outs = self.contract.outputs
        k, nj, ni = shape
        if self.contract.stacked:
            wanted = [stacked_shape(self.contract, outs, (k, nj, ni))]
        else:
            wanted = [(k if out.levels == "all" else int(out.levels), nj, ni) for out in outs]
        names = [", ".join(out.name for out in outs)] if self.contract.stacked else [out.name for out in outs]
        for number, (name, want) in enumerate(zip(names, wanted, strict=True)):
            got = results[number] if len(results) == len(wanted) else None
            if got is None or tuple(got.shape) != want or got.dtype != self._kind:
                raise HaloclineError(disagreement(self.contract, name, got, want))
        parts = _fields(self.contract, outs, results[0], (nj, ni)) if self.contract.stacked else results
        return dict(zip((out.name for out in outs), parts, strict=True))


class _Inlet:
    """One input on its way from the stack to its place in the graph's tensor."""

    def __init__(self, feed: Feed, slot: torch.Tensor, device: torch.device) -> None:
        self.feed, self._slot, self._device = feed, slot, device
        self.arrivals = None if feed.static else arrivals_of(feed.plan, device)
        self._here: torch.Tensor | None = None

    def take_static(self) -> None:
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


class _Drawn:
    """Noise made on the CPU, its place on the device, and the copy between."""

    def __init__(self, source: Noise, slot: torch.Tensor, device: torch.device) -> None:
        self._source, self._slot = source, slot
        self._here = host_tensor(tuple(slot.shape), slot.dtype, device)

    def draw(self, call: int, lane: Lane) -> None:
        self._here.numpy()[...] = self._source.at(call)
        lane.bring(self._slot, self._here)


class _Exit:
    """One output: noise, the ocean's point, zero on land; see coupler.outlet.Outlet, whose target gets the result."""

    def __init__(self, outlet: Outlet, kind: torch.dtype, device: torch.device, every: bool) -> None:
        self.outlet, self._device, self._every = outlet, device, every
        self._noise, self._land = None, None
        if outlet.noise is not None:
            levels, nj, ni = outlet.target.shape
            margin = 2 * outlet.margin
            self._noise = torch.zeros((levels, nj + margin, ni + margin), dtype=kind, device=device)
            self._drawn = _Drawn(outlet.noise, self._noise, device)

    def take_static(self) -> None:
        wet = self.outlet.wet
        self._land = None if wet is None else torch.from_numpy(~wet).to(self._device)

    def cut(self, levels: slice) -> slice:
        """The levels of this output in a chunk of `levels`."""
        return levels if self._every else slice(None)

    def size(self, levels: slice) -> int:
        """Numbers of this output in a chunk of `levels`."""
        return self.outlet.target[self.cut(levels)].size

    def draw(self, call: int, lane: Lane) -> None:
        """Noise of a call; drawn with factor 0 too, since it may remember."""
        if self._noise is not None:
            self._drawn.draw(call, lane)

    def put(self, results: Mapping[str, Any], levels: slice, part: torch.Tensor) -> None:
        """Write what goes back, (k, nj, ni) of the levels, to `part`."""
        outlet, value = self.outlet, results[self.outlet.name]
        if self._noise is not None and outlet.inv_std is not None and outlet.factor:
            value = value + self._noise[self.cut(levels)] * outlet.factor / results[outlet.inv_std]
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


def _splits(contract: Contract) -> bool:
    """True where levels are independent samples."""
    every = [spec.levels == "all" for spec in contract.inputs]
    return contract.level_axis == "batch" and any(every) and all(out.levels == "all" for out in contract.outputs)


def _pairs(tensors: Sequence[Any], specs: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Tensors with their specs; a stacked tensor has none of its own."""
    return list(zip(tensors, specs or [None] * len(tensors), strict=True))


def _fields(contract: Contract, specs: Specs, tensor: Any, plane: tuple[int, ...]) -> list[Any]:
    """As coupler.engines.tensors.views, for torch."""
    if contract.level_axis == "batch":
        return [tensor[:, c] for c in range(len(specs))]
    if contract.level_axis == "axis":
        return [tensor[0, c] for c in range(len(specs))]
    block = tensor[0] if contract.level_axis == "channel" else tensor.reshape(*plane, channels(specs)).permute(2, 0, 1)
    return [block[a:b] for a, b in pairwise(accumulate((int(spec.levels) for spec in specs), initial=0))]


def inputs_to_count(contract: Contract) -> list[str]:
    """Inputs that the novelty count reads on the CPU."""
    specs: Sequence[InputSpec] = contract.inputs
    return [spec.name for spec in specs if not spec.static and (spec.percentiles or spec.valid_range)]
