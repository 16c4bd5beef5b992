"""What every coupler rank did when: a file in the Chrome trace event format, for ui.perfetto.dev or chrome://tracing.

Format: "Trace Event Format" of the Chromium project, complete events ('ph': 'X') with begin and length in microseconds.
"""

import json
import os
import shutil
import socket
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import numpy as np

TRACE_FILE = Path("halocline.trace.json")
EVENTS = 1_000_000  # of all ranks: a file of about 100 MB
PER_RANK = 200_000  # 28 bytes each: 5.6 MB of memory
COUPLER, OCEAN = 1, 2  # processes of the file; a rank is a thread, counted from 1 there
TAIL = "\n]}\n"


@dataclass(frozen=True)
class Track:
    """The events of one rank: names, and name number, step, begin and end [s on the clock of `node`] of each.

    met: the clock when all ranks met at the start; dropped: events for which there was no room.
    """

    rank: int
    node: str
    met: float
    names: list[str]
    number: np.ndarray
    kt: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    dropped: int


class Trace:
    """Phases of one rank, in memory of a fixed size: when `room` events are in, later ones are counted and dropped."""

    def __init__(self) -> None:
        """`meet` gives the clock and the room."""
        self.kt, self.room, self.dropped = 0, PER_RANK, 0
        self.rank, self.met = 0, perf_counter()
        self._names: dict[str, int] = {}
        self._number, self._kt = array("i"), array("q")
        self._begin, self._end = array("d"), array("d")
        self._closed = False

    def meet(self, rank: int, size: int) -> None:
        """All ranks are here, at the same moment."""
        self.met, self.rank, self.room = perf_counter(), rank, min(PER_RANK, EVENTS // size)

    def add(self, name: str, begin: float, end: float) -> None:
        """One phase of the present step `kt`, in seconds of perf_counter."""
        if self._closed:
            return
        if len(self._end) >= self.room:
            self.dropped += 1
            return
        self._number.append(self._names.setdefault(name, len(self._names)))
        self._kt.append(self.kt)
        self._begin.append(begin)
        self._end.append(end)

    def close(self, unfinished: Sequence[tuple[str, float]] = ()) -> Track:
        """Everything up to now; phases that are still under way end here. Later ones are not taken."""
        now = perf_counter()
        for name, begin in reversed(unfinished):
            self.add(name, begin, now)
        self._closed = True
        columns = (np.array(self._number), np.array(self._kt), np.array(self._begin), np.array(self._end))
        return Track(self.rank, socket.gethostname(), self.met, list(self._names), *columns, dropped=self.dropped)


def write(tracks: Sequence[Track], about: Mapping[str, Any], path: Path = TRACE_FILE) -> None:
    """Tracks of coupler ranks as a file that appears whole; about: what a reader should know of the run.

    Clocks: ranks of one node read the same clock. Between nodes, the moments at which their ranks met are laid on each other;
    of a node the earliest counts. Clocks that drift apart later (about 1 us per second) are not corrected.
    """
    met: dict[str, float] = {}
    for track in tracks:
        met[track.node] = min(track.met, met.get(track.node, track.met))
    zero = min((float(t.begin.min()) - met[t.node] for t in tracks if len(t.begin)), default=0.0)
    dropped = {f"rank {track.rank}": track.dropped for track in tracks if track.dropped}
    head = {**about, "dropped events": dropped} if dropped else dict(about)
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with aside.open("w", encoding="utf-8") as out:
        out.write(f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(head)}, "traceEvents": [\n')
        out.write(json.dumps(_name("process_name", COUPLER, 0, "coupler")))
        for track in tracks:
            label = f"rank {track.rank} on {track.node}"
            out.write(",\n" + json.dumps(_name("thread_name", COUPLER, track.rank + 1, label)))
            _write_track(out, track, met[track.node] + zero)
        out.write(TAIL)
    aside.replace(path)


def _write_track(out: IO[str], track: Track, zero: float) -> None:
    """Events in the order of their begins, outer ones first; whole nanoseconds, so that what nested still nests."""
    begin, end = (np.rint((clock - zero) * 1e9).astype(np.int64) for clock in (track.begin, track.end))
    names = [json.dumps(name) for name in track.names]
    thread = track.rank + 1
    for one in np.lexsort((-end, begin)).tolist():
        start, length = int(begin[one]), int(end[one] - begin[one])
        out.write(
            f',\n{{"name": {names[track.number[one]]}, "ph": "X", "pid": {COUPLER}, "tid": {thread}, '
            f'"ts": {_micro(start)}, "dur": {_micro(length)}, "args": {{"kt": {track.kt[one]}}}}}'
        )


def add_ocean(rundir: Path, document: Mapping[str, Any]) -> None:
    """Add the ocean's sums, from its end marker, to the trace of a run folder: they are lengths, without an order.

    The ocean's client keeps sums alone; a stamp per message would cost it what the messages of small fields cost.
    """
    path = rundir / TRACE_FILE.name
    if not path.exists():
        return
    phases = {"waiting for the coupler": "wait", "packing": "pack", "unpacking": "unpack"}
    events: list[dict[str, Any]] = [_name("process_name", OCEAN, 0, "ocean: sums over the run, not in order")]
    for rank, total in enumerate(document["total"]):
        events.append(_name("thread_name", OCEAN, rank + 1, f"rank {rank}"))
        seconds = {name: document[key][rank] for name, key in phases.items()}
        at = 0.0
        for name, lasted in ({"computing": total - sum(seconds.values())} | seconds).items():
            events.append(
                {"name": name, "ph": "X", "pid": OCEAN, "tid": rank + 1, "ts": round(at * 1e6, 3),
                 "dur": round(lasted * 1e6, 3), "args": {}}
            )  # fmt: skip
            at += lasted
    aside = path.with_name(f"{path.name}.part")
    shutil.copyfile(path, aside)
    with aside.open("r+b") as out:
        out.seek(-len(TAIL), os.SEEK_END)
        out.truncate()
        out.write("".join(",\n" + json.dumps(event) for event in events).encode() + TAIL.encode())
    aside.replace(path)


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _micro(nanoseconds: int) -> str:
    """Microseconds with three decimals, exact."""
    return f"{nanoseconds // 1000}.{nanoseconds % 1000:03d}"
