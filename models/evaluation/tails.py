"""Extremes of distributions."""

import numpy as np

from models.evaluation.climate import Climate
from models.evaluation.distributions import AXES, quantile

QUANTILES = (0.99, 0.999)


def quantile_bias(sample: np.ndarray, truth: np.ndarray, q: float) -> float:
    """Fractional bias x_q / y_q - 1 of a quantile: 0 best, -0.1 a tail that is 10 % too short."""
    return float(np.quantile(sample, q) / np.quantile(truth, q) - 1.0)


def excess_kurtosis(values: np.ndarray) -> float:
    """<x'^4> / <x'^2>^2 - 3: 0 for a Gaussian, positive for heavy tails."""
    deviation = values - np.mean(values)
    return float(np.mean(deviation**4) / np.mean(deviation**2) ** 2 - 3.0)


def tail_biases(run: Climate, truth: Climate, names: tuple[str, ...] = ("ke", "ens")) -> dict[str, float]:
    """quantile_bias of kinetic energy and enstrophy by layer, from the histograms: keys `ke1_q99`, `ke1_q99.9`, ..."""
    found = {}
    for name in names:
        for k, (mine, theirs) in enumerate(zip(run.counts[name], truth.counts[name], strict=True), start=1):
            for q in QUANTILES:
                own, true = (float(quantile(counts, AXES[name].edges, q)) for counts in (mine, theirs))
                found[f"{name}{k}_q{100 * q:g}"] = own / true - 1.0
    return found
