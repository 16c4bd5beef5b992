"""Momentum and thickness of the twin: transports, corners, pressure, kinetic energy, vorticity, wind, drag."""

import torch
from torch import Tensor

from models.twin.grid import Basin
from models.twin.wide import Wide

Pair = tuple[Tensor, Tensor]


def transports(b: Basin, u: Wide, v: Wide, h: Wide) -> tuple[Wide, Wide]:
    """e2u e3u u and e1v e3v v [m3 s-1], two cells before and one after the interior."""
    r = (2, 1)
    fu = b.dx * ((0.5 * (h.at(0, 0, *r) + h.at(1, 0, *r))) * u.at(0, 0, *r))
    fv = b.dx * ((0.5 * (h.at(0, 0, *r) + h.at(0, 1, *r))) * v.at(0, 0, *r))
    return Wide(fu, *r), Wide(fv, *r)


def corners(b: Basin, h: Wide) -> Wide:
    """Thickness of corners [m]: mean over the wet cells round them, 1 m where there is none; two before, one after."""
    r = (2, 1)
    wet = Wide(h.values * b.tmask.values, h.lo, h.hi)
    total = (wet.at(0, 0, *r) + wet.at(1, 0, *r)) + (wet.at(0, 1, *r) + wet.at(1, 1, *r))
    return Wide(total * b.corners.at(0, 0, *r) + b.bare.at(0, 0, *r), *r)


def thickness(b: Basin, h_before: Wide, fu: Wide, fv: Wide, rdt: Tensor | float) -> Wide:
    """After thickness, h(before) - rDt div(transports) [m], one cell round the interior."""
    r = (1, 1)
    area = 1.0 / (b.dx * b.dx)
    divergence = area * ((fu.at(0, 0, *r) - fu.at(-1, 0, *r)) + (fv.at(0, 0, *r) - fv.at(0, -1, *r)))
    return Wide(h_before.at(0, 0, *r) - rdt * divergence, *r)


def pressure(b: Basin, h_before: Wide, h: Wide, h_after: Wide) -> Pair:
    """-grad M [m s-2], thickness (before + 2 now + after)/4 (Brown & Campana 1978)."""
    r = (0, 1)
    mean = 0.25 * ((h_after.at(0, 0, *r) + h_before.at(0, 0, *r)) + 2.0 * h.at(0, 0, *r))
    height, above = [], torch.zeros_like(mean[..., 0, :, :])
    for k in range(b.levels):
        above = above + mean[..., k, :, :]
        height.append(above)
    potential, below = [above] * b.levels, torch.zeros_like(above)
    for k in reversed(range(b.levels)):
        below = below + b.gravity[k] * height[k]
        potential[k] = below
    m = Wide(torch.stack(potential, dim=-3), *r)
    return -(m.at(1) - m.at()) / b.dx, -(m.at(0, 1) - m.at()) / b.dx


def kinetic(b: Basin, u: Wide, v: Wide) -> Pair:
    """-grad K [m s-2], K the mean of the squares at T points, halved."""
    r = (0, 1)
    west, south = u.at(-1, 0, *r), v.at(0, -1, *r)
    here_u, here_v = u.at(0, 0, *r), v.at(0, 0, *r)
    k = Wide(0.25 * ((west * west + here_u * here_u) + (south * south + here_v * here_v)), *r)
    return -(k.at(1) - k.at()) / b.dx, -(k.at(0, 1) - k.at()) / b.dx


def curl(b: Basin, u: Wide, v: Wide, lo: int, hi: int) -> Tensor:
    """Relative vorticity at F points [s-1], with the slip of the walls."""
    r = (lo, hi)
    turn = (v.at(1, 0, *r) - v.at(0, 0, *r)) - (u.at(0, 1, *r) - u.at(0, 0, *r))
    return turn / b.dx * b.fmask.at(0, 0, *r)


def vorticity(b: Basin, u: Wide, v: Wide, e3f: Wide, fu: Wide, fv: Wide) -> Pair:
    """Flux of potential vorticity [m s-2], energy and enstrophy conserving triads. Source: Arakawa & Hsu (1990), NEMO's EEN."""
    r = (1, 1)
    q = Wide((b.coriolis.at(0, 0, *r) + curl(b, u, v, *r)) / e3f.at(0, 0, *r), *r)
    factor = 1.0 / (12.0 * b.dx)
    column = q.at() + q.at(0, -1)  # the two corners of the u face
    along_i = factor * (
        ((column + q.at(-1)) * fv.at() + (column + q.at(1)) * fv.at(1))
        + ((column + q.at(-1, -1)) * fv.at(0, -1) + (column + q.at(1, -1)) * fv.at(1, -1))
    )
    row = q.at() + q.at(-1)  # the two corners of the v face
    along_j = factor * (
        ((row + q.at(-1, 1)) * fu.at(-1, 1) + (row + q.at(0, 1)) * fu.at(0, 1))
        + ((row + q.at(-1, -1)) * fu.at(-1) + (row + q.at(0, -1)) * fu.at())
    )
    return along_i, -along_j


def wind(b: Basin, h: Wide, stress: Tensor, rho0: float) -> Tensor:
    """Acceleration of layer 1 along i by the wind, tau/(rho0 h) [m s-2] (..., nj, ni)."""
    top = Wide(h.values[..., 0, :, :], h.lo, h.hi)
    return stress / rho0 * (1.0 / (0.5 * (top.at() + top.at(1))))
