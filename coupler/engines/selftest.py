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


def self_test(engine: Engine) -> Literal["bitwise", "round-off"]:
    """Run the stored pair and the cuts 1 x N, N x 1, 1 x 1 and odd blocks.

    'bitwise' if every cut gives the bits of the whole, 'round-off' if it does within the tolerance. HaloclineError if
    the stored pair is not reproduced, or a cut differs by more: then the radius or the network's padding is wrong.
    """
    contract = engine.contract
    test = _required(contract)
    got, want = engine.run(sample_inputs(contract, test.shape)), stored_outputs(contract)
    for name, stored in want.items():
        _close(contract, name, got[name], stored, test.tolerance, "the stored self-test")

    shape = (test.shape[0], *LARGE)
    inputs = sample_inputs(contract, shape)
    whole = engine.run(inputs)
    bits = True
    for block in BLOCKS:
        for name, part, cut in _cuts(engine, inputs, whole, block):
            _close(contract, name, cut, part, test.tolerance, f"the whole field when cut into blocks of {block}")
            bits = bits and part.tobytes() == cut.tobytes()
    return "bitwise" if bits else "round-off"


def sample_inputs(contract: Contract, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Inputs of the self-test for an output of `shape` (k, nj, ni), padded by the radius, in the contract's dtype."""
    rules = _required(contract).inputs
    nj, ni = shape[1] + 2 * contract.radius, shape[2] + 2 * contract.radius
    fields = {}
    for c, spec in enumerate(contract.inputs):
        k, j, i = np.ogrid[: shape[0] if spec.levels == "all" else spec.levels, :nj, :ni]
        # In [0, 1], without symmetry between j and i: a quadratic form modulo a prime.
        share = ((37 * j * j + 61 * i * i + 23 * j * i + 11 * (k + 1) * (i + 2 * j) + 101 * c) % 997) / 996.0
        rule = rules[spec.name]
        if "range" in rule:
            low, high = rule["range"]
            field = low + (high - low) * share
        else:
            values = np.array(rule["values"])
            field = values[np.minimum((share * len(values)).astype(int), len(values) - 1)]
        fields[spec.name] = np.ascontiguousarray(field, dtype=contract.dtype)
    return fields


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


def _cuts(
    engine: Engine, inputs: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray], block: tuple[int, int]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    r2 = 2 * engine.contract.radius
    for j in range(0, LARGE[0], block[0]):
        for i in range(0, LARGE[1], block[1]):
            nj, ni = min(block[0], LARGE[0] - j), min(block[1], LARGE[1] - i)
            cut = engine.run(
                {n: np.ascontiguousarray(a[:, j : j + nj + r2, i : i + ni + r2]) for n, a in inputs.items()}
            )
            for name, field in cut.items():
                yield name, whole[name][:, j : j + nj, i : i + ni], field


def _close(contract: Contract, name: str, got: np.ndarray, want: np.ndarray, tolerance: float, what: str) -> None:
    scale = float(np.abs(want).max(initial=0.0))
    worst = float(np.abs(got - want).max(initial=0.0))
    if not worst <= tolerance * scale:
        raise HaloclineError(
            f"network '{contract.name}': output '{name}' differs from {what} by {worst:.3g}, "
            f"allowed {tolerance:g} x {scale:.3g}. The file, its radius ({contract.radius}) or this machine's library is "
            "not what the contract was made with: export the network again here and compare."
        )


def _required(contract: Contract) -> SelfTest:
    if contract.self_test is None:
        raise HaloclineError(f"network '{contract.name}' has no self_test in its contract. Export the network again.")
    return contract.self_test
