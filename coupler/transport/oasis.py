"""OASIS3-MCT: every field is a coupled field of the namcouple, every halo an overlapping partition of the receiver.

The same index maps as over MPI, seen from OASIS: the whole grid is one owner, so that the runs are segments of the global
index space. The handshake travels as MPI messages over the intercommunicator of the two components.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError
from coupler.exchange import Copy, Exchange, Plan, copies
from coupler.fields import Field
from coupler.grid import Ownership, ownership
from coupler.handshake import GridPart, Handshake, parse
from coupler.oasis.genuine import find_pyoasis
from coupler.oasis.namcouple import Entry, compare, read
from coupler.oasis.var import SMALL_GRID, choose_form, level_names
from coupler.stop import Stop
from coupler.timers import Timers
from coupler.transport.base import Header
from coupler.transport.hello import MAGIC, send_hello_over_oasis
from coupler.transport.mpi import FLAG_LAST, SLACK, TAG_PLAN, TAG_SHAKE, abort_job, head_words
from coupler.transport.poll import allsum, poll
from coupler.transport.relay import Relay
from coupler.watchdog import Watchdog

COUPLER = "halocl"  # name of the coupler in the namcouple; OASIS3-MCT keeps six letters
HEAD = 8  # numbers of a header
LONGEST = 99_999_999  # $RUNTIME of OASIS3-MCT


@dataclass(frozen=True)
class Channel:
    """An exchange as OASIS knows it: one variable per field with its part of the payload, the copies, the header."""

    variables: list[tuple[Any, np.ndarray]]
    payload: np.ndarray
    copies: list[Copy]
    head: Any | None


class OasisTransport:
    """Transport over OASIS3-MCT; `timers` receives the phases wait, unpack and pack."""

    def __init__(self, timeout_start: float, timers: Timers, model: str = "", stop: Stop | None = None) -> None:
        """Start OASIS. model: name of the ocean in the namcouple (default: the only other component); stop: a wish to end."""
        os.environ.setdefault("HALOCLINE_OASIS_START", f"{timeout_start:g}")
        send_hello_over_oasis(MPI.COMM_WORLD)
        self.oasis = find_pyoasis()
        namcouple = read()
        models = namcouple.models
        others = [name for name in models if name[:6] != COUPLER]
        if COUPLER not in [name[:6] for name in models] or not (model or len(others) == 1):
            raise HaloclineError(
                f"the namcouple lists the components {', '.join(models) or 'none'}; needed: '{COUPLER}' and the ocean"
                f"{'' if len(others) < 2 else ', whose name cn_model in &namcpl must give'}. Write it: halocline namcouple CFG."
            )
        self.component = self.oasis.Component(COUPLER)
        self.local = self.component.localcomm
        self.inter = self.component.get_intercomm(model or others[0])
        self.rank, self.size = self.local.rank, self.local.size
        self.local_rank = self.local.Split_type(MPI.COMM_TYPE_SHARED).rank
        self.timers, self.timeout, self.stop = timers, timeout_start, stop or Stop()
        self.channels: dict[int, Channel] = {}
        self.relays: list[Relay] = []
        self.namcouple = namcouple
        self.shake: Handshake | None = None
        self.unit, self.wire = 1, 64

    def handshake(self) -> Handshake:
        """Rank 0 receives the document of the ocean and shares it."""
        text = None
        if self.rank == 0:
            status = MPI.Status()
            if not poll(lambda: self.inter.Iprobe(0, TAG_SHAKE, status), self.timeout):
                raise HaloclineError(
                    f"OASIS started, but the ocean sent no handshake within rn_timeout_start = {self.timeout:g} s. Does it use "
                    "the client (cpl_define)? Look at its own output; raise rn_timeout_start."
                )
            raw = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            self.inter.Recv(raw, 0, TAG_SHAKE)
            text = raw.tobytes().decode("ascii", "replace")
        shake = parse(self.local.bcast(text))
        self.shake = shake
        return shake

    def ownership(self, part: GridPart) -> Ownership:
        """One owner of all cells that any ocean rank owns: OASIS sorts out which."""
        covered = ownership(part.grid, part.boxes).rank >= 0
        flat = np.arange(covered.size, dtype=np.int64).reshape(covered.shape)
        return Ownership(np.where(covered, 0, -1).astype(np.int32), flat)

    def define(self, plans: Sequence[Plan], wire: int, timeout: float) -> None:
        """Send the ocean the exchanges, define partitions and variables, end the definitions."""
        assert self.shake is not None
        self.unit = time_unit(self.shake)
        self._compare([plan.exchange for plan in plans])
        off_period = [plan.exchange for plan in plans if plan.exchange.first]
        if off_period:
            first, period = self.shake.time.nn_it000, off_period[0].period
            raise HaloclineError(
                f"exchange '{off_period[0].name}' happens every {period} steps counted from step 1, the run starts at step "
                f"{first}: OASIS sends nothing between two exchanges. Start at step {first + (1 - first) % period}, or set "
                "cn_transport = 'mpi'."
            )
        if self.rank == 0:
            words = [MAGIC, wire, round((timeout + SLACK) * 1e3), len(plans), self.unit, SMALL_GRID]
            for plan in plans:
                words += [*head_words(plan.exchange), *(field.id for field in plan.exchange.fields)]
            self.inter.Send(np.array(words, np.int64), 0, TAG_PLAN)
        self.timeout, self.wire = timeout, wire
        self.stop.listen(lead=self.rank == 0)
        for relay in self.relays:
            relay.timeout = timeout
        self.watchdog = Watchdog(timeout, abort_job)
        for plan in plans:
            self.channels[plan.exchange.number] = self._channel(plan)
        with self.watchdog("the end of the definitions in OASIS (oasis_enddef)"):
            self.component.enddef()

    def _compare(self, exchanges: Sequence[Exchange]) -> None:
        """The namcouple that OASIS has read must be the one that the namelists ask for."""
        assert self.shake is not None
        steps = self.shake.time.nn_itend - self.shake.time.nn_it000 + 1
        found = compare(self.namcouple, [COUPLER], steps * self.unit, entries(exchanges, self.shake))
        if found:
            raise HaloclineError("\n".join(found) + "\n  Write it again: halocline namcouple CFG.")

    def _channel(self, plan: Plan) -> Channel:
        """Partitions, variables and buffers of one exchange."""
        oasis, exchange = self.oasis, plan.exchange
        inward = exchange.direction == "to_coupler"
        direction = oasis.OASIS.IN if inward else oasis.OASIS.OUT
        assert self.shake is not None
        grid = self.shake.grids[plan.exchange.grid - 1]
        cells = grid.nx * grid.ny
        variables, offset, sizes = [], 0, []
        for number in plan.set_of:
            request = plan.sets[number].requests.get(0)
            sizes.append(request.runs.size if request else 0)
        payload = np.zeros(sum(f.levels * n for f, n in zip(exchange.fields, sizes, strict=True)))
        for field, number, size in zip(exchange.fields, plan.set_of, sizes, strict=True):
            request = plan.sets[number].requests.get(0)
            starts = request.runs.start if request else np.empty(0, np.int64)
            lengths = request.runs.length if request else np.empty(0, np.int64)
            packed = choose_form(cells, field.levels) == "packed"
            together = field.levels if packed else 1  # levels of one coupled field, at k * cells of its index space
            places = (np.arange(together)[:, None] * cells + starts).ravel().tolist()
            partition = oasis.OrangePartition(places, np.tile(lengths, together).tolist(), together * cells)
            name = coupler_name(field.name)
            for level_name in [name] if packed else level_names(name, field.levels):
                part = payload[offset : offset + together * size]
                variables.append((oasis.Var(level_name, partition, direction), part))
                offset += together * size
        everywhere = inward or self.rank == 0
        partition = oasis.OrangePartition([0] if everywhere else [], [HEAD] if everywhere else [], HEAD)
        head = oasis.Var(f"hal_c_head_{exchange.number}", partition, direction)
        return Channel(variables, payload, copies(plan, 0, payload), head)

    def _time(self, plan: Plan, kt: int) -> int:
        """OASIS time of a step, since the start of this run; 0 for a static exchange."""
        assert self.shake is not None
        return 0 if plan.exchange.static else (kt - self.shake.time.nn_it000) * self.unit

    def receive(self, plan: Plan, kt: int) -> Header | None:
        """Get the fields of step `kt` and copy them into the stack."""
        channel, when = self.channels[plan.exchange.number], self._time(plan, kt)
        words = np.zeros(HEAD)
        work = f"the ocean sent nothing for exchange '{plan.exchange.name}' (step {kt}): OASIS get"
        with self.timers("wait"), self.watchdog(work):
            for variable, part in channel.variables:
                variable.get(when, part)
            if channel.head is not None:
                channel.head.get(when, words)
        step, number, flags, restart, end = (round(word) for word in words[:5].tolist())
        if number != plan.exchange.number or (step != kt and not plan.exchange.static):
            raise HaloclineError(
                f"exchange '{plan.exchange.name}': expected step {kt} of exchange {plan.exchange.number}, got step {step} of "
                f"exchange {number}. Ocean and coupler count steps differently."
            )
        with self.timers("unpack"):
            for copy in channel.copies:
                if copy.sign == 1:
                    copy.block[...] = copy.message
                else:
                    np.negative(copy.message, out=copy.block)
        return Header(step, restart, bool(flags & FLAG_LAST), end)

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """Put the stack of a plan as the answer to step `kt`."""
        channel, when = self.channels[plan.exchange.number], self._time(plan, kt)
        with self.timers("pack"):
            for copy in channel.copies:
                copy.message[...] = copy.block
            if self.wire == 32:
                channel.payload[...] = channel.payload.astype(np.float32)
        with (
            self.timers("wait"),
            self.watchdog(f"the ocean did not take exchange '{plan.exchange.name}' (step {kt}): OASIS put"),
        ):
            for variable, part in channel.variables:
                variable.put(when, part)
            words = np.array([kt, plan.exchange.number, status, self.stop.wanted(), 0, 0, 0, 0], float)
            if channel.head is not None:
                channel.head.put(when, words if self.rank == 0 else np.zeros(0))

    def gather(self, value: Any) -> list[Any] | None:
        """Values of all coupler ranks on rank 0, None elsewhere."""
        return self.local.gather(value)

    def share(self, value: Any) -> Any:
        """The value of rank 0, on every coupler rank. Collective."""
        return self.local.bcast(value)

    def allsum(self, values: np.ndarray) -> np.ndarray:
        """Sum of int64 arrays over all coupler ranks, on every rank."""
        return allsum(self.local, values, self.timeout)

    def relay(self, plan: Plan) -> Relay:
        """Halo exchange between coupler ranks for the fields of `plan`."""
        self.relays.append(Relay(self.local, plan, self.timeout))
        return self.relays[-1]

    def abort(self, message: str) -> None:
        """End the whole job: one message, a non-zero exit code."""
        abort_job(message)

    def finish(self) -> None:
        """OASIS ends with all its components."""
        with self.watchdog("the end of OASIS (oasis_terminate)"):
            if hasattr(self.component, "terminate"):
                self.component.terminate()
            else:  # a genuine pyoasis ends with its object
                del self.component


def coupler_name(field: str) -> str:
    """Name of a field on the coupler's side of the namcouple."""
    return f"hal_c_{field}"


def ocean_name(field: str) -> str:
    """Name of a field on the ocean's side of the namcouple."""
    return f"hal_o_{field}"


def time_unit(shake: Handshake) -> int:
    """OASIS time of a step: its seconds where they are whole and the run fits eight digits, else 1.

    OASIS3-MCT reads $RUNTIME and periods with eight digits: 99 999 999 s are 3.2 years.
    """
    step = shake.time.rn_Dt
    steps = shake.time.nn_itend - shake.time.nn_it000 + 1
    return round(step) if step == round(step) and steps * step <= LONGEST else 1


def entries(exchanges: Sequence[Exchange], shake: Handshake) -> list[Entry]:
    """The entries of the namcouple; a static exchange has the run's length as period, so that it happens once."""
    result = []
    unit, steps = time_unit(shake), shake.time.nn_itend - shake.time.nn_it000 + 1
    for exchange in exchanges:
        period = steps * unit if exchange.static else exchange.period * unit
        pairs = [pair for field in exchange.fields for pair in _pairs(exchange, field, shake)]
        head = (f"hal_o_head_{exchange.number}", f"hal_c_head_{exchange.number}")
        pairs.append((*(head if exchange.direction == "to_coupler" else head[::-1]), 0))
        for source, target, levels in pairs:
            part = shake.grids[exchange.grid - 1]
            nx, ny = (part.nx, part.ny * levels) if levels else (HEAD, 1)
            result.append(Entry(source, target, period, (nx, ny, nx, ny)))
    return result


def _pairs(exchange: Exchange, field: Field, shake: Handshake) -> list[tuple[str, str, int]]:
    """Source, target and levels of each coupled field: one packed, or one per level, whichever is faster for the grid."""
    names = [(ocean_name(field.name), coupler_name(field.name))]
    levels = field.levels
    part = shake.grids[exchange.grid - 1]
    if choose_form(part.nx * part.ny, levels) == "levels":
        names = list(zip(*(level_names(name, levels) for name in names[0]), strict=True))
        levels = 1
    return [(*(pair if exchange.direction == "to_coupler" else pair[::-1]), levels) for pair in names]
