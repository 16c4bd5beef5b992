"""Coarse states of a closed basin: thickness and transports are filtered and summed, velocities follow.

h_c = box(G h), U_c = face mean(G U) with U = h u on the faces, u_c = U_c / h_c(face). G is a Gaussian that keeps the parity at
the walls (thickness and tangential transport even, normal transport odd), so that it commutes with the discrete divergence: the
thickness equation of the coarse state has no subgrid term.

Arrays (..., ny, nx), the last axis along i; U(i, j) is the east face of T(i, j), V(i, j) its north face. West and south walls have
no stored face, the last column of U and the last row of V are walls. Files of the reference ocean, and the coupler's grid, have
one row of land round such a basin: `basin` takes it off, `rimmed` puts it back (data sets have it, with masks 0 there).
"""

import numpy as np
from scipy.ndimage import correlate1d

from coupler.errors import HaloclineError

REACH = 4.0  # the Gaussian is cut at this many standard deviations


def coarse_state(
    u: np.ndarray, v: np.ndarray, h: np.ndarray, t: np.ndarray, factor: int, sigma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Coarse u, v [m s-1], h [m] and tracer t of fine ones: (..., k, ny, nx) each, t of layer 1 (..., ny, nx).

    factor: fine cells per coarse cell; sigma: standard deviation of the Gaussian in fine cells, 0 for none. Results are float64.
    The tracer is that of the volume: box(G (h t)) / h_c. HaloclineError for sizes that factor does not divide.
    """
    ny, nx = h.shape[-2:]
    if ny % factor or nx % factor:
        raise HaloclineError(
            f"{nx} x {ny} fine cells cannot be joined by {factor} x {factor}: nn_factor must divide both sizes. "
            "Choose another nn_factor."
        )
    u, v, h, t = (np.asarray(field, np.float64) for field in (u, v, h, t))
    thickness = centre_mean(h, factor, sigma)
    content = centre_mean(h[..., 0, :, :] * t, factor, sigma)
    transport_u = face_mean(u * face_thickness(h, -1), -1, factor, sigma)
    transport_v = face_mean(v * face_thickness(h, -2), -2, factor, sigma)
    return (
        transport_u / face_thickness(thickness, -1),
        transport_v / face_thickness(thickness, -2),
        thickness,
        content / thickness[..., 0, :, :],
    )


def basin(values: np.ndarray) -> np.ndarray:
    """The wet part (..., ny, nx) of a field (..., ny + 2, nx + 2) of the reference ocean's closed basin; a view."""
    return values[..., 1:-1, 1:-1]


def rimmed(values: np.ndarray) -> np.ndarray:
    """The inverse of `basin`: a row of zeros round (..., ny, nx)."""
    return np.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)])


def face_thickness(h: np.ndarray, axis: int) -> np.ndarray:
    """Thickness on the faces towards growing `axis` (-1: U, -2: V), the mean of both cells; on the wall that of its cell."""
    beyond = np.take(h, [-1], axis)
    return 0.5 * (h + np.concatenate([np.delete(h, 0, axis), beyond], axis))


def centre_mean(values: np.ndarray, factor: int, sigma: float) -> np.ndarray:
    """Filtered box means of a quantity at T points, even at the walls: (..., ny, nx) to (..., ny / factor, nx / factor)."""
    values = _even(_even(values, -1, sigma), -2, sigma)
    *lead, ny, nx = values.shape
    return values.reshape(*lead, ny // factor, factor, nx // factor, factor).mean((-3, -1))


def face_mean(values: np.ndarray, axis: int, factor: int, sigma: float) -> np.ndarray:
    """Filtered means over the coarse faces towards growing `axis` of a quantity that vanishes on the walls.

    Odd across the walls that it is normal to, even along the others. The walls of the result are exactly zero.
    """
    along = -2 if axis == -1 else -1
    values = np.moveaxis(_even(_odd(values, axis, sigma), along, sigma), axis, -1)
    *lead, n, m = values.shape
    result = values[..., factor - 1 :: factor].reshape(*lead, n // factor, factor, m // factor).mean(-2)
    result[..., -1] = 0.0
    return np.moveaxis(result, -1, axis)


def _weights(sigma: float) -> np.ndarray:
    x = np.arange(-int(REACH * sigma + 0.5), int(REACH * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def _even(values: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    """Gaussian along an axis whose points lie half a cell from the walls; mirrored there."""
    return correlate1d(values, _weights(sigma), axis, mode="reflect") if sigma else values


def _odd(values: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    """Gaussian along an axis with points on both walls (the first is not stored), where the values vanish; sign changed beyond."""
    if not sigma:
        return values
    weights = _weights(sigma)
    reach = len(weights) // 2
    values = np.moveaxis(values, axis, -1)
    width = [(0, 0)] * (values.ndim - 1)
    walls = np.pad(values, [*width, (1, 0)])
    wide = np.pad(walls, [*width, (reach, reach)], mode="reflect", reflect_type="odd")
    smooth = correlate1d(wide, weights, -1)[..., reach + 1 : reach + 1 + values.shape[-1]]
    return np.moveaxis(smooth, -1, axis)
