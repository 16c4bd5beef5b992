"""The closure: a small convolutional network on the periodic square."""

from itertools import pairwise

import torch
from torch import Tensor

from models.settings import NamTrain


class Network(torch.nn.Module):
    """States q (n, 2, ny, nx) [s-1] of both layers to S (n, 2, ny, nx) [s-2], added to dq/dt; its mean over the square is zero.

    Circular padding; inputs in standard deviations, outputs in rms of the target; both are buffers and travel with the weights. A
    fresh network answers zero.
    """

    def __init__(self, train: NamTrain, scale: Tensor, rms: Tensor) -> None:
        """Scale (2,) of q [s-1], rms (2,) of the residual [s-2]."""
        super().__init__()
        self.scale: Tensor
        self.rms: Tensor
        self.register_buffer("scale", scale.float()[:, None, None])
        self.register_buffer("rms", rms.float()[:, None, None])
        widths = [2, *[train.nn_width] * (len(train.nn_kernels) - 1), 2]
        layers: list[torch.nn.Module] = []
        for (before, after), kernel in zip(pairwise(widths), train.nn_kernels, strict=True):
            layers += [
                torch.nn.Conv2d(before, after, kernel, padding=kernel // 2, padding_mode="circular"),
                torch.nn.GELU(),
            ]
        self.layers = torch.nn.Sequential(*layers[:-1])
        last = self.layers[-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)

    def forward(self, q: Tensor) -> Tensor:
        """See the class."""
        found = self.layers(q / self.scale)
        return self.rms * (found - found.mean(dim=(-2, -1), keepdim=True))


def fresh(train: NamTrain, scale: Tensor, rms: Tensor) -> Network:
    """The network of &namtrain with first weights from nn_seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.nn_seed)
        return Network(train, scale, rms)
