"""Increments as tendencies. An increment is per window, the ocean takes rates: what is divided by the window stands here alone.

    tendency = increment * (1 / window)

The factor is rounded to the network's type and multiplied with, as on a GPU; limits go the same way, so that a value at
its bound stays there. Everything after the outlet (guards, messages, shadows, recordings, the ocean) sees the tendency.
"""

from collections.abc import Sequence

import numpy as np

from coupler.contract import Contract, OutputSpec
from coupler.units import per_second

DAY, HOUR = 86400.0, 3600.0


def rate_of(spec: OutputSpec, contract: Contract) -> float | None:
    """1/window [s-1], as the contract's type holds it, that turns an output into a tendency; None for one that is none."""
    if spec.kind != "increment":
        return None
    assert contract.window is not None  # the contract was checked
    return float(np.dtype(contract.dtype).type(1.0 / contract.window))


def as_tendency(spec: OutputSpec, contract: Contract) -> OutputSpec:
    """The output as everything but the network sees it: units, bounds and largest rate per second. Others stay as they are.

    The result is of kind 'tendency', so a second call changes nothing.
    """
    rate = rate_of(spec, contract)
    if rate is None:
        return spec
    kind = np.dtype(contract.dtype).type
    bounds = None if spec.bounds is None else tuple(float(kind(bound) * kind(rate)) for bound in spec.bounds)
    return spec.model_copy(
        update={
            "kind": "tendency",
            "units": per_second(spec.units),
            "bounds": bounds,
            "max_rate": None if spec.max_rate is None else spec.max_rate * rate,
        }
    )


def delivered(contract: Contract) -> tuple[OutputSpec, ...]:
    """The outputs of a network as the ocean, and networks that read them, get them."""
    return tuple(as_tendency(spec, contract) for spec in contract.outputs)


def window_words(seconds: float) -> str:
    """'5 days', '6 hours', '90 s'."""
    for unit, size in (("day", DAY), ("hour", HOUR)):
        if seconds >= size and (seconds / size) % 0.25 == 0:
            return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:g} s"


def conversions(contract: Contract) -> list[str]:
    """What is converted, one phrase for each unit: 'du_bias, dv_bias: increment of m s-1 per 5 days -> tendency in m s-2'."""
    if contract.window is None:
        return []
    groups: dict[str, list[OutputSpec]] = {}
    for spec in contract.outputs:
        if spec.kind == "increment":
            groups.setdefault(spec.units, []).append(spec)
    return [_phrase(units, specs, contract.window) for units, specs in groups.items()]


def _phrase(units: str, specs: Sequence[OutputSpec], window: float) -> str:
    names = ", ".join(spec.name for spec in specs)
    return f"{names}: increment of {units} per {window_words(window)} -> tendency in {per_second(units)}"
