"""The parts of a page that are made of figures: series, maps, spectra."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coupler.report import COLOURS
from models.report import maps, scores
from models.report.canvas import LAYERS, OTHER, RUN, TRUTH, Picture
from models.report.lines import Line, layered, over_time, spectrum
from models.report.quantities import Group
from models.report.run import Run
from models.report.series import BUDGET, Series

SHADES = (RUN, *COLOURS[2:], OTHER)  # of several networks


@dataclass(frozen=True)
class Row:
    """Pictures beside each other, under a heading of their own or none."""

    pictures: list[Picture]
    title: str = ""
    words: str = ""
    wide: bool = False  # over the whole width of the page


@dataclass
class Section:
    """A part of the page with pictures. reason: why there are none."""

    key: str
    title: str
    rows: list[Row] = field(default_factory=list)
    words: str = ""
    reason: str = ""

    @property
    def pictures(self) -> list[Picture]:
        """All of them."""
        return [picture for row in self.rows for picture in row.pictures]


# --- over time -------------------------------------------------------------------------------------------------------


def series_section(run: Run, other: Run | None, out: Path) -> Section:
    """Energy, enstrophy, tracer, extremes, what the networks put in, interventions of the guards."""
    section = Section("series", "Over time")
    both = [(run, RUN), *([(other, OTHER)] if other is not None else [])]
    year = run.span.year
    state: list[Picture] = []
    columns = (
        ("KE", "Kinetic energy, all layers, mean over the basin", "J m-2", True, "energy"),
        ("max|u|", "Largest speed", "m s-1", True, "largest_speed"),
        ("min_h", "Thinnest layer", "m", True, "thinnest_layer"),
    )

    def plot(key: str, title: str, units: str, lines: Sequence[Line], **how: Any) -> None:
        lines = [line for line in lines if len(line.x) and np.isfinite(line.y).any()]
        with run.absence.of(title):
            if lines:
                alt = f"{title} over time: {'; '.join(_words(line, units) for line in lines)}."
                state.append(over_time(lines, title, units, year, out / f"series_{key}.png", alt, **how))

    def stat(column: str) -> list[Line]:
        return [
            Line(one.seconds(one.stat[column]), one.stat[column].values, one.name, c)
            for one, c in both
            if column in one.stat
        ]

    plot("energy", columns[0][1], "J m-2", stat("KE"))
    reduced = [(one, colour) for one, colour in both if one.output is not None]
    if not run.stat or "KE" not in run.stat:
        plot("energy_layers", "Kinetic energy by layer", "m2 s-2", _layers(reduced, "ke", other))
    plot("enstrophy", "Enstrophy by layer", "s-2", _layers(reduced, "enstrophy", other))
    contents = [Line(one.output.time, one.output.tracer, one.name, colour) for one, colour in reduced if one.output]
    plot("tracer", "Tracer content of layer 1, area mean of T h", "degC m", contents, zero=False)
    for column, title, units, zero, key in columns[1:]:
        plot(key, title, units, stat(column), zero=zero)
    kinds = dict.fromkeys(match["kind"] for name in run.budgets if (match := BUDGET.match(name)))
    for kind in kinds:
        title = f"{kind.replace('_', ' ').capitalize()} of the networks"
        plot(_file(kind), title, *_budget(run, kind))
    if run.guards is not None and run.guards.steps:
        found = {name: _binned(run, steps) for name, steps in run.guards.steps.items()}
        plot("guards", "Interventions of the guards", "cells day-1", _named(run, found))
    if state:
        section.rows.append(Row(state))
    if not section.rows:
        section.reason = "There is nothing over time in this folder: no run.stat, no states, no budgets of networks."
    return section


def _layers(reduced: Sequence[tuple[Run, str]], what: str, other: Run | None) -> list[Line]:
    return [
        line
        for one, colour in reduced
        if one.output is not None
        for line in layered(one.output.time, getattr(one.output, what), colour, one.name if other is not None else "")
    ]


def _named(run: Run, found: Mapping[str, Series]) -> list[Line]:
    return [
        Line(run.seconds(one), one.values, name, SHADES[n % len(SHADES)]) for n, (name, one) in enumerate(found.items())
    ]


def _budget(run: Run, kind: str) -> tuple[str, list[Line]]:
    """Units and lines of a budget: a colour for each network, solid for the total, dashes for the levels."""
    lines: list[Line] = []
    shades: dict[str, str] = {}
    unit = ""
    for name, one in run.budgets.items():
        match = BUDGET.match(name)
        if match is None or match["kind"] != kind:
            continue
        network, level = match["network"], int(match["level"] or 0)
        colour = shades.setdefault(network, SHADES[len(shades) % len(SHADES)])
        label = f"{network}, {f'level {level}' if level else 'all levels'}" if len(run.budgets) > 1 else network
        lines.append(Line(run.seconds(one), one.values, label, colour, LAYERS[min(level, 2)]))
        unit = one.units
    return unit, lines


def _binned(run: Run, steps: Mapping[int, int]) -> Series:
    """Interventions per day, in at most 120 equal pieces of the run, zeros where there was none."""
    first, last = run.span.first, max(run.span.last or 0, *steps)
    edges = np.linspace(first, last + 1, min(120, last - first + 1) + 1)
    counts, _ = np.histogram(list(steps), edges, weights=list(steps.values()))
    days = np.diff(edges) * (run.span.step or 86400.0) / 86400.0
    return Series(0.5 * (edges[1:] + edges[:-1]), counts / days, "cells day-1")


def _words(line: Line, units: str) -> str:
    good = line.y[np.isfinite(line.y)]
    return f"{line.label} from {good[0]:.3g} to {good[-1]:.3g} {units}, between {good.min():.3g} and {good.max():.3g}"


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


# --- maps ------------------------------------------------------------------------------------------------------------


def maps_section(run: Run, other: Run | None, out: Path) -> Section:
    """Every pair of maps of the run; with another run, each map beside its own and the difference."""
    section = Section("maps", "Maps")
    theirs = {} if other is None else {f.key: f for group in other.groups for f in group.fields}
    for group in run.groups:
        with run.absence.of(f"Maps: {group.title}"):
            section.rows += _map_rows(run, other, group, theirs, out)
    if other is not None:
        section.words = "Both runs have one scale of colours; the difference is this run less the other."
    if not section.rows:
        section.reason = (
            "There is nothing to map: neither states of an ocean that can be read, nor records of the coupler."
        )
    return section


def _map_rows(run: Run, other: Run | None, group: Group, theirs: Mapping[str, maps.Field], out: Path) -> list[Row]:
    """A row of one run's maps; beside another run a row for each of its maps: this, the other, the difference."""
    frame = run.frame
    if frame is None or run.output is None or group.fields[0].values.shape != run.output.climate.grid:
        frame = maps.Frame.cells(group.fields[0].values.shape)
    shared = [f for f in group.fields if f.key in theirs and theirs[f.key].values.shape == f.values.shape]
    if other is None or not shared:
        ends = {f.key: maps.limits([f]) for f in group.fields}
        name = "" if other is None else f"{run.name} only"
        return [Row([maps.draw(f, frame, ends[f.key], out, name) for f in group.fields], group.title, group.words)]
    rows = []
    for n, field_ in enumerate(shared):
        its = theirs[field_.key]
        both, gap = maps.limits([field_, its]), field_.minus(its)
        pictures = [
            maps.draw(field_, frame, both, out, run.name),
            maps.draw(its, frame, both, out, other.name, "_other"),
            maps.draw(gap, frame, maps.limits([gap]), out, f"{run.name} − {other.name}"),
        ]
        rows.append(Row(pictures, group.title if not n else "", group.words if not n else ""))
    return rows


# --- spectra ---------------------------------------------------------------------------------------------------------


def spectra_section(run: Run, other: Run | None, best: scores.Truths | None, out: Path) -> Section:
    """Energy and enstrophy by wavenumber, every layer; with another run and truth, all in one panel."""
    section = Section("spectra", "Spectra")
    if run.output is None:
        section.reason = "Spectra need states of the reference ocean (EXP_FIRST_LAST_inst.nc), which are not there."
        return section
    mine = run.output.climate
    shown = [(mine, run.name, RUN)]
    if other is not None and other.output is not None:
        shown.append((other.output.climate, other.name, OTHER))
    if best is not None:
        shown.append((best.joint, "truth", TRUTH))
    pictures = []
    for kind, words, unit in (("ke", "Kinetic energy", "m2 s-2"), ("ens", "Enstrophy", "s-2")):
        for k in range(len(mine.mesh.tmask)):
            lines = [
                Line(np.arange(len(one.spectra[kind][k])), one.spectra[kind][k], name, colour)
                for one, name, colour in shown
                if kind in one.spectra and k < len(one.spectra[kind])
            ]
            title = f"{words} by scale, layer {k + 1}"
            peaks = "; ".join(
                f"{line.label} is largest at {1 + int(np.argmax(line.y[1:]))} cycles per basin" for line in lines
            )
            last = 2 * (len(lines[0].x) - 1) // 3
            with run.absence.of(title):
                pictures.append(
                    spectrum(lines, title, unit, out / f"spectrum_{kind}_{k + 1}.png", f"{title}: {peaks}.", last)
                )
    section.rows.append(Row(pictures))
    section.words = f"Means over {mine.states} states, with a window of Hann over the basin."
    return section
