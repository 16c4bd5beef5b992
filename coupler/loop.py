"""The coupler process: start-up, the loop over exchange steps, the end."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coupler.diagnostics import Diagnostics
from coupler.engines.selftest import self_test
from coupler.exchange import Plan, make_plan
from coupler.grid import Box, Ownership, decompose
from coupler.handshake import Handshake
from coupler.land import land_fills
from coupler.restart import first_answers, last_answers
from coupler.settings import Settings
from coupler.timers import Timers
from coupler.transport.base import HELD, INACTIVE, OK, Transport
from coupler.transport.mpi import MpiTransport
from coupler.watchdog import Watchdog
from coupler.wiring import Wiring, wire

PROGRESS_FILE = Path("halocline.progress")
END_FILE = Path("halocline.coupler.json")


def couple(settings: Settings) -> None:
    """Run the coupler of one job to its end.

    Raises HaloclineError for anything that the user must mend; the caller ends the job.
    """
    timers = Timers()
    transport = connect(settings, timers)
    shake = transport.handshake()
    wiring = wire(settings, shake)
    used = sorted({exchange.grid for exchange in wiring.exchanges})
    boxes = {number: decompose(shake.grids[number - 1].grid, transport.size)[transport.rank] for number in used}
    owners = {number: transport.ownership(shake.grids[number - 1]) for number in used}
    plans = _plans(settings, shake, wiring, boxes, owners, transport.rank)
    diagnostics = Diagnostics(settings, shake, plans, transport, boxes)
    tests = [self_test(net.engine) if net.engine.contract.self_test else "no self-test" for net in wiring.networks]
    if transport.rank == 0:
        _say_start(settings, shake, wiring, transport.size, tests)
    transport.define(plans, settings.namcpl.nn_wire, settings.namcpl.rn_timeout)
    last = _loop(settings, shake, wiring, plans, transport, diagnostics, boxes, timers)
    transport.finish()
    diagnostics.close()
    _end(transport, timers, last)


def connect(settings: Settings, timers: Timers) -> Transport:
    """The transport that the namelist names, connected."""
    if settings.namcpl.cn_transport == "mpi":
        return MpiTransport(settings.namcpl.rn_timeout_start, timers)
    from coupler.transport.oasis import OasisTransport

    return OasisTransport(settings.namcpl.rn_timeout_start, timers, settings.namcpl.cn_model)


def _plans(
    settings: Settings,
    shake: Handshake,
    wiring: Wiring,
    boxes: Mapping[int, Box],
    owners: Mapping[int, Ownership],
    rank: int,
) -> list[Plan]:
    """Stacks and index maps of every exchange on this rank."""
    for owner in owners.values():
        if owner.uncovered and rank == 0:
            words = f"{owner.uncovered} cells of the grid belong to no ocean rank; they get the fill value"
            print(f"halocline: {words}", flush=True)
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
    received = {name: plan for plan in plans if plan.exchange.direction == "to_coupler" for name in plan.views}
    sent = {name: plan for plan in plans if plan.exchange.direction == "to_ocean" for name in plan.views}
    for net in wiring.networks:
        net.bind(received, sent)
    return plans


def _loop(
    settings: Settings,
    shake: Handshake,
    wiring: Wiring,
    plans: list[Plan],
    transport: Transport,
    diagnostics: Diagnostics,
    boxes: Mapping[int, Box],
    timers: Timers,
) -> int:
    """Receive, run, send at every step where an exchange is due; returns the last step done."""
    incoming = [plan for plan in plans if plan.exchange.direction == "to_coupler"]
    outgoing = [plan for plan in plans if plan.exchange.direction == "to_ocean"]
    for plan in incoming:
        if plan.exchange.static:
            transport.receive(plan, shake.time.nn_it000)
    for net in wiring.networks:
        net.take_static()
    received = {name: plan for plan in incoming for name in plan.views}
    fills = {plan.exchange.number: land_fills(plan, received, wiring.fill) for plan in incoming}
    watchdog = Watchdog(settings.namcpl.rn_timeout, MpiTransport.abort)
    active = settings.namcpl.ln_active
    progress = Progress(shake) if transport.rank == 0 else None
    done = shake.time.nn_it000 - 1
    lagged = [plan for plan in outgoing if plan.exchange.lag]
    first_answers(settings, shake, lagged, boxes)
    for plan in lagged:
        _answer(transport, plan, shake.time.nn_it000, active, HELD)
    for kt in range(shake.time.nn_it000, shake.time.nn_itend + 1):
        due_in = [plan for plan in incoming if plan.exchange.due(kt)]
        due_out = [plan for plan in outgoing if plan.exchange.due(kt)]
        if not due_in and not due_out:
            continue
        for plan in due_in:
            header = transport.receive(plan, kt)
            if header is not None and header.last and header.kt != kt:
                return done
            for land in fills[plan.exchange.number]:
                land.apply()
        for net in wiring.networks:
            if (kt - 1) % net.period == 0:
                with timers("inference"), watchdog(f"network '{net.name}' (step {kt}, {boxes[net.grid]})"):
                    net.run(kt, boxes[net.grid])
        diagnostics.record(kt)
        for plan in due_out:
            use = kt + plan.exchange.lag * plan.exchange.period
            if use <= shake.time.nn_itend:
                _answer(transport, plan, use, active, OK)
        done = kt
        if progress is not None:
            progress.show(kt)
    last_answers(shake, lagged, transport, boxes)
    return done


def _answer(transport: Transport, plan: Plan, kt: int, active: bool, status: int) -> None:
    """Send what the ocean shall use at step `kt`."""
    if active:
        transport.send(plan, kt, status)
        return
    kept = plan.stack.copy() if plan.exchange.lag else None
    plan.stack[...] = -0.0  # x + (-0.0) is x, bit for bit, also for x = -0.0
    transport.send(plan, kt, INACTIVE)
    if kept is not None:
        plan.stack[...] = kept


class Progress:
    """Leaves the step and the date in a small file twice a second, for `halocline run` to show."""

    def __init__(self, shake: Handshake) -> None:
        """Start the clock at the first step."""
        self._shake, self._start, self._shown = shake, time.perf_counter(), 0.0

    def show(self, kt: int) -> None:
        """Write the file when the last time is half a second ago."""
        now = time.perf_counter()
        if now - self._shown < 0.5:
            return
        self._shown = now
        line = {
            "kt": kt,
            "first": self._shake.time.nn_it000,
            "last": self._shake.time.nn_itend,
            "date": self._shake.date(kt).isoformat(" "),
            "seconds": round(now - self._start, 3),
        }
        PROGRESS_FILE.write_text(json.dumps(line), encoding="utf-8")


def _say_start(settings: Settings, shake: Handshake, wiring: Wiring, ranks: int, tests: list[str]) -> None:
    """One page about what is going to happen."""
    span = f"{shake.date(shake.time.nn_it000).isoformat(' ')} to {shake.date(shake.time.nn_itend + 1).isoformat(' ')}"
    lines = [
        f"ocean '{shake.model}': {'; '.join(f'{g.nx} x {g.ny} cells, {g.boundary}' for g in shake.grids)}, {shake.ranks} ranks; "
        f"coupler: {ranks} ranks; {settings.namcpl.nn_wire} bits on the wire",
        f"steps {shake.time.nn_it000} to {shake.time.nn_itend} of {shake.time.rn_Dt:g} s, {span} ({shake.time.calendar})",
    ]
    for exchange in wiring.exchanges:
        when = "once" if exchange.static else f"every {exchange.period * shake.time.rn_Dt:g} s"
        halo = f", halo {exchange.halo}" if exchange.direction == "to_coupler" else ""
        names = ", ".join(str(field) for field in exchange.fields)
        lines.append(f"exchange '{exchange.name}' {exchange.direction.replace('_', ' ')} {when}{halo}: {names}")
    for net, test in zip(wiring.networks, tests, strict=True):
        cast = "" if net.engine.contract.dtype == f"f{settings.namcpl.nn_wire // 8}" else ", fields are cast"
        lines.append(
            f"network '{net.name}': {net.engine.description}, engine {net.engine.name}, {net.engine.threads} thread(s), "
            f"radius {net.engine.contract.radius}, {net.engine.contract.dtype}{cast}; cut and whole agree: {test}"
        )
    lines += wiring.notes
    if not settings.namcpl.ln_active:
        lines.append("ln_active = .false.: tendencies are computed and written, the ocean receives none")
    print("\n".join(f"halocline: {line}" for line in lines), flush=True)


def _end(transport: Transport, timers: Timers, last: int) -> None:
    """Timers of all ranks and the end marker, in one file that appears whole."""
    parts = transport.gather({**timers.seconds, "total": timers.total()})
    if parts is None:
        return
    phases = ["wait", "unpack", "inference", "pack", "total"]
    seconds = {phase: [part.get(phase, 0.0) for part in parts if isinstance(part, dict)] for phase in phases}
    aside = END_FILE.with_suffix(".part")
    aside.write_text(json.dumps({"side": "coupler", "ended": True, "kt": last, **seconds}), encoding="utf-8")
    aside.replace(END_FILE)
