"""What the coupler writes while it runs: fields as they travelled, their means, and what the networks put into the ocean.

Nothing of it comes before an answer to the ocean: `record` is called when the answers of a step are on their way, so that
gathering and writing happen while the ocean computes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from coupler.budgets import Budgets
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field, by_name
from coupler.grid import Box
from coupler.guards.guard import Guard
from coupler.handshake import Handshake
from coupler.io import DiagnosticsField
from coupler.network import Network
from coupler.outputs import MeanOutput, Output, View
from coupler.records import at, coordinates, described, interior
from coupler.series import Series
from coupler.settings import NamDiag, Settings
from coupler.transport.base import Transport

BUDGET_FILE = Path("halocline_energy.csv")
LEVELS_FILE = Path("halocline_energy_levels.csv")
DAY = 86400.0


class Diagnostics:
    """Snapshots of &namdiag every rn_diag seconds, means over as long, and budgets every rn_budget seconds."""

    def __init__(
        self,
        settings: Settings,
        shake: Handshake,
        plans: Sequence[Plan],
        transport: Transport,
        boxes: Mapping[int, Box],
        networks: Sequence[Network] = (),
    ) -> None:
        """Without rn_diag no fields are written. `notes`: what the start-up page should say.

        Raises HaloclineError for a field that no exchange carries, a period that is no multiple of the time step, and budgets
        that are asked for and cannot be told.
        """
        self._shake, self._transport, self._settings = shake, transport, settings
        diag, step = settings.namdiag, shake.time.rn_Dt
        self._periods = [plan.exchange.period for plan in plans if not plan.exchange.static]
        received = {n: plan for plan in plans if plan.exchange.direction == "to_coupler" for n in plan.views}
        self._budgets = Budgets(
            diag, networks, received, by_name(shake.fields, "in"),
            {number: (shake.grids[number - 1].grid, box) for number, box in boxes.items()}, transport.allsum,
        )  # fmt: skip
        self._every = _steps(diag, "rn_budget", step) if diag.rn_budget else max(1, round(DAY / step))
        self._interval = -1  # of the budgets, counted from the first step of the experiment
        self._series: list[Series] = []
        self._snapshots: Output | None = None
        self._means: MeanOutput | None = None
        if diag.rn_diag:
            self._open(diag, plans, received, boxes, networks)
        self.notes = self._words()

    def record(self, kt: int) -> None:
        """The networks of step `kt` have run and their answers are sent. Collective over the coupler."""
        if self._budgets.budgets and (kt - 1) // self._every != self._interval:
            if self._interval >= 0:
                self._row(self._every * (self._interval + 1))
            self._interval = (kt - 1) // self._every
        maps = self._budgets.add(kt)
        if self._snapshots is not None and (kt - 1) % self._snapshots.period == 0:
            self._snapshots.write(kt, round((kt - 1) * self._shake.time.rn_Dt))
        if self._means is not None:
            self._means.add(kt, self._next(kt), maps)

    def close(self, kt: int, last: int) -> None:
        """Write what has not been written and give the files their names. kt: last exchange; last: last step. Collective."""
        last = min(last, self._next(kt) - 1)  # an ocean that ended by itself may have done less than it said
        if self._interval >= 0:
            self._row(min(last, self._every * (self._interval + 1)))
        if self._means is not None:
            self._means.flush(last)
            self._means.output.close()
        if self._snapshots is not None:
            self._snapshots.close()

    def _next(self, kt: int) -> int:
        """The first step after `kt` at which anything travels."""
        return min((kt + period - (kt - 1) % period for period in self._periods), default=kt + 1)

    def _row(self, kt: int) -> None:
        """A line of the budgets, up to the end of step `kt`."""
        values = self._budgets.take()
        if self._transport.rank:
            return
        if not self._series:
            columns = {BUDGET_FILE: self._budgets.columns(False), LEVELS_FILE: self._budgets.columns(True)}
            first = self._shake.time.nn_it000
            self._series = [Series(path, list(names), first) for path, names in columns.items() if names]
        for series in self._series:
            series.row(kt, self._shake.date(kt + 1).isoformat(" "), values)

    def _open(
        self,
        diag: NamDiag,
        plans: Sequence[Plan],
        received: Mapping[str, Plan],
        boxes: Mapping[int, Box],
        networks: Sequence[Network],
    ) -> None:
        """The files of fields."""
        period = _steps(diag, "rn_diag", self._shake.time.rn_Dt)
        known = {field.name: (field, plan) for plan in plans for field in plan.exchange.fields}
        names = diag.cn_diag or [f.name for p in plans if p.exchange.direction == "to_ocean" for f in p.exchange.fields]
        for name in names:
            if name not in known:
                raise HaloclineError(
                    f"cn_diag names '{name}', which no exchange carries. Carried: {', '.join(known)}.\n  {diag.where('cn_diag')}."
                )
        grids = sorted({known[name][0].grid for name in names})
        if len(grids) > 1:
            raise HaloclineError(
                f"the diagnostics file holds one grid, and {', '.join(names)} live on {len(grids)}.\n  {diag.where('cn_diag')}. "
                "Name the fields of one."
            )
        box = boxes[grids[0]]
        maps = [f for f in self._budgets.map_fields() if f.grid == grids[0]] if diag.ln_budget_map else []
        fields = [known[name][0] for name in names]
        views: dict[str, View] = {name: partial(interior, known[name][1], name, box.nj, box.ni) for name in names}
        places = coordinates([*fields, *maps], received)
        statics: dict[str, View] = {name: partial(interior, received[name], name, box.nj, box.ni) for name in places}

        def variables(methods: str) -> list[DiagnosticsField]:
            lags = {name: known[name][1].exchange.lag for name in names}
            return [described(field, networks, lags[field.name], methods, places) for field in fields]

        output = partial(Output, self._shake, self._transport, grids[0], box, period, self._settings, statics, places)
        snapshots, counts = variables("time_counter: point"), {}
        if diag.ln_diag_guard:
            for field, net, count in _guards(networks, {field.name: field for field in fields}, box):
                counts[f"guard_{field.name}"] = count
                words = f"interventions of the guards of network '{net.name}' on {field.name} since the run began"
                snapshots.append(
                    DiagnosticsField(f"guard_{field.name}", "1", field.point, field.levels, words, at(field, places))
                )
        path = Path(diag.cn_diag_file)
        self._snapshots = output(path, snapshots, {**views, **counts})
        if diag.ln_diag_mean or maps:
            methods = "time_counter: mean"
            shown = variables(methods) if diag.ln_diag_mean else []
            for field in maps:
                words = f"energy input of {field.name.partition('_energy')[0]}: rho0 h times velocity times tendency"
                more = {"cell_methods": methods, **at(field, places)}
                shown.append(DiagnosticsField(field.name, field.units, field.point, field.levels, words, more))
            target = path.with_name(f"{path.stem}_mean{path.suffix}")
            self._means = MeanOutput(
                output(target, shown, views if diag.ln_diag_mean else {}, bounds=True), [field.name for field in maps]
            )

    def _words(self) -> list[str]:
        """Lines for the start-up page."""
        step, lines = self._shake.time.rn_Dt, []
        for output in (self._snapshots, self._means.output if self._means else None):
            if output is not None:
                kind = "means of " if output.bounds else ""
                lines.append(
                    f"diagnostics: {kind}{', '.join(output.names)} every {output.period * step:g} s to {output.path}"
                )
        if self._budgets.budgets:
            names = ", ".join(self._budgets.columns(False))
            lines.append(f"budgets: {names} every {self._every * step:g} s to {BUDGET_FILE}")
        lines += [f"budgets: no {words}" for words in self._budgets.missing]
        return lines


def _guards(networks: Sequence[Network], written: Mapping[str, Field], box: Box) -> list[tuple[Field, Network, View]]:
    """Written fields that a guard watches, and how often it changed each cell."""
    found: list[tuple[Field, Network, View]] = []
    for net in networks:
        for output, link in net.outputs.items():
            guard = net.stages.guard
            if guard is None or link.field not in written or link.levels is not None:
                continue
            none = np.zeros((written[link.field].levels, box.nj, box.ni), np.int32)
            found.append((written[link.field], net, partial(_counts, guard, output, none)))
    return found


def _counts(guard: Guard, output: str, none: np.ndarray) -> np.ndarray:
    """Interventions per cell, zeros before the first."""
    return guard.cells.get(output, none)


def _steps(diag: NamDiag, key: str, step: float) -> int:
    """A period of &namdiag in time steps."""
    period = getattr(diag, key)
    steps = round(period / step)
    if steps < 1 or abs(steps * step - period) > 1e-9 * period:
        raise HaloclineError(
            f"{key} = {period:g} s is not a multiple of the ocean's time step, {step:g} s.\n  {diag.where(key)}."
        )
    return steps
