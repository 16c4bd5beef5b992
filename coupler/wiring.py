"""Which field goes where: namelist, handshake and contracts compared, exchanges and networks made from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coupler.contract import OutputSpec, check_against
from coupler.engines.base import find_artefact, load_engine
from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.fields import Field, by_name
from coupler.handshake import Handshake
from coupler.land import MASKS
from coupler.links import Link, read_links
from coupler.network import Network
from coupler.settings import NamExc, NamNet, Settings


@dataclass(frozen=True)
class Wiring:
    """What one run does: exchanges in the client's order, networks in the order of the namelist, fills and vectors."""

    exchanges: list[Exchange]
    networks: list[Network]
    fill: Mapping[str, float]
    vectors: tuple[str, ...]
    notes: list[str]


def wire(settings: Settings, shake: Handshake) -> Wiring:
    """Compare everything and connect it.

    Raises HaloclineError with every disagreement as a sentence of its own, so that one start shows all.
    """
    problems = _same_run(settings, shake)
    out, into = by_name(shake.fields, "out"), by_name(shake.fields, "in")
    networks, notes = _networks(settings, into, problems)
    needed = _halos(networks, out, into)
    exchanges = []
    for number, group in enumerate(settings.namexc, start=1):
        exchange = _exchange(number, group, out if group.cn_dir == "to_coupler" else into, shake, needed, problems)
        if exchange is not None:
            exchanges.append(exchange)
    if not problems:
        for net, switches in zip(networks, settings.namnet, strict=True):
            _connect(net, switches, exchanges, shake, problems)
        _all_filled(settings, networks, problems)
    fill = _fills(networks, problems)
    if problems:
        raise HaloclineError("\n".join(problems))
    vectors = {
        net.inputs[spec.name].field for net in networks for spec in net.engine.contract.inputs if spec.vector_pair
    }
    return Wiring(exchanges, networks, fill, tuple(sorted(vectors)), notes)


def _same_run(settings: Settings, shake: Handshake) -> list[str]:
    """What &namcpl states about the run and the ocean says otherwise."""
    cpl = settings.namcpl
    levels = max((field.levels for field in shake.fields), default=1)
    pairs = [
        ("nn_nx", cpl.nn_nx, shake.grid.nx),
        ("nn_ny", cpl.nn_ny, shake.grid.ny),
        ("nn_nz", cpl.nn_nz, levels),
        ("rn_Dt", cpl.rn_Dt, shake.time.rn_Dt),
        ("nn_steps", cpl.nn_steps, shake.time.nn_itend - shake.time.nn_it000 + 1),
        ("cn_boundary", cpl.cn_boundary, shake.grid.boundary),
    ]
    return [
        f"{key} = {ours} in the namelist, {theirs} in the ocean '{shake.model}'.\n  {cpl.where(key)}. "
        f"Set {key} = {theirs}, or leave it out."
        for key, ours, theirs in pairs
        if ours and ours != theirs
    ]


def _steps(group: NamExc, rn_dt: float, problems: list[str]) -> int:
    """The coupling period in time steps."""
    if group.rn_period == 0.0:
        return 1
    steps = round(group.rn_period / rn_dt)
    if steps < 1 or abs(steps * rn_dt - group.rn_period) > 1e-9 * group.rn_period:
        near = max(1, steps) * rn_dt
        problems.append(
            f"exchange '{group.cn_name}': the period of {group.rn_period:g} s is not a multiple of the ocean's time step, "
            f"{rn_dt:g} s.\n  {group.where('rn_period')}. Set rn_period = {near:g}, or 0 for every step."
        )
        return 1
    return steps


def _exchange(
    number: int,
    group: NamExc,
    known: Mapping[str, Field],
    shake: Handshake,
    needed: Mapping[str, int],
    problems: list[str],
) -> Exchange | None:
    """One &namexc against the fields that the ocean declares."""
    verb = "offers" if group.cn_dir == "to_coupler" else "accepts"
    missing = [name for name in group.cn_fields if name not in known]
    for name in missing:
        problems.append(
            f"exchange '{group.cn_name}': the ocean '{shake.model}' {verb} no field '{name}'. "
            f"It {verb}: {', '.join(known) or 'none'}.\n  {group.where('cn_fields')}."
        )
    if group.ln_static and group.cn_dir == "to_ocean":
        problems.append(
            f"exchange '{group.cn_name}': static fields travel to the coupler only.\n  {group.where('ln_static')}. "
            "Leave ln_static out."
        )
    period = _steps(group, shake.time.rn_Dt, problems)
    first = shake.time.nn_it000
    if not group.ln_static and (first - 1) % period:
        problems.append(
            f"exchange '{group.cn_name}' happens every {period} steps counted from step 1; a run that starts at step {first} "
            f"would need the tendencies of step {first - (first - 1) % period}, which no restart holds.\n"
            f"  {group.where('rn_period')}. Start at step {first + (1 - first) % period}, or use a shorter period."
        )
    if group.nn_lag and group.cn_dir == "to_coupler":
        problems.append(
            f"exchange '{group.cn_name}': nn_lag belongs to an exchange to the ocean.\n  {group.where('nn_lag')}. Leave it out."
        )
    radius = max((needed.get(name, 0) for name in group.cn_fields), default=0) if group.cn_dir == "to_coupler" else 0
    halo = radius if group.nn_halo < 0 else group.nn_halo
    if group.nn_halo > 0 and group.cn_dir == "to_ocean":
        problems.append(
            f"exchange '{group.cn_name}': nn_halo = {group.nn_halo}, but the ocean receives interiors only.\n"
            f"  {group.where('nn_halo')}. Leave it out."
        )
    if missing:
        return None
    fields = tuple(known[name] for name in group.cn_fields)
    grids = sorted({field.grid for field in fields})
    if len(grids) > 1:
        problems.append(
            f"exchange '{group.cn_name}' has fields of the grids {', '.join(shake.grids[g - 1].name or str(g) for g in grids)}.\n"
            f"  {group.where('cn_fields')}. Give each grid an exchange of its own."
        )
    part = shake.grids[grids[0] - 1]
    if halo > max(part.nx, part.ny):
        problems.append(
            f"exchange '{group.cn_name}' needs a halo of {halo} cells, more than the grid of {part.nx} x {part.ny} has."
            f"\n  {group.where('nn_halo')}. Use a network of a smaller radius, or a smaller nn_halo."
        )
    return Exchange(number, group.cn_name, group.cn_dir, fields, period, group.ln_static, halo, group.nn_lag)


def _networks(settings: Settings, into: Mapping[str, Field], problems: list[str]) -> tuple[list[Network], list[str]]:
    """Load every network; problems of one do not hide those of the next."""
    networks, notes = [], []
    search = [Path.cwd(), settings.path.resolve().parent]
    for group in settings.namnet:
        try:
            inputs, outputs = read_links(group, "cn_inputs"), read_links(group, "cn_outputs")
            if group.cn_engine == "null":
                specs = [_null_output(group, link.field, into) for link in outputs.values()]
                engine = load_engine(None, "null", outputs=specs)
            elif not group.cn_artefact:
                raise HaloclineError(
                    f"network '{group.cn_name}' names no artefact. Set cn_artefact, or cn_engine = 'null'."
                )
            else:
                engine = load_engine(
                    find_artefact(group.cn_artefact, search),
                    group.cn_engine,
                    threads=settings.namcpl.nn_threads,
                    sha256=group.cn_sha256 or None,
                    python_allow=settings.namcpl.cn_python_allow,
                )
            contract = engine.contract
            _known_names(inputs, {spec.name for spec in contract.inputs}, "input", group)
            _known_names(outputs, {spec.name for spec in contract.outputs}, "output", group)
        except HaloclineError as error:
            problems.append(f"{error}\n  {group.where('cn_artefact' if group.cn_artefact else None)}.")
            continue
        notes += [f"network '{group.cn_name}': {note}" for note in engine.notes]
        networks.append(
            Network(
                group.cn_name,
                engine,
                {spec.name: inputs.get(spec.name, Link(spec.name)) for spec in contract.inputs},
                {spec.name: outputs.get(spec.name, Link(spec.name)) for spec in contract.outputs},
                group.rn_scale,
            )
        )
    return networks, notes


def _halos(networks: list[Network], out: Mapping[str, Field], into: Mapping[str, Field]) -> dict[str, int]:
    """Cells of halo that each field needs; a mask that is exchanged reaches as far as any field."""
    needed: dict[str, int] = {}
    for net in networks:
        for spec in net.engine.contract.inputs:
            name = net.inputs[spec.name].field
            if name in out:
                needed[name] = max(needed.get(name, 0), net.halo(spec, out[name], into))
    widest = max(needed.values(), default=0)
    masks = [name for name in out if name.split("_")[0] in MASKS.values()]
    return {**needed, **dict.fromkeys(masks, widest)}


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


def _connect(net: Network, group: NamNet, exchanges: list[Exchange], shake: Handshake, problems: list[str]) -> None:
    """Inputs and outputs of one network against the exchanges: contract, halo, periods, time level."""
    received = {
        field.name: exchange
        for exchange in exchanges
        if exchange.direction == "to_coupler"
        for field in exchange.fields
    }
    sent = {
        field.name: exchange for exchange in exchanges if exchange.direction == "to_ocean" for field in exchange.fields
    }
    contract = net.engine.contract
    into = {name: _field(exchange, name) for name, exchange in sent.items()}
    offered, wanted = {}, {}
    try:
        offered = {
            n: k.selected(_field(received[k.field], k.field)) for n, k in net.inputs.items() if k.field in received
        }
        wanted = {n: k.selected(into[k.field]) for n, k in net.outputs.items() if k.field in into}
    except HaloclineError as error:
        problems.append(f"network '{net.name}': {error}\n  {group.where()}.")
        return
    spare = [
        received[link.field].halo - net.halo(spec, _field(received[link.field], link.field), into)
        for spec in contract.inputs
        if (link := net.inputs[spec.name]).field in received
    ]
    found = check_against(contract, offered, contract.radius + min(0, *spare, 0), wanted)
    if contract.time_level != shake.time.level and contract.inputs:
        found.append(
            f"network '{net.name}' was made for the time level '{contract.time_level}', the ocean sends '{shake.time.level}'. "
            "Send the other level, or use another artefact."
        )
    problems += [f"{sentence}\n  {group.where()}." for sentence in found]
    if found:
        return
    grids = {into[link.field].grid for link in net.outputs.values()} | {
        received[k.field].grid for k in net.inputs.values()
    }
    if len(grids) > 1:
        problems.append(
            f"network '{net.name}' has fields of {len(grids)} grids.\n  {group.where()}. A network lives on one grid: use one for "
            "each."
        )
        return
    net.grid = min(grids)
    periods = {sent[link.field].period for link in net.outputs.values()}
    if len(periods) > 1:
        problems.append(
            f"network '{net.name}': its outputs travel with different periods ({', '.join(map(str, sorted(periods)))} steps)."
            f"\n  {group.where()}. Put them in one exchange."
        )
    net.period = min(periods)
    for field in (link.field for link in net.inputs.values()):
        exchange = received[field]
        if not exchange.static and net.period % exchange.period:
            problems.append(
                f"network '{net.name}' runs every {net.period} steps, its input '{field}' comes every {exchange.period} (exchange "
                f"'{exchange.name}').\n  {group.where()}. The period of the outputs must be a multiple of that of the inputs."
            )


def _field(exchange: Exchange, name: str) -> Field:
    """The field of that name in an exchange."""
    return next(field for field in exchange.fields if field.name == name)


def _all_filled(settings: Settings, networks: list[Network], problems: list[str]) -> None:
    """Every field that goes to the ocean is made by exactly one network."""
    for group in settings.namexc:
        if group.cn_dir != "to_ocean":
            continue
        for field in group.cn_fields:
            makers = [net.name for net in networks if field in [link.field for link in net.outputs.values()]]
            if len(makers) != 1:
                problems.append(
                    f"field '{field}' of exchange '{group.cn_name}' is made by {len(makers)} networks"
                    f"{' (' + ', '.join(makers) + ')' if makers else ''}; exactly one must.\n  {group.where('cn_fields')}. "
                    "Connect an output with cn_outputs = 'output=field' in &namnet."
                )


def _fills(networks: list[Network], problems: list[str]) -> dict[str, float]:
    """Value outside closed edges per field; networks that share a field must agree."""
    fill: dict[str, tuple[float, str]] = {}
    for net in networks:
        for spec in net.engine.contract.inputs:
            if isinstance(spec.fill, str):
                continue
            field = net.inputs[spec.name].field
            value, maker = fill.setdefault(field, (spec.fill, net.name))
            if value != spec.fill:
                problems.append(
                    f"outside the grid, field '{field}' is filled with {value:g} for network '{maker}' and with {spec.fill:g} "
                    f"for network '{net.name}'; one field has one fill. Export one of them with the other's fill."
                )
    return {field: value for field, (value, _) in fill.items()}
