"""Single states beside the windows: what a network answers far from the truth's trajectories stays as it was fitted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.training.loader import NOISE, ORDER, Batch
from models.training.module import View
from models.training.perturb import Perturbation, generator
from models.training.samples import Samples

SAMPLES = 4  # single states for each window of a batch


@dataclass(frozen=True)
class Anchor:
    """The loss of single states of the training part, with noise and stretching, in the unit of the offline training.

    Windows begin with states of the truth and stay near them for days; a run of years does not. Drawn by (seed, epoch, batch)
    alone, so that a training that goes on draws the same, and several ranks together what one would draw.
    """

    samples: Samples
    perturb: Perturbation | None
    view: View
    seed: int
    count: int

    def batch(self, epoch: int, number: int, rank: int = 0, ranks: int = 1) -> Batch:
        """This rank's share of `count` states."""
        key = self.seed, epoch, number
        part = torch.from_numpy(self.samples.train)
        drawn = torch.randint(len(part), (self.count,), generator=generator(ORDER, *key))
        index = part[drawn][rank::ranks]
        inputs, target = self.samples.inputs[index], self.samples.target[index]
        if self.perturb is not None and len(index):
            streams = [generator(NOISE, *key, place) for place in range(rank, self.count, ranks)]
            inputs, target = self.perturb(inputs, target, streams)
        return Batch(inputs, target, index, self.count, 0)

    def __call__(self, network: torch.nn.Module, epoch: int, number: int, rank: int = 0, ranks: int = 1) -> Tensor:
        """Sum over this rank's states over `count`."""
        batch = self.batch(epoch, number, rank, ranks)
        device = next(network.parameters()).device
        moved = batch._replace(inputs=batch.inputs.to(device), target=batch.target.to(device))
        return self.view(network, moved).sum() / self.count
