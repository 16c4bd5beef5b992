"""Losses: one number per sample, over wet points, of targets in units of their rms."""

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from models.settings import NamTrain

SMALL = 1e-6  # of the target's mean spectral power: logarithms stay finite
TRUSTED = 2 / 3  # of the Nyquist wavenumber: the spectrum's range


class Loss(torch.nn.Module):
    """Mean over wet points of a sample of

        mse    (p - y)^2                huber  y - p quadratic below 1, linear above
        nll    -ln q + q^2 (y - p)^2/2  p, q: mean and 1/std (Guillaumin and Zanna 2021)

    each times the point's weight (1 + |y|)^tails / mean, plus `spectral` times the mean over wavenumbers of
    (log10 P(p)/P(y))^2; y and p in units of each channel's rms.
    """  # noqa: D415

    def __init__(self, train: NamTrain, rms: Tensor, wet: Tensor, tail_mean: float = 1.0) -> None:
        """Units rms (o,) [m s-2]; wet (o, ny, nx): where the loss looks; tail_mean: of (1 + |y|)^tails over the training."""
        super().__init__()
        self.kind, self.spectral, self.tails, self.tail_mean = (
            train.cn_loss,
            train.rn_spectral,
            train.rn_tails,
            tail_mean,
        )
        self.rms: Tensor
        self.weight: Tensor
        self.register_buffer("rms", rms[:, None, None].float(), persistent=False)
        self.register_buffer("weight", wet.float() / wet.sum(), persistent=False)
        self.spectrum = Spectrum(*wet.shape[-2:]) if self.spectral else None

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Of a prediction (n, o or 2 o, ny, nx) of a target (n, o, ny, nx) [m s-2]: (n,). What lies on land does not matter."""
        outputs, wet = target.shape[1], self.weight > 0
        p, y = (torch.where(wet, field / self.rms, 0.0) for field in (prediction[:, :outputs], target))
        if self.kind == "mse":
            each = (p - y).square()
        elif self.kind == "huber":
            each = huber_loss(p, y, reduction="none")
        else:
            q = torch.where(
                wet, prediction[:, outputs:] * self.rms, 1.0
            )  # before the logarithm: 1/std may be 0 on land
            each = 0.5 * (q * (y - p)).square() - q.log()
        if self.tails:
            each = each * ((1 + y.abs()) ** self.tails / self.tail_mean)
        loss = (each * self.weight).sum(dim=(1, 2, 3))
        if self.spectrum is not None:
            loss = loss + self.spectral * self.spectrum.distance(p, y)
        return loss


def tail_mean(target: Tensor, rms: Tensor, wet: Tensor, power: float) -> float:
    """Mean of (1 + |y|)^power over wet points, y in units of rms; target (n, o, ny, nx)."""
    if not power:
        return 1.0
    y = (target / rms[:, None, None]).abs()
    return float(((1 + y) ** power)[:, wet].double().mean())


class Spectrum(torch.nn.Module):
    """Isotropic power spectra of Hann-windowed fields; wavenumbers 1 .. 2/3 Nyquist in cycles per (shorter) basin."""

    def __init__(self, ny: int, nx: int) -> None:
        super().__init__()
        side = min(ny, nx)
        kj, ki = torch.fft.fftfreq(ny) * side, torch.fft.rfftfreq(nx) * side
        k = torch.hypot(kj[:, None], ki[None, :]).round().long()
        top = max(1, int(TRUSTED * side / 2))
        # rfft keeps half of the plane: columns that stand for two count twice
        twice = torch.full((nx // 2 + 1,), 2.0)
        twice[0] = 1.0
        if nx % 2 == 0:
            twice[-1] = 1.0
        shells = torch.nn.functional.one_hot(k.clamp(max=top + 1), top + 2)[..., 1 : top + 1] * twice[None, :, None]
        self.window: Tensor
        self.shells: Tensor
        hann = [torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2 for n in (ny, nx)]
        self.register_buffer("window", torch.outer(*hann), persistent=False)
        self.register_buffer("shells", shells.flatten(0, 1).float(), persistent=False)

    def power(self, field: Tensor) -> Tensor:
        """(..., ny, nx) to (..., wavenumber): squared amplitudes summed over shells of |k|."""
        amplitude = torch.fft.rfft2(field * self.window, norm="forward")
        return (amplitude.real.square() + amplitude.imag.square()).flatten(-2) @ self.shells

    def distance(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(n, o, ny, nx) twice to (n,): mean over channels and wavenumbers of (log10 of the ratio of power)^2."""
        p, y = self.power(prediction), self.power(target)
        floor = SMALL * y.mean(dim=-1, keepdim=True) + torch.finfo(y.dtype).tiny
        return (torch.log10(p + floor) - torch.log10(y + floor)).square().mean(dim=(1, 2))
