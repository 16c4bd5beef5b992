"""The global grid: sizes, edges, and the boxes that ranks own. Indices are zero-based, j grows northward."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coupler.errors import HaloclineError

BOUNDARIES = ("closed", "cyclic_ew", "cyclic_ns", "cyclic_both", "fold_T", "fold_F")

# North fold. Beyond its last row the grid is mirrored about the pivot: row J + k (zero-based, k >= 1, J = n_y - 1) is a
# lower row read from right to left, and a component of a vector changes its sign. With N = n_x:
#
#   pivot  point   source column      source row
#   T      T       (N - i) mod N      J - k
#   T      U       (N - 1 - i) mod N  J - k
#   T      V       (N - i) mod N      J - k - 1
#   T      F       (N - 1 - i) mod N  J - k - 1
#   F      T       (N - 1 - i) mod N  J - k + 1
#   F      U       (N - 2 - i) mod N  J - k + 1
#   F      V       (N - 1 - i) mod N  J - k
#   F      F       (N - 2 - i) mod N  J - k
#
# W follows T. Rows that lie on the fold (T and U at pivot T, V and F at pivot F) or beyond it (V and F at pivot T) are
# inside the grid and are the ocean's own to keep consistent. Source: NEMO 4.2, lbc_nfd, for a global grid without halo.
_COLUMN = {
    ("T", "T"): 0,
    ("T", "U"): 1,
    ("F", "T"): 1,
    ("F", "U"): 2,
}  # (pivot, point along i) -> c in (N - c - i) mod N
_ROW = {("T", "T"): 0, ("T", "V"): -1, ("F", "T"): 1, ("F", "V"): 0}  # (pivot, point along j) -> r in J - k + r
_ALONG_I = {"T": "T", "W": "T", "V": "T", "U": "U", "F": "U"}
_ALONG_J = {"T": "T", "W": "T", "U": "T", "V": "V", "F": "V"}


@dataclass(frozen=True)
class Box:
    """A rectangle of the global grid: offsets `i0`, `j0` and sizes `ni`, `nj` in cells."""

    i0: int
    j0: int
    ni: int
    nj: int

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.ni * self.nj

    def __str__(self) -> str:
        """Ranges as a Fortran user reads them (one-based, inclusive)."""
        return f"i={self.i0 + 1}:{self.i0 + self.ni}, j={self.j0 + 1}:{self.j0 + self.nj}"


@dataclass(frozen=True)
class Grid:
    """Global sizes without halo, and what lies beyond the edges.

    `closed`: nothing (fill value); `cyclic_ew`: the first column follows the last; `cyclic_ns`: the first row follows
    the last; `cyclic_both`; `fold_T` and `fold_F`: cyclic along i, closed in the south, folded in the north at a T or F
    point.
    """

    nx: int
    ny: int
    boundary: str = "closed"

    def __post_init__(self) -> None:
        """Refuse an empty grid and an unknown boundary."""
        if self.nx < 1 or self.ny < 1:
            raise HaloclineError(f"grid size {self.nx} x {self.ny}: both must be at least 1.")
        if self.boundary not in BOUNDARIES:
            raise HaloclineError(
                f"boundary '{self.boundary}' of the grid is unknown. Allowed: {', '.join(BOUNDARIES)}."
            )
        if self.boundary.startswith("fold") and (self.nx % 2 or self.ny < 2):
            raise HaloclineError(
                f"grid of {self.nx} x {self.ny} cells with boundary '{self.boundary}': the two pivots lie half a row apart, so "
                "the number of columns must be even, and there must be two rows. Pass sizes without duplicated columns and rows."
            )

    def source(self, j: np.ndarray, i: np.ndarray, point: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the value of cell (j, i) comes from, for cells inside and outside the grid.

        j, i: integer arrays that broadcast together, any value; point: T, U, V, F or W. Returns the flat index
        j * nx + i of the source cell, -1 where there is none, and the sign (int8) that a vector component takes.
        """
        j, i = np.broadcast_arrays(j, i)
        sign = np.ones(j.shape, np.int8)
        if self.boundary.startswith("fold"):
            pivot, beyond = self.boundary[-1], j >= self.ny
            i = np.where(beyond, self.nx - _COLUMN[pivot, _ALONG_I[point]] - i, i)
            j = np.where(beyond, 2 * (self.ny - 1) - j + _ROW[pivot, _ALONG_J[point]], j)
            sign[beyond] = -1
        if self.boundary in ("cyclic_ns", "cyclic_both"):
            j = np.mod(j, self.ny)
        if self.boundary not in ("closed", "cyclic_ns"):
            i = np.mod(i, self.nx)
        inside = (j >= 0) & (j < self.ny) & (i >= 0) & (i < self.nx)
        return np.where(inside, j * self.nx + i, -1).astype(np.int64), sign


def decompose(grid: Grid, ranks: int) -> list[Box]:
    """Boxes of a regular decomposition of `grid` over `ranks`, rank growing first along i.

    Chooses the pair of factors with the shortest internal edges, those across rows counted twice; sizes differ by at most
    one cell.
    Raises HaloclineError when no pair of factors leaves every rank a cell.
    """
    fits = [
        (ranks // nj, nj) for nj in range(1, ranks + 1) if ranks % nj == 0 and nj <= grid.ny and ranks // nj <= grid.nx
    ]
    if not fits:
        raise HaloclineError(
            f"{ranks} coupler ranks do not fit the grid of {grid.nx} x {grid.ny} cells: no split in rows and columns gives "
            f"every rank a cell. Use at most {grid.ny} (one row each), or a number with suitable factors."
        )
    # A cut across rows costs twice: its messages are short runs (182x149x31, 1 + 2 ranks: packing 3.7 instead of 1.3 ms).
    ni, nj = min(fits, key=lambda split: 2 * (split[0] - 1) * grid.ny + (split[1] - 1) * grid.nx)
    i_edges, j_edges = _edges(grid.nx, ni), _edges(grid.ny, nj)
    return [
        Box(i_edges[a], j_edges[b], i_edges[a + 1] - i_edges[a], j_edges[b + 1] - j_edges[b])
        for b in range(nj)
        for a in range(ni)
    ]


def _edges(cells: int, parts: int) -> list[int]:
    """Limits of `parts` near-equal pieces of `cells`."""
    return [part * cells // parts for part in range(parts + 1)]


@dataclass(frozen=True)
class Ownership:
    """Who owns each cell: `rank` (ny, nx), -1 where nobody does, and the flat index inside the owner's box."""

    rank: np.ndarray
    local: np.ndarray

    @property
    def uncovered(self) -> int:
        """Cells that no rank owns (a model may drop land-only subdomains)."""
        return int(np.count_nonzero(self.rank < 0))


def ownership(grid: Grid, boxes: Sequence[Box]) -> Ownership:
    """Ownership of the grid by the boxes of the ocean ranks.

    Raises HaloclineError when a box leaves the grid or two boxes overlap.
    """
    rank = np.full((grid.ny, grid.nx), -1, np.int32)
    local = np.zeros((grid.ny, grid.nx), np.int64)
    for number, box in enumerate(boxes):
        if box.i0 < 0 or box.j0 < 0 or box.i0 + box.ni > grid.nx or box.j0 + box.nj > grid.ny:
            raise HaloclineError(f"ocean rank {number} owns {box}, outside the grid of {grid.nx} x {grid.ny} cells.")
        part = (slice(box.j0, box.j0 + box.nj), slice(box.i0, box.i0 + box.ni))
        if (rank[part] >= 0).any():
            other = int(rank[part][rank[part] >= 0][0])
            raise HaloclineError(
                f"ocean ranks {other} and {number} both own cells of {box}. Pass interiors without halo to cpl_domain."
            )
        rank[part] = number
        local[part] = np.arange(box.size).reshape(box.nj, box.ni)
    return Ownership(rank, local)
