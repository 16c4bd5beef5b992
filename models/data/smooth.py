"""Filters of gcm-filters on a NEMO grid with land: Gaussian and taper, widths in metres."""

import math
from collections.abc import Mapping
from typing import Literal

import gcm_filters
import numpy as np
import xarray as xr

Kind = Literal["gaussian", "taper", "none"]
SHAPES = {"gaussian": gcm_filters.FilterShape.GAUSSIAN, "taper": gcm_filters.FilterShape.TAPER}
# The point on the west and on the south face of a cell round each kind of point; True: the one before it in memory.
WEST = {"T": ("u", True), "U": ("t", False), "V": ("f", True)}
SOUTH = {"T": ("v", True), "U": ("f", True), "V": ("t", False)}


def filter_scale(kind: Kind, width: float) -> float:
    """gcm-filters' filter_scale [m] for rn_sigma [m].

    'gaussian': its transfer function exp(-k2 L2 / 24) is a Gaussian of standard deviation L / sqrt(12). 'taper': L itself, scales
    below L are removed. Grooms et al. (2021), doi:10.1029/2021MS002552, section 2.
    """
    return math.sqrt(12.0) * width if kind == "gaussian" else width


def ratio(kind: Kind, width: float, spacing: float) -> float:
    """Filter-to-grid ratio FGR = filter_scale / coarse spacing; 2 to 3 keeps subfilter apart from subgrid."""
    return 0.0 if kind == "none" else filter_scale(kind, width) / spacing


class Smoother:
    """Filters fields at T, U or V points on the levels of a grid; the integral over each level is kept.

    mesh: e1*, e2* (y, x) [m]. mask: (k, y, x), nonzero in the ocean. anywhere: (y, x), where the ocean is wet on any level, if
    `mask` has only some: the number of the filter's steps follows from the smallest cell. There is no flux through the
    border of the mask (even parity at walls, for velocities too): land has no part in the result, and is 0 in it.
    """

    def __init__(
        self,
        kind: Kind,
        width: float,
        point: str,
        mesh: Mapping[str, np.ndarray],
        mask: np.ndarray,
        cyclic: bool,
        anywhere: np.ndarray | None = None,
    ) -> None:
        self.pad = [(0, 0), (1, 1), (0, 0) if cyclic else (1, 1)]
        self.filter: gcm_filters.Filter | None = None
        wet = mask != 0
        if kind == "none" or width == 0.0 or not wet.any():
            return
        (west, before_w), (south, before_s) = WEST[point], SOUTH[point]
        lengths = {
            "dxw": _shifted(mesh[f"e1{west}"], -1, before_w, cyclic),
            "dyw": _shifted(mesh[f"e2{west}"], -1, before_w, cyclic),
            "dxs": _shifted(mesh[f"e1{south}"], -2, before_s, False),
            "dys": _shifted(mesh[f"e2{south}"], -2, before_s, False),
        }
        here = wet.any(axis=0) if anywhere is None else anywhere
        spacing = min(float(lengths[name][here].min()) for name in ("dxw", "dys"))
        grid = {name: self._padded(values) for name, values in lengths.items()}
        grid["area"] = self._padded(_positive(mesh[f"e1{point.lower()}"] * mesh[f"e2{point.lower()}"]))
        grid["kappa_w"] = grid["kappa_s"] = xr.ones_like(grid["area"])
        grid["wet_mask"] = xr.DataArray(np.pad(wet.astype(np.float64), self.pad), dims=("k", "y", "x"))
        self.filter = gcm_filters.Filter(
            filter_scale=filter_scale(kind, width),
            dx_min=spacing,
            filter_shape=SHAPES[kind],
            grid_type=gcm_filters.GridType.IRREGULAR_WITH_LAND,
            grid_vars=grid,
        )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The filtered field (k, y, x), float64; values on land must be 0."""
        if self.filter is None:
            return np.asarray(values, dtype=np.float64)
        padded = xr.DataArray(np.pad(np.asarray(values, dtype=np.float64), self.pad), dims=("k", "y", "x"))
        result = self.filter.apply(padded, dims=["y", "x"]).values[:, 1:-1]
        return result if self.pad[2] == (0, 0) else result[:, :, 1:-1]

    def _padded(self, values: np.ndarray) -> xr.DataArray:
        """With the row of land that separates the ends of an axis which is not cyclic: gcm-filters joins them."""
        return xr.DataArray(np.pad(values, self.pad[1:], mode="edge"), dims=("y", "x"))


def _shifted(values: np.ndarray, axis: int, before: bool, cyclic: bool) -> np.ndarray:
    """Lengths at each cell's west or south face, from the array that holds the east or north faces if `before`."""
    values = _positive(values)
    if not before:
        return values
    moved = np.roll(values, 1, axis=axis)
    if not cyclic:
        first = (..., 0) if axis == -1 else (..., 0, slice(None))
        moved[first] = values[first]
    return moved


def _positive(values: np.ndarray) -> np.ndarray:
    """Metrics without the zeros of subdomains that were all land and not written."""
    return np.where(values > 0, values, values.max())
