"""The basin of the twin: square cells on a beta plane, masks, resting layers; as usrdef and domain of the ocean make them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data.ocean import Switches
from models.twin.values import layers
from models.twin.wide import HALO, Wide

KM = 1e-3


@dataclass(frozen=True)
class Basin:
    """What does not change in a run. nj, ni: rows and columns of the global grid, its land rim included.

    tmask, umask, vmask: 1 wet, 0 land, at T, U, V points; fmask: also rn_shlat on coasts; corners: 1 / number of wet cells round
    a corner; bare: 1 where it has none; coriolis: f at F points [s-1]; wind: stress along i at U points [N m-2];
    target: restoring temperature [degC]; depth: resting thickness of the layers [m]; gravity: reduced, below each [m s-2].
    Wide ones reach HALO cells beyond the grid.
    """

    ni: int
    nj: int
    dx: float
    cyclic: bool
    tmask: Wide
    umask: Wide
    vmask: Wide
    fmask: Wide
    corners: Wide
    bare: Wide
    coriolis: Wide
    wind: Tensor
    target: Tensor
    depth: tuple[float, ...]
    gravity: tuple[float, ...]

    @property
    def levels(self) -> int:
        """Number of layers."""
        return len(self.depth)


def basin(switches: Switches, dtype: torch.dtype, device: torch.device | str = "cpu") -> Basin:
    """The basin that the ocean builds from the same namelist, in its own working precision."""
    nx, ny = switches.size
    cyclic = bool(switches["namusr_def", "ln_cyclic"]) or switches["namusr_def", "cn_bnd"] == "cyclic_ew"
    ni, nj = nx + (0 if cyclic else 2), ny + 2
    dx = float(switches["namusr_def", "rn_dx"])
    i, j = np.arange(1 - HALO, ni + HALO + 1), np.arange(1 - HALO, nj + HALO + 1)  # columns and rows, from 1
    wet = np.outer((j > 1) & (j < nj), np.ones_like(i, bool) if cyclic else (i > 1) & (i < ni))

    def at_point(dj: float) -> np.ndarray:
        """Distance of the rows from the southern wall [m]; dj: of the point from the T point [cells]."""
        return dx * (j - 1.5 + dj)

    def wide(values: np.ndarray) -> Wide:
        return Wide(torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device), HALO, HALO)

    east, north = _shift(wet, 1, 0), _shift(wet, 0, 1)
    corner = _shift(wet, 1, 1)
    count = wet.astype(int) + east + north + corner
    coast = (wet & east) | (north & corner) | (wet & north) | (east & corner)
    slip = float(switches["namlbc", "rn_shlat"])
    ones = np.ones_like(wet, float)
    f = float(switches["namusr_def", "rn_f0"]) + float(switches["namusr_def", "rn_beta"]) * (
        at_point(0.5) - 0.5 * ny * dx
    )
    inside = slice(HALO, -HALO)
    y = (at_point(0.0) / (dx * ny))[inside, None] * np.ones(ni)
    return Basin(
        ni,
        nj,
        dx,
        cyclic,
        tmask=wide(wet),
        umask=wide(wet & east),
        vmask=wide(wet & north),
        fmask=wide(np.where(count == 4, 1.0, np.where(coast, slip, 0.0))),
        corners=wide(1.0 / np.maximum(count, 1)),
        bare=wide(count == 0),
        coriolis=wide(f[:, None] * ones),
        wind=torch.as_tensor(_wind(switches, y), dtype=dtype, device=device),
        target=torch.as_tensor(_target(switches, y), dtype=dtype, device=device),
        depth=tuple(layers(switches, "namusr_def", "rn_h")),
        gravity=tuple(layers(switches, "namusr_def", "rn_gred")),
    )


def _shift(wet: np.ndarray, di: int, dj: int) -> np.ndarray:
    """The neighbour to the east and north; what lies beyond the halo is not used."""
    return np.roll(wet, (-dj, -di), (0, 1))


def _wind(switches: Switches, y: np.ndarray) -> np.ndarray:
    """Wind stress along i without its annual cycle [N m-2]; y: 0 at the southern wall, 1 at the northern."""
    tau0, tilt = float(switches["namsbc", "rn_tau0"]), float(switches["namsbc", "rn_tauas"])
    kind = switches["namsbc", "cn_wind"]
    if kind == "gyre":
        return -tau0 * (np.cos(2 * math.pi * y) + tilt * np.sin(math.pi * (y - 0.5)))
    return tau0 * np.sin(math.pi * y) if kind == "channel" else np.zeros_like(y)


def _target(switches: Switches, y: np.ndarray) -> np.ndarray:
    """Restoring temperature without its annual cycle [degC]."""
    south, north = float(switches["namsbc", "rn_tstar_s"]), float(switches["namsbc", "rn_tstar_n"])
    return south + (north - south) * y
