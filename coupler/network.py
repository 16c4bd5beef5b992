"""A network on this rank: inputs from the exchanges, engine, then the stages that its outputs pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from coupler.contract import InputSpec, OutputSpec
from coupler.engines.base import Engine
from coupler.engines.torchbase import TorchEngine
from coupler.exchange import Plan
from coupler.feed import Feed, halo_of, inner, make_feed
from coupler.fields import Field
from coupler.guards.statics import check_range
from coupler.land import mask_of
from coupler.links import Link, read_products
from coupler.settings import NamNet, Settings
from coupler.site import Site
from coupler.stages import Stages, make_stages
from coupler.timers import Timers

if TYPE_CHECKING:  # it needs torch
    from coupler.engines.resident import Resident


class Relay(Protocol):
    """Brings the outputs that other networks read to every coupler rank that needs them, halo included."""

    def update(self, interior: np.ndarray) -> None:
        """interior: (levels, nj, ni) of this rank."""


class Network:
    """Runs an engine on this rank's subdomain; `inputs` and `outputs` map names of the contract to fields.

    The wiring sets the rest: `period` [steps], `grid`, `standby` (the network that cn_fallback names) with `substitutes`
    (output -> its output), and `chained`, the outputs that other networks read. `on_device`: take the path of a GPU (see
    coupler.engines.resident) on the CPU too. After `bind`, `note` says which path a network on a GPU takes.
    """

    def __init__(
        self, switches: NamNet, engine: Engine, inputs: Mapping[str, Link], outputs: Mapping[str, Link]
    ) -> None:
        """Not usable before `bind`."""
        self.name, self.switches, self.engine = switches.cn_name, switches, engine
        self.inputs, self.outputs = dict(inputs), dict(outputs)
        self.period, self.grid = 1, 1
        self.standby: Network | None = None
        self.substitutes: Mapping[str, str] = {}
        self.chained: tuple[str, ...] = ()
        self.relay: Relay | None = None
        self.on_device = False
        self.resident: Resident | None = None
        self.note = ""
        self._counted: list[str] = []
        self.stages = Stages()
        self._ran = False
        self._feeds: dict[str, Feed] = {}

    @property
    def made(self) -> set[str]:
        """Fields of the ocean that it fills: outputs, and flags of outputs that fell back."""
        flags = read_products(self.switches, "cn_flags").values()
        return {link.field for link in self.outputs.values()} | {name for names in flags for name in names}

    def margin(self, into: Mapping[str, Field]) -> int:
        """Cells around the subdomain on which the network runs: 1 when an output changes its point."""
        specs = {spec.name: spec for spec in self.engine.contract.outputs}
        moved = (
            into[link.field].point != specs[name].point for name, link in self.outputs.items() if link.field in into
        )
        return int(any(moved))

    def halo(self, spec: InputSpec, source: Field | OutputSpec, into: Mapping[str, Field]) -> int:
        """Cells of halo that an input needs: radius, margin, one for a change of point, the reach of `replicate`."""
        return halo_of(spec, source, self.engine.contract.radius + self.margin(into))

    def bind(self, received: Mapping[str, Plan], sent: Mapping[str, Plan], site: Site) -> None:
        """Connect to the stacks: `received` (with chained fields) and `sent` give the plan that holds a field.

        Raises HaloclineError where a mask or a weight is needed and none travels.
        """
        self.site = site
        into = {item.name: item for plan in sent.values() for item in plan.exchange.fields}
        margin, contract = self.margin(into), self.engine.contract
        for spec in contract.inputs:
            self._feeds[spec.name] = make_feed(
                self.name, spec, self.inputs[spec.name], contract.radius + margin, np.dtype(contract.dtype), received
            )
        levels = [self._feeds[spec.name].array.shape[0] for spec in contract.inputs if spec.levels == "all"]
        self.stages = make_stages(
            self.switches, contract, self.inputs, self.outputs, self.chained, margin,
            max(levels, default=1), self.period, received, sent, site,
        )  # fmt: skip
        self._arrays = {name: feed.array for name, feed in self._feeds.items()}
        self._received = received
        self._settle()
        if not self._feeds:  # a network without inputs (null) takes the sizes of its first output
            self._arrays["sizes"] = next(iter(self.stages.values.values()))

    def take_static(self) -> None:
        """Make what depends on static fields alone, once they have arrived.

        Raises HaloclineError for a static input outside its valid range.
        """
        for spec in self.engine.contract.inputs:
            feed = self._feeds[spec.name]
            if feed.static:
                feed.update()
                source = next(f for f in feed.plan.exchange.fields if f.name == self.inputs[spec.name].field)
                mask = mask_of(self._received, source.model_copy(update={"point": spec.point}), 0)
                check_range(self.name, spec, inner(feed.array, self.stages.radius), mask)
        self.stages.take_static(self.site)
        if self.resident is not None:
            self.resident.take_static(self._received)

    def run(self, kt: int, timers: Timers) -> None:
        """Inputs of step `kt` to outputs, in place, past the guards, and on to the networks that read them.

        Guards are timed as 'guarding NETWORK', halos of what other networks read as 'relay': ranks wait for each other there.
        Raises HaloclineError when a guard with the policy 'stop' finds something, with the place.
        """
        if self.engine.name == "null" and self._ran:
            return  # its zeros are there
        self.compute(kt)
        with timers(f"guarding {self.name}"):
            self.stages.finish(kt, self._arrays, None if self.standby is None else self._substitute(kt))
        if self.relay is not None:
            arrays = [self.stages.values[name] for name in self.chained]
            with timers("relay"):
                self.relay.update(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def compute(self, kt: int) -> Mapping[str, np.ndarray]:
        """Outputs of step `kt` before any guard: sampled, at the ocean's points, masked; (k, nj, ni) by name."""
        self._ran = True
        call = (kt - 1) // self.period
        if self.resident is not None:
            self.resident.run(kt, call, self.site.scalars(self.engine.contract.scalars, kt), self._counted)
            return self.stages.values
        for feed in self._feeds.values():
            if not feed.static:
                feed.update()
        contract = self.engine.contract
        noise = {
            name: np.array(source.at(call), contract.dtype, order="C") for name, source in self.stages.noise.items()
        }
        results = self.engine.run(self._arrays, noise, self.site.scalars(contract.scalars, kt))
        for outlet in self.stages.outlets.values():
            outlet.put(results, call)
        return self.stages.values

    def _settle(self) -> None:
        """Whether fields stay on the engine's device, and what the user should know about it."""
        engine = self.engine
        if engine.name not in ("onnx", "exported", "torchscript") or not (engine.device != "cpu" or self.on_device):
            return
        if isinstance(engine, TorchEngine) and not self.switches.ln_swap:
            from coupler.engines.resident import Resident

            self.resident = Resident(engine, self._feeds, self.stages.outlets, self.stages.noise)
            inputs = engine.contract.inputs if self.stages.novelty is not None else ()
            self._counted = [s.name for s in inputs if not s.static and (s.percentiles or s.valid_range)]
            back = f"; {', '.join(self._counted)} come back for the count of novel inputs" if self._counted else ""
            self.note = f"fields stay on {engine.device} from the message to the answer{back}"
            return
        why = "onnxruntime copies its tensors in and out" if engine.name == "onnx" else "rn_maxmem cuts tiles there"
        if isinstance(engine, TorchEngine):
            why = "ln_swap may bring another engine"
        self.note = f"inputs and outputs are made on the CPU and copied to and from {engine.device}: {why}"

    def _substitute(self, kt: int) -> Callable[[], Mapping[str, np.ndarray]]:
        """What to call when a guard falls back: the standby network's outputs under this network's names.

        It runs on the ranks that need it alone, so nothing in it may be collective.
        """

        def compute() -> Mapping[str, np.ndarray]:
            assert self.standby is not None
            made = self.standby.compute(kt)
            return {name: made[other] for name, other in self.substitutes.items()}

        return compute


def leave_on_device(plans: Sequence[Plan], networks: Sequence[Network], settings: Settings) -> None:
    """Let messages that only networks on a device read go there alone: nothing unpacks them on the CPU.

    After every `bind`, before the first message. Recordings, diagnostics, weights and energies read the CPU's copy.
    """
    read = {link.field for net in networks if net.resident is None for link in net.inputs.values()}
    for net in networks:
        for key in ("cn_weights", "cn_energy"):
            read |= {name for names in read_products(net.switches, key).values() for name in names}
    read |= set(settings.namdiag.cn_diag)
    for plan in plans:
        for landing in plan.landings:
            always = plan.exchange.static or settings.namcpl.ln_record  # masks and latitudes: the guards read them
            landing.host = always or any(name in read for name in plan.views)
