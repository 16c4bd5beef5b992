"""Which fields a budget is made from: velocities, thickness, masks and metrics among what travels to the coupler."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.feed import inner
from coupler.fields import Field
from coupler.grid import Box, Grid
from coupler.network import Network
from coupler.settings import NamDiag
from coupler.units import unit_factor

ROLES = {"u": ("U", "m s-1"), "v": ("V", "m s-1"), "h": ("T", "m")}
USUAL = {"u": ("u", "un", "uu", "uo"), "v": ("v", "vn", "vv", "vo"), "h": ("h", "e3t", "thkcello")}
AREA = ("tmask", "e1t", "e2t")
FACES = ("e1u", "e2u", "e1v", "e2v")
CORNERS = ("e1f", "e2f")


class Lacking(Exception):
    """What a budget lacks, as a phrase with the remedy."""


@dataclass(frozen=True)
class Source:
    """A field that travels, and the levels of it that a tendency has."""

    name: str
    plan: Plan
    levels: slice

    def padded(self, halo: int) -> np.ndarray:
        """(k, nj + 2 halo, ni + 2 halo) in 64 bits, as it is now."""
        return inner(self.plan.views[self.name], self.plan.exchange.halo - halo)[self.levels].astype(
            np.float64, copy=False
        )


class Sources:
    """Finds the fields of budgets; every method raises Lacking where one does not travel, or not far enough."""

    def __init__(self, switches: NamDiag, received: Mapping[str, Plan], grids: Mapping[int, tuple[Grid, Box]]) -> None:
        """received: field -> plan that brings it; grids: number -> grid and subdomain.

        Raises HaloclineError for a wrong entry of cn_budget_fields.
        """
        self._switches, self._received, self.grids = switches, received, grids
        self._named = {}
        for entry in switches.cn_budget_fields:
            found = re.fullmatch(r"\s*([uvh])\s*=\s*(\w+)\s*", entry)
            if found is None:
                raise HaloclineError(
                    f"cn_budget_fields has the entry '{entry}'. Write 'u=field', 'v=field' or 'h=field'.\n  "
                    f"{switches.where('cn_budget_fields')}."
                )
            self._named[found[1]] = found[2]

    def momentum(self, net: Network, made: Field, levels: tuple[int, int] | None) -> dict[str, Source]:
        """u, v, h beside a tendency of momentum, all with a halo of one cell."""
        self._travel(net.grid, (*AREA, *FACES), 1)
        found = {role: self._role(role, made, levels, exact=True) for role in ROLES}
        self._halo([source.plan for source in found.values()], 1)
        if self.grids[net.grid][0].boundary.startswith("fold"):
            pairs = {net.inputs[s.name].field for s in net.engine.contract.inputs if s.vector_pair}
            if not {found["u"].name, found["v"].name} <= pairs:
                raise Lacking("on a folded grid u and v must be inputs with a vector_pair, to change their sign there")
        return found

    def corners(self, grid: int) -> None:
        """What vorticity needs beside `momentum`."""
        self._travel(grid, CORNERS, 1)

    def content(self, net: Network, made: Field, levels: tuple[int, int] | None, thickness: bool) -> dict[str, Source]:
        """Thickness beside a tendency of a tracer, nothing beside one of thickness; a tracer of one level is in the first."""
        self._travel(net.grid, AREA, 0)
        return {"h": self._role("h", made, levels, exact=False)} if thickness else {}

    def static(self, grid: int) -> dict[str, np.ndarray]:
        """Masks and metrics that travel, padded by one cell, (1 or k, nj + 2, ni + 2); zeros around where they have no halo."""
        fields = {}
        for name in (*AREA, *FACES, *CORNERS):
            plan = self._received.get(on_grid(name, grid))
            if plan is None:
                continue
            halo = plan.exchange.halo
            if halo or name in AREA:
                view = inner(plan.views[on_grid(name, grid)], max(halo - 1, 0)).astype(np.float64)
                fields[name] = view if halo else np.pad(view, ((0, 0), (1, 1), (1, 1)))
        return fields

    def _travel(self, grid: int, names: Sequence[str], halo: int) -> None:
        absent = [on_grid(name, grid) for name in names if on_grid(name, grid) not in self._received]
        if absent:
            raise Lacking(f"no {', '.join(absent)} travels (name them in an exchange with ln_static = .true.)")
        self._halo([self._received[on_grid(name, grid)] for name in names], halo)

    def _halo(self, plans: Sequence[Plan], halo: int) -> None:
        narrow = sorted({f"'{plan.exchange.name}'" for plan in plans if plan.exchange.halo < halo})
        if narrow:
            raise Lacking(f"exchange {', '.join(narrow)} has no halo (set nn_halo = {halo} in its &namexc)")

    def _role(self, role: str, made: Field, levels: tuple[int, int] | None, exact: bool) -> Source:
        """The field that is u, v or h beside `made`. levels: those of the ocean's field, from 1, that the output fills."""
        point, units = ROLES[role]
        first, last = levels or (1, made.levels)
        fits = {}
        for plan in self._received.values():
            for item in plan.exchange.fields:
                alike = item.point == point and item.grid == made.grid and unit_factor(item.units, units) == 1.0
                deep = item.levels == made.levels if exact and levels is None else item.levels >= last
                if alike and deep and not plan.exchange.static and item.direction == "out":
                    fits[item.name] = plan
        wanted = f"at {point} in {units} with {made.levels} level{'s' if made.levels > 1 else ''}"
        usual = [on_grid(name, made.grid) for name in USUAL[role] if on_grid(name, made.grid) in fits]
        names = [self._named[role]] if role in self._named else usual[:1] or sorted(fits)
        if not names or names[0] not in fits:
            what = f"'{names[0]}' of cn_budget_fields" if names else "field"
            raise Lacking(f"no {what} {wanted} travels to the coupler, for {role}")
        if len(names) > 1:
            raise Lacking(f"{', '.join(names)} may be {role}: say which, cn_budget_fields = '{role}={names[0]}'")
        return Source(names[0], fits[names[0]], slice(first - 1, last))


def on_grid(name: str, grid: int) -> str:
    """The name of a mask or metric on the grid of that number: e1t, and e1t_2 on the second."""
    return name if grid == 1 else f"{name}_{grid}"
