"""Parts: the coarse states of one fine file, made once, independently of each other, in 64 bit.

A part holds u, v, h, sst (models/data/coarse.py) of every record without the row of land and, at the middle of each burst, the
filtered fine advection au, av (models/data/advective.py), zero elsewhere. It knows its recipe and the file that it was made from.
"""

import json
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import store
from models.data.advective import filtered
from models.data.coarse import basin, coarse_state

NAMES = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "sst": "sosstsst"}
MASKS = {"u": "umask", "v": "vmask", "h": "tmask", "sst": "tmask"}
COPIES = 12  # of a record in 64 bit that are alive at once, at most (9 measured, on top of 300 MB of libraries)


@dataclass(frozen=True)
class Recipe:
    """How fine states become coarse ones. sigma: of the Gaussian [m]; step: of the coarse model [s]; memory [MB]."""

    factor: int
    sigma: float
    advective: bool
    step: float
    memory: float

    def same(self, part: Path) -> bool:
        """The part exists and was made by this recipe."""
        made = _origin(part)
        mine = asdict(self)
        return made is not None and all(
            made["recipe"][key] == mine[key] for key in ("factor", "sigma", "advective", "step")
        )


def fresh(part: Path, fine: Path, recipe: Recipe) -> bool:
    """The part was made by this recipe from this very file, or the file is gone."""
    made = _origin(part)
    return made is not None and recipe.same(part) and (not fine.exists() or made["fine"] == _stamp(fine))


def _origin(part: Path) -> dict[str, Any] | None:
    if not part.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(store.read(part).attrs["provenance"])
    except (HaloclineError, KeyError, ValueError):
        return None
    return found if {"recipe", "fine"} <= set(found) else None


def _stamp(fine: Path) -> dict[str, Any]:
    about = fine.stat()
    return {"name": fine.name, "bytes": about.st_size, "changed": about.st_mtime_ns}


def make(fine: Path, part: Path, recipe: Recipe) -> None:
    """Write the part of a fine file, piece by piece within the memory; nothing is done when it is there already.

    HaloclineError for a file that cannot be read, variables that it lacks, sizes other than its mesh's, values that are not
    finite, sizes that the factor does not divide.
    """
    if fresh(part, fine, recipe):
        return
    stamp = _stamp(fine)
    with _opened(fine.parent / "mesh_mask.nc") as mesh, _opened(fine) as data:
        masks, dx, dy = _checked(data, mesh, fine)
        corners = mesh["fmask"].values[0, :-1, :-1]
        sigma = recipe.sigma / dx
        time = np.asarray(data["time_counter"].values, np.float64)
        if len(time) > 1 and not (np.diff(time) > 0).all():
            raise HaloclineError(f"{fine}: its times do not increase. Make the file again.")
        advective = recipe.advective and fine.stem.endswith("_burst")
        middle = middles(time, recipe.step)
        length = piece_length(mesh["tmask"].size * 8 * COPIES, recipe.memory)
        with store.Writer(part, _time_attrs(data), {}, {"recipe": asdict(recipe), "fine": stamp}) as writer:
            for first in range(0, len(time), length):
                some = slice(first, first + length)
                u, v, h, t = (_values(data, name, some, masks, fine) for name in NAMES)
                state = coarse_state(u, v, h, t, recipe.factor, sigma)
                fields = dict(zip(NAMES, state, strict=True))
                if advective:
                    fields["au"], fields["av"] = np.zeros_like(state[0]), np.zeros_like(state[1])
                    if (at := middle[some]).any():
                        subgrid = filtered(u[at], v[at], corners, dx, dy, recipe.factor, sigma)
                        fields["au"][at], fields["av"][at] = subgrid
                writer.append(time[some], fields, "f8")


def pool(processes: int) -> ProcessPoolExecutor:
    """Processes for `make` that end with the one that started them, even when that is killed."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    def watch() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def middles(time: np.ndarray, step: float) -> np.ndarray:
    """Which records are the middle of a burst: the one before is `step` earlier, and no middle itself."""
    result = np.zeros(len(time), bool)
    for number in range(1, len(time)):
        result[number] = abs(time[number] - time[number - 1] - step) < 1e-3 * step and not result[number - 1]
    return result


def piece_length(bytes_of_record: float, memory: float) -> int:
    """Records that fit into `memory` [MB], at least one, at most one chunk of a data set."""
    return int(np.clip(memory * 1e6 // bytes_of_record, 1, store.CHUNK))


def _opened(path: Path) -> xr.Dataset:
    try:
        return xr.open_dataset(path, decode_times=False)
    except (OSError, ValueError) as error:
        raise HaloclineError(
            f"cannot read {path}: {error}.\n  It is missing, no NetCDF file, or was cut short. `halocline truth` makes it."
        ) from None


def _checked(data: xr.Dataset, mesh: xr.Dataset, fine: Path) -> tuple[dict[str, np.ndarray], float, float]:
    """Masks by field, and the cell widths [m], of a file that fits its mesh."""
    wanted = [*NAMES.values(), "time_counter"]
    missing = [name for name in wanted if name not in data.variables]
    if missing:
        found = ", ".join(map(str, data.data_vars))
        raise HaloclineError(
            f"{fine} has no {', '.join(missing)}; looked for {', '.join(wanted)}, found {found}.\n"
            "  Write it with cn_inst or cn_burst = 'vozocrtx vomecrty thkcello sosstsst' in &namdia."
        )
    shape = mesh["tmask"].shape
    for name in NAMES.values():
        there = data[name].shape[1:]
        if there != shape[-len(there) :]:
            raise HaloclineError(
                f"{fine}: '{name}' has {there} points (k, j, i), mesh_mask.nc beside it {shape}. They must be of one run."
            )
    widths = [mesh[name].values for name in ("e1t", "e2t")]
    for name, values in zip(("e1t", "e2t"), widths, strict=True):
        if np.ptp(values) > 1e-6 * values.max():
            raise HaloclineError(
                f"{fine.parent / 'mesh_mask.nc'}: {name} is not uniform. cn_source = 'gyre' is for square cells; use 'nemo'."
            )
    masks = {field: mesh[name].values > 0 for field, name in MASKS.items()}
    inner = basin(masks["h"])
    if not inner.all() or masks["h"].sum() != inner.sum():
        raise HaloclineError(
            f"{fine.parent / 'mesh_mask.nc'}: the basin is not closed and square (cn_bnd = 'closed'). "
            "cn_source = 'gyre' is for that basin; use 'nemo'."
        )
    return masks, float(widths[0].max()), float(widths[1].max())


def _values(data: xr.Dataset, name: str, some: slice, masks: dict[str, np.ndarray], fine: Path) -> np.ndarray:
    """A field without the row of land, land zero, (n, k, j, i) or (n, j, i). HaloclineError where it is not finite."""
    try:
        values = np.asarray(data[NAMES[name]][some].values, np.float64)
    except (OSError, RuntimeError) as error:
        raise HaloclineError(
            f"cannot read '{NAMES[name]}' of {fine}: {error}. The file was cut short; make it again."
        ) from None
    mask = masks[name] if values.ndim == 4 else masks[name][0]
    values = np.where(mask, values, 0.0)
    bad = ~np.isfinite(values)
    if bad.any():
        record, *place = (int(index) for index in np.argwhere(bad)[0])
        raise HaloclineError(
            f"{fine}: '{NAMES[name]}' is not finite in {int(bad.sum())} wet cells, first in record {some.start + record}, at "
            f"{tuple(place)} (k, j, i, from 0). Was the run stable? Make the file again."
        )
    return basin(values)


def _time_attrs(data: xr.Dataset) -> dict[str, str]:
    return {
        key: str(value)
        for key, value in data["time_counter"].attrs.items()
        if key in ("units", "calendar", "standard_name")
    }
