"""The advective target: the part of the momentum flux that the filter takes away, without any model in it.

S = (ubar . grad) ubar - filter((u . grad) u), with -(u . grad) u = zeta x u - grad K on the C-grid, both sides alike:
  du/dt = + mean over j of zeta * mean of v over the four faces round U - d/dx K
  dv/dt = - mean over i of zeta * mean of u over the four faces round V - d/dy K
zeta at corners with the slip of the walls (fmask), K = (mean over i of u**2 + mean over j of v**2) / 2 at T points: second
order, neither energy nor enstrophy conserved. The fine tendency is filtered and averaged as a coarse face is (`coarse.face_mean`).
ubar is the coarse state, weighted by thickness.
"""

import numpy as np

from models.data.coarse import face_mean


def advection(u: np.ndarray, v: np.ndarray, fmask: np.ndarray, dx: float, dy: float) -> tuple[np.ndarray, np.ndarray]:
    """-(u . grad) u at U and V points [m s-2] of a closed basin with square metrics; zero on the walls.

    u, v: (..., ny, nx) [m s-1], without the row of land; fmask: (ny + 1, nx + 1) corners, the south and west walls included.
    dx, dy: cell width along i and j [m].
    """
    lead = [(0, 0)] * (u.ndim - 2)
    # faces with both walls: west (south) of cell 0 first, one cell of zeros beyond the other walls
    uw = np.pad(u, [*lead, (1, 1), (1, 0)])
    vs = np.pad(v, [*lead, (1, 0), (1, 1)])
    zeta = ((vs[..., 1:] - vs[..., :-1]) / dx - (uw[..., 1:, :] - uw[..., :-1, :]) / dy) * fmask
    uin, vin = uw[..., 1:-1, :], vs[..., 1:-1]
    kinetic = 0.25 * (uin[..., 1:] ** 2 + uin[..., :-1] ** 2 + vin[..., 1:, :] ** 2 + vin[..., :-1, :] ** 2)
    v4 = 0.25 * (vs[..., 1:, 1:-1] + vs[..., :-1, 1:-1] + vs[..., 1:, 2:] + vs[..., :-1, 2:])
    u4 = 0.25 * (uw[..., 1:-1, 1:] + uw[..., 1:-1, :-1] + uw[..., 2:, 1:] + uw[..., 2:, :-1])
    du = 0.5 * (zeta[..., 1:, 1:] + zeta[..., :-1, 1:]) * v4
    dv = -0.5 * (zeta[..., 1:, 1:] + zeta[..., 1:, :-1]) * u4
    du[..., :-1] -= (kinetic[..., 1:] - kinetic[..., :-1]) / dx
    dv[..., :-1, :] -= (kinetic[..., 1:, :] - kinetic[..., :-1, :]) / dy
    du[..., -1] = 0.0
    dv[..., -1, :] = 0.0
    return du, dv


def filtered(
    u: np.ndarray, v: np.ndarray, fmask: np.ndarray, dx: float, dy: float, factor: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """`advection` of fine velocities, filtered (sigma in fine cells) and averaged over the coarse faces."""
    du, dv = advection(u, v, fmask, dx, dy)
    return face_mean(du, -1, factor, sigma), face_mean(dv, -2, factor, sigma)
