"""Whether the states beside increments are backgrounds or analyses, told from the two series alone.

With b the background and a = b + inc the analysis of a window, a model says b(n+1) = M(a(n)). The states x may be either:

    backgrounds   b(n+1) = x(n+1)             a(n) = x(n) + inc(n)
    analyses      b(n+1) = x(n+1) - inc(n+1)  a(n) = x(n)

Both are tried with the simplest M, a damping fitted at each point to departures from its mean over time, which takes a
constant bias away. R is what remains, its variance; tau = (R of analyses - R of backgrounds) / (2 var(inc)).

Measured on a coarse double gyre, windows of 5 days. Direct insertion of the truth, ten years: +0.36 (T), +0.38 (h), +0.49 (v),
+0.69 (u) for backgrounds, -0.57, -0.64, -0.60, -0.79 for analyses; standard error of the mean 0.01, 0.06 after 30 windows.
Ensemble optimal interpolation, 40 windows: +0.78 and -0.51, standard errors 0.07, 0.04. On made-up rotations and autoregressive
models with a bias none had the wrong sign beyond LEAST, within which nothing is claimed.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from coupler.errors import HaloclineError

SURE = 3.0  # standard errors
LEAST = 0.15  # tau
POINTS = 1000  # of each field
PAIRS = 8  # fewer tell nothing


@dataclass(frozen=True)
class Verdict:
    """The mean tau of all fields, its standard error, pairs of windows it stands on, tau by field."""

    tau: float
    error: float
    pairs: int
    fields: dict[str, float]

    @property
    def kind(self) -> Literal["background", "analysis", "unknown"]:
        """What the states are, if it is certain."""
        if self.pairs < PAIRS or not abs(self.tau) > max(LEAST, SURE * self.error):
            return "unknown"
        return "background" if self.tau > 0 else "analysis"

    def text(self) -> str:
        """One line: the verdict, and how sure it is."""
        if self.pairs < PAIRS or not np.isfinite(self.tau):
            return f"background or analysis: cannot be told from {self.pairs} pairs of following windows"
        said = {"background": "the states are backgrounds", "analysis": "the states are ANALYSES"}
        told = said.get(self.kind, "background or analysis: not certain")
        fields = ", ".join(f"{name} {value:+.2f}" for name, value in self.fields.items())
        return f"{told}: tau {self.tau:+.2f} +- {self.error:.2f} ({fields}; above 0: backgrounds), {self.pairs} pairs of windows"


@dataclass
class BackgroundCheck:
    """Takes windows in order of time, keeps POINTS points of each field; `step`: from a window to the next [s]."""

    step: float
    _times: list[float] = field(default_factory=list)
    _points: dict[str, np.ndarray] = field(default_factory=dict)
    _series: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, time: float, states: dict[str, np.ndarray], increments: dict[str, np.ndarray]) -> None:
        """One window: states and increments by name, of equal shapes, land 0 in both."""
        self._times.append(time)
        for name, change in increments.items():
            state, flat = np.ravel(states[name]), np.ravel(change)
            if name not in self._points:
                wet = np.flatnonzero((state != 0) | (flat != 0))
                wet = wet if len(wet) else np.arange(len(flat))
                self._points[name] = wet[:: max(1, len(wet) // POINTS)]
                self._series[name] = []
            at = self._points[name]
            self._series[name].append(np.array([state[at], flat[at]], np.float32))

    def verdict(self) -> Verdict:
        """The evidence so far; each field weighs the same. Pairs that follow each other count as half independent."""
        follows = np.flatnonzero(np.abs(np.diff(self._times) - self.step) < 0.1 * self.step)
        taus = {}
        for name, series in self._series.items():
            state, change = np.array(series, np.float64).transpose(1, 0, 2)
            tau = _tau(state - state.mean(0), change - change.mean(0), follows)
            if tau is not None:
                taus[name] = tau
        if not taus or len(follows) < 2:
            return Verdict(np.nan, np.nan, len(follows) if taus else 0, {})
        mean = np.mean(list(taus.values()), axis=0)
        error = float(mean.std() * np.sqrt(2.0 / len(mean)))
        return Verdict(float(mean.mean()), error, len(mean), {name: float(tau.mean()) for name, tau in taus.items()})


def _tau(state: np.ndarray, change: np.ndarray, first: np.ndarray) -> np.ndarray | None:
    """Each pair's part of tau, from departures (windows, points); first: the earlier windows. None where nothing varies."""
    scale = float((change**2).sum(axis=1).mean())
    if not len(first) or scale <= 1e-12 * float((state**2).sum(axis=1).mean()):
        return None

    def remains(after: np.ndarray, before: np.ndarray) -> np.ndarray:
        power = (before**2).sum(axis=0)
        damping = (before * after).sum(axis=0) / np.where(power > 0, power, 1.0)
        return np.asarray(((after - damping * before) ** 2).sum(axis=1))

    background = remains(state[first + 1], state[first] + change[first])
    analysis = remains(state[first + 1] - change[first + 1], state[first])
    return (analysis - background) / (2.0 * scale)


def refuse_analysis(verdict: Verdict, allowed: bool, where: str) -> None:
    """HaloclineError when the states are analyses, unless that is allowed."""
    if verdict.kind == "analysis" and not allowed:
        raise HaloclineError(
            f"the states in cn_background look like analyses, not backgrounds: {verdict.text()}.\n"
            "  A network that reads the analysis sees the answer, and fails in the free run. Give the states before the "
            f"increment was added.\n  {where}. ln_analysis_ok = .true. takes them all the same."
        )
