"""What networks of analysis increments share: inputs with their place, the climatology, outputs per window, what is refused.

    out = mask (mean + sum_n [a_n cos(n w) + b_n sin(n w)] + damp state(fields)),   w = 2 pi (day_of_year - 1/2) / year_days

The maps of mean, a_n and b_n are constants of the graph, looked up cell by cell by the global column and row (mig, mjg): a cut
field finds the same numbers. Outputs are increments of one window in the units of the state; the runtime divides by the window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coupler.contract import InputSpec, OutputSpec
from coupler.errors import HaloclineError
from models.data.climatology import basis
from models.data.statistics import Statistics
from models.families.features import Features
from models.families.trainable import BOUND, FIELDS, INCREMENTS, MASKS, PLACE, VARIABLES, Trainable, crop, input_specs
from models.settings import NamTrain


class Corrected(NamedTuple):
    """A field that is corrected: the output, its units per window, its point, the other component, what can be conserved."""

    output: str
    units: str
    point: str
    pair: str | None
    conserve: str


FIELDS_OUT = {
    "u": Corrected("du_bias", "m s-1", "U", "v", ""),
    "v": Corrected("dv_bias", "m s-1", "V", "u", ""),
    "h": Corrected("dh_bias", "m", "T", None, "mass"),
    "t": Corrected("dt_bias", "degC", "T", None, "heat"),
}
CONSERVED = tuple(name for name, field in FIELDS_OUT.items() if field.conserve)


def variable(name: str) -> str:
    """The increment of the field `name` in a data set of increments."""
    return f"{VARIABLES.get(name, name)}_inc"


@dataclass(frozen=True)
class Climate:
    """Climatological part of increments: mean and harmonics of the year at every point, from the training part.

    maps (1 + 2 harmonics, o, ny, nx) [output units per window], zero on land: mean, cos 1, sin 1, cos 2, ...; year_days: length
    of the year [days]; window [s].
    """

    maps: Tensor
    year_days: float
    window: float

    @property
    def harmonics(self) -> int:
        """Harmonics of the year; 0: the mean alone."""
        return (len(self.maps) - 1) // 2

    def at(self, days: np.ndarray) -> Tensor:
        """The climatology (n, o, ny, nx) on days of the year (n,), 1.0 being the first day at 00:00."""
        rows = basis(days, self.harmonics, self.year_days)
        return torch.einsum("nc,coji->noji", torch.from_numpy(rows), self.maps.double()).float()


def phase(day: Tensor, year_days: float) -> Tensor:
    """2 pi (day - 1/2) / year_days."""
    return (day - 0.5) * (2 * math.pi / year_days)


class Place(torch.nn.Module):
    """Normalised coordinates -1 .. 1 of cells on the training grid, zero on land: (n, 2, J, I) from mig, mjg, tmask."""

    def __init__(self, ny: int, nx: int) -> None:
        super().__init__()
        self.scale = [2.0 / max(n - 1, 1) for n in (nx, ny)]

    def forward(self, fields: dict[str, Tensor]) -> Tensor:
        """See the class."""
        parts = [(fields[name] - 1.0) * scale - 1.0 for name, scale in zip(PLACE, self.scale, strict=True)]
        return torch.cat([part * fields["tmask"] for part in parts], dim=1)


class Lookup(torch.nn.Module):
    """The climatology (n, o, J, I) at the cells mig, mjg (n, 1, J, I) on the day of the year (1,)."""

    def __init__(self, climate: Climate) -> None:
        super().__init__()
        parts, self.outputs, self.ny, self.nx = climate.maps.shape
        self.harmonics, self.year_days = climate.harmonics, climate.year_days
        self.maps: Tensor
        table = climate.maps.float().reshape(parts * self.outputs, self.ny * self.nx)
        self.register_buffer("maps", table.T.contiguous())

    def forward(self, mig: Tensor, mjg: Tensor, day: Tensor | None) -> Tensor:
        """See the class. Cells outside the maps read their edge."""
        i, j = ((place[:, 0].to(torch.int64) - 1).clamp(0, top - 1) for place, top in ((mig, self.nx), (mjg, self.ny)))
        found = torch.nn.functional.embedding(j * self.nx + i, self.maps).permute(0, 3, 1, 2)
        y, *waves = found.split(self.outputs, dim=1)
        if day is not None:
            w = phase(day, self.year_days)
            for n in range(self.harmonics):
                y = y + (waves[2 * n] * torch.cos((n + 1) * w) + waves[2 * n + 1] * torch.sin((n + 1) * w))
        return y


class State(torch.nn.Module):
    """The state-dependent part, (n, c, J, I) to (n, o, nj, ni) per window: standardised inputs, a body, the target's rms."""

    def __init__(
        self, inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec], statistics: Statistics, climate: Climate
    ) -> None:
        super().__init__()
        self.specs, self.radius = tuple(inputs), 0
        self.features, self.place = Features(inputs, statistics), Place(*climate.maps.shape[-2:])
        self.channels, self.count = self.features.channels + len(PLACE), climate.maps.shape[1]
        rms = [value for spec in outputs for value in statistics.rms[spec.name]]
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(rms)[:, None, None])

    def body(self, x: Tensor) -> Tensor:
        """(n, channels, J, I) to (n, o, J - 2 radius, I - 2 radius), in units of the target's rms."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fields = _by_name(x, self.specs)
        y: Tensor = self.body(torch.cat([self.features(fields), self.place(fields)], dim=1)) * self.scale
        return y

    def damp(self, factors: Tensor) -> None:
        """Multiply the outputs (o,) by factors between 0 and 1, for good. HaloclineError for others."""
        if factors.shape != (self.count,) or not ((factors >= 0) & (factors <= 1)).all():
            raise HaloclineError(
                f"damping factors must be {self.count} numbers between 0 and 1, got {factors.tolist()}. They are clipped R2."
            )
        self.scale *= factors[:, None, None].to(self.scale)


class IncrementNetwork(Trainable):
    """(n, c, J, I), fields, masks and place, to (n, o, nj, ni) per window, zero on land; with harmonics also day_of_year (1,)."""

    def __init__(
        self,
        train: NamTrain,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        climate: Climate,
        state: State | None,
    ) -> None:
        super().__init__(train.cn_family, inputs, outputs, state.radius if state is not None else 0)
        self.climatology, self.state = Lookup(climate), state
        self.scalars = ("day_of_year",) if climate.harmonics else ()
        self.facts = {
            "window": climate.window,
            "climatology": {"harmonics": climate.harmonics, "year_days": climate.year_days},
        }

    @property
    def fitted(self) -> torch.nn.Module | None:
        """The state-dependent part; None for the climatology alone."""
        return self.state

    @property
    def extent(self) -> tuple[int, int]:
        """Columns and rows of the training grid."""
        return self.climatology.nx, self.climatology.ny

    def forward(self, x: Tensor, day: Tensor | None = None) -> Tensor:
        """See the class."""
        fields = {name: crop(field, self.radius) for name, field in self.split(x).items()}
        y = self.climatology(fields["mig"], fields["mjg"], day)
        if self.state is not None:
            y = y + self.state(x)
        parts = y.split([int(spec.levels) for spec in self.outputs], dim=1)
        wet = [fields[MASKS[spec.point]] for spec in self.outputs]
        return torch.cat([part * mask for part, mask in zip(parts, wet, strict=True)], dim=1)


def specs(
    train: NamTrain, levels: int, statistics: Statistics, climate: Climate
) -> tuple[list[InputSpec], list[OutputSpec]]:
    """Inputs (fields of cn_inputs unless the family is the climatology alone, masks, mig, mjg) and outputs of cn_outputs."""
    ny, nx = climate.maps.shape[-2:]
    fields = train if train.cn_family != "increment_mean" else train.model_copy(update={"cn_inputs": []})
    inputs = input_specs(fields, levels, statistics)
    for name, top in zip(PLACE, (nx, ny), strict=True):
        inputs.append(
            InputSpec(
                name=name, units="1", point="T", levels=1, level_axis="channel", fill=1.0, valid_range=(1, max(top, 2)),
                static=True,
            )
        )  # fmt: skip
    return inputs, [_output(train, name, statistics) for name in train.cn_outputs]


def _output(train: NamTrain, name: str, statistics: Statistics) -> OutputSpec:
    field = FIELDS_OUT[name]
    top = max(-statistics.p001[field.output], statistics.p999[field.output])
    return OutputSpec(
        name=field.output,
        units=field.units,
        point=field.point,
        kind="increment",
        levels=len(statistics.rms[field.output]),
        bounds=(-BOUND * top, BOUND * top) if top > 0 else None,
        mask=MASKS[field.point],
        vector_pair=FIELDS_OUT[field.pair].output if field.pair in train.cn_outputs and field.pair else None,
        conserve=field.conserve if name in train.cn_conserve else "none",
    )


def check(train: NamTrain) -> None:
    """HaloclineError for switches of &namtrain that do not go together, where increments are concerned."""

    def refuse(key: str, words: str) -> None:
        raise HaloclineError(f"{words}\n  {train.where(key)}.")

    mine = train.cn_family in INCREMENTS
    if mine != (train.cn_target == "increment"):
        refuse(
            "cn_target",
            f"cn_family = '{train.cn_family}' and cn_target = '{train.cn_target}' do not go together: 'increment' is the target of "
            f"{', '.join(INCREMENTS)}, and their only one.",
        )
    default = NamTrain()
    for key in ("nn_harmonics", "rn_lowpass", "ln_damp", "cn_conserve") if not mine else ():
        if getattr(train, key) != getattr(default, key):
            refuse(key, f"{key} is for cn_target = 'increment', got '{train.cn_target}'. Remove it.")
    for key in ("cn_symmetry", "ln_galilean", "ln_scale") if mine else ():
        if getattr(train, key) != getattr(default, key):
            refuse(key, f"{key} is not for '{train.cn_family}', which knows its place on one grid. Remove it.")
    if train.nn_dilations != [1] and train.cn_family != "increment_cnn":
        refuse("nn_dilations", f"nn_dilations is for cn_family = 'increment_cnn', got '{train.cn_family}'. Remove it.")
    if not mine:
        return
    for key, allowed in (("cn_outputs", tuple(FIELDS_OUT)), ("cn_conserve", CONSERVED), ("cn_inputs", tuple(FIELDS))):
        names = getattr(train, key)
        if (wrong := [name for name in names if name not in allowed]) or len(set(names)) < len(names):
            found = f"'{wrong[0]}'" if wrong else "a name twice"
            refuse(key, f"{key} has {found}. Allowed, once: {', '.join(allowed)}.")
    if not train.cn_outputs or not train.cn_inputs:
        key = "cn_inputs" if train.cn_outputs else "cn_outputs"
        refuse(key, f"{key} is empty: name the fields of the state.")
    if absent := [name for name in train.cn_conserve if name not in train.cn_outputs]:
        refuse("cn_conserve", f"cn_conserve has '{absent[0]}', which cn_outputs does not correct.")


def _by_name(x: Tensor, inputs: Sequence[InputSpec]) -> dict[str, Tensor]:
    parts = x.split([int(spec.levels) for spec in inputs], dim=1)
    return {spec.name: part for spec, part in zip(inputs, parts, strict=True)}
