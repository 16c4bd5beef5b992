"""The climatological increment alone: the family `increment_mean`, what a network must beat.

It reads the place and the masks, and with nn_harmonics the day of the year; it has no weights and is not trained.
"""

from models.data.statistics import Statistics
from models.families.increment import Climate, IncrementNetwork, specs
from models.settings import NamTrain


def trainable(train: NamTrain, levels: int, statistics: Statistics, climate: Climate) -> IncrementNetwork:
    """The climatology as a network; see `models.families.trainable.build`."""
    inputs, outputs = specs(train, levels, statistics, climate)
    return IncrementNetwork(train, inputs, outputs, climate, None)
