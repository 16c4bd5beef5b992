"""The parts of a contract: what an input, an output, noise, a self-test are, each checked by itself."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coupler.errors import HaloclineError
from coupler.units import normalise_units

Point = Literal["T", "U", "V", "F", "W"]
LevelAxis = Literal["batch", "channel", "vector", "axis"]
Scalar = Literal["kt", "seconds_of_day", "day_of_year"]


class Frozen(BaseModel):
    """Nothing changes, nothing unknown is accepted, every number is finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(Frozen):
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


class OutputSpec(Frozen):
    """A field that the network returns: (k, nj, ni).

    `kind` 'increment': what assimilation adds per window, in the units of the state; the runtime divides it by the contract's
    `window`, once (coupler/increments.py), and the ocean gets a tendency.
    `mask` names the static input where the runtime sets it to zero; with `interpolate` 'mean' the runtime may bring it to
    another point of the C-grid. `bounds` are what it may be, `max_rate` [units per second] how fast it may change.
    `inv_std` names the output that holds 1/std of this one: the runtime then returns mean + noise / inv_std.
    `conserve`: its area- or volume-weighted sum over the domain must vanish, and the runtime removes the rest: 'mass' that of
    each level by itself, so that no layer gains any, 'momentum' and 'heat' that of all levels.
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


class NoiseSpec(Frozen):
    """Standard normal numbers [1] that the graph reads, shaped like an input; the runtime makes them per global cell."""

    name: str = Field(min_length=1)
    point: Point = "T"
    levels: Literal["all"] | int = "all"


class Stochastic(Frozen):
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


class SelfTest(Frozen):
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


class Climatology(Frozen):
    """The part of the outputs that follows the season alone: its mean and `harmonics` of a year of `year_days` [days]."""

    harmonics: int = Field(ge=0)
    year_days: float = Field(gt=0)


class Explained(Frozen):
    """Parts of an output's variance on the test data [1]: by the climatology, and by the state on top of it.

    A part below 0 is worse than none.
    """

    climatology: float = Field(0.0, le=1)
    state: float = Field(le=1)


def _check_field(role: str, name: str, units: str, levels: str | int) -> None:
    try:
        normalise_units(units)
    except HaloclineError as error:
        raise ValueError(f"{role} '{name}': {error}") from None
    if isinstance(levels, int) and levels < 1:
        raise ValueError(f"{role} '{name}': levels is {levels}; allowed: 'all' or a count from 1.")
