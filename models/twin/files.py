"""NetCDF files as the ocean writes them (its module iom): coordinates, attributes, records, fill values, precision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import netCDF4
import numpy as np

from models.data.ocean import Switches

POINTS = {"T": (0.0, 0.0), "U": (0.5, 0.0), "V": (0.0, 0.5), "F": (0.5, 0.5)}  # from the T point of a cell [cells]
CALENDARS = {0: "noleap", 1: "proleptic_gregorian", 30: "360_day"}


@dataclass(frozen=True)
class Field:
    """What a file says of a field. cells: time that a value stands for, 'point' or 'mean'; none in files without a time axis."""

    name: str
    point: str
    deep: bool
    standard_name: str
    long_name: str
    units: str
    cells: str = ""


@dataclass(frozen=True)
class Head:
    """What all files of a run have in common.

    lam, phi: by point, distance from the western and southern wall [km] (nj, ni); depths: of the middle of layers at rest [m];
    land: what T fields have there, 1e20 in the working precision.
    """

    experiment: str
    start: int  # nn_date0
    calendar: str
    lam: dict[str, np.ndarray]
    phi: dict[str, np.ndarray]
    depths: np.ndarray
    land: float


def head(switches: Switches, shape: tuple[int, int], cyclic: bool, depth: Sequence[float], kind: type) -> Head:
    """The head of a run on a grid of `shape` (nj, ni); kind: numpy's type of the working precision."""
    nj, ni = shape
    dx = kind(switches["namusr_def", "rn_dx"])
    lam, phi = {}, {}
    for point, (di, dj) in POINTS.items():
        x = np.arange(1, ni + 1, dtype=kind) - kind(0.5 if cyclic else 1.5) + kind(di)
        y = np.arange(1, nj + 1, dtype=kind) - kind(1.5) + kind(dj)
        lam[point] = (kind(1e-3) * dx * x)[None, :] * np.ones(shape, kind)
        phi[point] = (kind(1e-3) * dx * y)[:, None] * np.ones(shape, kind)
    thick = np.asarray(depth, kind).astype(float)
    return Head(
        str(switches["namrun", "cn_exp"]).strip(),
        int(switches["namrun", "nn_date0"]),
        CALENDARS[int(switches["namrun", "nn_leapy"])],
        lam,
        phi,
        np.cumsum(thick) - 0.5 * thick,
        float(kind(1e20)),
    )


@contextmanager
def _writing() -> Iterator[None]:
    """NetCDF's refusals, a full disk among them, as the OSError that they are."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from None


class File:
    """A file that is being written under another name, and gets its own when it is closed.

    time: records along time_counter; bounds: with the bounds of means; double: fields in 64 bits. numbers: global attributes.
    """

    def __init__(
        self,
        path: Path,
        title: str,
        head: Head,
        fields: Sequence[Field],
        time: bool = False,
        bounds: bool = False,
        double: bool = True,
        numbers: dict[str, float] | None = None,
        aside: str = ".part",
    ) -> None:
        self.path, self.land, self.fields = path, head.land, {field.name: field for field in fields}
        self.records = 0
        self.aside = path.with_name(path.name + aside)
        with _writing():
            self.file = netCDF4.Dataset(self.aside, "w", format="NETCDF4_CLASSIC")
            self.file.set_auto_maskandscale(False)
            self._coordinates(title, head)
            if time:
                self._time(head, bounds)
            for field in fields:
                self._define(field, "f8" if double else "f4", time)
            self.file.setncatts({name: np.float64(value) for name, value in (numbers or {}).items()})

    def _coordinates(self, title: str, head: Head) -> None:
        nj, ni = head.lam["T"].shape
        for name, size in (("x", ni), ("y", nj), ("deptht", len(head.depths))):
            self.file.createDimension(name, size)
        self.file.setncatts({"title": title, "experiment": head.experiment, "Conventions": "CF-1.8"})
        axis = self.file.createVariable("deptht", "f8", ("deptht",))
        axis.setncatts({"long_name": "depth of the middle of the layer at rest", "units": "m", "positive": "down"})
        axis[:] = head.depths
        for point in POINTS:
            for name, wall, places in (("nav_lon", "western", head.lam), ("nav_lat", "southern", head.phi)):
                variable = self.file.createVariable(_at(name, point), "f8", ("y", "x"))
                variable.setncatts(
                    {"long_name": f"distance from the {wall} wall, {point.lower()} point", "units": "km"}
                )
                variable[:] = places[point]

    def _time(self, head: Head, bounds: bool) -> None:
        self.file.createDimension("time_counter", None)
        clock = self.file.createVariable("time_counter", "f8", ("time_counter",))
        date = f"{head.start // 10000:04d}-{head.start // 100 % 100:02d}-{head.start % 100:02d}"
        units = f"seconds since {date} 00:00:00"
        clock.setncatts({"standard_name": "time", "units": units, "calendar": head.calendar})
        if bounds:
            self.file.createDimension("axis_nbounds", 2)
            self.file.createVariable("time_counter_bounds", "f8", ("time_counter", "axis_nbounds"))
            clock.bounds = "time_counter_bounds"

    def _define(self, field: Field, kind: str, time: bool) -> None:
        axes = (["time_counter"] if time else []) + (["deptht"] if field.deep else []) + ["y", "x"]
        fill = self.land if field.point == "T" and time else None
        variable = self.file.createVariable(field.name, kind, axes, fill_value=fill)
        words = {"standard_name": field.standard_name, "long_name": field.long_name, "units": field.units}
        words["cell_methods"] = f"time_counter: {field.cells}" if field.cells else ""
        words["coordinates"] = f"{_at('nav_lat', field.point)} {_at('nav_lon', field.point)}"
        variable.setncatts({name: text for name, text in words.items() if text})

    def put(self, values: dict[str, np.ndarray]) -> None:
        """The fields (k, nj, ni) or (nj, ni) of a file without a time axis."""
        with _writing():
            for name, array in values.items():
                self.file[name][:] = array

    def record(
        self, values: dict[str, np.ndarray], time: float, bounds: tuple[float, float] | None, wet: np.ndarray
    ) -> None:
        """A record, brought to the disk. time, bounds: seconds since nn_date0; wet (nj, ni): elsewhere T fields get `land`."""
        with _writing():
            self.file["time_counter"][self.records] = time
            if bounds is not None:
                self.file["time_counter_bounds"][self.records] = bounds
            for name, field in self.fields.items():
                array = np.where(wet, values[name], self.land) if field.point == "T" else values[name]
                self.file[name][self.records] = array
            self.file.sync()
        self.records += 1

    def close(self) -> None:
        """Close it, whole."""
        with _writing():
            self.file.close()
        self.aside.replace(self.path)

    def drop(self) -> None:
        """Close what is not whole; it keeps its other name. Left to the garbage collector it would be closed in any thread."""
        with suppress(RuntimeError):  # the first error is the one that is told
            self.file.close()

    def __enter__(self) -> "File":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self.drop()


def _at(name: str, point: str) -> str:
    """nav_lon of T points, nav_lon_u of U points."""
    return name if point == "T" else f"{name}_{point.lower()}"
