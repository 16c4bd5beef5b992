"""The states of a run, a few at a time: folders of the reference ocean, and data sets of `halocline coarsen`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from coupler.io import read_output
from coupler.log import ABORT_FILE
from coupler.namelist import read_groups
from models.data import store
from models.data.coarse import coarse_state
from models.evaluation.mesh import Mesh

OCEAN = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "t": "sosstsst"}
COARSENED = {"u": "u", "v": "v", "h": "h", "t": "sst"}
METRICS = ("e1t", "e2t", "e1u", "e2v", "e1f", "e2f")
SEGMENT = re.compile(r"(?P<exp>.*)_(?P<first>\d{8,})_(?P<last>\d{8,})_inst\.nc$")
DEFAULT_GRED = (0.008, 0.008)  # of the reference ocean, rn_gred in &namusr_def
DAY = 86400.0


@dataclass(frozen=True)
class Piece:
    """States (n, k, ny, nx), t (n, ny, nx), at `seconds` (n,); zero on land. du, dv: residual tendencies [m s-2], where known."""

    seconds: np.ndarray
    u: np.ndarray
    v: np.ndarray
    h: np.ndarray
    t: np.ndarray
    du: np.ndarray | None = None
    dv: np.ndarray | None = None


@dataclass(frozen=True)
class States:
    """One run: its mesh, the length of its year [s], how it ended ('' when well), and where the states lie."""

    name: str
    mesh: Mesh
    year: float
    ended: str
    parts: Sequence[Path]  # NetCDF files in the order of time, or one zarr group
    box: tuple[slice, slice]
    factor: int = 1
    sigma: float = 0.0  # in cells of the run
    megabytes: float = 100.0

    def pieces(self) -> Iterator[Piece]:
        """The states in the order of time, as many at once as fit into `megabytes`; a time that comes again is left out."""
        last = -np.inf
        for part in self.parts:
            with _open(part) as dataset:
                names = COARSENED if _is_zarr(part) else OCEAN
                time = _seconds(dataset)
                fresh = np.flatnonzero(time > last)
                size = 8 * 4 * int(np.prod(dataset[names["h"]].shape[1:])) / 1e6
                count = max(1, int(self.megabytes / size / 3))  # three: what is computed from a piece
                for start in range(0, fresh.size, count):
                    rows = fresh[start : start + count]
                    last = float(time[rows[-1]])
                    yield self._piece(dataset, names, rows, time[rows])

    def _piece(self, dataset: xr.Dataset, names: dict, rows: np.ndarray, seconds: np.ndarray) -> Piece:
        def read(name: str) -> np.ndarray:
            values = dataset[name][rows[0] : rows[-1] + 1].values[rows - rows[0]]
            return values[(..., *self.box)].astype(float)

        u, v, h, t = (read(names[name]) for name in "uvht")
        if self.factor > 1:
            u, v, h, t = coarse_state(u, v, h, t, self.factor, self.sigma)
        else:
            u, v = np.where(self.mesh.umask, u, 0.0), np.where(self.mesh.vmask, v, 0.0)
            h, t = np.where(self.mesh.tmask, h, 0.0), np.where(self.mesh.tmask[0], t, 0.0)
        if not {"du", "dv"} <= set(dataset):
            return Piece(seconds, u, v, h, t)
        du, dv = np.where(self.mesh.umask, read("du"), 0.0), np.where(self.mesh.vmask, read("dv"), 0.0)
        return Piece(seconds, u, v, h, t, du, dv)


def open_states(path: Path | str, shape: tuple[int, int] | None = None, sigma: float = 20000.0) -> States:
    """A run folder of the reference ocean or a zarr group of `halocline coarsen`.

    shape: (ny, nx) of the truth; a finer run is brought there with a Gaussian of standard deviation `sigma` [m] and box means
    (of thickness and transports, as the truth was). HaloclineError: nothing to read there, or a grid that does not fit.
    """
    path = Path(path)
    if not path.exists():
        raise HaloclineError(f"there is no run {path}. Give a run folder, a data set .zarr, or a climate .npz.")
    if not path.is_dir():
        raise HaloclineError(
            f"{path} is a file of another kind. Give a run folder, a data set .zarr, or a climate .npz."
        )
    states = _zarr_states(path) if _is_zarr(path) else _folder_states(path)
    _, ny, nx = states.mesh.shape
    if shape is None or shape == (ny, nx):
        return states
    factor = nx // shape[1]
    if (ny, nx) != (factor * shape[0], factor * shape[1]):
        raise HaloclineError(
            f"{path} has {nx} x {ny} cells, the truth {shape[1]} x {shape[0]}: a run must have the truth's grid, or a whole "
            "number of cells in each of its cells.\n  Coarsen the truth to the run's grid (halocline coarsen, nn_factor)."
        )
    width = states.mesh.width
    coarse = Mesh.closed(*shape, width * factor, tuple(states.mesh.gred))
    return replace(states, mesh=coarse, factor=factor, sigma=sigma / width)


# --- folders of the reference ocean ----------------------------------------------------------------------------------


def _folder_states(path: Path) -> States:
    files = _segments(path)
    mesh_file = path / "mesh_mask.nc"
    if not mesh_file.is_file():
        raise HaloclineError(
            f"{path} holds no mesh_mask.nc, which has the masks. The ocean writes it with ln_meshmask (&namdom)."
        )
    mesh, box = _mesh(read_output(mesh_file), _gred(path))
    ended = ""
    with _open(files[0]) as dataset:
        year = _year(dataset)
    abort = path / ABORT_FILE
    if abort.is_file():
        lines = abort.read_text(encoding="utf-8", errors="replace").splitlines()
        ended = " ".join(line.strip() for line in lines[:2]) or "stopped"
    return States(path.name, mesh, year, ended, files, box)


def _segments(path: Path) -> list[Path]:
    """Files EXP_FIRST_LAST_inst.nc in the order of their steps; one that is still being written is left out, at the end.

    Of a run that ended with an error (halocline.abort) the last file is still called .part.
    """
    named = [*path.glob("*_inst.nc"), *(path.glob("*_inst.nc.part") if (path / ABORT_FILE).exists() else ())]
    found = sorted(
        ((int(match["first"]), file) for file in named if (match := SEGMENT.match(file.name.removesuffix(".part")))),
        key=lambda pair: pair[0],
    )
    if not found:
        there = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise HaloclineError(
            f"{path} holds no output EXP_FIRST_LAST_inst.nc of the reference ocean, and is no data set. It holds: {there}.\n"
            "  The ocean writes states with nn_write > 0 (&namrun) and ln_inst = .true. (&namdia)."
        )
    files = []
    for number, (_, file) in enumerate(found):
        try:
            with _open(file) as dataset:
                missing = sorted(set(OCEAN.values()) - set(dataset))
                if missing:
                    raise HaloclineError(
                        f"{file} lacks {', '.join(missing)}; it holds {', '.join(sorted(map(str, dataset.data_vars)))}.\n"
                        "  Give all of vozocrtx, vomecrty, thkcello and sosstsst in cn_inst (&namdia)."
                    )
                if dataset.sizes["time_counter"]:
                    files.append(file)
        except OSError as error:
            if number == len(found) - 1 and files:
                continue  # the ocean holds it
            raise HaloclineError(f"{file} cannot be read as NetCDF: {error}") from error
    if not files:
        raise HaloclineError(f"{path} holds output without a single state in it. Let the run go on, or lower nn_write.")
    return files


def _gred(path: Path) -> tuple[float, ...]:
    """Reduced gravities: rn_gred of &namusr_def in the folder's namelist_cfg, else the ocean's own defaults."""
    if (path / "namelist_cfg").is_file():
        for group in read_groups(path / "namelist_cfg"):
            if group.name == "namusr_def" and "rn_gred" in (values := group.values()):
                return tuple(np.atleast_1d(values["rn_gred"]).astype(float))
    return DEFAULT_GRED


# --- data sets of halocline coarsen ----------------------------------------------------------------------------------


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def _zarr_states(path: Path) -> States:
    with _open(path) as dataset:
        if not dataset.sizes["time"]:
            raise HaloclineError(f"{path} has no state in it. Let halocline coarsen come to its end.")
        mesh, box = _mesh(dataset, tuple(dataset["gred"].values.astype(float)))
        return States(path.stem, mesh, _year(dataset), "", [path], box)


# --- both ------------------------------------------------------------------------------------------------------------


def _open(path: Path) -> xr.Dataset:
    return store.read(path) if _is_zarr(path) else xr.open_dataset(path, engine="netcdf4", decode_times=False)


def _time(dataset: xr.Dataset) -> str:
    return "time_counter" if "time_counter" in dataset.variables else "time"


def _seconds(dataset: xr.Dataset) -> np.ndarray:
    """The times of a data set [s], from the origin of its units."""
    time = dataset[_time(dataset)]
    unit = time.attrs.get("units", "seconds").split()[0].lower().rstrip("s")
    lengths = {"second": 1.0, "sec": 1.0, "minute": 60.0, "hour": 3600.0, "day": DAY}
    if unit not in lengths:
        raise HaloclineError(
            f"time in units of '{time.attrs['units']}' is not understood.\n  Allowed: seconds, minutes, hours or days since a date."
        )
    return time.values.astype(float) * lengths[unit]


def _year(dataset: xr.Dataset) -> float:
    """Length of a year of the file's calendar [s]."""
    calendar = dataset[_time(dataset)].attrs.get("calendar", "360_day")
    return DAY * {"360_day": 360.0, "noleap": 365.0, "365_day": 365.0}.get(calendar, 365.25)


def _mesh(dataset: xr.Dataset, gred: tuple[float, ...]) -> tuple[Mesh, tuple[slice, slice]]:
    """The mesh without its rim of land, and the box that cuts it out."""
    tmask = dataset["tmask"].values > 0
    rows, columns = np.flatnonzero(tmask.any((0, 2))), np.flatnonzero(tmask.any((0, 1)))
    if not rows.size:
        raise HaloclineError(f"{dataset.encoding.get('source', 'the mesh')}: every cell is land. Check tmask.")
    if len(gred) != len(tmask):
        raise HaloclineError(
            f"{dataset.encoding.get('source', 'the mesh')} has {len(tmask)} layers, but there are {len(gred)} reduced gravities "
            f"{gred}.\n  Set rn_gred of &namusr_def in the namelist_cfg of the run."
        )
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    arrays = {name: dataset[name].values[(..., *box)] for name in ("tmask", "umask", "vmask", *METRICS)}
    return Mesh(**arrays, gred=np.asarray(gred)), box
