"""The surface of another ocean's output, as NEMO writes it: maps of mean and rms, without masks or metrics."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import names, ranks
from models.report.folder import Folder

SHOWN = {
    "ssh": "Sea surface height",
    "t": "Surface temperature",
    "s": "Surface salinity",
    "u": "Surface velocity along i",
    "v": "Surface velocity along j",
}
HUGE = 1e10  # fill values are larger
MEGABYTES = 100.0
OTHERS = ("mesh_mask.nc", "halocline_diag.nc", "halocline_record.nc")


@dataclass(frozen=True)
class Surface:
    """One variable: maps (y, x) of the mean over time and of the standard deviation, NaN on land, in its units."""

    title: str
    units: str
    mean: np.ndarray
    deviation: np.ndarray
    records: int
    source: str


def surfaces(folder: Folder) -> list[Surface]:
    """The variables of SHOWN that files of the folder have over time, uppermost level.

    HaloclineError when no file has any of them; files that cannot be read are passed over.
    """
    found: dict[str, Surface] = {}
    files = [
        path for path in sorted(folder.path.glob("*.nc")) if "restart" not in path.name and path.name not in OTHERS
    ]
    for group in ranks.grouped(files):
        try:
            dataset = ranks.joined(group)
        except (HaloclineError, OSError, ValueError):
            continue
        for name, title in SHOWN.items():
            variable = names.find(name, map(str, dataset.data_vars), {})
            if variable is None or name in found:
                continue
            surface = _reduced(dataset[variable], title, names.FIELDS[name].units, group[0])
            if surface is not None:
                found[name] = surface
    if not found:
        known = ", ".join(sorted({word for name in SHOWN for word in names.FIELDS[name].names}))
        raise HaloclineError(f"no NetCDF file in {folder.path} holds one of {known} over time.")
    return [found[name] for name in SHOWN if name in found]


def _reduced(values: xr.DataArray, title: str, units: str, path: Path) -> Surface | None:
    values = names.canonical(values, str(path))
    if "time" not in values.dims or not values.sizes["time"]:
        return None
    if "k" in values.dims:
        values = values.isel(k=0)
    origin = _good(values[0].values)  # sums of distances from one record keep their digits
    total, squares = np.zeros(origin.shape), np.zeros(origin.shape)
    for piece in _pieces(values):
        away = piece - origin
        total += away.sum(0)
        squares += (away**2).sum(0)
    count = values.sizes["time"]
    mean = origin + total / count
    deviation = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    land = (mean == 0) & (deviation == 0)
    return Surface(
        title,
        str(values.attrs.get("units", units)),
        np.where(land, np.nan, mean),
        np.where(land, np.nan, deviation),
        count,
        path.name,
    )


def _pieces(values: xr.DataArray) -> Iterator[np.ndarray]:
    """Records (n, y, x), as many at once as fit."""
    size = 8 * values.sizes["y"] * values.sizes["x"] / 1e6
    step = max(1, int(MEGABYTES / size))
    for start in range(0, values.sizes["time"], step):
        yield _good(values[start : start + step].values)


def _good(values: np.ndarray) -> np.ndarray:
    """Fill values become NaN."""
    return np.where(np.abs(np.asarray(values, float)) < HUGE, values, np.nan)
