"""The coupler process: start-up, the loop over exchange steps, the end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupler.diagnostics import Diagnostics
from coupler.engines.selftest import self_test
from coupler.exchange import Plan, make_plan
from coupler.grid import Box, decompose, ownership
from coupler.handshake import Handshake
from coupler.network import leave_on_device
from coupler.opening import say_start
from coupler.record import Recorder
from coupler.settings import Settings
from coupler.site import Site
from coupler.steps import Run
from coupler.timers import Timers
from coupler.transport.base import Transport
from coupler.transport.mpi import MpiTransport
from coupler.wiring import Wiring, wire

END_FILE = Path("halocline.coupler.json")


def couple(settings: Settings, transport: Transport | None = None) -> None:
    """Run the coupler of one job to its end. transport: in place of the one that the namelist names (a replay).

    Raises HaloclineError for anything that the user must mend; the caller ends the job.
    """
    timers = Timers()
    transport = transport or connect(settings, timers)
    shake = transport.handshake()
    wiring = wire(settings, shake, transport.local_rank)
    used = sorted({exchange.grid for exchange in wiring.exchanges})
    layouts = {number: decompose(shake.grids[number - 1].grid, transport.size) for number in used}
    boxes = {number: layout[transport.rank] for number, layout in layouts.items()}
    plans = _plans(settings, shake, wiring, boxes, transport)
    chains = _chains(shake, wiring, layouts, boxes, transport)
    received = {name: plan for plan in (*plans, *chains.values()) for name in _incoming(plan)}
    sent = {name: plan for plan in plans if plan.exchange.direction == "to_ocean" for name in plan.views}
    for net in wiring.networks:
        part = shake.grids[net.grid - 1]
        site = Site(
            boxes[net.grid], part.grid, transport.rank, transport.allsum, shake.time.rn_Dt, shake.date,
            settings.namcpl.nn_seed, settings.namcpl.nn_member,
        )  # fmt: skip
        net.bind(received, sent, site)
        if net.chained:
            net.relay = transport.relay(chains[net.name])
    leave_on_device(plans, wiring.networks, settings)
    wiring.notes.extend(f"network '{net.name}': {net.note}" for net in wiring.networks if net.note)
    diagnostics = Diagnostics(settings, shake, plans, transport, boxes, wiring.networks)
    recorder = Recorder(settings, shake, plans, transport, boxes)
    tests = [self_test(net.engine) if net.engine.contract.self_test else "no self-test" for net in wiring.networks]
    if transport.rank == 0:
        say_start(settings, shake, wiring, transport.size, tests)
    transport.define(plans, settings.namcpl.nn_wire, settings.namcpl.rn_timeout)
    run = Run(settings, shake, wiring, plans, chains, transport, diagnostics, recorder, boxes, timers)
    last = run.loop()
    lines = run.report(last)
    transport.finish()
    diagnostics.close()
    recorder.close()
    _end(transport, timers, last, wiring, lines)


def connect(settings: Settings, timers: Timers) -> Transport:
    """The transport that the namelist names, connected."""
    if settings.namcpl.cn_transport == "mpi":
        return MpiTransport(settings.namcpl.rn_timeout_start, timers)
    from coupler.transport.oasis import OasisTransport

    return OasisTransport(settings.namcpl.rn_timeout_start, timers, settings.namcpl.cn_model)


def _incoming(plan: Plan) -> list[str]:
    """Fields that a plan brings to the coupler."""
    return list(plan.views) if plan.exchange.direction == "to_coupler" else []


def _plans(
    settings: Settings, shake: Handshake, wiring: Wiring, boxes: Mapping[int, Box], transport: Transport
) -> list[Plan]:
    """Stacks and index maps of every exchange on this rank."""
    owners = {number: transport.ownership(shake.grids[number - 1]) for number in boxes}
    for owner in owners.values():
        if owner.uncovered and transport.rank == 0:
            words = f"{owner.uncovered} cells of the grid belong to no ocean rank; they get the fill value"
            print(f"halocline: {words}", flush=True)
    double = settings.namcpl.nn_wire == 64 and any(net.engine.contract.dtype == "f8" for net in wiring.networks)
    return [
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


def _chains(
    shake: Handshake,
    wiring: Wiring,
    layouts: Mapping[int, Sequence[Box]],
    boxes: Mapping[int, Box],
    transport: Transport,
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


def _end(transport: Transport, timers: Timers, last: int, wiring: Wiring, lines: list[str]) -> None:
    """Timers and guard counts of all ranks and the end marker, in one file that appears whole."""
    counters = {net.name: net.stages.counters() for net in wiring.networks}
    gathered = transport.gather(({**timers.seconds, "total": timers.total()}, counters))
    if gathered is None:
        return
    parts = [taken for taken, _ in gathered]
    guards = {
        net.name: {key: sum(part[net.name].get(key, 0) for _, part in gathered) for key in _keys(gathered, net.name)}
        for net in wiring.networks
    }
    for line in lines:
        print(f"halocline: {line}", flush=True)
    phases = ["wait", "unpack", "inference", "pack", "total"]
    seconds = {phase: [part.get(phase, 0.0) for part in parts if isinstance(part, dict)] for phase in phases}
    aside = END_FILE.with_suffix(".part")
    aside.write_text(
        json.dumps({"side": "coupler", "ended": True, "kt": last, "guards": guards, **seconds}), encoding="utf-8"
    )
    aside.replace(END_FILE)


def _keys(gathered: list[Any], network: str) -> list[str]:
    """Counters of a network that any rank has."""
    return sorted({key for _, part in gathered for key in part[network]})
