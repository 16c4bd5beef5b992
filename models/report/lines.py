"""Figures of quantities over time and over wavenumber."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.report.canvas import GREY, INK, LAYERS, RUN, Picture, grid, save, scaled, units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (5.6, 2.9)
DAY = 86400.0


@dataclass(frozen=True)
class Line:
    """A line: x (n,), y (n,), its name in the legend, its colour, its dashes."""

    x: np.ndarray
    y: np.ndarray
    label: str
    colour: Any = RUN
    style: Any = "-"


def span(seconds: float, year: float) -> tuple[str, float]:
    """The unit of a time axis and its length [s]: years from two years on, days, hours below two days."""
    if seconds >= 2 * year:
        return "years", year
    return ("days", DAY) if seconds >= 2 * DAY else ("hours", 3600.0)


def over_time(
    lines: Sequence[Line],
    title: str,
    unit: str,
    year: float,
    path: Path,
    alt: str,
    zero: bool = True,
    log: bool = False,
) -> Picture:
    """Lines over the time since the start of each run, x in seconds. zero: the axis begins there.

    Values beyond 1e4 times the median of their line (a run that blows up) are left out.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    longest = max(float(line.x[-1]) for line in lines)
    word, length = span(longest, year)
    shown = [_calm(line.y) for line in lines]
    factor, power = scaled(np.concatenate(shown))
    for line, values in zip(lines, shown, strict=True):
        marker = "o" if len(line.x) < 3 else ""
        axes.plot(
            line.x / length, factor * values, color=line.colour, linestyle=line.style, linewidth=1.3, label=line.label,
            marker=marker,
        )  # fmt: skip
    if zero:
        low, high = axes.get_ylim()
        axes.set_ylim(min(0.0, low), max(0.0, high))
        if low < 0 < high:
            axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xlim(0, longest / length)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    grid(axes)
    axes.set(title=title, xlabel=f"Time since the start of the run [{word}]", ylabel=f"[{power}{units(unit)}]")
    legend(figure, lines)
    return save(figure, path, alt)


def _calm(values: np.ndarray) -> np.ndarray:
    """NaN where a value is beyond 1e4 times the median."""
    good = np.abs(values[np.isfinite(values)])
    return (
        np.where(np.abs(values) <= 1e4 * max(float(np.median(good)), 1e-300), values, np.nan) if good.size else values
    )


def spectrum(lines: Sequence[Line], title: str, unit: str, path: Path, alt: str, last: int | None = None) -> Picture:
    """Lines over the wavenumber, both axes logarithmic, from the shell 1 on. last: where scores end, a thin line."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.5), layout="constrained")
    for line in lines:
        axes.loglog(line.x[1:], line.y[1:], color=line.colour, linestyle=line.style, linewidth=1.6, label=line.label)
    count = max(len(line.x) for line in lines)
    ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128, 256) if tick < count]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(1, count - 1)
    if last is not None and last < count:
        axes.axvline(last, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.text(
            last, 0.02, "2/3 of Nyquist ", color=GREY, fontsize=8, ha="right", transform=axes.get_xaxis_transform()
        )
    grid(axes, "both")
    axes.set(title=title, xlabel="Wavenumber [cycles per basin]", ylabel=f"[{units(unit)} per cycle]")
    legend(figure, lines)
    return save(figure, path, alt)


def legend(figure: "Figure", lines: Sequence[Line]) -> None:
    """Names below the plot; none for a single line."""
    if len(lines) > 1:
        longest = max(len(line.label) for line in lines)
        columns = max(1, min(len(lines), 64 // (longest + 6)))
        columns = 2 if len(lines) == 4 and columns == 3 else columns
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=columns, handlelength=1.8)


def layered(x: np.ndarray, values: np.ndarray, colour: str, name: str = "") -> list[Line]:
    """A line for each layer, values (n, k): one colour, other dashes."""
    start = f"{name}, " if name else ""
    return [
        Line(x, values[:, k], f"{start}layer {k + 1}", colour, LAYERS[k % len(LAYERS)]) for k in range(values.shape[1])
    ]
