"""How much of an output reaches the ocean: scale, ramp-in, and the window of latitudes and levels."""

import numpy as np

from coupler.errors import HaloclineError
from coupler.settings import NamNet

DAY = 86400.0


class Window:
    """factor(kt) = rn_scale min(1, (kt - 1) rn_Dt / rn_ramp) inside the window of one output, 0 outside.

    levels: of the output. seconds: the ocean's time step. gphi: latitudes (nj, ni) at the field's point [degrees north],
    read when first needed, because static fields arrive after the start; None: they do not travel.
    Raises HaloclineError for a level that the output lacks, an empty window, and latitudes that are asked for and absent.
    """

    def __init__(
        self, group: NamNet, output: str, levels: int, seconds: float, point: str, gphi: np.ndarray | None
    ) -> None:
        self.group, self._seconds, self._levels, self._gphi = group, seconds, levels, gphi
        self._outside: np.ndarray | None = None
        self._first, self._last = group.nn_lev_min, group.nn_lev_max or levels
        self._bands = (group.rn_lat_min, group.rn_lat_max) != (-90.0, 90.0)
        self.whole = not self._bands and (self._first, self._last) == (1, levels)
        for key, level in (("nn_lev_min", self._first), ("nn_lev_max", self._last)):
            if level > levels:
                raise HaloclineError(
                    f"{key} = {level}, but output '{output}' of network '{group.cn_name}' has {levels} level(s).\n  "
                    f"{group.where(key)}. Allowed: 1 to {levels}; 0 for nn_lev_max is the last."
                )
        if self._first > self._last:
            raise HaloclineError(
                f"network '{group.cn_name}': the window of levels {self._first} to {self._last} is empty.\n  "
                f"{group.where('nn_lev_min')}. Level 1 is the surface; nn_lev_min must not exceed nn_lev_max."
            )
        if not group.rn_lat_min < group.rn_lat_max:
            raise HaloclineError(
                f"network '{group.cn_name}': the window of latitudes {group.rn_lat_min:g} to {group.rn_lat_max:g} is empty.\n  "
                f"{group.where('rn_lat_min')}. rn_lat_min is the southern edge and must be the smaller one."
            )
        if self._bands and gphi is None:
            name = f"gphi{'t' if point == 'W' else point.lower()}"
            raise HaloclineError(
                f"network '{group.cn_name}': its window of latitudes, {group.rn_lat_min:g} to {group.rn_lat_max:g}, needs those of "
                f"the {point} points of output '{output}', and the field '{name}' does not travel.\n  {group.where('rn_lat_min')}. "
                f"Add '{name}' to a static exchange (ln_static = .true.), or leave rn_lat_min and rn_lat_max out."
            )

    def factor(self, kt: int) -> float:
        """Scale and ramp at step `kt`, counted from step 1 of the experiment."""
        ramp = self.group.rn_ramp * DAY
        return self.group.rn_scale * (min(1.0, (kt - 1) * self._seconds / ramp) if ramp else 1.0)

    def outside(self) -> np.ndarray | None:
        """Where the output is zero, bool, broadcasts to (k, nj, ni); None for nowhere. Call it when gphi has arrived."""
        if self._outside is None and not self.whole:
            level = np.arange(1, self._levels + 1)[:, None, None]
            inside = (level >= self._first) & (level <= self._last)
            if self._bands and self._gphi is not None:
                inside = inside & (self._gphi >= self.group.rn_lat_min) & (self._gphi <= self.group.rn_lat_max)
            self._outside = ~inside
        return self._outside

    def apply(self, values: np.ndarray, kt: int) -> None:
        """Scale (k, nj, ni) in place; 0.0 outside, never -0.0. Nothing is touched for factor 1 without a window."""
        factor = self.factor(kt)
        if factor == 0.0:
            values[...] = 0.0
        elif factor != 1.0:
            np.multiply(values, factor, out=values)
        outside = self.outside()
        if outside is not None:
            np.copyto(values, 0.0, where=outside)
