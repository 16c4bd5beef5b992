"""Momentum tendencies as the divergence of a stress that convolutions predict: the family `stress`.

The trunk of momentum_cnn gives three channels per layer: T and P at the centre and S at the north-east corner of the cell. With
T_xx = P + T, T_yy = P - T, T_xy = S the tendency is the C-grid divergence of h T over h: over a closed basin it changes no
momentum, to round-off. No stress acts through walls, so such a network cannot change the friction on them.
"""

import torch
from torch import Tensor

from models.data.statistics import Statistics
from models.families.features import Features, Trunk
from models.families.staggered import METRICS, divergence
from models.families.trainable import Trainable, crop, input_specs, output_specs, target_rms
from models.settings import NamTrain


class Stress(Trainable):
    """(n, c, J, I), fields and masks, to (n, 2 levels, nj, ni): du, then dv [m s-2], zero on land faces.

    With `ln_scale` the spacing of the grid is read (e1t to e2f) instead of being that of the training.
    """

    centred = True

    def __init__(self, train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> None:
        inputs = input_specs(train, levels, statistics, METRICS if train.ln_scale else ())
        features = Features(inputs, statistics, train.ln_galilean)
        trunk = Trunk(features.channels, train.nn_width, train.nn_kernels, 3 * levels)
        super().__init__("stress", inputs, output_specs(levels, statistics), trunk.radius + features.crop + 1)
        self.features, self.trunk, self.levels, self.scaled = features, trunk, levels, train.ln_scale
        self.coefficients = {"spacing": spacing}
        rms = target_rms(levels, statistics)
        size = spacing * torch.maximum(rms[:levels], rms[levels:])  # of a stress [m2 s-2]
        self.register_buffer("size", size.repeat(3, 1, 1))
        self.spacing = 1.0 if train.ln_scale else spacing

    def stresses(self, fields: dict[str, Tensor]) -> Tensor:
        """T, S, P per layer [m2 s-2], (n, 3 levels, nj + 2, ni + 2)."""
        return self.trunk(self.features(fields)) * self.size

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fields = self.split(x)
        t, s, p = self.stresses(fields).split(self.levels, dim=1)
        near = {name: crop(field, self.radius - 1) for name, field in fields.items() if name not in ("u", "v")}
        du, dv = divergence(p + t, p - t, s, near["h"], near["umask"], near["vmask"], near if self.scaled else None)
        return torch.cat((du, dv), dim=1) / self.spacing


def trainable(train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> Trainable:
    """The network with fresh weights; see `models.families.trainable.build`."""
    return Stress(train, levels, statistics, spacing)
