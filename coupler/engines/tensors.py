"""Arrays by name as the tensors of a graph, and back: the layouts of coupler.contract.Contract."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from coupler.contract import Contract, InputSpec, NoiseSpec, OutputSpec
from coupler.engines.arrays import Arrays, check_outputs, disagreement
from coupler.errors import HaloclineError

Specs = Sequence[InputSpec | NoiseSpec | OutputSpec]
KEPT = 16  # stacking buffers kept: a run uses one to four shapes, a self-test more


class Tensors:
    """Packs inputs, noise and scalars for one contract, and unpacks results; stacking buffers are kept per shape."""

    def __init__(
        self,
        contract: Contract,
        empty: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
        channels_last: bool = False,
    ) -> None:
        """empty: makes a buffer (pinned memory for a GPU); channels_last: 4-D buffers are (n, J, I, c) in memory."""
        self.contract = contract
        self._fields: Specs = (*contract.inputs, *contract.noise)
        self._dtype = np.dtype(contract.dtype)
        self._empty, self.channels_last = empty, channels_last
        self._buffers: dict[tuple[int, ...], tuple[np.ndarray, list[np.ndarray]]] = {}

    def pack(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> list[np.ndarray]:
        """The graph's tensors in the contract's order: inputs, noise (or the one stacked tensor), then scalars (1,)."""
        arrays = [inputs[spec.name] for spec in self.contract.inputs]
        if noise:
            arrays += [noise[spec.name] for spec in self.contract.noise]
        if self.contract.stacked:
            arrays = [self._stack(arrays)]
        if scalars:
            arrays += [np.full(1, scalars[name], self._dtype) for name in self.contract.scalars]
        return arrays

    def names(self, stacked: str) -> list[str]:
        """Names of what `pack` returns; `stacked` is how the graph calls the one tensor."""
        fields = [stacked] if self.contract.stacked else [spec.name for spec in self._fields]
        return [*fields, *self.contract.scalars]

    def unpack(self, results: Sequence[np.ndarray], shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
        """Outputs (k, nj, ni) by name from the results in the graph's order; views where stacked. Checks names, type, shape.

        `shape` is that of the output, (k, nj, ni). HaloclineError if the results are not what the contract says.
        """
        outs = self.contract.outputs
        wanted = 1 if self.contract.stacked else len(outs)
        if len(results) != wanted:
            raise HaloclineError(
                f"network '{self.contract.name}' returned {len(results)} tensor(s), its contract says {wanted}. "
                "Correct the contract's outputs, or export the network again."
            )
        if not self.contract.stacked:
            outputs = dict(zip((out.name for out in outs), results, strict=True))
            check_outputs(self.contract, outputs, shape)
            return outputs
        want = stacked_shape(self.contract, outs, shape)
        if results[0].shape != want or results[0].dtype != self._dtype:
            names = ", ".join(out.name for out in outs)
            raise HaloclineError(disagreement(self.contract, names, results[0], want))
        found = views(self.contract, outs, results[0], shape[1:])
        return {out.name: view for out, view in zip(outs, found, strict=True)}

    def _stack(self, arrays: list[np.ndarray]) -> np.ndarray:
        key = (max(array.shape[0] for array in arrays), *arrays[0].shape[1:])
        if key not in self._buffers:
            if len(self._buffers) == KEPT:
                self._buffers.clear()
            shape = stacked_shape(self.contract, self._fields, key)
            if self.channels_last and len(shape) == 4:
                n, c, nj, ni = shape
                tensor = self._empty((n, nj, ni, c), self._dtype).transpose(0, 3, 1, 2)
            else:
                tensor = self._empty(shape, self._dtype)
            self._buffers[key] = tensor, views(self.contract, self._fields, tensor, key[1:])
        tensor, parts = self._buffers[key]
        for part, array in zip(parts, arrays, strict=True):
            part[...] = array
        return tensor


def stacked_shape(contract: Contract, specs: Specs, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape of the one tensor of `specs` for fields of `shape` (k, J, I)."""
    k, nj, ni = shape
    match contract.level_axis:
        case "batch":
            return k, len(specs), nj, ni
        case "axis":
            return 1, len(specs), k, nj, ni
        case "channel":
            return 1, channels(specs), nj, ni
        case "vector":
            return nj * ni, channels(specs)


def channels(specs: Specs) -> int:
    """Fields times levels of `specs`, where levels are numbers."""
    return sum(int(spec.levels) for spec in specs)


def views(contract: Contract, specs: Specs, tensor: np.ndarray, plane: tuple[int, ...]) -> list[np.ndarray]:
    """The fields (k, J, I) of a stacked tensor, in the order of `specs`; `plane` is (J, I)."""
    if contract.level_axis == "batch":
        return [tensor[:, c] for c in range(len(specs))]
    if contract.level_axis == "axis":
        return [tensor[0, c] for c in range(len(specs))]
    block = tensor[0] if contract.level_axis == "channel" else tensor.reshape(*plane, -1).transpose(2, 0, 1)
    return [block[a:b] for a, b in pairwise(accumulate((int(spec.levels) for spec in specs), initial=0))]
