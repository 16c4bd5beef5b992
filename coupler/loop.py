"""The coupler process: start-up, the loop over exchange steps, the end."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from coupler.binding import Bound, bind, proofs
from coupler.diagnostics import Diagnostics
from coupler.log import Log
from coupler.opening import provenance, say_start
from coupler.record import Recorder
from coupler.settings import Settings
from coupler.steps import Run
from coupler.stop import Stop
from coupler.timers import Timers, by_network, of_phase, write_alone
from coupler.trace import Trace, write
from coupler.transport.base import Transport
from coupler.transport.mpi import MpiTransport
from coupler.wiring import Wiring

END_FILE = Path("halocline.coupler.json")
# Timers in the end marker, as lists over the ranks. What is missing to 'total' is the loop itself, and the log.
PHASES = (
    "wait", "unpack", "inference", "guarding", "pack", "relay", "diagnostics", "record", "restart", "start", "end",
)  # fmt: skip


def couple(
    settings: Settings, transport: Transport | None = None, timers: Timers | None = None, log: Log | None = None
) -> None:
    """Run the coupler of one job to its end.

    transport: in place of the one that the namelist names (a replay), which then has its times from `timers`; log: with
    what was to say before. Raises HaloclineError for anything that the user must mend; the caller ends the job.
    """
    timers, log = timers or Timers(), log or Log()
    if settings.namlog.ln_trace:
        timers.trace = Trace()
    try:
        with timers("start"):
            transport = transport or connect(settings, timers)
            log.open(settings.namlog, transport.rank, transport.size)
            bound = bind(settings, transport)
        _run(settings, transport, bound, timers, log)
    except BaseException:
        with suppress(OSError):
            write_alone(timers)
        raise


def _run(settings: Settings, transport: Transport, bound: Bound, timers: Timers, log: Log) -> None:
    """From the first page to the end marker."""
    shake, wiring, boxes, plans, chains = bound.shake, bound.wiring, bound.boxes, bound.plans, bound.chains
    timers.begin("start")
    if timers.trace is not None:
        transport.allsum(np.zeros(1, np.int64))  # every rank is here: their clocks can be compared
        timers.trace.meet(transport.rank, transport.size)
    if bound.uncovered and transport.rank == 0:
        words = f"{bound.uncovered} cells of the grid belong to no ocean rank; they get the fill value"
        print(f"halocline: {words}", flush=True)
        log("note", "warning", message=words)
    diagnostics = Diagnostics(settings, shake, plans, transport, boxes, wiring.networks)
    wiring.notes.extend(diagnostics.notes)
    recorder = Recorder(settings, shake, plans, transport, boxes, timers)
    tests = proofs(wiring)
    facts = provenance(settings, shake, wiring, transport)
    if log.on:
        log("start", **facts)
    if transport.rank == 0 and settings.namlog.cn_verbosity != "quiet":
        say_start(settings, shake, wiring, transport.size, tests)
    transport.define(plans, settings.namcpl.nn_wire, settings.namcpl.rn_timeout)
    run = Run(settings, shake, wiring, plans, chains, transport, diagnostics, recorder, boxes, timers, log)
    timers.end()
    last = run.loop()
    timers.begin("end")
    lines = run.report(last)
    diagnostics.close(last, run.last)
    transport.finish()
    recorder.close()
    timers.end()
    track = timers.trace.close() if timers.trace is not None else None
    document = _end(transport, timers, last, run.stopped, wiring, lines)
    tracks = None if track is None else transport.gather(track)
    if tracks is not None:
        write(tracks, {"model": shake.model, "steps": [run.first, last]})
        full = {f"rank {one.rank}": one.dropped for one in tracks if one.dropped}
        if full:
            log("trace", "warning", message="the trace was full before the run's end", dropped=full)
    log("end", kt=last, date=shake.date(last + 1).isoformat(" "), stopped=run.stopped, **document)
    log.close()


def connect(settings: Settings, timers: Timers) -> Transport:
    """The transport that the namelist names, connected."""
    stop = Stop(settings.namcpl.rn_walltime)
    if settings.namcpl.cn_transport == "mpi":
        return MpiTransport(settings.namcpl.rn_timeout_start, timers, stop)
    from coupler.transport.oasis import OasisTransport

    return OasisTransport(settings.namcpl.rn_timeout_start, timers, settings.namcpl.cn_model, stop)


def _end(
    transport: Transport, timers: Timers, last: int, stopped: int, wiring: Wiring, lines: list[str]
) -> dict[str, Any]:
    """Timers and guard counts of all ranks and the end marker, in one file that appears whole.

    Returns guards and seconds for the log: on rank 0 of all ranks, elsewhere of this one.
    """
    counters = {net.name: net.stages.counters() for net in wiring.networks}
    mine = {**timers.seconds, "total": timers.total()}
    gathered = transport.gather((mine, counters))
    if gathered is None:
        return {"guards": counters, "seconds": _seconds([mine])}
    parts = [taken for taken, _ in gathered]
    guards = {
        net.name: {key: sum(part[net.name].get(key, 0) for _, part in gathered) for key in _keys(gathered, net.name)}
        for net in wiring.networks
    }
    for line in lines:
        print(f"halocline: {line}", flush=True)
    seconds = _seconds(parts)
    aside = END_FILE.with_suffix(".part")
    aside.write_text(
        json.dumps(
            {
                "side": "coupler",
                "ended": True,
                "kt": last,
                "stopped": stopped,
                "why": transport.stop.reason if stopped else "",
                "guards": guards,
                **seconds,
            }
        ),
        encoding="utf-8",
    )
    aside.replace(END_FILE)
    return {"guards": guards, "seconds": seconds}


def _seconds(parts: list[dict[str, float]]) -> dict[str, Any]:
    """Phase -> seconds per rank, and the same of each network under 'networks'."""
    seconds: dict[str, Any] = {phase: [of_phase(part, phase) for part in parts] for phase in (*PHASES, "total")}
    names = sorted({name for part in parts for name in by_network(part, "inference")})
    seconds["networks"] = {
        name: {p: [by_network(part, p).get(name, 0.0) for part in parts] for p in ("inference", "guarding")}
        for name in names
    }
    return seconds


def _keys(gathered: list[Any], network: str) -> list[str]:
    """Counters of a network that any rank has."""
    return sorted({key for _, part in gathered for key in part[network]})
