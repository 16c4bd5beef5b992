"""From a background to increments where the whole truth is known: direct insertion, and a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.data.background import State


@dataclass(frozen=True)
class Insertion:
    """increment = gain (truth - background) of the fields named; zero on land. gain 1: the truth itself is put in."""

    fields: Sequence[str]
    masks: State
    gain: float = 1.0

    def increments(self, window: int, background: State, truth: State) -> State:
        """Increments (levels, y, x) by name; the window's number is not used."""
        return {name: self.gain * (truth[name] - background[name]) * self.masks[name] for name in self.fields}


def wet(masks: State, fields: State) -> State:
    """The fields with zeros on land, as data sets have them."""
    return {name: np.where(masks[name] > 0, values, 0.0) for name, values in fields.items()}
