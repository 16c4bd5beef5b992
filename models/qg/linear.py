"""Linear theory of the model: Phillips' baroclinic instability of the sheared mean flow."""

from typing import NamedTuple

import numpy as np

from models.qg.parameters import Parameters


class Mode(NamedTuple):
    """Zonal and meridional mode numbers [waves in the domain], growth rate [s-1] and angular frequency [s-1]."""

    k: int
    l: int  # noqa: E741
    growth: float
    frequency: float


def operator(p: Parameters, k: float, l: float) -> np.ndarray:  # noqa: E741
    """M (2, 2) of dq/dt = M q for one wave exp(i (k x + l y)), k and l [m-1]; complex [s-1].

    M = -i k (diag(U) + diag(Q) A) + diag(0, r_ek) K2 A, psi = A q. Vallis (2017), section 9.6, with drag.
    """
    k2 = k * k + l * l
    stretched = np.array([[-k2 - p.f1, p.f1], [p.f2, -k2 - p.f2]])
    inverse = np.linalg.inv(stretched)
    mean = np.diag([p.u1, p.u2]) + np.diag(p.mean_gradient) @ inverse
    return -1j * k * mean + np.diag([0.0, p.rek]) * k2 @ inverse


def growth(p: Parameters, k: float, l: float) -> complex:  # noqa: E741
    """The eigenvalue of the operator with the largest real part: growth rate and minus the frequency [s-1]."""
    return complex(max(np.linalg.eigvals(operator(p, k, l)), key=lambda value: value.real))


def inviscid(p: Parameters, k: float, l: float) -> float:  # noqa: E741
    """Growth rate without drag [s-1] by the closed formula; 0 for a stable wave.

    c solves a c^2 + b c + d = 0, from det [(U_m - c) (q_m/psi)_m + Q_m] = 0, Pedlosky (1987), section 7.11.
    """
    k2, (g1, g2) = k * k + l * l, p.mean_gradient
    a1, a2 = k2 + p.f1, k2 + p.f2
    a = a1 * a2 - p.f1 * p.f2
    b = a1 * (g2 - p.u2 * a2) + a2 * (g1 - p.u1 * a1) + p.f1 * p.f2 * (p.u1 + p.u2)
    d = (g1 - p.u1 * a1) * (g2 - p.u2 * a2) - p.f1 * p.f2 * p.u1 * p.u2
    return abs(k) * np.sqrt(max(4 * a * d - b * b, 0.0)) / (2 * a)


def fastest(p: Parameters, n: int) -> Mode:
    """The fastest growing of the waves that n x n points resolve."""
    unit, half, best = 2 * np.pi / p.length, n // 2, Mode(0, 0, -np.inf, 0.0)
    for k in range(1, half):
        for l in range(half):  # noqa: E741
            value = growth(p, k * unit, l * unit)
            if value.real > best.growth:
                best = Mode(k, l, value.real, -value.imag)
    return best
