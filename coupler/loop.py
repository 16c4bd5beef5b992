"""The coupler process: start-up, the loop over exchange steps, the end."""

import json
from pathlib import Path
from typing import Any

from coupler.binding import bind, proofs
from coupler.diagnostics import Diagnostics
from coupler.opening import say_start
from coupler.record import Recorder
from coupler.settings import Settings
from coupler.steps import Run
from coupler.timers import Timers
from coupler.transport.base import Transport
from coupler.transport.mpi import MpiTransport
from coupler.wiring import Wiring

END_FILE = Path("halocline.coupler.json")


def couple(settings: Settings, transport: Transport | None = None) -> None:
    """Run the coupler of one job to its end. transport: in place of the one that the namelist names (a replay).

    Raises HaloclineError for anything that the user must mend; the caller ends the job.
    """
    timers = Timers()
    transport = transport or connect(settings, timers)
    bound = bind(settings, transport)
    shake, wiring, boxes, plans, chains = bound.shake, bound.wiring, bound.boxes, bound.plans, bound.chains
    if bound.uncovered and transport.rank == 0:
        words = f"{bound.uncovered} cells of the grid belong to no ocean rank; they get the fill value"
        print(f"halocline: {words}", flush=True)
    diagnostics = Diagnostics(settings, shake, plans, transport, boxes, wiring.networks)
    recorder = Recorder(settings, shake, plans, transport, boxes)
    tests = proofs(wiring)
    if transport.rank == 0:
        say_start(settings, shake, wiring, transport.size, tests)
    transport.define(plans, settings.namcpl.nn_wire, settings.namcpl.rn_timeout)
    run = Run(settings, shake, wiring, plans, chains, transport, diagnostics, recorder, boxes, timers)
    last = run.loop()
    lines = run.report(last)
    transport.finish()
    diagnostics.close()
    recorder.close()
    _end(transport, timers, last, run.stopped, wiring, lines)


def connect(settings: Settings, timers: Timers) -> Transport:
    """The transport that the namelist names, connected."""
    if settings.namcpl.cn_transport == "mpi":
        return MpiTransport(settings.namcpl.rn_timeout_start, timers)
    from coupler.transport.oasis import OasisTransport

    return OasisTransport(settings.namcpl.rn_timeout_start, timers, settings.namcpl.cn_model)


def _end(transport: Transport, timers: Timers, last: int, stopped: int, wiring: Wiring, lines: list[str]) -> None:
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
        json.dumps({"side": "coupler", "ended": True, "kt": last, "stopped": stopped, "guards": guards, **seconds}),
        encoding="utf-8",
    )
    aside.replace(END_FILE)


def _keys(gathered: list[Any], network: str) -> list[str]:
    """Counters of a network that any rank has."""
    return sorted({key for _, part in gathered for key in part[network]})
