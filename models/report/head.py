"""The five numbers at the top of a page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.report.canvas import units
from models.report.clock import Clock
from models.report.folder import Folder
from models.report.namelists import Table, number
from models.report.series import Guards, Series

DAY = 86400.0
UNBROKEN = "\u2011"  # a hyphen at which no line ends
YEARS = {0: 365.0, 1: 365.25, 30: 360.0}  # nn_leapy of NEMO: days of a year


@dataclass(frozen=True)
class Figure:
    """A number with its label, its unit, and what puts it into proportion."""

    label: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True)
class Span:
    """What was simulated: steps first ... last of `step` seconds, the year's length [s], dates where they are known."""

    first: int
    last: int | None
    step: float
    year: float
    dates: str = ""

    @property
    def seconds(self) -> float | None:
        """Simulated time; None where the steps or their length are not known."""
        return None if self.last is None or not self.step else (self.last - self.first + 1) * self.step


def span(folder: Folder, tables: Sequence[Table], stat: Mapping[str, Series]) -> Span:
    """The steps that were done, from the last thing that counted them."""
    first = int(number(tables, "nn_it000") or 1)
    planned = number(tables, "nn_itend")
    step = number(tables, "rn_Dt") or number(tables, "rn_rdt") or 0.0
    year = YEARS.get(int(number(tables, "nn_leapy") or 30), 360.0) * DAY
    whole = folder.ending().kind == "well"
    last = int(planned) if whole and planned else None
    if last is None:
        counted = [int(series.steps[-1]) for series in stat.values()][:1]
        counted += [
            int(document["kt"])
            for document in (folder.progress, *folder.end.values())
            if str(document.get("kt", "")).isdigit()
        ]
        counted += [int(word) for word in (folder.text("time.step") or "").split()[:1] if word.isdigit()]
        last = max(counted, default=None)
    told = re.search(r"steps \d+ to \d+ of \S+ s, (\S+) \S+ to (\S+) ", folder.text("run.log") or "")
    if told and whole:
        return Span(first, last, step, year, f"{told[1]} to {told[2]}")
    days = stat.get("date[yyyymmdd]") or stat.get("date")
    if days is not None and np.isfinite(days.values[-1]):
        return Span(first, last, step, year, f"until {_day(int(days.values[-1]))}")
    return Span(first, last, step, year)


def figures(
    found: Span,
    clock: Clock | None,
    energy: Series | None,
    theirs: Series | None,
    guards: Guards | None,
    coupled: bool,
    progress: Mapping[str, Any],
) -> list[Figure]:
    """Simulated time, speed, the price of the networks, kinetic energy, interventions of the guards."""
    return [
        _simulated(found),
        _speed(found, clock, progress),
        _price(clock, coupled),
        _energy(energy, theirs),
        _guards(guards, coupled),
    ]


def _simulated(found: Span) -> Figure:
    if found.seconds is None or found.last is None:
        return Figure("Simulated time", "–", "", "steps or time step are not known")
    steps = f"{found.last - found.first + 1:,} steps of {found.step:g} s".replace(",", "\u202f")
    unit, length = ("year", found.year) if found.seconds >= found.year else ("day", DAY)
    value = found.seconds / length
    shown = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    plural = "" if shown == "1" else "s"
    return Figure(
        "Simulated time",
        shown,
        f"{unit}{plural}",
        f"{steps}; {found.dates.replace('-', UNBROKEN)}" if found.dates else steps,
    )


def _speed(found: Span, clock: Clock | None, progress: Mapping[str, Any]) -> Figure:
    if clock is None and found.step:
        try:
            rate = float(progress.get("steps_per_second") or (progress["kt"] - progress["first"]) / progress["seconds"])
            shown = rate * found.step / found.year * DAY
            return Figure("Speed", _count(shown), "SYPD", f"simulated years per day so far; {rate:.0f} steps a second")
        except (KeyError, TypeError, ZeroDivisionError):
            pass
    if clock is None or found.seconds is None or not clock.total:
        return Figure("Speed", "–", "", "no end markers, no timing of the ocean")
    rate = found.seconds / found.year / (clock.total / DAY)
    note = f"simulated years per day; {found.seconds / found.step / clock.total:.0f} steps a second, {clock.total:.3g} s in all"
    return Figure("Speed", _count(rate), "SYPD", note)


def _count(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 10 else f"{value:.2g}"


def _price(clock: Clock | None, coupled: bool) -> Figure:
    if not coupled:
        return Figure("Price of the networks", "0", "%", "the ocean ran alone")
    waiting = None if clock is None else clock.share("ocean", "waiting for the coupler")
    if clock is None or waiting is None:
        return Figure("Price of the networks", "–", "", "no end markers of both sides")
    busy = clock.share("coupler", "inference")
    note = "of the ocean's time it waited for the coupler" + (
        "" if busy is None else f"; inference fills {100 * busy:.0f} % of the coupler's"
    )
    return Figure("Price of the networks", f"{100 * waiting:.0f}", "%", note)


def _energy(energy: Series | None, theirs: Series | None) -> Figure:
    if energy is None or not np.isfinite(energy.values).any():
        return Figure("Kinetic energy", "–", "", "no run.stat with KE, no states")
    mine = _late(energy)
    note = "mean of the last quarter of the run"
    if theirs is not None and np.isfinite(_late(theirs)) and _late(theirs):
        note += f"; {100 * (mine / _late(theirs) - 1):+.0f} % against the other run".replace("-", "−")
    shown = f"{mine:,.0f}".replace(",", "\u202f") if mine >= 100 else f"{mine:.3g}"
    return Figure(
        "Kinetic energy",
        shown,
        units("J m-2" if energy.units == "J/m2" else energy.units),
        note,
    )


def _guards(guards: Guards | None, coupled: bool) -> Figure:
    if not coupled:
        return Figure("Guards", "–", "", "no network, nothing to guard")
    if guards is None:
        return Figure("Guards", "–", "", "their log cannot be read")
    if not guards.total:
        return Figure("Guards", "0", "cells", "no value of a network was changed")
    worst = max(guards.counts, key=lambda name: guards.counts[name])
    return Figure(
        "Guards", f"{guards.total:,}".replace(",", "\u202f"), "cells", f"changed over the run, most by {worst}"
    )


def _late(series: Series) -> float:
    return float(np.nanmean(series.values[-max(1, len(series.values) // 4) :]))


def _day(value: int) -> str:
    return f"{value // 10000:04d}-{value // 100 % 100:02d}-{value % 100:02d}"
