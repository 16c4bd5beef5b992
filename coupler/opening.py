"""The first page of a run: what is going to happen."""

import os
import platform
import socket
from typing import Any

from coupler.handshake import Handshake
from coupler.increments import conversions
from coupler.network import Network
from coupler.settings import Settings
from coupler.transport.base import Transport
from coupler.versions import installed, revision
from coupler.wiring import Wiring

LIBRARIES = ("halocline", "numpy", "mpi4py", "onnxruntime", "torch", "netCDF4")
ROLES = {"active": "", "standby": ", on standby", "shadow": ", a shadow: compared, never applied"}


def say_start(settings: Settings, shake: Handshake, wiring: Wiring, ranks: int, tests: list[str]) -> None:
    """Print it. tests: per network, whether a cut field gives the bits of the whole."""
    span = f"{shake.date(shake.time.nn_it000).isoformat(' ')} to {shake.date(shake.time.nn_itend + 1).isoformat(' ')}"
    lines = [
        f"ocean '{shake.model}': {'; '.join(f'{g.nx} x {g.ny} cells, {g.boundary}' for g in shake.grids)}, {shake.ranks} ranks; "
        f"coupler: {ranks} ranks; {settings.namcpl.nn_wire} bits on the wire",
        f"steps {shake.time.nn_it000} to {shake.time.nn_itend} of {shake.time.rn_Dt:g} s, {span} ({shake.time.calendar})",
    ]
    for exchange in wiring.exchanges:
        when = "once" if exchange.static else f"every {exchange.period * shake.time.rn_Dt:g} s"
        halo = f", halo {exchange.halo}" if exchange.direction == "to_coupler" else ""
        lag = ", used one period later" if exchange.lag else ""
        names = ", ".join(str(field) for field in exchange.fields)
        lines.append(f"exchange '{exchange.name}' {exchange.direction.replace('_', ' ')} {when}{halo}{lag}: {names}")
    for net, test in zip(wiring.networks, tests, strict=True):
        lines.append(_network(net, settings, shake, test))
        lines += _stages(net, settings)
    if len(wiring.networks) > 1:
        lines.append(f"networks run in this order: {', '.join(net.name for net in wiring.networks)}")
    for chain in wiring.chains:
        names = ", ".join(str(field) for field in chain.fields)
        lines.append(f"{chain.name} feeds other networks, halo {chain.halo}: {names}")
    lines += wiring.notes
    if settings.namcpl.cn_rst_in:
        lines.append(f"the coupler continues from {settings.namcpl.cn_rst_in}")
    if not settings.namcpl.ln_active:
        lines.append("ln_active = .false.: tendencies are computed and written, the ocean receives none")
    print("\n".join(f"halocline: {line}" for line in lines), flush=True)


def provenance(settings: Settings, shake: Handshake, wiring: Wiring, transport: Transport) -> dict[str, Any]:
    """What the log says of a run at its start: code, ocean, exchanges, networks and where they run. Collective."""
    hosts, time = transport.gather(socket.gethostname()), shake.time
    return {
        "versions": {"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES},
        "revision": os.environ.get("HALOCLINE_REVISION") or (revision() if transport.rank == 0 else ""),
        "namelist": str(settings.path),
        "transport": shake.transport,
        "coupler": {"ranks": transport.size, "hosts": hosts or [socket.gethostname()]},
        "ocean": {
            "model": shake.model,
            "ranks": shake.ranks,
            "grids": [{"name": g.name, "nx": g.nx, "ny": g.ny, "boundary": g.boundary} for g in shake.grids],
        },
        "steps": {
            "rn_Dt": time.rn_Dt, "first": time.nn_it000, "last": time.nn_itend, "calendar": time.calendar,
            "begin": shake.date(time.nn_it000).isoformat(" "), "end": shake.date(time.nn_itend + 1).isoformat(" "),
        },
        "exchanges": [
            {"name": e.name, "direction": e.direction, "fields": [field.name for field in e.fields], "static": e.static,
             "period": e.period * time.rn_Dt, "lag": e.lag, "halo": e.halo}
            for e in wiring.exchanges
        ],
        "networks": [_facts(net, time.rn_Dt) for net in wiring.networks],
        "notes": list(wiring.notes),
        "continues_from": settings.namcpl.cn_rst_in or None,
        "active": settings.namcpl.ln_active,
    }  # fmt: skip


def _facts(net: Network, step: float) -> dict[str, Any]:
    """One network for the log."""
    engine, contract = net.engine, net.engine.contract
    return {
        "name": net.name, "artefact": net.switches.cn_artefact, "sha256": engine.sha256, "contract": contract.name,
        "version": contract.version, "license": contract.license, "role": net.switches.cn_role, "engine": engine.name,
        "device": engine.device, "threads": engine.threads, "radius": contract.radius, "period": net.period * step,
        "policy": net.switches.cn_policy,
    }  # fmt: skip


def _network(net: Network, settings: Settings, shake: Handshake, test: str) -> str:
    """Artefact, engine, device, threads, exactness."""
    contract = net.engine.contract
    cast = "" if contract.dtype == f"f{settings.namcpl.nn_wire // 8}" else ", fields are cast"
    return (
        f"network '{net.name}'{ROLES[net.switches.cn_role]}: {net.engine.description}{cast}; version {contract.version}, "
        f"radius {contract.radius}, every {net.period * shake.time.rn_Dt:g} s, edges {contract.edges}; cut and whole agree: {test}"
    )


def _stages(net: Network, settings: Settings) -> list[str]:
    """Increments, noise and guards, where they are not the default."""
    switches, rule = net.switches, net.engine.contract.stochastic
    lines = [f"  {words}" for words in conversions(net.engine.contract)]
    if rule is not None:
        time = switches.cn_noise or rule.time
        seconds = switches.rn_noise_time or rule.memory
        memory = "" if time == "white" else f" over {seconds:g} s"
        lines.append(
            f"  noise: {rule.kind}, {time}{memory}, levels {switches.cn_noise_levels or rule.levels}, factor {switches.rn_noise:g}"
            f", seed {settings.namcpl.nn_seed}, member {settings.namcpl.nn_member}"
        )
    if switches.cn_policy != "stop" and switches.cn_role == "active":
        to = f" on '{switches.cn_fallback}'" if switches.cn_fallback else ""
        lines.append(
            f"  guards: {switches.cn_policy}{to} where an output is not finite, out of range or changes too fast"
        )
    return lines
