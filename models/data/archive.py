"""From a centre's archive of increments and backgrounds, in NEMO's form, to a data set of increments: window by window."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import track

from coupler.errors import HaloclineError
from models.data import archive_files as files
from models.data import increment, nemo, store, windows
from models.data.background_check import BackgroundCheck, refuse_analysis
from models.data.mesh import read_mesh
from models.data.windows import DAY, Clock, Source, Window
from models.settings import NamArchive

FLAT = ("ssh",)  # fields that have no levels
DEEP = ("u", "v", "h", "s")  # and those that must have them; temperature may have either (a layered ocean)
METRICS = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f", "ff_t", "ff_f")
PLACES = tuple(f"{name}{point}" for name in ("glam", "gphi") for point in "tuvf")


@dataclass(frozen=True)
class Target:
    """Where everything has to fit: mesh, masks by point, levels of the files, columns cut off at both ends, names in the files."""

    mesh: xr.Dataset
    masks: Mapping[str, np.ndarray]
    levels: int
    cut: tuple[int, int]
    chosen: Mapping[str, str]
    nam: NamArchive


def collect(group: NamArchive, out: Path, console: Console) -> Path:
    """Read the archive that &namarchive names into the data set of increments OUT (models/data/increment.py); returns OUT.

    Increments are matched with backgrounds by date. Windows without background, or missing, are left out and reported; no
    window is ever made up. Land and values beyond 1e10 in increments become 0. Temperature with levels is t, its first level
    sst as well. HaloclineError: nothing matches, windows overlap, another grid than the mesh's, a wet point without a number, names
    or dates that cannot be read, states that look like analyses. OUT then does not exist, or is the older one.
    """
    where = group.where("cn_increments")
    target = _target(group)
    found = files.found(group.cn_increments, where), files.found(group.cn_background, group.where("cn_background"))
    calendar, assumed = files.calendar([*found[0], *found[1]], group.cn_calendar)
    clock = Clock(files.EPOCH, calendar)
    notes = [f"calendar {calendar}" + (", assumed: no file names one (cn_calendar)" if assumed else "")]
    console.print(notes[0], highlight=False)
    sources = files.increments(found[0], clock)
    length = windows.length(sources, group.rn_window, clock, where)
    paired, key, left_out = windows.matched(sources, files.backgrounds(found[1], clock), clock, where)
    notes += [f"backgrounds stand at the increments' {key}", *left_out, *windows.holes(paired, clock)]
    paired, dropped = windows.kept(
        paired,
        group.nn_drop,
        group.cn_jumps,
        group.rn_jump_days,
        clock,
        (group.where("nn_drop"), group.where("cn_jumps")),
    )
    notes += [*dropped, *_columns(target)]
    for note in notes[1:]:
        console.print(note, highlight=False)
    steps = np.diff([window.time for window in paired])
    check = BackgroundCheck(float(np.median(steps)) if steps.size else length)
    zeroed = 0
    time = {"standard_name": "time", "units": files.EPOCH, "calendar": calendar, "axis": "T"}
    facts = {"calendar": calendar, "notes": notes, "background date": key}
    provenance = _provenance(group, target, paired)
    writing = increment.Writer(out, time, _static(target), provenance, length, "archive", **facts)
    with writing as writer, dask.config.set(scheduler="synchronous"):
        piece: list[tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]] = []
        for number, window in enumerate(track(paired, "windows", console=console, disable=not console.is_terminal)):
            state, change, filled = _window(window, target)
            zeroed += filled
            own = [name for name in change if name != "sst" or "t" not in change]
            check.add(window.time, {name: state[name] for name in own}, {name: change[name] for name in own})
            piece.append((window.time, state, change))
            if len(piece) == min(store.records((0, *each.shape)) for each in state.values()) or number + 1 == len(
                paired
            ):
                _write(writer, piece, length)
                piece = []
        verdict = check.verdict()
        console.print(verdict.text(), highlight=False)
        refuse_analysis(verdict, group.ln_analysis_ok, group.where("cn_background"))
        if zeroed:
            console.print(f"{zeroed} wet increments were beyond {nemo.HUGE:g} (fill values): 0", highlight=False)
        writer.facts |= {"background check": verdict.text(), "fill values set to 0": zeroed}
    days = f"{clock.when(paired[0].time)} to {clock.when(paired[-1].time)}"
    console.print(f"{len(paired)} windows of {length / DAY:g} days, {days}", highlight=False)
    return out


def _target(group: NamArchive) -> Target:
    """Mesh and levels. HaloclineError for a field that cannot be read, or more levels than there are."""
    unknown = [name for name in group.cn_fields if name not in files.INCREMENTS]
    if unknown or not group.cn_fields:
        raise HaloclineError(
            f"cn_fields names {', '.join(unknown) or 'nothing'}; allowed: {', '.join(files.INCREMENTS)}.\n"
            f"  {group.where('cn_fields')}."
        )
    try:
        mesh = read_mesh(Path(group.cn_mesh), thickness=False)
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {group.where('cn_mesh')}.") from None
    depth = mesh.sizes["k"]
    if group.nn_levels > depth:
        raise HaloclineError(
            f"nn_levels is {group.nn_levels}, the mesh has {depth}.\n  {group.where('nn_levels')}. 0: all."
        )
    dropped = int(mesh.attrs["dropped"])  # at each end
    columns = 2 * dropped if group.nn_cyclic < 0 else group.nn_cyclic
    if dropped and columns != 2 * dropped:
        raise HaloclineError(
            f"nn_cyclic is {group.nn_cyclic}, but the first and the last column of the mesh stand twice.\n"
            f"  {group.where('nn_cyclic')}. Leave it out, or set 2."
        )
    cut = (columns // 2, columns - columns // 2)
    if not dropped and columns:
        mesh = mesh.isel(x=slice(cut[0], mesh.sizes["x"] - cut[1]))
    mesh = mesh.isel(k=slice(0, group.nn_levels or depth))
    masks = {point: mesh[name].values != 0 for point, name in nemo.MASKS.items()}
    return Target(mesh, masks, depth, cut, files.overrides(group.cn_names, group.where("cn_names")), group)


def _columns(target: Target) -> list[str]:
    return [f"{sum(target.cut)} duplicated columns dropped (cyclic grid)"] if any(target.cut) else []


def _window(window: Window, target: Target) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """Backgrounds and increments of one window by name, float32, land 0; wet fill values that became 0."""
    state: dict[str, np.ndarray] = {}
    change: dict[str, np.ndarray] = {}
    zeroed = 0
    before, after = files.opened(window.background), files.opened(window.increments)
    for dataset, source in ((before, window.background), (after, window.increments)):
        nemo.same_place(dataset, target.mesh, source.name)
    for name in target.nam.cn_fields:
        x = _values(before, window.background, name, target, change=False)
        inc = _values(after, window.increments, name, target, change=True)
        if x.shape != inc.shape:
            raise HaloclineError(
                f"'{name}' has {x.shape} cells (k, j, i) in {window.background.name}, its increment {inc.shape} in "
                f"{window.increments.name}."
            )
        mask = target.masks[increment.FIELDS[name][1]]
        mask = mask if x.ndim == 3 else mask[0]
        huge = mask & (np.abs(inc) > nemo.HUGE)
        zeroed += int(huge.sum())
        _numbers(np.where(huge, 0.0, inc), mask, f"the increment of '{name}'", window.increments, target)
        _numbers(x, mask, f"'{name}'", window.background, target)
        ours = "sst" if name == "t" and x.ndim == 2 else name
        state[ours] = np.where(mask, x, 0.0).astype(np.float32)
        change[ours] = np.where(mask & ~huge, inc, 0.0).astype(np.float32)
        if ours == "t":
            state["sst"], change["sst"] = state["t"][0], change["t"][0]
        _repeated(x, mask, name, window.background, target)
    return state, change, zeroed


def _values(dataset: xr.Dataset, source: Source, name: str, target: Target, change: bool) -> np.ndarray:
    """One field (k, y, x) or (y, x), float64, on the mesh's columns and the levels asked for; sizes are checked."""
    nam, mesh = target.nam, target.mesh
    values = files.variable(dataset, source, name, target.chosen, nam.where("cn_fields"), change)
    levels = "k" in values.dims
    if (levels and name in FLAT) or (not levels and name in DEEP):
        raise HaloclineError(
            f"'{values.name}' of {source.name} has {'' if levels else 'no '}levels, as '{name}' it cannot."
        )
    if any(target.cut) and values.sizes["x"] == mesh.sizes["x"] + sum(target.cut):
        values = values.isel(x=slice(target.cut[0], values.sizes["x"] - target.cut[1]))
    have = {str(dim): size for dim, size in values.sizes.items()}
    want = {dim: mesh.sizes[dim] for dim in ("y", "x")} | ({"k": target.levels} if levels else {})
    fits = all(have[dim] == want[dim] for dim in ("y", "x"))
    if not fits or (levels and have["k"] not in (target.levels, mesh.sizes["k"])):
        shown = [" x ".join(str(sizes[dim]) for dim in ("x", "y", "k") if dim in sizes) for sizes in (have, want)]
        raise HaloclineError(
            f"inconsistent grids: '{values.name}' of {source.name} has {shown[0]} cells, the mesh has {shown[1]}.\n"
            f"  Mesh: {', '.join(mesh.attrs['sources'])}. {nam.where('cn_mesh')}. Increments, background and mesh must be of one "
            "grid; interpolate before, never here."
        )
    values = values.isel(k=slice(0, mesh.sizes["k"])) if levels else values
    try:
        return np.asarray(values.values, np.float64)
    except (OSError, RuntimeError) as error:
        raise HaloclineError(
            f"cannot read '{values.name}' of {source.name}: {error}.\n  The file is damaged."
        ) from None


def _numbers(values: np.ndarray, mask: np.ndarray, what: str, source: Source, target: Target) -> None:
    """HaloclineError with the place of the first wet point without a number."""
    bad = mask & ~(np.abs(values) <= nemo.HUGE)
    if bad.any():
        place = np.argwhere(bad)[0]
        level = f", level {place[0] + 1}" if values.ndim == 3 else ""
        raise HaloclineError(
            f"{what} of {source.name} has no number at {int(bad.sum())} wet point(s), the first at "
            f"i={place[-1] + 1 + target.cut[0]}, j={place[-2] + 1}{level}: {values[tuple(place)]}.\n"
            "  The mesh may be that of another run, or the file is damaged."
        )


def _repeated(values: np.ndarray, mask: np.ndarray, name: str, source: Source, target: Target) -> None:
    """HaloclineError where both end columns stand twice in a state, and nothing was dropped."""
    if target.nam.nn_cyclic >= 0 or any(target.cut) or values.shape[-1] < 4:
        return
    wet = mask[..., 0].any() and mask[..., -1].any()
    if wet and all(np.array_equal(values[..., a], values[..., b]) for a, b in ((0, -2), (-1, 1))):
        raise HaloclineError(
            f"the first and the last column of '{name}' of {source.name} stand twice (cyclic grid), those of the mesh do not.\n"
            f"  {target.nam.where('nn_cyclic')}. Set nn_cyclic = 2 to drop them, or 0 to keep them."
        )


def _write(writer: increment.Writer, piece: list[tuple[float, dict, dict]], length: float) -> None:
    names = piece[0][2]
    background = {name: np.stack([state[name] for _, state, _ in piece]) for name in names}
    changes = {
        name: increment.Increment.of(name, np.stack([change[name] for _, _, change in piece]), length) for name in names
    }
    writer.add(np.array([time for time, _, _ in piece]), background, changes)


def _static(target: Target) -> dict[str, Any]:
    """Masks (k, y, x), metrics and positions (y, x) of the mesh, for the writer."""
    static: dict[str, Any] = {}
    for name in ("tmask", "umask", "vmask", "fmask"):
        attrs = {"units": "1", "standard_name": "sea_binary_mask", "point": name[0].upper()}
        static[name] = (("k", "y", "x"), np.asarray(target.mesh[name].values, np.float32), attrs)
    for name in (*METRICS, *PLACES):
        units = {"glam": "degrees_east", "gphi": "degrees_north", "ff_": "s-1"}.get(name[:-1], "m")
        attrs = {"units": units, "point": name[-1].upper()}
        static[name] = (("y", "x"), np.asarray(target.mesh[name].values, np.float32), attrs)
    return static


def _provenance(group: NamArchive, target: Target, paired: list[Window]) -> dict[str, Any]:
    """Hashes of the mesh and of the first and the last window; all file names."""
    some = [
        *paired[0].increments.paths,
        *paired[0].background.paths,
        *paired[-1].increments.paths,
        *paired[-1].background.paths,
    ]
    hashed = {str(path): Path(path) for path in (*target.mesh.attrs["sources"], *some)}
    used = [[str(path) for path in (*window.increments.paths, *window.background.paths)] for window in paired]
    return store.provenance(hashed, switches=group.model_dump(), windows=used, mesh=target.mesh.attrs["notes"])
