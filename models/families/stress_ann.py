"""Stress from the velocity gradients round a cell by a small network, with dimensional scaling: the family `stress_ann`.

T = -e1 e2 |X|^2 ANN(X / |X|), X the 27 values of shear D, stretch Dh and vorticity zeta on 3 x 3 cells [s-1], ANN three layers
27 - nn_width - 3 with one ReLU. ANN has no units: the network runs on any spacing and any number of layers have one set of weights.
Its tendency is the conservative divergence of models.families.staggered.
Source: Perezhogin, Zanna and Adcroft (2025), in the order and sign of MOM6 (MOM_Zanna_Bolton.F90): T_xy, T_xx, T_yy.
"""

import numpy as np
import torch
from torch import Tensor

from models.data.statistics import Statistics
from models.families.staggered import METRICS, divergence, four, gradients, stencil
from models.families.trainable import Trainable, crop, input_specs, output_specs
from models.settings import NamTrain

RADIUS = 3  # gradients at T points 1, their neighbours 1, the divergence 1
TINY = 1e-20  # [s-2], added to |X|^2: at rest X / |X| is zero, and has a gradient
CITATION = (
    "Perezhogin, Zanna and Adcroft (2025): artificial neural network parameterisation of mesoscale momentum fluxes"
)


class StressAnn(Trainable):
    """(n, c, J, I), u, v, h, masks and metrics, to (n, 2 levels, nj, ni): du, then dv [m s-2], zero on land faces."""

    centred = True

    def __init__(self, train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> None:
        inputs = input_specs(train, levels, statistics, METRICS)
        super().__init__("stress_ann", inputs, output_specs(levels, statistics), RADIUS, CITATION)
        self.coefficients = {"spacing": spacing}
        self.hidden, self.last = torch.nn.Linear(27, train.nn_width), torch.nn.Linear(train.nn_width, 3)

    def ann(self, x: Tensor) -> Tensor:
        """(..., 27) to (..., 3), both without units."""
        return self.last(torch.relu(self.hidden(x)))

    def stresses(self, fields: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """T_xy, T_xx, T_yy at T points [m2 s-2], (n, levels, J - 4, I - 4)."""
        found = gradients(fields["u"], fields["v"], fields["umask"], fields["vmask"], fields["tmask"], fields)
        x = stencil(torch.stack(found, dim=-3)).movedim(-4, -2).flatten(-2)  # (n, levels, J - 4, I - 4, 27)
        # Slices, not a sum over the last axis, whose order in onnxruntime depends on the size of the block.
        square = _nine(found[0] * found[0] + found[1] * found[1] + found[2] * found[2]).unsqueeze(-1) + TINY
        area = crop(fields["e1t"] * fields["e2t"], 2).unsqueeze(-1)
        y = -area * square * self.ann(x / square.sqrt())
        return y[..., 0], y[..., 1], y[..., 2]

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fields = self.split(x)
        xy, xx, yy = self.stresses(fields)
        near = {name: crop(fields[name], 2) for name in ("h", "umask", "vmask", *METRICS)}
        # The mean of four cells round F(j, i); the last row and column are not read by the divergence.
        xy = torch.nn.functional.pad(four(xy), (0, 1, 0, 1))
        return torch.cat(divergence(xx, yy, xy, near["h"], near["umask"], near["vmask"], near), dim=1)

    def mom6(self) -> dict[str, np.ndarray]:
        """Variables of MOM6's ANN file (MOM_ANN.F90): num_layers, layer_sizes, A{i}, b{i}, norms, a test pair.

        A{i} is (inputs, outputs) in C order, A(output, input) in Fortran. The outputs are times -e1 e2 |X|^2.
        """
        layers = (self.hidden, self.last)
        x = torch.linspace(-1.0, 1.0, 27, dtype=torch.float64)
        x = x / x.square().sum().sqrt()
        y = x
        found: dict[str, np.ndarray] = {}
        for n, layer in enumerate(layers):
            weight, bias = layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()
            found |= {f"A{n}": weight.T.contiguous().numpy(), f"b{n}": bias.numpy()}
            y = torch.relu(weight @ y + bias) if n == 0 else weight @ y + bias
        sizes = [27, *(layer.out_features for layer in layers)]
        return {
            "num_layers": np.int32(len(sizes)),
            "layer_sizes": np.array(sizes, np.int32),
            **found,
            "input_norms": np.ones(27),
            "output_norms": np.ones(3),
            "x_test": x.numpy(),
            "y_test": y.numpy(),
        }


def _nine(x: Tensor) -> Tensor:
    """Sum over 3 x 3 points: (..., J - 2, I - 2)."""
    x = (x[..., :-2] + x[..., 2:]) + x[..., 1:-1]
    return (x[..., :-2, :] + x[..., 2:, :]) + x[..., 1:-1, :]


def trainable(train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> Trainable:
    """The network with fresh weights; see `models.families.trainable.build`."""
    return StressAnn(train, levels, statistics, spacing)
