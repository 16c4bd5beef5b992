"""The first page of a run: what is going to happen."""

from coupler.handshake import Handshake
from coupler.increments import conversions
from coupler.network import Network
from coupler.settings import Settings
from coupler.wiring import Wiring

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
