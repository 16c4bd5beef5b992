"""Scores: answers of a replay against the recorded ones, per field and range of steps, with exact sums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from rich.markup import escape
from rich.table import Table

from coupler.guards.exactsum import LIMBS, partial, partial_products, total

RANGES = 4  # ranges of steps in the table
SUMS = ("x", "y", "xx", "yy", "xy")  # x recorded, y replayed


def _zeros() -> dict[str, np.ndarray]:
    return {name: np.zeros(LIMBS, np.int64) for name in SUMS}


@dataclass
class Score:
    """One field over one range of steps; differences in the field's units.

    `cells` counts what entered the sums (wet and finite, all levels and steps), `bad` what is not finite on either side.
    Rms, ratio and correlation are those of the wet cells: ratio = rms(replay) / rms(recorded), correlation is Pearson's.
    `differ` counts cells of other bits, land included: the ocean gets those too.
    """

    first: int
    last: int
    answers: int = 0
    cells: int = 0
    bad: int = 0
    differ: int = 0
    largest: float = 0.0
    at: int = 0
    sums: dict[str, np.ndarray] = field(default_factory=_zeros, repr=False)

    def add(self, kt: int, recorded: np.ndarray, answer: np.ndarray, owned: np.ndarray, wet: np.ndarray) -> None:
        """One answer: recorded, answer (levels, ny, nx) float64; owned, wet: (levels, ny, nx) bool."""
        self.answers += 1
        other = (recorded.view(np.int64) != answer.view(np.int64)) & owned
        count = int(np.count_nonzero(other))
        self.differ += count
        finite = np.isfinite(recorded) & np.isfinite(answer) & wet
        self.bad += int(np.count_nonzero(wet)) - int(np.count_nonzero(finite))
        x, y = recorded[finite], answer[finite]
        self.cells += x.size
        if x.size:
            gap = float(np.abs(x - y).max()) if count else 0.0
            if gap > self.largest:
                self.largest, self.at = gap, kt
        sx, sxx = partial(x), partial_products(x, x)
        same = not count
        new = {
            "x": sx,
            "y": sx if same else partial(y),
            "xx": sxx,
            "yy": sxx if same else partial_products(y, y),
            "xy": sxx if same else partial_products(x, y),
        }
        for name, limbs in new.items():
            self.sums[name] += limbs

    def joined(self, other: "Score") -> "Score":
        """Both ranges as one."""
        widest = self if self.largest >= other.largest else other
        return Score(
            min(self.first, other.first),
            max(self.last, other.last),
            self.answers + other.answers,
            self.cells + other.cells,
            self.bad + other.bad,
            self.differ + other.differ,
            widest.largest,
            widest.at,
            {name: self.sums[name] + other.sums[name] for name in SUMS},
        )

    @property
    def rms(self) -> tuple[float, float]:
        """Root mean square of the recorded and of the replayed answers."""
        n = max(self.cells, 1)
        return (total(self.sums["xx"]) / n) ** 0.5, (total(self.sums["yy"]) / n) ** 0.5

    @property
    def ratio(self) -> float:
        """Rms of the replay over that of the recording; NaN where the recording is zero."""
        recorded, answer = self.rms
        return answer / recorded if recorded else float("nan")

    @property
    def correlation(self) -> float:
        """Pearson's, over cells, levels and steps; NaN where either is constant."""
        x, y, xx, yy, xy = (total(self.sums[name]) for name in SUMS)
        n = max(self.cells, 1)
        variances = (xx - x * x / n) * (yy - y * y / n)
        return (xy - x * y / n) / variances**0.5 if variances > 0 else float("nan")


class Scores:
    """Scores of all fields; the whole span comes last."""

    def __init__(self, first: int, last: int, units: Mapping[str, str], owned: Mapping[str, np.ndarray],
                 wet: Mapping[str, np.ndarray]) -> None:  # fmt: skip
        """first, last: steps of the replay; owned, wet: where the ocean owns a cell, and where it is also wet (k, ny, nx)."""
        self._units, self._owned, self._wet = units, owned, wet
        parts = min(RANGES, last - first + 1)
        edges = [first + (last - first + 1) * part // parts for part in range(parts + 1)]
        self.ranges = {name: [Score(a, b - 1) for a, b in pairwise(edges)] for name in units}
        self.alone = dict.fromkeys(units, 0)  # answers without a recorded one

    def add(self, name: str, kt: int, recorded: np.ndarray | None, answer: np.ndarray) -> None:
        """An answer (levels, ny, nx) and its recorded counterpart, None where there is none."""
        if recorded is None:
            self.alone[name] += 1
            return
        score = next(score for score in self.ranges[name] if kt <= score.last or score is self.ranges[name][-1])
        x, y = (np.ascontiguousarray(values, np.float64) for values in (recorded, answer))
        score.add(kt, x, y, self._owned[name], self._wet[name])

    def whole(self, name: str) -> Score:
        """The score of a field over all steps."""
        result, *others = self.ranges[name]
        for score in others:
            result = result.joined(score)
        return result

    @property
    def same(self) -> bool:
        """True when every answer was compared and has the recorded bits."""
        return not any(self.alone.values()) and not any(self.whole(name).differ for name in self.ranges)

    def table(self) -> Table:
        """A row per field and range, and one for all steps where there are several ranges."""
        result = Table(title="replay against the recording", title_justify="left")
        for name in ("field", "steps"):
            result.add_column(name, no_wrap=True)
        for name in (
            "answers",
            "other bits",
            "max |difference|",
            "at step",
            "rms recorded",
            "rms replay",
            "ratio",
            "correlation",
        ):
            result.add_column(name, justify="right", no_wrap=True)
        for name, ranges in self.ranges.items():
            filled = [score for score in ranges if score.answers]
            rows = [*filled, self.whole(name)] if len(filled) > 1 else filled
            title = escape(f"{name} [{self._units[name]}]")
            for number, score in enumerate(rows):
                label = title if number == 0 else "all steps" if score is rows[-1] else ""
                result.add_row(label, *_cells(score), end_section=score is rows[-1])
            if not rows:
                result.add_row(title, "not recorded", end_section=True)
        return result


def _cells(score: Score) -> list[str]:
    """The columns of one score."""
    recorded, answer = score.rms
    bits = "none" if not score.differ else f"{score.differ} cells"
    if score.bad:
        bits += f", {score.bad} not finite"
    gap = [f"{score.largest:.3e}", str(score.at)] if score.largest else ["0", ""]
    numbers = [f"{recorded:.4e}", f"{answer:.4e}", f"{score.ratio:.4f}", f"{score.correlation:.6f}"]
    return [f"{score.first}-{score.last}", str(score.answers), bits, *gap, *numbers]
