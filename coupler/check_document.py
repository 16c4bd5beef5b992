"""The findings of a check as one document of plain values: what `halocline check --json` prints, and what the page shows."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from coupler.binding import Bound
from coupler.check import Findings
from coupler.check_layout import cores, number_bytes
from coupler.check_switches import Value
from coupler.contract import InputSpec, OutputSpec
from coupler.exchange import Exchange
from coupler.fields import Field
from coupler.grid import Box
from coupler.handshake import Handshake
from coupler.increments import as_tendency, window_words
from coupler.network import Network
from coupler.settings import Settings

Document = dict[str, Any]
PLACE = re.compile(r"(\S+) line (\d+) \(&(\w+)(?:, (\w+))?\)")


def document(found: Findings) -> Document:
    """Everything that is known, JSON-ready. Parts that an error keeps from being known are missing."""
    result: Document = {
        "halocline": version("halocline"),
        "configuration": str(found.cfg),
        "ok": not found.errors,
        "errors": [_problem(text) for text in found.errors],
        "remarks": found.remarks,
        "ranks": {"ocean": found.ranks[0], "coupler": found.ranks[1]},
        "switches": {"coupler": [_value(v) for v in found.coupler], "other": [_value(v) for v in found.foreign]},
    }
    if found.settings is not None:
        result["transport"] = found.settings.namcpl.cn_transport
    if found.ocean is not None:
        result["ocean"] = _ocean(found.ocean.shake) | {"described": found.ocean.described}
    if found.bound is None or found.settings is None:
        return result
    bound, settings = found.bound, found.settings
    result["order"] = _order(bound)
    result["contracts"] = [_contract(net, bound) for net in bound.wiring.networks]
    result["subdomains"] = [
        {
            "grid": number,
            "ocean": [_box(box) for box in bound.shake.grids[number - 1].boxes],
            "coupler": [_box(box) for box in layout],
            "uncovered": bound.uncovered,
        }
        for number, layout in bound.layouts.items()
    ]
    result["messages"] = {
        "bits": 8 * number_bytes(settings),
        "exchanges": [
            {
                "name": one.exchange.name,
                "direction": one.exchange.direction,
                "messages": one.messages,
                "bytes": one.size,
                "bytes_per_step": one.per_step,
                "halo_share": one.halo,
            }
            for one in found.traffic
        ],
        "bytes_per_step": sum(one.per_step for one in found.traffic),
    }
    result["computing"] = _computing(found, settings, bound)
    if found.timings or found.step:
        result["time"] = _time(found, bound)
    if found.namcouple:
        result["namcouple"] = found.namcouple
    return result


def _problem(text: str) -> Document:
    """A sentence with the place that it names."""
    hit = PLACE.search(text)
    place = {} if hit is None else {"file": hit[1], "line": int(hit[2]), "group": hit[3], "key": hit[4]}
    return {"message": text} | place


def _value(value: Value) -> Document:
    return {
        "group": value.group, "name": value.name, "key": value.key, "value": value.value, "source": value.source,
        "line": value.line,
    }  # fmt: skip


def _ocean(shake: Handshake) -> Document:
    time = shake.time
    return {
        "model": shake.model,
        "grids": [{"nx": part.nx, "ny": part.ny, "boundary": part.boundary} for part in shake.grids],
        "rn_Dt": time.rn_Dt,
        "steps": [time.nn_it000, time.nn_itend],
        "dates": [shake.date(time.nn_it000).isoformat(" "), shake.date(time.nn_itend + 1).isoformat(" ")],
        "calendar": time.calendar,
        "time_level": time.level,
        "fields": [field.model_dump() for field in shake.fields],
    }


def _box(box: Box) -> list[int]:
    return [box.i0 + 1, box.i0 + box.ni, box.j0 + 1, box.j0 + box.nj]


def _order(bound: Bound) -> list[Document]:
    """Exchanges and networks as they follow each other in a step at which all are due."""
    exchanges, step = bound.wiring.exchanges, bound.shake.time.rn_Dt
    incoming = [one for one in exchanges if one.direction == "to_coupler"]
    incoming.sort(key=lambda one: not one.static)
    rows = [_exchange(one, step) for one in incoming]
    for net in bound.wiring.networks:
        rows.append(
            {
                "kind": "network",
                "name": net.name,
                "role": net.switches.cn_role,
                "period": net.period * step,
                "reads": _links(net, [spec.name for spec in net.engine.contract.inputs]),
                "makes": {name: str(link) for name, link in net.outputs.items()},
                "feeds": list(net.chained),
                "standby": None if net.standby is None else net.standby.name,
                "policy": net.switches.cn_policy,
            }
        )
    return rows + [_exchange(one, step) for one in exchanges if one.direction == "to_ocean"]


def _links(net: Network, names: list[str]) -> dict[str, str]:
    return {name: str(net.inputs[name]) for name in names}


def _exchange(one: Exchange, step: float) -> Document:
    return {
        "kind": "exchange",
        "name": one.name,
        "direction": one.direction,
        "period": None if one.static else one.period * step,
        "fields": [{"name": f.name, "units": f.units, "point": f.point, "levels": f.levels} for f in one.fields],
        "halo": one.halo,
        "lag": one.lag,
        "first": one.first,
    }


def _contract(net: Network, bound: Bound) -> Document:
    """What a network asks for beside what it gets."""
    contract, into = net.engine.contract, {}
    given: dict[str, tuple[Field, int]] = {}
    for plan in (*bound.plans, *bound.chains.values()):
        for field in plan.exchange.fields:
            if plan.exchange.direction == "to_coupler":
                given[field.name] = (field, plan.exchange.halo)
            else:
                into[field.name] = field
    rows = []
    for spec in contract.inputs:
        link = net.inputs[spec.name]
        field, halo = given[link.field]
        rows.append(
            _agreed(
                "input", spec, link.selected(field), spec.units, str(link), {"mean": "mean", "masked": "masked mean"}
            )
        )
        rows[-1] |= {"needs": net.halo(spec, field, into), "halo": halo}
    for out in contract.outputs:
        if out.name in net.outputs:
            link = net.outputs[out.name]
            units = as_tendency(out, contract).units
            rows.append(_agreed("output", out, link.selected(into[link.field]), units, str(link), {"mean": "mean"}))
            if out.kind == "increment":
                rows[-1]["how"] += [f"increment per {window_words(contract.window or 0.0)} -> tendency"]
    return {
        "network": net.name,
        "artefact": net.switches.cn_artefact,
        "version": contract.version,
        "sha256": net.engine.sha256,
        "pinned": bool(net.switches.cn_sha256),
        "radius": contract.radius,
        "margin": net.margin(into),
        "edges": contract.edges,
        "decomposition": contract.decomposition,
        "fields": rows,
    }


def _agreed(
    role: str, spec: InputSpec | OutputSpec, field: Field, units: str, link: str, moves: Mapping[str, str]
) -> Document:
    """One input or output, its field, and what the coupler does between them."""
    how = []
    if field.point != spec.point:
        way = (spec.point, field.point) if role == "output" else (field.point, spec.point)
        how.append(f"{moves[spec.interpolate]} {way[0]} -> {way[1]}")
    if isinstance(spec, InputSpec) and spec.fill == "replicate":
        how.append("nearest wet")
    return {
        "role": role,
        "name": spec.name,
        "units": units,
        "point": spec.point,
        "levels": spec.levels,
        "field": link,
        "field_units": field.units,
        "field_point": field.point,
        "field_levels": field.levels,
        "how": how,
    }


def _computing(found: Findings, settings: Settings, bound: Bound) -> Document:
    peaks = {one.network: one.peak for one in found.timings}
    return {
        "cores": cores(),
        "threads": settings.namcpl.nn_threads,
        "networks": [
            {"name": net.name, "engine": net.engine.description, "device": net.engine.device, "agree": proof}
            for net, proof in zip(bound.wiring.networks, [*found.proofs, *["not tried"] * 99], strict=False)
        ],
        "memory": {
            "rank": found.rank,
            "process": found.process,
            "arrays": found.arrays,
            "calls": peaks,
            "total": found.process + found.arrays + sum(peaks.values()),
        },
    }


def _time(found: Findings, bound: Bound) -> Document:
    """Seconds per step; the share is that of the networks where the ocean waits for them, or what is left of it with a lag."""
    networks = {net.name: net for net in bound.wiring.networks}
    taking = [one for one in found.timings if networks[one.network].switches.cn_role != "standby"]
    mean = sum(one.per_step for one in taking)
    lagged = any(one.lag for one in bound.wiring.exchanges)
    result: Document = {
        "networks": [
            {"name": one.network, "block": one.shape, "seconds": one.seconds, "per_step": one.per_step}
            for one in found.timings
        ],
        "per_step": mean,
        "lag": lagged,
        "ocean_step": found.step or None,
        "unknown": found.unknown,
        "share": None,
    }
    if found.step:
        waiting = max(0.0, mean - found.step) if lagged else mean
        whole = found.step + waiting
        steps = bound.shake.time.nn_itend - bound.shake.time.nn_it000 + 1
        result |= {"share": waiting / whole, "steps_per_second": 1.0 / whole, "run_seconds": steps * whole}
    return result
