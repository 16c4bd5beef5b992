"""What all trained families share: physical units in and out, masks as inputs, no padding; the builder and the contract."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coupler.contract import SCHEMA, Contract, InputSpec, OutputSpec
from coupler.errors import HaloclineError
from models.data.statistics import Statistics
from models.families.staggered import METRICS
from models.settings import NamTrain

if TYPE_CHECKING:
    from models.families.increment import Climate

POINTS = {"tmask": "T", "umask": "U", "vmask": "V"}  # every network reads these: they are how it sees walls
MASKS = {point: mask for mask, point in POINTS.items()}
VARIABLES = {"t": "sst"}  # input -> variable of the data set, where the names differ
BOUND = 10.0  # outputs are bounded by this times the largest 99.9 % of the target
SLACK = 1.0  # inputs may leave what the training saw by this part of its span, before they count as impossible

# standard_name, units, point, vector_pair, fill, static. Outside the domain and under land the graph sets the standardised
# fields to zero with the masks, so a fill only has to be finite; equal fills let networks share a field.
FIELDS: dict[str, tuple[str, str, str, str | None, float, bool]] = {
    "u": ("sea_water_x_velocity", "m s-1", "U", "v", 0.0, False),
    "v": ("sea_water_y_velocity", "m s-1", "V", "u", 0.0, False),
    "h": ("cell_thickness", "m", "T", None, 1.0, False),
    "t": ("sea_water_temperature", "degC", "T", None, 0.0, False),
    "ff_t": ("coriolis_parameter", "s-1", "T", None, 0.0, True),
}
NEEDED = {
    "momentum_cnn": ("u", "v"),
    "gz21": ("u", "v"),
    "stress": ("u", "v", "h"),
    "stress_ann": ("u", "v", "h"),
}
FAMILIES = tuple(NEEDED)
INCREMENTS = ("increment_cnn", "increment_mlp", "increment_mean")
PLACE = ("mig", "mjg")  # global column and row of a cell, from 1
ODD = ("u", "v", "ff_t")  # scaled, not shifted: zero stays zero, and a change of sign stays one


class Trainable(torch.nn.Module):
    """(n, c, J, I) in physical units to (n, c', J - 2 radius, I - 2 radius) in physical units.

    Channels are `inputs` in order, then k; outputs likewise. Results are zero on land faces. `centred`: what a face's tendency is
    made of lies alike on both sides of the face, so that a mirror image of the network reaches no farther than itself.
    """

    centred = False
    tolerance = 1e-5  # of the self-test in float32, of the largest value

    def __init__(
        self, family: str, inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec], radius: int, citation: str = ""
    ) -> None:
        super().__init__()
        self.family, self.radius, self.citation = family, radius, citation
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.coefficients: dict[str, float] = {}
        self.scalars: tuple[str, ...] = ()
        self.facts: dict[str, Any] = {}  # entries of the contract that only some families have

    @property
    def fitted(self) -> torch.nn.Module | None:
        """What the training fits; None when there is nothing to fit."""
        return self

    @property
    def extent(self) -> tuple[int, int]:
        """Columns and rows of the grid that the network is bound to; (1, 1) for none."""
        return 1, 1

    def split(self, x: Tensor) -> dict[str, Tensor]:
        """The inputs (n, levels, J, I) by name; metrics at least 1 m."""
        parts = x.split([int(spec.levels) for spec in self.inputs], dim=1)
        fields = {spec.name: part for spec, part in zip(self.inputs, parts, strict=True)}
        # Spacings under land may be anything, zero too: what is divided by them is multiplied by a mask afterwards.
        return {name: field.clamp(min=1.0) if name in METRICS else field for name, field in fields.items()}


def crop(x: Tensor, n: int) -> Tensor:
    """Without n rows and columns on each side."""
    return x[..., n:-n, n:-n] if n else x


def input_specs(train: NamTrain, levels: int, statistics: Statistics, metrics: Sequence[str] = ()) -> list[InputSpec]:
    """Specs of the fields of `cn_inputs`, static ones last, then masks, then static `metrics` (e1t, ...).

    HaloclineError for a field without statistics.
    """
    specs = []
    for name in train.cn_inputs:
        standard_name, units, point, pair, fill, static = FIELDS[name]
        variable = VARIABLES.get(name, name)
        count = levels if name in ("u", "v", "h") else max(1, len(statistics.mean.get(variable, ())))
        standard(name, count, statistics)
        low, high = statistics.low[variable], statistics.high[variable]
        span = SLACK * (high - low) or 1.0
        floor = 0.0 if name == "h" else -float("inf")
        percentiles = (statistics.p001[variable], statistics.p999[variable])
        specs.append(
            InputSpec(
                name=name,
                standard_name=standard_name,
                units=units,
                point=point,
                levels=count,
                level_axis="channel",
                vector_pair=pair if pair in train.cn_inputs else None,
                fill=fill,
                valid_range=(max(low - span, floor), high + span),
                percentiles=percentiles if percentiles[0] < percentiles[1] and not static else None,
                static=static,
            )
        )
    return [*sorted(specs, key=lambda spec: spec.static), *map(_mask, POINTS), *map(_metric, metrics)]


def _mask(name: str) -> InputSpec:
    return InputSpec(
        name=name, units="1", point=POINTS[name], levels=1, level_axis="channel", valid_range=(0, 1), static=True
    )


def _metric(name: str) -> InputSpec:
    return InputSpec(
        name=name, units="m", point=name[-1].upper(), levels=1, level_axis="channel", fill=1.0, static=True
    )


def output_specs(levels: int, statistics: Statistics) -> list[OutputSpec]:
    """Tendencies du at U and dv at V points [m s-2]; bounds are BOUND times the largest 99.9 % of the target."""
    specs = []
    for name, point, pair in (("du", "U", "dv"), ("dv", "V", "du")):
        top = max(
            (max(-statistics.p001[n], statistics.p999[n]) for n in ("du", "dv") if n in statistics.p999), default=0.0
        )
        specs.append(
            OutputSpec(
                name=name,
                units="m s-2",
                point=point,
                levels=levels,
                bounds=(-BOUND * top, BOUND * top) if top > 0 else None,
                max_rate=statistics.rate,
                mask=MASKS[point],
                vector_pair=pair,
            )
        )
    return specs


def target_rms(levels: int, statistics: Statistics) -> Tensor:
    """The rms of du, then dv, per level [m s-2]: (2 levels, 1, 1)."""
    missing = [name for name in ("du", "dv") if len(statistics.rms.get(name, ())) != levels]
    if missing:
        raise HaloclineError(
            f"the statistics have no rms of the target '{missing[0]}' on {levels} level(s); they have "
            f"{ {n: len(v) for n, v in statistics.rms.items()} or 'none' }. Take them from a data set with targets (ln_target)."
        )
    return torch.tensor([*statistics.rms["du"], *statistics.rms["dv"]])[:, None, None].clamp(min=1e-30)


def build(
    train: NamTrain, levels: int, statistics: Statistics, spacing: float, climate: "Climate | None" = None
) -> Trainable:
    """The network of `cn_family` with fresh weights from `nn_seed`; `spacing` is that of the training grid [m].

    climate: the climatological part, for the families of increments. HaloclineError for switches that do not go together,
    unknown inputs, or statistics that lack a field.
    """
    _check(train, levels, spacing)
    module = importlib.import_module(f"models.families.{train.cn_family}")
    with torch.random.fork_rng():
        torch.manual_seed(train.nn_seed)
        network: Trainable = module.trainable(train, levels, statistics, spacing if climate is None else climate)
    if train.cn_symmetry == "group":
        from models.families.symmetry import GroupAverage

        return GroupAverage(network)
    return network


def _check(train: NamTrain, levels: int, spacing: float) -> None:
    who = f"network '{train.cn_name}' of family '{train.cn_family}'"
    if not train.nn_kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in train.nn_kernels):
        raise HaloclineError(
            f"nn_kernels = {train.nn_kernels}: kernels must be odd and positive.\n  {train.where('nn_kernels')}. Use 3 or 5."
        )
    if levels < 1 or not spacing > 0:
        raise HaloclineError(
            f"{who}: {levels} levels, spacing {spacing:g} m; both must be positive. Check the data set."
        )
    if train.ln_scale and train.cn_family == "gz21":
        raise HaloclineError(
            f"{who} has no dimensional scaling.\n  {train.where('ln_scale')}. Remove it, or take another family."
        )
    if train.cn_family in INCREMENTS:
        return
    needed, read = (
        NEEDED[train.cn_family],
        ("u", "v", "h", "ff_t") if train.cn_family == "stress_ann" else tuple(FIELDS),
    )
    absent, idle = (
        [name for name in wanted if name not in given]
        for wanted, given in ((needed, train.cn_inputs), (train.cn_inputs, read))
    )
    if absent or idle:
        words = f"needs the input '{absent[0]}'" if absent else f"cannot read '{idle[0]}'"
        raise HaloclineError(
            f"{who} {words}; cn_inputs has {', '.join(train.cn_inputs) or 'none'}. Needed: {', '.join(needed)}; allowed: "
            f"{', '.join(read)}; masks are always read.\n  {train.where('cn_inputs')}. Correct the list."
        )
    if len(set(train.cn_inputs)) < len(train.cn_inputs):
        raise HaloclineError(
            f"cn_inputs lists a field twice: {', '.join(train.cn_inputs)}.\n  {train.where('cn_inputs')}. Remove one."
        )


def contract(
    network: Trainable, train: NamTrain, statistics: Statistics, trained_on: dict[str, str], dtype: str = "f4"
) -> Contract:
    """What the export starts from; radius and decomposition are measured there, the stored outputs added.

    `trained_on` says data, resolution, hashes.
    """
    ranges: dict[str, dict[str, list[float]]] = {}
    places = dict(zip(PLACE, network.extent, strict=True))
    for spec in network.inputs:
        if spec.name in places:
            ranges[spec.name] = {"values": [1 + n * (places[spec.name] - 1) // 7 for n in range(8)]}
        elif spec.name in POINTS:
            ranges[spec.name] = {"values": [0, 1, 1, 1, 1, 1]}
        elif spec.name in FIELDS:
            variable = VARIABLES.get(spec.name, spec.name)
            low, high = statistics.p001[variable], statistics.p999[variable]
            ranges[spec.name] = {"range": [low, high if high > low else low + 1.0]}
        else:
            spacing = network.coefficients["spacing"]
            ranges[spec.name] = {"range": [0.75 * spacing, 1.25 * spacing]}
    ranges |= {name: {"values": [100.25]} for name in network.scalars}
    gaussian = any(out.inv_std for out in network.outputs)
    return Contract.from_dict(
        {
            "schema_version": SCHEMA,
            "name": train.cn_name,
            "version": "1",
            "family": network.family,
            "license": "MIT",
            "citation": network.citation,
            "trained_on": trained_on or None,
            "coefficients": network.coefficients,
            "inputs": [spec.model_dump(exclude_none=True) for spec in network.inputs],
            "outputs": [spec.model_dump(exclude_none=True) for spec in network.outputs],
            "scalars": network.scalars,
            **network.facts,
            "tensors": "stacked",
            "stochastic": {"kind": "gaussian", "time": "white", "levels": "independent"} if gaussian else None,
            "radius": network.radius,
            "dtype": dtype,
            "decomposition": "round-off",
            "self_test": {
                "shape": (int(network.outputs[0].levels), 3, 4),
                "inputs": ranges,
                "tolerance": 1e-12 if dtype == "f8" else network.tolerance,
            },
        },
        f"network '{train.cn_name}'",
    )


def standard(name: str, levels: int, statistics: Statistics) -> tuple[list[float], list[float]]:
    """Mean and scale per level; a field that does not vary has scale 1."""
    variable = VARIABLES.get(name, name)
    mean, std = statistics.mean.get(variable, ()), statistics.std.get(variable, ())
    if len(mean) != levels or len(std) != levels:
        raise HaloclineError(
            f"the statistics have {len(mean)} level(s) of '{variable}', the network needs {levels}; they have "
            f"{', '.join(statistics.mean) or 'nothing'}. Take them from the data set that is trained on."
        )
    if name in ODD:
        mean, std = (0.0,) * levels, tuple((m * m + s * s) ** 0.5 for m, s in zip(mean, std, strict=True))
    return list(mean), [s if s > 0 else 1.0 for s in std]
