"""How much of the increments the climatology explains, how much the state beyond it, by output and level."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from models.training import scores
from models.training.increments import Seasons, outputs
from models.training.samples import Samples


@dataclass(frozen=True)
class Part:
    """Of one output at one level: parts of its second moment, y the increments, c the climatology, p the state-dependent part.

    climatology = 1 - <(y - c)^2>/<y^2>, both = 1 - <(y - c - p)^2>/<y^2>, state = both - climatology;
    state_r2 = 1 - <(y - c - p)^2>/<(y - c)^2>; rms: of y [units per window]. Below 0: worse than nothing.
    """

    output: str
    climatology: float
    state: float
    both: float
    state_r2: float
    rms: float


def parts(prediction: np.ndarray, anomaly: np.ndarray, climate: np.ndarray, wet: np.ndarray, name: str) -> Part:
    """Of channels (n, o, ny, nx) on wet (o, ny, nx), taken together."""
    p, a, c = (np.where(wet, field, 0.0).astype(np.float64) for field in (prediction, anomaly, climate))
    whole, left, lost = (float((field**2).sum()) for field in (a + c, a, a - p))
    both, climatology = (1.0 - rest / whole if whole > 0 else 0.0 for rest in (lost, left))
    count = len(p) * max(int(wet.sum()), 1)
    return Part(
        name, climatology, both - climatology, both, 1.0 - lost / left if left > 0 else 0.0, (whole / count) ** 0.5
    )


def explained(network: Callable[[Tensor], Tensor], samples: Samples, seasons: Seasons) -> dict[str, list[Part]]:
    """Test part, data sets that are held out: a Part for each output and level, and for each output of several levels.

    network: states to the state-dependent part.
    """
    found: dict[str, list[Part]] = {}
    wet = samples.wet_training.numpy()
    for part, index in {"test": samples.test, **samples.others}.items():
        if not len(index):
            continue
        anomaly, climate = samples.target[torch.from_numpy(index)].numpy(), seasons.at(index).numpy()
        prediction = scores.predict(network, samples, index)
        rows = []
        for name, channels in outputs(samples).items():
            cuts = [[o] for o in channels] + ([channels] if len(channels) > 1 else [])
            for cut in cuts:
                label = name if cut == channels else str(samples.outputs[cut[0]])
                rows.append(parts(prediction[:, cut], anomaly[:, cut], climate[:, cut], wet[cut], label))
        found[part] = rows
    return found


def entry(found: Mapping[str, list[Part]], samples: Samples) -> dict[str, dict[str, float]] | None:
    """The contract's `explained`, of the test part; None without one."""
    if "test" not in found:
        return None
    return {
        row.output: {"climatology": row.climatology, "state": row.state}
        for row in found["test"]
        if row.output in outputs(samples)
    }


def document(found: Mapping[str, list[Part]]) -> dict[str, list[dict[str, float | str]]]:
    """For JSON."""
    return {part: [asdict(row) for row in rows] for part, rows in found.items()}


def table(found: Mapping[str, list[Part]]) -> Table:
    """For a terminal."""
    shown = Table(
        "part",
        "output",
        "climatology",
        "state",
        "both",
        "R2 of the state",
        "rms per window",
        title="explained variance",
    )
    for part, rows in found.items():
        for row in rows:
            numbers = (row.climatology, row.state, row.both, row.state_r2)
            shown.add_row(part, row.output, *(f"{number:.3f}" for number in numbers), f"{row.rms:.2e}")
    return shown


def section(
    found: Mapping[str, list[Part]], samples: Samples, seasons: Seasons, coefficients: Mapping[str, float]
) -> str:
    """The card's words on which part is climatology and which depends on the state; coefficients: with damp_OUTPUT of ln_damp."""
    climate = seasons.climate
    season = (
        f"its mean and {climate.harmonics} harmonics of a year of {climate.year_days:g} days"
        if climate.harmonics
        else "its mean"
    )
    rows = "\n".join(
        f"| {part} | {row.output} | {100 * row.climatology:.1f} % | {100 * row.state:.1f} % | {100 * row.both:.1f} % | "
        f"{row.state_r2:.3f} | {row.rms:.2e} |"
        for part, lines in found.items()
        for row in lines
    )
    factors = ", ".join(
        f"{name.removeprefix('damp_')} {value:.3g}" for name, value in coefficients.items() if name.startswith("damp_")
    )
    damped = (
        f"The state-dependent part is damped by its R2 on the validation part (`ln_damp`): {factors}.\n"
        if factors
        else ""
    )
    return f"""
## Climatology and state

Outputs are increments of one window of {climate.window / 86400:g} days in the units of the state, not tendencies; the coupler
divides by the window. The state to give is that before the increment, at the analysis. Outputs are the sum of two parts: a
climatology c ({season}, at every cell, from {len(samples.train)} windows of the training part),
which does not look at the ocean, and a part p that depends on the state. {damped}
Of the variance (about zero) of increments y that neither has seen: climatology is 1 - <(y - c)^2>/<y^2>, both
1 - <(y - c - p)^2>/<y^2>, state beyond it their difference; R2 of the state part is the R2 about zero of the table above. Rows
without a number take the levels together; rms is that of the whole increment y.

| part | output | climatology | state beyond it | both | R2 of the state part | rms of y per window |
|---|---|---|---|---|---|---|
{rows}
"""
