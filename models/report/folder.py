"""A run folder as it lies there: its small text files, and how the run ended."""

import json
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from coupler.ending import read_end
from coupler.errors import HaloclineError

QUIET = 180.0  # s without a sign of life after which a run is no longer taken for going on
LOGGED = 14  # last lines of a log that are shown
SIGNS = ("run.log", "ocean.output", "run.stat", "halocline.progress", "coupler.log.jsonl", "time.step")
TRACES = (  # a namelist alone is a configuration
    "time.step",
    "ocean.output",
    "halocline.coupler.json",
    "halocline.progress",
    "coupler.log.jsonl",
    "run.log",
)
BAD = re.compile(r"\berror\b|E R R O R|MPI_ABORT|exited on signal|Traceback|Segmentation fault|Killed", re.IGNORECASE)

Kind = Literal["well", "stopped", "failed", "running", "silent"]
TITLES: dict[Kind, str] = {
    "well": "ended well",
    "stopped": "ended early, as asked",
    "failed": "failed",
    "running": "still going on",
    "silent": "ended without a word",
}


@dataclass(frozen=True)
class Ending:
    """How a run ended: its kind, a sentence, the message that it left, the last lines of its log."""

    kind: Kind
    words: str
    message: str = ""
    log: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The kind in words."""
        return TITLES[self.kind]


class Folder:
    """The run in a folder. Nothing is written there, and every file may be absent.

    Raises HaloclineError when there is no such folder, or nothing of a run in it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise HaloclineError(
                f"there is no run folder {self.path}. Give the folder in which a run ran, as in runs/demo/gyre_zb20."
            )
        if not any((self.path / name).exists() for name in TRACES) and not any(self.path.glob("*.nc")):
            there = ", ".join(sorted(file.name for file in self.path.iterdir())[:8]) or "nothing"
            raise HaloclineError(
                f"{self.path} does not look like a run folder: it holds none of {', '.join(TRACES)}, and no NetCDF file. "
                f"It holds: {there}.\n  Give the folder in which a run ran."
            )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.resolve().name

    def text(self, name: str) -> str | None:
        """The whole of a small text file; None where it is not there."""
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def tail(self, name: str, lines: int = LOGGED) -> tuple[str, ...]:
        """The last lines of a text file; empty where it is not there."""
        try:
            with (self.path / name).open(encoding="utf-8", errors="replace") as file:
                return tuple(line.rstrip() for line in deque((row for row in file if row.strip()), lines))
        except OSError:
            return ()

    @cached_property
    def end(self) -> Mapping[str, Mapping[str, Any]]:
        """The end markers that are there and whole: side -> document."""
        return read_end(self.path)

    @cached_property
    def progress(self) -> Mapping[str, Any]:
        """What halocline.progress says: kt, first, last, date, seconds; empty without it."""
        try:
            found = json.loads(self.text("halocline.progress") or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The lines of coupler.log.jsonl; one that is cut short is left out."""
        found = []
        for line in (self.text("coupler.log.jsonl") or "").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "event" in row:
                found.append(row)
        return found

    def event(self, name: str) -> dict[str, Any]:
        """The last event of a name; empty where there was none."""
        return next((row for row in reversed(self.events) if row["event"] == name), {})

    @property
    def coupled(self) -> bool:
        """A coupler has left something here."""
        left = any(
            (self.path / name).exists()
            for name in ("halocline.coupler.json", "halocline.progress", "coupler.log.jsonl")
        )
        return left or any(line.startswith("halocline:") for line in self.tail("run.log", 40))

    def last_sign(self) -> float | None:
        """When a file that a run keeps writing was written last [s since 1970]."""
        times = [(self.path / name).stat().st_mtime for name in SIGNS if (self.path / name).exists()]
        return max(times, default=None)

    def began(self) -> float | None:
        """When the run began: the time of the namelist that was put there for it [s since 1970]."""
        namelist = self.path / "namelist_cfg"
        return namelist.lstat().st_mtime if namelist.exists() else None

    def ending(self, now: float | None = None) -> Ending:
        """How the run ended, from what lies in its folder. now: the time [s since 1970], for tests."""
        log = self.tail("run.log") or self.tail("ocean.output")
        told = (self.text("halocline.abort") or "").strip()
        if told:
            return Ending("failed", "The run was stopped by an error.", told, log)
        if self.text("halocline.traceback") is not None:
            words = "The coupler met a defect of its own; the details are in halocline.traceback."
            return Ending("failed", words, "\n".join(self.tail("halocline.traceback", 3)), log)
        if self._whole():
            kt = int(self.end.get("coupler", {}).get("stopped", 0) or 0)
            if kt:
                why = self.end["coupler"].get("why")
                words = f"The run was asked to end early{f' ({why})' if why else ''} and ended after step {kt}"
                return Ending("stopped", f"{words}; both sides wrote restarts.")
            return Ending(
                "well",
                "The ocean and the coupler came to their planned end."
                if self.coupled
                else "The ocean came to its planned end.",
            )
        sign = self.last_sign()
        quiet = (time.time() if now is None else now) - sign if sign is not None else float("inf")
        if quiet < QUIET:
            return Ending(
                "running",
                f"The run has not ended; its last sign of life is {max(quiet, 0):.0f} s old.{self._so_far()}",
                "",
                log,
            )
        spoken = [line for line in (*self.tail("run.log", 60), *self.tail("ocean.output", 30)) if BAD.search(line)]
        wrong = self.event("error").get("message", "")
        if spoken or wrong:
            return Ending(
                "failed", "The run ended with an error, without a message of the coupler.", str(wrong or spoken[0]), log
            )
        lacking = [side for side in ("ocean", "coupler") if side not in self.end] if self.coupled else []
        marker = f" The end marker of the {' and of the '.join(lacking)} is missing." if lacking else ""
        since = (
            ""
            if sign is None
            else f" The last sign of life is of {datetime.fromtimestamp(sign, UTC):%Y-%m-%d %H:%M} UTC."
        )
        words = "The run left no end and no message: it was killed, or its machine went down."
        return Ending("silent", f"{words}{marker}{since}{self._so_far()}", "", log)

    def _whole(self) -> bool:
        """Both end markers; without a coupler, the last words of the reference ocean, or NEMO's last step."""
        if self.coupled:
            return {"ocean", "coupler"} <= set(self.end)
        if any("run ended well" in line for line in self.tail("ocean.output", 3)):
            return True
        last = re.findall(r"\bnn_itend\s*=\s*(\d+)", self.text("namelist_cfg") or "", re.IGNORECASE)
        step = (self.text("time.step") or "").split()
        return bool(last and step and step[0].isdigit() and int(step[0]) >= int(last[-1]))

    def _so_far(self) -> str:
        shown = self.progress
        try:
            done = (shown["kt"] - shown["first"] + 1) / (shown["last"] - shown["first"] + 1)
            return f" It had come to step {shown['kt']} ({shown['date']}), {100 * done:.0f} % of its way."
        except (KeyError, TypeError, ZeroDivisionError):
            return ""
