"""Who computes where, what travels, and how much memory it takes, for a given number of ranks."""

import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coupler.binding import Bound
from coupler.exchange import Exchange, make_plan, message_length
from coupler.grid import Box, Grid, ownership
from coupler.handshake import Handshake
from coupler.network import Network
from coupler.settings import Settings

SYMBOLS = string.digits + string.ascii_lowercase + string.ascii_uppercase
HEAD = 64  # bytes of the header of a message
COLUMNS, ROWS = 30, 10  # of a map, in characters


@dataclass(frozen=True)
class Traffic:
    """One exchange: messages and bytes each time it happens, and bytes per step in the mean (0 for a static one).

    Over OASIS numbers have 64 bits whatever nn_wire says, and messages is 0: the library cuts them as it likes.
    halo: the share of the values that comes because of the halo, sent to more than one rank or beyond an edge.
    """

    exchange: Exchange
    messages: int
    size: int
    per_step: float
    halo: float


def traffic(settings: Settings, shake: Handshake, bound: Bound) -> list[Traffic]:
    """What every exchange moves, over all ranks: from the same index maps as the run."""
    return [_traffic(exchange, settings, shake, bound) for exchange in bound.wiring.exchanges]


def _traffic(exchange: Exchange, settings: Settings, shake: Handshake, bound: Bound) -> Traffic:
    part, wire = shake.grids[exchange.grid - 1], number_bytes(settings)
    owner = ownership(part.grid, part.boxes)
    messages = numbers = 0
    for box in bound.layouts[exchange.grid]:
        # An empty stack: only the index maps are asked for.
        plan = make_plan(exchange, part.grid, owner, box, dtype=np.dtype("i1"), vectors=bound.wiring.vectors)
        messages += len(plan.peers)
        numbers += sum(message_length(plan, rank) for rank in plan.peers)
    if settings.namcpl.cn_transport == "oasis":
        messages = 0
    size = messages * HEAD + numbers * wire
    interior = exchange.levels * (owner.rank.size - owner.uncovered)
    per_step = 0.0 if exchange.static else size / exchange.period
    return Traffic(exchange, messages, size, per_step, max(0.0, 1.0 - interior / max(numbers, 1)))


def number_bytes(settings: Settings) -> int:
    """Bytes of a number on its way."""
    return 8 if settings.namcpl.cn_transport == "oasis" else settings.namcpl.nn_wire // 8


def largest(layouts: Mapping[int, Sequence[Box]]) -> int:
    """The coupler rank with the most cells over all grids."""
    ranks = range(len(next(iter(layouts.values()), [])))
    return max(ranks, key=lambda rank: sum(layout[rank].size for layout in layouts.values()), default=0)


def field_bytes(settings: Settings, bound: Bound) -> int:
    """Bytes of stacks, messages and inputs of networks on this rank."""
    wire = number_bytes(settings)
    total = 0
    for plan in (*bound.plans, *bound.chains.values()):
        total += plan.stack.nbytes
        total += sum(HEAD + message_length(plan, rank) * wire for rank in plan.peers)
    for net in bound.wiring.networks:
        contract = net.engine.contract
        k, nj, ni = block(net, bound)
        plane = (nj + 2 * contract.radius) * (ni + 2 * contract.radius)
        size = np.dtype(contract.dtype).itemsize
        read = [spec.levels for spec in contract.inputs] + [spec.levels for spec in contract.noise]
        total += sum(k if levels == "all" else levels for levels in read) * plane * size
        for out in contract.outputs:
            total += (k if out.levels == "all" else out.levels) * nj * ni * size
    return total


def block(net: Network, bound: Bound) -> tuple[int, int, int]:
    """Levels, rows and columns of what one call of a network on this rank returns, before it is cut to the subdomain."""
    received = {field.name: field for plan in (*bound.plans, *bound.chains.values()) for field in plan.exchange.fields}
    contract, box = net.engine.contract, bound.boxes[net.grid]
    levels = [
        net.inputs[spec.name].selected(received[net.inputs[spec.name].field]).levels
        for spec in contract.inputs
        if spec.levels == "all"
    ]
    margin = net.stages.radius - contract.radius
    return max(levels, default=1), box.nj + 2 * margin, box.ni + 2 * margin


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def picture(grid: Grid, boxes: Sequence[Box]) -> list[str]:
    """The grid as rows of characters, north first: the rank that owns each place, '.' for none; [] for too many ranks."""
    if len(boxes) > len(SYMBOLS):
        return []
    width = min(COLUMNS, grid.nx)
    # A character is about twice as high as wide.
    height = max(1, min(ROWS, grid.ny, round(width * grid.ny / grid.nx / 2)))
    rank = np.full((grid.ny, grid.nx), -1)
    for number, box in enumerate(boxes):
        rank[box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = number
    j = ((np.arange(height) + 0.5) * grid.ny / height).astype(int)[::-1]
    i = ((np.arange(width) + 0.5) * grid.nx / width).astype(int)
    return ["".join("." if n < 0 else SYMBOLS[n] for n in row) for row in rank[np.ix_(j, i)]]


def sizes(boxes: Sequence[Box]) -> str:
    """'24 x 48 cells each', or the smallest and the largest."""
    shapes = sorted({(box.ni, box.nj) for box in boxes}, key=lambda shape: shape[0] * shape[1])
    if len(shapes) == 1:
        return f"{shapes[0][0]} x {shapes[0][1]} cells" + (" each" if len(boxes) > 1 else "")
    return f"{shapes[0][0]} x {shapes[0][1]} to {shapes[-1][0]} x {shapes[-1][1]} cells"
