"""The self-test: the stored pair must be reproduced, and a field cut into blocks must give the field's own bits."""

import base64
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from coupler.contract import Contract, SelfTest
from coupler.engines.base import Engine
from coupler.errors import HaloclineError

LARGE = (13, 17)  # nj, ni of the field that is cut; odd, and longer than a vector register in both directions
BLOCKS = ((1, LARGE[1]), (LARGE[0], 1), (1, 1), (5, 7), (8, 3))
HUGE = (104, 200)  # one level: over the 20480 numbers at which torch changes its convolution kernel
PARTS = ((50, 60, 5, 7), (3, 0, 1, 200))  # j, i, nj, ni: blocks that are cut from it
Sample = tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, float]]  # inputs, noise, scalars


def self_test(engine: Engine) -> Literal["bitwise", "round-off"]:
    """Run the stored pair, the cuts 1 x N, N x 1, 1 x 1 and odd blocks of a small field, and two blocks of a large one.

    'bitwise' if every cut gives the bits of the whole, 'round-off' if it does within the tolerance. HaloclineError if
    the stored pair is not reproduced, or a cut differs by more: then the radius or the network's padding is wrong. A
    reduced precision (cn_precision) widens nothing: the tolerance in the contract must allow for it.
    """
    contract = engine.contract
    test = _required(contract)
    got, want = engine.run(*sample(contract)), stored_outputs(contract)
    for name, stored in want.items():
        _close(engine, name, got[name], stored, test.tolerance, "the stored self-test")

    small = [
        (j, i, min(nj, LARGE[0] - j), min(ni, LARGE[1] - i))
        for nj, ni in BLOCKS
        for j in range(0, LARGE[0], nj)
        for i in range(0, LARGE[1], ni)
    ]
    bits = True
    fields = [((test.shape[0], *LARGE), small)]
    if engine.name in ("exported", "torchscript"):
        fields.append(((1, *HUGE), list(PARTS)))
    for shape, blocks in fields:
        case = sample(contract, shape)
        whole = {name: np.array(field) for name, field in engine.run(*case).items()}
        for block in blocks:
            for name, part, cut in _cut(engine, case, whole, block):
                _close(engine, name, cut, part, test.tolerance, f"the whole field when cut into blocks of {block[2:]}")
                bits = bits and part.tobytes() == cut.tobytes()
    release = getattr(engine, "release", None)
    if release is not None:
        release()
    return "bitwise" if bits else "round-off"


def first_run(engine: Engine) -> None:
    """Run the engine once on a small block: a graph that pads, or is not what its contract says, is refused at load."""
    test = engine.contract.self_test
    engine.run(*sample(engine.contract, test.shape if test else (2, 3, 4)))


def sample(contract: Contract, shape: tuple[int, int, int] | None = None) -> Sample:
    """Inputs, noise and scalars of the self-test, for an output of `shape`; without one, of the stored shape."""
    shape = shape or _required(contract).shape
    return sample_inputs(contract, shape), sample_noise(contract, shape), sample_scalars(contract)


def sample_inputs(contract: Contract, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Inputs of the self-test for an output of `shape` (k, nj, ni), padded by the radius, in the contract's dtype."""
    return {spec.name: _field(contract, spec.name, spec.levels, c, shape) for c, spec in enumerate(contract.inputs)}


def sample_noise(contract: Contract, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Noise of the self-test, made like its inputs and numbered after them."""
    first = len(contract.inputs)
    return {
        spec.name: _field(contract, spec.name, spec.levels, first + c, shape) for c, spec in enumerate(contract.noise)
    }


def sample_scalars(contract: Contract) -> dict[str, float]:
    """Scalars of the self-test: the first of the values, or the low end of the range."""
    return {name: float(next(iter(_rule(contract, name).values()))[0]) for name in contract.scalars}


def _rule(contract: Contract, name: str) -> Mapping[str, list[float]]:
    return contract.self_test.inputs[name] if contract.self_test else {"values": [1.0]}


def _field(contract: Contract, name: str, levels: int | str, c: int, shape: tuple[int, int, int]) -> np.ndarray:
    nj, ni = shape[1] + 2 * contract.radius, shape[2] + 2 * contract.radius
    k, j, i = np.ogrid[: shape[0] if levels == "all" else int(levels), :nj, :ni]
    # In [0, 1], without symmetry between j and i: a quadratic form modulo a prime.
    share = ((37 * j * j + 61 * i * i + 23 * j * i + 11 * (k + 1) * (i + 2 * j) + 101 * c) % 997) / 996.0
    rule = _rule(contract, name)
    if "range" in rule:
        low, high = rule["range"]
        field = low + (high - low) * share
    else:
        values = np.array(rule["values"])
        field = values[np.minimum((share * len(values)).astype(int), len(values) - 1)]
    return np.ascontiguousarray(field, dtype=contract.dtype)


def stored_outputs(contract: Contract) -> dict[str, np.ndarray]:
    """Outputs of the stored pair: name -> (k, nj, ni) in the contract's dtype."""
    test = _required(contract)
    fields = {}
    for out in contract.outputs:
        shape = (test.shape[0] if out.levels == "all" else out.levels, *test.shape[1:])
        try:
            raw = base64.b64decode(test.outputs[out.name], validate=True)
            fields[out.name] = np.frombuffer(raw, np.dtype(contract.dtype).newbyteorder("<")).reshape(shape)
        except (KeyError, ValueError) as error:
            raise HaloclineError(
                f"network '{contract.name}': the self_test's output '{out.name}' is not {shape} values of "
                f"{contract.dtype} ({error!r}). The file was altered: export the network again."
            ) from None
    return fields


def with_stored(contract: Contract, outputs: Mapping[str, np.ndarray]) -> Contract:
    """The contract with `outputs` as the stored outputs of its self-test."""
    little = np.dtype(contract.dtype).newbyteorder("<")
    encoded = {n: base64.b64encode(np.ascontiguousarray(a, little).tobytes()).decode() for n, a in outputs.items()}
    test = _required(contract).model_copy(update={"outputs": encoded})
    return contract.model_copy(update={"self_test": test})


def _cut(
    engine: Engine, case: Sample, whole: Mapping[str, np.ndarray], block: tuple[int, int, int, int]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, part of the whole, what the engine gives for the block) for each output; block: (j, i, nj, ni)."""
    (j, i, nj, ni), r2 = block, 2 * engine.contract.radius
    inputs, noise = (
        {n: np.ascontiguousarray(a[:, j : j + nj + r2, i : i + ni + r2]) for n, a in fields.items()}
        for fields in case[:2]
    )
    for name, field in engine.run(inputs, noise, case[2]).items():
        yield name, whole[name][:, j : j + nj, i : i + ni], field


def _close(engine: Engine, name: str, got: np.ndarray, want: np.ndarray, tolerance: float, what: str) -> None:
    scale = float(np.abs(want).max(initial=0.0))
    worst = float(np.abs(got - want).max(initial=0.0))
    if worst <= tolerance * scale:
        return
    contract, precision = engine.contract, getattr(engine, "precision", "")
    cause = (
        f"With cn_precision = '{precision}' the contract's tolerance must allow for it: give it one with `halocline attach`."
        if precision
        else f"The file, its radius ({contract.radius}) or this machine's library is not what the contract was made with: "
        "export the network again here and compare."
    )
    raise HaloclineError(
        f"network '{contract.name}': output '{name}' differs from {what} by {worst:.3g}, "
        f"allowed {tolerance:g} x {scale:.3g}. {cause}"
    )


def _required(contract: Contract) -> SelfTest:
    if contract.self_test is None:
        raise HaloclineError(f"network '{contract.name}' has no self_test in its contract. Export the network again.")
    return contract.self_test
