"""The loss of trajectories: states, energies of layers and spectra of velocity at the end of a stretch, against the truth."""

from typing import Protocol

import torch
from torch import Tensor

from models.training.losses import Spectrum


class Weights(Protocol):
    """The weights of its parts, as &namonline and &namadjoint have them."""

    @property
    def rn_state(self) -> float:
        """Of the states' error."""

    @property
    def rn_energy(self) -> float:
        """Of (energy of a layer / true energy - 1)^2."""

    @property
    def rn_spectra(self) -> float:
        """Of the log-spectra's error of velocity."""


class TrajectoryLoss(torch.nn.Module):
    """Of states u, v, h with all their levels, in this order:

    rn_state    mean over wet points of ((x - y) / change)^2
    rn_energy   mean over layers of (sum of u^2 + v^2 / true sum - 1)^2
    rn_spectra  mean over velocities and wavenumbers of (log10 of the ratio of power)^2
    """  # noqa: D415

    def __init__(self, weights: Weights, change: Tensor, wet: Tensor, levels: int) -> None:
        """Unit of the states' error: `change` (c,), that of persistence; wet (c, ny, nx): 1 in the ocean."""
        super().__init__()
        self.weights, self.levels = weights, levels
        self.change: Tensor
        self.weight: Tensor
        self.register_buffer("change", change[:, None, None], persistent=False)
        self.register_buffer("weight", wet / wet.sum(), persistent=False)
        self.spectrum = Spectrum(*wet.shape[-2:]) if weights.rn_spectra else None

    def forward(self, forecast: Tensor, truth: Tensor) -> Tensor:
        """States (n, c, ny, nx) [own units] twice to the weighted sum of the three errors of each (n,)."""
        weights, levels = self.weights, self.levels
        loss = weights.rn_state * self.squared(forecast, truth)
        if weights.rn_energy:
            energy, wanted = (
                x[:, : 2 * levels].square().unflatten(1, (2, levels)).sum(dim=(1, 3, 4)) for x in (forecast, truth)
            )
            loss = loss + weights.rn_energy * (energy / wanted - 1.0).square().mean(dim=1)
        if self.spectrum is not None:
            flow = self.change[: 2 * levels]
            pair = (
                torch.where(self.weight[: 2 * levels] > 0, x[:, : 2 * levels] / flow, 0.0) for x in (forecast, truth)
            )
            loss = loss + weights.rn_spectra * self.spectrum.distance(*pair)
        return loss

    def squared(self, forecast: Tensor, truth: Tensor) -> Tensor:
        """The states' error of each (n,): 1 is that of persistence."""
        scaled = torch.where(self.weight > 0, (forecast - truth) / self.change, 0.0)
        return (scaled.square() * self.weight).sum(dim=(1, 2, 3))
