"""The contract: the metadata inside an artefact that makes it safe to run. Knows neither torch nor MPI."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coupler.errors import HaloclineError
from coupler.units import normalise_units

KEY = "halocline"  # key of the JSON document in ONNX metadata_props; KEY.json in extra files and in a zip
SCHEMA = 2

Point = Literal["T", "U", "V", "F", "W"]
LevelAxis = Literal["batch", "channel", "vector", "axis"]
Scalar = Literal["kt", "seconds_of_day", "day_of_year"]
Document = dict[str, Any]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Frozen):
    """A field that the network reads: (k, nj + 2 radius, ni + 2 radius), with `fill` outside the domain and under land.

    `fill` is a number in the field's units, or 'replicate' for the nearest wet value. `interpolate` lets the runtime
    bring the field from another point of the C-grid: 'mean' (components of vectors) or 'masked' (scalars).
    `valid_range` is what is physically possible; `percentiles` are the values at 0.1 % and 99.9 % of the training data,
    outside which an input counts as novel.
    """

    name: str = Field(min_length=1)
    standard_name: str = ""
    units: str
    point: Point
    levels: Literal["all"] | int = "all"
    level_axis: LevelAxis = "batch"
    vector_pair: str | None = None
    fill: float | Literal["replicate"] = 0.0
    interpolate: Literal["none", "mean", "masked"] = "none"
    valid_range: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    static: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "InputSpec":
        _check_field("input", self.name, self.units, self.levels)
        if self.level_axis in ("channel", "vector") and self.levels == "all":
            raise ValueError(
                f"input '{self.name}': level_axis '{self.level_axis}' needs a number of levels, not 'all'."
            )
        for what, pair in (("valid_range", self.valid_range), ("percentiles", self.percentiles)):
            if pair and not pair[0] < pair[1]:
                raise ValueError(f"input '{self.name}': {what} {pair} is empty; give (low, high).")
        return self


class OutputSpec(_Frozen):
    """A field that the network returns: (k, nj, ni).

    `mask` names the static input where the runtime sets it to zero; with `interpolate` 'mean' the runtime may bring it to
    another point of the C-grid. `bounds` are what it may be, `max_rate` [units per second] how fast it may change.
    `inv_std` names the output that holds 1/std of this one: the runtime then returns mean + noise / inv_std.
    `conserve`: its area- or volume-weighted sum over the domain must vanish, and the runtime removes the rest.
    `vector_pair` is the other component of a vector: both change sign across a north fold.
    """

    name: str = Field(min_length=1)
    units: str
    point: Point
    kind: Literal["tendency", "flux", "coefficient", "increment"] = "tendency"
    levels: Literal["all"] | int = "all"
    interpolate: Literal["none", "mean"] = "none"
    bounds: tuple[float, float] | None = None
    max_rate: float | None = Field(None, gt=0)
    mask: str | None = None
    inv_std: str | None = None
    vector_pair: str | None = None
    conserve: Literal["none", "momentum", "mass", "heat"] = "none"

    @model_validator(mode="after")
    def _consistent(self) -> "OutputSpec":
        _check_field("output", self.name, self.units, self.levels)
        if self.bounds and not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"output '{self.name}': bounds {self.bounds} are empty; give (low, high).")
        return self


class NoiseSpec(_Frozen):
    """Standard normal numbers [1] that the graph reads, shaped like an input; the runtime makes them per global cell."""

    name: str = Field(min_length=1)
    point: Point = "T"
    levels: Literal["all"] | int = "all"


class Stochastic(_Frozen):
    """How the noise varies. `gaussian` needs outputs with `inv_std`; the other kinds read `noise` inputs.

    `memory` [s] is the e-folding time of 'ar1' and the length of 'hold'; 'white' has none.
    """

    kind: Literal["gaussian", "ensemble", "flow"]
    time: Literal["white", "ar1", "hold"] = "white"
    memory: float = Field(0.0, ge=0)
    levels: Literal["shared", "independent"] = "independent"

    @model_validator(mode="after")
    def _consistent(self) -> "Stochastic":
        if (self.memory > 0) != (self.time != "white"):
            raise ValueError(
                f"stochastic: time '{self.time}' with memory {self.memory:g} s; 'ar1' and 'hold' need one."
            )
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
    """What an artefact promises. `radius` [cells], `decomposition` and `edges` are measured at export, not asserted.

    `tensors`: 'named', one graph tensor (k, J, I) per input and output; 'stacked', one tensor of all inputs and one of all
    outputs, channels in their order (noise last), as `level_axis` says: 'batch' (k, c, J, I), 'channel' (1, c k, J, I),
    'axis' (1, c, k, J, I), 'vector' (J I, c k). Scalars are tensors (1,) of their own. Default: 'named' for 'batch'.
    """

    schema_version: Literal[2] = 2
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
    noise: tuple[NoiseSpec, ...] = ()
    scalars: tuple[Scalar, ...] = ()
    tensors: Literal["named", "stacked"] | None = None
    stochastic: Stochastic | None = None
    radius: int = Field(ge=0)
    dtype: Literal["f4", "f8"]
    edges: Literal["exact", "not exact"] = "exact"
    decomposition: Literal["bitwise", "round-off"]
    self_test: SelfTest | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Contract":
        for what, names in (
            ("input", [*(s.name for s in self.inputs), *(s.name for s in self.noise), *self.scalars]),
            ("output", [spec.name for spec in self.outputs]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{what} '{twice[0]}' is listed twice; every {what} needs a name of its own.")
        self._check_partners()
        self._check_levels()
        if self.self_test:
            known = {*(s.name for s in self.inputs), *(s.name for s in self.noise), *self.scalars}
            if set(self.self_test.inputs) != known:
                raise ValueError(f"self_test has inputs {sorted(self.self_test.inputs)}, the contract {sorted(known)}.")
            stored = set(self.self_test.outputs)
            if stored and stored != {out.name for out in self.outputs}:
                raise ValueError(f"self_test stores outputs {sorted(stored)}, not those of the contract.")
        return self

    def _check_partners(self) -> None:
        known = {spec.name: spec for spec in self.inputs}
        made = {out.name: out for out in self.outputs}
        pairs: dict[str, Mapping[str, InputSpec | OutputSpec]] = {"input": known, "output": made}
        for role, specs in pairs.items():
            for spec in specs.values():
                pair = specs.get(spec.vector_pair) if spec.vector_pair else None
                if spec.vector_pair and (pair is None or pair.vector_pair != spec.name):
                    words = f"{role} '{spec.name}': vector_pair '{spec.vector_pair}'"
                    raise ValueError(f"{words} is no {role} that pairs back.")
        for out in self.outputs:
            if out.mask and (out.mask not in known or not known[out.mask].static):
                raise ValueError(
                    f"output '{out.name}': mask '{out.mask}' is not a static input; inputs: {sorted(known)}."
                )
            partner = made.get(out.inv_std) if out.inv_std else None
            if out.inv_std and (partner is None or partner is out or partner.inv_std):
                raise ValueError(f"output '{out.name}': inv_std '{out.inv_std}' is no other output of this network.")
            if partner is not None and (partner.point, partner.levels) != (out.point, out.levels):
                raise ValueError(f"output '{out.name}': inv_std '{out.inv_std}' is on another point or other levels.")
        gaussian = any(out.inv_std for out in self.outputs)
        if (self.stochastic is not None) != (gaussian or bool(self.noise)):
            raise ValueError(
                "`stochastic` and noise belong together: give both (outputs with inv_std, or noise), or none."
            )
        if self.stochastic and (self.stochastic.kind == "gaussian") != gaussian:
            raise ValueError(
                f"stochastic kind '{self.stochastic.kind}': 'gaussian' is for outputs with inv_std, and only it."
            )

    def _check_levels(self) -> None:
        if len({spec.level_axis for spec in self.inputs}) > 1:
            raise ValueError("level_axis must be the same for all inputs.")
        if self.tensors == "named" and self.level_axis != "batch":
            raise ValueError(f"level_axis '{self.level_axis}' needs stacked tensors: leave `tensors` out.")
        levels = {*(s.levels for s in self.inputs), *(s.levels for s in self.noise), *(s.levels for s in self.outputs)}
        if self.level_axis in ("channel", "vector") and "all" in levels:
            raise ValueError(f"level_axis '{self.level_axis}' needs a number of levels everywhere, not 'all'.")
        if self.stacked and self.level_axis in ("batch", "axis") and len(levels) > 1:
            raise ValueError(
                f"stacked tensors (k, c, J, I) hold fields of one number of levels, got {sorted(map(str, levels))}."
            )
        if self.level_axis == "vector" and self.radius:
            raise ValueError(f"level_axis 'vector' is for columns: its radius is 0, got {self.radius}.")

    @property
    def level_axis(self) -> LevelAxis:
        """What the graph makes of levels."""
        return self.inputs[0].level_axis if self.inputs else "batch"

    @property
    def stacked(self) -> bool:
        """True where one graph tensor carries all inputs, and one all outputs."""
        return self.tensors == "stacked" or self.level_axis != "batch"

    @property
    def partners(self) -> frozenset[str]:
        """Outputs that only scale the noise of others."""
        return frozenset(out.inv_std for out in self.outputs if out.inv_std)

    def to_json(self) -> str:
        """The document that is stored in the artefact; keys in a fixed order, so equal contracts give equal bytes."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "contract") -> "Contract":
        """Read and check; HaloclineError names every wrong entry. `where` is the artefact, for the message."""
        try:
            return cls.from_dict(json.loads(text), where)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HaloclineError(
                f"{where}: the contract is not a JSON document ({error}). Export the network again: `halocline export`."
            ) from None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str = "contract") -> "Contract":
        """As from_json, for a dict (a Python callable's CONTRACT). Documents of older schemas are upgraded."""
        if not isinstance(document, Mapping):
            raise HaloclineError(f"{where}: the contract is {type(document).__name__}, not a JSON object. Correct it.")
        try:
            return cls.model_validate(upgraded(document, where))
        except ValidationError as error:
            raise HaloclineError(_sentences(error, where)) from None


def _from_1(document: Document) -> Document:
    """Schema 2 added noise, scalars, stochastic, tensors, percentiles, max_rate, inv_std, conserve: all with defaults."""
    return {**document, "schema_version": 2}


UPGRADES: Mapping[int, Callable[[Document], Document]] = {1: _from_1}  # schema n to n + 1; none is ever removed


def upgraded(document: Mapping[str, Any], where: str = "contract") -> Document:
    """The document in the present schema. HaloclineError for a newer one; a document without a number is of schema 1."""
    result = dict(document)
    version = result.setdefault("schema_version", 1)
    if type(version) is not int or not 1 <= version <= SCHEMA:
        raise HaloclineError(
            f"{where}: the contract is of schema {version!r}, this version of Halocline reads 1 to {SCHEMA}. Install the "
            "version that wrote it or a newer one (a newer Halocline reads every older schema)."
        )
    while result["schema_version"] < SCHEMA:
        result = UPGRADES[result["schema_version"]](result)
    return result


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
