"""Arrays that enter and leave a network, compared with its contract."""

from collections.abc import Mapping

import numpy as np

from coupler.contract import Contract
from coupler.errors import HaloclineError

Arrays = Mapping[str, np.ndarray]


def check_inputs(
    contract: Contract, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
) -> tuple[int, int, int]:
    """Compare what goes in with the contract; returns (k, nj, ni) of the output, k the levels of inputs with 'all'.

    inputs, noise: (levels, nj + 2r, ni + 2r); scalars: numbers by name. HaloclineError names the first disagreement.
    """
    noise, scalars = noise or {}, scalars or {}
    for role, got, wanted in (
        ("inputs", inputs, [spec.name for spec in contract.inputs]),
        ("noise", noise, [spec.name for spec in contract.noise]),
        ("scalars", scalars, contract.scalars),
    ):
        if len(got) != len(wanted) or any(name not in got for name in wanted):
            raise HaloclineError(
                f"network '{contract.name}' got {role} {sorted(got)}, needs {sorted(wanted)}. Pass exactly these."
            )
    specs = [(spec, inputs[spec.name]) for spec in contract.inputs]
    specs += [(spec, noise[spec.name]) for spec in contract.noise]  # type: ignore[misc]
    if not specs:
        raise HaloclineError(f"network '{contract.name}' reads no field: nothing gives it a size. Add an input.")
    dtype, r2 = np.dtype(contract.dtype), 2 * contract.radius
    first = specs[0][1]
    plane, k = first.shape[1:], 0
    for spec, array in specs:
        if array.dtype != dtype or not array.flags.c_contiguous or array.ndim != 3 or array.shape[1:] != plane:
            raise HaloclineError(_words(contract, spec.name, array, f"(k, {', '.join(map(str, plane))})"))
        if spec.levels == "all":
            k = k or array.shape[0]
        if array.shape[0] != (k if spec.levels == "all" else spec.levels):
            raise HaloclineError(
                _words(contract, spec.name, array, f"{k if spec.levels == 'all' else spec.levels} levels")
            )
    if k == 0:
        k = max(int(spec.levels) for spec, _ in specs)
    if len(plane) != 2 or min(plane) <= r2:
        raise HaloclineError(
            f"network '{contract.name}': the inputs are {first.shape}; with a radius of {contract.radius} the last two "
            f"sizes must be over {r2}. Pad the block by the radius on every side."
        )
    return k, plane[0] - r2, plane[1] - r2


def check_outputs(contract: Contract, outputs: Arrays, shape: tuple[int, int, int]) -> None:
    """Compare what a network returned with the contract: names, type and shape (k, nj, ni)."""
    dtype = np.dtype(contract.dtype)
    for out in contract.outputs:
        want = (shape[0] if out.levels == "all" else out.levels, *shape[1:])
        got = outputs.get(out.name)
        if got is None or got.shape != want or got.dtype != dtype:
            raise HaloclineError(disagreement(contract, out.name, got, want))


def disagreement(contract: Contract, name: str, got: np.ndarray | None, want: tuple[int, ...]) -> str:
    """What a network returned as `name`, and what its contract says, as a sentence with the way out."""
    what = "nothing" if got is None else f"{tuple(got.shape)} of {got.dtype}"
    text = (
        f"network '{contract.name}' returned {what} for output '{name}', its contract says {want} of "
        f"{np.dtype(contract.dtype)} (radius {contract.radius}). "
    )
    if got is not None and got.ndim == len(want) and all(g >= w for g, w in zip(got.shape, want, strict=True)):
        if got.shape != want:
            return text + (
                "It pads inside, and a network must not pad: crop its output by the radius, or let "
                "`halocline attach --crop` do so."
            )
    return text + "Correct the contract, or export the network again."


def _words(contract: Contract, name: str, array: np.ndarray, want: str) -> str:
    order = "C order" if array.flags.c_contiguous else "not in C order"
    return (
        f"network '{contract.name}': input '{name}' is {array.shape} of {array.dtype}, {order}; needed: {want} of "
        f"{np.dtype(contract.dtype)}, C order. Nothing is cast, copied or broadcast: pass the array as needed."
    )
