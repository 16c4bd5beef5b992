"""Restarts of the reference ocean: both time levels of the whole grid, with step and date."""

from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np

from coupler.errors import HaloclineError

# Variable stem -> long name, units, grid point, has levels.
FIELDS = {
    "u": ("velocity along i", "m s-1", "U", True),
    "v": ("velocity along j", "m s-1", "V", True),
    "e3t_": ("layer thickness", "m", "T", True),
    "t": ("temperature of layer 1", "degC", "T", False),
}
LEVELS = {"b": "before", "n": "now"}
NUMBERS = ("kt", "rdt", "ndastp", "nsec_day")


@dataclass(frozen=True)
class Restart:
    """Fields by name (ub, un, vb, vn, e3t_b, e3t_n (k, nj, ni); tb, tn (nj, ni)), and what the ocean notes beside them.

    kt: step that has ended; rdt: time step [s]; ndastp: date, yyyymmdd; nsec_day: seconds of that day. A file made by hand may
    lack the before level: then it lacks here, too.
    """

    fields: dict[str, np.ndarray]
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Both time levels are there."""
        return "ub" in self.fields


def read_restart(path: Path) -> Restart:
    """Read a restart. HaloclineError when it cannot be read or lacks a field of the now level."""
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            names = [stem + level for level in LEVELS for stem in FIELDS if stem + level in file.variables]
            fields = {name: np.asarray(file[name][:], np.float64) for name in names}
            numbers = {name: float(file.getncattr(name)) for name in NUMBERS if name in file.ncattrs()}
    except OSError as error:
        raise HaloclineError(f"the restart {path} cannot be read: {error.strerror or error}.") from None
    lacking = [stem + "n" for stem in FIELDS if stem + "n" not in fields]
    if lacking:
        raise HaloclineError(f"{path} is no restart of the ocean: it lacks {', '.join(lacking)}.")
    return Restart(fields, numbers)


def write_restart(path: Path, restart: Restart) -> None:
    """Write a restart that the ocean reads: under another name first, so that a file with the right name is whole."""
    levels, nj, ni = restart.fields["un"].shape
    aside = path.with_name(path.name + ".part")
    with netCDF4.Dataset(aside, "w", format="NETCDF4") as file:
        file.setncatts({name: np.float64(value) for name, value in restart.numbers.items()})
        for name, size in (("deptht", levels), ("y", nj), ("x", ni)):
            file.createDimension(name, size)
        for stem, (words, units, point, deep) in FIELDS.items():
            for level, when in LEVELS.items():
                axes = ("deptht", "y", "x") if deep else ("y", "x")
                variable = file.createVariable(stem + level, "f8", axes)
                variable.setncatts({"long_name": f"{words}, {when}", "units": units, "point": point})
                variable[:] = restart.fields[stem + level]
    aside.replace(path)
