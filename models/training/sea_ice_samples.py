"""Samples for the family `sea_ice`: tensors of backgrounds and increments of concentrations in whole years; their statistics.

A data set, in memory or opened from zarr: backgrounds NAME (time, y, x), a_i and its increments a_i_inc (time, k, y, x), masks, and
the attribute `increments` with the window (models/data/synthetic_ice.py makes one; see docs/pages/sea_ice.md).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import torch
import xarray as xr
from torch import Tensor

from coupler.errors import HaloclineError
from coupler.grid import Grid
from models.data.quantities import checked_window
from models.data.statistics import HIGH, LOW, Statistics
from models.families.sea_ice import FIELDS, OUTPUT, TOTAL, SeaIce
from models.families.trainable import MASKS, POINTS
from models.settings import NamSplit, NamTrain
from models.training.padding import Padding

INCREMENT = "a_i_inc"


@dataclass(frozen=True)
class Samples:
    """Backgrounds (n, c, ny, nx) and increments (n, K, ny, nx) per window [1]; train, test: indices, whole years each.

    day: of the year, at the analysis; wet (ny, nx).
    """

    inputs: Tensor
    target: Tensor
    day: np.ndarray
    year_days: float
    train: np.ndarray
    test: np.ndarray
    wet: Tensor
    window: float
    padding: Padding
    digest: str


def collect(data: xr.Dataset, train: NamTrain, network: SeaIce, index: Mapping[str, np.ndarray]) -> Samples:
    """Tensors of the data set for the network's inputs; values under land are set to zero. HaloclineError for NaN in the sea."""
    wet = data["tmask"].values.reshape(-1, *data["tmask"].shape[-2:])[0] > 0
    masks = {name: data[name].values.reshape(-1, *wet.shape)[0].astype(np.float32) for name in POINTS}
    sums, blocks, points = hashlib.sha256(), [], []
    for name in (*train.cn_inputs, INCREMENT):
        values = np.asarray(data[name].values, np.float32)
        values = values if values.ndim == 4 else values[:, None]
        point = FIELDS[name][2] if name in FIELDS else "T"
        here = masks[MASKS[point]] > 0
        _finite(name, values[..., here])
        blocks.append(np.where(here, values, np.float32(0)))
        points += [point] * values.shape[1]
        sums.update(name.encode() + blocks[-1].tobytes())
    *inputs, target = blocks
    points = points[: -target.shape[1]]
    fills = {spec.name: float(spec.fill) for spec in network.inputs}
    filled = [fills[name] for name, block in zip(train.cn_inputs, inputs, strict=True) for _ in range(block.shape[1])]
    padding = Padding(
        Grid(wet.shape[1], wet.shape[0], data.attrs.get("boundary", "closed")),
        network.radius,
        points,
        torch.from_numpy(np.stack([masks[MASKS[point]] > 0 for point in points])),
        filled,
        torch.from_numpy(np.stack(list(masks.values()))),
        list(POINTS.values()),
        [0.0] * len(POINTS),
    )
    day, year_days = _season(data)
    return Samples(
        inputs=torch.from_numpy(np.concatenate(inputs, axis=1)),
        target=torch.from_numpy(target),
        day=day,
        year_days=year_days,
        **index,
        wet=torch.from_numpy(wet),
        window=window_of(data),
        padding=padding,
        digest=sums.hexdigest(),
    )


def window_of(data: xr.Dataset) -> float:
    """The window of the increments [s], from the attribute `increments`. HaloclineError where it is not said."""
    try:
        return checked_window(json.loads(data.attrs["increments"])["window"], "the sea-ice increments")
    except (KeyError, TypeError, ValueError):
        raise HaloclineError(
            "the data set does not say over which window its increments were gathered: attribute `increments`, JSON text "
            '{"window": seconds}. Without it an increment cannot be told from a tendency.'
        ) from None


def statistics(data: xr.Dataset, times: np.ndarray, train: NamTrain) -> Statistics:
    """Of the fields of cn_inputs and of the increments at the indices `times`, over wet points.

    rms: of the increments by category, and of their sum. HaloclineError for a field that is not there.
    """
    wanted = (*train.cn_inputs, INCREMENT, *POINTS)
    if missing := [name for name in wanted if name not in data]:
        raise HaloclineError(
            f"the data set has no {', '.join(missing)}; it has {', '.join(map(str, data.data_vars))}.\n"
            f"  {train.where('cn_inputs')}. Remove it from cn_inputs, or write it into the data set."
        )
    found: dict[str, dict[str, Any]] = {key: {} for key in ("mean", "std", "rms", "low", "high", "p001", "p999")}
    for name in train.cn_inputs:
        if name not in FIELDS:
            continue  # the family names it
        values = _wet(data, name, times)
        found["mean"][name] = tuple(values.mean(axis=(0, 2)).tolist())
        found["std"][name] = tuple(values.std(axis=(0, 2)).tolist())
        found["low"][name], found["high"][name] = float(values.min()), float(values.max())
        found["p001"][name], found["p999"][name] = (float(p) for p in np.percentile(values, (LOW, HIGH)))
    target = _wet(data, INCREMENT, times)
    found["rms"][OUTPUT] = tuple(np.sqrt((target**2).mean(axis=(0, 2))).tolist())
    found["rms"][TOTAL] = (float(np.sqrt((target.sum(axis=1) ** 2).mean())),)
    return Statistics(**found, rate=None, count=len(times))


def _wet(data: xr.Dataset, name: str, times: np.ndarray) -> np.ndarray:
    """(time, level, wet point), float64."""
    mask = data[MASKS[FIELDS[name][2]] if name in FIELDS else "tmask"].values
    wet = mask.reshape(-1, *mask.shape[-2:])[0] > 0
    values = data[name].isel(time=times).values.astype(np.float64)
    values = (values if values.ndim == 4 else values[:, None])[..., wet]
    _finite(name, values)
    return values


def _finite(name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        raise HaloclineError(
            f"'{name}' is not finite in the sea, first at record {np.argwhere(bad)[0][0] + 1} of the part; {int(bad.sum())} such "
            "values. Mend the data set: fill what is missing, or leave the window out."
        )


def _season(data: xr.Dataset) -> tuple[np.ndarray, float]:
    """Day of the year (from 0, with fraction) of each record, and days of a year."""
    units, calendar = data["time"].attrs["units"], data["time"].attrs.get("calendar", "standard")
    dates = cftime.num2date(data["time"].values, units, calendar, only_use_cftime_datetimes=True)
    days = np.array([date.dayofyr - 1 + (date.hour + date.minute / 60) / 24 for date in dates])
    return days, {"360_day": 360.0, "noleap": 365.0, "365_day": 365.0}.get(calendar, 365.25)


def years(data: xr.Dataset, parts: NamSplit) -> dict[str, np.ndarray]:
    """Indices of whole years; a window belongs to the year of its middle."""
    time, half = data["time"], 0.5 * window_of(data)
    units, calendar = time.attrs["units"], time.attrs.get("calendar", "standard")
    if not units.startswith("seconds"):
        raise HaloclineError(f"time is in '{units}'; data sets count 'seconds since ...'. Convert it.")
    dates = cftime.num2date(time.values - half, units, calendar, only_use_cftime_datetimes=True)
    years = np.array([date.year for date in dates])
    known, counts = np.unique(years), (parts.nn_train, parts.nn_val, parts.nn_test)
    if parts.nn_train < 1 or parts.nn_test < 1 or sum(counts) > len(known):
        raise HaloclineError(
            f"nn_train, nn_val, nn_test (&namsplit) are {', '.join(map(str, counts))} years, the record has {len(known)}.\n"
            f"  {parts.where('nn_train')}. At least one year to train and one to test; make a longer record, or take fewer."
        )
    first, second, third = np.cumsum(counts)
    chosen = {"train": known[:first], "test": known[second:third]}
    return {part: np.flatnonzero(np.isin(years, some)) for part, some in chosen.items()}
