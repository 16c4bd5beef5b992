"""The end of the definitions: what all ranks and sides must agree on before OASIS is told."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coupler.oasis.clock import Coupling
from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.layout import INT32
from coupler.oasis.library import DEBIAN_LIMITS as LIMITS
from coupler.oasis.parameters import OASIS

if TYPE_CHECKING:
    from coupler.oasis.component import Component
    from coupler.oasis.var import Var


@dataclass(frozen=True)
class Summary:
    """A variable of a component: global_size as given (-1: not given), top: smallest index space that holds its points."""

    component: str
    out: bool
    levels: int
    global_size: int
    top: int

    @property
    def gsize(self) -> int:
        """Points per level, as far as this component knows."""
        return self.global_size if self.global_size > 0 else self.top


class Definitions:
    """The variables of this process, in the order of their definition."""

    def __init__(self, owner: "Component") -> None:
        self.owner = owner
        self.variables: list[Var] = []
        self.closed = False

    def add(self, variable: "Var") -> int:
        """Number of a variable as OASIS will count it, -1 where the namcouple does not hold its name."""
        if self.closed:
            raise PyOasisException(f"variable '{variable.name}' is defined after enddef(); define it before.")
        if variable.name in [other.name for other in self.variables]:
            raise PyOasisException(f"variable '{variable.name}' is defined twice in component '{self.owner.name}'.")
        self.variables.append(variable)
        active = [other for other in self.variables if self.names(other)]
        return len(active) if self.names(variable) else -1

    def names(self, variable: "Var") -> list[str]:
        """The names in the namcouple that stand for a variable: itself, its levels, or nothing."""
        from coupler.oasis.var import level_names

        namcouple = self.owner.namcouple
        if namcouple.find(variable.name):
            return [variable.name]
        levels = level_names(variable.name, variable.bundle_size) if variable.bundle_size > 1 else []
        found = [name for name in levels if namcouple.find(name)]
        if found and len(found) < len(levels):
            lacking = next(name for name in levels if name not in found)
            raise PyOasisException(f"{namcouple.where} couples {found[0]}, but not {lacking} of '{variable.name}'.")
        return found

    def close(self) -> None:
        """Agree with the other ranks and sides, define everything, end the definitions, check that all is coupled."""
        owner = self.owner
        if self.closed:
            raise PyOasisException("enddef() is called a second time.")
        self.closed = True
        comm = owner.couplcomm if owner.coupled else None
        variables = [variable for variable in self.variables if variable.is_active] if comm else []
        mine, digests = _agree_within(owner, variables)
        self._define_left_out(variables)
        table = {owner.name: mine}
        if owner.agreed:
            root = comm is not None and comm.rank == 0
            table = {}
            for found in owner.gather({owner.name: mine} if root else {}):
                table.update(found)
            _check_pairs(owner, table)
        sizes = _sizes(owner, table)
        self._define(variables, digests, sizes)
        self._check_restarts(variables)
        owner.library.enddef()
        for variable in variables:
            self._check(variable)

    def _define(self, variables: list["Var"], digests: list[tuple], sizes: dict[str, int]) -> None:
        """Partitions, one per different set of segments on any rank, and variables."""
        library = self.owner.library
        known: dict[tuple, int] = {}
        for variable, digest in zip(variables, digests, strict=True):
            names, gsize = self.names(variable), sizes[variable.name]
            levels = variable.bundle_size if len(names) == 1 else 1
            if gsize * levels > INT32:
                raise PyOasisException(
                    f"'{variable.name}': {gsize} points x {levels} levels exceed OASIS' index space of {INT32}. Couple it level "
                    f"by level: list {variable.name}_001, {variable.name}_002, ... in the namcouple."
                )
            key = (digest, gsize, levels)
            if key not in known:
                if len(known) == LIMITS["partitions"]:
                    raise PyOasisException(
                        f"'{variable.name}' needs a further partition; OASIS holds {LIMITS['partitions']} different ones. Use the "
                        "same segments, global_size and bundle_size for fields on the same points."
                    )
                known[key] = library.def_partition(variable.partition.layout.orange(levels, gsize), gsize * levels)
                if self.owner.instant:
                    # restart and EXPOUT files: with another nx * ny in the namcouple OASIS stops the job at its end
                    library.set_shape(known[key], gsize, levels)
            variable.partition._id = known[key]
            points = variable.partition.layout.packed * levels
            variable.ids = [library.def_var(name, known[key], points, variable.direction) for name in names]

    def _define_left_out(self, variables: list["Var"]) -> None:
        """The same variables on processes that were left out of the exchanges; collective over the component.

        OASIS' enddef visits them there too, and reads beyond its table of partitions where they are missing (seen: a
        segmentation fault in one run of four).
        """
        told = [(self.names(variable), variable.direction) for variable in variables]
        every = self.owner.localcomm.allgather(told if self.owner.coupled else None)
        if self.owner.coupled:
            return
        library = self.owner.library
        nothing = library.def_partition(np.array([3, 1, 0, 0], np.int32), 1)
        for names, direction in next((found for found in every if found), []):
            for name in names:
                library.def_var(name, nothing, 0, direction)

    def _check_restarts(self, variables: list["Var"]) -> None:
        """A lag needs the value of the first exchange; without the file OASIS stops the job."""
        sent = [name for variable in variables if variable.direction == OASIS.OUT for name in self.names(variable)]
        for entry in self.owner.namcouple.entries:
            lagged = [source for source, _ in entry.pairs if entry.lag > 0 and source in sent]
            if lagged and not Path(entry.restart).is_file():
                raise PyOasisException(
                    f"'{lagged[0]}' has LAG={entry.lag} and needs the restart file '{entry.restart}' in {Path.cwd()}: NetCDF, "
                    f"a 2-D variable '{lagged[0]}' with all points, the value of the first exchange. The run's end replaces it."
                )

    def _check(self, variable: "Var") -> None:
        """Refuse a variable whose other side is missing, and find the points that nobody sends."""
        owner, out = self.owner, variable.direction == OASIS.OUT
        names = self.names(variable)
        for name, number in zip(names, variable.ids, strict=True):
            if owner.library.get_ncpl(number) == 0:
                raise PyOasisException(_nobody(owner, name, out))
        for entry in owner.namcouple.find(names[0]):
            if names[0] in [pair[0 if out else 1] for pair in entry.pairs]:
                period = entry.period or owner.namcouple.runtime
                variable.couplings.append(Coupling(variable.name, period, entry.lag if out else 0))
        owner.clock.couplings += variable.couplings
        if out:
            return
        packed = variable.partition.layout.packed
        levels = variable.bundle_size if len(names) == 1 else 1
        several = variable.covered(owner.library.coverage(variable.ids[0], packed * levels)[:packed])
        unsent = sum(owner.couplcomm.allgather(variable.unsent_count))
        several = sum(owner.couplcomm.allgather(several))
        if owner.couplcomm.rank == 0 and unsent:
            warnings.warn(
                f"'{variable.name}': {unsent} received point(s) are sent by nobody and get {variable.fill} (Var.fill).",
                stacklevel=2,
            )
        if owner.couplcomm.rank == 0 and several:
            warnings.warn(
                f"'{variable.name}': {several} received point(s) are sent by several ranks; the last one wins.",
                stacklevel=2,
            )


def _agree_within(owner: "Component", variables: list["Var"]) -> tuple[dict[str, Summary], list[tuple]]:
    """Summaries over the ranks of this component by name, and the segments of all ranks per variable as a key."""
    if not owner.coupled:
        return {}, []
    told = [
        (
            v.name,
            v.direction == OASIS.OUT,
            v.bundle_size,
            v.partition.global_size,
            v.partition.layout.top,
            v.partition.layout.digest,
        )
        for v in variables
    ]
    ranks = owner.couplcomm.allgather(told)
    for rank, other in enumerate(ranks):
        if [item[:3] for item in other] != [item[:3] for item in told]:
            raise PyOasisException(
                f"component '{owner.name}': rank {owner.couplcomm.rank} defines {[item[0] for item in told]}, rank {rank} "
                f"{[item[0] for item in other]} (or other directions or bundle sizes). All ranks must define the same variables in "
                "the same order; a rank without points uses a partition of size 0."
            )
    summaries = {}
    for name, out, levels, *_ in told:
        rows = [next(item for item in other if item[0] == name) for other in ranks]
        given = {row[3] for row in rows if row[3] > 0}
        if len(given) > 1:
            raise PyOasisException(f"'{name}': global_size differs between ranks of '{owner.name}': {sorted(given)}.")
        summaries[name] = Summary(owner.name, out, levels, max(given, default=-1), max(row[4] for row in rows))
    return summaries, [tuple(other[n][5] for other in ranks) for n in range(len(told))]


def _both(
    owner: "Component", table: dict[str, dict[str, Summary]]
) -> list[tuple[str, str, Summary | None, Summary | None]]:
    """Each pair of the namcouple with its two sides; names of single levels stand for their variable."""
    sides: dict[tuple[str, bool], Summary] = {}
    for summaries in table.values():
        sides.update({(name, item.out): item for name, item in summaries.items()})

    def side(name: str, out: bool) -> tuple[str, Summary | None]:
        base = name if (name, out) in sides else name.rpartition("_")[0]
        return (base, sides[base, out]) if (base, out) in sides else (name, None)

    found = {}
    for entry in owner.namcouple.entries:
        for source, target in entry.pairs:
            (left, sender), (right, receiver) = side(source, True), side(target, False)
            found[left, right] = (left, right, sender, receiver)
    return list(found.values())


def _check_pairs(owner: "Component", table: dict[str, dict[str, Summary]]) -> None:
    """Refuse a field with one side only, or whose sides differ in levels or grid size."""
    for source, target, sender, receiver in _both(owner, table):
        if (sender is None) != (receiver is None):
            name, out = (source, True) if sender else (target, False)
            raise PyOasisException(_nobody(owner, name, out))
        if sender is None or receiver is None:
            continue
        for what in ("levels", "global_size"):
            left, right = getattr(sender, what), getattr(receiver, what)
            if left != right and min(left, right) > 0:
                raise PyOasisException(
                    f"'{source}' of '{sender.component}' has {what} {left}, '{target}' of '{receiver.component}' has {right}. "
                    "Both sides must describe the same grid."
                )
        for one, other, name in ((sender, receiver, target), (receiver, sender, source)):
            if 0 < one.global_size < other.top:
                raise PyOasisException(
                    f"'{name}' of '{other.component}' holds the global index {other.top - 1}, but '{one.component}' gives the grid "
                    f"{one.global_size} points. Both sides must describe the same grid."
                )


def _sizes(owner: "Component", table: dict[str, dict[str, Summary]]) -> dict[str, int]:
    """Points per level of every variable of this component.

    OASIS needs the same number on both sides and, where ranks overlap (halos), cannot derive it: without ig_size it adds the
    lengths and dies with "Grid Size mismatch". All sides known: the largest. Otherwise: as given, else nx * ny of the
    namcouple, else the largest index of this component.
    """
    mine = table.get(owner.name, {})
    sizes = {name: item.gsize for name, item in mine.items()}
    pairs = _both(owner, table)
    if owner.agreed:
        known = {(name, item.out): item.gsize for summaries in table.values() for name, item in summaries.items()}
        for _ in pairs:  # a source with several targets hands its size on
            for source, target, sender, receiver in pairs:
                if sender and receiver:
                    size = max(known[source, True], known[target, False])
                    known[source, True] = known[target, False] = size
        return {name: known[name, item.out] for name, item in mine.items()}
    for name, item in mine.items():
        for entry in owner.namcouple.find(name):
            nx, ny = entry.size[:2] if item.out else entry.size[2:]
            if item.global_size <= 0:
                sizes[name] = max(sizes[name], nx * ny)
    return sizes


def _nobody(owner: "Component", name: str, out: bool) -> str:
    """The sentence for a variable without other side."""
    for entry in owner.namcouple.find(name):
        for source, target in entry.pairs:
            if name == (source if out else target):
                other, verb = (target, "receives") if out else (source, "sends")
                return (
                    f"'{name}' ({'OUT' if out else 'IN'}) is coupled with '{other}' in {owner.namcouple.where} line {entry.line}, "
                    f"but no component {verb} '{other}'. Define it there before enddef, or remove the entry."
                )
    return f"'{name}' is in {owner.namcouple.where} only in the other direction ({'OUT' if out else 'IN'} here)."
