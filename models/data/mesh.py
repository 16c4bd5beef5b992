"""The grid of a NEMO run from mesh_mask or domain_cfg: metrics, masks, level thickness; whole or one file per rank."""

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import ranks
from models.data.names import canonical

HORIZONTAL = tuple(f"{name}{point}" for name in ("glam", "gphi", "e1", "e2") for point in "tuvf")
SAME_PLACE = 1e-3  # columns this near to each other are one column, duplicated [degrees]


def read_mesh(path: Path, thickness: bool = True) -> xr.Dataset:
    """The mesh of PATH, or of PATH_0000.nc, ...; dims (k, y, x), duplicated cyclic columns dropped.

    Variables: glam*, gphi* [degrees], e1*, e2* [m], ff_t, ff_f [s-1] in memory; e3t, e3u, e3v [m] and tmask, umask,
    vmask, fmask (k, y, x) lazily, one chunk a level. attrs: cyclic (1: the last column's neighbour is the first),
    dropped (columns dropped at each end), notes (what was not in the file and how it was made), sources (files).
    Without `thickness` e3 is left out, and need not be there where tmask is.
    HaloclineError for what is neither there nor can be made, and for a mesh that is all land.
    """
    files = ranks.pieces(Path(path))
    raw = ranks.joined(files)
    notes: list[str] = []
    mesh = xr.Dataset()
    for name in HORIZONTAL:
        mesh[name] = _plane(_need(raw, path, name))
    mesh["ff_t"] = _plane(_need(raw, path, "ff_t", "ff", "ff_f"))
    mesh["ff_f"] = _plane(_need(raw, path, "ff_f", "ff", "ff_t"))
    bottom, top = _first(raw, "bottom_level", "mbathy"), _first(raw, "top_level", "misf")
    e3_1d = _first(raw, "e3t_1d", "e3t_0_1d")
    e3t = _first(raw, "e3t_0", "e3t")
    e3t = e3t if e3t is not None and "y" in e3t.dims else None
    given = e3_1d if e3t is None else e3t
    if given is None and not thickness:
        given = _first(raw, "tmask")
    if given is None:
        raise _absent(raw, path, ("e3t_0", "e3t", "e3t_1d"))
    depth = given.sizes["k"]
    _masks(mesh, raw, path, bottom, top, depth, notes)
    if thickness:
        _thickness(mesh, raw, given, bottom, notes)
    mesh = mesh.chunk({"k": 1, "y": -1, "x": -1})
    for name in map(str, mesh.data_vars):
        if "k" not in mesh[name].dims:
            mesh[name] = mesh[name].load()
    repeated = _repeated(mesh)
    if repeated:
        notes.append("the first and the last column are duplicates (cyclic grid) and were dropped")
        mesh = mesh.isel(x=slice(1, -1)).chunk({"x": -1})
    cyclic = repeated or int(np.atleast_1d(raw.attrs.get("Iperio", 0))[0]) == 1
    if not bool(mesh.tmask.isel(k=0).any()):
        raise HaloclineError(f"{path}: the surface is all land (tmask is 0 everywhere).\n  Check the file.")
    mesh.attrs = {
        "cyclic": int(cyclic),
        "dropped": int(repeated),
        "notes": notes,
        "sources": [str(file) for file in files],
    }
    return mesh


def _first(raw: xr.Dataset, *names: str) -> xr.DataArray | None:
    """The first of these variables that is there, without its leading time of one."""
    for name in names:
        if name in raw.variables:
            values = canonical(raw[name].reset_coords(drop=True), "the mesh")
            return values.isel(time=0) if "time" in values.dims else values
    return None


def _absent(raw: xr.Dataset, path: Path, names: tuple[str, ...]) -> HaloclineError:
    return HaloclineError(
        f"the mesh {path} holds none of {', '.join(names)}.\n  Found: {', '.join(sorted(map(str, raw.variables)))}.\n"
        "  Give mesh_mask.nc or domain_cfg.nc of the run (cn_mesh)."
    )


def _need(raw: xr.Dataset, path: Path, *names: str) -> xr.DataArray:
    found = _first(raw, *names)
    if found is None:
        raise _absent(raw, path, names)
    return found


def _plane(values: xr.DataArray) -> xr.DataArray:
    return values.astype(np.float64).load()


def _next(values: xr.DataArray, axis: str) -> xr.DataArray:
    """The neighbour towards growing `axis`; the last takes the first's (a cyclic grid, else land)."""
    return values.roll({axis: -1}, roll_coords=False)


def _masks(
    mesh: xr.Dataset,
    raw: xr.Dataset,
    path: Path,
    bottom: xr.DataArray | None,
    top: xr.DataArray | None,
    depth: int,
    notes: list[str],
) -> None:
    tmask = _first(raw, "tmask")
    if tmask is None:
        if bottom is None:
            raise _absent(raw, path, ("tmask", "bottom_level", "mbathy"))
        level = xr.DataArray(da.arange(1, depth + 1, chunks=1), dims="k")
        above = 1 if top is None else top
        tmask = ((level >= above) & (level <= bottom) & (bottom > 0)).transpose("k", "y", "x")
        notes.append("tmask was made from the levels of the bottom and of the top")
    mesh["tmask"] = tmask.astype(np.int8)
    both = mesh.tmask * _next(mesh.tmask, "x")
    made: dict[str, Callable[[], xr.DataArray]] = {
        "umask": lambda: both,
        "vmask": lambda: mesh.tmask * _next(mesh.tmask, "y"),
        "fmask": lambda: both * _next(both, "y"),
    }
    for name, make in made.items():
        found = _first(raw, name)
        mesh[name] = make() if found is None else found
        if found is None:
            notes.append(
                f"{name} was made from tmask (free slip)" if name == "fmask" else f"{name} was made from tmask"
            )


def _thickness(
    mesh: xr.Dataset, raw: xr.Dataset, given: xr.DataArray, bottom: xr.DataArray | None, notes: list[str]
) -> None:
    """e3 at T, U, V. Full steps: e3t_1d. Old partial steps: e3t_ps in the bottom cell. Faces: the smaller neighbour."""
    e3t = given
    if "y" not in given.dims:
        e3t = given.broadcast_like(mesh.tmask).transpose("k", "y", "x")
        partial = _first(raw, "e3t_ps", "e3tp")
        if partial is not None and bottom is not None:
            level = xr.DataArray(np.arange(1, e3t.sizes["k"] + 1), dims="k")
            e3t = xr.where(level == bottom, partial, e3t).transpose("k", "y", "x")
            notes.append("e3 was made from e3t_1d and the partial bottom cells e3t_ps")
        else:
            notes.append("e3 was made from e3t_1d: full steps, no partial bottom cell")
    mesh["e3t"] = e3t.astype(np.float64)
    for point, axis in (("u", "x"), ("v", "y")):
        found = _first(raw, f"e3{point}_0", f"e3{point}")
        if found is None or "k" not in found.dims:
            found = np.minimum(mesh.e3t, _next(mesh.e3t, axis))
            notes.append(f"e3{point} was made from e3t, the smaller of both cells")
        mesh[f"e3{point}"] = found.astype(np.float64)


def _repeated(mesh: xr.Dataset) -> bool:
    """Whether the first column stands again before the last, and the last after the first (NEMO before 4.2, cyclic)."""
    if mesh.sizes["x"] < 4:
        return False

    def same(a: int, b: int) -> bool:
        lam = mesh.glamt.values[:, a] - mesh.glamt.values[:, b]
        phi = mesh.gphit.values[:, a] - mesh.gphit.values[:, b]
        turned = np.abs((lam + 180.0) % 360.0 - 180.0)
        return bool((turned < SAME_PLACE).all() and (np.abs(phi) < SAME_PLACE).all())

    return same(0, -2) and same(-1, 1) and not same(0, 1)
