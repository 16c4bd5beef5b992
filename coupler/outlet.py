"""An output of a network on its way out: sampled, made a tendency, brought to the point of its field, set to zero on land."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coupler.noise import Noise
from coupler.stagger import to_point


def sample(
    mean: np.ndarray, noise: np.ndarray, inv_std: np.ndarray, factor: float = 1.0, out: np.ndarray | None = None
) -> np.ndarray:
    """Sum mean + factor noise / inv_std, in the type of `mean`; in `out` where it is given.

    The standard deviation is 1 / inv_std: the loss of Guillaumin & Zanna (2021) is -log p + (y - mean)^2 p^2 / 2, a Gaussian
    of precision p^2.
    """
    result = np.empty_like(mean) if out is None else out
    np.copyto(result, noise)
    result *= mean.dtype.type(factor)
    result /= inv_std
    result += mean
    return result


@dataclass
class Outlet:
    """One output: `target` (k, nj, ni) receives it. `margin`: cells around the subdomain on which the network runs.

    mask: (1 or k, nj, ni), zero on land, or None; read once by `take_static`. noise, inv_std, factor: for a sampled output.
    rate [s-1]: of an increment, coupler.increments.rate_of; None for what is a tendency already.
    """

    name: str
    target: np.ndarray
    mask: np.ndarray | None
    point: str
    wanted: str
    margin: int
    noise: Noise | None = None
    inv_std: str | None = None
    factor: float = 1.0
    rate: float | None = None
    _land: np.ndarray | None = None
    _made: np.ndarray | None = None

    def take_static(self) -> None:
        """Read the mask, after it has arrived."""
        if self.mask is not None:
            self._land = np.broadcast_to(self.mask == 0, self.target.shape).copy()

    @property
    def wet(self) -> np.ndarray | None:
        """(k, nj, ni), True where it is not land; None without a mask."""
        return None if self._land is None else ~self._land

    def put(self, results: Mapping[str, np.ndarray], call: int) -> None:
        """Write the output of the network's `call` (counted from the start of the experiment) to the target."""
        value = results[self.name]
        if self.noise is not None and self.inv_std is not None:
            if self.factor:
                drawn = self.noise.at(call)
                value = sample(value, drawn, results[self.inv_std], self.factor, self._room(value))
            elif self.noise.time == "ar1":  # its memory goes on, for a restart with another factor
                self.noise.at(call)
        if self.rate is not None:
            value = np.multiply(value, value.dtype.type(self.rate), out=self._room(value))
        if self.margin and self.point != self.wanted:
            to_point(value, self.point, self.wanted, out=self.target)
        else:
            self.target[...] = value[:, 1:-1, 1:-1] if self.margin else value
        if self._land is not None:
            np.copyto(self.target, 0.0, where=self._land)

    def _room(self, value: np.ndarray) -> np.ndarray:
        """An array like `value` that is ours: the engine keeps its own."""
        if self._made is None:
            self._made = np.empty(value.shape, value.dtype)
        return self._made
