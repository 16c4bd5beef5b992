"""How far a run came, and how close to the edge."""

from dataclasses import dataclass

import numpy as np

FASTEST = 10.0  # m s-1: no eddy of a gyre is, a run that blows up is


@dataclass(frozen=True)
class Stability:
    """The largest speed [m s-1] and the thinnest layer [m] of all good states, the time from the first to the last of them [s].

    finite: no state was bad. ended: how the run ended, in words, where it did not end well; '' otherwise.
    """

    finite: bool = True
    speed: float = 0.0
    thickness: float = np.inf
    reached: float = 0.0
    ended: str = ""

    @property
    def stable(self) -> bool:
        """Every state is good and the run was not stopped by an error."""
        return self.finite and not self.ended

    def joined(self, other: "Stability") -> "Stability":
        """The worse of both; the shorter of the times."""
        return Stability(
            self.finite and other.finite,
            max(self.speed, other.speed),
            min(self.thickness, other.thickness),
            min(self.reached, other.reached),
            self.ended or other.ended,
        )


def good_states(u: np.ndarray, v: np.ndarray, h: np.ndarray, t: np.ndarray, tmask: np.ndarray) -> int:
    """How many states come before the first bad one; arrays (time, k, ny, nx), t (time, ny, nx), tmask (k, ny, nx).

    Bad is a value that is not finite, a speed beyond 10 m s-1, a layer of no thickness.
    """
    with np.errstate(invalid="ignore"):
        moving = np.all((np.abs(u) < FASTEST) & (np.abs(v) < FASTEST), axis=(-3, -2, -1))
        thick = np.all((h > 0) & (h < np.inf) | ~tmask, axis=(-3, -2, -1))
        warm = np.all(np.isfinite(t) | ~tmask[0], axis=(-2, -1))
    bad = np.flatnonzero(~(moving & thick & warm))
    return int(bad[0]) if bad.size else len(u)


def courant(u: np.ndarray, v: np.ndarray, e1u: np.ndarray, e2v: np.ndarray, step: float) -> float:
    """The largest step (|u| / e1u + |v| / e2v) of neighbouring faces; u, v (..., ny, nx), step [s]."""
    return float(np.max(step * (np.abs(u) / e1u + np.abs(v) / e2v)))


def first_above(series: np.ndarray, limit: float) -> int | None:
    """Index of the first value of a series that is above the limit, or not finite; None: there is none."""
    above = np.flatnonzero(~(np.asarray(series) <= limit))
    return int(above[0]) if above.size else None
