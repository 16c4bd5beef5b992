"""Longitudes, latitudes and masks of a grid, for grids.nc, masks.nc and areas.nc, which OASIS writes in enddef."""

import weakref
from typing import Any

import numpy as np

from coupler.oasis import component
from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.partition import Partition


class Grid:
    """Grid `cgrid` of nx_global x ny_global points.

    Without partition: lon, lat (nx, ny) are the whole grid, and only the root of the component is heard. With one: they are
    the points of this rank in the partition's order, and the calls are collective over the component.
    Units: degrees. Raises PyOasisException for a wrong size.
    """

    def __init__(
        self, cgrid: str, nx_global: int, ny_global: int, lon: Any, lat: Any, partition: Partition | None = None
    ) -> None:
        if not cgrid:
            raise PyOasisException("Grid: the name is empty.")
        self._component = weakref.proxy(component.current(f"Grid('{cgrid}')"))
        self._cgrid, self._shape, self._partition = cgrid, (nx_global, ny_global), partition
        self._write("write_grid", {"lon": lon, "lat": lat})

    def set_corners(self, clo: Any, cla: Any) -> None:
        """Longitudes and latitudes of the cell corners, (nx, ny, corners) or (points, corners)."""
        self._write("write_corner", {"clo": clo, "cla": cla}, corners=np.shape(clo)[-1])

    def set_mask(self, mask: Any, companion: str | None = None) -> None:
        """Integer mask; 0 marks ocean points in OASIS, 1 masked ones."""
        self._refuse(companion is not None, "set_mask with a companion")
        self._write("write_mask", {"mask": mask}, dtype=np.int32)

    def set_frac(self, frac: Any, companion: str | None = None) -> None:
        """Fractions of cells; the library found here has none."""
        self._refuse(True, "set_frac")

    def set_area(self, area: Any) -> None:
        """Areas of the cells [m2]."""
        self._write("write_area", {"area": area})

    def set_angle(self, angle: Any) -> None:
        """Angles between the first axis of the grid and east [degrees]."""
        self._write("write_angle", {"angle": angle})

    def write(self) -> None:
        """No more fields will come for this grid."""
        if self._component.localcomm.rank == 0:
            self._component.library.terminate_grids()

    def _refuse(self, really: bool, what: str) -> None:
        if really:
            raise PyOasisException(f"grid '{self._cgrid}': {what} needs OASIS3-MCT 5, not the library found here.")

    def _write(self, routine: str, fields: dict[str, Any], corners: int = 0, dtype: type = np.float64) -> None:
        """Hand whole fields to OASIS on the root of the component."""
        whole = [self._whole(name, field, max(corners, 1), dtype) for name, field in fields.items()]
        if self._component.localcomm.rank == 0:
            if routine == "write_grid":
                self._component.library.start_grids()
            shape = (*self._shape, corners) if corners else self._shape
            self._component.library.write_grid_field(routine, self._cgrid, shape, *whole)

    def _whole(self, name: str, field: Any, corners: int, dtype: type) -> np.ndarray:
        """The field of the whole grid as flat Fortran-ordered memory; on the root only where it is partitioned."""
        root = self._component.localcomm.rank == 0
        points = self._shape[0] * self._shape[1] if self._partition is None else self._partition.local_size
        values: np.ndarray = np.asarray(field, dtype)
        if values.size != points * corners and (root or self._partition is not None):
            raise PyOasisException(
                f"grid '{self._cgrid}': {name} has shape {values.shape}, {points} points"
                f"{f' x {corners} corners' if corners > 1 else ''} are needed."
            )
        if self._partition is None:
            return values.ravel(order="F")
        layout = self._partition.layout
        parts = self._component.localcomm.gather(
            (layout.starts, layout.lengths, layout.first, values.reshape((points, corners), order="F"))
        )
        whole: np.ndarray = np.zeros((self._shape[0] * self._shape[1], corners), dtype, order="F")
        for starts, lengths, first, part in parts or []:
            index = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(int(lengths.sum()))
            whole[index] = part if first is None else part[first]
        return whole.ravel(order="F")
