"""Data sets of coarse states and targets, as zarr groups: their layout, written aside and renamed, read and checked.

dims time, k, y, x (one row of land round a closed basin); 32-bit but for time (seconds, CF units and calendar).

    u, v, h, sst               state at `time`: U, V, T points [m s-1, m s-1, m, degC]; sst without k
    u_b, v_b, h_b, sst_b       state one step of the coarse model before; only where the truth was written in threes
    u_inc, v_inc, h_inc, ...   analysis minus background of one window [units of the state], see models/data/increment.py
    du, dv                     residual target [m s-2], see models/data/residual.py
    du_adv, dv_adv             advective target [m s-2], see models/data/advective.py
    tmask umask vmask fmask    (k, y, x); fmask holds the slip of the walls
    e1t .. e2f, ff_t, ff_f     (y, x); gred, h_rest: (k)

Attribute `provenance`: JSON text with hashes of namelists, executables and mesh, versions, and the switches of the filter.
"""

import hashlib
import json
import math
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
import zarr

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY

FORMAT = 1
CHUNK = 64  # records
PIECE = 2**24  # a chunk holds fewer records where they are large [bytes of 32-bit values]
STATES = ("u", "v", "h", "sst")
ATTRS = {
    "u": {"units": "m s-1", "standard_name": "sea_water_x_velocity", "point": "U"},
    "v": {"units": "m s-1", "standard_name": "sea_water_y_velocity", "point": "V"},
    "h": {"units": "m", "standard_name": "cell_thickness", "point": "T"},
    "sst": {"units": "degC", "standard_name": "sea_surface_temperature", "point": "T"},
    "du": {"units": "m s-2", "long_name": "residual of the coarse model, along i", "point": "U"},
    "dv": {"units": "m s-2", "long_name": "residual of the coarse model, along j", "point": "V"},
    "du_adv": {"units": "m s-2", "long_name": "subgrid advection, along i", "point": "U"},
    "dv_adv": {"units": "m s-2", "long_name": "subgrid advection, along j", "point": "V"},
} | {
    f"{name}_b": {"units": units, "long_name": f"{name}, one step of the coarse model before", "point": point}
    for name, units, point in (("u", "m s-1", "U"), ("v", "m s-1", "V"), ("h", "m", "T"), ("sst", "degC", "T"))
}
ATTRS |= {
    "t": {"units": "degC", "standard_name": "sea_water_potential_temperature", "point": "T"},
    "s": {"units": "1e-3", "standard_name": "sea_water_salinity", "point": "T"},
    "ssh": {"units": "m", "standard_name": "sea_surface_height_above_geoid", "point": "T"},
}
ATTRS |= {
    f"{name}_inc": {
        "units": ATTRS[name]["units"],
        "long_name": f"{name}, analysis minus background of one window",
        "point": ATTRS[name]["point"],
    }
    for name in ("u", "v", "h", "sst", "t", "s", "ssh")
}


class Writer:
    """Writes a data set piece by piece into PATH.part; `close` gives it its name. Used as a context manager.

    On an error the part is removed and an older data set of that name stays.
    """

    def __init__(self, path: Path, time: dict[str, str], static: dict[str, Any], provenance: dict[str, Any]) -> None:
        """time: CF attributes of the time axis; static: name to (dims, values, attributes).

        HaloclineError where `path` is something else than a data set, see `check_place`.
        """
        check_place(path)
        self.path, self._part, self._time, self._began = path, path.with_name(path.name + ".part"), time, False
        self._static, self._provenance = static, provenance

    def __enter__(self) -> Self:
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        return self

    def append(self, time: np.ndarray, fields: dict[str, np.ndarray], dtype: str = "f4") -> None:
        """Add records: time (n), fields (n, k, y, x) or (n, y, x) by name. HaloclineError for values that are not finite."""
        piece = xr.Dataset({"time": ("time", np.asarray(time, np.float64), self._time)})
        for name, values in fields.items():
            if not np.isfinite(values).all():
                raise HaloclineError(f"'{name}' of {self.path} is not finite between {time[0]:g} and {time[-1]:g} s.")
            dims = ("time", "k", "y", "x") if values.ndim == 4 else ("time", "y", "x")
            piece[name] = (dims, values.astype(dtype, copy=False), ATTRS.get(name, {}))
        piece.attrs = {"halocline_format": FORMAT, "provenance": json.dumps(self._provenance, indent=1)}
        try:
            if self._began:
                piece.to_zarr(self._part, append_dim="time", consolidated=False)
                return
            for name, (dims, values, attrs) in self._static.items():
                piece[name] = (dims, values, attrs)
            encoding = {name: {"chunks": (records(values.shape), *values.shape[1:])} for name, values in fields.items()}
            piece.to_zarr(self._part, mode="w", consolidated=False, encoding=encoding | {"time": {"chunks": (4096,)}})
            self._began = True
        except OSError as error:
            raise HaloclineError(f"cannot write {self._part}: {error.strerror or error}.") from None

    def note(self, name: str, value: Any) -> None:
        """Add an attribute, as JSON text, to what has been written."""
        zarr.open_group(self._part).attrs[name] = json.dumps(value)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self._began:
            shutil.rmtree(self._part, ignore_errors=True)
            return
        if self.path.exists():
            shutil.rmtree(self.path)
        self._part.rename(self.path)


def check_place(path: Path) -> None:
    """HaloclineError where PATH is there and is no data set, or PATH.part no zarr group: writing one replaces both."""
    part = path.with_name(path.name + ".part")
    if not _vacant(path) and not _is_data_set(path):
        taken = path
    elif not _vacant(part) and not (part / "zarr.json").is_file():
        taken = part
    else:
        return
    raise HaloclineError(
        f"{taken} is there and is no data set: it would be replaced.\n"
        "  Give a name of its own, as increments.zarr (--out, or cn_out), or move what is there."
    )


def _vacant(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _is_data_set(path: Path) -> bool:
    try:
        return path.is_dir() and "halocline_format" in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError, KeyError):
        return False


def records(shape: tuple[int, ...]) -> int:
    """Records of a chunk, for values of this shape (time, ...)."""
    return int(max(1, min(CHUNK, PIECE // (4 * math.prod(shape[1:])))))


def read(path: Path, needed: tuple[str, ...] = STATES) -> xr.Dataset:
    """A data set, opened lazily, time as numbers. HaloclineError when it is none, or lacks a variable of `needed`."""
    try:
        data = xr.open_zarr(path, consolidated=False, decode_times=False)
    except (OSError, ValueError, KeyError) as error:
        raise HaloclineError(
            f"{path} is no data set: {error}.\n  `halocline coarsen` writes them; give the folder MEMBER.zarr."
        ) from None
    form = data.attrs.get("halocline_format")
    if form != FORMAT:
        raise HaloclineError(f"{path} has format {form}, this version reads {FORMAT}. Run `halocline coarsen` again.")
    missing = [name for name in needed if name not in data]
    if missing:
        raise HaloclineError(f"{path} has no {', '.join(missing)}; it has {', '.join(map(str, data.data_vars))}.")
    return data


def provenance(files: dict[str, Path], **facts: Any) -> dict[str, Any]:
    """What a data set was made from: sha256 of `files`, versions, the git revision of a checkout, and `facts`."""
    packages = ("halocline", "numpy", "scipy", "xarray", "zarr")
    return {
        "sha256": {name: sha256(path) for name, path in files.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "revision": _revision(),
        **facts,
    }


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _revision() -> str:
    """`git describe` of the checkout that runs, '' outside one."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
