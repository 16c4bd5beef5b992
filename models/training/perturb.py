"""Noise on the inputs with a target that restores: the network learns to damp what is not of the flow."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


def generator(*key: int) -> torch.Generator:
    """A random stream that belongs to `key` (seed, epoch, sample) and to nothing else: not to ranks, batches or history."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


@dataclass(frozen=True)
class Amplification:
    """x + b (x - mean) and (1 + b) S - b (x - mean)/restore, with b ~ U(-amplitude/2, amplitude) once for a sample.

    mean (c, ny, nx) of the training states, restore as in Perturbation. A state of more energy than the truth's is
    answered by more of the same forcing, and by damping, one of less by the opposite: the energy of a coupled run stays where
    the truth has it.
    """

    amplitude: float
    restore: float
    mean: Tensor

    def __call__(self, inputs: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Departures b (x - mean) (n, c, ny, nx) of states, b (n, 1, 1, 1) in 0 to 1, and the factor 1 + b of the target."""
        b = (1.5 * b - 0.5) * self.amplitude
        return b * (inputs - self.mean), 1.0 + b


@dataclass(frozen=True)
class Perturbation:
    """x + d and S - d/restore, with d = a std n, n standard normal on wet points, and a ~ U(0, amplitude) once for a sample.

    restore is in the unit of time of the target: seconds of a tendency [units s-1], windows of an increment [units per window].
    std (c,) is that of each input [field units]; wet (c, ny, nx); restored (o,) is the input channel that an output drives,
    -1 for none; restore 0: the target stays. Without it the target would ask for the tendency of the true state only;
    with it a departure from the states of the truth decays in the time `restore`. amplify: before the noise.
    """

    amplitude: float
    restore: float
    std: Tensor
    wet: Tensor
    restored: Tensor
    amplify: Amplification | None = None

    def __call__(self, inputs: Tensor, target: Tensor, streams: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Samples (n, c, ny, nx) and targets (n, o, ny, nx), perturbed each from its own stream; both new."""
        if self.amplify is not None:
            b = torch.stack([torch.rand((1, 1, 1), generator=stream) for stream in streams])
            departure, factor = self.amplify(inputs, b)
            inputs, target = inputs + departure * self.wet, target * factor
            target[:, self.driven] -= departure[:, self.driving] / self.amplify.restore
        noise, a = torch.empty_like(inputs), torch.empty(len(inputs), 1, 1, 1)
        for n, stream in enumerate(streams):
            torch.rand((1, 1, 1), generator=stream, out=a[n])
            torch.randn(inputs.shape[1:], generator=stream, out=noise[n])
        noise *= self.scale
        noise *= a
        if self.restore > 0:
            target = target.clone()
            target[:, self.driven] -= noise[:, self.driving] / self.restore
        return inputs + noise, target

    @cached_property
    def scale(self) -> Tensor:
        """Largest std of the noise (c, ny, nx), zero on land."""
        return self.amplitude * self.std[:, None, None] * self.wet

    @cached_property
    def driven(self) -> Tensor:
        """Outputs that drive an input."""
        return (self.restored >= 0).nonzero()[:, 0]

    @cached_property
    def driving(self) -> Tensor:
        """The inputs that they drive."""
        return self.restored[self.driven]
