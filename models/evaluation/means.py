"""Area means, kinetic energies of mean and eddies, differences of maps."""

import numpy as np

from models.evaluation.mesh import Mesh


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """sum(w x) / sum(w) over the last two axes: (..., ny, nx) to (...). Points of weight 0 may hold anything, NaN too.

    Returns NaN where no weight is left.
    """
    weight = np.broadcast_to(np.asarray(weight, float), values.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, values * weight, 0.0).sum((-2, -1)) / weight.sum((-2, -1))


def weighted_rms(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """sqrt(<x^2>) over the last two axes."""
    return np.sqrt(weighted_mean(values * values, weight))


def correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pattern correlation <a'b'> / sqrt(<a'^2><b'^2>) of maps, deviations from their own area means; NaN for a flat map."""
    a = a - weighted_mean(a, weight)[..., None, None]
    b = b - weighted_mean(b, weight)[..., None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return weighted_mean(a * b, weight) / np.sqrt(weighted_mean(a * a, weight) * weighted_mean(b * b, weight))


def kinetic_energy(u: np.ndarray, v: np.ndarray, mesh: Mesh) -> np.ndarray:
    """0.5 (u^2 + v^2) at T points [m2 s-2]: (..., k, ny, nx); the squares are means over both faces, as the ocean has them."""
    return 0.5 * mesh.centred_square(u, v)


def mean_and_eddy(u: np.ndarray, v: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """MKE, that of the time mean, and EKE, that of the deviations from it: maps (k, ny, nx) of u, v (time, k, ny, nx).

    The mean over time of the whole energy is their sum, exactly.
    """
    mean_u, mean_v = u.mean(0), v.mean(0)
    return kinetic_energy(mean_u, mean_v, mesh), kinetic_energy(u - mean_u, v - mean_v, mesh).mean(0)
