"""An exchange on one coupler rank: its fields in one padded array, and what every ocean rank sends or gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal, Protocol

import numpy as np

from coupler.fields import Field
from coupler.grid import Box, Grid, Ownership
from coupler.halo import Request, requests, source_map

Direction = Literal["to_coupler", "to_ocean"]


@dataclass(frozen=True)
class Exchange:
    """A group of fields that travel together, as the namelist and the handshake define it.

    `number` counts from 1 and is the client's; `period` is in steps, counted from step 1 of the experiment; with `lag` 1
    the answer to a state is used one period later; with `first` an exchange to the ocean travels at the first step of the run
    too, off its period: what is held since the run before.
    """

    number: int
    name: str
    direction: Direction
    fields: tuple[Field, ...]
    period: int = 1
    static: bool = False
    halo: int = 0
    lag: int = 0
    first: bool = False

    def due(self, kt: int) -> bool:
        """True where it travels at step `kt`; a static exchange travels once, before the first step."""
        return not self.static and (kt - 1) % self.period == 0

    @property
    def grid(self) -> int:
        """Number of the grid that its fields live on, from 1."""
        return self.fields[0].grid

    @property
    def levels(self) -> int:
        """Levels of all fields together."""
        return sum(item.levels for item in self.fields)


@dataclass(frozen=True)
class RunSet:
    """The index map shared by some fields of an exchange, cut by ocean rank."""

    requests: Mapping[int, Request]


class Landing(Protocol):
    """Takes the messages of an exchange as they come, to a device where networks run.

    `host`: something on the CPU reads the stack, which must then be filled as well.
    """

    host: bool

    def buffer(self, size: int) -> np.ndarray:
        """(size,) bytes for all messages of the exchange, in memory that the device copies from fast."""

    def connect(self, messages: np.ndarray, dtype: np.dtype, first: Mapping[int, int]) -> None:
        """messages: the bytes of all messages, numbers of `dtype`; first: ocean rank -> place of its first number there."""

    def arrived(self) -> None:
        """The messages of a step are there, and stay until the next."""


@dataclass(frozen=True)
class Plan:
    """An exchange on this coupler rank.

    stack: (levels of all fields, nj + 2 halo, ni + 2 halo), what the messages fill or are filled from; views[name] is
    the part of one field (levels, J, I). set_of[n] is the run set of field n; fill: as for `make_plan`; landings: devices that
    take the messages too.
    """

    exchange: Exchange
    stack: np.ndarray
    sets: tuple[RunSet, ...]
    set_of: tuple[int, ...]
    views: Mapping[str, np.ndarray] = field(repr=False)
    fill: Mapping[str, float] = field(default_factory=dict, repr=False)
    landings: list[Landing] = field(default_factory=list, repr=False)

    @property
    def unpacked(self) -> bool:
        """True where the messages are copied into the stack; False where only devices read them."""
        return not self.landings or any(landing.host for landing in self.landings)

    def first_level(self, name: str) -> int:
        """Place of the first level of a field in the stack."""
        names = [item.name for item in self.exchange.fields]
        return sum(item.levels for item in self.exchange.fields[: names.index(name)])

    @property
    def peers(self) -> list[int]:
        """Ocean ranks that take part."""
        return sorted({rank for runset in self.sets for rank in runset.requests})


def make_plan(
    exchange: Exchange,
    grid: Grid,
    owner: Ownership,
    box: Box,
    *,
    dtype: np.dtype,
    fill: Mapping[str, float] | None = None,
    vectors: Sequence[str] = (),
) -> Plan:
    """Allocate the stack of an exchange on subdomain `box` and derive its index maps.

    fill: value outside closed edges and in cells that no ocean rank owns, per field, in its units (default 0);
    vectors: fields that are vector components.
    """
    halo = exchange.halo
    stack = np.zeros((exchange.levels, box.nj + 2 * halo, box.ni + 2 * halo), dtype)
    views, first = {}, 0
    sets: list[RunSet] = []
    known: dict[bytes, int] = {}
    set_of = []
    for item in exchange.fields:
        views[item.name] = stack[first : first + item.levels]
        views[item.name][...] = (fill or {}).get(item.name, 0.0)
        first += item.levels
        vector = item.name in vectors
        source, sign = source_map(grid, box, halo, item.point)
        key = source.tobytes() + (sign.tobytes() if vector and (sign < 0).any() else b"")
        if key not in known:
            known[key] = len(sets)
            found = requests(grid, owner, box, halo, item.point, vector)
            sets.append(RunSet({request.ocean_rank: request for request in found}))
        set_of.append(known[key])
    return Plan(exchange, stack, tuple(sets), tuple(set_of), views, dict(fill or {}))


@dataclass(frozen=True)
class Copy:
    """One strided copy between a part of the stack and a part of a message, both views, (levels, height, width)."""

    block: np.ndarray
    message: np.ndarray
    sign: int


def message_length(plan: Plan, ocean_rank: int) -> int:
    """Numbers in the message between this rank and `ocean_rank`."""
    total = 0
    for item, number in zip(plan.exchange.fields, plan.set_of, strict=True):
        request = plan.sets[number].requests.get(ocean_rank)
        total += item.levels * request.runs.size if request else 0
    return total


def buffers(plan: Plan, dtype: np.dtype, head: int) -> dict[int, np.ndarray]:
    """Bytes of the message of every ocean rank, `head` of a header and the numbers of type `dtype`.

    They lie in one array, each at a multiple of `head`, so that a device gets all in one copy; landings are connected to it.
    """
    sizes = {rank: head + message_length(plan, rank) * dtype.itemsize for rank in plan.peers}
    ends = list(accumulate(-(-size // head) * head for size in sizes.values()))
    starts = dict(zip(sizes, [0, *ends], strict=False))
    total = ends[-1] if ends else 0
    whole = plan.landings[0].buffer(total) if plan.landings else np.zeros(total, np.uint8)
    for landing in plan.landings:
        landing.connect(whole, dtype, {rank: (start + head) // dtype.itemsize for rank, start in starts.items()})
    return {rank: whole[start : start + sizes[rank]] for rank, start in starts.items()}


def copies(plan: Plan, ocean_rank: int, payload: np.ndarray) -> list[Copy]:
    """The copies between the stack and `payload`, the numbers of one message: field by field, level by level, runs.

    Neighbouring fields that share an index map are copied together.
    """
    result = []
    level, offset = 0, 0
    numbers = list(plan.set_of)
    while numbers:
        number = numbers[0]
        same = next((n for n, other in enumerate(numbers) if other != number), len(numbers))
        count = len(plan.set_of) - len(numbers)
        levels = sum(item.levels for item in plan.exchange.fields[count : count + same])
        request = plan.sets[number].requests.get(ocean_rank)
        if request is not None:
            size = request.runs.size
            part = payload[offset : offset + levels * size].reshape(levels, size)
            for rect in request.rects:
                block = plan.stack[level : level + levels, rect.j : rect.j + rect.height, rect.i : rect.i + rect.width]
                message = np.lib.stride_tricks.as_strided(
                    part[:, rect.position :],
                    shape=block.shape,
                    strides=(part.strides[0], rect.row * part.itemsize, rect.step * part.itemsize),
                )
                result.append(Copy(block, message, rect.sign))
            offset += levels * size
        level += levels
        numbers = numbers[same:]
    return result


def places(plan: Plan, first: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The index map of a stack, flattened: where each of its numbers lies among the messages of all ocean ranks.

    first: ocean rank -> place of the first number of its message. Returns two arrays in the shape of the stack: the place
    (int64, -1 where nothing arrives), and the sign (int8). Made by the copies themselves, applied to numbered messages.
    """
    place, sign = np.full(plan.stack.shape, -1, np.int64), np.ones(plan.stack.shape, np.int8)
    for rank, start in first.items():
        numbers = np.arange(start, start + message_length(plan, rank))
        for copy in copies(replace(plan, stack=place), rank, numbers):
            copy.block[...] = copy.message
        for copy in copies(replace(plan, stack=sign), rank, numbers):
            copy.block[...] = copy.sign
    return place, sign
