"""Files that NEMO wrote one per rank (mesh_mask_0000.nc, ...): found, and joined by their DOMAIN attributes, lazily."""

import re
from collections.abc import Sequence
from pathlib import Path

import dask.array as da
import netCDF4
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data.names import DIMENSIONS

CACHE = (
    2**20
)  # HDF5's cache of each variable [bytes]: a chunk is read once, and 16 MiB for each would be held for nothing
RANK = re.compile(r"_(\d{4,6})\.nc$")


def pieces(path: Path) -> list[Path]:
    """[path] if it is there, else path_0000.nc, path_0001.nc, ... HaloclineError when there is neither."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.parent.glob(f"{path.stem}_*.nc") if RANK.search(file.name))
    if not found:
        raise HaloclineError(f"there is no {path}, and no {path.stem}_0000.nc, ... beside it.")
    return found


def grouped(paths: Sequence[Path]) -> list[list[Path]]:
    """Files of one output together: NAME_0000.nc, NAME_0001.nc, ... are one, any other file stands alone."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(paths):
        groups.setdefault(str(path.parent / RANK.sub(".nc", path.name)), []).append(path)
    return list(groups.values())


def opened(path: Path, without: Sequence[str] = ()) -> xr.Dataset:
    """A file, lazily, times as numbers, one chunk per level and time; variables of `without` are not read.

    HaloclineError when it cannot be read.
    """
    netCDF4.set_chunk_cache(CACHE)
    try:
        dataset = xr.open_dataset(path, decode_times=False, chunks={}, drop_variables=list(without))
    except (OSError, ValueError) as error:
        raise HaloclineError(f"cannot read {path}: {error}.\n  It must be a NetCDF file that is whole.") from None
    single = {name: 1 for name in dataset.dims if name in DIMENSIONS["time"] + DIMENSIONS["k"]}
    return dataset.chunk(single)


def joined(paths: Sequence[Path], without: Sequence[str] = ()) -> xr.Dataset:
    """One data set from the files of all ranks; halos cut off, zeros where there is only land and no rank ran.

    Positions count from 1, the first dimension is x: DOMAIN_position_first, _last, DOMAIN_halo_size_start, _end,
    DOMAIN_size_global. Variables of `without` are not read.
    HaloclineError for the file of a rank that is missing, attributes that are missing, and parts that overlap or are no box grid.
    """
    parts = [opened(path, without) for path in paths]
    if len(parts) == 1 and _whole(parts[0]):
        return parts[0]
    _complete(parts, paths)
    cut = [_interior(part, path) for part, path in zip(parts, paths, strict=True)]
    nx, ny = (int(size) for size in np.atleast_1d(parts[0].attrs["DOMAIN_size_global"]))
    columns = _edges([box[2:] for _, box in cut], nx, "x", paths[0])
    rows = _edges([box[:2] for _, box in cut], ny, "y", paths[0])
    result = xr.Dataset(attrs={**parts[0].attrs, "DOMAIN_number_total": 1})
    for name, first in cut[0][0].variables.items():
        y, x = (next((d for d in first.dims if d in DIMENSIONS[axis]), None) for axis in "yx")
        if y is None or x is None:
            result[name] = first
            continue
        blocks = {box: part.variables[name].transpose(..., y, x) for part, box in cut}
        lead = blocks[cut[0][1]].shape[:-2]

        tiles = [
            [_tile(blocks.get((*j, *i)), (*lead, j[1] - j[0], i[1] - i[0]), first.dtype) for i in columns] for j in rows
        ]
        result[name] = (blocks[cut[0][1]].dims, da.block(tiles), first.attrs)
    return result


def _tile(part: xr.Variable | None, shape: tuple[int, ...], dtype: np.dtype) -> da.Array:
    """A rank's part of a variable; zeros where no rank wrote."""
    if part is not None:
        return da.asarray(part.data)
    return da.zeros(shape, dtype=dtype, chunks=(1,) * (len(shape) - 2) + shape[-2:])


def _whole(dataset: xr.Dataset) -> bool:
    size = [np.atleast_1d(dataset.attrs.get(f"DOMAIN_size_{kind}", 0)).tolist() for kind in ("local", "global")]
    return size[0] == size[1]


def _complete(parts: Sequence[xr.Dataset], paths: Sequence[Path]) -> None:
    """HaloclineError unless there are as many files as DOMAIN_number_total says; files without it are taken as they are.

    NEMO writes its jpnij there (iom_nf90.F90): the ranks that run. Land that no rank was given is not counted, and no file.
    """
    for part, path in zip(parts, paths, strict=True):
        total = int(part.attrs.get("DOMAIN_number_total", len(paths)))
        if total == len(paths):
            continue
        told = path.parent / RANK.sub(".nc", path.name)
        there = {int(found[1]) for one in paths if (found := RANK.search(one.name))}
        gone = [f"{rank:04d}" for rank in range(total) if rank not in there]
        lost = f"; there is none of rank {', '.join(gone[:8])}{', ...' if len(gone) > 8 else ''}" if gone else ""
        raise HaloclineError(
            f"{told} is of {total} ranks, of {len(paths)} there is a file{lost} (DOMAIN_number_total of {path.name}).\n"
            "  Cells without a file would count as land. Bring the missing files, or leave these out; files of another run in "
            "the folder count, too."
        )


def _interior(part: xr.Dataset, path: Path) -> tuple[xr.Dataset, tuple[int, int, int, int]]:
    """A rank's data set without its halo, and its box (j0, j1, i0, i1) in the global grid, from 0, end excluded."""
    try:
        first, last, low, high = (
            [int(value) for value in np.atleast_1d(part.attrs[f"DOMAIN_{name}"])]
            for name in ("position_first", "position_last", "halo_size_start", "halo_size_end")
        )
    except KeyError as error:
        raise HaloclineError(
            f"{path} is one rank's part, but has no attribute {error}: it cannot be placed.\n"
            "  Join the files first (rebuild_nemo), and name the result."
        ) from None
    box: list[int] = []
    kept = part
    for axis, name in ((1, "y"), (0, "x")):
        size = last[axis] - first[axis] + 1
        dims = [str(dim) for dim in part.dims if dim in DIMENSIONS[name]]
        for dim in dims:
            if part.sizes[dim] != size:
                raise HaloclineError(f"{path}: {dim} has {part.sizes[dim]} cells, its DOMAIN attributes say {size}.")
            kept = kept.isel({dim: slice(low[axis], size - high[axis])})
        box += [first[axis] - 1 + low[axis], last[axis] - high[axis]]
    return kept, (box[0], box[1], box[2], box[3])


def _edges(spans: Sequence[tuple[int, int]], size: int, axis: str, path: Path) -> list[tuple[int, int]]:
    """The distinct spans along one axis, in order; rows or columns that no rank wrote are filled in."""
    result: list[tuple[int, int]] = []
    end = 0
    for start, stop in sorted(set(spans)):
        if start < end:
            raise HaloclineError(
                f"the ranks' parts of {path.parent}/{RANK.sub('', path.name)} overlap along {axis} at cell {start + 1}.\n"
                "  Files of two runs in one folder? Join them first (rebuild_nemo)."
            )
        if start > end:
            result.append((end, start))
        result.append((start, stop))
        end = stop
    return result if end == size else [*result, (end, size)]
