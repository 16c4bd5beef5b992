"""A contract against the fields of a model: every disagreement as a sentence."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from coupler.contract import Contract, InputSpec, OutputSpec
from coupler.errors import HaloclineError
from coupler.increments import as_tendency, window_words
from coupler.units import normalise_units, per_second, unit_factor


class FieldInfo(Protocol):
    """What a check needs to know about a field that the model offers or wants."""

    @property
    def name(self) -> str:
        """Name in the model."""
        ...

    @property
    def units(self) -> str:
        """Units as the model writes them."""
        ...

    @property
    def point(self) -> str:
        """T, U, V, F or W."""
        ...

    @property
    def levels(self) -> int:
        """Number of levels, 1 for a 2-D field."""
        ...


def check_against(
    contract: Contract,
    offered: Mapping[str, FieldInfo],
    radius: int,
    wanted: Mapping[str, FieldInfo] | None = None,
    optional: frozenset[str] = frozenset(),
) -> list[str]:
    """Every disagreement between a contract and the model's fields, as sentences; empty if the artefact may run.

    offered: network input name -> field of the model; radius: cells of halo that the exchange provides; wanted:
    network output name -> field that the model expects (outputs are checked only if given);
    optional: outputs that need no field of the model.
    """
    problems = []
    if radius < contract.radius:
        problems.append(
            f"network '{contract.name}' needs a halo of {contract.radius} cells, the exchange provides {radius}. "
            f"Set nn_halo = {contract.radius}, or leave it out: the largest radius is then used."
        )
    problems += _compare(contract, "input", contract.inputs, offered, frozenset())
    if wanted is not None:
        problems += _compare(contract, "output", contract.outputs, wanted, optional | contract.partners)
    counts = {f.levels for s in contract.inputs if s.levels == "all" and (f := offered.get(s.name)) is not None}
    if len(counts) > 1:
        problems.append(
            f"network '{contract.name}': inputs of all levels have different numbers of them: {sorted(counts)}. "
            "Send all of them with the same number of levels."
        )
    return problems


def _compare(
    contract: Contract,
    role: str,
    specs: Sequence[InputSpec | OutputSpec],
    fields: Mapping[str, FieldInfo],
    optional: frozenset[str],
) -> list[str]:
    problems = []
    for spec in specs:
        what = f"{role} '{spec.name}' of network '{contract.name}'"
        field = fields.get(spec.name)
        if field is None and spec.name in optional:
            continue
        if field is None:
            have = ", ".join(sorted(fields)) or "none"
            fix = "Send it in an exchange and name it among the network's inputs." if role == "input" else "Receive it."
            problems.append(f"{what} ({spec.units}, {spec.point} point) is not connected; connected: {have}. {fix}")
            continue
        problems += _units_problem(what, spec, field, contract)
        if field.point != spec.point and (spec.interpolate == "none" or "W" in (field.point, spec.point)):
            problems.append(
                f"{what} is on the {spec.point} point, the model's field '{field.name}' on the {field.point} point. "
                f"Connect a field on {spec.point}, or allow it in the contract (interpolate); nothing is moved silently."
            )
        if spec.levels != "all" and field.levels != spec.levels:
            problems.append(
                f"{what} has {spec.levels} level(s), the model's field '{field.name}' {field.levels}. "
                f"Name the levels in the namelist: '{spec.name}={field.name}(1:{spec.levels})'."
            )
    return problems


def _units_problem(what: str, spec: InputSpec | OutputSpec, field: FieldInfo, contract: Contract) -> list[str]:
    sent = as_tendency(spec, contract) if isinstance(spec, OutputSpec) else spec
    try:
        if normalise_units(field.units) == normalise_units(sent.units):
            return []
        factor = unit_factor(field.units, sent.units)
        mixed = _mixed_up(what, spec, field, contract) if isinstance(spec, OutputSpec) else ""
    except HaloclineError as error:
        return [f"{what}: the model's field '{field.name}': {error}"]
    if mixed:
        return [mixed]
    if sent is not spec:
        what += f", an increment of '{spec.units}' per window,"
    if factor is None:
        fix = "They measure different things: connect another field."
    elif isinstance(spec, OutputSpec):
        fix = (
            f"Multiply by {1 / factor:g} inside the network; or let the model accept '{sent.units}' and multiply what it receives. "
            "Nothing is converted."
        )
    else:
        fix = f"Multiply the model's field by {factor:g} before sending it; nothing is converted."
    return [f"{what} is in '{sent.units}', the model's field '{field.name}' in '{field.units}'. {fix}"]


def _mixed_up(what: str, spec: OutputSpec, field: FieldInfo, contract: Contract) -> str:
    """What is wrong where an increment and a tendency were taken for each other; '' where they were not."""
    if spec.kind == "increment" and contract.window and unit_factor(field.units, spec.units) is not None:
        return (
            f"{what} is an increment, '{spec.units}' per {window_words(contract.window)}, which the coupler delivers as a "
            f"tendency in '{per_second(spec.units)}'; the model's field '{field.name}' is in '{field.units}', as the increment "
            "itself. Connect a field that takes a tendency; or, if the network returns one already, export it with kind "
            "'tendency' and no window."
        )
    if spec.kind == "tendency" and unit_factor(field.units, per_second(spec.units)) is not None:
        return (
            f"{what} is of kind 'tendency' and in '{spec.units}', the model's field '{field.name}' in '{field.units}', which is "
            "that per second. If the network returns increments, export it with kind 'increment' and its window: the coupler "
            "then divides by it, once."
        )
    return ""
