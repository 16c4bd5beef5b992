"""What the coupler recorded of the networks' answers: maps of mean and rms, and where the guards acted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from coupler.errors import HaloclineError
from models.report.folder import Folder
from models.report.series import Guards

FILE = "halocline_diag.nc"
MOST = 8  # fields that are drawn


@dataclass(frozen=True)
class Recorded:
    """A field of the diagnostics file, level 1: maps (y, x) of its mean and rms over the records, in its units."""

    name: str
    units: str
    point: str
    mean: np.ndarray
    rms: np.ndarray
    records: int


def recorded(folder: Folder, name: str = FILE) -> tuple[list[Recorded], dict[str, np.ndarray]]:
    """The fields of the diagnostics file, and the guards' counts of each field, maps (y, x) summed over levels.

    name: the file, or what a run that has not ended has of it (NAME.part). Points that are 0 in every record are NaN.
    HaloclineError when there is no such file, it cannot be read, or has no record.
    """
    path = next((place for place in (folder.path / name, folder.path / f"{name}.part") if place.is_file()), None)
    if path is None:
        raise HaloclineError(f"there is no {name}: the coupler writes it with rn_diag > 0 (&namdiag).")
    fields: list[Recorded] = []
    counts: dict[str, np.ndarray] = {}
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            records = len(file.dimensions["time_counter"])
            if not records:
                raise HaloclineError(f"{path.name} has no record yet.")
            for key, variable in file.variables.items():
                if variable.dimensions[:1] != ("time_counter",) or variable.dimensions[-2:] != ("y", "x"):
                    continue
                if key.startswith("guard_"):
                    last = np.asarray(variable[records - 1], float)
                    counts[key.removeprefix("guard_")] = last.sum(0) if last.ndim == 3 else last
                elif len(fields) < MOST:
                    fields.append(_reduced(key, variable, records))
    except (OSError, RuntimeError) as error:
        raise HaloclineError(f"{path.name} cannot be read as NetCDF: {error}.") from error
    return fields, counts


def guard_maps(guards: Guards, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The guards' counts of each field from the places in their logs: maps (y, x) of the global grid of that shape."""
    maps: dict[str, np.ndarray] = {}
    for name, places in guards.places.items():
        values = np.zeros(shape)
        for (i, j), count in places.items():
            if 1 <= j <= shape[0] and 1 <= i <= shape[1]:
                values[j - 1, i - 1] += count
        maps[name] = values
    return maps


def masked(fields: Mapping[str, np.ndarray], mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Maps with NaN where the mask (y, x) is False."""
    if mask is None:
        return dict(fields)
    return {
        name: np.where(mask, values, np.nan) if values.shape == mask.shape else values
        for name, values in fields.items()
    }


def wet(path: Path) -> np.ndarray | None:
    """The T mask (y, x) of level 1 of a mesh_mask.nc; None without the file."""
    if not path.is_file():
        return None
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            values = np.asarray(file["tmask"][...])
    except (OSError, IndexError, RuntimeError):
        return None
    return values.reshape(-1, *values.shape[-2:])[0] > 0


def _reduced(name: str, variable: netCDF4.Variable, records: int) -> Recorded:
    total, squares = np.zeros(variable.shape[-2:]), np.zeros(variable.shape[-2:])
    for record in range(records):
        values = np.asarray(variable[record], float)
        top = values[0] if values.ndim == 3 else values
        total += top
        squares += top**2
    mean, rms = total / records, np.sqrt(squares / records)
    never = rms == 0
    units, point = (str(getattr(variable, key, "")) for key in ("units", "point"))
    return Recorded(name, units, point, np.where(never, np.nan, mean), np.where(never, np.nan, rms), records)
