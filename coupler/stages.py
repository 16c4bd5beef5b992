"""What the outputs of a network pass on their way: noise, staggering, mask, guards, window, conservation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from coupler.contract import Contract, OutputSpec
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.feed import inner
from coupler.fields import Field
from coupler.guards.conserve import Conserve
from coupler.guards.guard import Guard, limits_of
from coupler.guards.novelty import Novelty
from coupler.guards.window import Window
from coupler.increments import delivered, rate_of
from coupler.land import mask_of
from coupler.links import Link, read_products
from coupler.noise import Noise
from coupler.outlet import Outlet
from coupler.settings import NamNet
from coupler.site import Site
from coupler.stagger import to_point

Plans = Mapping[str, Plan]
Arrays = Mapping[str, np.ndarray]


@dataclass
class Stages:
    """The stages of one network on one rank, in their order; empty until `make_stages`.

    noise: generators of the graph's noise inputs; halos: cells around the subdomain of every generator; radius: cells around
    it of the inputs, for novelty; masks: input -> its mask; layers: outputs of which each level conserves its mass; fell: a cell
    of the last call was left to the ocean.
    """

    outlets: dict[str, Outlet] = field(default_factory=dict)
    noise: dict[str, Noise] = field(default_factory=dict)
    halos: dict[str, int] = field(default_factory=dict)
    guard: Guard | None = None
    novelty: Novelty | None = None
    radius: int = 0
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    weights: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    conserve: dict[str, Conserve] = field(default_factory=dict)
    flags: dict[str, np.ndarray] = field(default_factory=dict)
    fell: bool = False

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Outputs (k, nj, ni) by name, the arrays that are delivered."""
        return {name: outlet.target for name, outlet in self.outlets.items()}

    def take_static(self, site: Site) -> None:
        """Read masks and windows, after the static fields have arrived."""
        for name, outlet in self.outlets.items():
            outlet.take_static()
            if name in self.weights:
                inside = np.ones(outlet.target.shape, bool) if outlet.wet is None else outlet.wet
                outside = self.windows[name].outside()
                mask = inside if outside is None else inside & ~outside
                self.conserve[name] = Conserve(name, self.weights[name], mask, site.allsum, name in self.layers)

    def finish(self, kt: int, inputs: Arrays, fallback: Callable[[], Arrays] | None) -> None:
        """Guards, window and conservation on what the engine gave at step `kt`, in place.

        inputs: (k, J, I) as the network read them. Raises HaloclineError under the policy 'stop'.
        """
        novel = False
        if self.novelty is not None:
            novel = self.novelty.check(kt, {n: inner(a, self.radius) for n, a in inputs.items()}, self.masks)
        if self.guard is not None:
            left = self.guard.check(kt, self.values, fallback, novel)
            self.fell = any(cells is not None for cells in left.values())
            for name, flag in self.flags.items():
                cells = left[name]
                flag[...] = 0.0 if cells is None else cells
                outside = self.windows[name].outside()
                if outside is not None:
                    np.copyto(flag, 0.0, where=outside)
        for name, window in self.windows.items():
            window.apply(self.outlets[name].target, kt)
        for name, conserve in self.conserve.items():
            conserve(self.outlets[name].target)

    def memories(self) -> dict[str, Noise]:
        """Generators that remember ('ar1')."""
        made = {name: outlet.noise for name, outlet in self.outlets.items() if outlet.noise is not None}
        return {name: noise for name, noise in (made | self.noise).items() if noise.time == "ar1"}

    def state(self) -> dict[str, np.ndarray]:
        """What the guards remember, output -> (k, nj, ni)."""
        return {} if self.guard is None else self.guard.state()

    def counters(self) -> dict[str, int]:
        """'output.guard' -> interventions of this rank, those before a restart included."""
        return {} if self.guard is None else self.guard.counters()

    def restore(self, last: Arrays, counters: Mapping[str, int]) -> None:
        """Put `state` (of this rank) and the counters of all ranks (on rank 0) back."""
        if self.guard is not None:
            self.guard.restore(last, counters)

    def report(self) -> list[str]:
        """Lines on this run. Collective."""
        lines = [] if self.guard is None else [self.guard.report()]
        lines += [] if self.novelty is None else self.novelty.report()
        lines += [
            f"conservation of '{name}': the mean removed was {c.largest:.3g} at most"
            for name, c in self.conserve.items()
        ]
        return [line for line in lines if line]


def make_stages(
    switches: NamNet,
    contract: Contract,
    inputs: Mapping[str, Link],
    outputs: Mapping[str, Link],
    chained: tuple[str, ...],
    margin: int,
    levels: int,
    period: int,
    received: Plans,
    sent: Plans,
    site: Site,
) -> Stages:
    """The stages of a network. margin: cells around the subdomain on which it runs; levels: of its inputs of all levels.

    period: steps between two runs. Raises HaloclineError where a switch asks for what the contract or the fields lack.
    """
    stages = Stages(radius=contract.radius + margin)
    active = switches.cn_role == "active"
    fields: dict[str, Field] = {}
    seen, rates = delivered(contract), {spec.name: rate_of(spec, contract) for spec in contract.outputs}
    for spec in seen:
        link = outputs.get(spec.name)
        if link is not None and link.field in sent:
            plan = sent[link.field]
            view = link.cut(plan.views[link.field])
            fields[spec.name] = next(item for item in plan.exchange.fields if item.name == link.field)
            target = view if active else np.zeros_like(view)
        elif spec.name in chained:
            count = levels if spec.levels == "all" else spec.levels
            target = np.zeros((count, site.box.nj, site.box.ni), contract.dtype)
        else:
            continue
        wanted = fields[spec.name].point if spec.name in fields else spec.point
        mask = _mask(spec, fields.get(spec.name), inputs, received)
        stages.outlets[spec.name] = Outlet(
            spec.name, target, mask, spec.point, wanted, margin, rate=rates[spec.name]
        )  # fmt: skip
    _add_noise(stages, switches, contract, margin, levels, period, site)
    if switches.cn_role == "standby":
        return stages
    for name, outlet in stages.outlets.items():
        gphi = f"gphi{'t' if outlet.wanted == 'W' else outlet.wanted.lower()}"
        here = inner(received[gphi].views[gphi], received[gphi].exchange.halo)[0] if gphi in received else None
        stages.windows[name] = Window(switches, name, outlet.target.shape[0], site.step, outlet.wanted, here)
    if not active:
        return stages
    seconds = period * site.step
    specs = {spec.name: spec for spec in seen if spec.name in stages.outlets}
    stages.guard = Guard(
        switches.cn_name,
        switches,
        {name: limits_of(spec, switches, seconds) for name, spec in specs.items()},
        {name: fields[name].name if name in fields else name for name in specs},
        site.box,
        site.rank,
        site.allsum,
        {name: outlet.mask for name, outlet in stages.outlets.items() if outlet.mask is not None},
    )
    novelty = Novelty(switches.cn_name, contract.inputs, switches.rn_novelty, site.allsum)
    if novelty.watches:
        stages.novelty = novelty
        for item in contract.inputs:
            plan = received[inputs[item.name].field]
            source = next(f for f in plan.exchange.fields if f.name == inputs[item.name].field)
            mask = mask_of(received, source.model_copy(update={"point": item.point}), 0)
            if mask is not None and not item.static:
                stages.masks[item.name] = mask
    for name, (flag, *_) in read_products(switches, "cn_flags").items():
        stages.flags[name] = outputs[name].cut(sent[flag].views[flag])
    _add_weights(stages, switches, specs, received)
    return stages


def _mask(spec: OutputSpec, target: Field | None, inputs: Mapping[str, Link], received: Plans) -> np.ndarray | None:
    """The mask of an output, (1 or k, nj, ni): of its field's point, or the input that the contract names."""
    if target is not None and target.point != spec.point:
        return mask_of(received, target, 0)
    if spec.mask is not None:
        source = inputs[spec.mask].field
        return inner(received[source].views[source], received[source].exchange.halo)
    return None if target is None else mask_of(received, target, 0)


def _add_noise(
    stages: Stages, switches: NamNet, contract: Contract, margin: int, levels: int, period: int, site: Site
) -> None:
    """Generators for sampled outputs and for noise inputs, as the contract says or the namelist overrides."""
    rule = contract.stochastic
    if rule is None:
        if switches.cn_noise or switches.rn_noise_time or switches.cn_noise_levels:
            raise HaloclineError(
                f"network '{switches.cn_name}' is not stochastic: its contract has no noise.\n  {switches.where('cn_noise')}. "
                "Leave cn_noise, rn_noise_time and cn_noise_levels out."
            )
        return
    time = switches.cn_noise or rule.time
    seconds = switches.rn_noise_time or (rule.memory if time == rule.time else 0.0)
    memory = seconds / (period * site.step)
    if time == "white":
        memory = 0.0
    elif seconds <= 0.0 or (time == "hold" and abs(memory - round(memory)) > 1e-9):
        raise HaloclineError(
            f"network '{switches.cn_name}': noise '{time}' with a time of {seconds:g} s.\n  {switches.where('rn_noise_time')}. "
            f"Allowed: above 0, and for 'hold' a multiple of the network's period, {period * site.step:g} s."
        )
    if time == "ar1" and switches.cn_role == "standby":
        raise HaloclineError(
            f"network '{switches.cn_name}' is on standby and runs only now and then: its noise cannot be 'ar1'.\n"
            f"  {switches.where('cn_role')}. Set cn_noise = 'white' or 'hold'."
        )
    make = partial(
        site.noise,
        time=time,
        memory=float(round(memory)) if time == "hold" else memory,
        shared=(switches.cn_noise_levels or rule.levels) == "shared",
    )
    for spec in contract.outputs:
        outlet = stages.outlets.get(spec.name)
        if spec.inv_std and outlet is not None:
            count = levels if spec.levels == "all" else spec.levels
            name = f"{switches.cn_name}.{spec.name}"
            outlet.noise = make(name, spec.point, margin, count, spec.vector_pair is not None)
            outlet.inv_std, outlet.factor = spec.inv_std, switches.rn_noise
            stages.halos[spec.name] = margin
    for item in contract.noise:
        count = levels if item.levels == "all" else item.levels
        halo = contract.radius + margin
        stages.noise[item.name] = make(f"{switches.cn_name}.{item.name}", item.point, halo, count, False)
        stages.halos[item.name] = halo


def _add_weights(stages: Stages, switches: NamNet, specs: Mapping[str, OutputSpec], received: Plans) -> None:
    """Weights of outputs whose domain sum is removed: products of fields, brought to the output's point."""
    products = read_products(switches, "cn_weights")
    for name, spec in specs.items():
        if spec.conserve != "none" and name not in products:
            raise HaloclineError(
                f"output '{name}' of network '{switches.cn_name}' conserves {spec.conserve}: its weighted sum over the domain is "
                f"removed, and cn_weights gives no weights.\n  {switches.where()}. Add cn_weights = '{name}=e1u*e2u*h' (areas, and "
                "the thickness where it matters), from fields that travel to the coupler."
            )
    stages.layers = {name for name, spec in specs.items() if spec.conserve == "mass"}
    for name, factors in products.items():
        stages.weights[name] = partial(product, tuple(factors), stages.outlets[name].wanted, received)


def product(names: tuple[str, ...], point: str, received: Plans) -> np.ndarray:
    """Product of received fields at `point`, (1 or k, nj, ni) in 64 bits; those on other points as means of neighbours."""
    result = np.ones((1, 1, 1))
    for name in names:
        plan = received[name]
        field_ = next(item for item in plan.exchange.fields if item.name == name)
        moved = int(field_.point != point)
        view = inner(plan.views[name], plan.exchange.halo - moved).astype(np.float64)
        result = result * (to_point(view, field_.point, point) if moved else view)
    return result
