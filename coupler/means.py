"""Means over time of arrays on one rank, in 64 bits: each value counts for the steps during which it holds."""

from collections.abc import Mapping

import numpy as np


class Means:
    """Sums of weighted values since the last `take`."""

    def __init__(self) -> None:
        """Empty."""
        self._sums: dict[str, np.ndarray] = {}
        self._weights: dict[str, int] = {}

    def add(self, values: Mapping[str, np.ndarray], weight: int) -> None:
        """Arrays of any shape by name, the same shape every time; weight: steps, above 0."""
        for name, array in values.items():
            if name in self._sums:
                self._sums[name] += weight * array.astype(np.float64)
            else:
                self._sums[name] = weight * array.astype(np.float64)
            self._weights[name] = self._weights.get(name, 0) + weight

    def take(self) -> dict[str, np.ndarray]:
        """The means, and nothing is left."""
        means = {name: total / self._weights[name] for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        return means
