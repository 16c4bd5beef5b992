"""Networks that feed networks: the order in which they run, and the fields that pass between them."""

from collections.abc import Mapping, Sequence

from coupler.errors import HaloclineError
from coupler.exchange import Exchange
from coupler.fields import Field
from coupler.increments import delivered
from coupler.network import Network


def producers(net: Network) -> dict[str, list[str]]:
    """Network -> its outputs that `net` reads ('x=network.output' in cn_inputs)."""
    found: dict[str, list[str]] = {}
    for link in net.inputs.values():
        maker, dot, output = link.field.partition(".")
        if dot:
            found.setdefault(maker, []).append(output)
    return found


def in_order(networks: Sequence[Network]) -> list[Network]:
    """Producers before readers, else as in the namelist.

    Raises HaloclineError for an unknown producer or output, and for a cycle, which it names.
    """
    known = {net.name: net for net in networks}
    for net in networks:
        for maker, outputs in producers(net).items():
            made = [spec.name for spec in known[maker].engine.contract.outputs] if maker in known else []
            for output in outputs:
                if output not in made:
                    have = f"'{maker}' returns {', '.join(made)}" if made else f"networks: {', '.join(known)}"
                    raise HaloclineError(
                        f"network '{net.name}' reads '{maker}.{output}', which nobody makes; {have}.\n"
                        f"  {net.switches.where('cn_inputs')}."
                    )
    result: list[Network] = []
    waiting = list(networks)
    while waiting:
        done = {net.name for net in result}
        ready = next((net for net in waiting if set(producers(net)) <= done), None)
        if ready is None:
            circle = _circle(waiting)
            raise HaloclineError(
                f"networks feed each other in a circle: {' -> '.join(circle)}.\n  {known[circle[0]].switches.where('cn_inputs')}. "
                "Let one of them read the ocean's field, or join them in one artefact."
            )
        waiting.remove(ready)
        result.append(ready)
    return result


def _circle(networks: Sequence[Network]) -> list[str]:
    """Names along one cycle, the first repeated at the end; every network given has an unfinished producer among them."""
    makers = {
        net.name: next(name for name in producers(net) if any(name == o.name for o in networks)) for net in networks
    }
    path = [networks[0].name]
    while path[-1] not in path[:-1]:
        path.append(makers[path[-1]])
    return path[path.index(path[-1]) :][::-1]


def mark_chained(networks: Sequence[Network]) -> None:
    """Tell every network which of its outputs others read."""
    for net in networks:
        read = {output for other in networks for output in producers(other).get(net.name, ())}
        net.chained = tuple(spec.name for spec in net.engine.contract.outputs if spec.name in read)
        if net.chained and net.switches.cn_role != "active":
            raise HaloclineError(
                f"network '{net.name}' has the role '{net.switches.cn_role}' and feeds others.\n  {net.switches.where('cn_role')}. "
                "Only an active network may."
            )


def chain_fields(net: Network, known: Mapping[str, Field], into: Mapping[str, Field]) -> tuple[Field, ...]:
    """The chained outputs of a network as fields 'network.output', at the point where they are delivered.

    known: fields that its inputs may name (the ocean's, and those of earlier networks).
    """
    specs = {spec.name: spec for spec in delivered(net.engine.contract)}
    sources = {spec.name: known[net.inputs[spec.name].field] for spec in net.engine.contract.inputs}
    levels = [
        net.inputs[spec.name].selected(sources[spec.name]).levels
        for spec in net.engine.contract.inputs
        if spec.levels == "all"
    ]
    grid = next((field.grid for field in sources.values()), 1)
    fields = []
    for name in net.chained:
        spec, link = specs[name], net.outputs.get(name)
        target = into.get(link.field) if link else None
        count = spec.levels if spec.levels != "all" else max(levels, default=1)
        fields.append(
            Field(
                id=0, name=f"{net.name}.{name}", units=spec.units, point=target.point if target else spec.point,
                levels=count, grid=grid, direction="out",
            )
        )  # fmt: skip
    return tuple(fields)


def chain_exchange(net: Network, fields: tuple[Field, ...], halo: int) -> Exchange:
    """The fields of a network that travel between coupler ranks, as an exchange that never meets the ocean."""
    return Exchange(0, f"network {net.name}", "to_coupler", fields, net.period, halo=halo)
