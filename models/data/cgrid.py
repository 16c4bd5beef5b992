"""Coarse-graining on the C grid with land: transports by the sum over faces, tracers by volume, divergence kept.

Arrays (..., ny, nx), the last axis along i; U(i, j) is the east face of T(i, j), V(i, j) its north face, F(i, j) its north-east
corner. `n` fine cells along i and j make a coarse cell. A coarse face is the union of the fine faces on it, so that

    sum over the fine cells of (div x volume) = (coarse div) x (coarse volume)

to round-off: inside a coarse cell the transports cancel. Perezhogin et al. (2025), Kochkov et al. (2021) coarsen so.
Masks: a coarse cell or face is wet where any of its fine cells or faces is, since a face that were closed would lose its
transport. Its thickness is the mean over the whole coarse cell or face, land counted with zero (a porous cell): e1 e2 e3
is then the wet volume, and e2u e3u the wet area of a face, exactly.
"""

import math
from collections.abc import Mapping

import numpy as np

from coupler.errors import HaloclineError

Fields = Mapping[str, np.ndarray]


def check_factor(ny: int, nx: int, n: int, where: str) -> None:
    """HaloclineError where n does not divide both sizes; it lists the factors that do."""
    if ny % n or nx % n:
        both = math.gcd(ny, nx)
        allowed = [str(factor) for factor in range(2, both + 1) if both % factor == 0]
        raise HaloclineError(
            f"nn_factor = {n} does not divide the grid of {nx} x {ny} cells.\n  {where}. "
            f"Possible: {', '.join(allowed) or 'none; cut the files (ncks -d x,.. -d y,..)'}."
        )


def cell_sum(values: np.ndarray, n: int) -> np.ndarray:
    """Sums over n x n cells: (..., ny, nx) to (..., ny / n, nx / n)."""
    *lead, ny, nx = values.shape
    return values.reshape(*lead, ny // n, n, nx // n, n).sum(axis=(-3, -1))


def u_face_sum(values: np.ndarray, n: int) -> np.ndarray:
    """Sums over the n fine U faces that make a coarse U face: the last column of each block."""
    *lead, ny, nx = values.shape
    return values[..., n - 1 :: n].reshape(*lead, ny // n, n, nx // n).sum(axis=-2)


def v_face_sum(values: np.ndarray, n: int) -> np.ndarray:
    """Sums over the n fine V faces that make a coarse V face: the last row of each block."""
    *lead, ny, nx = values.shape
    return values[..., n - 1 :: n, :].reshape(*lead, ny // n, nx // n, n).sum(axis=-1)


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, 0 where the denominator is 0 (land)."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, dtype=np.float64), where=denominator != 0)


def east(values: np.ndarray, cyclic: bool) -> np.ndarray:
    """The neighbour at i + 1; beyond the last column the first of a cyclic grid, else 0."""
    moved = np.roll(values, -1, axis=-1)
    return moved if cyclic else _zero(moved, (..., -1))


def west(values: np.ndarray, cyclic: bool) -> np.ndarray:
    """The neighbour at i - 1; before the first column the last of a cyclic grid, else 0 (a wall without a stored face)."""
    moved = np.roll(values, 1, axis=-1)
    return moved if cyclic else _zero(moved, (..., 0))


def north(values: np.ndarray) -> np.ndarray:
    """The neighbour at j + 1, 0 beyond the last row."""
    return _zero(np.roll(values, -1, axis=-2), (..., -1, slice(None)))


def south(values: np.ndarray) -> np.ndarray:
    """The neighbour at j - 1, 0 before the first row."""
    return _zero(np.roll(values, 1, axis=-2), (..., 0, slice(None)))


def _zero(values: np.ndarray, place: tuple) -> np.ndarray:
    values[place] = 0
    return values


def outflow(transport_u: np.ndarray, transport_v: np.ndarray, cyclic: bool) -> np.ndarray:
    """Volume that leaves each cell [m3 s-1], the discrete divergence times the volume; transports [m3 s-1] at U, V."""
    return transport_u - west(transport_u, cyclic) + transport_v - south(transport_v)


def coarse_metrics(mesh: Fields, n: int, cyclic: bool) -> dict[str, np.ndarray]:
    """Horizontal metrics (ny / n, nx / n) of the coarse grid, from e1*, e2* [m], glam*, gphi* [degrees], ff_t, ff_f [s-1].

    Lengths of faces (e2u, e1v) and areas of cells (e1t e2t) are sums; distances between centres are means of both cells'.
    Positions and ff_f are those of the fine point at the same place, where there is one (glamu, glamv for even n: an F point).
    """
    area = cell_sum(mesh["e1t"] * mesh["e2t"], n)
    e1t = cell_sum(mesh["e1t"], n) / n
    e2t = quotient(area, e1t)
    e2u, e1v = u_face_sum(mesh["e2u"], n), v_face_sum(mesh["e1v"], n)

    def middle(values: np.ndarray, along: str) -> np.ndarray:
        beyond = east(values, cyclic) if along == "i" else north(values)
        return 0.5 * (values + np.where(beyond == 0, values, beyond))

    coarse = {"e1t": e1t, "e2t": e2t, "e1u": middle(e1t, "i"), "e2u": e2u, "e1v": e1v, "e2v": middle(e2t, "j")}
    coarse |= {"e1f": middle(e1v, "i"), "e2f": middle(e2u, "j")}
    centre, face = (n - 1) // 2, n - 1
    points = ("t", "u", "v") if n % 2 else ("f", "f", "f")
    for name in ("glam", "gphi"):
        for point, fine, j, i in zip("tuv", points, (centre, centre, face), (centre, face, centre), strict=True):
            coarse[name + point] = mesh[name + fine][j::n, i::n]
        coarse[name + "f"] = mesh[name + "f"][face::n, face::n]
    coarse["ff_t"] = quotient(cell_sum(mesh["ff_t"] * mesh["e1t"] * mesh["e2t"], n), area)
    coarse["ff_f"] = mesh["ff_f"][face::n, face::n]
    return coarse


def coarse_masks(masks: Fields, n: int, cyclic: bool) -> dict[str, np.ndarray]:
    """tmask, umask, vmask, fmask (k, ny / n, nx / n), int8: wet where any fine one is; F where all four cells are (free slip)."""
    coarse = {
        "tmask": cell_sum((masks["tmask"] != 0).astype(np.int64), n) > 0,
        "umask": u_face_sum((masks["umask"] != 0).astype(np.int64), n) > 0,
        "vmask": v_face_sum((masks["vmask"] != 0).astype(np.int64), n) > 0,
    }
    both = coarse["tmask"] & east(coarse["tmask"], cyclic)
    coarse["fmask"] = both & north(both)
    return {name: mask.astype(np.int8) for name, mask in coarse.items()}


def weighted_cells(values: np.ndarray, thickness: np.ndarray, area: np.ndarray, n: int) -> np.ndarray:
    """Mean of a T field by volume; thickness (0 on land) [m], area e1t e2t [m2]. 0 where the coarse cell is land."""
    volume = thickness * area
    return quotient(cell_sum(values * volume, n), cell_sum(volume, n))


def weighted_faces(values: np.ndarray, thickness: np.ndarray, length: np.ndarray, n: int, point: str) -> np.ndarray:
    """Mean over the wet area of coarse faces: for a velocity, transport / area. point: 'U' (length e2u) or 'V' (e1v)."""
    total = u_face_sum if point == "U" else v_face_sum
    wall = thickness * length
    return quotient(total(values * wall, n), total(wall, n))


def advection(u: np.ndarray, v: np.ndarray, mesh: Fields, masks: Fields, cyclic: bool) -> tuple[np.ndarray, np.ndarray]:
    """(u . grad) u on each level, horizontal part [m s-2], at U and V points; 0 on land faces.

    Vector-invariant form, grad K - zeta x u: K the mean of squares at T, zeta at F with the curl of fmask (its slip),
    averages of NEMO's enstrophy-conserving scheme (ln_dynvor_ens) with constant level thickness. u, v: (k, y, x) [m s-1].
    """
    u, v = u * (masks["umask"] != 0), v * (masks["vmask"] != 0)
    flow_u, flow_v = mesh["e2u"] * u, mesh["e1v"] * v
    curl = east(mesh["e2v"] * v, cyclic) - mesh["e2v"] * v - north(mesh["e1u"] * u) + mesh["e1u"] * u
    zeta = quotient(curl, np.broadcast_to(mesh["e1f"] * mesh["e2f"], curl.shape)) * masks["fmask"]
    energy = 0.25 * (u**2 + west(u**2, cyclic) + v**2 + south(v**2))
    across_u = 0.25 * (flow_v + east(flow_v, cyclic) + south(flow_v + east(flow_v, cyclic)))
    across_v = 0.25 * (flow_u + west(flow_u, cyclic) + north(flow_u + west(flow_u, cyclic)))
    e1u, e2v = (np.broadcast_to(mesh[name], u.shape) for name in ("e1u", "e2v"))
    tendency_u = quotient(east(energy, cyclic) - energy - 0.5 * (zeta + south(zeta)) * across_u, e1u)
    tendency_v = quotient(north(energy) - energy + 0.5 * (zeta + west(zeta, cyclic)) * across_v, e2v)
    return tendency_u * (masks["umask"] != 0), tendency_v * (masks["vmask"] != 0)
