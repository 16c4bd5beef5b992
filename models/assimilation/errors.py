"""Sizes: of increments, of their mean over time, and of the errors of background and analysis against the truth."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from models.data.background import State

UNITS = {"u": "m s-1", "v": "m s-1", "h": "m", "t": "degC"}


@dataclass
class Errors:
    """Sums over windows, by (field, level). All are root mean squares over wet points, (levels,) each."""

    windows: int = 0
    _sums: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    _wet: State = field(default_factory=dict)

    def add(self, background: State, changes: State, truth: State, masks: State) -> None:
        """One window: states and increments (levels, y, x)."""
        self.windows += 1
        for name, state in background.items():
            mask, sums = masks[name], self._sums[name]
            change = changes.get(name, 0.0) * mask
            self._wet[name] = mask.sum((-2, -1))
            sums["increment"] += (change**2).sum((-2, -1))
            sums["mean"] += change
            sums["background"] += (((state - truth[name]) * mask) ** 2).sum((-2, -1))
            sums["analysis"] += (((state + change - truth[name]) * mask) ** 2).sum((-2, -1))

    def numbers(self) -> dict[str, dict[str, list[float]]]:
        """By field: rms of 'increment', of its 'mean' over time, and of the errors of 'background' and 'analysis', by level."""
        found: dict[str, dict[str, list[float]]] = {}
        for name, sums in self._sums.items():
            count = np.maximum(self._wet[name], 1.0)
            squares = {key: sums[key] / self.windows for key in ("increment", "background", "analysis")}
            squares["mean"] = ((sums["mean"] / self.windows) ** 2).sum((-2, -1))
            order = ("increment", "mean", "background", "analysis")
            found[name] = {key: np.sqrt(squares[key] / count).tolist() for key in order}
        return found

    def table(self, against_truth: bool) -> Table:
        """One row for each field and level; against_truth: errors of background and analysis, too."""
        table = Table(title=f"rms over wet points, {self.windows} windows")
        columns = ["increment", "its time mean"] + (["background error", "analysis error"] if against_truth else [])
        keys = ["increment", "mean"] + (["background", "analysis"] if against_truth else [])
        table.add_column("field")
        for column in (*columns, "units"):
            table.add_column(column, justify="right")
        for name, sizes in self.numbers().items():
            for level in range(len(sizes["increment"])):
                row = [f"{sizes[key][level]:.4g}" for key in keys]
                table.add_row(name if name == "t" else f"{name}{level + 1}", *row, UNITS[name])
        return table
