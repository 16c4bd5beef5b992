"""Ensemble optimal interpolation: a static ensemble, localised in space.

x_a - x_b = (rho o A HA^T) (rho o HA HA^T + (N - 1) R)^-1 (y - H x_b), Evensen (2003), eq. 52, with the Schur product of Houtekamer
& Mitchell (2001). A: departures, rho: Gaspari & Cohn (1999), eq. 4.10, of the distance between cells. All fields at a cell share
its rho, so that velocities stay as close to balance with thickness as they are in the members.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from models.assimilation.observations import Network, Places
from models.assimilation.statistics import Statistics
from models.data.background import State


def gaspari_cohn(distance: np.ndarray, cut: float) -> np.ndarray:
    """Correlation by distance: 1 at 0, like a Gaussian, 0 from `cut` on. Gaspari & Cohn (1999), eq. 4.10 with c = cut / 2."""
    r = np.minimum(2.0 * np.abs(distance) / cut, 2.0)
    near = 1.0 - 5.0 / 3.0 * r**2 + 5.0 / 8.0 * r**3 + 0.5 * r**4 - 0.25 * r**5
    safe = np.maximum(r, 1.0)
    far = (
        4.0
        - 5.0 * safe
        + 5.0 / 3.0 * safe**2
        + 5.0 / 8.0 * safe**3
        - 0.5 * safe**4
        + safe**5 / 12.0
        - 2.0 / (3.0 * safe)
    )
    return np.where(r < 1.0, near, np.where(r < 2.0, far, 0.0))


@dataclass
class Interpolation:
    """The method 'enoi': observes the truth, and gives increments of `fields`. Statistics gather in `statistics`.

    ensemble: departures (members, levels, y, x) of u, v, h, t; width: of the square cells [m]; cut: where correlations end [m].
    """

    network: Network
    ensemble: State
    masks: State
    width: float
    cut: float
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        rows, columns = np.indices(self.network.wet.shape)
        self._rho = gaspari_cohn(
            self.width * np.hypot(rows, columns), self.cut
        )  # by rows and columns between two cells
        self._wet = np.argwhere(self.network.wet)
        self._members = len(self.ensemble["h"])

    def increments(self, window: int, background: State, truth: State) -> State:
        """Increments (levels, y, x) of the fields of &namassim, zero on land; each layer keeps its volume."""
        places = self.network.places(window)
        observed = self.network.observed(truth, places, window)
        forecast = self.network.observe(background, places)
        spread = self.network.operate(self.ensemble, places)  # HA (members, number)
        covariance = self._localised(places, places.rows_columns) * (spread.T @ spread) / (self._members - 1)
        variance = self.network.errors[places.kinds] ** 2
        total = covariance.copy()
        total[np.diag_indices_from(total)] += variance
        weights = cho_solve(cho_factor(total, lower=True, overwrite_a=True, check_finite=False), observed - forecast)
        # rho o (A HA^T) w = sum over members of A (rho HA^T w): one column of the ensemble after the other, never the whole matrix
        column = self._localised(places, self._wet) @ (spread * weights).T / (self._members - 1)  # (cells, members)
        change = self._spread_out(column)
        analysis = {name: background[name] + change.get(name, 0.0) for name in ("h", "t")}
        self.statistics.add(
            window,
            places.kinds,
            innovation=observed - forecast,
            residual=observed - self.network.observe(analysis, places),
            background_variance=np.diag(covariance),
            error_variance=variance,
            members=spread,
        )
        return change

    def _localised(self, places: Places, cells: np.ndarray) -> np.ndarray:
        """The factors rho (cells, observations)."""
        other = places.rows_columns
        rows = np.abs(cells[:, :1] - other[:, 0])
        columns = np.abs(cells[:, 1:] - other[:, 1])
        return self._rho[rows, columns]

    def _spread_out(self, column: np.ndarray) -> State:
        """Sum over members of A(cell) column(cell); the mean change of each layer's thickness is taken out."""
        found = {}
        rows, columns = self._wet[:, 0], self._wet[:, 1]
        for name in self.network.group.cn_fields:
            change = np.zeros(self.masks[name].shape)
            picked = self.ensemble[name][:, :, rows, columns]
            change[:, rows, columns] = np.einsum("nkc,cn->kc", picked, column)
            change *= self.masks[name]
            if name == "h":
                change -= self.masks["h"] * (change.sum((-2, -1)) / self.masks["h"].sum((-2, -1)))[:, None, None]
            found[name] = change
        return found
