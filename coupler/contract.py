"""The contract: the metadata inside an artefact that makes it safe to run. Knows neither torch nor MPI."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from coupler.errors import HaloclineError
from coupler.specs import (
    Climatology,
    Explained,
    Frozen,
    InputSpec,
    LevelAxis,
    NoiseSpec,
    OutputSpec,
    Point,
    Scalar,
    SelfTest,
    Stochastic,
)

__all__ = [
    "KEY", "SCHEMA", "UPGRADES", "Climatology", "Contract", "Explained", "InputSpec", "LevelAxis", "NoiseSpec", "OutputSpec",
    "Point", "SelfTest", "Stochastic", "upgraded",
]  # fmt: skip

KEY = "halocline"  # key of the JSON document in ONNX metadata_props; KEY.json in extra files and in a zip
SCHEMA = 3
NEW_IN_3 = {"window", "climatology", "explained"}

Document = dict[str, Any]


class Contract(Frozen):
    """What an artefact promises. `radius` [cells], `decomposition` and `edges` are measured at export, not asserted.

    `tensors`: 'named', one graph tensor (k, J, I) per input and output; 'stacked', one tensor of all inputs and one of all
    outputs, channels in their order (noise last), as `level_axis` says: 'batch' (k, c, J, I), 'channel' (1, c k, J, I),
    'axis' (1, c, k, J, I), 'vector' (J I, c k). Scalars are tensors (1,) of their own. Default: 'named' for 'batch'.
    `window` [s]: time over which an output of kind 'increment' is added; with such outputs, and only with them. `climatology`
    and `explained` (output -> parts of its variance) tell what of them follows the season and what the state.
    """

    schema_version: Literal[3] = 3
    name: str = Field(min_length=1)
    version: str
    family: str
    license: str
    citation: str = ""
    trained_on: dict[str, str] | None = None
    coefficients: dict[str, float] = Field({})
    time_level: Literal["now", "before"] = "now"
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = Field(min_length=1)
    noise: tuple[NoiseSpec, ...] = ()
    scalars: tuple[Scalar, ...] = ()
    tensors: Literal["named", "stacked"] | None = None
    stochastic: Stochastic | None = None
    window: float | None = Field(None, gt=0)
    climatology: Climatology | None = None
    explained: dict[str, Explained] | None = None
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
        self._check_increments()
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

    def _check_increments(self) -> None:
        increments = [out.name for out in self.outputs if out.kind == "increment"]
        if increments and self.window is None:
            raise ValueError(
                f"output '{increments[0]}' is an increment, and no `window` says what time it is for. Give its seconds, as in "
                '"window": 432000 for increments of 5 days.'
            )
        if self.window is not None and not increments:
            kinds = ", ".join(f"'{out.name}' {out.kind}" for out in self.outputs)
            raise ValueError(
                f"`window` is {self.window:g} s, and no output is of kind 'increment' ({kinds}). A tendency is per second and has "
                "no window: leave it out, or correct the kind."
            )
        if self.climatology and self.climatology.harmonics and "day_of_year" not in self.scalars:
            raise ValueError(
                f"`climatology` has {self.climatology.harmonics} harmonics of the year, and `scalars` lack 'day_of_year': the "
                "network cannot know the season. Add it, or give 0 harmonics for a mean alone."
            )
        unknown = sorted(set(self.explained or {}) - {out.name for out in self.outputs})
        if unknown:
            raise ValueError(f"`explained` names '{unknown[0]}', which is no output.")

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
        """The document that is stored in the artefact; keys in a fixed order, so equal contracts give equal bytes.

        Its number is the oldest, from 2 on, that knows all its entries: what needs nothing new keeps its bytes and its readers.
        """
        document = self.model_dump(mode="json", exclude_none=True)
        if not NEW_IN_3 & set(document):
            document["schema_version"] = 2
        return json.dumps(document, ensure_ascii=True)

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


def _from_2(document: Document) -> Document:
    """Schema 3 added window, climatology, explained: all with defaults."""
    return {**document, "schema_version": 3}


UPGRADES: Mapping[int, Callable[[Document], Document]] = {1: _from_1, 2: _from_2}  # n to n + 1; none is removed


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
