"""Scores across resolutions: the truth's climate is on one grid, the run's on another over the same basin.

Area means need no common grid. Maps are compared as means over boxes that hold whole cells of both grids: 12 x 12 boxes of 160 km
for 36, 48 and 60 cells, exact and conservative. Spectra are in cycles per basin on every grid, compared up to two thirds of the
coarser Nyquist wavenumber.
"""

import math

import numpy as np

from coupler.errors import HaloclineError
from models.evaluation import spectra
from models.evaluation.climate import Climate
from models.evaluation.means import correlation, weighted_mean, weighted_rms

SMALLEST = 6  # boxes along a side, fewer hold no map


def across(run: Climate, truth: Climate) -> dict[str, float]:
    """Scores that need no common grid, with the names and units of evaluation.scores; closed basins without land inside.

    HaloclineError when the grids have no whole cells in common boxes.
    """
    boxes = _boxes(run, truth)
    ones = np.ones((boxes, boxes))
    ke, mke, eke = (1e4 * weighted_mean(field, run.mesh.area) for field in (run.mke + run.eke, run.mke, run.eke))

    def far(mine: np.ndarray, other: np.ndarray) -> float:
        return float(weighted_rms(_boxed(mine, boxes) - _boxed(other, boxes), ones))

    kmax = 2 * min(*run.grid, *truth.grid) // 6
    return {
        "years": run.years,
        "ke1": float(ke[0]),
        "ke2": float(ke[1]),
        "mke1": float(mke[0]),
        "mke2": float(mke[1]),
        "eke1": float(eke[0]),
        "eke2": float(eke[1]),
        "eta_rmse": 100 * far(run.mean["eta"], truth.mean["eta"]),
        "sd_eta": 100 * float(weighted_mean(run.sd_eta, run.mesh.area[0])),
        "sd_rmse": 100 * far(run.sd_eta, truth.sd_eta),
        "h1_rmse": far(run.mean["h"][0], truth.mean["h"][0]),
        "h2_rmse": far(run.mean["h"][1], truth.mean["h"][1]),
        "r_eke": float(correlation(_boxed(run.eke[0], boxes), _boxed(truth.eke[0], boxes), ones)),
        "t_rmse": far(run.mean["t"], truth.mean["t"]),
        "logspec": float(spectra.log_error(run.spectra["ke"][0], truth.spectra["ke"][0], 1, kmax)),
    }


def _boxes(run: Climate, truth: Climate) -> int:
    sizes = {*run.grid, *truth.grid}
    boxes = math.gcd(*sizes)
    if boxes < SMALLEST:
        raise HaloclineError(
            f"grids of {sorted(sizes)} cells have no more than {boxes} boxes of whole cells in common."
        )
    return boxes


def _boxed(field: np.ndarray, boxes: int) -> np.ndarray:
    """Means of (ny, nx) over boxes of whole cells: (boxes, boxes)."""
    ny, nx = field.shape
    return field.reshape(boxes, ny // boxes, boxes, nx // boxes).mean((1, 3))
