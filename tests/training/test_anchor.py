"""Single states beside the windows: the same states on any number of ranks and after a restart, the loss of the offline fit."""

import torch

from models.settings import NamTrain
from models.training.anchor import Anchor
from models.training.loader import Batch
from models.training.losses import Loss
from models.training.module import View
from models.training.perturb import Perturbation


class Record:
    """Ten states of one channel on 3 x 4 cells and their targets, the first eight for training."""

    def __init__(self) -> None:
        stream = torch.Generator().manual_seed(3)
        self.inputs = torch.randn((10, 1, 3, 4), generator=stream)
        self.target = torch.randn((10, 1, 3, 4), generator=stream)
        self.train = torch.arange(8).numpy()


class Scale(torch.nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x


def anchor(amplitude: float = 0.5, seed: int = 1) -> Anchor:
    wet = torch.ones((1, 3, 4), dtype=torch.bool)
    perturb = Perturbation(amplitude, 100.0, torch.ones(1), wet, torch.tensor([0]))
    view = View(torch.nn.Identity(), Loss(NamTrain(), torch.ones(1), wet))
    return Anchor(Record(), perturb if amplitude else None, view, seed, 6)  # type: ignore[arg-type]  # what it reads of it


def test_ranks_together_draw_what_one_draws():
    whole = anchor().batch(epoch=2, number=5)
    shares = [anchor().batch(2, 5, rank, 2) for rank in range(2)]
    for name in ("inputs", "target", "index"):
        joined = torch.stack([getattr(share, name) for share in shares], dim=1).flatten(0, 1)
        assert torch.equal(joined, getattr(whole, name))


def test_the_draw_belongs_to_seed_epoch_and_batch():
    first = anchor().batch(2, 5).inputs
    assert torch.equal(first, anchor().batch(2, 5).inputs)
    assert all(not torch.equal(first, other) for other in (anchor().batch(2, 6).inputs, anchor().batch(3, 5).inputs))
    assert not torch.equal(first, anchor(seed=2).batch(2, 5).inputs)


def test_only_training_states_are_drawn():
    assert max(int(anchor().batch(0, number).index.max()) for number in range(40)) == 7


def test_its_loss_is_that_of_the_offline_fit():
    network, one = Scale(), anchor(amplitude=0.0)
    batch = one.batch(0, 0)
    expected = (0.5 * batch.inputs - batch.target).square().mean()
    assert torch.allclose(one(network, 0, 0), expected)
    assert torch.allclose(one(network, 0, 0, 0, 2) + one(network, 0, 0, 1, 2), expected)


def test_states_come_with_noise_that_the_target_restores():
    """The broken variant, noise without restoring targets, asks for the true state's tendency at another state."""
    noisy, plain = anchor(0.5).batch(1, 1), anchor(0.0).batch(1, 1)
    moved = noisy.inputs - plain.inputs
    assert moved.std() > 0.05
    assert torch.allclose(noisy.target - plain.target, -moved / 100.0, atol=1e-6)
    assert isinstance(noisy, Batch)
