"""Removes what an output would add to the domain's momentum, heat or mass, by sums that no layout changes."""

from collections.abc import Callable

import numpy as np

from coupler.errors import HaloclineError
from coupler.guards import exactsum


class Conserve:
    """x -= sum(w x) / sum(w) on wet cells: the weighted sum over the domain is then zero, to the rounding of x.

    each: the sums of every level by itself, instead of those over all levels; the sum of each level is then zero.
    weights: areas or volumes, broadcast to (k, nj, ni), 0 or more; a callable is asked at every call (layers move), an
    array is read once, at the first call. mask: 0 where x stays, broadcasts too. allsum adds int64 arrays over the ranks.
    Both sums are exact (coupler/guards/exactsum.py), so the bits of x do not depend on the layout; apply it after the guards and
    the window, with a mask that is 0 outside the window.
    """

    def __init__(
        self,
        output: str,
        weights: np.ndarray | Callable[[], np.ndarray],
        mask: np.ndarray,
        allsum: Callable[[np.ndarray], np.ndarray],
        each: bool = False,
    ) -> None:
        """Raises nothing; the arrays may still be empty of data."""
        self.output, self._weights, self._mask, self._allsum, self._each = output, weights, mask, allsum, each
        self._wet: np.ndarray | None = None
        self._fixed: tuple[np.ndarray, np.ndarray] | None = (
            None  # weights and the limbs of their sum, if they never change
        )
        self.removed: np.ndarray = np.zeros(1)  # means of the last call: one, or that of every level
        self.largest = 0.0  # the largest |mean| of this run

    def __call__(self, x: np.ndarray) -> None:
        """Remove the weighted mean of x, (k, nj, ni), in place. Collective.

        Raises HaloclineError for a weight below 0 or without a number, and for wet cells whose weights sum to 0. With `each` a
        level without weight, all land, has nothing to remove.
        """
        if self._wet is None:
            self._wet = np.broadcast_to(self._mask != 0, x.shape)
        weights, limbs = self._fixed or self._weigh(self._wet)
        if not callable(self._weights):
            self._fixed = weights, limbs
        # Land holds 0 in x and in the weights: it adds nothing to either sum.
        shown = np.where(self._wet, x, 0.0)
        products = np.stack([exactsum.partial_products(weights[k], shown[k]) for k in self._groups(x)])
        sums = self._allsum(np.stack([products, limbs]))
        total = np.array([exactsum.total(row) for row in sums[1]])
        if not total.any():
            raise HaloclineError(
                f"conservation of output '{self.output}': the weights of all wet cells sum to 0. Allowed: areas or volumes "
                "above 0. Look at the fields that cn_weights names (&namnet): do they travel, and before the first step?"
            )
        means = [exactsum.total(row) / weight if weight else 0.0 for row, weight in zip(sums[0], total, strict=True)]
        self.removed = np.array(means)
        self.largest = max(self.largest, float(np.abs(self.removed).max()))
        # A float64 mean: a float32 x is then rounded once.
        np.subtract(x, self.removed[:, None, None], out=x, where=self._wet, casting="same_kind")

    def _groups(self, x: np.ndarray) -> list[slice]:
        """The levels that are summed together."""
        return [slice(k, k + 1) for k in range(len(x))] if self._each else [slice(None)]

    def _weigh(self, wet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights on wet cells and the exact sums of this rank's."""
        given = self._weights() if callable(self._weights) else self._weights
        weights = np.where(wet, np.broadcast_to(given, wet.shape), 0.0)
        wrong = ~((weights >= 0.0) & np.isfinite(weights))
        if wrong.any():
            k, j, i = (int(index) for index in np.argwhere(wrong)[0])
            raise HaloclineError(
                f"conservation of output '{self.output}': the weight is {weights[k, j, i]} in {np.count_nonzero(wrong)} wet cells "
                f"of this rank, the first at (i,j,k) = ({i + 1},{j + 1},{k + 1}) of its subdomain. Allowed: finite, 0 or more. "
                "Look at the fields that cn_weights names (&namnet)."
            )
        return weights, np.stack([exactsum.partial(weights[k]) for k in self._groups(weights)])
