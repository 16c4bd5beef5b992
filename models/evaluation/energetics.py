"""The work that a tendency does on the flow."""

import numpy as np

from models.evaluation.mesh import Mesh


def power(u: np.ndarray, v: np.ndarray, h: np.ndarray, su: np.ndarray, sv: np.ndarray, mesh: Mesh) -> np.ndarray:
    """P = h (u Su + v Sv) [m3 s-3] at T points, (..., k, ny, nx); P > 0: the tendency feeds the flow (backscatter).

    u, v [m s-1] and su, sv [m s-2] at their faces, h [m] at T. The products are taken on the faces and moved as the kinetic
    energy is: half of each face's belongs to either cell. Times rho0 it is W m-2.
    """
    pu, pv = u * su, v * sv
    south = np.zeros_like(pv)
    south[..., 1:, :] = pv[..., :-1, :]
    return 0.5 * h * (pu + np.roll(pu, 1, axis=-1) + pv + south) * mesh.tmask
