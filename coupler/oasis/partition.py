"""How the points of a field are spread over the ranks of a component. Local points keep the order given here."""

from collections.abc import Iterable
from operator import index

import numpy as np

from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.layout import Layout, make_layout


def integers(what: str, values: Iterable[int]) -> np.ndarray:
    """Integers (n,) as int64; PyOasisException names `what` where something else is given."""
    try:
        return np.array([index(value) for value in values], np.int64)
    except TypeError as error:
        raise PyOasisException(f"{what}: integers are needed ({error}).") from None


class Partition:
    """Base of the partitions. global_size: points of the whole grid, -1 where the other ranks and sides tell it.

    The description reaches OASIS in Component.enddef(), when all sides have agreed on the size of the index space.
    """

    layout: Layout

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, global_size: int, name: str) -> None:
        self.layout = make_layout(starts, lengths)
        self.global_size = int(integers("global_size", [global_size])[0])
        self.name = name
        self._id = -1
        if 0 <= self.global_size < self.layout.top:
            raise PyOasisException(
                f"{self}: it holds the global index {self.layout.top - 1}, the grid has {self.global_size} points "
                f"(0 to {self.global_size - 1})."
            )

    @property
    def local_size(self) -> int:
        """Points of this rank, repeated ones included."""
        return self.layout.size

    def __str__(self) -> str:
        return (
            f"{type(self).__name__} {self.name!r} of {self.layout.size} points in {self.layout.starts.size} segment(s)"
        )


class SerialPartition(Partition):
    """All `size` points on this rank (0 on the others)."""

    def __init__(self, size: int, global_size: int = -1, name: str = "") -> None:
        super().__init__(np.zeros(1, np.int64), integers("size", [size]), global_size, name)


class ApplePartition(Partition):
    """`size` points from `offset` (zero-based)."""

    def __init__(self, offset: int, size: int, global_size: int = -1, name: str = "") -> None:
        super().__init__(integers("offset", [offset]), integers("size", [size]), global_size, name)


class BoxPartition(Partition):
    """A rectangle of a grid with `global_extent_x` columns; global_offset is its first point (zero-based)."""

    def __init__(
        self,
        global_offset: int,
        local_extent_x: int,
        local_extent_y: int,
        global_extent_x: int,
        global_size: int = -1,
        name: str = "",
    ) -> None:
        offset, ni, nj, nx = integers("box", [global_offset, local_extent_x, local_extent_y, global_extent_x])
        super().__init__(offset + np.arange(nj) * nx, np.full(nj, ni), global_size, name)


class CubePartition(Partition):
    """A rectangle of every level of a grid of global_extent_x * global_extent_y columns and global_extent_z levels."""

    def __init__(
        self,
        global_offset: int,
        local_extent_x: int,
        local_extent_y: int,
        global_extent_x: int,
        global_extent_y: int,
        global_extent_z: int,
        global_size: int = -1,
        name: str = "",
    ) -> None:
        offset, ni, nj = integers("cube", [global_offset, local_extent_x, local_extent_y])
        nx, ny, nz = integers("cube", [global_extent_x, global_extent_y, global_extent_z])
        rows = np.arange(nz)[:, None] * nx * ny + np.arange(nj) * nx
        super().__init__(offset + rows.ravel(), np.full(rows.size, ni), global_size, name)


class OrangePartition(Partition):
    """Segments: `extents[n]` points from `offsets[n]` (zero-based), in any order, with repetitions if need be."""

    def __init__(self, offsets: Iterable[int], extents: Iterable[int], global_size: int = -1, name: str = "") -> None:
        starts, lengths = integers("offsets", offsets), integers("extents", extents)
        if starts.size != lengths.size:
            raise PyOasisException(
                f"OrangePartition: {starts.size} offsets and {lengths.size} extents; one of each per segment."
            )
        super().__init__(starts, lengths, global_size, name)


class PointsPartition(Partition):
    """Single points by their global indices, which count from 1 here, as in OASIS."""

    def __init__(self, global_indices: Iterable[int], global_size: int = -1, name: str = "") -> None:
        points = integers("global_indices", global_indices)
        super().__init__(points - 1, np.ones(points.size, np.int64), global_size, name)
