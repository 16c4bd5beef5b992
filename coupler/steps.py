"""The steps of a run on one coupler rank: receive, infer, answer, remember."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from coupler.answers import Answers
from coupler.assembly import reload
from coupler.diagnostics import Diagnostics
from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import by_name
from coupler.grid import Box
from coupler.guards.comparison import comparisons
from coupler.handshake import Handshake
from coupler.land import land_fills
from coupler.network import Network
from coupler.progress import Progress
from coupler.record import Recorder
from coupler.restart import Memory
from coupler.settings import Settings
from coupler.swap import swap_if_asked
from coupler.timers import Timers
from coupler.transport.base import Transport
from coupler.watchdog import Watchdog
from coupler.wiring import Wiring


class Run:
    """The steps of a run on one coupler rank."""

    def __init__(
        self,
        settings: Settings,
        shake: Handshake,
        wiring: Wiring,
        plans: Sequence[Plan],
        chains: Mapping[str, Plan],
        transport: Transport,
        diagnostics: Diagnostics,
        recorder: Recorder,
        boxes: Mapping[int, Box],
        timers: Timers,
    ) -> None:
        """Everything is bound and the ocean knows the plan."""
        self.shake, self.transport, self.boxes, self.timers = shake, transport, boxes, timers
        self.first, self.last = shake.time.nn_it000, shake.time.nn_itend
        self.networks = [net for net in wiring.networks if net.switches.cn_role != "standby"]
        self.all_networks, self.diagnostics, self.settings = wiring.networks, diagnostics, settings
        self.recorder = recorder
        self.incoming = [plan for plan in plans if plan.exchange.direction == "to_coupler"]
        groups = {group.cn_name: group for group in settings.namexc}
        self.answers = [
            Answers(
                plan, transport, settings.namcpl.ln_active, groups[plan.exchange.name].cn_first, self.last, recorder
            )
            for plan in plans
            if plan.exchange.direction == "to_ocean"
        ]
        received = {name: plan for plan in (*self.incoming, *chains.values()) for name in plan.views}
        self.received, self.chains, self.fill = received, chains, wiring.fill
        into = by_name(shake.fields, "in")
        units = {name: field.units for name, field in into.items()}
        self.comparisons = comparisons(wiring.networks, received, transport, units)
        self._reload = partial(reload, settings, into, transport.local_rank)
        self.memory = Memory(settings, shake, self.answers, wiring.networks, boxes)
        self.watchdog = Watchdog(settings.namcpl.rn_timeout, transport.abort)
        self.progress = Progress(shake) if transport.rank == 0 else None
        self._written = self.stopped = 0
        # A rank without a peer gets no header: then the others tell it what was in theirs.
        self._deaf = int(transport.allsum(np.array([not any(p.peers for p in self.incoming)], np.int64))[0])

    def loop(self) -> int:
        """Receive, run, send at every step where an exchange is due; returns the last step done."""
        self.begin()
        done = self.first - 1
        kt = self.first - 1
        while kt < self.last:  # the ocean may say that it ends earlier
            kt += 1
            due_in = [plan for plan in self.incoming if plan.exchange.due(kt)]
            due_out = [answer for answer in self.answers if answer.exchange.due(kt)]
            due_net = [net for net in self.networks if (kt - 1) % net.period == 0]
            if not (due_in or due_out or due_net):
                continue
            restart, ended = self.receive(due_in, kt)
            if 0 < restart < kt:
                self.write(restart)
            if ended:
                return done
            for net in due_net:
                self.infer(net, kt)
            for comparison in self.comparisons:
                if comparison.shadow in due_net:
                    comparison.add(kt)
            self.diagnostics.record(kt)
            for answer in due_out:
                answer.answer(kt, any(net.stages.fell for net in due_net if net.made & answer.names))
            if restart == kt:
                self.write(kt)
            done = kt
            if self.progress is not None:
                self.progress.show(kt)
        if self._written < self.last:
            self.write(self.last)
        return done

    def begin(self) -> None:
        """Static fields, the restart, and what the ocean uses before its first answer."""
        for plan in self.incoming:
            if plan.exchange.static:
                self.recorder.received(plan, self.first, self.transport.receive(plan, self.first))
        for net in self.all_networks:
            net.take_static()
        self.fills = {
            p.exchange.number: land_fills(p, self.received, self.fill) if p.unpacked else [] for p in self.incoming
        }
        self.chain_fills = {name: land_fills(p, self.received, self.fill) for name, p in self.chains.items()}
        path = self.settings.namcpl.cn_rst_in
        check_first(self.settings)
        if path:
            self.memory.read(Path(path), self.transport.rank)
        for answer in self.answers:
            answer.begin(self.first, bool(path))

    def receive(self, plans: Sequence[Plan], kt: int) -> tuple[int, bool]:
        """Fill the stacks; returns the restart step that the ocean announced (0: none), and whether it has ended early."""
        restart, ended, end, headers = 0, False, 0, []
        for plan in plans:
            header = self.transport.receive(plan, kt)
            headers.append(header)
            if header is not None:
                restart, end = max(restart, header.restart), max(end, header.end)
                ended = ended or (header.last and header.kt != kt)
            if ended:
                break
        if self._deaf and plans:
            heard = any(plan.peers for plan in self.incoming)
            words = np.array([heard, restart * heard, ended and heard, end * heard], np.int64)
            told = self.transport.allsum(words)
            restart, ended, end = int(told[1] // told[0]), bool(told[2]), int(told[3] // told[0])
        if end:
            self._end_after(end)
        for plan, header in zip(plans, headers, strict=True) if not ended else ():
            self.recorder.received(plan, kt, header)
            for land in self.fills[plan.exchange.number]:
                land.apply()
        return restart, ended

    def _end_after(self, kt: int) -> None:
        """The run ends after step `kt`, earlier than the handshake said."""
        self.last = self.stopped = min(kt, self.last)
        for answer in self.answers:
            answer.last = self.last

    def write(self, kt: int) -> None:
        """The coupler's restart, as the ocean writes its own."""
        self.memory.write(kt, self.transport)
        for comparison in self.comparisons:
            comparison.scores.record(kt)
        self._written = kt

    def infer(self, net: Network, kt: int) -> None:
        """Run one network and give its outputs to those that read them."""
        work = f"network '{net.name}' (step {kt}, {self.boxes[net.grid]})"
        with self.timers("inference"), self.watchdog(work):
            if net.switches.ln_swap:
                swap_if_asked(net, kt, self.transport, self._reload)
            net.run(kt)
        for land in self.chain_fills.get(net.name, ()):
            land.apply()

    def report(self, kt: int) -> list[str]:
        """What guards, novelty, conservation and shadows found in this run. Collective."""
        lines = [line for net in self.all_networks for line in net.stages.report()]
        return lines + [line for comparison in self.comparisons for line in comparison.scores.report(kt)]


def check_first(settings: Settings) -> None:
    """With a lag, where the first answer comes from must be said, and said once. HaloclineError where it is not."""
    path = settings.namcpl.cn_rst_in
    for group in settings.namexc:
        if group.nn_lag and (group.cn_first == "restart") != bool(path):
            fix = (
                "Set cn_first = 'restart', or leave cn_rst_in out"
                if path
                else "Set cn_rst_in in &namcpl, or cn_first = 'zero'"
            )
            what = f"cn_rst_in names '{path}'" if path else "cn_rst_in names none"
            raise HaloclineError(
                f"exchange '{group.cn_name}' begins with cn_first = '{group.cn_first}', and {what}.\n"
                f"  {group.where('cn_first')}. {fix}."
            )
