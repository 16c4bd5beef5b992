"""One step of the twin: leapfrog, Asselin filter, swap; the order of the ocean's stpmod."""

import torch
from torch import Tensor

from models.twin import momentum
from models.twin.friction import friction
from models.twin.grid import Basin
from models.twin.state import Level, State, Tendency
from models.twin.switches import Physics
from models.twin.tracer import content
from models.twin.wide import Wide, widen
from models.twin.zb20 import zb20


def step(
    b: Basin, p: Physics, state: State, cosine: Tensor | float, added: Tendency | None = None, forward: bool = False
) -> State:
    """The state one step later.

    cosine: of the part of the year that has passed, for the annual cycle. added: tendencies of a closure, held or fresh.
    forward: a forward step, before = now, no filter.
    """
    before, now = (state.now if forward else state.before), state.now
    rdt = p.rn_dt if forward else 2.0 * p.rn_dt
    ub, vb = widen(before.u, b.cyclic), widen(before.v, b.cyclic)
    un, vn = widen(now.u, b.cyclic), widen(now.v, b.cyclic)
    hb, hn = widen(before.h, b.cyclic, 1.0), widen(now.h, b.cyclic, 1.0)
    fu, fv = momentum.transports(b, un, vn, hn)
    e3f = momentum.corners(b, hn)
    ha = momentum.thickness(b, hb, fu, fv, rdt)
    stress, target = b.wind, b.target
    if p.rn_season != 0:
        stress = stress * (1.0 + p.rn_season * cosine)
        target = target - 0.5 * p.rn_season * p.swing * cosine

    ru, rv = momentum.pressure(b, hb, hn, ha)
    terms = [momentum.kinetic(b, un, vn), momentum.vorticity(b, un, vn, e3f, fu, fv)]
    if p.ln_dynldf:
        terms.append(friction(b, p, ub, vb, hn, e3f))
    for du, dv in terms:
        ru, rv = ru + du, rv + dv
    blown = momentum.wind(b, hn, stress, p.rn_rho0)
    ru = torch.cat([ru[..., :1, :, :] + blown[..., None, :, :], ru[..., 1:, :, :]], dim=-3)
    drag = torch.tensor(p.rn_drg, dtype=ru.dtype, device=ru.device)[:, None, None]
    ru, rv = ru - drag * before.u, rv - drag * before.v
    if p.ln_zb20:
        du, dv = zb20(b, p.rn_zb_kappa, un, vn, hn, e3f)
        ru, rv = ru + du, rv + dv
    if added is not None:
        ru, rv = ru + added.du * b.umask.at(), rv + added.dv * b.vmask.at()
    after = Level(
        (before.u + rdt * ru) * b.umask.at(),
        (before.v + rdt * rv) * b.vmask.at(),
        ha.at().contiguous(),  # as every field that comes in: one compiled step for all
        torch.zeros_like(now.t),
    )
    if p.ln_tra:
        rt = content(b, p, widen(before.t, b.cyclic), widen(now.t, b.cyclic), _top(hn), _top(fu), _top(fv), target)
        if added is not None and added.dt is not None:
            rt = rt + added.dt * b.tmask.at() * now.h[..., :1, :, :]
        t = (before.h[..., :1, :, :] * before.t + rdt * rt) / after.h[..., :1, :, :] * b.tmask.at()
        after = after._replace(t=t)
    return State(now if forward else _filtered(p, before, now, after), after)


def _top(x: Wide) -> Wide:
    """Layer 1, with its axis."""
    return Wide(x.values[..., :1, :, :], x.lo, x.hi)


def _filtered(p: Physics, before: Level, now: Level, after: Level) -> Level:
    """Asselin filter, x + a (x(before) - 2 x + x(after)); the tracer by its content."""
    a = p.rn_atfp

    def smooth(b: Tensor, n: Tensor, c: Tensor) -> Tensor:
        return n + a * ((b + c) - 2.0 * n)

    h = smooth(before.h, now.h, after.h)
    t = now.t
    if p.ln_tra:
        top = [level.h[..., :1, :, :] * level.t for level in (before, now, after)]
        t = smooth(*top) / h[..., :1, :, :]
    return Level(smooth(before.u, now.u, after.u), smooth(before.v, now.v, after.v), h, t)
