"""Backgrounds that a cycling ocean writes, and increments that it reads: one NetCDF file for each window, in NEMO's form.

    assim_background_state_DI_<kt>.nc    un, vn [m s-1], e3t_n [m] (time_counter, deptht, y, x), tn [degC] (time_counter, y, x),
                                         rdastp (date yyyymmdd.hhmmss), attribute kt
    assim_background_increments_<kt>.nc  bckinu, bckinv [m s-1], bckinthk [m] (time_counter, deptht, y, x), bckint [degC],
                                         time, z_inc_dateb, z_inc_datef (yyyymmdd.hhmmss)

A state here is a dict of u, v, h, t, each (levels, y, x), the temperature with one level.
"""

from dataclasses import dataclass
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from coupler.errors import HaloclineError

State = dict[str, np.ndarray]

BACKGROUND = "assim_background_state_DI"
INCREMENTS = "assim_background_increments"
STATE = {"u": "un", "v": "vn", "h": "e3t_n", "t": "tn"}
CHANGE = {
    "u": ("bckinu", "m s-1", "increment of velocity along i"),
    "v": ("bckinv", "m s-1", "increment of velocity along j"),
    "h": ("bckinthk", "m", "increment of layer thickness"),
    "t": ("bckint", "degC", "increment of temperature"),
}


@dataclass(frozen=True)
class Background:
    """State at the end of step kt; `date` as yyyymmdd.hhmmss."""

    kt: int
    date: float
    fields: State


def background_file(folder: Path, kt: int) -> Path:
    """Where the ocean writes the background of step kt."""
    return folder / f"{BACKGROUND}_{kt:08d}.nc"


def increments_file(folder: Path, kt: int) -> Path:
    """Where the ocean reads the increments of step kt."""
    return folder / f"{INCREMENTS}_{kt:08d}.nc"


def date_number(date: cftime.datetime) -> float:
    """yyyymmdd.hhmmss."""
    clock = date.hour * 10000 + date.minute * 100 + date.second
    return date.year * 10000 + date.month * 100 + date.day + clock / 1e6


def read_background(path: Path) -> Background:
    """The background in a file. HaloclineError when it is no NetCDF file or lacks something."""
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            missing = [name for name in (*STATE.values(), "rdastp") if name not in file.variables]
            if missing:
                raise HaloclineError(f"{path} has no {', '.join(missing)}; it has {', '.join(file.variables)}.")
            fields = {name: np.asarray(file[variable][0], np.float64) for name, variable in STATE.items()}
            kt, date = round(float(file.getncattr("kt"))), float(np.ravel(file["rdastp"][...])[0])
    except (OSError, AttributeError) as error:
        raise HaloclineError(f"{path} cannot be read as a background: {error}.") from error
    fields["t"] = fields["t"].reshape(1, *fields["t"].shape[-2:])
    return Background(kt, date, fields)


def write_increments(path: Path, fields: State, begin: float, end: float) -> None:
    """Increments (levels, y, x) of some of u, v, h, t at the end of the window begin .. end (yyyymmdd.hhmmss).

    Written aside and renamed. HaloclineError where the place cannot be written.
    """
    aside = path.with_name(path.name + ".part")
    try:
        with netCDF4.Dataset(aside, "w", format="NETCDF3_64BIT_OFFSET") as file:  # 6 ms less than NetCDF-4, each window
            file.createDimension("time_counter", 1)
            for name, values in fields.items():
                levels, ny, nx = values.shape
                for dim, size in (("deptht", levels), ("y", ny), ("x", nx)):
                    if dim not in file.dimensions and (dim != "deptht" or name != "t"):
                        file.createDimension(dim, size)
                called, units, long_name = CHANGE[name]
                dims = ("time_counter", "y", "x") if name == "t" else ("time_counter", "deptht", "y", "x")
                variable = file.createVariable(called, "f8", dims)
                variable.setncatts({"units": units, "long_name": long_name})
                variable[0] = values[0] if name == "t" else values
            for called, value in (("time", end), ("z_inc_dateb", begin), ("z_inc_datef", end)):
                file.createVariable(called, "f8", ())[...] = value
    except OSError as error:
        raise HaloclineError(f"cannot write {aside}: {error.strerror or error}.") from error
    aside.replace(path)
