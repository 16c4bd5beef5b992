"""Lateral friction of the twin: biharmonic, stress form, Smagorinsky, Leith and constant coefficients."""

import torch
from torch import Tensor

from models.twin.grid import Basin
from models.twin.momentum import Pair, curl
from models.twin.switches import Physics
from models.twin.wide import Wide


def root(x: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where that of sqrt is infinite."""
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, 1.0)), 0.0)


def stretching(b: Basin, u: Wide, v: Wide, lo: int, hi: int) -> Tensor:
    """Dt = u_x - v_y at T points [s-1]."""
    r = (lo, hi)
    return b.tmask.at(0, 0, *r) / b.dx * ((u.at(0, 0, *r) - u.at(-1, 0, *r)) - (v.at(0, 0, *r) - v.at(0, -1, *r)))


def shear(b: Basin, u: Wide, v: Wide, lo: int, hi: int) -> Tensor:
    """Ds = u_y + v_x at F points [s-1], with the slip of the walls."""
    r = (lo, hi)
    return b.fmask.at(0, 0, *r) / b.dx * ((u.at(0, 1, *r) - u.at(0, 0, *r)) + (v.at(1, 0, *r) - v.at(0, 0, *r)))


def spread(b: Basin, s: Wide, f: Wide, lo: int, hi: int) -> Pair:
    """Divergence of a stress with components S at T and F at F points, along i and along j, zero on land faces."""
    r = (lo, hi)
    along_i = (s.at(1, 0, *r) - s.at(0, 0, *r)) + (f.at(0, 0, *r) - f.at(0, -1, *r))
    along_j = (f.at(0, 0, *r) - f.at(-1, 0, *r)) - (s.at(0, 1, *r) - s.at(0, 0, *r))
    return b.umask.at(0, 0, *r) / b.dx * along_i, b.vmask.at(0, 0, *r) / b.dx * along_j


def friction(b: Basin, p: Physics, u: Wide, v: Wide, h: Wide, e3f: Wide) -> Pair:
    """-(1/h) div(h A4 D(lap u)) [m s-2] of the before velocity; thickness of now. Source: Griffies & Hallberg (2000)."""
    dt, ds = Wide(stretching(b, u, v, 1, 2), 1, 2), Wide(shear(b, u, v, 2, 1), 2, 1)
    lap_u, lap_v = (Wide(x, 1, 1) for x in spread(b, dt, ds, 1, 1))
    at_t, at_f = _viscosity(b, p, u, v, dt, ds)
    s = Wide(stretching(b, lap_u, lap_v, 0, 1) * (h.at(0, 0, 0, 1) * at_t), 0, 1)
    f = Wide(shear(b, lap_u, lap_v, 1, 0) * (e3f.at(0, 0, 1, 0) * at_f), 1, 0)
    along_i, along_j = spread(b, s, f, 0, 0)
    return -along_i / (0.5 * (h.at() + h.at(1))), -along_j / (0.5 * (h.at() + h.at(0, 1)))


def _viscosity(b: Basin, p: Physics, u: Wide, v: Wide, dt: Wide, ds: Wide) -> Pair:
    """A4 [m4 s-1] at T points, one cell after the interior, and at F points, one before."""
    dx4 = b.dx**4
    cap = p.rn_ahmcap / (128.0 * p.rn_dt)
    base_t: Tensor | float = p.rn_ahm4 / dx4
    base_f = base_t
    if p.rn_cl4 > 0:
        base = Wide(_leith(b, p, u, v), 1, 1)
        base_t = base.at(0, 0, 0, 1)
        r = (1, 0)
        base_f = 0.25 * ((base.at(0, 0, *r) + base.at(1, 0, *r)) + (base.at(0, 1, *r) + base.at(1, 1, *r)))
    t2, s2 = Wide(dt.values * dt.values, dt.lo, dt.hi), Wide(ds.values * ds.values, ds.lo, ds.hi)
    r = (0, 1)
    size = root(
        t2.at(0, 0, *r) + 0.25 * ((s2.at(0, 0, *r) + s2.at(-1, 0, *r)) + (s2.at(0, -1, *r) + s2.at(-1, -1, *r)))
    )
    at_t = dx4 * torch.clamp(p.rn_cs4 * size + base_t, max=cap)
    r = (1, 0)
    size = root(s2.at(0, 0, *r) + 0.25 * ((t2.at(0, 0, *r) + t2.at(1, 0, *r)) + (t2.at(0, 1, *r) + t2.at(1, 1, *r))))
    return at_t, dx4 * torch.clamp(p.rn_cs4 * size + base_f, max=cap)


def _leith(b: Basin, p: Physics, u: Wide, v: Wide) -> Tensor:
    """cl4 dx |grad zeta| + A4/dx4 at T points [s-1], one cell round the interior."""
    zeta = Wide(curl(b, u, v, 2, 1), 2, 1)
    r = (1, 1)
    here, south, west, both = zeta.at(0, 0, *r), zeta.at(0, -1, *r), zeta.at(-1, 0, *r), zeta.at(-1, -1, *r)
    along_u = (here - south) ** 2 + (west - both) ** 2
    along_v = (here - west) ** 2 + (south - both) ** 2
    return p.rn_cl4 * root(0.5 * (along_u + along_v)) + p.rn_ahm4 / b.dx**4
