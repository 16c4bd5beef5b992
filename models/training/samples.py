"""Samples in memory: the states and targets of data sets as tensors, cut into training, validation and test."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from coupler.errors import HaloclineError
from coupler.grid import Grid
from models.data import climatology, splits
from models.families import increment
from models.families.trainable import FIELDS, PLACE, POINTS, VARIABLES
from models.settings import NamSplit, NamTrain

TARGETS = {
    "residual": {"du": ("du", "U"), "dv": ("dv", "V")},
    "advective": {"du_adv": ("du", "U"), "dv_adv": ("dv", "V")},
}
MAKERS = {
    False: "A target needs a truth with ln_burst = .true. and ln_target or ln_advective in &namcoarsen.",
    True: "`halocline assimilate` writes increments of the fields in cn_fields (&namassim): correct others, or make it again.",
}
REMAKE = {False: "Coarsen it again.", True: "Make it again with `halocline assimilate`, without such windows."}
SERIES = 64  # wet points whose layer thickness tells the decorrelation time


@dataclass(frozen=True)
class Channel:
    """One level of a field at T, U or V points; `level` counts from 0."""

    name: str
    point: str
    level: int
    levels: int

    def __str__(self) -> str:
        return self.name if self.levels == 1 else f"{self.name}{self.level + 1}"


@dataclass(frozen=True)
class Samples:
    """States (n, c, ny, nx) and targets (n, o, ny, nx) [field units, m s-2 or, of increments, units per window], float32, in the
    order of the data sets.

    wet_inputs (c, ny, nx) and wet (o, ny, nx) are True in the ocean; static holds masks and metrics (1, ny, nx) by name; held
    (o, ny, nx) is True in regions left out of training. train, val, test are indices of samples; others maps the name of a
    data set that was held out to its samples. digest is the sha256 of all that was read.
    """

    inputs: Tensor
    target: Tensor
    channels: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    wet_inputs: Tensor
    wet: Tensor
    static: Mapping[str, Tensor]
    held: Tensor
    grid: Grid
    spacing: float
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    digest: str
    gap: float
    others: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def levels(self) -> int:
        """Levels of the states and targets."""
        return max(channel.levels for channel in (*self.channels, *self.outputs))

    @property
    def wet_training(self) -> Tensor:
        """`wet` without the regions that are held out."""
        return self.wet & ~self.held


def collect(datasets: Mapping[str, xr.Dataset], train: NamTrain, parts: NamSplit) -> Samples:
    """Read what `train` names from the data sets (name to contents), check it, and split each.

    HaloclineError for a variable that is missing, data sets on different grids, NaN in the ocean, a grid without ocean, and a
    record too short for its split.
    """
    if not datasets:
        raise HaloclineError(f"cn_data is empty: nothing to train on.\n  {train.where('cn_data')}. Name a zarr folder.")
    first = next(iter(datasets.values()))
    moving = [name for name in train.cn_inputs if name not in FIELDS or not FIELDS[name][5]]
    points = {VARIABLES.get(name, name): FIELDS[name][2] for name in moving if name in FIELDS}
    made = targets(train)
    fields = {name: name for name in made} | {VARIABLES.get(name, name): name for name in moving}
    points |= {name: point for name, (_, point) in made.items()}
    if unknown := sorted(set(fields) - set(points)):
        raise HaloclineError(
            f"cn_inputs names '{unknown[0]}', which no network reads. Allowed: {', '.join(FIELDS)}.\n"
            f"  {train.where('cn_inputs')}."
        )
    blocks: dict[str, list[np.ndarray]] = {variable: [] for variable in fields}
    sums = hashlib.sha256()
    for name, data in datasets.items():
        _check(name, data, list(fields), first, train)
        for variable in (*fields, *POINTS):
            values = np.ascontiguousarray(data[variable].values, np.float32)
            sums.update(f"{variable}{values.shape}".encode() + values.tobytes())
            if variable in blocks:
                blocks[variable].append(values[:, None] if values.ndim == 3 else values.copy())
    masks = {point: first[mask].values != 0 for mask, point in POINTS.items()}
    wet = {variable: masks[points[variable]][: blocks[variable][0].shape[1]] for variable in fields}
    for variable in fields:
        _finite(datasets, variable, blocks[variable], wet[variable], train)
    surface = masks["T"].any(axis=0)
    held = splits.regions(parts, surface.shape[0], surface.shape[1], surface)
    cut, others, gap = _split(datasets, parts, blocks, surface)
    read = [VARIABLES.get(name, name) for name in moving]
    inputs, target = (
        torch.from_numpy(np.concatenate([np.concatenate(blocks[name]) for name in names], axis=1))
        for names in (read, made)
    )
    return Samples(
        inputs=inputs,
        target=target,
        channels=_channels(read, fields, points, blocks),
        outputs=_channels(list(made), {name: output for name, (output, _) in made.items()}, points, blocks),
        wet_inputs=torch.from_numpy(np.concatenate([wet[name] for name in read])),
        wet=torch.from_numpy(np.concatenate([wet[name] for name in made])),
        static=_static(first),
        held=torch.from_numpy(held).expand(target.shape[1], -1, -1),
        grid=Grid(inputs.shape[3], inputs.shape[2], first.attrs.get("boundary", "closed")),
        spacing=float(first["e1t"].values[surface].mean()),
        train=cut["train"],
        val=cut["val"],
        test=cut["test"],
        digest=sums.hexdigest(),
        gap=gap,
        others=others,
    )


def targets(train: NamTrain) -> dict[str, tuple[str, str]]:
    """Variables of the data set that are fitted, each with the output's name and point."""
    if train.cn_target != "increment":
        return TARGETS[train.cn_target]
    fields = {name: increment.FIELDS_OUT[name] for name in train.cn_outputs}
    return {increment.variable(name): (field.output, field.point) for name, field in fields.items()}


def _channels(
    variables: Sequence[str],
    names: Mapping[str, str],
    points: Mapping[str, str],
    blocks: Mapping[str, list[np.ndarray]],
) -> tuple[Channel, ...]:
    counts = {variable: blocks[variable][0].shape[1] for variable in variables}
    return tuple(
        Channel(names[variable], points[variable], level, counts[variable])
        for variable in variables
        for level in range(counts[variable])
    )


def _static(data: xr.Dataset) -> dict[str, Tensor]:
    """Everything without time, the surface level of what has levels: (1, ny, nx)."""
    planes = {}
    for name, values in data.data_vars.items():
        if "time" not in values.dims and values.dims[-2:] == data["tmask"].dims[-2:]:
            plane = np.asarray(values.values, np.float32).reshape(-1, *values.shape[-2:])[:1]
            planes[str(name)] = torch.from_numpy(plane.copy())
    ny, nx = data["tmask"].shape[-2:]
    j, i = torch.meshgrid(torch.arange(1.0, ny + 1), torch.arange(1.0, nx + 1), indexing="ij")
    return planes | dict(zip(PLACE, (i[None], j[None]), strict=True))


def _check(name: str, data: xr.Dataset, fields: Sequence[str], first: xr.Dataset, train: NamTrain) -> None:
    wanted = (*fields, *POINTS, "e1t")
    missing = [variable for variable in wanted if variable not in data]
    if missing:
        raise HaloclineError(
            f"data set {name} has no variable {', '.join(missing)}.\n  {train.where('cn_inputs')}. Wanted: "
            f"{', '.join(wanted)}; there are: {', '.join(map(str, data.data_vars))}. {MAKERS[train.cn_target == 'increment']}"
        )
    shape, want = data["tmask"].shape, first["tmask"].shape
    if shape != want:
        raise HaloclineError(
            f"data set {name} has a grid of {shape} (k, y, x), the first one of {want}: samples of one training share a grid.\n"
            f"  {train.where('cn_data')}. Train on one of them, or hold one out (cn_hold_data)."
        )
    for mask in POINTS:
        if not np.array_equal(data[mask].values, first[mask].values):
            raise HaloclineError(
                f"data set {name} has another {mask} than the first one.\n  {train.where('cn_data')}. Samples of one "
                "training share their land."
            )
        if not data[mask].values.any():
            raise HaloclineError(f"data set {name} is all land: {mask} is zero everywhere. Make it again.")


def _finite(
    datasets: Mapping[str, xr.Dataset], variable: str, blocks: list[np.ndarray], wet: np.ndarray, train: NamTrain
) -> None:
    for name, values in zip(datasets, blocks, strict=True):
        good = np.isfinite(values) | ~wet
        if not good.all():
            t, k, j, i = np.argwhere(~good)[0]
            raise HaloclineError(
                f"data set {name}: {variable} is {values[t, k, j, i]} in the ocean, at sample {t + 1} of {len(values)}, level "
                f"{k + 1}, cell (i, j) = ({i + 1}, {j + 1}); {int((~good).sum())} such values in all.\n"
                f"  {train.where('cn_data')}. {REMAKE[train.cn_target == 'increment']}"
            )
        values[:, ~wet] = 0.0  # what lies under land must not matter


def _split(
    datasets: Mapping[str, xr.Dataset],
    parts: NamSplit,
    blocks: Mapping[str, list[np.ndarray]],
    surface: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], float]:
    """Indices of each part over the joined record, those of data sets held out, and the largest gap [s]."""
    kept, left_out = splits.datasets(parts, list(datasets))
    joined: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    others, gap, offset = {}, 0.0, 0
    for number, (name, data) in enumerate(datasets.items()):
        n = data.sizes["time"]
        if name in left_out:
            others[Path(name).stem] = np.arange(offset, offset + n)
        elif name in kept:
            calendar = data["time"].attrs.get("calendar")
            year = climatology.year_days(str(calendar)) if calendar else None
            cut = splits.split(data["time"].values, parts, _series(data, blocks, number, surface), year)
            for part, indices in joined.items():
                indices.append(getattr(cut, part) + offset)
            gap = max(gap, cut.gap)
        offset += n
    return {part: np.concatenate(indices) for part, indices in joined.items()}, others, gap


def _series(data: xr.Dataset, blocks: Mapping[str, list[np.ndarray]], number: int, surface: np.ndarray) -> np.ndarray:
    """Thickness of the first layer (or the first field) at up to SERIES wet points, to measure its decorrelation time."""
    name = "h" if "h" in blocks else next(iter(blocks))
    values = blocks[name][number][:, 0].reshape(data.sizes["time"], -1)
    wet = np.flatnonzero(surface)
    return values[:, wet[:: max(1, len(wet) // SERIES)]]
