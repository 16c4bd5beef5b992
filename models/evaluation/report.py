"""All runs beside the truth: as tables, as JSON, as CSV."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, KEYS, KMAX, KTAIL, Column, floor, scores
from models.evaluation.similarity import distances, similarity

TABLES = {
    "kinetic energy [1e-4 m2 s-2], variability": (
        "years", "ke1", "ke2", "mke1", "mke2", "eke1", "eke2", "sd_eta", "tail",
    ),
    "errors": ("years", "eta_rmse", "sd_rmse", "h1_rmse", "h2_rmse", "u1_rmse", "t_rmse", "r_eke", "logspec"),
}  # fmt: skip
SIMILAR = ("u", "v", "ke", "zeta", "ens", "spec_ke", "spec_ens")


@dataclass(frozen=True)
class Row:
    """One line of the tables."""

    name: str
    scores: dict[str, float]
    climate: Climate
    kind: str  # truth, floor, baseline, run

    @property
    def scored(self) -> bool:
        """A run or the baseline: no truth."""
        return self.kind in ("run", "baseline")


class Report:
    """The scores of `runs` against the joint climate of `truths`, with the noise floor, and similarities with a baseline.

    The baseline has a row of its own before the runs; where it is one of `runs` (the same object), that row is its own.
    """

    def __init__(
        self,
        runs: Sequence[Climate],
        truths: Sequence[Climate],
        baseline: Climate | None = None,
        kmax: int = KMAX,
        ktail: int = KTAIL,
    ) -> None:
        self.truths, self.baseline, self.kmax, self.ktail = list(truths), baseline, kmax, ktail
        self.truth = Climate.joint(truths)
        self.rows = [Row("truth", scores(self.truth, self.truth, None, kmax, ktail), self.truth, "truth")]
        for one, own in zip(truths, floor(truths, kmax, ktail), strict=False):
            own |= self._floor_similarity(one)
            self.rows.append(Row(f"floor: {one.name}", own, one, "floor"))
        first = [] if baseline is None or any(run is baseline for run in runs) else [baseline]
        for run in (*first, *runs):
            kind, name = ("baseline", f"baseline: {run.name}") if run is baseline else ("run", run.name)
            self.rows.append(Row(name, scores(run, self.truth, baseline, kmax, ktail), run, kind))

    def _floor_similarity(self, one: Climate) -> dict[str, float]:
        """The similarity of one truth to the others, seen from the baseline: what a perfect closure would reach."""
        if self.baseline is None:
            return {}
        others = Climate.joint([other for other in self.truths if other is not one])
        mine, base = distances(one, others, self.kmax), distances(self.baseline, self.truth, self.kmax)
        return {f"s_{key}": similarity(mine[key], base[key]) for key in mine if key in base}

    def show(self, console: Console) -> None:
        """Print the tables; every one with the noise floor and the years of each row."""
        columns = {column.key: column for column in COLUMNS}
        for title, keys in TABLES.items():
            table = _table(title)
            for key in keys:
                units = "" if columns[key].units in ("1", "cm2 s-2") else columns[key].units
                header = columns[key].header.replace(" ", "\n")
                table.add_column(f"{header}\n[dim]{units}[/]", justify="right", no_wrap=True)
            for row in self.rows:
                cells = [_cell(row.scores[key], columns[key]) for key in keys]
                table.add_row(_name(row), *cells, style=None if row.scored else "dim")
            console.print(table)
        if self.baseline is not None:
            self._show_similarity(console, self.baseline.name)
        for row in self.rows:
            trouble = status(row.climate)
            if row.scored and trouble:
                console.print(
                    f"[bold red]{escape(row.name)}[/] is unstable: {escape(trouble)}", highlight=False, soft_wrap=True
                )
        console.print(self._footnote(), style="dim", highlight=False)

    def _show_similarity(self, console: Console, baseline: str) -> None:
        for k in range(1, len(self.truth.mesh.tmask) + 1):
            table = _table(f"similarity to the truth, layer {k}; 1: the truth, 0: no better than '{escape(baseline)}'")
            for header in ("years", "u", "v", "KE", "vorticity", "enstrophy", "KE\nspec", "ens\nspec"):
                table.add_column(header, justify="right", no_wrap=True)
            for row in self.rows[1:]:
                cells = [f"{row.scores['years']:.1f}", *(f"{row.scores[f's_{key}{k}']:.2f}" for key in SIMILAR)]
                table.add_row(_name(row), *cells, style=None if row.scored else "dim")
            console.print(table)

    def _footnote(self) -> str:
        against = (
            f"against the joint mean of {len(self.truths)} truths" if len(self.truths) > 1 else "against one truth"
        )
        text = f"Runs {against}; spectra up to {self.kmax}, tail from {self.ktail} cycles per basin."
        if len(self.truths) > 1:
            return f"{text} floor: each truth against the other, the sampling noise of its years."
        return f"{text} No noise floor: give a second, independent --truth."

    def as_json(self) -> dict[str, Any]:
        """Everything, to be read by a program; what is not a number is null."""
        return {
            "columns": {column.key: {"units": column.units, "meaning": column.meaning} for column in COLUMNS},
            "kmax": self.kmax,
            "ktail": self.ktail,
            "baseline": self.baseline.name if self.baseline else None,
            "truth": _numbers(self.rows[0].scores),
            "floor": [
                {"name": row.climate.name, "scores": _numbers(row.scores)} for row in self.rows if row.kind == "floor"
            ],
            "runs": [
                {
                    "name": row.climate.name,
                    "kind": row.kind,
                    "stable": row.climate.stability.stable,
                    "ended": status(row.climate),
                    **_numbers(
                        {
                            "reached_years": row.climate.stability.reached / row.climate.year,
                            "largest_speed": row.climate.stability.speed,
                            "thinnest_layer": row.climate.stability.thickness,
                        }
                    ),
                    "scores": _numbers(row.scores),
                }
                for row in self.rows
                if row.scored
            ],
        }

    def as_csv(self) -> str:
        """One line for each row of the tables: name, kind (truth, floor, baseline, run), stable, and every score."""
        keys = [*KEYS, *sorted({key for row in self.rows for key in row.scores} - set(KEYS))]
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "kind", "stable", *keys])
        for row in self.rows:
            values = (row.scores.get(key, math.nan) for key in keys)
            cells = [f"{value:.6g}" if math.isfinite(value) else "" for value in values]
            writer.writerow([row.climate.name, row.kind, str(row.climate.stability.stable).lower(), *cells])
        return text.getvalue()

    def json_text(self) -> str:
        """`as_json` as text."""
        return json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n"


def status(climate: Climate) -> str:
    """Why a run is unstable and how far it came; '' for a stable one."""
    stability = climate.stability
    if stability.stable:
        return ""
    why = stability.ended or "a state that is not finite, faster than 10 m/s, or without a layer"
    left = "" if climate.states else "; nothing is left of it to average"
    return f"after {stability.reached / climate.year:.1f} years{left}: {why}"


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("", overflow="fold", min_width=12)
    return table


def _name(row: Row) -> str:
    return escape(row.name) if row.climate.stability.stable else f"[red]{escape(row.name)}[/] unstable"


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {key: float(value) if math.isfinite(value) else None for key, value in values.items()}


def _cell(value: float, column: Column) -> str:
    return f"{value:.{column.digits}f}" if math.isfinite(value) else "-"
