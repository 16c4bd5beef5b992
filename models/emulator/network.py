"""The emulator: from the state at one call of the network to the state at the next, differentiable."""

import torch
from torch import Tensor, nn

from models.families.trainable import PLACE
from models.settings import NamEmulator
from models.training.padding import Padding
from models.training.samples import Samples

MASKS = {"tmask": "T", "umask": "U", "vmask": "V"}
REACH = 3  # cells of the linear convolution: rotation and waves of a call, c = 3 m s-1
CORIOLIS = "ff_t"  # tells a row from another; its number does, where the data lack it


class Products(nn.Module):
    """A linear convolution, and others whose hidden channels are half linear, half products of two.

    Momentum and thickness equations are quadratic. With smooth activations in place of the products (GELU) the Jacobian was
    useless: see docs/pages/emulator.md.
    """

    def __init__(self, inputs: int, outputs: int, width: int, kernels: list[int]) -> None:
        super().__init__()
        self.half = width // 2
        sizes = [inputs] + [width] * (len(kernels) - 1)
        self.hidden = nn.ModuleList(
            nn.Conv2d(size, width + self.half, kernel) for size, kernel in zip(sizes[:-1], kernels[:-1], strict=True)
        )
        self.last = nn.Conv2d(sizes[-1], outputs, kernels[-1])
        radius = sum(kernel // 2 for kernel in kernels)
        self.cut = radius - min(radius, REACH)
        self.linear = nn.Conv2d(inputs, outputs, 2 * (radius - self.cut) + 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(n, inputs, J, I) to (n, outputs, J - 2 radius, I - 2 radius)."""
        inner = z[..., self.cut : z.shape[-2] - self.cut, self.cut : z.shape[-1] - self.cut]
        for convolution in self.hidden:
            mixed = convolution(z)
            plain, a, b = mixed.tensor_split((mixed.shape[1] - 2 * self.half, mixed.shape[1] - self.half), dim=1)
            z = torch.cat((plain, a * b), dim=1)
        return self.last(z) + self.linear(inner)


class Emulator(nn.Module):
    """x(next) = E(x + f T/2) + f T/2,   E(x) = x + change (N((x - mean)/std, masks, Coriolis) + b).

    T: seconds between two calls; f acts on the fields that it drives, half of it before E and half after (Strang), so that the
    ocean turns and spreads it as it does the state: f is known, and what is left to E does not depend on it. b: a number for
    each cell, the forcing. The ocean's second time level is not in x; what it does is part of the error.
    """

    def __init__(self, samples: Samples, switches: NamEmulator, seconds: float, seed: int) -> None:
        """seconds: between two calls of the network; seed: of the first weights."""
        super().__init__()
        kernels, channels = switches.nn_kernels, samples.channels
        self.channels = channels
        wet = samples.wet_inputs
        places = {(channel.name, channel.level): number for number, channel in enumerate(channels)}
        self.driven = [places[channel.name.removeprefix("d"), channel.level] for channel in samples.outputs]
        self.seconds = seconds
        place = samples.static.get(CORIOLIS, samples.static[PLACE[1]])
        place = place - place.mean()
        static = torch.cat([*(samples.static[mask] for mask in MASKS), place / place.abs().max().clamp(min=1e-30)])
        self.padding = Padding(
            samples.grid,
            sum(kernel // 2 for kernel in kernels),
            [channel.point for channel in channels],
            wet,
            [0.0] * len(channels),
            static,
            [*MASKS.values(), "T"],
            [0.0] * len(static),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Products(len(channels) + len(static), len(channels), switches.nn_width, kernels)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.forcing = nn.Parameter(torch.zeros(wet.shape))
        self.wet: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.change: Tensor
        self.register_buffer("wet", wet.float(), persistent=False)
        for name, value in (("mean", 0.0), ("std", 1.0), ("change", 1.0)):
            self.register_buffer(name, torch.full((len(channels), 1, 1), value))

    def scale(self, states: Tensor) -> None:
        """Mean, std and rms change from call to call, of trajectories (..., calls + 1, c, ny, nx), wet cells."""
        states = states.flatten(0, -5)
        cells = len(states) * states.shape[1] * self.wet.sum(dim=(1, 2), keepdim=True)
        self.mean.copy_((states * self.wet).double().sum(dim=(0, 1, 3, 4))[:, None, None] / cells)
        squares = ((states - self.mean) * self.wet).square().double().sum(dim=(0, 1, 3, 4))[:, None, None]
        self.std.copy_((squares / cells).sqrt())
        self.change.copy_(rms(states[:, 1:] - states[:, :-1], self.wet))

    def forward(self, x: Tensor, f: Tensor | None = None) -> Tensor:
        """States (n, c, ny, nx) and forces (n, o, ny, nx) [m s-2], None: no force, to the states at the next call."""
        half = None
        if f is not None:
            half = torch.zeros_like(x).index_add(1, torch.tensor(self.driven), f, alpha=0.5 * self.seconds) * self.wet
            x = x + half
        z = self.padding((x - self.mean) / self.std * self.wet).contiguous(memory_format=torch.channels_last)
        x = x + (self.network(z) + self.forcing) * self.change * self.wet
        return x if half is None else x + half


def rms(fields: Tensor, wet: Tensor) -> Tensor:
    """Root mean square over wet cells of fields (..., c, ny, nx), by channel: (c, 1, 1)."""
    squares = (fields * wet).square().double().flatten(0, -4).mean(dim=0).sum(dim=(1, 2), keepdim=True)
    return (squares / wet.sum(dim=(1, 2), keepdim=True)).sqrt().to(fields.dtype)
