"""What geostrophic adjustment leaves of a force: rn_radius of cn_mode = 'adjoint_approx'."""

import pytest
import torch

from models.rollout.propagator import Adjustment
from models.training.samples import Channel


def smooth(shape, seed):
    """Random fields without the shortest waves."""
    spectrum = torch.fft.rfft2(torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    j, i = torch.fft.fftfreq(shape[-2]).abs()[:, None], torch.fft.rfftfreq(shape[-1])
    return torch.fft.irfft2(spectrum * ((j < 0.4) & (i < 0.4)), s=shape[-2:])


def adjusted(radius, shape=(1, 2, 24, 30)):
    """Forces with a potential and with a stream function on the C-grid, cells of 40 km, and what Adjustment leaves of them."""
    outputs = [Channel(f"d{name}", name.upper(), level, 2) for name in "uv" for level in range(2)]
    left = Adjustment(outputs, torch.ones(4, *shape[-2:], dtype=torch.bool), 4e4, radius)
    phi, psi = smooth(shape, 1), smooth(shape, 2)
    push = torch.cat([phi.roll(-1, -1) - phi, phi.roll(-1, -2) - phi], dim=1)
    turn = torch.cat([psi.roll(1, -2) - psi, psi - psi.roll(1, -1)], dim=1)
    return left, push, turn


def curl(force):
    u, v = force.split(2, dim=1)
    return (v.roll(-1, -1) - v) - (u.roll(-1, -2) - u)


def test_what_adjusts_is_what_potential_vorticity_says():
    """A push along a gradient leaves nothing; of a turn (del^2 - 1/L^2) psi = curl F holds, difference by difference.

    L of another size, and velocities taken to lie where T lies, are noticed.
    """
    left, push, turn = adjusted(3e4)

    def missed(balance):
        vorticity = curl(balance(turn))
        psi = torch.fft.irfft2(torch.fft.rfft2(vorticity) / square(), s=turn.shape[-2:])
        return float((vorticity + psi / 3e4**2 - curl(turn)).square().mean() / curl(turn).square().mean())

    def square():
        j, i = torch.fft.fftfreq(24, dtype=torch.float64)[:, None], torch.fft.rfftfreq(30, dtype=torch.float64)
        found = sum((2 * torch.sin(torch.pi * part) / 4e4) ** 2 for part in (i, j))
        return torch.where(found > 0, found, 1.0)

    assert float(left(push).abs().max()) < 1e-5 * float(push.abs().max()) and missed(left) < 1e-10
    assert missed(adjusted(6e4)[0]) > 0.01
    left.matrix = left.matrix.abs() * torch.sign(left.matrix.real)
    assert float(left(push).abs().max()) > 0.01 * float(push.abs().max())


def test_adjustment_is_its_own_adjoint_and_stays_at_sea():
    left, one, other = adjusted(4e4)
    assert float((left(one + other) * other).sum()) == pytest.approx(
        float(((one + other) * left(other)).sum()), rel=1e-6
    )
    left.wet = left.wet.clone()
    left.wet[:, 3] = False
    assert not left(other)[:, :, 3].any() and left(other)[:, :, 4].any()
