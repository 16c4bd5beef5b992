"""Input noise: its amplitude, its place, what the target then asks for, and to whom it belongs."""

import torch

from models.training.loader import Drawn, Key
from models.training.perturb import Amplification, Perturbation, generator
from models.training.samples import collect
from tests.training.synthetic import dataset, switches

STD = torch.tensor([0.1, 0.2, 50.0])
DAY = 86400.0


def perturbation(amplitude=0.2, restore=DAY):
    wet = torch.ones(3, 40, 50, dtype=torch.bool)
    wet[:, :10] = False
    return Perturbation(amplitude, restore, STD, wet, torch.tensor([0, 1]))


def perturbed(restore=DAY, key=1):
    inputs, target = torch.randn(1, 3, 40, 50), torch.zeros(1, 2, 40, 50)
    found, asked = perturbation(restore=restore)(inputs, target, [generator(key)])
    return (found - inputs)[0], asked[0]


def damps(noise, asked):
    """The tendency that is asked for removes the noise."""
    return float((noise[:2] * asked).sum()) < 0


def test_noise_is_white_of_the_input_s_std_on_wet_points():
    noise, _ = perturbed()
    assert (noise[:, :10] == 0).all()
    ratio = noise[:, 10:].std(dim=(1, 2)) / STD
    assert ratio.max() / ratio.min() < 1.1 and 0 < ratio.mean() <= 0.2
    amplitudes = [float(perturbed(key=n)[0][0, 10:].std() / 0.1) for n in range(200)]
    assert max(amplitudes) < 0.21 and 0.09 < sum(amplitudes) / 200 < 0.11  # U(0, 0.2)


def test_the_target_restores_in_a_day():
    """S - d/tau: stepping it for tau removes the noise. The twin with the wrong sign doubles it."""
    noise, asked = perturbed()
    assert torch.allclose(noise[:2] + DAY * asked, torch.zeros(2, 40, 50), atol=1e-5)
    assert damps(noise, asked) and not damps(noise, -asked)


def test_without_restoring_the_target_stays():
    noise, asked = perturbed(restore=0.0)
    assert (asked == 0).all() and not damps(noise, asked)


def test_noise_belongs_to_seed_epoch_and_sample():
    """The same in any batch, on any rank; another in the next epoch, sample or with another seed."""
    train, parts = switches()
    samples = collect({"a": dataset()}, train, parts)
    p = Perturbation(0.2, DAY, torch.ones(6), samples.wet_inputs, torch.arange(4))

    def drawn(epoch, indices, seed=1):
        return Drawn(samples, seed, p)[Key(epoch, indices, 4, 0)].inputs

    together = drawn(3, [5, 9])
    assert torch.equal(together[1], drawn(3, [9])[0])
    for other in (drawn(4, [9]), drawn(3, [9], seed=2)):
        assert not torch.equal(together[1], other[0])
    assert not torch.equal(together[0] - samples.inputs[5], together[1] - samples.inputs[9])


def stretched(restore=60 * DAY, sign=1):
    """A state whose departures from the mean were stretched, and what the target then asks for."""
    wet = torch.ones(2, 40, 50, dtype=torch.bool)
    mean = torch.full((2, 40, 50), 0.1)
    amplify = Amplification(0.4, sign * restore, mean)
    p = Perturbation(0.0, DAY, torch.ones(2), wet, torch.tensor([0, 1]), amplify)
    inputs, target = torch.randn(200, 2, 40, 50), torch.zeros(200, 2, 40, 50)
    found, asked = p(inputs, target, [generator(n) for n in range(200)])
    return inputs - mean, found - mean, asked


def test_stretched_states_come_back():
    """Stepping the target for the restoring time gives the state back; the wrong sign doubles the departure."""
    before, after, asked = stretched()
    assert torch.allclose(after + 60 * DAY * asked, before, atol=1e-4)
    _, wrong, asked = stretched(sign=-1)
    assert not torch.allclose(wrong + 60 * DAY * asked, before, atol=1e-4)


def test_stretching_is_once_for_a_state_and_more_often_up_than_down():
    before, after, _ = stretched()
    b = (after * before).sum((1, 2, 3)) / before.square().sum((1, 2, 3)) - 1
    assert torch.allclose(after, (1 + b)[:, None, None, None] * before, atol=1e-5)
    assert -0.2 <= b.min() < -0.15 and 0.35 < b.max() <= 0.4


def test_the_forcing_is_stretched_with_the_state():
    amplify = Amplification(0.4, DAY, torch.zeros(1, 4, 4))
    departure, factor = amplify(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1))
    assert torch.allclose(departure, torch.tensor(0.4)) and torch.allclose(factor, torch.tensor(1.4))
