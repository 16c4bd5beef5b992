"""NEMO output, opened lazily on its mesh: names found, times decoded, land zero, grids and values checked."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import names, ranks

HUGE = 1e10  # what is larger is a fill value (1e20, 9.97e36)
NEAR = 0.01  # positions that agree [degrees]; files hold them in single precision
MASKS = {"T": "tmask", "U": "umask", "V": "vmask", "F": "fmask"}
ALWAYS = ("u", "v")  # without these there is nothing to coarsen
OPTIONAL = ("t", "s", "ssh", "e3t", "e3u", "e3v")  # taken where they are; e3 else comes from the mesh


def open_nemo(
    folder: Path,
    patterns: Sequence[str],
    mesh: xr.Dataset,
    chosen: Mapping[str, str],
    where: str = "&namcoarsen",
    wanted: Sequence[str] = ALWAYS,
) -> xr.Dataset:
    """The variables of models.data.names that the files hold, lazily: dims (time, k, y, x), fill values and land 0.

    folder, patterns: which files, [] for '*.nc'; files without output variables (a mesh) are passed over. chosen: our
    name -> the files' name. time: float64 seconds with CF units and calendar, increasing; files may follow each other in
    time in any order. Wet cells keep what the file has: see `wet_problem`. HaloclineError for no files, a variable of
    `wanted` in none of them, sizes other than the mesh's, times that overlap or differ between variables.
    """
    grid = {Path(source).resolve() for source in mesh.attrs["sources"]}
    found_files = {file for pattern in patterns or ["*.nc"] for file in Path(folder).glob(pattern)}
    files = sorted(file for file in found_files if file.resolve() not in grid)
    if not files:
        raise HaloclineError(
            f"no file in {folder} matches {', '.join(patterns) or '*.nc'}.\n  {where}. Check cn_truth, cn_files."
        )
    parts: dict[str, list[tuple[xr.DataArray, xr.DataArray, str]]] = {}
    seen: set[str] = set()
    for group in ranks.grouped(files):
        path = str(group[0])
        dataset = ranks.joined(group)
        seen |= {str(name) for name in dataset.data_vars}
        clock = next((name for name in names.DIMENSIONS["time"] if name in dataset.variables), None)
        for name in (*ALWAYS, *OPTIONAL):
            found = names.find(name, map(str, dataset.data_vars), chosen)
            if found is None:
                continue
            values = names.canonical(dataset[found], path)
            if "time" not in values.dims or clock is None or "since" not in str(dataset[clock].attrs.get("units", "")):
                continue  # a mesh beside the output
            values = _on_mesh(values, name, mesh, path)
            if names.FIELDS[name].point == "T":
                same_place(dataset, mesh, path)
            parts.setdefault(name, []).append((values, dataset[clock], path))
    for name in wanted:
        if name not in parts:
            raise names.missing(name, chosen, sorted(seen), str(folder), where)
    reference = parts[ALWAYS[0]][0][1] if ALWAYS[0] in parts else next(iter(parts.values()))[0][1]
    series = {name: _in_time(pieces, reference) for name, pieces in parts.items()}
    result = xr.Dataset(attrs={"sources": [str(file) for file in files]})
    first = next(iter(series))
    for name, values in series.items():
        if not np.array_equal(values.time, series[first].time):
            raise HaloclineError(
                f"'{name}' has {values.sizes['time']} times ({_when(values.time)}), '{first}' has "
                f"{series[first].sizes['time']} ({_when(series[first].time)}): they must be the same.\n"
                f"  {where}. Narrow cn_files, or add the missing files."
            )
        result[name] = values
    return result


def _on_mesh(values: xr.DataArray, name: str, mesh: xr.Dataset, path: str) -> xr.DataArray:
    """A variable with the mesh's columns, land zero; sizes are checked."""
    field = names.FIELDS[name]
    expected = ("time", "k", "y", "x") if field.levels else ("time", "y", "x")
    if values.dims != expected:
        raise HaloclineError(
            f"'{values.name}' of {path} has dimensions {values.dims}, as '{name}' it must have {expected}."
            f"\n  Name another variable: '{name}=VARIABLE' in cn_names."
        )
    if mesh.attrs["dropped"] and values.sizes["x"] == mesh.sizes["x"] + 2:
        values = values.isel(x=slice(1, -1))
    if any(values.sizes[dim] != mesh.sizes[dim] for dim in expected[1:]):
        have, want = (" x ".join(str(sizes[d]) for d in reversed(expected[1:])) for sizes in (values.sizes, mesh.sizes))
        raise HaloclineError(
            f"inconsistent grids: '{values.name}' of {path} has {have} cells, the mesh has {want}.\n"
            f"  Mesh: {', '.join(mesh.attrs['sources'])}. Give the mesh of this run (cn_mesh, &namcoarsen)."
        )
    mask = mesh[MASKS[field.point]]
    mask = mask if field.levels else mask.isel(k=0)
    return values.where(mask != 0, 0).chunk({"y": -1, "x": -1})


def same_place(dataset: xr.Dataset, mesh: xr.Dataset, path: str) -> None:
    """HaloclineError where nav_lon, nav_lat of a T file are not the mesh's on more than a twentieth of the wet surface."""
    if "nav_lon" not in dataset.variables or "nav_lat" not in dataset.variables:
        return
    wet = mesh.tmask.isel(k=0).values != 0
    lon, lat = (np.asarray(dataset[name].values, dtype=float) for name in ("nav_lon", "nav_lat"))
    if mesh.attrs["dropped"] and lon.ndim == 2 and lon.shape[1] == wet.shape[1] + 2:
        lon, lat = lon[:, 1:-1], lat[:, 1:-1]
    if lon.shape != wet.shape or lat.shape != wet.shape:
        return  # curvilinear coordinates of something else
    turned = np.abs((lon - mesh.glamt.values + 180.0) % 360.0 - 180.0)
    away = wet & ~((turned < NEAR) & (np.abs(lat - mesh.gphit.values) < NEAR))
    if away.sum() > wet.sum() / 20:
        j, i = (int(index) for index in np.argwhere(away)[0])
        raise HaloclineError(
            f"inconsistent grids: {path} has i={i + 1}, j={j + 1} at {lon[j, i]:.3f} E, {lat[j, i]:.3f} N, the mesh at "
            f"{float(mesh.glamt[j, i]):.3f} E, {float(mesh.gphit[j, i]):.3f} N.\n"
            f"  Mesh: {', '.join(mesh.attrs['sources'])}. Give the mesh of this run (cn_mesh)."
        )


def _in_time(pieces: Sequence[tuple[xr.DataArray, xr.DataArray, str]], reference: xr.DataArray) -> xr.DataArray:
    """The pieces of one variable in order of time, with coordinate time [s] in the reference's epoch and calendar."""
    dated = [(seconds(clock, reference, path), values, path) for values, clock, path in pieces]
    dated.sort(key=lambda piece: float(piece[0][0]))
    for (before, _, one), (after, _, other) in pairwise(dated):
        if after[0] <= before[-1]:
            raise HaloclineError(
                f"{one} and {other} overlap in time: to {before[-1]:g} s, from {after[0]:g} s.\n"
                "  Narrow cn_files (&namcoarsen), so that each time stands in one file."
            )
    joined = xr.concat([values for _, values, _ in dated], dim="time") if len(dated) > 1 else dated[0][1]
    time = xr.Variable("time", np.concatenate([piece[0] for piece in dated]), epoch(reference))
    return joined.assign_coords(time=time)


def epoch(clock: xr.DataArray) -> dict[str, str]:
    """CF attributes of our time axis: seconds since the clock's epoch, in its calendar."""
    calendar = str(clock.attrs.get("calendar", "standard")).lower()
    since = str(clock.attrs["units"]).split("since", 1)[1].strip()
    return {
        "units": f"seconds since {since}",
        "calendar": names.CALENDARS.get(calendar, calendar),
        "standard_name": "time",
        "axis": "T",
    }


def seconds(clock: xr.DataArray, reference: xr.DataArray, path: str) -> np.ndarray:
    """Times of a file [s] since the reference's epoch; HaloclineError for another calendar, or times that do not increase."""
    ours, theirs = epoch(reference), epoch(clock)
    if ours["calendar"] != theirs["calendar"]:
        raise HaloclineError(f"{path} has the calendar {theirs['calendar']}, the files before it {ours['calendar']}.")
    try:
        dates = cftime.num2date(np.atleast_1d(clock.values), str(clock.attrs["units"]), theirs["calendar"])
        time = np.asarray(cftime.date2num(dates, ours["units"], ours["calendar"]), dtype=np.float64)
    except ValueError as error:
        raise HaloclineError(f"cannot read the times of {path} ({clock.attrs.get('units')}): {error}.") from None
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise HaloclineError(f"the times of {path} do not increase.\n  Sort the file (ncks, cdo), or leave it out.")
    return time


def _when(time: xr.DataArray) -> str:
    return f"{float(time[0]):g} to {float(time[-1]):g} s"


def wet_problem(
    name: str, values: np.ndarray, mask: np.ndarray, time: int, level: int, mesh: xr.Dataset
) -> HaloclineError | None:
    """The error for the first wet cell without a number, with its place; None when all wet cells have one.

    values, mask: (k, y, x) or (y, x) as read at index `time`, levels from index `level` on.
    """
    bad = (mask != 0) & ~(np.abs(values) < HUGE)
    if not bad.any():
        return None
    place = np.argwhere(bad)[0]
    j, i = int(place[-2]), int(place[-1])
    depth = f", level {level + int(place[0]) + 1}" if values.ndim == 3 else ""
    point = names.FIELDS[name].point.lower()
    off = mesh.attrs["dropped"]
    return HaloclineError(
        f"'{name}' has no number at {int(bad.sum())} wet cell(s), the first at i={i + off + 1}, j={j + 1}{depth}, time "
        f"{time + 1} of the record (counted from 1): {values[tuple(place)]}.\n"
        f"  {float(mesh[f'gphi{point}'][j, i]):.2f} N, {float(mesh[f'glam{point}'][j, i]):.2f} E. "
        "The mesh may belong to another run, or the file is damaged."
    )
