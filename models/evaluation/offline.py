"""Skill of a prediction p of a target y, without the ocean: R2 about the mean and about zero, correlation, relative error.

Arrays (time, k, ny, nx) or (time, ny, nx); weight (k, ny, nx) or (ny, nx), zero on land: cell areas. Pooled numbers are ruled by
energetic currents: look at the maps and the levels too. Good offline skill alone says nothing about the coupled model.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.evaluation.means import weighted_mean

Zero = Literal["mean", "zero"]


@dataclass(frozen=True)
class Skill:
    """Scores by level (k,) or single numbers, and maps (k, ny, nx) or (ny, nx) over time.

    r2_mean: about the mean over space and time of the level; r2_zero: about zero; r: correlation; l2: relative error.
    Maps: r2_map about the mean in time of each point, r_map the correlation in time; NaN where nothing varies.
    """

    r2_mean: np.ndarray
    r2_zero: np.ndarray
    r: np.ndarray
    l2: np.ndarray
    r2_map: np.ndarray
    r_map: np.ndarray


def skill(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Skill:
    """All scores of a prediction."""
    return Skill(
        r2(p, y, weight), r2(p, y, weight, "zero"), pooled_correlation(p, y, weight), relative_l2(p, y, weight),
        np.where(weight > 0, r2_map(p, y), np.nan), np.where(weight > 0, correlation_map(p, y), np.nan),
    )  # fmt: skip


def r2(p: np.ndarray, y: np.ndarray, weight: np.ndarray, about: Zero = "mean") -> np.ndarray:
    """1 - <(p - y)^2> / <(y - y0)^2>, y0 the mean of y over space and time, or zero; by level.

    About zero a prediction of nothing has 0; about the mean, the best constant has. 1 - R2 about zero is MSE / MSE of zero.
    """
    origin = _mean(y, weight)[..., None, None] if about == "mean" else 0.0
    return 1.0 - _ratio(_mean((p - y) ** 2, weight), _mean((y - origin) ** 2, weight))


def relative_l2(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """sqrt(<(p - y)^2> / <y^2>), by level."""
    return np.sqrt(_ratio(_mean((p - y) ** 2, weight), _mean(y * y, weight)))


def pooled_correlation(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """<p'y'> / sqrt(<p'^2><y'^2>) over space and time, by level."""
    p, y = p - _mean(p, weight)[..., None, None], y - _mean(y, weight)[..., None, None]
    return _ratio(_mean(p * y, weight), np.sqrt(_mean(p * p, weight) * _mean(y * y, weight)))


def correlation_series(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The pattern correlation of every time: (time, k) or (time,)."""
    p, y = p - weighted_mean(p, weight)[..., None, None], y - weighted_mean(y, weight)[..., None, None]
    cross, squares = weighted_mean(p * y, weight), weighted_mean(p * p, weight) * weighted_mean(y * y, weight)
    return _ratio(cross, np.sqrt(squares))


def r2_map(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R2 over time of every point, about its mean in time. For plots, clip it at -10."""
    return 1.0 - _ratio(((p - y) ** 2).mean(0), y.var(0))


def correlation_map(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation over time at every point."""
    return _ratio(((p - p.mean(0)) * (y - y.mean(0))).mean(0), p.std(0) * y.std(0))


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean over space, then over time."""
    return weighted_mean(values, weight).mean(0)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)
