"""Losses against hand-computed values, and the spectrum against plane waves."""

import math

import pytest
import torch

from models.training.losses import Loss, Spectrum, tail_mean
from tests.training.synthetic import switches

RMS = torch.tensor([2.0, 5.0])
WET = torch.zeros(2, 6, 7, dtype=torch.bool)
WET[0, 1:5, 1:6], WET[1, 2:5, 1:6] = True, True


def fields(channels=2):
    stream = torch.Generator().manual_seed(3)
    return torch.randn(4, channels, 6, 7, generator=stream), torch.randn(4, 2, 6, 7, generator=stream)


def loss(prediction, target, wet=WET, mean=1.0, **changes):
    return Loss(switches(**changes)[0], RMS, wet, mean)(prediction, target)


def by_hand(point):
    """Mean over wet points of point(p, y) in units of rms, one number per sample."""
    p, y = fields()
    total = [[point(p[n, c][WET[c]] / RMS[c], y[n, c][WET[c]] / RMS[c]).sum() for c in range(2)] for n in range(4)]
    return torch.tensor([sum(row) for row in total]) / WET.sum()


def test_mse():
    assert torch.allclose(loss(*fields()), by_hand(lambda p, y: (p - y) ** 2))


def test_huber():
    def point(p, y):
        e = (p - y).abs()
        return torch.where(e < 1, 0.5 * e**2, e - 0.5)

    assert torch.allclose(loss(*fields(), cn_loss="huber"), by_hand(point))


def test_nll_has_its_minimum_at_the_true_spread():
    """-ln q + q^2 e^2 / 2 with q = 1/std: least at q = 1/|e|, not at 1/sqrt|e|."""
    error = 0.3
    target = torch.zeros(1, 2, 6, 7)

    def at(q):
        mean = error * RMS[:, None, None].expand(1, 2, 6, 7)
        precision = (q / RMS)[:, None, None].expand(1, 2, 6, 7)
        return float(loss(torch.cat((mean, precision), 1), target, cn_loss="nll", cn_family="gz21")[0])

    assert at(1 / error) == pytest.approx(math.log(error) + 0.5, rel=1e-5)
    assert at(1 / error) < min(at(0.9 / error), at(1.1 / error), at(1 / math.sqrt(error)))


@pytest.mark.parametrize("kind", ["mse", "huber", "nll"])
def test_land_does_not_matter(kind):
    """Neither values nor gradients under land reach the loss; the twin that forgets the mask sees them."""
    prediction, target = fields(4 if kind == "nll" else 2)
    prediction = prediction.abs()
    spoilt = prediction.clone()
    spoilt[:, 0, 0, 0] = math.inf
    if kind == "nll":
        spoilt[:, 2, 0, 0] = 0.0
    changes = {"cn_loss": kind, "rn_spectral": 0.1, "rn_tails": 0.5}
    spoilt.requires_grad_()
    found = loss(spoilt, target, **changes)
    assert torch.equal(found.detach(), loss(prediction, target, **changes))
    assert torch.autograd.grad(found.sum(), spoilt)[0].isfinite().all()
    forgotten = loss(spoilt, target, wet=torch.ones_like(WET), **changes)
    assert not torch.allclose(found, forgotten)


def test_tails_weigh_large_targets():
    """(1 + |y|)^2 over its mean: equal errors at every point keep their mean."""
    _, target = fields()
    mean = tail_mean(target, RMS, WET, 2.0)
    even = loss(target + RMS[:, None, None], target, rn_tails=2.0, mean=mean)
    assert float(even.mean()) == pytest.approx(1.0, rel=1e-5)
    large = target.abs() / RMS[:, None, None] > 1
    there, elsewhere = (torch.where(where, 1.0, 0.0) * RMS[:, None, None] for where in (large, ~large))
    ratio = [float(loss(target + e, target, rn_tails=t, mean=1.0).mean() / loss(target + e, target).mean())
             for e in (there, elsewhere) for t in (2.0,)]  # fmt: skip
    assert ratio[0] > 4 > ratio[1]


def test_spectrum_of_a_wave_stands_at_its_wavenumber():
    """A wave of 5 cycles along x and 0 along y: Hann's window spreads it to 4, 5, 6 and no further."""
    n = 48
    x = torch.arange(n) / n
    power = Spectrum(n, n).power(torch.sin(2 * math.pi * 5 * x).expand(n, n))
    assert int(power.argmax()) + 1 == 5
    assert float(power[3:6].sum() / power.sum()) > 0.99


def test_the_spectral_term_is_the_squared_log_ratio():
    """Half the amplitude is log10(4) in power, whatever the field; equal spectra cost nothing, also shifted in sign."""
    field = torch.randn(3, 2, 32, 40, generator=torch.Generator().manual_seed(1))
    spectrum = Spectrum(32, 40)
    assert torch.allclose(spectrum.distance(0.5 * field, field), torch.tensor(math.log10(4) ** 2), rtol=1e-3)
    assert float(spectrum.distance(-field, field).max()) < 1e-9
    assert float(spectrum.distance(field.roll(1, 0), field).min()) > 1e-3
