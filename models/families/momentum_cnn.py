"""Momentum tendencies straight from the state, by convolutions over all layers: the family `momentum_cnn`.

Fields are standardised and set to zero under land; the masks beside them are how the network sees walls. The last layer is
scaled by the rms of the target. With `ln_scale` the tendency is that of the training times spacing / e1t: U^2 / dx at
equal velocities, so that the artefact can be run on another spacing.
"""

import torch
from torch import Tensor

from models.data.statistics import Statistics
from models.families.features import Features, Trunk
from models.families.trainable import Trainable, crop, input_specs, output_specs, target_rms
from models.settings import NamTrain


class MomentumCnn(Trainable):
    """(n, c, J, I), fields and masks, to (n, 2 levels, nj, ni): du, then dv [m s-2], zero on land faces."""

    def __init__(self, train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> None:
        inputs = input_specs(train, levels, statistics, ("e1t",) if train.ln_scale else ())
        features = Features(inputs, statistics, train.ln_galilean)
        trunk = Trunk(features.channels, train.nn_width, train.nn_kernels, 2 * levels)
        super().__init__("momentum_cnn", inputs, output_specs(levels, statistics), trunk.radius + features.crop)
        self.features, self.trunk, self.levels = features, trunk, levels
        self.spacing = spacing if train.ln_scale else 0.0
        self.coefficients = {"spacing": spacing}
        self.register_buffer("rms", target_rms(levels, statistics))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fields = self.split(x)
        y = self.trunk(self.features(fields)) * self.rms
        if self.spacing:
            y = y * (self.spacing / crop(fields["e1t"], self.radius))
        wet = [crop(fields[mask], self.radius) for mask in ("umask", "vmask")]
        return torch.cat([part * mask for part, mask in zip(y.split(self.levels, 1), wet, strict=True)], dim=1)


def trainable(train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> Trainable:
    """The network with fresh weights; see `models.families.trainable.build`."""
    return MomentumCnn(train, levels, statistics, spacing)
