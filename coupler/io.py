"""NetCDF, and nothing else: reading the ocean's output, writing the coupler's diagnostics."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np

from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.stagger import HALF

if TYPE_CHECKING:
    import xarray as xr


def read_output(path: Path | str) -> "xr.Dataset":
    """The whole file in memory, closed again; times stay the numbers that the file holds.

    Raises HaloclineError when the file is missing or is not NetCDF.
    """
    import xarray as xr  # a third of a second, which no coupler rank should pay at its start

    path = Path(path)
    _must_exist(path)
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_times=False) as dataset:
            return dataset.load()
    except (OSError, ValueError) as error:
        raise HaloclineError(f"{path} cannot be read as NetCDF: {error}") from error


def _must_exist(path: Path) -> None:
    """Say where the file is not, and whether its run died."""
    if not path.is_file():
        part = path.with_name(path.name + ".part")
        hint = f" {part.name} is there: the run did not reach its end." if part.exists() else ""
        raise HaloclineError(f"no file {path}.{hint}")


def date_of(time: "xr.DataArray") -> str:
    """The day YYYY-MM-DD of one value of a CF time axis, in the axis' own calendar."""
    calendar = time.attrs.get("calendar", "standard")
    dates: Any = netCDF4.num2date(np.atleast_1d(time.values), time.attrs["units"], calendar)
    return dates[0].strftime("%Y-%m-%d")


@dataclass(frozen=True)
class DiagnosticsField:
    """One variable of a diagnostics file; `more`: attributes beside name, units and place, empty ones left out."""

    name: str
    units: str
    point: str  # T, U, V, F or W
    levels: int = 1
    long_name: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


class DiagnosticsFile:
    """Records of fields over time, in a file that has its name only once it is whole.

    Variables are (time_counter, level, y, x), or (time_counter, y, x) with one level. The file is written as PATH.part
    and renamed by `close`; a run that dies leaves the part, readable up to its last complete record. What an earlier run left
    under either name gets its steps into its name, NAME_KT1_KT2.nc.
    """

    def __init__(
        self,
        path: Path | str,
        shape: tuple[int, int],
        fields: Sequence[DiagnosticsField],
        start: str,
        calendar: str,
        attributes: Mapping[str, str | int | float] | None = None,
        coordinates: Sequence[DiagnosticsField] = (),
        bounds: bool = False,
    ) -> None:
        """shape: (y, x) of the whole grid. start: date and time of the experiment's first step, ISO 8601.

        coordinates: two-dimensional ones, filled by `put_coordinate`; columns and rows are counted where there is none.
        bounds: records are means between two times.
        """
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.records = 0
        _put_by(self.part, self.path)
        try:
            self._file = netCDF4.Dataset(self.part, "w", format="NETCDF4")
        except OSError as error:
            raise HaloclineError(f"cannot write {self.part}: {error}") from error
        self._file.setncatts({"Conventions": "CF-1.8", **(attributes or {})})
        self._file.createDimension("time_counter", None)
        self._file.createDimension("y", shape[0])
        self._file.createDimension("x", shape[1])

        time = self._file.createVariable("time_counter", "f8", ("time_counter",))
        since = {"units": f"seconds since {start}", "calendar": calendar}
        time.setncatts({"standard_name": "time", "long_name": "time", **since, "axis": "T"})
        if bounds:
            self._file.createDimension("axis_nbounds", 2)
            time.setncattr("bounds", "time_counter_bounds")
            self._file.createVariable("time_counter_bounds", "f8", ("time_counter", "axis_nbounds")).setncatts(since)
        step = self._file.createVariable("kt", "i8", ("time_counter",))
        step.setncatts({"long_name": "last model step of the mean" if bounds else "model step", "units": "1"})

        for item in coordinates:
            self._describe(self._file.createVariable(item.name, "f8", ("y", "x")), item)
        for axis, size in zip("xy", shape[::-1], strict=True) if not coordinates else ():
            index = self._file.createVariable(axis, "i4", (axis,))
            word = "column" if axis == "x" else "row"
            index.setncatts({"long_name": f"{word} of the grid, from 1", "units": "1", "axis": axis.upper()})
            index[:] = np.arange(1, size + 1)
        for item in fields:
            self._describe(self._file.createVariable(item.name, "f8", self._dimensions(item, fields)), item)

    def _describe(self, variable: netCDF4.Variable, item: DiagnosticsField) -> None:
        j, i = HALF.get(item.point, (0, 0))
        place = {"point": item.point, "stagger": f"x: {0.5 * i:g} y: {0.5 * j:g} (cells from T)"}
        more = {key: value for key, value in item.more.items() if value}
        variable.setncatts({"long_name": item.long_name or item.name, "units": item.units, **place, **more})

    def _dimensions(self, item: DiagnosticsField, fields: Sequence[DiagnosticsField]) -> tuple[str, ...]:
        if item.levels == 1:
            return ("time_counter", "y", "x")
        level = "level" if item.levels == max(other.levels for other in fields) else f"level_{item.levels}"
        if level not in self._file.dimensions:
            self._file.createDimension(level, item.levels)
            axis = self._file.createVariable(level, "i4", (level,))
            axis.setncatts({"long_name": "model level, counted from the surface", "positive": "down", "axis": "Z"})
            axis[:] = np.arange(1, item.levels + 1)
        return ("time_counter", level, "y", "x")

    def record(self, kt: int, seconds: float, bounds: tuple[float, float] | None = None) -> None:
        """Start the record of step kt, `seconds` after the experiment's start; `put` then fills it. bounds: of a mean [s]."""
        with self._disk():
            self._file["time_counter"][self.records] = seconds
            self._file["kt"][self.records] = kt
            if bounds is not None:
                self._file["time_counter_bounds"][self.records] = bounds
        self.records += 1

    def put(self, name: str, values: np.ndarray, j: int = 0, i: int = 0) -> None:
        """Write a box of the current record: values (level, y, x) or (y, x), lower left corner at row j, column i."""
        if not self.records:
            raise ValueError("put before the first record")
        variable = self._file[name]
        nj, ni = values.shape[-2:]
        rows, columns = variable.shape[-2:]
        if values.ndim != variable.ndim - 1 or values.shape[:-2] != variable.shape[1:-2]:
            raise ValueError(f"'{name}' has shape {variable.shape[1:]}, got a box of {values.shape}")
        if j < 0 or i < 0 or j + nj > rows or i + ni > columns:
            raise ValueError(f"'{name}': a box of {nj} x {ni} at ({j}, {i}) leaves the grid of {rows} x {columns}")
        with self._disk():
            variable[self.records - 1, ..., j : j + nj, i : i + ni] = values

    def put_coordinate(self, name: str, values: np.ndarray, j: int, i: int) -> None:
        """Write a box (y, x) of a coordinate, lower left corner at row j, column i."""
        nj, ni = values.shape
        with self._disk():
            self._file[name][j : j + nj, i : i + ni] = values

    def sync(self) -> None:
        """Let the disk have what was put: what dies afterwards leaves it readable."""
        with self._disk():
            self._file.sync()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What the disk, or HDF5, does not take, in words."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise HaloclineError(f"cannot write {self.part}: {error}. Is the disk full?") from error

    def close(self) -> Path:
        """Finish the file and give it its name."""
        if self._file.isopen():
            with self._disk():
                self._file.close()
            _put_by(self.path, self.path)
            self.part.replace(self.path)
        return self.path

    def __enter__(self) -> "DiagnosticsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()  # the part stays a part


def _put_by(old: Path, path: Path) -> None:
    """Name a file of an earlier run by its first and last step, NAME_KT1_KT2.nc; leave one without a record, or damaged."""
    if not old.is_file():
        return
    try:
        with netCDF4.Dataset(old) as file:
            steps = [int(kt) for kt in file["kt"][:]]
    except (OSError, RuntimeError, IndexError, ValueError):
        return
    if steps:
        old.replace(path.with_name(f"{path.stem}_{steps[0]:08d}_{steps[-1]:08d}{path.suffix}"))


def create_diagnostics(
    path: Path | str,
    shape: tuple[int, int],
    fields: Sequence[DiagnosticsField],
    start: str,
    calendar: str = "noleap",
    attributes: Mapping[str, str | int | float] | None = None,
    coordinates: Sequence[DiagnosticsField] = (),
    bounds: bool = False,
) -> DiagnosticsFile:
    """A new diagnostics file for a grid of shape (y, x); see `DiagnosticsFile`. An older one is put by at `close`.

    Raises HaloclineError when the place cannot be written.
    """
    return DiagnosticsFile(path, shape, fields, start, calendar, attributes, coordinates, bounds)


def write_fields(
    path: Path,
    shapes: Sequence[tuple[int, int]],
    fields: Sequence[Field],
    pieces: Sequence[tuple[str, int, int, np.ndarray]],
    attributes: Mapping[str, str | int | float],
) -> None:
    """A file of whole fields (level, y, x) in 64 bits, from pieces (name, first row, first column, values).

    shapes: (y, x) of each grid. Written as PATH.part and renamed. Raises HaloclineError when the place cannot be written.
    """
    aside = path.with_name(path.name + ".part")
    try:
        with netCDF4.Dataset(aside, "w", format="NETCDF4") as file:
            file.setncatts({"Conventions": "CF-1.8", **attributes})
            for number, (ny, nx) in enumerate(shapes, start=1):
                file.createDimension(f"y_{number}", ny)
                file.createDimension(f"x_{number}", nx)
            for field in fields:
                level = f"level_{field.levels}"
                if level not in file.dimensions:
                    file.createDimension(level, field.levels)
                variable = file.createVariable(field.name, "f8", (level, f"y_{field.grid}", f"x_{field.grid}"))
                variable.setncatts({"units": field.units, "point": field.point})
                whole = np.zeros((field.levels, *shapes[field.grid - 1]))
                for name, j, i, values in pieces:
                    if name == field.name:
                        whole[:, j : j + values.shape[1], i : i + values.shape[2]] = values
                variable[...] = whole
    except (OSError, RuntimeError) as error:  # of the file system, of HDF5
        raise HaloclineError(f"cannot write {aside}: {error}. Is the disk full?") from error
    aside.replace(path)


def read_fields(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str | int | float]]:
    """Fields (level, y, x) by name, and attributes, of a file of `write_fields`. HaloclineError when it cannot be read."""
    _must_exist(path)
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            fields = {name: np.asarray(variable[...]) for name, variable in file.variables.items()}
            return fields, {name: file.getncattr(name) for name in file.ncattrs()}
    except (OSError, RuntimeError, ValueError, AttributeError) as error:  # whatever a damaged file makes of HDF5
        raise HaloclineError(
            f"{path} cannot be read as NetCDF: {error}. Is it whole? Give an older one, or write it again."
        ) from error
