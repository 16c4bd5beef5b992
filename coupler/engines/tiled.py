"""A network cut into tiles with exact overlap, so that one call stays below a limit of memory."""

import resource
from collections.abc import Iterator, Mapping
from math import ceil, isqrt, log2
from pathlib import Path
from types import ModuleType

import numpy as np

from coupler.contract import Contract
from coupler.engines.arrays import Arrays, check_inputs
from coupler.engines.base import Engine
from coupler.engines.selftest import sample_scalars
from coupler.engines.tensors import Specs
from coupler.errors import HaloclineError

MB = 1e6
# onnxruntime's arena grows by powers of two and keeps what it has: a call of 33 MB held 70 MB from the second tile on.
ARENA = {"onnx": 2.0}
PROBES = (32, 64, 128, 256, 512)  # sides of the blocks that are tried, in cells


class TiledEngine:
    """Runs another engine on tiles: levels first, which overlap nothing, then rows, then columns; overlap = radius.

    The memory of a call is cells times bytes per cell, halo included; bytes per cell are measured at load.
    """

    def __init__(self, engine: Engine, maxmem: float, bytes_per_cell: float | None = None) -> None:
        """`maxmem` [MB]: memory for the tensors of one call. HaloclineError if one cell needs more."""
        self.engine, self.contract = engine, engine.contract
        self.name, self.threads, self.device, self.sha256 = engine.name, engine.threads, engine.device, engine.sha256
        self.precision = getattr(engine, "precision", "")
        self.maxmem = maxmem
        self.bytes_per_cell = measured_bytes(engine, maxmem) if bytes_per_cell is None else bytes_per_cell
        self.cells = int(maxmem * MB / self.bytes_per_cell)
        self._overlap = 2 * self.contract.radius
        self._splits_levels = _splits_levels(self.contract)
        self.tile((1, 1, 1))
        self.notes = engine.notes
        self.description = (
            f"{engine.description}, in tiles of {self.cells} cells at most ({self.bytes_per_cell:.0f} bytes each, "
            f"rn_maxmem = {maxmem:g} MB)"
        )

    def run(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """See Engine.run; the bits of one call for an engine whose self-test says 'bitwise'."""
        shape = check_inputs(self.contract, inputs, noise, scalars)
        size = self.tile(shape)
        if size == shape:
            return self.engine.run(inputs, noise, scalars)
        levels = {out.name: shape[0] if out.levels == "all" else int(out.levels) for out in self.contract.outputs}
        outputs = {name: np.empty((k, *shape[1:]), self.contract.dtype) for name, k in levels.items()}
        for k, j, i in _tiles(shape, size):
            parts = [self._cut(fields, shape[0], k, j, i) for fields in (inputs, noise or {})]
            for name, field in self.engine.run(parts[0], parts[1], scalars).items():
                outputs[name][k if self._splits_levels else slice(None), j, i] = field
        return outputs

    def tile(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Levels, rows and columns of the largest tile for an output of `shape` (k, nj, ni).

        HaloclineError, with the number that is needed, if not even one cell fits.
        """
        k, nj, ni = shape
        r2 = self._overlap
        plane = (nj + r2) * (ni + r2)
        if k * plane <= self.cells:
            return shape
        if self._splits_levels:
            if plane <= self.cells:
                return _even(k, self.cells // plane), nj, ni
            k = 1
        room = self.cells // k  # cells of one level
        if (rows := room // (ni + r2) - r2) >= 1:
            return k, _even(nj, rows), ni
        side = max(1, isqrt(room) - r2)
        columns = room // (side + r2) - r2
        if columns < 1:
            needed = k * (1 + r2) ** 2 * self.bytes_per_cell / MB
            raise HaloclineError(
                f"network '{self.contract.name}': rn_maxmem = {self.maxmem:g} MB is too little: one cell with its radius of "
                f"{self.contract.radius} takes {needed:.3g} MB ({self.bytes_per_cell:.0f} bytes a cell). Set rn_maxmem to "
                f"{ceil(20 * needed)} or more; large tiles waste less on overlap."
            )
        return k, _even(nj, side), _even(ni, columns)

    def _cut(self, fields: Arrays, levels: int, k: slice, j: slice, i: slice) -> dict[str, np.ndarray]:
        rows, columns = slice(j.start, j.stop + self._overlap), slice(i.start, i.stop + self._overlap)
        specs: Specs = (*self.contract.inputs, *self.contract.noise)
        every = {spec.name for spec in specs if spec.levels == "all"}
        return {
            name: np.ascontiguousarray(field[k if name in every else slice(None), rows, columns])
            for name, field in fields.items()
        }


def measured_bytes(engine: Engine, maxmem: float) -> float:
    """Bytes of memory per cell (halo included) of a call, from the largest of a few blocks that stays well below `maxmem`.

    On the CPU the growth of the process's peak of resident memory, on a GPU torch's own count.
    """
    contract = engine.contract
    levels = (
        1
        if _splits_levels(contract)
        else max([1, *(int(spec.levels) for spec in contract.inputs if spec.levels != "all")])
    )
    peak = _gpu_peak(engine) if engine.device != "cpu" else HostPeak()
    growth = measured = 0.0
    for side in PROBES:
        if side <= 2 * contract.radius:
            continue
        if growth and growth * 4 > maxmem * MB / 2:  # the next block is four times as large
            break
        inputs = {spec.name: _ones(contract, spec.levels, side) for spec in contract.inputs}
        noise = {spec.name: _ones(contract, spec.levels, side) for spec in contract.noise}
        for _ in range(2):
            engine.run(inputs, noise, sample_scalars(contract))
        growth = peak.growth()
        measured = growth / (levels * side * side)
        if growth > 16 * MB:
            break
    size = np.dtype(contract.dtype).itemsize * (len(contract.inputs) + len(contract.noise) + len(contract.outputs))
    needed = max(measured, size) * ARENA.get(engine.name, 1.0)  # never less than what goes in and out
    # Rounded up, as the measurement varies by a third: the same tiles on every rank and day.
    return 2.0 ** ceil(log2(needed))


class HostPeak:
    """Growth of this process's peak of resident memory since it was made [bytes]."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        """Resets the kernel's peak (proc(5), clear_refs); where that is not allowed, growth is over the peak so far."""
        self._status: Path | None = proc / "status"
        try:
            (proc / "clear_refs").write_text("5")
        except OSError:
            self._status = None
        self._start = self._peak()

    def growth(self) -> float:
        """Bytes."""
        return max(0.0, self._peak() - self._start)

    def _peak(self) -> float:
        if self._status is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024.0


class _TorchPeak:
    """Growth of torch's peak on a GPU [bytes]."""

    def __init__(self, torch: ModuleType, device: str) -> None:
        self._torch, self._device = torch, device
        torch.cuda.reset_peak_memory_stats(device)
        self._start = torch.cuda.memory_allocated(device)

    def growth(self) -> float:
        return float(self._torch.cuda.max_memory_allocated(self._device) - self._start)


def _gpu_peak(engine: Engine) -> _TorchPeak:
    if engine.name == "onnx":
        raise HaloclineError(
            f"network '{engine.contract.name}': rn_maxmem is for the CPU and for torch on a GPU; onnxruntime on {engine.device} "
            "does not tell what it takes. Leave rn_maxmem out, or use the .pt2 file of the network."
        )
    import torch

    return _TorchPeak(torch, engine.device)


def _splits_levels(contract: Contract) -> bool:
    return (
        contract.level_axis == "batch"
        and any(s.levels == "all" for s in contract.inputs)
        and all(out.levels == "all" for out in contract.outputs)
    )


def _ones(contract: Contract, levels: int | str, side: int) -> np.ndarray:
    return np.ones((1 if levels == "all" else int(levels), side, side), contract.dtype)


def _even(size: int, most: int) -> int:
    """The size of equal parts of `size` that are no longer than `most`."""
    return ceil(size / ceil(size / most))


def _tiles(shape: tuple[int, int, int], size: tuple[int, int, int]) -> Iterator[tuple[slice, slice, slice]]:
    for k in range(0, shape[0], size[0]):
        for j in range(0, shape[1], size[1]):
            for i in range(0, shape[2], size[2]):
                yield (
                    slice(k, min(k + size[0], shape[0])),
                    slice(j, min(j + size[1], shape[1])),
                    slice(i, min(i + size[2], shape[2])),
                )
