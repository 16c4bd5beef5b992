"""Offline scores of a network: by output and level, on parts of the record that it was not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from models.evaluation import offline
from models.training.samples import Samples

CALL = 32  # samples of one call of the network


@dataclass(frozen=True)
class Score:
    """One output at one level: R2 about zero and about the mean, correlation (see evaluation.offline), rms [of the target]."""

    output: str
    r2_zero: float
    r2_mean: float
    correlation: float
    rms_target: float
    rms_error: float


def score(prediction: np.ndarray, target: np.ndarray, wet: np.ndarray, outputs: list[str]) -> list[Score]:
    """Of a prediction and its target (n, o, ny, nx) [m s-2] on wet (o, ny, nx), all points alike; outputs: names of the o."""
    p, y, weight = np.where(wet, prediction, 0.0).astype(np.float64), target.astype(np.float64), wet.astype(np.float64)
    squares = [
        np.sqrt((field[:, wet_o] ** 2).mean()) for c, wet_o in enumerate(wet) for field in (y[:, c], p[:, c] - y[:, c])
    ]
    columns = zip(
        outputs,
        offline.r2(p, y, weight, "zero").tolist(),
        offline.r2(p, y, weight, "mean").tolist(),
        offline.pooled_correlation(p, y, weight).tolist(),
        map(float, squares[::2]),
        map(float, squares[1::2]),
        strict=True,
    )
    return [Score(*values) for values in columns]


def predict(network: Callable[[Tensor], Tensor], samples: Samples, index: np.ndarray) -> np.ndarray:
    """The network's outputs (n, o, ny, nx) for samples `index`; of a stochastic one its mean."""
    with torch.inference_mode():
        calls = [
            network(samples.inputs[torch.from_numpy(index[n : n + CALL])])[:, : len(samples.outputs)]
            for n in range(0, len(index), CALL)
        ]
    return torch.cat(calls).numpy()


def scores(network: Callable[[Tensor], Tensor], samples: Samples) -> dict[str, list[Score]]:
    """Validation, test, each data set held out, and the regions held out (on the test part)."""
    parts = {"validation": samples.val, "test": samples.test, **samples.others}
    wet, held = samples.wet.numpy(), samples.held.numpy()
    names = [str(channel) for channel in samples.outputs]
    result = {}
    for part, index in parts.items():
        if not len(index):
            continue
        prediction, target = predict(network, samples, index), samples.target[torch.from_numpy(index)].numpy()
        result[part] = score(prediction, target, wet & ~held, names)
        if part == "test" and held.any():
            result["held regions"] = score(prediction, target, wet & held, names)
    return result


def document(found: Mapping[str, list[Score]]) -> dict[str, list[dict[str, float | str]]]:
    """For JSON."""
    return {part: [asdict(one) for one in scores] for part, scores in found.items()}


def table(found: Mapping[str, list[Score]], units: str = "m s-2") -> Table:
    """For a terminal."""
    shown = Table(
        "part", "output", "R2 about 0", "R2 about mean", "correlation", escape(f"rms [{units}]"), title="offline scores"
    )
    for part, scores in found.items():
        for one in scores:
            numbers = (f"{one.r2_zero:.3f}", f"{one.r2_mean:.3f}", f"{one.correlation:.3f}", f"{one.rms_target:.2e}")
            shown.add_row(part, one.output, *numbers)
    return shown
