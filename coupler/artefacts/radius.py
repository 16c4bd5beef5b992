"""The receptive field of a network, measured: what an output lacks on each side, and how far an input acts."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from coupler.contract import Contract
from coupler.engines.base import Engine
from coupler.engines.selftest import Sample, sample

Fields = Mapping[str, np.ndarray]
WIDE = 75  # cells beyond the radius in which an operation over the whole field is told from padding


def measure_radius(
    call: Callable[[Fields], Fields], sample: Callable[[int], Fields], trials: int = 12
) -> tuple[int, int]:
    """(crop, reach) in cells: what the output lacks on each side, and how far an input value acts.

    `sample(seed)` gives padded inputs (k, J, I) on random wet masks. One cell, row or column of one input is changed, and
    the farthest output that changes in any bit is sought; masks and comparisons, which no gradient reaches, are measured
    alike. Several seeds, since land hides part of the stencil. reach > crop means padding inside the network, or a
    global operation; reach < crop a halo too wide.
    """
    crop, reaches = reach_by_input(call, sample, trials)
    return crop, max(reaches.values(), default=0)


def reach_by_input(
    call: Callable[[Fields], Fields], sample: Callable[[int], Fields], trials: int = 12
) -> tuple[int, dict[str, int]]:
    """As measure_radius, with the reach [cells] of every input."""
    reaches: dict[str, int] = {}
    crop = 0
    for seed in range(trials):
        inputs = sample(seed)
        before = call(inputs)
        rows = next(iter(inputs.values())).shape[1]
        crop = (rows - next(iter(before.values())).shape[1]) // 2
        for name, field in inputs.items():
            for changed, j, i in _changes(field, seed):
                after = call({**inputs, name: changed})
                for out, values in before.items():
                    found = _farthest(values, after[out], crop, j, i)
                    reaches[name] = max(reaches.get(name, 0), found)
    return crop, reaches


def block_case(contract: Contract, seed: int, spare: int = 4) -> Sample:
    """Inputs, noise, scalars of one level: the self-test's formula, shifted by the seed.

    The block has a side of 4 radius + 2 spare + 1 cells, so that a reach up to `spare` over the radius is seen.
    """
    side = 4 * contract.radius + 2 * spare + 1
    inner = side - 2 * contract.radius + 2 * seed
    inputs, noise, scalars = sample(contract, (1, inner, inner))
    cut = ({n: np.ascontiguousarray(a[:, -side:, -side:]) for n, a in fields.items()} for fields in (inputs, noise))
    return next(cut), next(cut), scalars


def engine_reach(engine: Engine, trials: int = 6, spare: int = 4) -> tuple[int, dict[str, int]]:
    """reach_by_input for an engine: every input and every noise of its contract, on blocks of block_case with that `spare`."""
    contract = engine.contract
    noises = {spec.name for spec in contract.noise}
    scalars = block_case(contract, 0)[2]

    def call(fields: Fields) -> Fields:
        inputs = {name: field for name, field in fields.items() if name not in noises}
        found = engine.run(inputs, {name: fields[name] for name in noises}, scalars)
        return {name: np.array(field) for name, field in found.items()}  # the engine may use its memory again

    def fields(seed: int) -> Fields:
        inputs, noise, _ = block_case(contract, seed, spare)
        return inputs | noise

    return reach_by_input(call, fields, trials)


def acts_everywhere(engine: Engine) -> bool:
    """Whether an input acts up to the edges of a block of 150 cells or more: an operation over the whole field.

    Padding lets it act as far as the kernels of the layers, which is less.
    """
    crop, reaches = engine_reach(engine, trials=1, spare=WIDE)
    return max(reaches.values(), default=0) >= crop + WIDE - 1


def _changes(field: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, int | None, int | None]]:
    # A row or a column acts through every weight of the stencil's edge at once: in float32 one corner cell of a radius
    # of 10 may be lost in the rounding of the sum. A cell shows what a whole row would cancel (constant factors, sums).
    rows, columns = field.shape[1:]
    j, i = rows // 2 + seed % 2, columns // 2 + seed // 2 % 2
    for place, at in (
        ((slice(None), j, i), (j, i)),
        ((slice(None), j, slice(None)), (j, None)),
        ((slice(None), slice(None), i), (None, i)),
    ):
        changed = field.copy()
        old = field[place]
        changed[place] = np.where(old == 0, 1, 0 if seed % 2 else 1.3 * old)
        yield changed, *at


def _farthest(before: np.ndarray, after: np.ndarray, crop: int, j: int | None, i: int | None) -> int:
    differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
    _, jj, ii = np.nonzero(differs)
    far = np.zeros(len(jj), int)
    if j is not None:
        far = np.maximum(far, abs(jj + crop - j))
    if i is not None:
        far = np.maximum(far, abs(ii + crop - i))
    return int(far.max(initial=0))
