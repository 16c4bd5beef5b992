"""What a tendency does to the ocean's energy, enstrophy and content: formulas on the C-grid, on arrays of one rank.

U(j, i) is the east face of T(j, i), V(j, i) its north face, F(j, i) its north-east corner; h_U, h_V and h_F are the means of the
two and four thicknesses around. Sums run over wet points, each cell of a north fold once. With A the wet area of the surface:

  energy input     E = rho0 / A sum_k [ sum_U h_U u du e1u e2u + sum_V h_V v dv e1v e2v ]                     [W m-2]
  enstrophy input  Z = 1 / A sum_k sum_F h_F zeta curl(du, dv) e1f e2f                                        [m s-3]
  content input    C = 1 / A sum_k sum_T h dT e1t e2t, and without h for a tendency of thickness itself

zeta = [d_i(e2v v) - d_j(e1u u)] / (e1f e2f), the curl of the tendencies alike. E is the work of the tendency (above 0:
backscatter), Z what it adds to half the squared vorticity. Corners on the coast are left out: their vorticity is the slip's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coupler.grid import Box, Grid

Arrays = Mapping[str, np.ndarray]


def counted(grid: Grid, box: Box, point: str) -> np.ndarray:
    """1.0 where a cell of the box is counted, 0.0 where it is the second of a pair on a north fold, or beyond it; (nj, ni).

    point: T, U or V. Row ny - 1 + k of a folded grid is row ny - 1 - k read backwards: see coupler/grid.py.
    """
    weight = np.ones((box.nj, box.ni))
    top = grid.ny - 1 - box.j0
    if not grid.boundary.startswith("fold") or not 0 <= top < box.nj:
        return weight
    columns = np.arange(box.i0, box.i0 + box.ni)
    if (grid.boundary, point) in (("fold_T", "T"), ("fold_T", "U"), ("fold_F", "V")):  # rows on the fold
        mirrored = np.mod(grid.nx - (0 if (grid.boundary, point) == ("fold_T", "T") else 1) - columns, grid.nx)
        weight[top, mirrored < columns] = 0.0
    elif grid.boundary == "fold_T":  # V: the row beyond the fold
        weight[top] = 0.0
    return weight


@dataclass(frozen=True)
class Geometry:
    """Areas and masks that the sums need, (1 or k, nj, ni), and what vorticity needs, one row and column more."""

    area_t: np.ndarray
    area_u: np.ndarray
    area_v: np.ndarray
    e1u: np.ndarray
    e2v: np.ndarray
    width_u: np.ndarray  # e1u / 4 and e2v / 4 of faces that count, (1 or k, nj, ni)
    width_v: np.ndarray
    by_area_f: np.ndarray  # 1 / (e1f e2f) on interior corners, else 0


def geometry(fields: Arrays, grid: Grid, box: Box) -> Geometry:
    """From static fields padded by one cell, (1 or k, nj + 2, ni + 2), float64: tmask, e1t, e2t; e1u to e2f as far as given."""
    wet = (fields["tmask"] != 0).astype(np.float64)

    def area(point: str, mask: np.ndarray) -> np.ndarray:
        if not {f"e1{point}", f"e2{point}"} <= set(fields):
            return np.zeros((0, box.nj, box.ni))
        return _inner(fields[f"e1{point}"] * fields[f"e2{point}"]) * (mask * counted(grid, box, point.upper()))

    by_area_f = np.zeros((0, box.nj + 1, box.ni + 1))
    if {"e1f", "e2f"} <= set(fields):
        corners = wet[:, :-1, :-1] * wet[:, :-1, 1:] * wet[:, 1:, :-1] * wet[:, 1:, 1:]
        squares = (fields["e1f"] * fields["e2f"])[:, :-1, :-1]
        by_area_f = np.divide(1.0, squares, out=np.zeros(corners.shape), where=(corners > 0) & (squares > 0))
    none = np.zeros((0, box.nj + 2, box.ni + 2))
    e1u, e2v = fields.get("e1u", none), fields.get("e2v", none)
    area_u, area_v = area("u", _inner(wet) * _east(wet)), area("v", _inner(wet) * _north(wet))
    width_u, width_v = 0.25 * _inner(e1u) * (area_u > 0), 0.25 * _inner(e2v) * (area_v > 0)
    return Geometry(area("t", _inner(wet)), area_u, area_v, e1u, e2v, width_u, width_v, by_area_f)


def energy(u: np.ndarray, v: np.ndarray, h: np.ndarray, du: np.ndarray, dv: np.ndarray, *, rho0: float) -> Arrays:
    """Work per area at U and V points, (k, nj, ni) [W m-2]. u, v, h: padded by one cell; du, dv: (k, nj, ni) [m s-2]."""
    work = {"U": _inner(h) + _east(h), "V": _inner(h) + _north(h)}
    for point, velocity, tendency in (("U", u, du), ("V", v, dv)):
        work[point] *= 0.5 * rho0
        work[point] *= _inner(velocity)
        work[point] *= tendency
    return work


def enstrophy(
    u: np.ndarray, v: np.ndarray, h: np.ndarray, du: np.ndarray, dv: np.ndarray, *, on: Geometry
) -> np.ndarray:
    """Terms (k, nj, ni) whose sum is A Z [m3 s-3]. u, v, h: padded by one cell; du, dv: (k, nj, ni) [m s-2].

    The sum over corners is by parts one over faces, sum_U e1u du (w(j) - w(j-1)) + sum_V e2v dv (w(i-1) - w(i)), w = h_F zeta:
    so no tendency is needed from another rank. Copies of faces on a fold have no area, and drop out.
    """
    flow_u, flow_v = on.e1u * u, on.e2v * v
    w = flow_v[:, :-1, 1:] - flow_v[:, :-1, :-1]
    w -= flow_u[:, 1:, :-1]
    w += flow_u[:, :-1, :-1]
    w *= on.by_area_f
    pairs = h[:, :, :-1] + h[:, :, 1:]
    w *= pairs[:, :-1] + pairs[:, 1:]
    along_i = w[:, 1:, 1:] - w[:, :-1, 1:]
    along_i *= du
    along_i *= on.width_u
    along_j = w[:, 1:, :-1] - w[:, 1:, 1:]
    along_j *= dv
    along_j *= on.width_v
    along_i += along_j
    return along_i


def _inner(x: np.ndarray) -> np.ndarray:
    return x[:, 1:-1, 1:-1]


def _east(x: np.ndarray) -> np.ndarray:
    """The eastern neighbours."""
    return x[:, 1:-1, 2:]


def _north(x: np.ndarray) -> np.ndarray:
    """The northern neighbours."""
    return x[:, 2:, 1:-1]
