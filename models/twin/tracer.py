"""Tracer of layer 1 in the twin: UBS advection, diffusion, restoring; the right-hand side is that of the content h T."""

from torch import Tensor

from models.twin.grid import Basin
from models.twin.switches import Physics
from models.twin.wide import Wide


def content(b: Basin, p: Physics, t_before: Wide, t: Wide, h: Wide, fu: Wide, fv: Wide, target: Tensor) -> Tensor:
    """d(h T)/dt [degC m s-1] (..., 1, nj, ni); h, fu, fv: of layer 1, with the layer's axis."""
    rhs = -_divergence(b, *_advection(b, t_before, t, fu, fv))
    rhs = rhs - _divergence(b, *_diffusion(b, p, t_before, h))
    return rhs + h.at() * (p.r1_trelax * (target - t_before.at()))


def _advection(b: Basin, t_before: Wide, t: Wide, fu: Wide, fv: Wide) -> tuple[Wide, Wide]:
    """Upstream-biased fluxes. Source: Shchepetkin & McWilliams (2005), third order, lagged curvature."""
    r, s = (1, 1), (1, 0)
    here = t_before.at(0, 0, *r)
    um, vm = b.umask, b.vmask
    cx = Wide((t_before.at(1, 0, *r) - here) * um.at(0, 0, *r) - (here - t_before.at(-1, 0, *r)) * um.at(-1, 0, *r), *r)
    cy = Wide((t_before.at(0, 1, *r) - here) * vm.at(0, 0, *r) - (here - t_before.at(0, -1, *r)) * vm.at(0, -1, *r), *r)
    u, v = fu.at(0, 0, *s), fv.at(0, 0, *s)
    ax, ay = u.abs(), v.abs()
    fx = 0.5 * u * (t.at(0, 0, *s) + t.at(1, 0, *s)) - 1.0 / 12.0 * (
        (u + ax) * cx.at(0, 0, *s) + (u - ax) * cx.at(1, 0, *s)
    )
    fy = 0.5 * v * (t.at(0, 0, *s) + t.at(0, 1, *s)) - 1.0 / 12.0 * (
        (v + ay) * cy.at(0, 0, *s) + (v - ay) * cy.at(0, 1, *s)
    )
    return Wide(fx, *s), Wide(fy, *s)


def _diffusion(b: Basin, p: Physics, t: Wide, h: Wide) -> tuple[Wide, Wide]:
    s = (1, 0)
    here, depth = t.at(0, 0, *s), h.at(0, 0, *s)
    fx = -p.rn_aht * b.umask.at(0, 0, *s) * (0.5 * (depth + h.at(1, 0, *s))) * (t.at(1, 0, *s) - here)
    fy = -p.rn_aht * b.vmask.at(0, 0, *s) * (0.5 * (depth + h.at(0, 1, *s))) * (t.at(0, 1, *s) - here)
    return Wide(fx, *s), Wide(fy, *s)


def _divergence(b: Basin, fx: Wide, fy: Wide) -> Tensor:
    return ((fx.at() - fx.at(-1)) + (fy.at() - fy.at(0, -1))) / (b.dx * b.dx)
