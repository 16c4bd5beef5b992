"""Guillaumin and Zanna (2021): a stochastic momentum closure, mean and precision from a convolutional network.

Layers and shapes are those of the published weights; `halocline import gz21 FILE` reads them. The form that is trained here
(`TrainedGz21`) has layers of the user's, reads the fields of the C-grid where they are, and sees walls by masks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import conv2d, softplus

from coupler.contract import SCHEMA, Contract, OutputSpec
from models.data.statistics import Statistics
from models.families.features import Features, Trunk
from models.families.trainable import Trainable, crop, input_specs, output_specs, target_rms
from models.settings import NamTrain

CHANNELS = (2, 128, 64, 32, 32, 32, 32, 32, 4)
KERNELS = (5, 5, 3, 3, 3, 3, 3, 3)
RADIUS = sum(kernel // 2 for kernel in KERNELS)  # 10
PARTS = (1, 1, 1, 1, 1, 1, 4, 4)  # partial sums over the input channels, see PartialConv
U_SCALE, S_SCALE = 10.0, 1e-7  # what velocities are multiplied with, and the unit of the forcing [m s-2]
FLOOR = "final_transformation.min_value"
CITATION = "Guillaumin and Zanna (2021), J. Adv. Model. Earth Syst. 13, doi:10.1029/2021MS002534"
FIRST_FLOOR = 0.1  # of 1/std times the rms of the target, before training
PRECISE = 1e4  # 1/std may lie between 1/PRECISE and PRECISE over the rms of the target
PUBLISHED = "a3c8f9bda445fc500382294a56e481d1300cfc57a912cb4006b5e31ab81bd957"  # sha256, low-resolution version

# Shapes of the state dict: convolutions are the even members of a sequence, ReLUs the odd ones.
WEIGHTS: dict[str, tuple[int, ...]] = {
    **{
        f"{2 * n}.{part}": (CHANNELS[n + 1], CHANNELS[n], kernel, kernel) if part == "weight" else (CHANNELS[n + 1],)
        for n, kernel in enumerate(KERNELS)
        for part in ("weight", "bias")
    },
    FLOOR: (),
}


class PartialConv(torch.nn.Conv2d):
    """A convolution without padding whose sum over the input channels is made of `parts` partial sums, added in pairs.

    The last two layers of GZ21 cancel: in float32 the mean differs from the float64 reference by up to 1.5e-5 of its rms with
    one sum (torch; onnxruntime 0.9e-5), by 0.8e-5 (0.5e-5) with four partial sums, at the same cost.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, parts: int) -> None:
        super().__init__(channels_in, channels_out, kernel)
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        """(k, channels_in, J, I) to (k, channels_out, J - kernel + 1, I - kernel + 1), channels last in memory."""
        if self.parts == 1:
            return super().forward(x)
        pieces = zip(x.chunk(self.parts, 1), self.weight.chunk(self.parts, 1), strict=True)
        sums = [conv2d(piece.contiguous(memory_format=torch.channels_last), weight) for piece, weight in pieces]
        while len(sums) > 1:
            sums = [a + b for a, b in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0] + self.bias[:, None, None]


class GuillauminZanna(torch.nn.Module):
    """(k, 2, J, I), u and v at T points [m s-1], to (k, 4, J - 20, I - 20): mean du, dv [m s-2], 1/std of both [s2 m-1].

    mean = S y_0,1 and 1/std = (softplus(y_2,3) + floor) / S with y the convolutions of U (u, v), S = 1e-7, U = 10.
    The loss was -log p + (y - mean)^2 p^2 / 2, hence p = 1/std: a sample is mean + n/p, not mean + n/sqrt(p).
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """`weights` as in WEIGHTS."""
        super().__init__()
        self.layers = torch.nn.Sequential()
        for n, kernel in enumerate(KERNELS):
            convolution = PartialConv(CHANNELS[n], CHANNELS[n + 1], kernel, PARTS[n])
            convolution.load_state_dict({part: weights[f"{2 * n}.{part}"] for part in ("weight", "bias")})
            self.layers.append(convolution)
            if n < len(KERNELS) - 1:
                self.layers.append(torch.nn.ReLU())
        self.floor = float(weights[FLOOR])

    def forward(self, fields: Tensor) -> Tensor:
        """See the class."""
        # channels_last: torch then gives a cut field the bits of the whole one; in NCHW thin blocks differ by 1e-7.
        y = self.layers((U_SCALE * fields).contiguous(memory_format=torch.channels_last))
        mean, precision = S_SCALE * y[:, :2], (softplus(y[:, 2:]) + self.floor) / S_SCALE
        return torch.cat((mean, precision), dim=1)


def network(weights: Mapping[str, Tensor]) -> torch.nn.Module:
    """The closure as a module on stacked tensors."""
    return GuillauminZanna(weights)


def contract(dtype: str, sha256: str) -> Contract:
    """What the export starts from; `sha256` is that of the weights and tells whether they are the published ones."""
    known = {
        "data": "GFDL CM2.6 surface velocities of 0.1 degree, coarse-grained to 0.4 degree",
        "resolution": "0.4 degree",
        "weights": "M2LInES gz21-ocean-momentum, low-resolution",
    }
    component = {"units": "m s-1", "point": "T", "interpolate": "mean", "valid_range": (-5, 5)}
    forcing = {"units": "m s-2", "point": "T", "interpolate": "mean", "bounds": (-2e-5, 2e-5)}
    precision = {"units": "s2 m-1", "point": "T", "kind": "coefficient", "bounds": (1e4, 1e10)}
    return Contract.from_dict(
        {
            "schema_version": SCHEMA,
            "name": "gz21",
            "version": "1",
            "family": "gz21",
            "license": "MIT",
            "citation": CITATION,
            "trained_on": {**(known if sha256 == PUBLISHED else {"data": "not known"}), "sha256": sha256},
            "inputs": [
                {"name": "u", "standard_name": "sea_water_x_velocity", "vector_pair": "v", **component},
                {"name": "v", "standard_name": "sea_water_y_velocity", "vector_pair": "u", **component},
            ],
            "outputs": [
                {"name": "du", "vector_pair": "dv", "inv_std": "du_inv_std", **forcing},
                {"name": "dv", "vector_pair": "du", "inv_std": "dv_inv_std", **forcing},
                {"name": "du_inv_std", **precision},
                {"name": "dv_inv_std", **precision},
            ],
            "tensors": "stacked",
            "stochastic": {"kind": "gaussian", "time": "white", "levels": "independent"},
            "radius": RADIUS,
            "dtype": dtype,
            "decomposition": "round-off",
            "self_test": {
                "shape": (2, 3, 4),
                "inputs": {"u": {"range": [-0.1, 0.1]}, "v": {"range": [-0.1, 0.1]}},
                "tolerance": 1e-12 if dtype == "f8" else 1e-5,
            },
        },
        "family 'gz21'",
    )


class TrainedGz21(Trainable):
    """(n, c, J, I), fields and masks, to (n, 4 levels, nj, ni): means of du, dv [m s-2], then 1/std of both [s2 m-1].

    mean = s y_0,1 and 1/std = (softplus(y_2,3) + softplus(b)) / s with s the rms of the target and b learned: the floor keeps
    the standard deviation finite. Means are zero on land faces; 1/std is positive everywhere.
    """

    def __init__(self, train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> None:
        inputs = input_specs(train, levels, statistics)
        features = Features(inputs, statistics, train.ln_galilean)
        trunk = Trunk(features.channels, train.nn_width, train.nn_kernels, 4 * levels)
        rms = target_rms(levels, statistics)
        super().__init__(
            "gz21",
            inputs,
            _with_precision(output_specs(levels, statistics), rms),
            trunk.radius + features.crop,
            CITATION,
        )
        self.features, self.trunk, self.levels = features, trunk, levels
        self.coefficients = {"spacing": spacing}
        self.register_buffer("rms", rms)
        self.floor = torch.nn.Parameter(torch.tensor(FIRST_FLOOR).expm1().log())  # softplus of it is FIRST_FLOOR

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fields = self.split(x)
        mean, precision = self.trunk(self.features(fields)).chunk(2, dim=1)
        wet = [crop(fields[mask], self.radius) for mask in ("umask", "vmask")]
        means = [part * mask for part, mask in zip((mean * self.rms).split(self.levels, 1), wet, strict=True)]
        return torch.cat([*means, (softplus(precision) + softplus(self.floor)) / self.rms], dim=1)


def _with_precision(specs: list[OutputSpec], rms: Tensor) -> list[OutputSpec]:
    bounds = (1.0 / (PRECISE * float(rms.max())), PRECISE / float(rms.min()))
    means = [spec.model_copy(update={"inv_std": f"{spec.name}_inv_std"}) for spec in specs]
    return means + [
        OutputSpec(
            name=f"{spec.name}_inv_std",
            units="s2 m-1",
            point=spec.point,
            levels=spec.levels,
            kind="coefficient",
            bounds=bounds,
        )
        for spec in specs
    ]


def trainable(train: NamTrain, levels: int, statistics: Statistics, spacing: float) -> Trainable:
    """The network with fresh weights; see `models.families.trainable.build`."""
    return TrainedGz21(train, levels, statistics, spacing)
