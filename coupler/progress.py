"""How far the run is: a small file for `halocline run`, lines in a batch log, events in the log."""

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # `halocline run` needs the words alone
    from coupler.handshake import Handshake
    from coupler.log import Log
    from coupler.network import Network
    from coupler.settings import NamLog
    from coupler.timers import Timers
    from coupler.transport.base import Transport

PROGRESS_FILE = Path("halocline.progress")
LOOK = 0.5  # seconds between two records; the rate is that of the last WINDOW of them
WINDOW = 20
AGREE = 1.0  # seconds between two sums of the guards' counts over the ranks

Guards = dict[str, dict[str, int]]


class Progress:
    """Looks at the clock after every step; writes PROGRESS_FILE twice a second, and a line and an event every rn_log seconds."""

    def __init__(
        self,
        switches: "NamLog",
        shake: "Handshake",
        transport: "Transport",
        networks: Sequence["Network"],
        log: "Log",
        timers: "Timers",
    ) -> None:
        """Nothing is written before the first step."""
        self._switches, self._shake, self._transport = switches, shake, transport
        self._log, self._timers = log, timers
        self._count = Count(networks, transport, timers)
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._start = self._spoken = time.perf_counter()
        self._warned: Guards = {}
        self._before: dict[str, float] = {}

    def begin(self) -> None:
        """The first step comes now; what the guards did before a restart is known."""
        self._start = self._spoken = time.perf_counter()
        self._warned = self._count.mine()

    def show(self, kt: int, last: int) -> None:
        """Step `kt` of a run to `last` is done. Every rank of the coupler calls it at the same steps."""
        self._count.look(kt, self._rate())
        now = time.perf_counter()
        if not self._log.on or (self._marks and now - self._marks[-1][0] < LOOK):
            return
        first = not self._marks
        self._marks.append((now, kt))
        shown = self._facts(kt, last, now)
        if self._transport.rank == 0:
            _write(shown)
        due = self._switches.rn_log > 0 and now - self._spoken >= self._switches.rn_log
        self._warn(shown, due)
        if first or due:
            self._speak(shown, now, due)

    def end(self, kt: int, last: int) -> None:
        """The loop is over after step `kt`: the last event of progress."""
        if self._log.on and self._marks:
            now = time.perf_counter()
            self._marks.append((now, kt))
            self._speak(self._facts(kt, last, now), now, False)

    def _rate(self) -> float:
        """Steps per second of late; 0 before there are two marks."""
        if len(self._marks) < 2:
            return 0.0
        (start, first), (now, kt) = self._marks[0], self._marks[-1]
        return (kt - first) / (now - start)

    def _facts(self, kt: int, last: int, now: float) -> dict[str, Any]:
        """What there is to say, as PROGRESS_FILE holds it."""
        rate = self._rate()
        return {
            "kt": kt,
            "date": self._shake.date(kt).isoformat(" "),
            "first": self._shake.time.nn_it000,
            "last": last,
            "seconds": round(now - self._start, 3),
            "steps_per_second": round(rate, 3) if rate else None,
            "seconds_to_go": round((last - kt) / rate, 1) if rate else None,
            "guards": self._count.mine() if self._transport.rank or self._transport.size == 1 else self._count.seen,
        }

    def _speak(self, shown: Mapping[str, Any], now: float, due: bool) -> None:
        """One event; when it is due also a line on stdout, from rank 0 and if it may speak."""
        self._log("progress", **shown)
        aloud = due and self._transport.rank == 0 and self._switches.cn_verbosity != "quiet"
        if aloud:
            print(f"halocline: {words(shown)}", flush=True)
        if self._switches.cn_verbosity == "debug":
            present = dict(self._timers.seconds)
            lasted = {name: round(value - self._before.get(name, 0.0), 6) for name, value in present.items()}
            self._before = present
            self._log("phases", "debug", kt=shown["kt"], since=round(now - self._spoken, 3), seconds=lasted)
            if aloud:
                parts = ", ".join(f"{name} {value:.3f} s" for name, value in lasted.items() if value >= 5e-4)
                print(f"halocline:   of the last {now - self._spoken:.1f} s: {parts}", flush=True)
        self._spoken = now

    def _warn(self, shown: Mapping[str, Any], due: bool) -> None:
        """An event when a guard acts for the first time, and with the lines of progress when it acted since."""
        for network, counts in shown["guards"].items():
            known = self._warned.get(network, {})
            if counts != known and (due or set(counts) - set(known)):
                new = {name: number - known.get(name, 0) for name, number in counts.items()}
                self._warned[network] = dict(counts)
                facts = {"kt": shown["kt"], "date": shown["date"], "network": network}
                self._log("guard", "warning", **facts, new={n: c for n, c in new.items() if c}, total=counts)


class Count:
    """Interventions of all guards of a run over all ranks, about once a second.

    The ranks must add up at the same step, and only rank 0 may choose by the clock: with each sum it says when the next one is.
    """

    def __init__(self, networks: Sequence["Network"], transport: "Transport", timers: "Timers") -> None:
        """timers: what the ranks wait for each other counts as 'relay'."""
        from coupler.guards.interventions import GUARDS

        self._networks, self._transport, self._timers = networks, transport, timers
        self._keys = [
            (net.name, f"{output}.{guard}")
            for net in networks
            if net.stages.guard is not None
            for output in net.stages.outlets
            for guard in GUARDS
        ]
        self._next = self._gap = 1
        self.seen: Guards = {}

    def mine(self) -> Guards:
        """Network -> 'output.guard' -> cells of this rank; on rank 0 with those before a restart."""
        return {net.name: counts for net in self._networks if (counts := net.stages.counters())}

    def look(self, kt: int, rate: float) -> None:
        """Add up, if it is time. Collective where there is more than one rank. rate: steps per second, on rank 0."""
        if self._transport.size > 1 and self._keys and kt >= self._next:
            gap = min(max(1, round(rate * AGREE)), 2 * self._gap) if rate else 2 * self._gap
            counted = self.mine()
            words_ = [counted.get(network, {}).get(name, 0) for network, name in self._keys]
            mine = np.array([*words_, gap if self._transport.rank == 0 else 0], np.int64)
            with self._timers("relay"):
                total = self._transport.allsum(mine)
            *numbers, self._gap = total.tolist()
            self._next = kt + self._gap
            self.seen = {}
            for (network, name), number in zip(self._keys, numbers, strict=True):
                if number:
                    self.seen.setdefault(network, {})[name] = number


def words(shown: Mapping[str, Any]) -> str:
    """A record as a line for people."""
    done, steps = shown["kt"] - shown["first"] + 1, shown["last"] - shown["first"] + 1
    line = f"step {shown['kt']} to {shown['last']}, {100 * done / steps:.0f} %, date {shown['date']}"
    if shown["steps_per_second"]:
        line += f", {speed(shown)}, {to_go(shown)} to go"
    return line + (f", guards {cells(shown)} cells" if cells(shown) else "")


def speed(shown: Mapping[str, Any]) -> str:
    """'85 steps/s', or '12 s/step' where a step takes longer than a second."""
    rate = shown["steps_per_second"]
    if not rate:
        return ""
    return f"{rate:.3g} steps/s" if rate >= 1 else f"{1 / rate:.3g} s/step"


def to_go(shown: Mapping[str, Any]) -> str:
    """Hours, minutes and seconds to the end at the present speed."""
    seconds = round(shown["seconds_to_go"] or 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def cells(shown: Mapping[str, Any]) -> int:
    """On how many cells all guards have acted."""
    return sum(sum(counts.values()) for counts in shown["guards"].values())


def _write(shown: Mapping[str, Any]) -> None:
    """The file appears whole."""
    aside = PROGRESS_FILE.with_suffix(".part")
    aside.write_text(json.dumps(shown), encoding="utf-8")
    aside.replace(PROGRESS_FILE)
