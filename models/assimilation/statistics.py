"""Statistics in the space of observations: innovation, residual, spread, ranks, and the consistency of Desroziers et al. (2005).

With d = y - H x_b (innovation) and r = y - H x_a (residual), right covariances give
    <d d> = HBH + R,    <r d> = R,    <(d - r) d> = HBH.    Desroziers et al. (2005), eqs. 1 to 3.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from coupler.errors import HaloclineError
from models.assimilation.observations import TYPES, UNITS
from models.evaluation.probabilistic import rank_histogram

SEEN = 0.9  # an innovation's std below this part of the observations' error: they are in the background already
ENOUGH = 200  # observations below which no verdict is given
SUMS = ("number", "d", "dd", "r", "rr", "rd", "hbh", "error")
COLUMNS = (
    "number",
    "innovation_mean",
    "innovation_std",
    "residual_std",
    "spread",
    "error",
    "expected",
    "error_desroziers",
    "spread_desroziers",
)


@dataclass
class Statistics:
    """Sums over observations by window and type, ranks by type. Windows before `first` count in no total, and in no rank."""

    first: int = 1
    windows: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    ranks: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        window: int,
        kinds: np.ndarray,
        innovation: np.ndarray,
        residual: np.ndarray,
        background_variance: np.ndarray,
        error_variance: np.ndarray,
        members: np.ndarray,
    ) -> None:
        """One window, arrays (observations,): type (index into TYPES), d, r, diagonals of HBH and R; members HA (members, ...).

        The rank is that of d among the members, each with an error of its own drawn from R.
        """
        noise = np.random.Generator(np.random.Philox(key=[window, len(TYPES)])).standard_normal(members.shape)
        drawn = members + np.sqrt(error_variance) * noise
        for number, kind in enumerate(TYPES):
            of = kinds == number
            if not of.any():
                continue
            d, r = innovation[of], residual[of]
            values = (
                of.sum(),
                d.sum(),
                d @ d,
                r.sum(),
                r @ r,
                r @ d,
                background_variance[of].sum(),
                error_variance[of].sum(),
            )
            self.windows[window, kind] = {key: float(value) for key, value in zip(SUMS, values, strict=True)}
            if window >= self.first:
                counts = rank_histogram(drawn[:, of], d, seed=window)
                self.ranks[kind] = self.ranks.get(kind, 0) + counts

    def total(self, kind: str) -> dict[str, float]:
        """COLUMNS of a type over all windows from `first` on."""
        rows = [sums for (window, of), sums in self.windows.items() if of == kind and window >= self.first]
        return moments({key: sum(row[key] for row in rows) for key in SUMS})

    def kinds(self) -> list[str]:
        """Types that were observed from `first` on."""
        return [kind for kind in TYPES if kind in self.ranks]

    def csv(self) -> str:
        """A line for each window and type."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("window", "type", "units", *COLUMNS))
        for (window, kind), sums in self.windows.items():
            found = moments(sums)
            values = [f"{found[column]:.6g}" for column in COLUMNS]
            rows.writerow((window, kind, UNITS[kind], *values))
        return text.getvalue()

    def numbers(self) -> dict[str, Any]:
        """Totals and rank histograms by type."""
        return {
            kind: {"units": UNITS[kind], **self.total(kind), "ranks": self.ranks[kind].tolist()}
            for kind in self.kinds()
        }

    def table(self) -> Table:
        """The totals."""
        table = Table(title="in the space of observations")
        table.add_column("type")
        for column in COLUMNS:
            table.add_column(column.replace("_", " "), justify="right")
        table.add_column("units")
        for kind in self.kinds():
            total = self.total(kind)
            table.add_row(
                kind, f"{total['number']:.0f}", *[f"{total[column]:.3g}" for column in COLUMNS[1:]], UNITS[kind]
            )
        return table

    def check_background(self) -> None:
        """HaloclineError where innovations are smaller than the observations' own errors, see `seen`."""
        for kind in self.kinds():
            total = self.total(kind)
            if seen(total):
                raise HaloclineError(
                    f"{kind}: innovations have a standard deviation of {total['innovation_std']:.3g} {UNITS[kind]}, the "
                    f"observations' errors one of {total['error']:.3g}.\n  No background is nearer to an observation than its "
                    "error: this one has seen it, it is an analysis. Give the state before the increment."
                )


def seen(total: Mapping[str, float]) -> bool:
    """Whether a background has already been drawn to the observations that it is compared with.

    Errors of observation and background are independent, so <d d> = HBH + R >= R. Of an analysis <r r> = R (HBH + R)^-1 R < R.
    """
    return total["number"] >= ENOUGH and total["innovation_std"] < SEEN * total["error"]


def binned(ranks: Sequence[int] | np.ndarray, bins: int = 12) -> np.ndarray:
    """Ranks gathered into at most `bins` classes, as a part of what a flat histogram would hold: 1 is flat."""
    ranks = np.asarray(ranks, float)
    bins = min(bins, len(ranks))
    edge = np.linspace(0, len(ranks), bins + 1).round().astype(int)
    counts = np.add.reduceat(ranks, edge[:-1])
    return counts / np.maximum(ranks.sum() * np.diff(edge) / len(ranks), 1e-30)


def moments(sums: Mapping[str, float]) -> dict[str, float]:
    """COLUMNS from the sums of a window and type, or of several."""
    number = max(sums["number"], 1.0)
    mean = sums["d"] / number
    root = {key: float(np.sqrt(max(sums[key] / number, 0.0))) for key in ("hbh", "error", "rd")}
    values = (
        int(sums["number"]),
        mean,
        np.sqrt(max(sums["dd"] / number - mean**2, 0.0)),
        np.sqrt(max(sums["rr"] / number - (sums["r"] / number) ** 2, 0.0)),
        root["hbh"],
        root["error"],
        np.hypot(root["hbh"], root["error"]),
        root["rd"],
        np.sqrt(max((sums["dd"] - sums["rd"]) / number, 0.0)),
    )
    return {key: value if key == "number" else float(value) for key, value in zip(COLUMNS, values, strict=True)}
