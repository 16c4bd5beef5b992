"""The steps of a run on one coupler rank: receive, infer, answer, remember."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

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
from coupler.log import Log
from coupler.network import Network
from coupler.progress import Progress
from coupler.record import Recorder
from coupler.restart import Memory, restart_name
from coupler.settings import Settings
from coupler.swap import swap_if_asked
from coupler.timers import Timers, write_alone
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
        log: Log,
    ) -> None:
        """Everything is bound and the ocean knows the plan."""
        self.shake, self.transport, self.boxes, self.timers, self.log = shake, transport, boxes, timers, log
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
        self.watchdog = Watchdog(settings.namcpl.rn_timeout, self._bark)
        self.progress = Progress(settings.namlog, shake, transport, wiring.networks, log, timers)
        self._written = self.stopped = 0
        # A rank without a peer gets no header: then the others tell it what was in theirs.
        self._deaf = int(transport.allsum(np.array([not any(p.peers for p in self.incoming)], np.int64))[0])

    def loop(self) -> int:
        """Receive, run, send at every step where an exchange is due; returns the last step done."""
        with self.timers("start"):
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
            with self.timers.step(kt):
                if not self._step(kt, due_in, due_out, due_net):
                    break
                done = kt
                with self.timers("log"):
                    self.progress.show(kt, self.last)
        else:
            if self._written < self.last:
                self.write(self.last)
        self.progress.end(done, self.last)
        return done

    def _step(self, kt: int, due_in: Sequence[Plan], due_out: Sequence[Answers], due_net: Sequence[Network]) -> bool:
        """One step at which something is due; False when the ocean has ended before it."""
        restart, ended = self.receive(due_in, kt)
        if 0 < restart < kt:
            self.write(restart)
        if ended:
            return False
        for net in due_net:
            self.infer(net, kt)
        for comparison in self.comparisons:
            if comparison.shadow in due_net:
                comparison.add(kt)
        for answer in due_out:
            answer.answer(kt, any(net.stages.fell for net in due_net if net.made & answer.names))
        with self.timers("diagnostics"):
            self.diagnostics.record(kt)  # the ocean computes meanwhile
        if restart == kt:
            self.write(kt)
        self.transport.stop.step(restart > 0)
        return True

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
        self.progress.begin()

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
            with self.timers("unpack"):
                for land in self.fills[plan.exchange.number]:
                    land.apply()
        return restart, ended

    def _end_after(self, kt: int) -> None:
        """The run ends after step `kt`, earlier than the handshake said."""
        if not self.stopped:
            why = self.transport.stop.reason
            event = "walltime" if why.startswith("rn_walltime") else "stop"
            self.log(event, "warning", kt=kt, date=self._date(kt + 1), why=why or "the ocean ends early")
        self.last = self.stopped = min(kt, self.last)
        for answer in self.answers:
            answer.last = self.last

    def write(self, kt: int) -> None:
        """The coupler's restart, as the ocean writes its own."""
        start = perf_counter()
        with self.timers("restart"):
            self.memory.write(kt, self.transport)
            for comparison in self.comparisons:
                comparison.scores.record(kt)
        self._written = kt
        lasted = round(perf_counter() - start, 3)
        self.log("restart", kt=kt, date=self._date(kt + 1), file=str(restart_name(kt)), seconds=lasted)

    def infer(self, net: Network, kt: int) -> None:
        """Run one network and give its outputs to those that read them."""
        work = f"network '{net.name}' (step {kt}, {self.boxes[net.grid]})"
        with self.timers(f"inference {net.name}"), self.watchdog(work):
            if net.switches.ln_swap:
                self._swap(net, kt)
            try:
                net.run(kt, self.timers)
            except HaloclineError as error:
                if f"step {kt}" in str(error):
                    raise
                raise HaloclineError(f"{error}\n  {work}.") from None
            for land in self.chain_fills.get(net.name, ()):
                land.apply()

    def _swap(self, net: Network, kt: int) -> None:
        """Another artefact, if one is asked for. Collective."""
        before = net.engine
        swap_if_asked(net, kt, self.transport, self._reload)
        if net.engine is not before:
            contract, old = net.engine.contract, before.contract
            self.log(
                "swap", kt=kt, date=self._date(kt), network=net.name, version=contract.version, sha256=net.engine.sha256,
                replaced_version=old.version, replaced_sha256=before.sha256,
            )  # fmt: skip

    def _bark(self, message: str) -> None:
        """The watch-dog's thread: a network does not return. The log and the trace end here, and the job."""
        words = self.log.last_words(message)
        write_alone(self.timers)
        self.transport.abort(words)

    def _date(self, kt: int) -> str:
        """The date at the start of a step."""
        return self.shake.date(kt).isoformat(" ")

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
