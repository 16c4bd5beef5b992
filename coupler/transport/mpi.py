"""Direct MPI: ocean and coupler are two programs of one launch, one message per pair of ranks and exchange."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError
from coupler.exchange import Copy, Exchange, Plan, buffers, copies
from coupler.grid import Ownership, ownership
from coupler.handshake import GridPart, Handshake, parse
from coupler.stop import Stop
from coupler.timers import Timers
from coupler.transport.base import Header
from coupler.transport.hello import MAGIC, Launch, hello
from coupler.transport.poll import allsum, poll
from coupler.transport.relay import Relay

TAG_SHAKE, TAG_PLAN, TAG_EXCHANGE = 31003, 31004, 100
HEAD = 64  # bytes of a header: 8 integers of 64 bits
FLAG_LAST = 1
PLAN_STATIC, PLAN_FIRST = 1, 2  # of an exchange in the plan
ABORT_FILE = Path("halocline.abort")
STARTED = time.time() - 5  # the ocean may be up a little earlier than this process
SLACK = 3.0  # seconds that the ocean waits longer: the side that knows the cause speaks first


@dataclass(frozen=True)
class Message:
    """The part of the buffer that one pair of ranks uses, seen as header and numbers, and its copies."""

    raw: np.ndarray
    head: np.ndarray
    copies: list[Copy]


@dataclass(frozen=True)
class Channel:
    """All messages of one exchange on this rank, with their persistent requests."""

    messages: list[Message]
    requests: list[MPI.Prequest]


class MpiTransport:
    """Transport over MPI; `timers` receives the phases wait, unpack and pack."""

    def __init__(
        self, timeout_start: float, timers: Timers, stop: Stop | None = None, parent: MPI.Intracomm | None = None
    ) -> None:
        """Meet the ocean. stop: a wish to end, told with every answer; parent: holds both programs (default: the world)."""
        self.launch: Launch = hello(parent or MPI.COMM_WORLD, timeout_start)
        self.timers, self.stop = timers, stop or Stop()
        self.timeout = timeout_start
        self.rank, self.size = self.launch.local.rank, self.launch.local.size
        self.local_rank = self.launch.local.Split_type(MPI.COMM_TYPE_SHARED).rank
        self.channels: dict[int, Channel] = {}
        self.relays: list[Relay] = []

    def handshake(self) -> Handshake:
        """Rank 0 receives the document of the ocean and shares it."""
        comm = self.launch.coupling
        text = None
        if self.rank == 0:
            status = MPI.Status()
            if not poll(lambda: comm.Iprobe(self.launch.ocean[0], TAG_SHAKE, status), self.timeout):
                raise HaloclineError(
                    f"the ocean met the coupler but sent no handshake within rn_timeout_start = {self.timeout:g} s: it never "
                    "called cpl_define, or its initialisation takes longer. Look at its own output; raise rn_timeout_start."
                )
            raw = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            comm.Recv(raw, self.launch.ocean[0], TAG_SHAKE)
            text = raw.tobytes().decode("ascii", "replace")
        return parse(self.launch.local.bcast(text))

    def ownership(self, part: GridPart) -> Ownership:
        """Which ocean rank owns each cell of a grid."""
        return ownership(part.grid, part.boxes)

    def define(self, plans: Sequence[Plan], wire: int, timeout: float) -> None:
        """Send every ocean rank the exchanges and the runs of this pair, then make persistent requests.

        wire: bits of a number on the wire, 32 or 64; timeout: longest wait from now on [s].
        """
        comm = self.launch.coupling
        documents = [
            np.array([MAGIC, wire, round((timeout + SLACK) * 1e3), len(plans), *_words(plans, rank)], np.int64)
            for rank in range(len(self.launch.ocean))
        ]
        sends = [comm.Isend(d, self.launch.ocean[rank], TAG_PLAN) for rank, d in enumerate(documents)]
        if not poll(lambda: MPI.Request.Testall(sends), self.timeout):
            raise HaloclineError(f"the ocean does not take the plan of the exchanges within {self.timeout:g} s.")
        self.timeout = timeout
        self.stop.listen(lead=self.rank == 0)
        for relay in self.relays:
            relay.timeout = timeout
        for plan in plans:
            self.channels[plan.exchange.number] = self._channel(plan, wire)

    def _channel(self, plan: Plan, wire: int) -> Channel:
        """Buffers, copies and persistent requests of one exchange."""
        comm, tag, dtype = self.launch.coupling, TAG_EXCHANGE + plan.exchange.number, np.dtype(f"f{wire // 8}")
        messages, requests = [], []
        for rank, raw in buffers(plan, dtype, HEAD).items():
            messages.append(Message(raw, raw[:HEAD].view(np.int64), copies(plan, rank, raw[HEAD:].view(dtype))))
            make = comm.Recv_init if plan.exchange.direction == "to_coupler" else comm.Send_init
            requests.append(make(raw, self.launch.ocean[rank], tag))
        return Channel(messages, requests)

    def receive(self, plan: Plan, kt: int) -> Header | None:
        """Wait for the messages of step `kt`, and copy them into the stack where somebody reads it."""
        channel = self.channels[plan.exchange.number]
        with self.timers("wait"):
            MPI.Prequest.Startall(channel.requests)
            arrived = poll(lambda: MPI.Request.Testall(channel.requests), self.timeout)
        if not arrived:
            raise HaloclineError(
                f"nothing came from the ocean for exchange '{plan.exchange.name}' (step {kt}) within rn_timeout = "
                f"{self.timeout:g} s. Is the ocean stuck (or another rank of the coupler, for which it waits), or does it "
                f"not call cpl_snd for every field of the exchange ({', '.join(field.name for field in plan.exchange.fields)})?"
            )
        header = None
        for message in channel.messages:
            header = _header(message, plan, kt)
            if header.last and header.kt != kt and not plan.exchange.static:
                return header
        for landing in plan.landings:
            landing.arrived()
        with self.timers("unpack"):
            for message in channel.messages if plan.unpacked else ():
                for copy in message.copies:
                    if copy.sign == 1:
                        copy.block[...] = copy.message
                    else:
                        np.negative(copy.message, out=copy.block)
        return header

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """Copy the stack into the messages of step `kt` and start them."""
        channel = self.channels[plan.exchange.number]
        with self.timers("wait"):
            if not poll(lambda: MPI.Request.Testall(channel.requests), self.timeout):
                raise HaloclineError(
                    f"the ocean did not take exchange '{plan.exchange.name}' before step {kt} within rn_timeout = "
                    f"{self.timeout:g} s. Does it call cpl_rcv for the fields it asked for?"
                )
        with self.timers("pack"):
            for message in channel.messages:
                message.head[:] = MAGIC, kt, plan.exchange.number, status, self.stop.wanted(), 0, 0, 0
                for copy in message.copies:
                    copy.message[...] = copy.block
            MPI.Prequest.Startall(channel.requests)

    def gather(self, value: Any) -> list[Any] | None:
        """Values of all coupler ranks on rank 0, None elsewhere."""
        return self.launch.local.gather(value)

    def share(self, value: Any) -> Any:
        """The value of rank 0, on every coupler rank. Collective."""
        return self.launch.local.bcast(value)

    def allsum(self, values: np.ndarray) -> np.ndarray:
        """Sum of int64 arrays over all coupler ranks, on every rank."""
        return allsum(self.launch.local, values, self.timeout)

    def relay(self, plan: Plan) -> Relay:
        """Halo exchange between coupler ranks for the fields of `plan`."""
        self.relays.append(Relay(self.launch.local, plan, self.timeout))
        return self.relays[-1]

    def finish(self) -> None:
        """Let the last sends leave."""
        pending = [request for channel in self.channels.values() for request in channel.requests]
        poll(lambda: MPI.Request.Testall(pending), self.timeout)

    @staticmethod
    def abort(message: str, code: int = 1) -> None:
        """One message on stderr and in halocline.abort, then MPI_Abort of the whole job."""
        abort_job(message, code)


def forget_old_abort() -> None:
    """Remove the message of an earlier job from this folder."""
    try:
        if ABORT_FILE.stat().st_mtime < STARTED:
            ABORT_FILE.unlink()
    except FileNotFoundError:
        return


def abort_job(message: str, code: int = 1) -> None:
    """End every program of the launch. The first rank of the job that comes here writes the message."""
    try:
        forget_old_abort()
        with ABORT_FILE.open("x", encoding="utf-8") as out:
            out.write(message + "\n")
        first = True
    except FileExistsError:
        first = False
    except OSError:
        first = True
    if first:
        print(f"halocline: {message}", file=sys.stderr, flush=True)
    time.sleep(0.1)  # mpirun may kill the job before it has forwarded the message
    MPI.COMM_WORLD.Abort(code)
    os._exit(code)


def _header(message: Message, plan: Plan, kt: int) -> Header:
    """The header of a message, checked."""
    magic, step, number, flags, restart, end = message.head[:6].tolist()
    wrong_step = step != kt and not plan.exchange.static and not flags & FLAG_LAST
    if magic != MAGIC or number != plan.exchange.number or wrong_step:
        raise HaloclineError(
            f"exchange '{plan.exchange.name}': expected step {kt} of exchange {plan.exchange.number}, got step {step} of "
            f"exchange {number}. Ocean and coupler count steps differently."
        )
    return Header(step, restart, bool(flags & FLAG_LAST), end)


def head_words(exchange: Exchange) -> list[int]:
    """Direction (1 to the coupler, 2 to the ocean), period in steps, flags, number of fields."""
    flags = PLAN_STATIC * exchange.static + PLAN_FIRST * exchange.first
    return [1 if exchange.direction == "to_coupler" else 2, exchange.period, flags, len(exchange.fields)]


def _words(plans: Sequence[Plan], ocean_rank: int) -> list[int]:
    """The plan as the client reads it: per exchange its head, field ids, run sets, and per set (start, length) pairs."""
    words: list[int] = []
    for plan in plans:
        words += [*head_words(plan.exchange), len(plan.sets)]
        words += [field.id for field in plan.exchange.fields]
        words += [number + 1 for number in plan.set_of]
        for runset in plan.sets:
            request = runset.requests.get(ocean_rank)
            if request is None:
                words.append(0)
                continue
            words.append(len(request.runs.start))
            words += np.stack([request.runs.start, request.runs.length], axis=1).ravel().tolist()
    return words
