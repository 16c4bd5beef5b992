"""Distributions as histograms over fixed bins, so that years and runs add up exactly; distances between them."""

from dataclasses import dataclass

import numpy as np

BINS = 600


@dataclass(frozen=True)
class Axis:
    """Bins that are equal in arcsinh(x / scale): fine near zero, wide in the tails. `least` ... `most` [units]."""

    scale: float
    least: float
    most: float
    units: str

    @property
    def edges(self) -> np.ndarray:
        """BINS + 1 edges."""
        ends = np.arcsinh(np.array([self.least, self.most]) / self.scale)
        return self.scale * np.sinh(np.linspace(ends[0], ends[1], BINS + 1))

    def count(self, values: np.ndarray) -> np.ndarray:
        """Numbers of values in the bins (BINS,), int64; what lies beyond the ends counts in the last bins."""
        low, high = np.arcsinh(np.array([self.least, self.most]) / self.scale)
        place = (np.arcsinh(values / self.scale) - low) * (BINS / (high - low))
        return np.bincount(np.clip(place, 0, BINS - 1).astype(int).ravel(), minlength=BINS)


AXES = {
    "u": Axis(0.05, -6.0, 6.0, "m s-1"),
    "v": Axis(0.05, -6.0, 6.0, "m s-1"),
    "ke": Axis(1e-3, 0.0, 20.0, "m2 s-2"),
    "zeta": Axis(1e-6, -3e-4, 3e-4, "s-1"),
    "ens": Axis(1e-13, 0.0, 5e-8, "s-2"),
}


def wasserstein(counts: np.ndarray, others: np.ndarray, edges: np.ndarray) -> float:
    """Wasserstein-1 distance int |F - G| dx of two histograms (n,), (n,) over the same edges (n + 1,), in the units of the edges.

    F and G grow linearly within a bin, and |F - G| is integrated by trapezia: the error is below a bin's width.
    """
    gap = np.abs(np.diff([_cumulative(counts), _cumulative(others)], axis=0)[0])
    return float(np.sum(0.5 * (gap[1:] + gap[:-1]) * np.diff(edges)))


def quantile(counts: np.ndarray, edges: np.ndarray, q: np.ndarray | float) -> np.ndarray:
    """Quantiles of a histogram, linear within bins."""
    return np.interp(q, _cumulative(counts), edges)


def _cumulative(counts: np.ndarray) -> np.ndarray:
    total = counts.sum()
    return np.concatenate([[0.0], np.cumsum(counts)]) / (total if total else np.nan)
