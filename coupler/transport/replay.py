"""Replay: a recording in the place of the ocean. The file format of recordings, writing and reading, is here.

root             y_1, x_1, y_2, ... per grid, level_N; covered_1, ... is 1 where an ocean rank owns the cell; attributes
                 format, handshake (JSON), namelist_cfg (text), artefacts (JSON: network -> sha256), halocline (version)
group EXCHANGE   time_counter, kt, restart and last (to the coupler) or status (to the ocean), and every field as
                 (time_counter, level, y, x); kt is written last, so that a record without it is not whole
"""

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import netCDF4
import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Copy, Exchange, Plan, copies
from coupler.fields import Field
from coupler.grid import Box, Ownership, ownership
from coupler.handshake import PROTOCOL, GridPart, Handshake, parse
from coupler.transport.base import Header

if TYPE_CHECKING:  # only a chain of networks needs MPI here
    from coupler.transport.relay import Relay

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
    """Writes a recording, as PATH.part until `close`. The file is synchronised after every record."""

    def __init__(
        self,
        path: Path,
        shake: Handshake,
        exchanges: Sequence[tuple[Exchange, np.dtype]],
        attributes: Mapping[str, str],
    ) -> None:
        """exchanges: with the type of their numbers. Raises HaloclineError when the place cannot be written."""
        self.path, self.part = path, path.with_name(path.name + ".part")
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
                zlib=True,
                complevel=1,
                shuffle=True,
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
        group, variables = self._groups[exchange.number]
        number = len(group.dimensions["time_counter"])
        covered = self._covered[exchange.grid]
        try:
            for field in exchange.fields:
                variable = variables[field.name]
                whole = np.full(variable.shape[1:], variable.get_fill_value(), variable.dtype)
                for box, values in pieces:
                    whole[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = values[field.name]
                whole[:, ~covered] = variable.get_fill_value()
                variable[number] = whole
            for name, value in head.items():
                group[name][number] = value
            group["time_counter"][number] = (kt - 1) * self._shake.time.rn_Dt
            self._file.sync()
            group["kt"][number] = kt
            self._file.sync()
        except (OSError, RuntimeError) as error:
            raise HaloclineError(
                f"the recording {self.part} takes no more (exchange '{exchange.name}', step {kt}): {error}. Is the disk full? "
                "What is in it up to the step before can be replayed. Record fewer steps, or elsewhere (cn_record)."
            ) from None

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._file.isopen():
            self._file.close()
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
    """Reads a recording. `fields[direction, name]` is a Series; `last` the last step for which all states are there."""

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
        ends = [self.shake.time.nn_itend]
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


@dataclass(frozen=True)
class Channel:
    """The numbers of one exchange: per field its part (levels, n) of the payload and the n global cells, and the copies."""

    parts: list[tuple[Field, np.ndarray, np.ndarray]]
    copies: list[Copy]


class Listener(Protocol):
    """Takes the answers in the place of the ocean."""

    def begin(self, plans: Sequence[Plan]) -> None:
        """The exchanges of the replay are known."""

    def heard(self, exchange: Exchange, kt: int, status: int, fields: Mapping[str, np.ndarray]) -> None:
        """The answer to step `kt`: global fields (levels, ny, nx), NaN where no ocean rank owns the cell."""


class ReplayTransport:
    """A recording as transport: what the ocean sent comes from the file, what it would receive goes to a listener.

    One rank. The index maps are those of any transport, with one owner of all cells that an ocean rank owned.
    """

    def __init__(self, recording: Recording, steps: tuple[int, int], listener: Listener) -> None:
        """steps: first and last of the replay."""
        self.rank, self.size, self.local_rank = 0, 1, 0
        self.recording, self.steps, self.listener = recording, steps, listener
        self.timeout = 0.0
        self._channels: dict[int, Channel] = {}
        self._grids: list[GridPart] = recording.shake.grids

    def handshake(self) -> Handshake:
        """The ocean's, with the steps of the replay."""
        shake = self.recording.shake
        time = shake.time.model_copy(update={"nn_it000": self.steps[0], "nn_itend": self.steps[1]})
        return shake.model_copy(update={"transport": "replay", "time": time})

    def ownership(self, part: GridPart) -> Ownership:
        """One owner of all cells that any ocean rank owned."""
        covered = ownership(part.grid, part.boxes).rank >= 0
        flat = np.arange(covered.size, dtype=np.int64).reshape(covered.shape)
        return Ownership(np.where(covered, 0, -1).astype(np.int32), flat)

    def define(self, plans: Sequence[Plan], wire: int, timeout: float) -> None:
        """Make the index maps. Raises HaloclineError for a field that was not recorded."""
        have = self.recording.names("to_coupler")
        for plan in plans:
            lost = [f.name for f in plan.exchange.fields if f.name not in have]
            if plan.exchange.direction == "to_coupler" and lost:
                raise HaloclineError(
                    f"exchange '{plan.exchange.name}' needs the field(s) {', '.join(lost)}, which {self.recording.path} does not "
                    "hold. Name them in an exchange (cn_fields in &namexc) and record again."
                )
        self.timeout = timeout
        for plan in plans:
            self._channels[plan.exchange.number] = _channel(plan, np.dtype(f"f{wire // 8}"))
        self.listener.begin(plans)

    def receive(self, plan: Plan, kt: int) -> Header | None:
        """Copy the recorded fields of step `kt` into the stack; after the last record, say that the ocean has ended."""
        channel, static = self._channels[plan.exchange.number], plan.exchange.static
        if not static and kt > self.recording.last:
            return Header(self.recording.last, 0, True)
        series = [self.recording.fields["to_coupler", field.name] for field in plan.exchange.fields]
        for field, item in zip(plan.exchange.fields, series, strict=True):
            if not static and kt not in item.records:
                raise HaloclineError(
                    f"field '{field.name}' was not recorded at step {kt}, but at {_some(list(item.records))}. Replay with the "
                    "periods of the recorded run, or record again with this one."
                )
        for field, part, cells in channel.parts:
            whole = self.recording.read("to_coupler", field.name, None if static else kt)
            part[...] = whole.reshape(field.levels, -1)[:, cells]
        for copy in channel.copies:
            if copy.sign == 1:
                copy.block[...] = copy.message
            else:
                np.negative(copy.message, out=copy.block)
        restart, last = (0, 0) if static else series[0].heads[kt]
        return Header(kt, restart, bool(last))

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """Hand the answer to step `kt` to the listener."""
        channel = self._channels[plan.exchange.number]
        for copy in channel.copies:
            copy.message[...] = copy.block
        answers = {}
        for field, part, cells in channel.parts:
            grid = self._grids[field.grid - 1]
            whole = np.full((field.levels, grid.ny * grid.nx), np.nan, part.dtype)
            whole[:, cells] = part
            answers[field.name] = whole.reshape(field.levels, grid.ny, grid.nx)
        self.listener.heard(plan.exchange, kt, status, answers)

    def relay(self, plan: Plan) -> "Relay":
        """The halos of a field made here; one rank copies from itself."""
        from mpi4py import MPI

        from coupler.transport.relay import Relay

        return Relay(MPI.COMM_SELF, plan, self.timeout)

    def gather(self, value: Any) -> list[Any] | None:
        """The value of the only rank."""
        return [value]

    def share(self, value: Any) -> Any:
        """The value of the only rank."""
        return value

    def allsum(self, values: np.ndarray) -> np.ndarray:
        """The sum over the only rank."""
        return values

    def abort(self, message: str) -> None:
        """HaloclineError; from another thread (the watch-dog), the end of the process with the message."""
        if threading.current_thread() is threading.main_thread():
            raise HaloclineError(message)
        print(f"halocline: {message}", file=sys.stderr, flush=True)
        os._exit(1)

    def finish(self) -> None:
        """Nothing is under way."""


def _channel(plan: Plan, dtype: np.dtype) -> Channel:
    """Payload and index maps of one exchange."""
    cells = []
    for number in plan.set_of:
        request = plan.sets[number].requests.get(0)
        runs = [] if request is None else zip(request.runs.start, request.runs.length, strict=True)
        cells.append(np.concatenate([np.empty(0, np.int64), *(np.arange(s, s + n) for s, n in runs)]))
    fields = plan.exchange.fields
    payload = np.zeros(sum(f.levels * len(c) for f, c in zip(fields, cells, strict=True)), dtype)
    parts, offset = [], 0
    for field, where in zip(fields, cells, strict=True):
        end = offset + field.levels * len(where)
        parts.append((field, payload[offset:end].reshape(field.levels, len(where)), where))
        offset = end
    return Channel(parts, copies(plan, 0, payload))


def _some(steps: Sequence[int]) -> str:
    """The first steps of a list, for messages."""
    return f"{', '.join(map(str, sorted(steps)[:4]))}{' ...' if len(steps) > 4 else ''} ({len(steps)} steps)"
