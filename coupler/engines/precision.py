"""Faster arithmetic for float32 networks: tf32, bf16, fp16, and what it costs in accuracy."""

from collections.abc import Callable

import numpy as np

from coupler.contract import Contract
from coupler.engines.selftest import Sample, sample
from coupler.errors import HaloclineError

PRECISIONS = ("", "tf32", "bf16", "fp16")


def check_precision(precision: str, contract: Contract, allowed: tuple[str, ...], who: str) -> None:
    """HaloclineError unless `precision` is '' or in `allowed`, what the engine and device named in `who` can do."""
    if precision not in PRECISIONS:
        raise HaloclineError(f"cn_precision = '{precision}' is not known. Allowed: '', 'tf32', 'bf16', 'fp16'.")
    if precision and contract.dtype != "f4":
        raise HaloclineError(
            f"cn_precision = '{precision}' is for float32 networks; '{contract.name}' is float64. Leave cn_precision out, or "
            "export the network as float32 (dtype f4)."
        )
    if precision and precision not in allowed:
        raise HaloclineError(
            f"cn_precision = '{precision}' is nothing that {who} can do for network '{contract.name}'. Allowed there: "
            f"{', '.join(allowed) or 'none, leave it out'}."
        )


def error_note(
    contract: Contract,
    precision: str,
    reduced: Callable[[Sample], dict[str, np.ndarray]],
    full: Callable[[Sample], dict[str, np.ndarray]],
) -> str:
    """Largest difference from float32 on the inputs of the self-test, relative to the largest value, per output's worst.

    The self-test's own tolerance is not widened: give the contract one (`halocline attach`) that the note allows.
    """
    case = sample(contract)
    # Copies: results may be views of buffers that the next call fills.
    want = {name: np.array(field) for name, field in full(case).items()}
    worst = 0.0
    for name, field in reduced(case).items():
        scale = float(np.abs(want[name]).max(initial=0.0))
        worst = max(worst, float(np.abs(field - want[name]).max(initial=0.0)) / scale if scale else 0.0)
    return f"{precision}: largest difference from float32 on the self-test {worst:.1e} of the largest value"
