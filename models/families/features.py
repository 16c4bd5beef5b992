"""What convolutions read and what they are: standardised fields with masks beside them, and layers without padding."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coupler.contract import InputSpec
from models.data.statistics import Statistics
from models.families.trainable import FIELDS, MASKS, ODD, POINTS, crop, standard

DIFFERENCE = 0.3  # std of the difference of neighbours over the std of a velocity: a scale, the weights do the rest


class Features(torch.nn.Module):
    """Inputs by name to the channels (n, channels, J - 2 crop, I - 2 crop) that convolutions read: standardised, then masks.

    A standardised field is exactly zero under land and outside the domain, whatever its fill. `galilean`: velocities enter
    as differences of wet neighbours (zero where one is dry), so that a constant added to all wet points is not seen.
    """

    def __init__(self, inputs: Sequence[InputSpec], statistics: Statistics, galilean: bool = False) -> None:
        super().__init__()
        self.galilean, self.crop = galilean, int(galilean)
        self.fields = {spec.name: MASKS[spec.point] for spec in inputs if spec.name in FIELDS}
        self.channels = len(POINTS)
        for spec in inputs:
            if spec.name not in FIELDS:
                continue
            levels, differences = int(spec.levels), galilean and spec.name in ("u", "v")
            self.channels += levels * (2 if differences else 1)
            mean, scale = standard(spec.name, levels, statistics)
            scale = [s * DIFFERENCE for s in scale] if differences else scale
            self.register_buffer(f"mean_{spec.name}", torch.tensor(mean)[:, None, None])
            self.register_buffer(f"inverse_{spec.name}", 1.0 / torch.tensor(scale)[:, None, None])

    def forward(self, fields: dict[str, Tensor]) -> Tensor:
        """See the class."""
        parts = []
        for name, mask in self.fields.items():
            x, wet, inverse = fields[name], fields[mask], getattr(self, f"inverse_{name}")
            if self.galilean and name in ("u", "v"):
                parts += [inverse * part for part in differences(x, wet)]
            elif name in ODD:
                parts.append(crop(x * wet, self.crop) * inverse)
            else:
                parts.append(crop((x - getattr(self, f"mean_{name}")) * wet, self.crop) * inverse)
        return torch.cat([*parts, *(crop(fields[mask], self.crop) for mask in POINTS)], dim=1)


def differences(x: Tensor, wet: Tensor) -> tuple[Tensor, Tensor]:
    """x(i) - x(i - 1) and x(j + 1) - x(j) where both points are wet, else zero: (..., J - 2, I - 2)."""
    here, mask = crop(x, 1), crop(wet, 1)
    return (
        (here - x[..., 1:-1, :-2]) * (mask * wet[..., 1:-1, :-2]),
        (x[..., 2:, 1:-1] - here) * (mask * wet[..., 2:, 1:-1]),
    )


class Trunk(torch.nn.Sequential):
    """Convolutions without padding with ReLU between them, the last linear: radius = sum of (kernel - 1) / 2.

    (n, channels_in, J, I) to (n, channels_out, J - 2 radius, I - 2 radius).
    """

    def __init__(self, channels_in: int, width: int, kernels: Sequence[int], channels_out: int) -> None:
        super().__init__()
        widths = [channels_in, *[width] * (len(kernels) - 1), channels_out]
        for n, kernel in enumerate(kernels):
            if n:
                self.append(torch.nn.ReLU())
            self.append(torch.nn.Conv2d(widths[n], widths[n + 1], kernel))
        self.radius = sum(kernel // 2 for kernel in kernels)
