"""Isotropic spectra of a basin, in cycles per basin.

The window is sin^2(pi (i + 1/2) / n) along both axes: Hann's, zero on the walls. The mean over the basin is removed first.
Shell k holds the wavenumbers that round to k. A spectrum sums to the area mean of what it is the spectrum of (for a field that
the window does not change in the mean: it is divided by the mean of the squared window). Of the rfft, columns that stand for
two wavenumbers count twice. Shells are complete up to n/2; scores stop at 2/3 of it (science: Ross et al. 2023).
"""

from functools import lru_cache

import numpy as np
from scipy import fft

from models.evaluation.mesh import Mesh


@lru_cache(maxsize=8)
def _shells(ny: int, nx: int, e2: float, e1: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shell of each coefficient of the rfft (ny, nx // 2 + 1), how often it counts, and the window (ny, nx)."""
    length = max(ny * e2, nx * e1)
    ky = np.fft.fftfreq(ny, e2)[:, None] * length
    kx = np.fft.rfftfreq(nx, e1)[None, :] * length
    shell = np.rint(np.hypot(ky, kx)).astype(int)
    twice = np.full((ny, nx // 2 + 1), 2.0)
    twice[:, 0] = 1.0
    if nx % 2 == 0:
        twice[:, -1] = 1.0
    window = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (ny, nx)))
    return shell, twice, window


def largest(ny: int, nx: int) -> int:
    """The largest complete shell: half the number of cells of the shorter side."""
    return min(ny, nx) // 2


def cross_spectrum(a: np.ndarray, b: np.ndarray, e2: float = 1.0, e1: float = 1.0) -> np.ndarray:
    """Re(conj(a^) b^) summed over shells k = 0 ... : (..., ny, nx) to (..., 1 + n/2). e2, e1: cell widths along j and i.

    Its sum over all shells is the mean of w^2 a' b' over that of w^2.
    """
    ny, nx = a.shape[-2:]
    shell, twice, window = _shells(ny, nx, e2, e1)
    spectra = [
        fft.rfft2((field - field.mean((-2, -1), keepdims=True)) * window) for field in ((a,) if b is a else (a, b))
    ]
    power = (np.conj(spectra[0]) * spectra[-1]).real * twice / (np.mean(window**2) * (ny * nx) ** 2)
    count = largest(ny, nx) + 1
    flat = power.reshape(-1, power.shape[-2] * power.shape[-1])
    inside = shell.ravel() < count
    gather = np.zeros((inside.sum(), count))
    gather[np.arange(inside.sum()), shell.ravel()[inside]] = 1.0
    return (flat[:, inside] @ gather).reshape(*power.shape[:-2], count)


def energy_spectrum(u: np.ndarray, v: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Spectrum of 0.5 (u^2 + v^2) [m2 s-2 per cycle per basin], u and v moved to T points: (..., k, ny, nx) to (..., k, n/2+1)."""
    u, v = mesh.centred(u, v)
    e2, e1 = _widths(mesh)
    return 0.5 * (cross_spectrum(u, u, e2, e1) + cross_spectrum(v, v, e2, e1))


def enstrophy_spectrum(u: np.ndarray, v: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Spectrum of 0.5 zeta^2 [s-2 per cycle per basin], zeta at F points: (..., k, ny, nx) to (..., k, n/2+1)."""
    zeta = mesh.vorticity(u, v)
    return 0.5 * cross_spectrum(zeta, zeta, *_widths(mesh))


def transfer_spectrum(u: np.ndarray, v: np.ndarray, su: np.ndarray, sv: np.ndarray, mesh: Mesh) -> np.ndarray:
    """T(k) = Re(conj(u^) Su^ + conj(v^) Sv^) [m2 s-3 per cycle per basin]: what tendencies su, sv [m s-2] give to scale k.

    All at their faces, (..., k, ny, nx), moved to T points first. T > 0: energy comes in (backscatter).
    """
    (u, v), (su, sv) = mesh.centred(u, v), mesh.centred(su, sv)
    e2, e1 = _widths(mesh)
    return cross_spectrum(u, su, e2, e1) + cross_spectrum(v, sv, e2, e1)


def _widths(mesh: Mesh) -> tuple[float, float]:
    return float(mesh.e2t.mean()), float(mesh.e1t.mean())


def log_error(spectrum: np.ndarray, truth: np.ndarray, first: int, last: int) -> float:
    """Rms of log10(spectrum / truth) over shells first ... last: 0 best; 0.3 is a factor of two everywhere. NaN: no such shell."""
    ratio = _log_ratio(spectrum, truth, first, last)
    return float(np.sqrt(np.mean(ratio**2))) if ratio.size else float("nan")


def tail_ratio(spectrum: np.ndarray, truth: np.ndarray, first: int, last: int) -> float:
    """Geometric mean of spectrum / truth over shells first ... last: 1 best, below too smooth, above grid noise.

    NaN where there is no such shell.
    """
    ratio = _log_ratio(spectrum, truth, first, last)
    return float(10 ** np.mean(ratio)) if ratio.size else float("nan")


def _log_ratio(spectrum: np.ndarray, truth: np.ndarray, first: int, last: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log10(spectrum[first : last + 1] / truth[first : last + 1])


def zero_crossing(transfer: np.ndarray) -> float:
    """The wavenumber where T(k), (n,) from k = 0, changes its sign for the first time, between shells linearly; NaN: nowhere."""
    values = np.asarray(transfer, float)[1:]
    change = np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0)
    if not change.size:
        return float("nan")
    at = change[0]
    return float(1 + at + values[at] / (values[at] - values[at + 1]))
