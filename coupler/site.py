"""Where and when a network runs."""

from collections.abc import Callable
from dataclasses import dataclass

import cftime
import numpy as np

from coupler.grid import Box, Grid
from coupler.halo import source_map
from coupler.noise import Noise

AllSum = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Site:
    """This rank's subdomain of a grid, the sum over the coupler, the ocean's time.

    allsum: integer arrays summed over all coupler ranks; step: rn_Dt [s]; date: step -> date at its start.
    """

    box: Box
    grid: Grid
    rank: int
    allsum: AllSum
    step: float
    date: Callable[[int], cftime.datetime]
    seed: int = 0
    member: int = 0

    def scalars(self, names: tuple[str, ...], kt: int) -> dict[str, float]:
        """What a contract asks of the calendar: kt, seconds since midnight, day of the year (1.0 on 1 January, 00:00)."""
        if not names:
            return {}
        date = self.date(kt)
        seconds = date.hour * 3600.0 + date.minute * 60.0 + date.second + date.microsecond * 1e-6
        known = {"kt": float(kt), "seconds_of_day": seconds, "day_of_year": date.dayofyr + seconds / 86400.0}
        return {name: known[name] for name in names}

    def noise(
        self, name: str, point: str, halo: int, levels: int, vector: bool, time: str, memory: float, shared: bool
    ) -> Noise:
        """Noise on this rank's block with `halo` cells around it; see `coupler.noise.Noise`."""
        source, sign = source_map(self.grid, self.box, halo, point)
        return Noise(
            name, source, sign if vector else None, levels,
            seed=self.seed, member=self.member, time=time, memory=memory, shared=shared,
        )  # fmt: skip
