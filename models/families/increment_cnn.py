"""Increments from the state round a cell, by dilated convolutions with residual connections: the family `increment_cnn`.

Dilations let few layers see far: 3 x 3 with 1, 1, 2, 4, 2, 1 has radius 11. No normalisation over the batch or the field, no
padding: a cut field gives the bits of the whole.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from coupler.contract import InputSpec, OutputSpec
from coupler.errors import HaloclineError
from models.data.statistics import Statistics
from models.families.increment import Climate, IncrementNetwork, State, specs
from models.families.trainable import crop
from models.settings import NamTrain


class Dilated(torch.nn.Module):
    """Convolutions without padding, ReLU between them, the last linear; between layers of one width x + ReLU(conv(x)).

    (n, channels_in, J, I) to (n, channels_out, J - 2 radius, I - 2 radius), radius = sum of dilation (kernel - 1) / 2.
    """

    def __init__(
        self, channels_in: int, width: int, kernels: Sequence[int], dilations: Sequence[int], channels_out: int
    ) -> None:
        super().__init__()
        widths = [channels_in, *[width] * (len(kernels) - 1), channels_out]
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(widths[n], widths[n + 1], kernel, dilation=dilation)
            for n, (kernel, dilation) in enumerate(zip(kernels, dilations, strict=True))
        )
        self.crops = [dilation * (kernel // 2) for kernel, dilation in zip(kernels, dilations, strict=True)]
        self.radius = sum(self.crops)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        last = len(self.layers) - 1
        for n, (layer, margin) in enumerate(zip(self.layers, self.crops, strict=True)):
            y = layer(x)
            if n < last:
                y = torch.relu(y)
                y = y + crop(x, margin) if 0 < n else y
            x = y
        return x


class CnnState(State):
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
        self.trunk = Dilated(self.channels, train.nn_width, *recipe(train), self.count)
        self.radius = self.trunk.radius

    def body(self, x: Tensor) -> Tensor:
        """See State."""
        y: Tensor = self.trunk(x)
        return y


def recipe(train: NamTrain) -> tuple[list[int], list[int]]:
    """Kernels and dilations of the layers: one number stands for all. HaloclineError where their counts differ."""
    kernels, dilations = list(train.nn_kernels), list(train.nn_dilations)
    count = max(len(kernels), len(dilations))
    if any(dilation < 1 for dilation in dilations) or {len(kernels), len(dilations)} - {1, count}:
        raise HaloclineError(
            f"nn_kernels = {kernels} and nn_dilations = {dilations}: one number for each layer, or one for all; dilations "
            f"from 1.\n  {train.where('nn_dilations')}. A recipe that works: nn_kernels = 3, nn_dilations = 1, 1, 2, 4, 2, 1."
        )
    kernels, dilations = (values * count if len(values) == 1 else values for values in (kernels, dilations))
    return kernels, dilations


def trainable(train: NamTrain, levels: int, statistics: Statistics, climate: Climate) -> IncrementNetwork:
    """The network with fresh weights; see `models.families.trainable.build`."""
    inputs, outputs = specs(train, levels, statistics, climate)
    return IncrementNetwork(train, inputs, outputs, climate, CnnState(train, inputs, outputs, statistics, climate))
