"""Energies, enstrophy and isotropic spectra of the two-layer model, and growth rates of its runs."""

import math

import torch
from torch import Tensor

from models.qg.model import Model


class Diagnostics:
    """Of states (..., 2, n, n) [s-1] of one model. Means are over the square, per unit of mass of a layer unless it says so."""

    def __init__(self, model: Model) -> None:
        n = model.n
        self.model = model
        whole = torch.fft.fftfreq(n, 1.0 / n)[:, None], torch.fft.rfftfreq(n, 1.0 / n)[None, :]
        shell = torch.hypot(*whole).round().long()
        twice = torch.full((n // 2 + 1,), 2.0, dtype=model.dtype)  # rfft keeps half of the plane
        twice[0] = twice[-1] = 1.0
        self.weight = twice.to(model.device) / n**4
        self.free = self.weight * (model.filter == 1)
        self.squared = (model.wavenumber**2).to(model.device, model.dtype)
        one_hot = torch.nn.functional.one_hot(shell.clamp(max=n // 2 + 1), n // 2 + 2)[..., : n // 2 + 1]
        self.shells = one_hot.flatten(0, 1).to(model.device, model.dtype)

    def _psi(self, q: Tensor) -> Tensor:
        return self.model.stream_function(self.model.to_spectral(q))

    def _power(self, spectrum: Tensor) -> Tensor:
        """Squared amplitudes whose sum over a plane is the mean square of the field."""
        return (spectrum.real.square() + spectrum.imag.square()) * self.weight

    def kinetic(self, q: Tensor) -> Tensor:
        """Kinetic energy (..., 2) [m2 s-2] of each layer."""
        return 0.5 * (self.squared * self._power(self._psi(q))).sum(dim=(-2, -1))

    def kinetic_spectrum(self, q: Tensor) -> Tensor:
        """The same over shells of |k| = 0 ... n/2 waves (..., 2, n/2 + 1)."""
        return 0.5 * (self.squared * self._power(self._psi(q))).flatten(-2) @ self.shells

    def potential(self, q: Tensor) -> Tensor:
        """Available potential energy (...) [m2 s-2] of the whole column: H1/H F1 (psi_1 - psi_2)^2 / 2."""
        p, psi = self.model.parameters, self._psi(q)
        return 0.5 * p.share[0] * p.f1 * self._power(psi[..., 0, :, :] - psi[..., 1, :, :]).sum(dim=(-2, -1))

    def energy(self, q: Tensor) -> Tensor:
        """All energy (...) [m2 s-2] of the column, weighted by thickness: conserved without shear, drag and filter."""
        share = torch.tensor(self.model.parameters.share, dtype=self.model.dtype, device=q.device)
        return (share * self.kinetic(q)).sum(dim=-1) + self.potential(q)

    def enstrophy(self, q: Tensor) -> Tensor:
        """Mean of q^2/2 (..., 2) [s-2] of each layer: conserved without mean gradient, drag and filter."""
        return 0.5 * self._power(self.model.to_spectral(q)).sum(dim=(-2, -1))

    def free_square(self, q: Tensor) -> Tensor:
        """Mean of q^2 (..., 2) [s-2] of the waves that the model's filter leaves alone, |k| dx <= 0.65 pi."""
        spectrum = self.model.to_spectral(q)
        return ((spectrum.real.square() + spectrum.imag.square()) * self.free).sum(dim=(-2, -1))

    def enstrophy_spectrum(self, q: Tensor) -> Tensor:
        """The same over shells (..., 2, n/2 + 1)."""
        return 0.5 * self._power(self.model.to_spectral(q)).flatten(-2) @ self.shells

    def amplitude(self, q: Tensor, k: int, l: int) -> Tensor:  # noqa: E741
        """Amplitude (..., 2) [s-1] of the wave of k and l waves in the square."""
        return self.model.to_spectral(q)[..., l, k].abs() / self.model.n**2


def growth_rate(model: Model, q: Tensor, k: int, l: int, spin: int, steps: int) -> float:  # noqa: E741
    """Growth rate [s-1] of a wave's amplitude in the upper layer over `steps` steps of the model, after `spin` steps."""
    diagnostics = Diagnostics(model)
    with torch.no_grad():
        q = model.after(q, spin)
        first = float(diagnostics.amplitude(q, k, l)[..., 0])
        last = float(diagnostics.amplitude(model.after(q, steps), k, l)[..., 0])
    return math.log(last / first) / (steps * model.dt)
