"""What each network puts into the ocean: energy, enstrophy, volume, heat, by the formulas of coupler/energetics.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coupler import energetics
from coupler.budget_fields import Lacking, Source, Sources
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field
from coupler.grid import Box, Grid
from coupler.guards import exactsum
from coupler.network import Network
from coupler.settings import NamDiag
from coupler.units import unit_factor

MAP = "{net}_energy_input_{point}"
HUGE = 1e100  # no input in a cell is as large


@dataclass(frozen=True)
class Quantity:
    """A column of the budgets, summed level by level."""

    name: str
    units: str
    levels: int


@dataclass(frozen=True)
class Input:
    """What one output, or a pair of outputs at U and V, puts in; states: u, v, h as far as needed."""

    outputs: tuple[str, ...]
    states: Mapping[str, Source]
    quantities: tuple[Quantity, ...]


@dataclass
class Budget:
    """The inputs of one network on one rank, and their sums over `calls`: quantity -> (k, nj, ni)."""

    net: Network
    inputs: list[Input] = field(default_factory=list)
    calls: int = 0
    sums: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def quantities(self) -> list[Quantity]:
        """In the order of the columns."""
        return [quantity for item in self.inputs for quantity in item.quantities]


class Budgets:
    """Adds up what active and shadow networks put in; `take` gives means over domain and calls, the same for any layout."""

    def __init__(
        self,
        switches: NamDiag,
        networks: Sequence[Network],
        received: Mapping[str, Plan],
        into: Mapping[str, Field],
        grids: Mapping[int, tuple[Grid, Box]],
        allsum: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """received: field -> plan that brings it; into: fields that the ocean takes; grids: number -> grid and subdomain.

        `missing` says what cannot be told, and why. Raises HaloclineError for that with cn_budget = 'on'.
        """
        self._rho0, self._into, self._allsum = switches.rn_rho0, into, allsum
        self._geometry: dict[int, energetics.Geometry] = {}
        self._areas: dict[int, float] = {}
        self.missing: list[str] = []
        self.budgets: list[Budget] = []
        if switches.cn_budget == "off":
            return
        self._sources = Sources(switches, received, grids)
        for net in networks:
            if net.resident is not None and switches.cn_budget == "auto":
                where = f"its fields stay on {net.engine.device} (cn_budget = 'on' brings them back at every call)"
                self.missing.append(f"input of '{net.name}': {where}")
            elif net.switches.cn_role != "standby" and net.engine.name != "null":
                budget = Budget(net, [*self._momentum(net), *self._content(net)])
                self.budgets += [budget] if budget.inputs else []
        if switches.cn_budget == "on" and (self.missing or not self.budgets):
            why = "; ".join(self.missing) or "no network gives a tendency of momentum, thickness or a tracer"
            raise HaloclineError(
                f"cn_budget = 'on', and there is no {why}.\n  {switches.where('cn_budget')}. Mend that, or set cn_budget = 'auto'."
            )
        for budget in self.budgets:  # of a network on a device nothing else may read the CPU's copy
            for landing in (x for i in budget.inputs for s in i.states.values() for x in s.plan.landings):
                landing.host = True

    def columns(self, levels: bool) -> dict[str, str]:
        """Name -> units: the totals 'NET.QUANTITY', or their levels 'NET.QUANTITY.k01', ... where there is more than one."""
        found: dict[str, str] = {}
        for budget in self.budgets:
            for item in budget.quantities:
                total, *single = _names(budget, item)
                found |= dict.fromkeys(single if levels else [total], item.units)
        return found

    def map_fields(self) -> list[Field]:
        """The arrays of `add`, as fields at U and V."""
        found = []
        for budget in self.budgets:
            for item in budget.inputs:
                for output in item.outputs if len(item.outputs) == 2 else ():
                    made = self._made(budget.net, output)
                    name = MAP.format(net=budget.net.name, point=made.point.lower())
                    found.append(made.model_copy(update={"name": name, "units": "W m-2"}))
        return found

    def add(self, kt: int) -> dict[str, np.ndarray]:
        """The networks that ran at step `kt`; returns the work at U and V, 'NET_energy_input_u' -> (k, nj, ni) [W m-2]."""
        maps: dict[str, np.ndarray] = {}
        for budget in self.budgets:
            if (kt - 1) % budget.net.period:
                continue
            budget.calls += 1
            for item in budget.inputs:
                for name, terms in self._terms(budget.net, item, maps).items():
                    if name in budget.sums:
                        budget.sums[name] += terms
                    else:
                        budget.sums[name] = terms
        return maps

    def take(self) -> dict[str, float]:
        """Column -> mean over the area and the calls since the last `take`; NaN for a network that did not run. Collective."""
        found: dict[str, float] = {}
        for budget in self.budgets:
            area = self._area(budget.net.grid)
            for item in budget.quantities:
                names, values = _names(budget, item), [float("nan")] * (item.levels + 1)
                terms = budget.sums.get(item.name)
                if terms is not None:
                    sums = self._sums(terms)
                    values = [total / (area * budget.calls) for total in sums]
                found |= dict(zip(names, values, strict=False))
            budget.calls, budget.sums = 0, {}
        return found

    def _sums(self, terms: np.ndarray) -> list[float]:
        """The sum over the domain and that of every level; NaN where a shadow gave what is no number. Collective."""
        bad = ~(np.abs(terms) < HUGE)
        limbs = np.stack([exactsum.partial(level) for level in np.where(bad, 0.0, terms)])
        told = self._allsum(np.append(limbs, np.count_nonzero(bad)))
        if told[-1]:
            return [float("nan")] * (len(terms) + 1)
        limbs = told[:-1].reshape(limbs.shape)
        return [exactsum.total(limbs.sum(axis=0)), *(exactsum.total(level) for level in limbs)]

    def _momentum(self, net: Network) -> list[Input]:
        """Energy and enstrophy input of a pair of outputs at U and V."""
        made = {name: self._made(net, name) for name in self._outputs(net, "UV", "m s-2")}
        pair = tuple(next((n for n, f in made.items() if f.point == point), "") for point in "UV")
        if not all(pair):
            return []
        first = made[pair[0]]
        try:
            states = self._sources.momentum(net, first, net.outputs[pair[0]].levels)
        except Lacking as why:
            self.missing.append(f"energy and enstrophy input of '{net.name}': {why}")
            return []
        found = [Quantity("energy_input", "W m-2", first.levels)]
        try:
            self._sources.corners(net.grid)
            found.append(Quantity("enstrophy_input", "m s-3", first.levels))
        except Lacking as why:
            self.missing.append(f"enstrophy input of '{net.name}': {why}")
        return [Input(pair, states, tuple(found))]

    def _content(self, net: Network) -> list[Input]:
        """Volume and tracer input of every output at T."""
        found = []
        thickness = self._outputs(net, "T", "m s-1")
        for name in self._outputs(net, "T"):
            made = self._made(net, name)
            units = made.units if name in thickness else f"{made.units} m"
            try:
                states = self._sources.content(net, made, net.outputs[name].levels, name not in thickness)
                found.append(Input((name,), states, (Quantity(f"{made.name}_input", units, made.levels),)))
            except Lacking as why:
                self.missing.append(f"{made.name} input of '{net.name}': {why}")
        return found

    def _outputs(self, net: Network, points: str, units: str = "") -> list[str]:
        """Outputs that are tendencies of the ocean's fields at these points, in these units."""
        found = []
        for spec in net.engine.contract.outputs:
            link = net.outputs.get(spec.name)
            if link is not None and link.field in self._into and spec.kind in ("tendency", "increment"):
                made = self._into[link.field]
                if made.point in points and (not units or unit_factor(made.units, units) == 1.0):
                    found.append(spec.name)
        return found

    def _made(self, net: Network, output: str) -> Field:
        """The ocean's field that an output fills, with as many levels as it fills."""
        return net.outputs[output].selected(self._into[net.outputs[output].field])

    def _terms(self, net: Network, item: Input, maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Quantity -> terms (k, nj, ni) of one call; their sum over the domain is the input times the area."""
        on, values = self._on(net.grid), net.stages.values
        made = [values[name].astype(np.float64, copy=False) for name in item.outputs]
        names = [quantity.name for quantity in item.quantities]
        if len(made) == 1:
            h = item.states["h"].padded(0) if item.states else 1.0
            return {names[0]: made[0] * h * on.area_t}
        u, v, h = (item.states[role].padded(1) for role in "uvh")
        work = energetics.energy(u, v, h, *made, rho0=self._rho0)
        maps |= {MAP.format(net=net.name, point=point.lower()): density for point, density in work.items()}
        terms = {names[0]: work["U"] * on.area_u}
        terms[names[0]] += work["V"] * on.area_v
        if len(names) > 1:
            terms[names[1]] = energetics.enstrophy(u, v, h, *made, on=on)
        return terms

    def _on(self, grid: int) -> energetics.Geometry:
        """Areas of a grid, made once the static fields have arrived."""
        if grid not in self._geometry:
            self._geometry[grid] = energetics.geometry(self._sources.static(grid), *self._sources.grids[grid])
        return self._geometry[grid]

    def _area(self, grid: int) -> float:
        """Wet area of the first level [m2]. Collective at the first call."""
        if grid not in self._areas:
            self._areas[grid] = exactsum.total(self._allsum(exactsum.partial(self._on(grid).area_t[0])))
        return self._areas[grid]


def _names(budget: Budget, item: Quantity) -> list[str]:
    """The columns of a quantity: the total, and each level where there is more than one."""
    name = f"{budget.net.name}.{item.name}"
    return [name, *(f"{name}.k{k + 1:02d}" for k in range(item.levels) if item.levels > 1)]
