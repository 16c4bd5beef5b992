"""Similarity scores of Ross et al. (2023): 1 like the truth, 0 no better than the baseline, negative worse than it.

s = 1 - d(run, truth) / d(baseline, truth), with d the Wasserstein-1 distance of distributions (u, v, kinetic energy, vorticity,
enstrophy, by layer) or the rms difference of isotropic spectra up to 2/3 of the Nyquist wavenumber. doi:10.1029/2022MS003258.
"""

import numpy as np

from models.evaluation.climate import Climate
from models.evaluation.distributions import AXES, wasserstein


def distances(run: Climate, truth: Climate, kmax: int) -> dict[str, float]:
    """d(run, truth) of each distribution, `u1` ... `ens2` [units of distributions.AXES], and spectrum, `spec_ke1` ..., by layer."""
    found = {}
    for key, axis in AXES.items():
        for k, (mine, theirs) in enumerate(zip(run.counts[key], truth.counts[key], strict=True), start=1):
            found[f"{key}{k}"] = wasserstein(mine, theirs, axis.edges)
    for key in sorted(run.spectra.keys() & truth.spectra.keys()):
        for k, (mine, theirs) in enumerate(zip(run.spectra[key], truth.spectra[key], strict=True), start=1):
            found[f"spec_{key}{k}"] = spectral_distance(mine, theirs, kmax)
    return found


def spectral_distance(spectrum: np.ndarray, truth: np.ndarray, kmax: int) -> float:
    """Rms difference of two spectra (n,) over shells 1 ... kmax, in their units."""
    return float(np.sqrt(np.mean((spectrum[1 : kmax + 1] - truth[1 : kmax + 1]) ** 2)))


def similarity(distance: float, baseline: float) -> float:
    """1 - d / d_baseline; NaN where the baseline is the truth itself."""
    return 1.0 - distance / baseline if baseline > 0 else float("nan")


def similarities(run: Climate, truth: Climate, baseline: Climate, kmax: int) -> dict[str, float]:
    """s_u1, ..., s_spec_ens2: the similarity to the truth of a run, seen from a baseline (the ocean without closure)."""
    mine, base = distances(run, truth, kmax), distances(baseline, truth, kmax)
    return {f"s_{key}": similarity(mine[key], base[key]) for key in mine if key in base}
