"""Increments of sea-ice concentration in two stages, bounded exactly: the family `sea_ice`.

Stage A, convolutions over the local state, gives the increment of the total concentration; stage B, a network of single columns,
takes it with the concentrations of the categories and distributes it over them. Source: Gregory, Bushuk, Adcroft, Zhang and
Zanna (2023), doi:10.1029/2023MS003757; differences: the state alone is read (there also its change over the window),
convolutions have biases and pad nothing. Then, in the graph:

- an increment below SMALL in every category and in total is zero, as NEMO reads its increments (asminc, |x| < 1e-3);
- where the background has no ice, stage A sees none coming and the water is above FREEZING, none is made;
- background + increment is a concentration in float32, exactly: models/families/bounded.py; on land it is zero.

Where the increments are spread over a window as tendencies, the model moves in between and has to keep its bounds itself, as
every ice model does after its own advection.
"""

import torch
from torch import Tensor

from coupler.contract import SCHEMA, Contract, InputSpec, OutputSpec
from coupler.errors import HaloclineError
from models.data.statistics import Statistics
from models.families.bounded import CATEGORIES, bounded_increment, total
from models.families.features import Trunk
from models.families.trainable import MASKS, POINTS, SLACK, Trainable, crop
from models.settings import NamTrain

OUTPUT, TOTAL = "da_i_bias", "dsic"  # keys of the targets' rms in the statistics; TOTAL is stage A's
SMALL = 1e-3  # of a concentration
FREEZING = -1.8  # of sea water of 33 psu [degC]
CITATION = "Gregory, Bushuk, Adcroft, Zhang and Zanna (2023), doi:10.1029/2023MS003757"

# standard_name, units, point, vector_pair, fill
FIELDS: dict[str, tuple[str, str, str, str | None, float]] = {
    "a_i": ("sea_ice_area_fraction", "1", "T", None, 0.0),  # of each category
    "sst": ("sea_surface_temperature", "degC", "T", None, FREEZING),
    "sss": ("sea_surface_salinity", "psu", "T", None, 33.0),
    "u_ice": ("sea_ice_x_velocity", "m s-1", "U", "v_ice", 0.0),
    "v_ice": ("sea_ice_y_velocity", "m s-1", "V", "u_ice", 0.0),
    "u_wind": ("x_wind", "m s-1", "T", "v_wind", 0.0),
    "v_wind": ("y_wind", "m s-1", "T", "u_wind", 0.0),
    "h_ice": ("sea_ice_thickness", "m", "T", None, 0.0),  # volume per area of the cell
    "t_skin": ("surface_temperature", "degC", "T", None, 0.0),
}
NEEDED, POSITIVE = ("a_i", "sst"), ("sss", "h_ice")


class SeaIce(Trainable):
    """(n, c, J, I), fields and masks, to (n, K, nj, ni): increments of the concentrations per window [1], zero on land.

    In training mode they are stage B's own, without bounds and guards: rounding has no gradient.
    """

    def __init__(self, train: NamTrain, categories: int, statistics: Statistics) -> None:
        inputs = input_specs(train, categories, statistics)
        output = OutputSpec(
            name=OUTPUT, units="1", point="T", kind="increment", levels=categories, bounds=(-1.01, 1.01), mask="tmask"
        )
        self.categories, self.reads = categories, [name for name in train.cn_inputs if name != "a_i"]
        trunk = Trunk(1 + len(self.reads) + len(POINTS), train.nn_width, train.nn_kernels, 1)
        super().__init__("sea_ice", inputs, [output], trunk.radius, CITATION)
        self.stage_a = trunk
        self.stage_b = torch.nn.Sequential(  # linear maps of the last axis: exported as MatMul
            torch.nn.Linear(categories + 2, train.nn_width), torch.nn.ReLU(),
            torch.nn.Linear(train.nn_width, train.nn_width), torch.nn.ReLU(),
            torch.nn.Linear(train.nn_width, categories),
        )  # fmt: skip
        for name in self.reads:
            vector = FIELDS[name][3] is not None
            (mean,), (std,) = statistics.mean[name], statistics.std[name]
            scale = (mean * mean + std * std) ** 0.5 if vector else std
            self.register_buffer(f"mean_{name}", torch.tensor(0.0 if vector else mean))
            self.register_buffer(f"inverse_{name}", torch.tensor(1.0 / scale if scale > 0 else 1.0))
        self.register_buffer("rms", _rms(statistics, OUTPUT, categories)[:, None, None])
        self.register_buffer("rms_total", _rms(statistics, TOTAL, 1)[:, None, None])

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the two stages give, without bounds: total (n, 1, nj, ni) and by category (n, K, nj, ni), per window [1].

        Stage B learns nothing into stage A: each has a target of its own.
        """
        fields = self.split(x)
        features = [total(fields["a_i"]) * fields["tmask"]]
        for name in self.reads:
            shifted = fields[name] - getattr(self, f"mean_{name}")
            features.append(shifted * getattr(self, f"inverse_{name}") * fields[MASKS[FIELDS[name][2]]])
        change = self.stage_a(torch.cat([*features, *(fields[mask] for mask in POINTS)], dim=1))
        ice = crop(fields["a_i"], self.radius)
        columns = torch.cat([ice, total(ice), change.detach()], dim=1).movedim(1, -1)
        return change * self.rms_total, self.stage_b(columns).movedim(-1, 1) * self.rms

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        change, raw = self.stages(x)
        fields = {name: crop(field, self.radius) for name, field in self.split(x).items()}
        wet, ice = fields["tmask"] > 0, fields["a_i"]
        if self.training:
            return torch.where(wet, raw, 0.0)
        small = (_largest(raw) < SMALL) & (total(raw).abs() < SMALL)
        none = (total(ice) < SMALL) & (change < SMALL) & (fields["sst"] > FREEZING)
        return torch.where(wet, bounded_increment(ice, ice + raw, small | none), 0.0)


def _largest(x: Tensor) -> Tensor:
    result = x[:, :1].abs()
    for k in range(1, x.shape[1]):
        result = torch.maximum(result, x[:, k : k + 1].abs())
    return result


def _rms(statistics: Statistics, name: str, levels: int) -> Tensor:
    found = statistics.rms.get(name, ())
    if len(found) != levels:
        raise HaloclineError(
            f"the statistics have {len(found)} level(s) of the target '{name}', the network needs {levels}; they have "
            f"{', '.join(statistics.rms) or 'none'}. Take them from increments of sea ice."
        )
    return torch.tensor(found).clamp(min=1e-6)


def input_specs(train: NamTrain, categories: int, statistics: Statistics) -> list[InputSpec]:
    """Specs of the fields of `cn_inputs`, then of the masks. HaloclineError for inputs that do not fit."""
    _check(train, categories, statistics)
    specs = []
    for name in train.cn_inputs:
        standard_name, units, point, pair, fill = FIELDS[name]
        low, high = statistics.low[name], statistics.high[name]
        slack = SLACK * (high - low) or 1.0
        floor = 0.0 if name in POSITIVE else -float("inf")
        known = (statistics.p001[name], statistics.p999[name])
        specs.append(
            InputSpec(
                name=name,
                standard_name=standard_name,
                units=units,
                point=point,
                levels=categories if name == "a_i" else 1,
                level_axis="channel",
                vector_pair=pair if pair in train.cn_inputs else None,
                fill=fill,
                valid_range=(-0.01, 1.01) if name == "a_i" else (max(low - slack, floor), high + slack),
                percentiles=known if known[0] < known[1] and name != "a_i" else None,
            )
        )
    masks = [
        InputSpec(name=n, units="1", point=p, levels=1, level_axis="channel", valid_range=(0, 1), static=True)
        for n, p in POINTS.items()
    ]
    return [*specs, *masks]


def _check(train: NamTrain, categories: int, statistics: Statistics) -> None:
    where, names = train.where("cn_inputs"), train.cn_inputs
    if not train.nn_kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in train.nn_kernels):
        raise HaloclineError(
            f"nn_kernels = {train.nn_kernels}: kernels must be odd and positive.\n  {train.where('nn_kernels')}. Use 3."
        )
    for name in names:
        if name not in FIELDS or names.count(name) > 1:
            raise HaloclineError(
                f"family 'sea_ice' cannot read '{name}', or it is listed twice. Allowed: {', '.join(FIELDS)}; masks are always "
                f"read.\n  {where}. Correct the list."
            )
        if name not in statistics.mean:
            raise HaloclineError(
                f"the statistics have no '{name}'; they have {', '.join(statistics.mean)}.\n  {where}. Remove it, or take a data "
                "set that has it."
            )
    if lacking := [name for name in NEEDED if name not in names]:
        raise HaloclineError(
            f"family 'sea_ice' needs the input '{lacking[0]}'; cn_inputs has {', '.join(names) or 'none'}.\n  {where}."
        )
    if not 1 <= categories <= CATEGORIES:
        raise HaloclineError(f"{categories} categories of ice; the bounds are proven for 1 to {CATEGORIES}.")


def contract(
    network: Trainable, train: NamTrain, statistics: Statistics, window: float, trained_on: dict[str, str]
) -> Contract:
    """What the export starts from; radius and decomposition are measured there. window [s]: of the increments."""
    ranges: dict[str, dict[str, list[float]]] = {mask: {"values": [0, 1, 1, 1, 1, 1]} for mask in POINTS}
    # Concentrations whose sum goes beyond 1, so that the stored answer has met the bounds.
    ranges["a_i"] = {"range": [0.0, 0.5]}
    for name in train.cn_inputs:
        low, high = statistics.p001[name], statistics.p999[name]
        ranges.setdefault(name, {"range": [low, high if high > low else low + 1.0]})
    return Contract.from_dict(
        {
            "schema_version": SCHEMA,
            "name": train.cn_name,
            "version": "1",
            "family": "sea_ice",
            "license": "MIT",
            "citation": network.citation,
            "trained_on": trained_on or None,
            "inputs": [spec.model_dump(exclude_none=True) for spec in network.inputs],
            "outputs": [spec.model_dump(exclude_none=True) for spec in network.outputs],
            "tensors": "stacked",
            "window": window,
            "radius": network.radius,
            "dtype": "f4",
            "decomposition": "round-off",
            "self_test": {"shape": (int(network.outputs[0].levels), 3, 4), "inputs": ranges, "tolerance": 1e-5},
        },
        f"network '{train.cn_name}'",
    )


def trainable(train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> Trainable:
    """The network with fresh weights, `levels` categories; see `models.families.trainable.build`. spacing: not read."""
    del spacing
    return SeaIce(train, levels, statistics)
