"""From NEMO output to a coarse data set: filtered, summed on the C grid, level block by level block, written to zarr."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from rich.progress import track

from coupler.errors import HaloclineError
from models import settings
from models.data import cgrid, names, nemo, store
from models.data.large import Blocks, Layout
from models.data.mesh import read_mesh
from models.data.smooth import Smoother, ratio
from models.settings import NamCoarsen

# Peak memory, measured with a Gaussian and ln_advective (benchmarks/coarsen.py): 31 planes a level and 70 MB; with some room:
PLANES = 40  # double-precision planes that one level of the work holds
FIXED = 24  # planes of the horizontal metrics, always held
LIBRARIES = 80.0  # what libraries take once they work [MB]
HASHED = 64 * 2**20  # of larger files only this much is hashed [bytes]
CENTRES, FACES = ("t", "s"), (("u", "U", "e2u"), ("v", "V", "e1v"))
ADVECTIVE = ("du_adv", "dv_adv")


@dataclass(frozen=True)
class Work:
    """What every block needs: settings, mesh, output of the model; in memory metrics of both grids, points wet on any level."""

    nam: NamCoarsen
    mesh: xr.Dataset
    data: xr.Dataset
    fine: dict[str, np.ndarray]
    coarse: dict[str, np.ndarray]
    anywhere: dict[str, np.ndarray]
    cyclic: bool


def coarsen_nemo(cfg: Path, out: Path, progress: bool = True) -> Path:
    """Coarsen the NEMO run that &namcoarsen of CFG names (cn_source = 'nemo') into the zarr group OUT; returns OUT.

    Written: u, v [m s-1], h (thickness of T cells) [m], where the files have them t [degC], s [1e-3], ssh [m], sst (t of the first
    level); e3u, e3v [m] (static unless the files have them), tmask, umask, vmask, fmask, coarse metrics; du_adv, dv_adv
    [m s-2] with ln_advective: (uc . grad) uc - coarse((u . grad) u), the horizontal part on each level. Velocities are
    coarse transport over wet area of the face, tracers are means by volume. Attribute provenance (JSON).
    HaloclineError for every mistake in the files; OUT then does not exist, or is the older one.
    """
    nam = _group(cfg)
    work = _work(nam)
    n, mesh, data = nam.nn_factor, work.mesh, work.data
    depth, ny, nx = (mesh.sizes[dim] for dim in ("k", "y", "x"))
    levels = _levels(nam, depth, ny, nx)
    static = _static(work)
    static.attrs = _attributes(work, cfg, levels)
    sizes = {"time": data.sizes["time"], "k": depth, "y": ny // n, "x": nx // n}
    with Blocks(out, sizes, levels, _layout(work), static) as blocks, dask.config.set(scheduler="synchronous"):
        starts = [(level, time) for level in range(0, depth, levels) for time in range(sizes["time"])]
        for level, time in track(starts, description=f"coarsen {nam.cn_truth}", disable=not progress, transient=True):
            if time == 0:
                block = _block(work, level, min(levels, depth - level))
                blocks.put(_fixed(work, block), level=level)
            blocks.put(_record(work, block, time), time, level)
    return out


def _group(cfg: Path) -> NamCoarsen:
    groups = settings.load(cfg, NamCoarsen)
    if not groups:
        raise HaloclineError(f"{cfg} has no group &namcoarsen: nothing says what to coarsen.")
    if groups[0].cn_source != "nemo":
        raise HaloclineError(f"cn_source is '{groups[0].cn_source}', not 'nemo'.\n  {groups[0].where('cn_source')}.")
    return groups[0]


def _work(nam: NamCoarsen) -> Work:
    folder = Path(nam.cn_truth)
    if not nam.cn_truth or not folder.is_dir():
        raise HaloclineError(
            f"there is no folder '{nam.cn_truth}'.\n  {nam.where('cn_truth')}. Name the folder of the NEMO files."
        )
    mesh = read_mesh(folder / nam.cn_mesh)
    cgrid.check_factor(mesh.sizes["y"], mesh.sizes["x"], nam.nn_factor, nam.where("nn_factor"))
    chosen = names.overrides(nam.cn_names, nam.where("cn_names"))
    wanted = (*nemo.ALWAYS, *(name for name in chosen if name not in nemo.ALWAYS))
    data = nemo.open_nemo(folder, nam.cn_files, mesh, chosen, nam.where("cn_truth"), wanted)
    fine = {str(name): mesh[name].values for name in mesh.data_vars if "k" not in mesh[name].dims}
    cyclic = bool(mesh.attrs["cyclic"])
    coarse = cgrid.coarse_metrics(fine, nam.nn_factor, cyclic)
    anywhere = {point: (mesh[nemo.MASKS[point]] != 0).any("k").values for point in "TUV"}
    return Work(nam, mesh, data, fine, coarse, anywhere, cyclic)


def _levels(nam: NamCoarsen, depth: int, ny: int, nx: int) -> int:
    """Levels that fit into rn_maxmem at once; HaloclineError when not even one does."""
    plane = 8e-6 * ny * nx
    always = LIBRARIES + FIXED * plane
    room = int((nam.rn_maxmem - always) / (PLANES * plane))
    if room < 1:
        raise HaloclineError(
            f"one level of {nx} x {ny} cells needs about {always + PLANES * plane:.0f} MB, rn_maxmem is "
            f"{nam.rn_maxmem:g} MB.\n  {nam.where('rn_maxmem')}. Set it to at least that."
        )
    return min(room, depth)


def _layout(work: Work) -> dict[str, Layout]:
    """Variables that are written block by block."""
    full, flat, fixed = ("time", "k", "y", "x"), ("time", "y", "x"), ("k", "y", "x")
    layout = {}
    for name in ("u", "v", "t", "s", "ssh"):
        if name in work.data:
            field = names.FIELDS[name]
            layout[name] = Layout(full if field.levels else flat, _attrs(field.units, field.standard_name, field.point))
    if "t" in work.data:
        layout["sst"] = Layout(flat, _attrs("degC", "sea_surface_temperature", "T"))
    layout["h"] = Layout(full, _attrs("m", "cell_thickness", "T"))
    for point in "uv":
        dims = full if f"e3{point}" in work.data else fixed
        layout[f"e3{point}"] = Layout(dims, _attrs("m", "cell_thickness", point.upper()))
    for name in ("tmask", "umask", "vmask", "fmask"):
        layout[name] = Layout(fixed, _attrs("1", "sea_binary_mask", name[0].upper()))
    if work.nam.ln_advective:
        for name, point in zip(ADVECTIVE, "UV", strict=True):
            long_name = f"subgrid advection, along {'i' if point == 'U' else 'j'}"
            layout[name] = Layout(full, {"units": "m s-2", "long_name": long_name, "point": point})
    return layout


def _attrs(units: str, standard_name: str, point: str) -> dict[str, str]:
    return {"units": units, "standard_name": standard_name, "point": point}


def _static(work: Work) -> xr.Dataset:
    """Time and the horizontal metrics of the coarse grid."""
    static = xr.Dataset({"time": ("time", work.data.time.values, dict(work.data.time.attrs))})
    for name, values in work.coarse.items():
        kind = name[:-1]
        units = {"glam": "degrees_east", "gphi": "degrees_north", "ff_": "s-1"}.get(kind, "m")
        static[name] = (("y", "x"), values.astype(np.float32), {"units": units, "point": name[-1].upper()})
    return static


def _attributes(work: Work, cfg: Path, levels: int) -> dict[str, Any]:
    nam, n = work.nam, work.nam.nn_factor
    wet = work.anywhere["T"]
    spacing = float(np.median(np.sqrt(work.fine["e1t"] * work.fine["e2t"])[wet])) * n
    sources = [*work.mesh.attrs["sources"], *work.data.attrs["sources"]]
    small = {Path(file).name: Path(file) for file in sources if Path(file).stat().st_size <= HASHED}
    beginning = {Path(file).name: _beginning(Path(file)) for file in sources if Path(file).name not in small}
    facts = store.provenance(
        small,
        sha256_of_first_64_MiB=beginning,
        switches=nam.model_dump(),
        mesh=work.mesh.attrs["notes"],
        thickness="from the files" if "e3t" in work.data else "that of the mesh, constant in time",
        masks="a coarse cell or face is wet where any fine one is; thickness is the mean with land as 0",
        spacing=spacing,
        filter_to_grid_ratio=ratio(nam.cn_filter, nam.rn_sigma, spacing),
        levels_at_once=levels,
    )
    provenance = json.dumps(facts, indent=1)
    return {
        "Conventions": "CF-1.11",
        "halocline_format": store.FORMAT,
        "provenance": provenance,
        "cyclic": int(work.cyclic),
    }


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(HASHED)).hexdigest()


@dataclass(frozen=True)
class Block:
    """Some levels: masks of both grids, filters, thickness at rest (0 on land) and that of them which never changes, filtered."""

    level: int
    count: int
    masks: dict[str, np.ndarray]
    coarse_masks: dict[str, np.ndarray]
    smooth: dict[str, Smoother]
    rest: dict[str, np.ndarray]
    constant: dict[str, np.ndarray]


def _block(work: Work, level: int, count: int) -> Block:
    part = work.mesh.isel(k=slice(level, level + count))
    masks = {name: part[name].values for name in ("tmask", "umask", "vmask", "fmask")}
    nam = work.nam
    smooth = {
        p: Smoother(nam.cn_filter, nam.rn_sigma, p, work.fine, masks[nemo.MASKS[p]], work.cyclic, work.anywhere[p])
        for p in "TUV"
    }
    rest = {f"e3{p}": part[f"e3{p}"].values * (masks[f"{p}mask"] != 0) for p in "tuv"}
    constant = {name: smooth[name[-1].upper()](values) for name, values in rest.items() if name not in work.data}
    coarse_masks = cgrid.coarse_masks(masks, nam.nn_factor, work.cyclic)
    return Block(level, count, masks, coarse_masks, smooth, rest, constant)


def _fixed(work: Work, block: Block) -> dict[str, np.ndarray]:
    """What is written once for these levels."""
    fixed = dict(block.coarse_masks)
    for _, point, length in FACES:
        if (wall := f"e3{point.lower()}") in block.constant:
            fixed[wall] = _face_thickness(work, block.constant[wall], point, length)
    return fixed


def _record(work: Work, block: Block, time: int) -> dict[str, np.ndarray]:
    """Everything of one record on these levels."""
    n, fine, coarse = work.nam.nn_factor, work.fine, work.coarse
    area = fine["e1t"] * fine["e2t"]
    take = _taker(work, block, time)
    thick = {name: take(name) if name in work.data else values for name, values in block.rest.items()}
    wide = {
        name: block.constant[name] if name in block.constant else block.smooth[name[-1].upper()](values)
        for name, values in thick.items()
    }
    volume = cgrid.cell_sum(wide["e3t"] * area, n)
    result = {"h": cgrid.quotient(volume, np.broadcast_to(coarse["e1t"] * coarse["e2t"], volume.shape))}

    def centres(values: np.ndarray) -> np.ndarray:
        mean = cgrid.quotient(block.smooth["T"](values * thick["e3t"]), wide["e3t"])
        return cgrid.weighted_cells(mean, wide["e3t"], area, n)

    def faces(values: np.ndarray, point: str, length: str) -> np.ndarray:
        wall = f"e3{point.lower()}"
        mean = cgrid.quotient(block.smooth[point](values * thick[wall]), wide[wall])
        return cgrid.weighted_faces(mean, wide[wall], fine[length], n, point)

    for name in CENTRES:
        if name in work.data:
            result[name] = centres(take(name))
    flow = {name: take(name) for name, _, _ in FACES}
    for name, point, length in FACES:
        result[name] = faces(flow[name], point, length)
        if (wall := f"e3{name}") in work.data:
            result[wall] = _face_thickness(work, wide[wall], point, length)
    if work.nam.ln_advective:
        resolved = cgrid.advection(result["u"], result["v"], coarse, block.coarse_masks, work.cyclic)
        whole = cgrid.advection(flow["u"], flow["v"], fine, block.masks, work.cyclic)
        for name, ours, theirs, (_, point, length) in zip(ADVECTIVE, resolved, whole, FACES, strict=True):
            result[name] = ours - faces(theirs, point, length)
    if block.level == 0:
        if "t" in result:
            result["sst"] = result["t"][0]
        if "ssh" in work.data:
            result["ssh"] = _surface(work, block, take("ssh"))
    return result


def _surface(work: Work, block: Block, values: np.ndarray) -> np.ndarray:
    """Coarse mean by area of a field (y, x) at T."""
    n, wet = work.nam.nn_factor, block.masks["tmask"] != 0
    height = block.smooth["T"](np.where(wet, values, 0.0))[0]
    area = wet[0] * work.fine["e1t"] * work.fine["e2t"]
    return cgrid.quotient(cgrid.cell_sum(height * area, n), cgrid.cell_sum(area, n))


def _face_thickness(work: Work, thickness: np.ndarray, point: str, length: str) -> np.ndarray:
    """Wet area of coarse faces over their length [m]."""
    total = cgrid.u_face_sum if point == "U" else cgrid.v_face_sum
    area = total(thickness * work.fine[length], work.nam.nn_factor)
    return cgrid.quotient(area, np.broadcast_to(work.coarse[length], area.shape))


def _taker(work: Work, block: Block, time: int) -> Callable[[str], np.ndarray]:
    """Reads one variable of one record and block, float64, land 0; HaloclineError for wet cells without a number."""

    def take(name: str) -> np.ndarray:
        field = names.FIELDS[name]
        mask = block.masks[nemo.MASKS[field.point]]
        values = work.data[name].isel(time=time)
        if field.levels:
            values = values.isel(k=slice(block.level, block.level + block.count))
        else:
            mask = mask[0]
        try:
            array = np.asarray(values.values, dtype=np.float64)
        except (OSError, RuntimeError) as error:
            raise HaloclineError(
                f"cannot read '{name}' at time {time + 1} of the record: {error}.\n  A file of {work.nam.cn_truth} is damaged."
            ) from None
        problem = nemo.wet_problem(name, array, mask, time, block.level, work.mesh)
        if problem is not None:
            raise problem
        return array

    return take
