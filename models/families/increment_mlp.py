"""Increments of a column from the state in it: the family `increment_mlp`, radius 0.

All levels of a column, its masks and its place through two hidden layers. Layers are matrix products over the last axis and
not 1 x 1 convolutions, whose bits depend on the size of the block (onnxruntime).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from coupler.contract import InputSpec, OutputSpec
from models.data.statistics import Statistics
from models.families.increment import Climate, IncrementNetwork, State, specs
from models.settings import NamTrain

HIDDEN = 2
TOLERANCE = (
    1e-4  # torch multiplies one column by another routine than many: 1.1e-5 of a weakly trained output (onnx: no bit)
)


class MlpState(State):
    """See the module."""

    def __init__(
        self,
        train: NamTrain,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        statistics: Statistics,
        climate: Climate,
    ) -> None:
        super().__init__(inputs, outputs, statistics, climate)
        widths = [self.channels, *[train.nn_width] * HIDDEN, self.count]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in pairwise(widths))

    def body(self, x: Tensor) -> Tensor:
        """See State."""
        x = x.permute(0, 2, 3, 1)
        for n, layer in enumerate(self.layers):
            x = layer(x if n == 0 else torch.relu(x))
        return x.permute(0, 3, 1, 2)


def trainable(train: NamTrain, levels: int, statistics: Statistics, climate: Climate) -> IncrementNetwork:
    """The network with fresh weights; see `models.families.trainable.build`."""
    inputs, outputs = specs(train, levels, statistics, climate)
    network = IncrementNetwork(train, inputs, outputs, climate, MlpState(train, inputs, outputs, statistics, climate))
    network.tolerance = TOLERANCE
    return network
