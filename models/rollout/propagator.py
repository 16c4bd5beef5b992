"""What stands for the ocean's Jacobian from one call of the network to the next, where the ocean gives none."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from models.training.samples import Channel


class Propagator(Protocol):
    """State and force at a call of the network to the state at the next call; its gradient is used, its value is not.

    States x (n, c, ny, nx) are the channels that the network reads, physical units, 0 under land; forces f (n, o, ny, nx) its
    answers [m s-2], held until the next call.
    """

    def __call__(self, x: Tensor, f: Tensor) -> Tensor:
        """The state at the next call (n, c, ny, nx), differentiable in both."""

    def visited(self, version: int, x: Tensor, f: Tensor, x_next: Tensor) -> Mapping[str, float]:
        """The pairs that the ocean went through with a version, once for each, before the gradient is taken there.

        What is drawn at random is drawn by the seed and `version` alone. Returns numbers for the log.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that a training which goes on needs, as tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse."""


class Damped:
    """A state stays as it is or decays, a force adds to what it drives: d x' = damp d x + seconds d f (Yan et al. 2024).

    The adjoint of neither advection nor friction is in it; that of waves is where `adjustment` stands for what they leave.
    """

    def __init__(
        self,
        inputs: Sequence[Channel],
        outputs: Sequence[Channel],
        seconds: float,
        damp: float = 1.0,
        adjustment: "Adjustment | None" = None,
    ) -> None:
        """seconds: between two calls of the network; damp: what is left of a state's sensitivity after them."""
        places = {(channel.name, channel.level): number for number, channel in enumerate(inputs)}
        self.driven = torch.tensor([places[channel.name.removeprefix("d"), channel.level] for channel in outputs])
        self.seconds, self.damp, self.adjustment = seconds, damp, adjustment

    def __call__(self, x: Tensor, f: Tensor) -> Tensor:
        """See Propagator; masks are those of x and f."""
        force = f if self.adjustment is None else self.adjustment(f)
        return (self.damp * x).index_add(1, self.driven, force, alpha=self.seconds)

    def visited(self, version: int, x: Tensor, f: Tensor, x_next: Tensor) -> Mapping[str, float]:
        """Nothing is learnt."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


class Adjustment:
    """What of a force on (u, v) is left in the velocity when waves have carried off the rest: Rossby's adjustment.

        (k L)^2 / (1 + (k L)^2) of its part without divergence,   L the deformation radius

    since potential vorticity stays and gets curl F alone: (del^2 - 1/L^2) psi = curl F. The rest tilts layers, or is a wave.
    One L for all layers; wavenumbers of the C-grid's differences on the whole rectangle, land zero, edges as if cyclic.
    """

    def __init__(self, outputs: Sequence[Channel], wet: Tensor, spacing: float, radius: float) -> None:
        """Where forces are: wet (o, ny, nx); spacing, radius [m]."""
        number = {(channel.name[-1], channel.level): n for n, channel in enumerate(outputs)}
        levels = sorted({level for _, level in number})
        self.order = torch.tensor([number[name, level] for name in "uv" for level in levels])
        self.back, self.wet = self.order.argsort(), wet
        ny, nx = wet.shape[-2:]
        j, i = torch.meshgrid(torch.fft.fftfreq(ny), torch.fft.rfftfreq(nx), indexing="ij")  # cycles per cell
        ky, kx = (2 * torch.sin(torch.pi * cycles) / spacing for cycles in (j, i))
        shift = torch.exp(1j * torch.pi * (i - j))  # u lies half a cell to the east, v to the north
        cross = -kx * ky * shift
        self.matrix = (
            radius**2
            / (1 + (kx**2 + ky**2) * radius**2)
            * torch.stack((torch.stack((ky**2 + 0j, cross)), torch.stack((cross.conj(), kx**2 + 0j))))
        )

    def __call__(self, f: Tensor) -> Tensor:
        """Forces (n, o, ny, nx) to as many."""
        pair = torch.fft.rfft2(f[:, self.order]).unflatten(1, (2, -1))
        left = torch.fft.irfft2(torch.einsum("abjk,nbljk->naljk", self.matrix.to(pair.dtype), pair), s=f.shape[-2:])
        return torch.where(self.wet, left.flatten(1, 2)[:, self.back].to(f.dtype), 0.0)
