"""A run beside another one and beside truth: the scores of `halocline evaluate`, and the similarities of Ross et al. (2023)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coupler.errors import HaloclineError
from models.campaign import truth as records
from models.campaign.truth import Truth
from models.evaluation import spectra
from models.evaluation.climate import Climate, climate_of
from models.evaluation.report import SIMILAR
from models.evaluation.scores import COLUMNS, KMAX, KTAIL, Column, scores
from models.evaluation.side_by_side import band
from models.report.canvas import OTHER, RUN, Picture, grid, save
from models.report.output import Output

NAMES = {
    "u": "u", "v": "v", "ke": "kinetic energy", "zeta": "vorticity", "ens": "enstrophy", "spec_ke": "spectrum of energy",
    "spec_ens": "spectrum of enstrophy",
}  # fmt: skip
PLAIN = ("ke1", "ke2", "mke1", "eke1", "eke2", "sd_eta", "sd_t", "sd_h1")  # a run's own values


@dataclass(frozen=True)
class Score:
    """A row of the table, as text: what, the best value (of the truth), the run, the other one, what sampling alone leaves."""

    column: Column
    best: str
    mine: str
    theirs: str
    noise: str
    nearer: str  # mine, theirs or ''


@dataclass(frozen=True)
class Truths:
    """What runs are scored against. floors: what sampling alone leaves of a run, by score; None with a single climate."""

    joint: Climate
    joined: Truth | None
    kmax: int
    ktail: int

    def floors(self, years: float) -> Mapping[str, float] | None:
        """The expected distance of a perfect run of so many years."""
        return None if self.joined is None else self.joined.expected(years)


def truths(paths: Sequence[Path]) -> Truths:
    """Data sets of `halocline coarsen` or saved climates. HaloclineError when one cannot be read or has no state."""
    joined = None
    if len(paths) == 1 and paths[0].suffix == ".npz":
        joint = Climate.load(paths[0])
    else:
        joined = records.read("given", paths)
        joint = joined.joint
    if not joint.states:
        raise HaloclineError(f"the truth {paths[0]} has no good state in it.")
    largest = spectra.largest(*joint.grid)
    kmax = KMAX if largest == 24 else max(2, 2 * largest // 3)  # 2/3 of the Nyquist wavenumber
    return Truths(joint, joined, kmax, KTAIL if kmax == KMAX else max(1, round(kmax * KTAIL / KMAX)))


def fitted(output: Output, path: Path, truth: Climate, skip: float) -> Climate:
    """The climate of a run on the grid of the truth. HaloclineError where it cannot be brought there."""
    if output.climate.grid == truth.grid:
        return output.climate
    return climate_of(path, truth.grid, skip, name=output.climate.name)


def table(run: Climate, other: Climate | None, truth: Truths) -> list[Score]:
    """Every score of COLUMNS for the run and, where there is one, the other run, each with what sampling leaves."""
    own = scores(truth.joint, truth.joint, None, truth.kmax, truth.ktail)
    mine = scores(run, truth.joint, None, truth.kmax, truth.ktail)
    theirs = {} if other is None else scores(other, truth.joint, None, truth.kmax, truth.ktail)
    floors = truth.floors(run.years)
    rows = []
    for column in COLUMNS:
        key = column.key
        if not math.isfinite(mine[key]) and not math.isfinite(own[key]):
            continue
        best = own[key] if column.best in ("truth", "") else float(column.best)
        noise = ""
        if floors is not None and column.best != "":
            low, high = _band(key, best, floors[key])
            noise = f"{low:.{column.digits}f} – {high:.{column.digits}f}"
        nearer = ""
        if theirs and column.best != "":
            distances = [records.distance(key, values[key], own) for values in (mine, theirs)]
            nearer = "mine" if distances[0] < distances[1] else "theirs" if distances[1] < distances[0] else ""
        best_text, own_text = _text(best, column), _text(mine[key], column)
        rows.append(Score(column, best_text, own_text, _text(theirs.get(key), column), noise, nearer))
    return rows


def differences(run: Climate, other: Climate) -> list[Score]:
    """Without truth: the values of both runs, and by how much their means differ (the other one in the place of the truth)."""
    mine, own = scores(run, other), scores(other, other)
    rows = []
    for column in COLUMNS:
        key = column.key
        if math.isfinite(mine[key]) and (key == "years" or key in PLAIN):
            rows.append(Score(column, "", _text(mine[key], column), _text(own[key], column), "", ""))
        elif math.isfinite(mine[key]) and column.best != "truth":
            rows.append(Score(column, "", _text(mine[key], column), "", "", ""))
    return rows


def similar(run: Climate, other: Climate, truth: Truths) -> dict[str, list[float]]:
    """1 - d(run, truth) / d(other, truth) by quantity, a value for each layer: 1 the truth, 0 no better than the other."""
    values = scores(run, truth.joint, other, truth.kmax, truth.ktail)
    layers = len(truth.joint.mesh.tmask)
    return {NAMES[key]: [values[f"s_{key}{k}"] for k in range(1, layers + 1)] for key in SIMILAR}


def draw_similar(values: Mapping[str, Sequence[float]], run: str, other: str, path: Path) -> Picture:
    """A dot for each layer on a line for each quantity, between the other run (0) and the truth (1)."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.1), layout="constrained")
    lowest = -0.5
    for row, found in enumerate(values.values()):
        for k, value in enumerate(found):
            shown = max(value, lowest)
            face = RUN if k == 0 else "white"
            marker = "o" if value >= lowest else "<"
            axes.plot(
                shown,
                row,
                marker,
                color=RUN,
                markerfacecolor=face,
                markersize=6,
                zorder=3,
                label=f"layer {k + 1}" if not row else None,
            )
    axes.axvline(0, color=OTHER, linewidth=1.4, zorder=1)
    axes.axvline(1, color="0.1", linewidth=1.8, zorder=1)
    for place, word, colour in ((0, other, OTHER), (1, "truth", "0.1")):
        axes.text(place, -0.75, word, color=colour, fontsize=8, ha="center", va="bottom")
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.7)
    axes.set_xlim(lowest - 0.05, 1.1)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    grid(axes, "x")
    axes.set_title(f"Similarity of {run} to the truth", pad=18)
    axes.set_xlabel("s = 1 − d(run, truth) / d(other, truth) [1]")
    axes.legend(frameon=False, fontsize=8, loc="lower left", handletextpad=0.2, borderaxespad=0.1)
    words = "; ".join(f"{name} {', '.join(f'{value:.2f}' for value in found)}" for name, found in values.items())
    return save(figure, path, f"Similarity to the truth by quantity, a value for each layer: {words}.")


def _band(key: str, best: float, spread: float) -> tuple[float, float]:
    """The values that sampling alone may give; a correlation ends at 1."""
    return (best - spread, best) if key == "r_eke" else band(key, best, spread)


def _text(value: float | None, column: Column) -> str:
    return f"{value:.{column.digits}f}" if value is not None and math.isfinite(value) else "–"
