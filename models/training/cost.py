"""What a training costs: CPU seconds of its process and of all that it started, in cost.json beside its weights."""

import csv
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError

FILE = "cost.json"
HISTORY, ROLLOUT = "history.csv", "rollout.jsonl"
PROC = Path("/proc")


@dataclass(frozen=True)
class Cost:
    """Core-minutes of a training, and how they are known.

    how: 'cpu' (measured), 'wall' (wall-clock time of a training that did not measure: of its epochs times threads, or of its
    windows, where trainer, coupler and ocean take turns), '' (not known: nan). lost: starts that were killed and not counted.
    """

    core_minutes: float
    how: str
    lost: int = 0


@contextmanager
def measured(folder: Path) -> Iterator[None]:
    """Add what happens inside to the folder's cost.json: CPU and wall-clock seconds, also where it ends with an error.

    Counted are this process, the processes that it has waited for, and those that live. A rank that polls is busy. Under torchrun
    the first rank writes, and counts for all. A start that is killed leaves `running`: the next one counts it as lost.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    path = folder / FILE
    before = _read(path) or {"cpu_s": 0.0, "wall_s": 0.0, "starts": 0, "lost": 0, "running": False}
    lost = before["lost"] + bool(before["running"])
    now = {**before, "starts": before["starts"] + 1, "lost": lost, "running": True}
    _write(path, now)
    began, cpu = time.perf_counter(), cpu_seconds()
    try:
        yield
    finally:
        used = {"cpu_s": ranks * (cpu_seconds() - cpu), "wall_s": time.perf_counter() - began}
        _write(path, {**now, "running": False, **{key: round(before[key] + value, 2) for key, value in used.items()}})


def cpu_seconds() -> float:
    """CPU seconds so far: of this process, of those that it has waited for, and of those below it that live (Linux)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + _living()


def _living() -> float:
    """CPU seconds of the living processes below this one, and of those that they have waited for."""
    tick = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()  # a name may hold anything
        except OSError:  # it has ended
            continue
        number = int(path.parent.name)
        parents[number], seconds[number] = int(fields[1]), sum(map(int, fields[11:15])) / tick
    total, below = 0.0, [os.getpid()]
    while below:
        children = [number for number, parent in parents.items() if parent in below]
        total += sum(seconds[number] for number in children)
        below = children
    return total


def of_training(folder: Path, threads: int) -> Cost:
    """The cost of the training in a folder, without that of another one whose weights it began from.

    threads: of a training whose cost is only known from the times in history.csv.
    """
    if found := _read(folder / FILE):
        return Cost(found["cpu_s"] / 60, "cpu", found["lost"] + bool(found["running"]))
    if (path := folder / HISTORY).is_file():
        with path.open(encoding="utf-8", newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        return Cost(threads * sum(seconds) / 60, "wall")
    if (path := folder / ROLLOUT).is_file():
        return Cost(_turns(path) / 60, "wall")
    return Cost(float("nan"), "")


def _turns(path: Path) -> float:
    """Seconds from each start of the ocean to the last line before the next one."""
    total, first, last = 0.0, None, None
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not text.endswith("\n"):  # a half line, of a kill
            continue
        line = json.loads(text)
        at = datetime.fromisoformat(line["time"])
        if line["event"] == "start" or first is None:
            total += (last - first).total_seconds() if first is not None and last is not None else 0.0
            first = at
        last = at
    return total + ((last - first).total_seconds() if first is not None and last is not None else 0.0)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, document: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps(document) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise HaloclineError(f"cannot write {path}: {error.strerror}. Make room, then run again: it goes on.") from None
