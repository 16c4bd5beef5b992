"""Networks from the namelist: loaded, ordered, and connected to the fields of the exchanges."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from coupler.agreement import check_against
from coupler.chain import chain_exchange, chain_fields, in_order, mark_chained, producers
from coupler.contract import Contract, OutputSpec
from coupler.engines.base import Engine, find_artefact, load_engine
from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.fields import Field
from coupler.guards.statics import grid_problem, year_problem
from coupler.handshake import Handshake
from coupler.land import mask_name
from coupler.links import Link, read_links, read_products
from coupler.network import Network
from coupler.settings import NamNet, Settings

Problems = list[str]


def load_networks(
    settings: Settings, into: Mapping[str, Field], local_rank: int, problems: Problems
) -> tuple[list[Network], list[str]]:
    """Load every network, in the order in which they run; problems of one do not hide those of the next."""
    networks, notes = [], []
    for group in settings.namnet:
        try:
            engine = load(settings, group, into, local_rank)
            networks.append(_network(group, engine, into))
        except HaloclineError as error:
            problems.append(f"{error}\n  {group.where(_switch(str(error), group))}.")
            continue
        notes += [f"network '{group.cn_name}': {note}" for note in engine.notes]
    if problems:
        return networks, notes
    try:
        networks = in_order(networks)
        mark_chained(networks)
        _standbys(networks)
    except HaloclineError as error:
        problems.append(str(error))
    for net in networks:
        _drop_unread(net, into)
    return networks, notes


def _switch(message: str, group: NamNet) -> str | None:
    """The switch that a message about an artefact is about: one that it names and that is set, else the artefact."""
    asked = ("cn_device", "cn_sha256", "cn_precision", "rn_maxmem")
    usual = type(group).model_fields
    named = [key for key in asked if key in message and getattr(group, key) != usual[key].default]
    return named[0] if named else "cn_artefact" if group.cn_artefact else None


def load(settings: Settings, group: NamNet, into: Mapping[str, Field], local_rank: int) -> Engine:
    """The engine of one &namnet. HaloclineError where the artefact is not as promised."""
    if group.cn_engine == "null":
        specs = [_null_output(group, link.field, into) for link in read_links(group, "cn_outputs").values()]
        return load_engine(None, "null", outputs=specs)
    if not group.cn_artefact:
        raise HaloclineError(f"network '{group.cn_name}' names no artefact. Set cn_artefact, or cn_engine = 'null'.")
    return load_engine(
        find_artefact(group.cn_artefact, [settings.path.resolve().parent, Path.cwd()]),
        group.cn_engine,
        threads=settings.namcpl.nn_threads,
        sha256=group.cn_sha256 or None,
        python_allow=settings.namcpl.cn_python_allow,
        trust=group.ln_trust,
        device=group.cn_device,
        precision=group.cn_precision,
        maxmem=group.rn_maxmem,
        local_rank=local_rank,
    )


def reload(
    settings: Settings, into: Mapping[str, Field], local_rank: int, net: Network, artefact: str, sha256: str
) -> Engine:
    """The engine of another artefact for a network of this run, which must be pinned."""
    group = net.switches.model_copy(update={"cn_artefact": artefact, "cn_sha256": sha256, "cn_engine": "auto"})
    return load(settings, group, into, local_rank)


def _network(group: NamNet, engine: Engine, into: Mapping[str, Field]) -> Network:
    """A network with its links; an output that is not named goes to the ocean's field of its name, if there is one."""
    inputs, outputs = read_links(group, "cn_inputs"), read_links(group, "cn_outputs")
    contract = engine.contract
    _known_names(inputs, {spec.name for spec in contract.inputs}, "input", group)
    _known_names(outputs, {spec.name for spec in contract.outputs}, "output", group)
    for spec in contract.outputs:
        if spec.name not in contract.partners or spec.name in into:
            outputs.setdefault(spec.name, Link(spec.name))
    return Network(group, engine, {s.name: inputs.get(s.name, Link(s.name)) for s in contract.inputs}, outputs)


def _drop_unread(net: Network, into: Mapping[str, Field]) -> None:
    """An output that other networks read and the ocean does not accept is no problem."""
    for name in net.chained:
        if name in net.outputs and net.outputs[name].field not in into:
            del net.outputs[name]


def _standbys(networks: Sequence[Network]) -> None:
    """Connect cn_fallback with the network of that name, output by output."""
    known = {net.name: net for net in networks}
    for net in networks:
        name = net.switches.cn_fallback
        if not name:
            continue
        where = net.switches.where("cn_fallback")
        other = known.get(name)
        if net.switches.cn_policy != "fallback":
            raise HaloclineError(
                f"network '{net.name}' names a fallback and its policy is '{net.switches.cn_policy}'.\n  {where}. "
                "Set cn_policy = 'fallback', or leave cn_fallback out."
            )
        if other is None or other.switches.cn_role != "standby":
            standbys = [n.name for n in networks if n.switches.cn_role == "standby"]
            raise HaloclineError(
                f"network '{net.name}' falls back on '{name}', which is no network with cn_role = 'standby'; there are: "
                f"{', '.join(standbys) or 'none'}.\n  {where}."
            )
        makers = {link: output for output, link in other.outputs.items()}
        lacking = [str(link) for link in net.outputs.values() if link not in makers]
        if lacking:
            raise HaloclineError(
                f"network '{net.name}' falls back on '{name}', which does not make {', '.join(lacking)}.\n  {where}."
            )
        net.standby, net.substitutes = other, {output: makers[link] for output, link in net.outputs.items()}


def connect(
    networks: Sequence[Network], exchanges: Sequence[Exchange], shake: Handshake, rn_dt: float, problems: Problems
) -> list[Exchange]:
    """Inputs and outputs of all networks against the exchanges: contract, halo, periods, grids.

    networks: in the order in which they run. Returns the exchanges of chained fields, one per network that others read.
    """
    received = {f.name: e for e in exchanges if e.direction == "to_coupler" for f in e.fields}
    sent = {f.name: e for e in exchanges if e.direction == "to_ocean" for f in e.fields}
    into = {name: _field(exchange, name) for name, exchange in sent.items()}
    _periods(networks, sent, rn_dt, problems)
    chains = []
    for net in networks:
        offered = {name: _field(exchange, name) for name, exchange in received.items()}
        try:
            _connect(net, received, sent, offered, into, shake, problems)
            if net.chained and not problems:
                fields = chain_fields(net, offered, into)
                chain = chain_exchange(net, fields, _chain_halo(net, fields, networks, into))
                received |= {field.name: chain for field in fields}
                chains.append(chain)
        except HaloclineError as error:
            problems.append(f"network '{net.name}': {error}\n  {net.switches.where()}.")
        if problems:
            return chains
    return chains


def _periods(networks: Sequence[Network], sent: Mapping[str, Exchange], rn_dt: float, problems: Problems) -> None:
    """Steps between two runs: those of the exchange to the ocean, or of the networks that read."""
    for net in reversed(networks):
        periods = {sent[link.field].period for link in net.outputs.values() if link.field in sent}
        given = net.switches.rn_period
        where = net.switches.where("rn_period" if given else None)
        if len(periods) > 1:
            shown = ", ".join(map(str, sorted(periods)))
            problems.append(
                f"network '{net.name}': its outputs travel with different periods ({shown} steps).\n  {where}. Put them in one "
                "exchange."
            )
        if periods and given:
            problems.append(
                f"network '{net.name}' has outputs for the ocean: its period is that of their exchange.\n  {where}. Leave it out."
            )
        readers = [other.period for other in networks if net.name in producers(other)]
        if not periods and not readers and net.outputs:
            continue  # the comparison with the contract says which output is not connected
        steps = min(periods) if periods else math.gcd(*readers) if readers else 1
        if given and not periods:
            steps = round(given / rn_dt)
            if steps < 1 or abs(steps * rn_dt - given) > 1e-9 * given or any(period % steps for period in readers):
                problems.append(
                    f"network '{net.name}': its period of {given:g} s must be a multiple of the time step, {rn_dt:g} s, and divide "
                    f"the periods of its readers ({', '.join(f'{p * rn_dt:g} s' for p in readers)}).\n  {where}."
                )
                steps = 1
        net.period = steps


def _connect(
    net: Network,
    received: Mapping[str, Exchange],
    sent: Mapping[str, Exchange],
    known: Mapping[str, Field],
    into: Mapping[str, Field],
    shake: Handshake,
    problems: Problems,
) -> None:
    contract, group = net.engine.contract, net.switches
    offered = {n: k.selected(known[k.field]) for n, k in net.inputs.items() if k.field in known}
    wanted = {n: k.selected(into[k.field]) for n, k in net.outputs.items() if k.field in into}
    spare = [
        received[link.field].halo - net.halo(spec, known[link.field], into)
        for spec in contract.inputs
        if (link := net.inputs[spec.name]).field in received and "." not in link.field
    ]
    found = check_against(contract, offered, contract.radius + min(0, *spare, 0), wanted, frozenset(net.chained))
    if contract.time_level != shake.time.level and contract.inputs:
        found.append(
            f"network '{net.name}' was made for the time level '{contract.time_level}', the ocean sends '{shake.time.level}'. "
            "Send the other level, or use another artefact."
        )
    found += _extra_fields(net, known, into)
    problems += [f"{sentence}\n  {group.where()}." for sentence in found]
    if found:
        return
    used = [known[link.field] for link in net.inputs.values()] + [into[link.field] for link in net.outputs.values()]
    grids = {field.grid for field in used}
    if len(grids) > 1:
        problems.append(
            f"network '{net.name}' has fields of {len(grids)} grids.\n  {group.where()}. A network lives on one grid: use one for "
            "each."
        )
        return
    net.grid = min(grids, default=1)
    part = shake.grids[net.grid - 1]
    fields = {name: link.field for name, link in net.inputs.items()}
    for wrong in (
        grid_problem(net.name, contract, fields, part.nx, part.ny),
        year_problem(net.name, contract, shake.time.calendar),
    ):
        if wrong:
            problems.append(f"{wrong}\n  {group.where('cn_artefact')}.")
    for name in (link.field for link in net.inputs.values()):
        exchange = received[name]
        if not exchange.static and net.period % exchange.period:
            problems.append(
                f"network '{net.name}' runs every {net.period} steps, its input '{name}' comes every {exchange.period} (exchange "
                f"'{exchange.name}').\n  {group.where()}. The period of the outputs must be a multiple of that of the inputs."
            )


def _extra_fields(net: Network, known: Mapping[str, Field], into: Mapping[str, Field]) -> list[str]:
    """Fields that cn_flags, cn_weights and cn_energy name, and the latitude of a window."""
    group, found = net.switches, []
    for key, fields, verb in (
        ("cn_flags", into, "accepts"), ("cn_weights", known, "offers"), ("cn_energy", known, "offers"),
    ):  # fmt: skip
        for output, names in read_products(group, key).items():
            if output not in net.outputs and output not in net.chained:
                found.append(f"{key} names the output '{output}', which network '{net.name}' does not deliver.")
            for name in names:
                if name not in fields:
                    found.append(
                        f"{key} of network '{net.name}' names the field '{name}'; the ocean {verb} in its exchanges: "
                        f"{', '.join(fields) or 'none'}."
                    )
    return found


def extra_halos(networks: Sequence[Network], known: Mapping[str, Field], into: Mapping[str, Field]) -> dict[str, int]:
    """Cells of halo of weights and energies: one where the field is on another point than the output."""
    needed: dict[str, int] = {}
    for net in networks:
        specs = {spec.name: spec for spec in net.engine.contract.outputs}
        for key in ("cn_weights", "cn_energy"):
            for output, names in read_products(net.switches, key).items():
                link = net.outputs.get(output)
                point = into[link.field].point if link and link.field in into else specs[output].point
                for name in names:
                    if name in known:
                        needed[name] = max(needed.get(name, 0), int(known[name].point != point))
    return needed


def _chain_halo(net: Network, fields: Sequence[Field], networks: Sequence[Network], into: Mapping[str, Field]) -> int:
    """The widest halo that any reader needs."""
    by_name = {field.name: field for field in fields}
    return max(
        reader.halo(spec, by_name[link.field], into)
        for reader in networks
        for spec in reader.engine.contract.inputs
        if (link := reader.inputs[spec.name]).field in by_name
    )


def unmasked(net: Network, into: Mapping[str, Field], received: set[str]) -> list[str]:
    """Outputs that change their point and whose mask does not travel, as notes."""
    contract: Contract = net.engine.contract
    notes = []
    for spec in contract.outputs:
        field = into.get(net.outputs[spec.name].field) if spec.name in net.outputs else None
        if field and field.point != spec.point and mask_name(field) not in received:
            notes.append(
                f"network '{net.name}': '{field.name}' is not masked on land, since no '{mask_name(field)}' travels; add it to a "
                "static exchange"
            )
    return notes


def _known_names(pairs: Mapping[str, Link], known: set[str], role: str, group: NamNet) -> None:
    """Entries of cn_inputs and cn_outputs must name something in the contract."""
    for name in pairs:
        if name not in known:
            raise HaloclineError(
                f"network '{group.cn_name}' has no {role} '{name}'. Its {role}s: {', '.join(sorted(known)) or 'none'}."
            )


def _null_output(group: NamNet, name: str, into: Mapping[str, Field]) -> OutputSpec:
    """A zero output that looks like the ocean's field."""
    if name not in into:
        raise HaloclineError(
            f"network '{group.cn_name}': the ocean accepts no field '{name}'. It accepts: {', '.join(into) or 'none'}."
        )
    field = into[name]
    return OutputSpec.model_validate({"name": name, "units": field.units, "point": field.point, "levels": field.levels})


def _field(exchange: Exchange, name: str) -> Field:
    """The field of that name in an exchange."""
    return next(field for field in exchange.fields if field.name == name)
