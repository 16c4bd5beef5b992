"""Which field goes where: namelist, handshake and contracts compared, exchanges and networks made from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from coupler.assembly import connect, extra_halos, load_networks, unmasked
from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.fields import Field, by_name
from coupler.handshake import Handshake
from coupler.land import MASKS
from coupler.network import Network
from coupler.settings import NamExc, Settings


@dataclass(frozen=True)
class Wiring:
    """What one run does: exchanges in the client's order, networks in the order in which they run, fills and vectors.

    chains: the exchanges between coupler ranks, one for each network that others read.
    """

    exchanges: list[Exchange]
    chains: list[Exchange]
    networks: list[Network]
    fill: Mapping[str, float]
    vectors: tuple[str, ...]
    notes: list[str]


def wire(settings: Settings, shake: Handshake, local_rank: int = 0) -> Wiring:
    """Compare everything and connect it. local_rank: place of this rank on its node, which chooses among GPUs.

    Raises HaloclineError with every disagreement as a sentence of its own, so that one start shows all.
    """
    problems = _same_run(settings, shake)
    out, into = by_name(shake.fields, "out"), by_name(shake.fields, "in")
    networks, notes = load_networks(settings, into, local_rank, problems)
    needed = _halos(networks, out, into)
    exchanges = []
    for number, group in enumerate(settings.namexc, start=1):
        exchange = _exchange(
            settings, number, group, out if group.cn_dir == "to_coupler" else into, shake, needed, problems
        )
        if exchange is not None:
            exchanges.append(exchange)
    chains: list[Exchange] = []
    if not problems:
        chains = connect(networks, exchanges, shake, shake.time.rn_Dt, problems)
        _all_filled(settings, networks, problems)
    fill = _fills(networks, problems)
    if problems:
        raise HaloclineError("\n".join(problems))
    vectors = {
        net.inputs[spec.name].field for net in networks for spec in net.engine.contract.inputs if spec.vector_pair
    } | {f"{net.name}.{spec.name}" for net in networks for spec in net.engine.contract.outputs if spec.vector_pair}
    if exchanges and all(exchange.static for exchange in exchanges if exchange.direction == "to_coupler"):
        notes.append(
            "nothing comes from the ocean after the start: the coupler hears of no restart between (nn_stock) and of no early end; "
            "let a field of the state travel with the answers' period, and it does"
        )
    travelling = {field.name for exchange in exchanges for field in exchange.fields}
    notes += [note for net in networks for note in unmasked(net, into, travelling)]
    return Wiring(exchanges, chains, networks, fill, tuple(sorted(vectors)), notes)


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
    settings: Settings,
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
    between = group.cn_dir == "to_ocean" and (first - 1) % period > 0
    if between and (not settings.namcpl.cn_rst_in or settings.namcpl.cn_transport == "oasis"):
        problems.append(
            f"exchange '{group.cn_name}' happens every {period} steps counted from step 1; a run that starts at step {first} "
            f"needs the answers of step {first - (first - 1) % period}.\n  {group.where('rn_period')}. Give the coupler's restart "
            f"(cn_rst_in; not over OASIS), start at step {first + (1 - first) % period}, or use a shorter period."
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
    return Exchange(number, group.cn_name, group.cn_dir, fields, period, group.ln_static, halo, group.nn_lag, between)


def _halos(networks: list[Network], out: Mapping[str, Field], into: Mapping[str, Field]) -> dict[str, int]:
    """Cells of halo that each field needs; a mask that is exchanged reaches as far as any field."""
    needed = extra_halos(networks, out, into)
    made = {f"{net.name}.{spec.name}": spec for net in networks for spec in net.engine.contract.outputs}
    for net in networks:
        for spec in net.engine.contract.inputs:
            name = net.inputs[spec.name].field
            if name in out:
                needed[name] = max(needed.get(name, 0), net.halo(spec, out[name], into))
            elif name in made:
                needed[name] = max(needed.get(name, 0), net.halo(spec, made[name], into))
    widest = max(needed.values(), default=0)
    masks = [name for name in out if name.split("_")[0] in MASKS.values()]
    return {**needed, **dict.fromkeys(masks, widest)}


def _all_filled(settings: Settings, networks: list[Network], problems: list[str]) -> None:
    """Every field that goes to the ocean is made by exactly one network."""
    for group in settings.namexc:
        if group.cn_dir != "to_ocean":
            continue
        for field in group.cn_fields:
            makers = [net.name for net in networks if net.switches.cn_role == "active" and field in net.made]
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
                    f"for network '{net.name}'; one field has one fill.\n  {net.switches.where()}. Export one of them with the "
                    "other's fill."
                )
    return {field: value for field, (value, _) in fill.items()}
