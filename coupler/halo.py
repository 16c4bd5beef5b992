"""One index map: where every cell of a padded subdomain comes from, and the messages and copies that follow from it."""

from dataclasses import dataclass

import numpy as np

from coupler.grid import Box, Grid, Ownership


@dataclass(frozen=True)
class Runs:
    """Consecutive indices: `start[n], start[n] + 1, ... start[n] + length[n] - 1`."""

    start: np.ndarray
    length: np.ndarray

    @property
    def size(self) -> int:
        """Number of indices in all runs."""
        return int(self.length.sum())


@dataclass(frozen=True)
class Rect:
    """A rectangle of a padded block filled from a message by strides.

    Cell (j + b, i + a) takes `sign * message[position + b * row + a * step]` for b < height, a < width.
    """

    j: int
    i: int
    height: int
    width: int
    position: int
    row: int
    step: int
    sign: int


@dataclass(frozen=True)
class Request:
    """What one ocean rank sends to (or gets from) this coupler rank: its local indices, and where they go."""

    ocean_rank: int
    runs: Runs
    rects: tuple[Rect, ...]


def source_map(grid: Grid, box: Box, halo: int, point: str) -> tuple[np.ndarray, np.ndarray]:
    """Flat global index of the source of every cell of `box` padded by `halo`, -1 outside, and its sign.

    Both of shape (nj + 2 halo, ni + 2 halo).
    """
    j = np.arange(box.j0 - halo, box.j0 + box.nj + halo)[:, None]
    i = np.arange(box.i0 - halo, box.i0 + box.ni + halo)[None, :]
    return grid.source(j, i, point)


def requests(grid: Grid, owner: Ownership, box: Box, halo: int, point: str, vector: bool) -> list[Request]:
    """The index map of one padded subdomain, cut by the ocean rank that owns each source.

    vector: the field is a vector component and takes the sign of the map. Cells without a source or owner are in no
    request and keep the fill value.
    """
    source, sign = source_map(grid, box, halo, point)
    known = source >= 0
    flat = np.where(known, source, 0)
    rank = np.where(known, owner.rank.ravel()[flat], -1)
    local = owner.local.ravel()[flat]
    result = []
    for ocean_rank in np.unique(rank[rank >= 0]):
        mine = rank == ocean_rank
        wanted = np.unique(local[mine])
        position = np.where(mine, np.searchsorted(wanted, local), -1)
        rects = rectangles(position, sign if vector else np.ones_like(sign))
        result.append(Request(int(ocean_rank), runs_of(wanted), rects))
    return result


def runs_of(indices: np.ndarray) -> Runs:
    """Runs of sorted unique indices."""
    if not len(indices):
        return Runs(np.empty(0, np.int64), np.empty(0, np.int64))
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    first = np.concatenate(([0], breaks)).astype(np.int64)
    last = np.concatenate((breaks, [len(indices)])).astype(np.int64)
    return Runs(indices[first].astype(np.int64), last - first)


def rectangles(position: np.ndarray, sign: np.ndarray) -> tuple[Rect, ...]:
    """Cover the cells with position >= 0 by rectangles that are strided in the message.

    position: (J, I) place of each cell's value in the message, -1 for none; sign: (J, I). Rows are cut into pieces of
    constant step (+1, or -1 where a fold reverses a row), equal pieces of consecutive rows are joined.
    """
    open_rects: dict[tuple[int, int, int, int], Rect] = {}
    done: list[Rect] = []
    for j in range(position.shape[0]):
        pieces = {(p.i, p.width, p.step, p.sign): p for p in _row_pieces(j, position[j], sign[j])}
        still_open = {}
        for key, piece in pieces.items():
            above = open_rects.pop(key, None)
            still_open[key] = piece if above is None else _join(above, piece, done)
        done.extend(open_rects.values())
        open_rects = still_open
    done.extend(open_rects.values())
    return tuple(done)


def _row_pieces(j: int, position: np.ndarray, sign: np.ndarray) -> list[Rect]:
    """Pieces of one row with constant step and sign."""
    pieces = []
    i, n = 0, len(position)
    cells, signs = position.tolist(), sign.tolist()
    while i < n:
        if cells[i] < 0:
            i += 1
            continue
        end, step = i + 1, 1
        if end < n and cells[end] >= 0 and cells[end] - cells[i] in (1, -1) and signs[end] == signs[i]:
            step = cells[end] - cells[i]
            while end < n and cells[end] >= 0 and cells[end] - cells[end - 1] == step and signs[end] == signs[i]:
                end += 1
        pieces.append(Rect(j, i, 1, end - i, cells[i], 0, step, signs[i]))
        i = end
    return pieces


def _join(above: Rect, piece: Rect, done: list[Rect]) -> Rect:
    """Grow `above` by the row `piece` when the stride between rows stays the same; else close `above`."""
    row = piece.position - (above.position + (above.height - 1) * above.row)
    if above.height == 1 or row == above.row:
        return Rect(above.j, above.i, above.height + 1, above.width, above.position, row, above.step, above.sign)
    done.append(above)
    return piece
