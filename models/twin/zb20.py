"""Momentum closure of Zanna & Bolton (2020) in the twin, as dynzb20 of the ocean."""

from models.twin.friction import shear, stretching
from models.twin.grid import Basin
from models.twin.momentum import Pair, curl
from models.twin.wide import Wide


def zb20(b: Basin, kappa: float, u: Wide, v: Wide, h: Wide, e3f: Wide) -> Pair:
    """(1/h) div(h T) [m s-2] of the now level; kappa [m2]: minus the published coefficient. Source: their eq. 6."""
    zeta, ds = Wide(curl(b, u, v, 1, 1), 1, 1), Wide(shear(b, u, v, 1, 1), 1, 1)
    dt = Wide(stretching(b, u, v, 1, 1), 1, 1)

    def mean(x: Wide):  # type: ignore[no-untyped-def]  # four corners of a cell, one cell after the interior
        r = (0, 1)
        return 0.25 * ((x.at(0, 0, *r) + x.at(-1, 0, *r)) + (x.at(0, -1, *r) + x.at(-1, -1, *r)))

    wet = h.at(0, 0, 0, 1) * b.tmask.at(0, 0, 0, 1)
    stretch = dt.at(0, 0, 0, 1)
    p = Wide(wet * mean(Wide(zeta.values * ds.values, 1, 1)), 0, 1)
    squares = mean(Wide(zeta.values * zeta.values, 1, 1)) + mean(Wide(ds.values * ds.values, 1, 1)) + stretch * stretch
    q = Wide(wet * (0.5 * squares), 0, 1)
    r = (1, 0)
    around = 0.25 * ((dt.at(0, 0, *r) + dt.at(1, 0, *r)) + (dt.at(0, 1, *r) + dt.at(1, 1, *r)))
    f = Wide(e3f.at(0, 0, *r) * (zeta.at(0, 0, *r) * around), *r)
    along_i = ((p.at(1) - p.at()) - (f.at() - f.at(0, -1)) - (q.at(1) - q.at())) / b.dx
    along_j = (-(p.at(0, 1) - p.at()) - (f.at() - f.at(-1)) - (q.at(0, 1) - q.at())) / b.dx
    return (
        kappa * b.umask.at() / (0.5 * (h.at() + h.at(1))) * along_i,
        kappa * b.vmask.at() / (0.5 * (h.at() + h.at(0, 1))) * along_j,
    )
