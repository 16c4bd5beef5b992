"""Everything that is fixed before the first message: networks, subdomains, stacks and index maps, each network bound to them.

A run and `halocline check` go through here, so that both refuse the same things in the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from coupler.exchange import Plan, make_plan
from coupler.grid import Box, decompose, ownership
from coupler.handshake import Handshake
from coupler.network import leave_on_device
from coupler.settings import Settings
from coupler.site import Site
from coupler.transport.base import Transport
from coupler.wiring import Wiring, wire


@dataclass(frozen=True)
class Bound:
    """One coupler rank before its first message.

    layouts: grid -> subdomains of all coupler ranks; boxes: grid -> that of this rank; plans: in the order of the exchanges;
    chains: network -> the plan that brings its outputs to others; uncovered: cells of the grids that belong to no ocean rank.
    """

    shake: Handshake
    wiring: Wiring
    layouts: Mapping[int, Sequence[Box]]
    boxes: Mapping[int, Box]
    plans: Sequence[Plan]
    chains: Mapping[str, Plan]
    uncovered: int


def bind(settings: Settings, transport: Transport) -> Bound:
    """Connect the networks of this rank. HaloclineError for anything that the user must mend."""
    shake = transport.handshake()
    wiring = wire(settings, shake, transport.local_rank)
    used = sorted({exchange.grid for exchange in wiring.exchanges})
    layouts = {number: decompose(shake.grids[number - 1].grid, transport.size) for number in used}
    boxes = {number: layout[transport.rank] for number, layout in layouts.items()}
    owners = {number: transport.ownership(shake.grids[number - 1]) for number in boxes}
    double = settings.namcpl.nn_wire == 64 and any(net.engine.contract.dtype == "f8" for net in wiring.networks)
    plans = [
        make_plan(
            exchange,
            shake.grids[exchange.grid - 1].grid,
            owners[exchange.grid],
            boxes[exchange.grid],
            dtype=np.dtype("f8" if double else "f4"),
            fill=wiring.fill if exchange.direction == "to_coupler" else None,
            vectors=wiring.vectors,
        )
        for exchange in wiring.exchanges
    ]
    chains = _chains(shake, wiring, layouts, boxes)
    _connect(settings, shake, wiring, boxes, plans, chains, transport)
    return Bound(shake, wiring, layouts, boxes, plans, chains, sum(owner.uncovered for owner in owners.values()))


def proofs(wiring: Wiring) -> list[str]:
    """Self-test of every network: whether a cut field gives the bits of the whole. HaloclineError where one fails."""
    found: list[str] = []
    for net in wiring.networks:
        try:
            found.append(self_test(net.engine) if net.engine.contract.self_test else "no self-test")
        except HaloclineError as error:
            raise HaloclineError(f"{error}\n  {net.switches.where('cn_artefact')}.") from None
    return found


def _chains(
    shake: Handshake, wiring: Wiring, layouts: Mapping[int, Sequence[Box]], boxes: Mapping[int, Box]
) -> dict[str, Plan]:
    """Network -> the plan that brings its outputs to the networks that read them; the owners are the coupler's ranks."""
    plans = {}
    makers = {net.name: net for net in wiring.networks}
    for exchange in wiring.chains:
        net = makers[exchange.fields[0].name.partition(".")[0]]
        grid = shake.grids[exchange.grid - 1].grid
        plans[net.name] = make_plan(
            exchange,
            grid,
            ownership(grid, layouts[exchange.grid]),
            boxes[exchange.grid],
            dtype=np.dtype(net.engine.contract.dtype),
            fill=wiring.fill,
            vectors=wiring.vectors,
        )
    return plans


def _connect(
    settings: Settings,
    shake: Handshake,
    wiring: Wiring,
    boxes: Mapping[int, Box],
    plans: Sequence[Plan],
    chains: Mapping[str, Plan],
    transport: Transport,
) -> None:
    """Give every network the stacks that hold its fields; every network's complaint is heard."""
    incoming = [plan for plan in plans if plan.exchange.direction == "to_coupler"]
    received = {name: plan for plan in (*incoming, *chains.values()) for name in plan.views}
    sent = {name: plan for plan in plans if plan.exchange.direction == "to_ocean" for name in plan.views}
    problems = []
    for net in wiring.networks:
        part = shake.grids[net.grid - 1]
        site = Site(
            boxes[net.grid], part.grid, transport.rank, transport.allsum, shake.time.rn_Dt, shake.date,
            settings.namcpl.nn_seed, settings.namcpl.nn_member,
        )  # fmt: skip
        try:
            net.bind(received, sent, site)
        except HaloclineError as error:
            where = "" if "\n" in str(error) else f"\n  {net.switches.where()}."
            problems.append(f"{error}{where}")
            continue
        if net.chained:
            net.relay = transport.relay(chains[net.name])
    if problems:
        raise HaloclineError("\n".join(problems))
    leave_on_device(plans, wiring.networks, settings)
    wiring.notes.extend(f"network '{net.name}': {net.note}" for net in wiring.networks if net.note)
