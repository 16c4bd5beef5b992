"""A small NEMO run made up for tests: an island, a shelf, a mesh and output files in several dialects."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

from models.data.mesh import read_mesh
from models.data.nemo import open_nemo

IOIPSL = {"t": "votemper", "s": "vosaline", "u": "vozocrtx", "v": "vomecrty", "ssh": "sossheig"}
XIOS = {"t": "toce", "s": "soce", "u": "uoce", "v": "voce", "ssh": "ssh"}
CMIP = {"t": "thetao", "s": "so", "u": "uo", "v": "vo", "ssh": "zos"}
GRID = {"t": "T", "s": "T", "ssh": "T", "u": "U", "v": "V"}


@dataclass
class Run:
    """Arrays of the run; `write` and `write_mesh` put them into files. Land is 0 in the arrays."""

    ny: int = 12
    nx: int = 16
    depth: int = 4
    times: int = 6
    seed: int = 0
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    mesh: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        shape = (self.depth, self.ny, self.nx)
        level = np.full(shape[1:], self.depth)
        level[3:8, 4:9] = 2  # a shelf
        level[5, 6] = 0  # an island on it
        level[[0, -1], :] = level[:, [0, -1]] = 0
        tmask = (np.arange(1, self.depth + 1)[:, None, None] <= level).astype(np.int8)
        umask, vmask = tmask * np.roll(tmask, -1, 2), tmask * np.roll(tmask, -1, 1)
        masks = {"tmask": tmask, "umask": umask, "vmask": vmask, "fmask": umask * np.roll(umask, -1, 1)}
        i, j = np.meshgrid(np.arange(self.nx), np.arange(self.ny))
        self.mesh = dict(masks)
        for point, di, dj in (("t", 0, 0), ("u", 0.5, 0), ("v", 0, 0.5), ("f", 0.5, 0.5)):
            self.mesh |= {f"glam{point}": -60.0 + i + di, f"gphi{point}": 20.0 + j + dj}
            self.mesh |= {f"e{axis}{point}": 1e5 * (1 + 0.2 * random.random(shape[1:])) for axis in "12"}
        self.mesh |= {"ff_t": 1e-4 + 1e-6 * j, "ff_f": 1e-4 + 1e-6 * (j + 0.5), "bottom_level": level}
        self.mesh["e3t_1d"] = 10.0 * 2.0 ** np.arange(self.depth)
        for name, point in GRID.items():
            mask = self.mesh[f"{point.lower()}mask"]
            mask = mask[0] if name == "ssh" else mask
            self.fields[name] = random.standard_normal((self.times, *mask.shape)).astype(np.float32) * mask

    def write_mesh(self, folder: Path, leave: tuple[str, ...] = (), name: str = "mesh_mask.nc") -> Path:
        """The mesh as NEMO writes it, with a leading time of one, without the variables in `leave`."""
        path = folder / name
        self.mesh_dataset(leave).to_netcdf(path)
        return path

    def mesh_dataset(self, leave: tuple[str, ...] = ()) -> xr.Dataset:
        dims = {1: ("time_counter", "nav_lev"), 2: ("time_counter", "y", "x"), 3: ("time_counter", "nav_lev", "y", "x")}
        return xr.Dataset({key: (dims[v.ndim], v[None]) for key, v in self.mesh.items() if key not in leave})

    def write(
        self,
        folder: Path,
        names: dict[str, str] = IOIPSL,
        part: slice = slice(None),
        label: str = "",
        calendar: str = "360_day",
        spelled: str = "",
        fill: float = 0.0,
        units: str = "days since 2000-01-01 00:00:00",
    ) -> None:
        """grid_T, grid_U, grid_V with ten-day means; `fill` stands on land; `spelled` is the calendar's name in the file."""
        dates = [cftime.datetime(2000, 1, 6, calendar=calendar)]
        dates += [dates[0] + timedelta(days=10 * index) for index in range(1, self.times)]
        time = cftime.date2num(dates, units, calendar)[part].astype(float)
        for point in "TUV":
            dataset = xr.Dataset()
            clock = {"units": units, "calendar": spelled or calendar}
            dataset["time_counter"] = ("time_counter", time, clock)
            for name, values in self.fields.items():
                if GRID[name] != point or name not in names:
                    continue
                mask = self.mesh[f"{point.lower()}mask"]
                mask = mask[0] if name == "ssh" else mask
                vertical = () if name == "ssh" else (f"depth{point.lower()}",)
                on_land = np.where(mask, values[part], np.float32(fill))
                dataset[names[name]] = (("time_counter", *vertical, "y", "x"), on_land)
            encoding = {name: {"_FillValue": None} for name in dataset.variables}
            dataset.to_netcdf(folder / f"RUN{label}_grid_{point}.nc", encoding=encoding)


def opened(folder: Path, patterns=("*grid*.nc",), chosen=None, **options) -> xr.Dataset:
    """The fields of the run in `folder`."""
    return open_nemo(folder, patterns, read_mesh(folder / "mesh_mask.nc"), chosen or {}, **options)


def assert_same_fields(found: xr.Dataset, run: Run) -> None:
    for name, values in run.fields.items():
        assert np.array_equal(found[name].values, values), name


def namelist(folder: Path, **switches) -> Path:
    """A folder with a namelist_cfg that coarsens `folder`."""
    values = {"cn_source": "nemo", "cn_truth": str(folder), "nn_factor": 2, "cn_filter": "none", "ln_advective": False}
    lines = []
    for key, value in (values | switches).items():
        text = {True: ".true.", False: ".false."}.get(value) if isinstance(value, bool) else None
        lines.append(f"   {key} = {text or (repr(value) if isinstance(value, str) else value)}")
    cfg = folder / "cfg"
    cfg.mkdir(exist_ok=True)
    (cfg / "namelist_cfg").write_text("&namcoarsen\n" + "\n".join(lines) + "\n/\n")
    return cfg
