"""Shadow networks of a run, each beside the active network that fills the same fields."""

from collections.abc import Mapping, Sequence

from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.guards.shadow import Shadow
from coupler.links import read_products
from coupler.network import Network
from coupler.stages import product
from coupler.transport.base import Transport


class Comparison:
    """One shadow beside one active network, on the fields that both make."""

    def __init__(
        self,
        shadow: Network,
        active: Network,
        received: Mapping[str, Plan],
        transport: Transport,
        units: Mapping[str, str],
    ) -> None:
        """units: of the fields. The energy input of cn_energy is weighted by cn_weights, where the shadow's namelist gives both."""
        makers = {link: output for output, link in active.outputs.items()}
        self.shadow, self.active = shadow, active
        self.pairs = {link.field: (makers[link], name) for name, link in shadow.outputs.items() if link in makers}
        self.scores = Shadow(shadow.name, active.name, list(self.pairs), transport.rank, transport.allsum, units)
        self._energy = read_products(shadow.switches, "cn_energy")
        self._weights = read_products(shadow.switches, "cn_weights")
        self._received = received

    def add(self, kt: int) -> None:
        """Both have run at step `kt`."""
        ours, theirs = self.active.stages, self.shadow.stages
        masks, energy = {}, {}
        for field, (_, other) in self.pairs.items():
            outlet = theirs.outlets[other]
            if outlet.mask is not None:
                masks[field] = outlet.mask
            if other in self._energy:
                by = product(tuple(self._energy[other]), outlet.wanted, self._received)
                weight = self._weights.get(other)
                energy[field] = (by, product(tuple(weight), outlet.wanted, self._received) if weight else 1.0)
        self.scores.add(
            kt,
            {field: ours.values[mine] for field, (mine, _) in self.pairs.items()},
            {field: theirs.values[other] for field, (_, other) in self.pairs.items()},
            masks,
            energy,
        )


def comparisons(
    networks: Sequence[Network], received: Mapping[str, Plan], transport: Transport, units: Mapping[str, str]
) -> list[Comparison]:
    """Every pair of a shadow and an active network that fill a common field in the same period.

    Raises HaloclineError for a shadow that nothing can be compared with.
    """
    found = []
    for shadow in networks:
        if shadow.switches.cn_role != "shadow":
            continue
        links = set(shadow.outputs.values())
        beside = [
            net
            for net in networks
            if net.switches.cn_role == "active" and links & set(net.outputs.values()) and net.period == shadow.period
        ]
        if not beside:
            raise HaloclineError(
                f"network '{shadow.name}' is a shadow, and no active network fills {', '.join(map(str, links))}.\n"
                f"  {shadow.switches.where('cn_outputs')}. Name fields that an active network fills, or set cn_role = 'active'."
            )
        found += [Comparison(shadow, net, received, transport, units) for net in beside]
    return found
