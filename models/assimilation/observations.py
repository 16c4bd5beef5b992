"""Sparse, noisy observations of a truth: sea surface height along tracks, temperature on a lattice, profiles of thickness.

An observation is one value at the centre of one cell. Places and errors belong to (seed, window): the same whenever asked for.
"""

from dataclasses import dataclass

import numpy as np

from models import settings
from models.data.background import State
from models.evaluation.mesh import GRAVITY

TYPES = ("ssh", "sst", "h")
UNITS = {"ssh": "m", "sst": "degC", "h": "m"}
SLOPE = 0.36  # dx/dy of a ground track: 20 degrees from the meridian, as altimeters at mid-latitude
TURN = 0.5 * (
    np.sqrt(5.0) - 1.0
)  # part of the distance between tracks by which they move from window to window: fills evenly


@dataclass(frozen=True)
class Places:
    """Where a window is observed: cells (row, column) by type, the rim of land counted. Profiles: all levels of a cell."""

    cells: dict[str, np.ndarray]  # (number, 2)
    levels: int

    @property
    def kinds(self) -> np.ndarray:
        """Index into TYPES of each observation, profiles level by level."""
        return np.concatenate([np.full(self._repeat(n) * len(self.cells[kind]), n) for n, kind in enumerate(TYPES)])

    @property
    def rows_columns(self) -> np.ndarray:
        """Cell of each observation (number, 2), in the order of `observe`."""
        return np.concatenate([np.tile(self.cells[kind], (self._repeat(n), 1)) for n, kind in enumerate(TYPES)])

    def _repeat(self, kind: int) -> int:
        return self.levels if TYPES[kind] == "h" else 1


@dataclass(frozen=True)
class Network:
    """What is observed: wet cells (y, x), reduced gravities and resting thickness (k,), errors and numbers of &namassim."""

    wet: np.ndarray
    gred: np.ndarray
    rest: np.ndarray
    group: settings.NamAssim

    @property
    def errors(self) -> np.ndarray:
        """Standard deviation of the error, by type."""
        return np.array([self.group.rn_ssh_std, self.group.rn_sst_std, self.group.rn_profile_std])

    def places(self, window: int) -> Places:
        """Where a window is observed."""
        rows, columns = np.nonzero(self.wet)
        every = self.group.nn_sst
        lattice = (
            (rows % every == 0) & (columns % every == 0) if every else np.zeros(rows.size, bool)
        )  # of the whole grid, so that all windows have the same cells
        cells = np.stack([rows, columns], axis=1)
        count = min(self.group.nn_profiles, len(cells))
        chosen = self._generator(window, 0).choice(len(cells), count, replace=False)
        return Places({"ssh": self._tracks(window), "sst": cells[lattice], "h": cells[np.sort(chosen)]}, len(self.gred))

    def _tracks(self, window: int) -> np.ndarray:
        """Cells under the tracks: ascending and descending ones in turn, evenly spaced, moved on each window."""
        ny, nx = self.wet.shape
        number = self.group.nn_track
        if not number:
            return np.zeros((0, 2), int)
        row = np.arange(ny)
        span = nx + SLOPE * ny  # so that no corner is left out
        middle = (np.arange(number) + window * TURN) % number * span / number - 0.5 * SLOPE * ny
        sign = np.where(np.arange(number) % 2, -1.0, 1.0)
        column = np.floor(middle[:, None] + sign[:, None] * SLOPE * (row - 0.5 * ny)).astype(int)
        cells = np.stack([np.broadcast_to(row, column.shape), column], axis=-1).reshape(-1, 2)
        cells = np.unique(cells[(cells[:, 1] >= 0) & (cells[:, 1] < nx)], axis=0)
        return cells[self.wet[cells[:, 0], cells[:, 1]]]

    def observe(self, state: State, places: Places) -> np.ndarray:
        """What is seen of states (..., levels, y, x) without error: (..., number) in the order ssh, sst, h1, h2, ...

        ssh = sum_k g_k (h_1 + ... + h_k) / 9.81; ssh and h less what they are at rest [m]. The mean of both over a closed basin is
        then zero.
        """
        return self.operate({"h": state["h"] - self.rest[:, None, None], "t": state["t"]}, places)

    def operate(self, departure: State, places: Places) -> np.ndarray:
        """The linear operator H: the same of departures of h and t."""
        at = {kind: (..., cells[:, 0], cells[:, 1]) for kind, cells in places.cells.items()}
        depth = np.cumsum(departure["h"][at["ssh"]], axis=-2)
        height = np.einsum("k,...kn->...n", self.gred, depth) / GRAVITY
        profiles = departure["h"][at["h"]]
        profiles = profiles.reshape(*profiles.shape[:-2], -1)
        return np.concatenate([height, departure["t"][..., 0, :, :][at["sst"]], profiles], axis=-1)

    def observed(self, truth: State, places: Places, window: int) -> np.ndarray:
        """Observations of the truth (levels, y, x), with errors."""
        exact = self.observe(truth, places)
        return exact + self.errors[places.kinds] * self._generator(window, 1).standard_normal(exact.size)

    def _generator(self, window: int, use: int) -> np.random.Generator:
        """A counter-based generator that belongs to (seed, window, use)."""
        return np.random.Generator(np.random.Philox(key=[self.group.nn_seed, 2 * window + use]))
