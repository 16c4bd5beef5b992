"""A network whose fields stay on its device: inputs made there, noise and mask applied there, one copy back."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
import torch

from coupler.contract import Contract
from coupler.engines.arrays import check_inputs, disagreement
from coupler.engines.arrivals import Arrivals, Lane, host_tensor, kind_of
from coupler.engines.failures import run_failed
from coupler.engines.ports import Drawn, Exit, Inlet
from coupler.engines.tensors import Specs, channels, stacked_shape
from coupler.engines.torchbase import TorchEngine
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.feed import Feed
from coupler.noise import Noise
from coupler.outlet import Outlet

CHUNK = 2**18  # cells: GZ21 on one takes 1.4e11 operations, its copy back 2 MB, a hundredth of that time (computed)


class Resident:
    """Runs a torch engine on tensors that stay on its device; the same operations in the same order as the CPU's path.

    All are single additions, products and quotients of tensors, rounded correctly on any device; a GPU multiplies by the
    reciprocal of a number where it should divide by it, so nothing is divided by a number.

    feeds, outlets: of a network, by input and output; noise: generators of the graph's noise inputs. Levels that are a batch
    are run in chunks, `chunks_on` of them, so that the results of one are copied back beside the next.
    """

    def __init__(
        self,
        engine: TorchEngine,
        feeds: Mapping[str, Feed],
        outlets: Mapping[str, Outlet],
        noise: Mapping[str, Noise],
    ) -> None:
        """Allocates everything that a step needs; `take_static` comes before the first `run`."""
        self.engine, self.contract = engine, engine.contract
        self.device = torch.device(engine.device)
        self._kind = kind_of(np.dtype(self.contract.dtype))
        self._lane = Lane(self.device)
        contract, fields = self.contract, {name: feed.array for name, feed in feeds.items()}
        plane = next(iter(fields.values())).shape[1:]
        k = max([len(fields[spec.name]) for spec in contract.inputs if spec.levels == "all"], default=0)
        drawn = {
            s.name: np.empty((k if s.levels == "all" else s.levels, *plane), contract.dtype) for s in contract.noise
        }
        self.shape = check_inputs(contract, fields, drawn, dict.fromkeys(contract.scalars, 0.0))
        self._padded = (self.shape[0], *plane)
        self._tensors, slots = self._make_tensors()
        self._scalars = self._tensors[len(self._tensors) - len(contract.scalars) :]
        self.inlets = {name: Inlet(feed, slots[name], self.device) for name, feed in feeds.items()}
        self._noises = {name: Drawn(source, slots[name], self.device) for name, source in noise.items()}
        k = self.shape[0]
        count = min(chunks_on(self.device, prod(self.shape)), k) if _splits(contract) else 1
        self.levels = [slice(n * k // count, (n + 1) * k // count) for n in range(count)]
        self._exits = {
            name: Exit(outlet, self._kind, self.device, out.levels == "all")
            for name, outlet in outlets.items()
            for out in contract.outputs
            if out.name == name
        }
        sizes = [sum(exit_.size(levels) for exit_ in self._exits.values()) for levels in self.levels]
        self.there = [torch.zeros(size, dtype=self._kind, device=self.device) for size in sizes]
        self.here = [host_tensor((size,), self._kind, self.device) for size in sizes]

    @property
    def arrivals(self) -> list[Arrivals]:
        """The stacks that it reads, each once."""
        return list({id(f.arrivals): f.arrivals for f in self.inlets.values() if f.arrivals is not None}.values())

    def take_static(self, received: Mapping[str, Plan]) -> None:
        """Copy static inputs, masks and index maps to the device, once they have arrived and outlets have read theirs."""
        for arrivals in self.arrivals:
            arrivals.take_static(received)
        for inlet in self.inlets.values():
            inlet.take_static()
        for exit_ in self._exits.values():
            exit_.take_static()

    def run(self, kt: int, call: int, scalars: Mapping[str, float], back: Sequence[str] = ()) -> None:
        """Inputs of step `kt` to the targets of the outlets: sampled, at the ocean's points, masked. call: of the network.

        back: inputs that are copied to the arrays of their feeds, for whoever reads them on the CPU. HaloclineError where the
        network fails, or returns something else than its contract says.
        """
        try:
            with torch.inference_mode():
                self._queue(kt, call, scalars)
                for name in back:
                    self.inlets[name].fetch(self._lane)
                for arrivals in self.arrivals:
                    arrivals.wait()
                self._lane.wait()
        except HaloclineError:
            raise
        except Exception as error:
            raise run_failed(self.contract, self.engine.library, self.engine.device, self.shape, error) from None
        for name in back:
            self.inlets[name].read()
        for levels, here in zip(self.levels, self.here, strict=True):
            for exit_, part in self._parts(levels, here.numpy()):
                exit_.outlet.target[exit_.cut(levels)] = part

    def make_inputs(self) -> None:
        """Everything between the stacks and the graph's tensors."""
        for inlet in self.inlets.values():
            if inlet.arrivals is not None:
                inlet.put()

    def infer(self, levels: slice) -> dict[str, Any]:
        """The network on some levels of what lies in the graph's tensors: output -> (k, nj, ni)."""
        contract, tensors = self.contract, self._tensors
        if len(self.levels) > 1:
            specs: Specs = () if contract.stacked else (*contract.inputs, *contract.noise)
            every = [True] * contract.stacked + [spec.levels == "all" for spec in specs] + [False] * len(self._scalars)
            tensors = [t[levels] if cut else t for t, cut in zip(tensors, every, strict=True)]
        results = self.engine.run_tensors(tensors)
        return self._unpack(results, (levels.stop - levels.start, *self.shape[1:]))

    def draw_out(self, call: int) -> None:
        """Noise of the outputs that are sampled."""
        for exit_ in self._exits.values():
            exit_.draw(call, self._lane)

    def put_out(self, levels: slice, results: Mapping[str, Any], there: Any) -> None:
        """What the outputs pass on the device, into the array that is copied back."""
        for exit_, part in self._parts(levels, there):
            exit_.put(results, levels, part)

    def _queue(self, kt: int, call: int, scalars: Mapping[str, float]) -> None:
        """One step, in the order of the queue; what the CPU draws it draws while the network runs on a GPU."""
        for arrivals in self.arrivals:
            arrivals.load(kt)
        self.make_inputs()
        for tensor, name in zip(self._scalars, self.contract.scalars, strict=True):
            tensor.fill_(scalars[name])
        for drawn in self._noises.values():
            drawn.draw(call, self._lane)
        for number, levels in enumerate(self.levels):
            results = self.infer(levels)
            if number == 0:
                self.draw_out(call)
            self.put_out(levels, results, self.there[number])
            self._lane.fetch(self.here[number], self.there[number])

    def _parts(self, levels: slice, flat: Any) -> list[tuple[Exit, Any]]:
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


def chunks_on(device: torch.device, cells: int) -> int:
    """Parts in which `cells` of all levels are run."""
    return 1 if device.type == "cpu" else max(1, cells // CHUNK)


def _splits(contract: Contract) -> bool:
    """True where levels are independent samples."""
    every = [spec.levels == "all" for spec in contract.inputs]
    return contract.level_axis == "batch" and any(every) and all(out.levels == "all" for out in contract.outputs)


def _fields(contract: Contract, specs: Specs, tensor: Any, plane: tuple[int, ...]) -> list[Any]:
    """As coupler.engines.tensors.views, for torch."""
    if contract.level_axis == "batch":
        return [tensor[:, c] for c in range(len(specs))]
    if contract.level_axis == "axis":
        return [tensor[0, c] for c in range(len(specs))]
    block = tensor[0] if contract.level_axis == "channel" else tensor.reshape(*plane, channels(specs)).permute(2, 0, 1)
    return [block[a:b] for a, b in pairwise(accumulate((int(spec.levels) for spec in specs), initial=0))]
