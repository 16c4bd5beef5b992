"""The contract: the metadata inside an artefact that makes it safe to run. Knows neither torch nor MPI."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coupler.errors import HaloclineError
from coupler.units import normalise_units, unit_factor

KEY = "halocline"  # key of the JSON document in ONNX metadata_props; KEY.json in torch.export extra_files

Point = Literal["T", "U", "V", "F", "W"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Frozen):
    """A field that the network reads: (k, nj + 2 radius, ni + 2 radius), with `fill` outside the domain and under land.

    `fill` is a number in the field's units, or 'replicate' for the nearest wet value. `interpolate` lets the runtime
    bring the field from another point of the C-grid: 'mean' (components of vectors) or 'masked' (scalars).
    """

    name: str = Field(min_length=1)
    standard_name: str = ""
    units: str
    point: Point
    levels: Literal["all"] | int = "all"
    level_axis: Literal["batch", "channel"] = "batch"
    vector_pair: str | None = None
    fill: float | Literal["replicate"] = 0.0
    interpolate: Literal["none", "mean", "masked"] = "none"
    valid_range: tuple[float, float] | None = None
    static: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "InputSpec":
        _check_field("input", self.name, self.units, self.levels)
        if self.level_axis == "channel" and self.levels == "all":
            raise ValueError(f"input '{self.name}': level_axis 'channel' needs a number of levels, not 'all'.")
        if self.valid_range and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(f"input '{self.name}': valid_range {self.valid_range} is empty; give (low, high).")
        return self


class OutputSpec(_Frozen):
    """A field that the network returns: (k, nj, ni).

    `mask` names the static input where the runtime sets it to zero; with `interpolate` 'mean' the runtime may bring it to
    another point of the C-grid.
    """

    name: str = Field(min_length=1)
    units: str
    point: Point
    kind: Literal["tendency", "flux", "coefficient", "increment"] = "tendency"
    levels: Literal["all"] | int = "all"
    interpolate: Literal["none", "mean"] = "none"
    bounds: tuple[float, float] | None = None
    mask: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "OutputSpec":
        _check_field("output", self.name, self.units, self.levels)
        if self.bounds and not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"output '{self.name}': bounds {self.bounds} are empty; give (low, high).")
        return self


class SelfTest(_Frozen):
    """A stored input/output pair. The input is a formula, so that only the output takes room (a kilobyte or two).

    The formula (engines/selftest.py) uses integers, one division and one product-sum, all exact or correctly rounded:
    the same bits with any numpy on any machine, unlike sin() or a random generator. `inputs` maps a name to
    {"range": [low, high]} or {"values": [...]} (drawn from the list, for masks). `outputs` maps a name to the base64 of
    the little-endian values in the contract's dtype. `tolerance` is relative to the largest stored |value|.
    """

    shape: tuple[int, int, int]
    inputs: dict[str, dict[str, list[float]]]
    outputs: dict[str, str] = {}
    tolerance: float = Field(gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "SelfTest":
        for name, rule in self.inputs.items():
            sizes = {"range": len(rule.get("range", ())) == 2, "values": len(rule.get("values", ())) > 0}
            if len(rule) != 1 or not any(sizes[k] for k in rule if k in sizes):
                raise ValueError(f'self_test input \'{name}\': give {{"range": [low, high]}} or {{"values": [...]}}.')
        return self


class Contract(_Frozen):
    """What an artefact promises. `radius` [cells], `decomposition` and `edges` are measured at export, not asserted."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    version: str
    family: str
    license: str
    citation: str = ""
    trained_on: dict[str, str] | None = None
    coefficients: dict[str, float] = {}
    time_level: Literal["now", "before"] = "now"
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = Field(min_length=1)
    radius: int = Field(ge=0)
    dtype: Literal["f4", "f8"]
    edges: Literal["exact", "not exact"] = "exact"
    decomposition: Literal["bitwise", "round-off"]
    self_test: SelfTest | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Contract":
        for what, specs in (("input", self.inputs), ("output", self.outputs)):
            names = [spec.name for spec in specs]
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{what} '{twice[0]}' is listed twice; every {what} needs a name of its own.")
        known = {spec.name: spec for spec in self.inputs}
        for spec in self.inputs:
            pair = known.get(spec.vector_pair) if spec.vector_pair else None
            if spec.vector_pair and (pair is None or pair.vector_pair != spec.name):
                raise ValueError(f"input '{spec.name}': vector_pair '{spec.vector_pair}' is no input that pairs back.")
        for out in self.outputs:
            if out.mask and (out.mask not in known or not known[out.mask].static):
                raise ValueError(
                    f"output '{out.name}': mask '{out.mask}' is not a static input; inputs: {sorted(known)}."
                )
        if len({spec.level_axis for spec in self.inputs}) > 1:
            raise ValueError("level_axis must be the same for all inputs ('batch' or 'channel').")
        if self.channels and any(out.levels == "all" for out in self.outputs):
            raise ValueError("level_axis 'channel' needs a number of levels for every output, not 'all'.")
        if self.self_test:
            if set(self.self_test.inputs) != set(known):
                raise ValueError(f"self_test has inputs {sorted(self.self_test.inputs)}, the contract {sorted(known)}.")
            stored = set(self.self_test.outputs)
            if stored and stored != {out.name for out in self.outputs}:
                raise ValueError(f"self_test stores outputs {sorted(stored)}, not those of the contract.")
        return self

    @property
    def channels(self) -> bool:
        """True where one graph tensor (1, channel, j, i) carries all inputs, levels as channels."""
        return any(spec.level_axis == "channel" for spec in self.inputs)

    def to_json(self) -> str:
        """The document that is stored in the artefact; keys in a fixed order, so equal contracts give equal bytes."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "contract") -> "Contract":
        """Read and check; HaloclineError names every wrong entry. `where` is the artefact, for the message."""
        try:
            return cls.model_validate(json.loads(text))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HaloclineError(
                f"{where}: the contract is not a JSON document ({error}). Export the network again: `halocline export`."
            ) from None
        except ValidationError as error:
            raise HaloclineError(_sentences(error, where)) from None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str = "contract") -> "Contract":
        """As from_json, for a dict (a Python callable's CONTRACT)."""
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            raise HaloclineError(_sentences(error, where)) from None


def _check_field(role: str, name: str, units: str, levels: str | int) -> None:
    try:
        normalise_units(units)
    except HaloclineError as error:
        raise ValueError(f"{role} '{name}': {error}") from None
    if isinstance(levels, int) and levels < 1:
        raise ValueError(f"{role} '{name}': levels is {levels}; allowed: 'all' or a count from 1.")


def _sentences(error: ValidationError, where: str) -> str:
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"]) or "contract"
        got = "" if item["type"] in ("missing", "value_error") else f" Got {str(item.get('input'))[:60]!r}."
        lines.append(f"  {place}: {item['msg'].removeprefix('Value error, ')}.{got}".replace("..", "."))
    return (
        f"{where}: the contract is not valid:\n"
        + "\n".join(lines)
        + "\n  Correct the entries and export the network again."
    )


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
) -> list[str]:
    """Every disagreement between a contract and the model's fields, as sentences; empty if the artefact may run.

    offered: network input name -> field of the model; radius: cells of halo that the exchange provides; wanted:
    network output name -> field that the model expects (outputs are checked only if given).
    """
    problems = []
    if radius < contract.radius:
        problems.append(
            f"network '{contract.name}' needs a halo of {contract.radius} cells, the exchange provides {radius}. "
            f"Set nn_halo = {contract.radius}, or leave it out: the largest radius is then used."
        )
    problems += _compare(contract, "input", contract.inputs, offered)
    if wanted is not None:
        problems += _compare(contract, "output", contract.outputs, wanted)
    counts = {f.levels for s in contract.inputs if s.levels == "all" and (f := offered.get(s.name)) is not None}
    if len(counts) > 1:
        problems.append(
            f"network '{contract.name}': inputs of all levels have different numbers of them: {sorted(counts)}. "
            "Send all of them with the same number of levels."
        )
    return problems


def _compare(
    contract: Contract, role: str, specs: Sequence[InputSpec | OutputSpec], fields: Mapping[str, FieldInfo]
) -> list[str]:
    problems = []
    for spec in specs:
        what = f"{role} '{spec.name}' of network '{contract.name}'"
        field = fields.get(spec.name)
        if field is None:
            have = ", ".join(sorted(fields)) or "none"
            fix = "Send it in an exchange and name it among the network's inputs." if role == "input" else "Receive it."
            problems.append(f"{what} ({spec.units}, {spec.point} point) is not connected; connected: {have}. {fix}")
            continue
        problems += _units_problem(what, spec, field)
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


def _units_problem(what: str, spec: InputSpec | OutputSpec, field: FieldInfo) -> list[str]:
    try:
        if normalise_units(field.units) == normalise_units(spec.units):
            return []
        factor = unit_factor(field.units, spec.units)
    except HaloclineError as error:
        return [f"{what}: the model's field '{field.name}': {error}"]
    if factor is None:
        fix = "They measure different things: connect another field."
    else:
        fix = f"Multiply the model's field by {factor:g} before sending it; nothing is converted."
    return [f"{what} is in '{spec.units}', the model's field '{field.name}' in '{field.units}'. {fix}"]
