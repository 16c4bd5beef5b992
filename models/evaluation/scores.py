"""The scores of a run against truth: the columns of every table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation import similarity, spectra
from models.evaluation.climate import Climate, must_fit
from models.evaluation.means import correlation, weighted_mean, weighted_rms

KMAX, KTAIL = 16, 9  # 2/3 of the Nyquist wavenumber of 48 cells; first wavenumber of the tail


@dataclass(frozen=True)
class Column:
    """A score: its header, the units it has in a score dictionary, the digits to print, and where the best value lies.

    best: 'truth' (the truth's own value), or a number.
    """

    key: str
    header: str
    units: str
    digits: int
    best: float | str
    meaning: str


COLUMNS = (
    Column("years", "years", "", 1, "", "length of the average"),
    Column("ke1", "KE1", "cm2 s-2", 0, "truth", "kinetic energy, layer 1, area mean; 1 cm2 s-2 is 1e-4 m2 s-2"),
    Column("ke2", "KE2", "cm2 s-2", 1, "truth", "the same of layer 2"),
    Column("mke1", "MKE1", "cm2 s-2", 0, "truth", "that of the mean flow, layer 1"),
    Column("mke2", "MKE2", "cm2 s-2", 1, "truth", "that of the mean flow, layer 2"),
    Column("eke1", "EKE1", "cm2 s-2", 0, "truth", "that of the deviations from the run's own mean flow, layer 1"),
    Column("eke2", "EKE2", "cm2 s-2", 1, "truth", "the same of layer 2"),
    Column("eta_rmse", "SSH rmse", "cm", 2, 0.0, "rms difference of mean sea surface height"),
    Column("sd_eta", "sd SSH", "cm", 2, "truth", "standard deviation of sea surface height in time, area mean"),
    Column("sd_rmse", "sd rmse", "cm", 2, 0.0, "rms difference of the maps of that standard deviation"),
    Column("h1_rmse", "h1 rmse", "m", 1, 0.0, "rms difference of mean thickness, layer 1"),
    Column("h2_rmse", "h2 rmse", "m", 1, 0.0, "the same of layer 2"),
    Column("u1_rmse", "u1 rmse", "cm s-1", 2, 0.0, "rms difference of the mean of u, layer 1"),
    Column("r_eke", "r EKE", "1", 2, 1.0, "pattern correlation of the maps of eddy kinetic energy, layer 1"),
    Column("t_rmse", "T rmse", "K", 2, 0.0, "rms difference of mean surface temperature"),
    Column("sd_t", "sd T", "K", 2, "truth", "standard deviation of surface temperature in time, area mean"),
    Column("sd_t_rmse", "sd T rmse", "K", 2, 0.0, "rms difference of the maps of that standard deviation"),
    Column("sd_h1", "sd h1", "m", 1, "truth", "standard deviation of thickness in time, layer 1, area mean"),
    Column("sd_h2", "sd h2", "m", 1, "truth", "the same of layer 2"),
    Column("logspec", "log spec", "1", 2, 0.0, "rms log10 ratio of the energy spectra, layer 1"),
    Column(
        "tail", "tail", "1", 2, 1.0, "geometric mean ratio of the energy spectra at the largest wavenumbers, layer 1"
    ),
)
KEYS = tuple(column.key for column in COLUMNS)


def scores(
    run: Climate, truth: Climate, baseline: Climate | None = None, kmax: int = KMAX, ktail: int = KTAIL
) -> dict[str, float]:
    """Every score of COLUMNS, in its units, and with a baseline the similarities s_* (Ross et al. 2023) too.

    Maps are compared over wet points with the cells' areas as weights, the mean flow where its faces are wet. NaN where the run
    has no state, or no second layer. HaloclineError when the grids differ.
    """
    must_fit(run, truth)
    mesh = run.mesh
    area, top = mesh.area, mesh.area[0]
    ke = 1e4 * weighted_mean(run.mke + run.eke, area)
    mke, eke = 1e4 * weighted_mean(run.mke, area), 1e4 * weighted_mean(run.eke, area)
    kmax = min(kmax, spectra.largest(*run.grid))
    lines = run.spectra["ke"][0], truth.spectra["ke"][0]
    face = mesh.umask[0] * mesh.e1u * mesh.e2t
    sd_t, sd_h = np.sqrt(run.variance["t"]), weighted_mean(np.sqrt(run.variance["h"]), area)
    h_rmse = weighted_rms(run.mean["h"] - truth.mean["h"], area)
    values = {
        "years": run.years,
        "ke1": ke[0],
        "ke2": _second(ke),
        "mke1": mke[0],
        "mke2": _second(mke),
        "eke1": eke[0],
        "eke2": _second(eke),
        "eta_rmse": 100 * weighted_rms(run.mean["eta"] - truth.mean["eta"], top),
        "sd_eta": 100 * weighted_mean(run.sd_eta, top),
        "sd_rmse": 100 * weighted_rms(run.sd_eta - truth.sd_eta, top),
        "h1_rmse": h_rmse[0],
        "h2_rmse": _second(h_rmse),
        "u1_rmse": 100 * weighted_rms(run.mean["u"][0] - truth.mean["u"][0], face),
        "r_eke": correlation(run.eke[0], truth.eke[0], top),
        "t_rmse": weighted_rms(run.mean["t"] - truth.mean["t"], top),
        "sd_t": weighted_mean(sd_t, top),
        "sd_t_rmse": weighted_rms(sd_t - np.sqrt(truth.variance["t"]), top),
        "sd_h1": sd_h[0],
        "sd_h2": _second(sd_h),
        "logspec": spectra.log_error(*lines, 1, kmax),
        "tail": spectra.tail_ratio(*lines, ktail, kmax),
    }
    if baseline is not None:
        must_fit(baseline, truth)
        values |= similarity.similarities(run, truth, baseline, kmax)
    return {key: float(value) for key, value in values.items()}


def floor(truths: Sequence[Climate], kmax: int = KMAX, ktail: int = KTAIL) -> list[dict[str, float]]:
    """The noise floor: the scores of each of two independent truths against the other. Empty for a single truth.

    A run of n years against the joint mean of two truths of m years each has sampling noise of variance s^2 (1/n + 1/2m); the
    floor has s^2 (2/m): for m = 30 and n = 20 they are equal.
    """
    if len(truths) < 2:
        return []
    return [
        scores(one, Climate.joint([other for other in truths if other is not one]), None, kmax, ktail) for one in truths
    ]


def expected_floor(value: float, years: float, truth_years: Sequence[float]) -> float:
    """The rms difference that sampling alone leaves between a run of `years` and the joint truth, from that of truth to truth.

    Independent years: value sqrt((1/n + 1/sum m) / (1/m_a + 1/m_b)).
    """
    m = np.asarray(truth_years, float)
    return float(value * np.sqrt((1 / years + 1 / m.sum()) / np.sum(1 / m)))


def _second(values: np.ndarray) -> float:
    return values[1] if len(values) > 1 else float("nan")
