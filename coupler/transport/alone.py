"""Collectives of a transport that knows one rank of the coupler."""

from typing import Any

import numpy as np


class Alone:
    """Gathers, shares and sums of one rank: what it gives is what it gets."""

    def gather(self, value: Any) -> list[Any] | None:
        """The value of the only rank."""
        return [value]

    def share(self, value: Any) -> Any:
        """The value of the only rank."""
        return value

    def allsum(self, values: np.ndarray) -> np.ndarray:
        """The sum over the only rank."""
        return values
