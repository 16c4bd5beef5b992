"""What is said of a data set when it is made: sizes of the targets and of what should be zero."""

from dataclasses import dataclass, field

import numpy as np
from rich.table import Table


@dataclass
class Report:
    """Sums over the states of a member, by layer; squares are means over the basin, walls included."""

    member: str
    states: int
    _sums: dict[str, np.ndarray] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def add_residual(self, du: np.ndarray, dv: np.ndarray) -> None:
        """Residual target (n, k, j, i) [m s-2]."""
        self._add("du", du * du)
        self._add("dv", dv * dv)

    def add_thickness(self, residual: np.ndarray, tendency: np.ndarray) -> None:
        """Residual of the thickness equation, and dh/dt (n, k, j, i) [m s-1]."""
        self._add("dh", residual * residual)
        self._add("dhdt", tendency * tendency)

    def add_advective(self, du: np.ndarray, dv: np.ndarray) -> None:
        """Advective target (n, k, j, i) [m s-2]."""
        self._add("du_adv", du * du)
        self._add("dv_adv", dv * dv)

    def compare(self, residual: tuple[np.ndarray, np.ndarray], advective: tuple[np.ndarray, np.ndarray]) -> None:
        """Both targets, (du, dv) each (n, k, j, i) [m s-2]."""
        for name, one, two in zip(("du", "dv"), residual, advective, strict=True):
            self._add(f"{name}_diff", (one - two) ** 2)
            self._add(f"{name}_both", one * two)

    def _add(self, name: str, values: np.ndarray) -> None:
        self._sums[name] = self._sums.get(name, np.zeros(values.shape[1])) + values.sum((0, 2, 3))
        self._count[name] = self._count.get(name, 0) + values.shape[0] * values.shape[2] * values.shape[3]

    def rms(self, name: str) -> np.ndarray:
        """Root mean square by layer of 'du', 'dv', 'du_adv', 'dv_adv', 'dh' or 'dhdt'."""
        return np.sqrt(self._sums[name] / self._count[name])

    def numbers(self) -> dict[str, list[float]]:
        """All numbers of the table, by layer: rms [SI], ||residual - advective|| / ||residual||, and their correlation."""
        result = {
            f"rms {name}": self.rms(name).tolist()
            for name in ("du", "dv", "du_adv", "dv_adv", "dh", "dhdt")
            if name in self._sums
        }
        for name in ("du", "dv"):
            if f"{name}_diff" in self._sums:
                own, other = self._sums[name], self._sums[f"{name}_adv"]
                result[f"difference {name}"] = np.sqrt(self._sums[f"{name}_diff"] / own).tolist()
                result[f"correlation {name}"] = (self._sums[f"{name}_both"] / np.sqrt(own * other)).tolist()
        return result

    def table(self) -> Table | str:
        """The numbers for the terminal."""
        numbers = self.numbers()
        if not numbers:
            return f"{self.member}: {self.states} states, no target"
        layers = len(next(iter(numbers.values())))
        result = Table(title=f"{self.member}: {self.states} states with target", title_justify="left")
        result.add_column("")
        for layer in range(layers):
            result.add_column(f"layer {layer + 1}", justify="right")
        labels = {
            "rms du": "residual along i, rms (m s-2)",
            "rms dv": "residual along j, rms (m s-2)",
            "rms dh": "residual of the thickness equation, rms (m s-1)",
            "rms dhdt": "of dh/dt, rms (m s-1)",
            "rms du_adv": "advective target along i, rms (m s-2)",
            "rms dv_adv": "advective target along j, rms (m s-2)",
            "difference du": "|residual - advective| / |residual|, along i",
            "difference dv": "|residual - advective| / |residual|, along j",
            "correlation du": "correlation of both, along i",
            "correlation dv": "correlation of both, along j",
        }
        for key, label in labels.items():
            if key in numbers:
                form = "{:.2e}" if key.startswith("rms") else "{:.3f}"
                result.add_row(label, *(form.format(value) for value in numbers[key]))
        return result
