"""Single states beside the windows: the same states on any number of ranks and after a restart, the loss of the offline fit."""

import numpy as np
import torch

from models.settings import NamTrain
from models.training.anchor import Anchor
from models.training.losses import Loss
from models.training.module import View
from models.training.perturb import Perturbation


class Record:
    """What an Anchor reads of samples: ten states of one channel on 3 x 4 cells, their targets, and which are for training."""

    def __init__(self, train: int) -> None:
        stream = torch.Generator().manual_seed(3)
        self.inputs = torch.randn((10, 1, 3, 4), generator=stream)
        self.target = torch.randn((10, 1, 3, 4), generator=stream)
        self.train = np.arange(train)


class Scale(torch.nn.Module):
    """A network of one weight, N(x) = 0.5 x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x


def anchor(amplitude: float = 0.5, seed: int = 1, train: int = 8) -> Anchor:
    """Batches of six of the first `train` states, with noise up to `amplitude` that targets restore in 100 s."""
    wet = torch.ones((1, 3, 4), dtype=torch.bool)
    perturb = Perturbation(amplitude, 100.0, torch.ones(1), wet, torch.tensor([0]))
    view = View(torch.nn.Identity(), Loss(NamTrain(), torch.ones(1), wet))
    return Anchor(Record(train), perturb if amplitude else None, view, seed, 6)  # type: ignore[arg-type]  # what it reads of it


def test_ranks_together_draw_what_one_draws():
    """States, targets and noise, in turns; the broken twin, a rank that does not know which one it is, draws another half."""
    whole = anchor().batch(epoch=2, number=5)
    first, second = (anchor().batch(epoch=2, number=5, rank=rank, ranks=2) for rank in range(2))
    for name in ("inputs", "target", "index"):
        joined, twice = (
            torch.stack([getattr(first, name), getattr(other, name)], dim=1).flatten(0, 1) for other in (second, first)
        )
        assert torch.equal(joined, getattr(whole, name))
        assert not torch.equal(twice, getattr(whole, name))


def test_the_draw_belongs_to_seed_epoch_and_batch():
    """To these alone: a training that goes on draws the same again, and another batch, epoch or seed draws another."""
    first = anchor(seed=1).batch(epoch=2, number=5).inputs
    assert torch.equal(first, anchor(seed=1).batch(epoch=2, number=5).inputs)
    for other in (anchor(seed=1).batch(2, 6), anchor(seed=1).batch(3, 5), anchor(seed=2).batch(2, 5)):
        assert not torch.equal(first, other.inputs)


def test_only_training_states_are_drawn():
    """All of them in forty batches; of a record whose every state is for training the last one, too."""

    def drawn(train: int) -> set[int]:
        return {int(index) for number in range(40) for index in anchor(train=train).batch(0, number).index}

    assert drawn(8) == set(range(8))
    assert drawn(10) == set(range(10))


def test_its_loss_is_that_of_the_offline_fit():
    """The mean over states, also as the sum of what two ranks have; the mean over a rank's own states, the twin, is not."""
    network, one = Scale(), anchor(amplitude=0.0)
    batch = one.batch(epoch=0, number=0)
    squares = (0.5 * batch.inputs - batch.target).square()
    first, second = (one(network, 0, 0, rank, 2) for rank in range(2))
    assert torch.allclose(one(network, 0, 0), squares.mean())
    assert torch.allclose(first + second, squares.mean())
    assert torch.allclose(2 * first, squares[::2].mean()) and not torch.allclose(2 * first, squares.mean())


def test_states_come_with_noise_that_the_target_restores():
    """Over 100 s. The broken variant, noise whose targets stay, asks for the true state's tendency at another state."""
    noisy, plain = (anchor(amplitude).batch(epoch=1, number=1) for amplitude in (0.5, 0.0))
    moved = noisy.inputs - plain.inputs
    assert moved.std() > 0.05
    assert torch.allclose(noisy.target, plain.target - moved / 100.0, atol=1e-6)
    assert not torch.allclose(noisy.target, plain.target, atol=1e-6)
