"""Segments of the global index space as OASIS wants them, and the way between them and the user's order."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from coupler.oasis.exceptions import PyOasisException

INT32 = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Layout:
    """Points of one rank: increasing disjoint segments, and the user's order.

    starts, lengths: int64, zero-based, merged where they touch. order (local points,) is the packed position of each local
    point, first (packed points,) a local point for each packed one; both None where the orders are the same.
    """

    size: int
    starts: np.ndarray
    lengths: np.ndarray
    order: np.ndarray | None = None
    first: np.ndarray | None = None

    @property
    def packed(self) -> int:
        """Different points: what OASIS exchanges."""
        return int(self.lengths.sum())

    @property
    def top(self) -> int:
        """Smallest index space that holds the points."""
        return int(self.starts[-1] + self.lengths[-1]) if self.starts.size else 0

    @cached_property
    def digest(self) -> str:
        """Equal for equal segments."""
        return sha256(self.starts.tobytes() + b"|" + self.lengths.tobytes()).hexdigest()[:16]

    def orange(self, levels: int, gsize: int) -> np.ndarray:
        """The OASIS description (3, number, offset, length, ...), int32, of `levels` copies, `gsize` points apart."""
        shift = np.arange(levels, dtype=np.int64)[:, None] * gsize
        starts = (self.starts[None] + shift).ravel()
        starts, lengths = _join(starts, np.tile(self.lengths, levels))
        if not starts.size:
            return np.array([3, 1, 0, 0], np.int32)
        pairs = np.stack([starts, lengths], axis=1).ravel()
        return np.concatenate([[3, starts.size], pairs]).astype(np.int32)


def make_layout(starts: np.ndarray, lengths: np.ndarray) -> Layout:
    """Sort, merge and deduplicate segments given in the user's order.

    OASIS deadlocks in enddef where segments of a rank do not increase and receivers outnumber senders (MCT's router sorts
    the remote map by the local rank), and sends a repeated point twice.
    """
    starts, lengths = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    size = int(lengths.sum())
    if starts.size and starts.min() < 0:
        raise PyOasisException(f"a partition holds the negative global index {int(starts.min())}. Indices start at 0.")
    if (starts[1:] >= (starts + lengths)[:-1]).all():
        return Layout(size, *_join(starts, lengths))
    index = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(size)
    points, first, order = np.unique(index, return_index=True, return_inverse=True)
    breaks = np.flatnonzero(np.diff(points) != 1) + 1
    begin = np.concatenate([[0], breaks])
    return Layout(size, points[begin], np.diff(np.concatenate([begin, [points.size]])), order, first)


def _join(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge increasing segments that touch."""
    if starts.size < 2:
        return starts, lengths
    begin = np.concatenate([[True], starts[1:] != (starts + lengths)[:-1]])
    ends = (starts + lengths)[np.concatenate([begin[1:], [True]])]
    return starts[begin], ends - starts[begin]
