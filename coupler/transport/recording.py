"""Recordings of exchanges: the file, written and read.

root             y_1, x_1, y_2, ... per grid, level_N; covered_1, ... is 1 where an ocean rank owns the cell; attributes
                 format, handshake (JSON), namelist_cfg (text), artefacts (JSON: network -> sha256), halocline (version), and
                 first_step and last_step, where the recording is one of several of a run
group EXCHANGE   time_counter, kt, restart and last (to the coupler) or status (to the ocean), and every field as
                 (time_counter, level, y, x); kt is written last, so that a record without it is not whole
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.grid import Box, ownership
from coupler.handshake import PROTOCOL, Handshake, parse

FORMAT = 1  # of recordings; a newer Halocline reads every older one
HEADS = {"to_coupler": ("restart", "last"), "to_ocean": ("status",)}
MEANING = {
    "kt": "model step; of an answer, the step at which the ocean uses it",
    "restart": "step at which the ocean writes its restart, as the message said; 0: none",
    "last": "1: the ocean said that no message follows",
    "status": "0 ok, 1 held, 2 fallback, 3 computed and not applied",
}
LARGEST_CHUNK = 2**31  # bytes; HDF5 takes chunks below 2^32
NO_STEP = -1


class RecordFile:
    """Writes a recording, as PATH.part until `close`.

    A lasting one is compressed, and synchronised after every record, so that what a run that dies leaves can be read. Any other
    is neither, and nothing before it is closed: 0.8 ms for two exchanges of 50 x 50 cells and 10 levels in 32 bits, in place of 5.
    """

    def __init__(
        self,
        path: Path,
        shake: Handshake,
        exchanges: Sequence[tuple[Exchange, np.dtype]],
        attributes: Mapping[str, str | int],
        lasting: bool = True,
    ) -> None:
        """exchanges: with the type of their numbers. Raises HaloclineError when the place cannot be written."""
        self.path, self.part, self._lasting = path, path.with_name(path.name + ".part"), lasting
        try:
            self._file = netCDF4.Dataset(self.part, "w", format="NETCDF4")
        except OSError as error:
            raise HaloclineError(f"cannot write the recording {self.part}: {error}. Name another place.") from None
        self._shake = shake
        self._file.setncatts(
            {"Conventions": "CF-1.8", "format": FORMAT, "handshake": shake.model_dump_json(), **attributes}
        )
        self._covered = {n: ownership(p.grid, p.boxes).rank >= 0 for n, p in enumerate(shake.grids, start=1)}
        for number, covered in self._covered.items():
            for axis, size in zip("yx", covered.shape, strict=True):
                self._file.createDimension(f"{axis}_{number}", size)
            mask = self._file.createVariable(f"covered_{number}", "i1", (f"y_{number}", f"x_{number}"))
            mask.setncatts({"long_name": "1 where an ocean rank owns the cell", "units": "1"})
            mask[...] = covered
        self._groups = {exchange.number: self._group(exchange, dtype) for exchange, dtype in exchanges}
        self._counts = dict.fromkeys(self._groups, 0)
        self._heads: dict[int, list[dict[str, float]]] = {number: [] for number in self._groups}  # not yet written
        if lasting:
            self._file.sync()

    def _group(self, exchange: Exchange, dtype: np.dtype) -> tuple[netCDF4.Group, dict[str, netCDF4.Variable]]:
        """One group for an exchange, and its variables by field."""
        group = self._file.createGroup(_safe(exchange.name, self._file.groups))
        about = {"direction": exchange.direction, "period": exchange.period, "static": int(exchange.static)}
        group.setncatts({"exchange": exchange.name, **about, "lag": exchange.lag})
        group.createDimension("time_counter", None)
        time = group.createVariable("time_counter", "f8", ("time_counter",))
        start, calendar = self._shake.date(1).isoformat(" "), self._shake.time.calendar
        time.setncatts({"standard_name": "time", "units": f"seconds since {start}", "calendar": calendar, "axis": "T"})
        for name in (*HEADS[exchange.direction], "kt"):
            words = group.createVariable(name, "i8", ("time_counter",), fill_value=NO_STEP)
            words.setncatts({"long_name": MEANING[name], "units": "1"})
        variables = {}
        for field in exchange.fields:
            level, plane = f"level_{field.levels}", (f"y_{field.grid}", f"x_{field.grid}")
            if level not in self._file.dimensions:
                self._file.createDimension(level, field.levels)
            shape = self._covered[field.grid].shape
            cells = shape[0] * shape[1] * dtype.itemsize
            variable = group.createVariable(
                _safe(field.name, group.variables),
                dtype,
                ("time_counter", level, *plane),
                compression="zlib" if self._lasting else None,
                complevel=1,
                shuffle=self._lasting,
                chunksizes=(1, max(1, min(field.levels, LARGEST_CHUNK // cells)), *shape),
                fill_value=netCDF4.default_fillvals[f"f{dtype.itemsize}"],
            )
            variable.setncatts({"long_name": field.name, "units": field.units, "point": field.point})
            variable.set_auto_maskandscale(False)
            variables[field.name] = variable
        return group, variables

    def append(
        self,
        exchange: Exchange,
        kt: int,
        head: Mapping[str, int],
        pieces: Sequence[tuple[Box, Mapping[str, np.ndarray]]],
    ) -> None:
        """One record: the pieces (levels, nj, ni) of every field; cells that no ocean rank owns keep the fill value.

        head: restart and last, or status. Raises HaloclineError when the disk does not take it.
        """
        number, covered = exchange.number, self._covered[exchange.grid]
        variables = self._groups[number][1]
        try:
            for field in exchange.fields:
                variable = variables[field.name]
                whole = np.full(variable.shape[1:], variable.get_fill_value(), variable.dtype)
                for box, values in pieces:
                    whole[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = values[field.name]
                whole[:, ~covered] = variable.get_fill_value()
                variable[self._counts[number]] = whole
            self._counts[number] += 1
            self._heads[number].append({**head, "time_counter": (kt - 1) * self._shake.time.rn_Dt, "kt": kt})
            if self._lasting:
                self._write_heads(number)
        except (OSError, RuntimeError) as error:
            raise self._full(f"exchange '{exchange.name}', step {kt}", error) from None

    def _write_heads(self, number: int) -> None:
        """The heads of an exchange that are not yet written; `kt` last, when all else is on the disk."""
        (group, _), heads, end = self._groups[number], self._heads[number], self._counts[number]
        for name in heads[0] if heads else ():
            if name == "kt" and self._lasting:
                self._file.sync()
            group[name][end - len(heads) : end] = [head[name] for head in heads]
        if self._lasting:
            self._file.sync()
        heads.clear()

    def _full(self, where: str, error: Exception) -> HaloclineError:
        left = "What is in it up to the step before can be replayed. " if self._lasting else ""
        return HaloclineError(
            f"the recording {self.part} takes no more ({where}): {error}. Is the disk full? {left}Record fewer steps, or elsewhere "
            "(cn_record)."
        )

    def close(self) -> None:
        """Finish the file and give it its name. Raises HaloclineError when the disk does not take it."""
        if not self._file.isopen():
            return
        try:
            if not self._lasting:
                for number in self._groups:
                    self._write_heads(number)
            self._file.close()
        except (OSError, RuntimeError) as error:
            raise self._full("at its end", error) from None
        self.part.replace(self.path)


def _safe(name: str, taken: Mapping[str, Any]) -> str:
    """A NetCDF name for a field or an exchange; readers go by the attributes `long_name` and `exchange`."""
    clean = "".join(c if c.isalnum() or c in "_-." else "_" for c in name)
    while clean in taken:
        clean = f"field_{clean}"
    return clean


@dataclass(frozen=True)
class Series:
    """A recorded field: its variable, the record of every step, and the heads of its exchange by step."""

    variable: netCDF4.Variable
    records: Mapping[int, int]
    heads: Mapping[int, tuple[int, ...]]


class Recording:
    """Reads a recording. `fields[direction, name]` is a Series.

    `first` is its first step, `last` the last one for which all states are there, `end` the one at which it should end; of one
    recording of several, its own.
    """

    def __init__(self, path: Path) -> None:
        """Raises HaloclineError when the file is missing, is no recording, or holds no whole step."""
        part = path.with_name(path.name + ".part")
        if not path.is_file():
            hint = f" {part.name} is there, of a run that did not end: give that name." if part.is_file() else ""
            raise HaloclineError(
                f"no recording {path}.{hint or ' A run with ln_record = .true. in &namcpl writes one.'}"
            )
        try:
            self._file = netCDF4.Dataset(path)
        except OSError as error:
            raise HaloclineError(
                f"{path} cannot be read as NetCDF: {error.strerror or error}. Is it a recording, and has its run ended?"
            ) from None
        found = self._file.ncattrs()
        missing = [
            name for name in ("format", "handshake", "namelist_cfg", "artefacts", "halocline") if name not in found
        ]
        if missing:
            raise HaloclineError(
                f"{path} is NetCDF, but no recording: the attribute '{missing[0]}' is not there. Give the file that "
                "cn_record of a run with ln_record = .true. names (default halocline_record.nc)."
            )
        if self._file.format > FORMAT:
            raise HaloclineError(
                f"the recording {path} is of format {self._file.format}, this version of Halocline reads 1 to {FORMAT}. Install "
                f"the version that wrote it ({self._file.halocline}) or a newer one."
            )
        self.path = path
        # The protocol is that of messages: a recording of another one holds the same fields.
        document = json.loads(self._file.getncattr("handshake"))
        self.shake = parse(json.dumps(document | {"protocol": PROTOCOL}))
        self.namelist = str(self._file.getncattr("namelist_cfg"))
        self.artefacts: Mapping[str, str] = json.loads(self._file.getncattr("artefacts"))
        self.version = str(self._file.getncattr("halocline"))
        self.fields: dict[tuple[str, str], Series] = {}
        self.first = int(getattr(self._file, "first_step", self.shake.time.nn_it000))
        self.end = int(getattr(self._file, "last_step", self.shake.time.nn_itend))
        ends = [self.end]
        for group in self._file.groups.values():
            steps = np.ma.filled(group["kt"][...], NO_STEP).tolist()
            whole = steps.index(NO_STEP) if NO_STEP in steps else len(steps)
            columns = [np.ma.filled(group[name][:whole], 0).tolist() for name in HEADS[group.direction]]
            records = {kt: number for number, kt in enumerate(steps[:whole])}
            heads = dict(zip(steps[:whole], zip(*columns, strict=True), strict=True))
            if group.direction == "to_coupler":
                if not records:
                    raise HaloclineError(
                        f"the recording {path} holds no whole record of exchange '{group.exchange}': its run ended before the "
                        "first step. Record again."
                    )
                if not group.static:
                    ends.append(max(records) + int(group.period) - 1)
            for variable in group.variables.values():
                if variable.ndim == 4:
                    variable.set_auto_maskandscale(False)
                    self.fields[group.direction, variable.long_name] = Series(variable, records, heads)
        self.last = min(ends)

    def names(self, direction: str) -> list[str]:
        """Fields of one direction."""
        return [name for way, name in self.fields if way == direction]

    def read(self, direction: str, name: str, kt: int | None) -> np.ndarray:
        """The global field (levels, ny, nx) of step `kt`; None: of the first record, for static fields."""
        series = self.fields[direction, name]
        return series.variable[0 if kt is None else series.records[kt]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def some_steps(steps: Sequence[int]) -> str:
    """The first steps of a list, for messages."""
    return f"{', '.join(map(str, sorted(steps)[:4]))}{' ...' if len(steps) > 4 else ''} ({len(steps)} steps)"
