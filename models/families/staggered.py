"""The C-grid: gradients of velocities, and the divergence of a stress that conserves momentum.

Arrays (..., J, I); U(i, j) is the east face of T(i, j), V(i, j) its north face, F(i, j) its north-east corner. Results lack one row
and column on each side, unless said.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

METRICS = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")


def divergence(
    xx: Tensor, yy: Tensor, xy: Tensor, h: Tensor, umask: Tensor, vmask: Tensor,
    metrics: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Tendencies of a stress: du = [d_i(e2t h T_xx) + d_j(e1f h_f T_xy)] / (h_u e1u e2u),
    dv = [d_i(e2f h_f T_xy) + d_j(e1t h T_yy)] / (h_v e1v e2v).

    xx, yy at T, xy at F points [m2 s-2], h at T points [m], h_u, h_v, h_f its means; metrics [m], None for a unit spacing.
    Returns du, dv [m s-2] (of unit spacing: times it), zero on land faces. A flux of momentum runs only between two wet faces,
    none into a wall, so that the sums of h_u e1u e2u du and h_v e1v e2v dv over a closed basin vanish to round-off, at any
    stress and thickness. Momentum along grid lines: metric terms (curvature) are left out; a uniform grid has none.
    """
    fx = h[..., 1:-1, 1:] * xx[..., 1:-1, 1:] * (umask[..., 1:-1, 1:] * umask[..., 1:-1, :-1])  # T(j, i) from i = 1
    fy = h[..., 1:, 1:-1] * yy[..., 1:, 1:-1] * (vmask[..., 1:, 1:-1] * vmask[..., :-1, 1:-1])
    across = four(h) * xy[..., :-1, :-1] * corners(umask, vmask)
    wet_u, wet_v, here = umask[..., 1:-1, 1:-1], vmask[..., 1:-1, 1:-1], h[..., 1:-1, 1:-1]
    hu = 0.5 * (here + h[..., 1:-1, 2:]) + (1.0 - wet_u)
    hv = 0.5 * (here + h[..., 2:, 1:-1]) + (1.0 - wet_v)
    across_u = across_v = across
    if metrics is not None:
        fx, fy = fx * metrics["e2t"][..., 1:-1, 1:], fy * metrics["e1t"][..., 1:, 1:-1]
        across_u, across_v = across * metrics["e1f"][..., :-1, :-1], across * metrics["e2f"][..., :-1, :-1]
        hu = hu * (metrics["e1u"] * metrics["e2u"])[..., 1:-1, 1:-1]
        hv = hv * (metrics["e1v"] * metrics["e2v"])[..., 1:-1, 1:-1]
    du = (fx[..., 1:] - fx[..., :-1]) + (across_u[..., 1:, 1:] - across_u[..., :-1, 1:])
    dv = (fy[..., 1:, :] - fy[..., :-1, :]) + (across_v[..., 1:, 1:] - across_v[..., 1:, :-1])
    return du * wet_u / hu, dv * wet_v / hv


def gradients(
    u: Tensor, v: Tensor, umask: Tensor, vmask: Tensor, tmask: Tensor, metrics: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Shear D = u_y + v_x, stretch Dh = u_x - v_y and vorticity zeta = v_x - u_y at T points [s-1].

    D = e1/e2 d_j(u/e1) + e2/e1 d_i(v/e2), Dh = e2/e1 d_i(u/e2) - e1/e2 d_j(v/e1), zeta = [d_i(e2 v) - d_j(e1 u)] / (e1 e2). D and
    zeta are made at corners between four wet cells, zero on walls, and averaged over the corners of the cell.
    """
    e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f = (metrics[name] for name in METRICS)
    u, v, wet = u * umask, v * vmask, corners(umask, vmask)
    us, vs, ratio = u / e1u, v / e2v, (e1f / e2f)[..., :-1, :-1]
    shear = ratio * (us[..., 1:, :-1] - us[..., :-1, :-1]) + (vs[..., :-1, 1:] - vs[..., :-1, :-1]) / ratio
    us, vs = u * e1u, v * e2v
    curl = (vs[..., :-1, 1:] - vs[..., :-1, :-1]) - (us[..., 1:, :-1] - us[..., :-1, :-1])
    zeta = curl / (e1f * e2f)[..., :-1, :-1]
    us, vs, ratio = u / e2u, v / e1v, (e2t / e1t)[..., 1:-1, 1:-1]
    du, dv = us[..., 1:-1, 1:-1] - us[..., 1:-1, :-2], vs[..., 1:-1, 1:-1] - vs[..., :-2, 1:-1]
    stretch = tmask[..., 1:-1, 1:-1] * (ratio * du - dv / ratio)
    return four(wet * shear), stretch, four(wet * zeta)


def four(x: Tensor) -> Tensor:
    """Mean of (j, i), (j, i + 1), (j + 1, i), (j + 1, i + 1): (..., J - 1, I - 1); from T points those round F(j, i)."""
    return 0.25 * ((x[..., :-1, :-1] + x[..., 1:, 1:]) + (x[..., :-1, 1:] + x[..., 1:, :-1]))


def corners(umask: Tensor, vmask: Tensor) -> Tensor:
    """1 at corners F(j, i) between four wet faces, (..., J - 1, I - 1)."""
    return (umask[..., :-1, :-1] * umask[..., 1:, :-1]) * (vmask[..., :-1, :-1] * vmask[..., :-1, 1:])


def stencil(x: Tensor) -> Tensor:
    """The 3 x 3 neighbours of every point on a last axis, row by row from the south-west: (..., J - 2, I - 2, 9)."""
    nj, ni = x.shape[-2] - 2, x.shape[-1] - 2
    return torch.stack([x[..., j : j + nj, i : i + ni] for j in range(3) for i in range(3)], dim=-1)
