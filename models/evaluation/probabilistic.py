"""Scores of ensembles and of predicted distributions. The axis of members is the first: x (M, ...), y (...)."""

import numpy as np
from scipy.special import ndtr

from coupler.errors import HaloclineError


def gaussian_crps(mean: np.ndarray, std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """CRPS of N(mean, std^2): std [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)], z = (y - mean) / std. Gneiting & Raftery (2007).

    At z = 0 it is 0.2337 std.
    """
    z = (y - mean) / std
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))


def fair_crps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (M (M - 1)): unbiased in M. Ferro (2014). Shape of y.

    HaloclineError for fewer than two members.
    """
    members = _members(x)
    # sum_{i<j} |x_i - x_j| = sum_i (2 i - M + 1) x_(i), i = 0 ... M - 1, of the sorted members
    weights = 2.0 * np.arange(members) - members + 1
    spread = np.tensordot(weights, np.sort(x, axis=0), axes=1)
    return np.abs(x - y).mean(0) - spread / (members * (members - 1))


def spread_skill(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """sqrt((M + 1) / M <var_{M-1}>) / RMSE of the ensemble mean: 1 reliable, below 1 overconfident. Fortin et al. (2014).

    weight: over the axes of y, or its last ones; land 0. HaloclineError for fewer than two members.
    """
    members = _members(x)
    weight = np.broadcast_to(1.0 if weight is None else weight, y.shape)
    variance = np.sum(weight * x.var(0, ddof=1))
    error = np.sum(weight * (x.mean(0) - y) ** 2)
    return float(np.sqrt((members + 1) / members * variance / error))


def rank_histogram(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often y has rank 0 ... M among its members, (M + 1,); among equal ones the rank is drawn at random."""
    below, equal = (x < y).sum(0), (x == y).sum(0)
    ranks = below + np.random.default_rng(seed).integers(0, equal + 1)
    return np.bincount(ranks.ravel(), minlength=len(x) + 1)


def rank_chi2(histogram: np.ndarray) -> float:
    """Sum (n_i - n)^2 / n over the ranks, n the flat count: about M for a reliable ensemble of independent cases."""
    flat = histogram.sum() / len(histogram)
    return float(np.sum((histogram - flat) ** 2) / flat)


def energy_score(x: np.ndarray, y: np.ndarray) -> float:
    """mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (M (M - 1)), with Euclidean norms over all axes of y: for joint fields."""
    members = _members(x)
    flat, truth = x.reshape(members, -1), y.ravel()
    pairs = sum(np.linalg.norm(flat[i] - flat[:i], axis=1).sum() for i in range(1, members))
    return float(np.linalg.norm(flat - truth, axis=1).mean() - pairs / (members * (members - 1)))


def variance_ratio(generated: np.ndarray, mean: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """<(generated - mean)^2> / <(y - mean)^2>: 1 where a stochastic closure's noise has the size of what its mean leaves out."""
    weight = np.broadcast_to(1.0 if weight is None else weight, y.shape)
    return float(np.sum(weight * (generated - mean) ** 2) / np.sum(weight * (y - mean) ** 2))


def _members(x: np.ndarray) -> int:
    if len(x) < 2:
        raise HaloclineError(f"the spread of an ensemble needs at least 2 members, got {len(x)}. Run more members.")
    return len(x)
