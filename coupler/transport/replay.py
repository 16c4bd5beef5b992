"""Replay: a recording in the place of the ocean."""

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Copy, Exchange, Plan, copies
from coupler.fields import Field
from coupler.grid import Ownership, ownership
from coupler.handshake import GridPart, Handshake
from coupler.stop import Stop
from coupler.transport.alone import Alone
from coupler.transport.base import Header
from coupler.transport.recording import Recording, some_steps

if TYPE_CHECKING:  # only a chain of networks needs MPI here
    from coupler.transport.relay import Relay


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


class ReplayTransport(Alone):
    """A recording as transport: what the ocean sent comes from the file, what it would receive goes to a listener.

    One rank. The index maps are those of any transport, with one owner of all cells that an ocean rank owned.
    """

    def __init__(self, recording: Recording, steps: tuple[int, int], listener: Listener) -> None:
        """steps: first and last of the replay."""
        self.rank, self.size, self.local_rank = 0, 1, 0
        self.recording, self.steps, self.listener = recording, steps, listener
        self.timeout, self.stop = 0.0, Stop()
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
                    f"field '{field.name}' was not recorded at step {kt}, but at {some_steps(list(item.records))}. Replay with the "
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
