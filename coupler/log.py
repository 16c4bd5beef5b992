"""The log of a run as JSON lines: what happened when, for people and programs, complete after a crash too."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from coupler.settings import NamLog

LOG_FILE = Path("coupler.log.jsonl")
ABORT_FILE = Path("halocline.abort")
# A file that is older is that of an earlier job in this folder; other ranks may be up a little earlier than this process.
STARTED = time.time() - 5


class Log:
    """Events of one rank. They wait in memory until `open` says where they go.

    Every event is written at once, with one call of the system: a reader sees whole lines at any time.
    """

    def __init__(self) -> None:
        """Note that this process has started."""
        self._waiting: list[tuple[str, str, dict[str, Any]]] = []
        self._file: int | None = None
        self._size = 0
        self._on, self._debug, self._rank = True, True, 0
        self("launch", "debug", host=socket.gethostname(), pid=os.getpid(), folder=str(Path.cwd()))

    def __call__(self, event: str, level: str = "info", **facts: Any) -> None:
        """Write one event. level: debug, info, warning or error; facts: what JSON can hold.

        Before `open` it is kept; on a rank without a log, and for 'debug' without cn_verbosity = 'debug', nothing is done, nor
        after the last words of another rank.
        """
        if not self._on or (level == "debug" and not self._debug):
            return
        if self._file is None:
            self._waiting.append((_now(), level, {"event": event, **facts}))
        else:
            self._write(self._file, _line(_now(), level, self._rank, {"event": event, **facts}))

    def _write(self, file: int, line: bytes) -> None:
        """Add a line, unless somebody else did: only last words come from elsewhere."""
        with _locked(file):
            if os.fstat(file).st_size != self._size:
                self._on = False
                return
            _append(file, line)
            self._size += len(line)

    @property
    def on(self) -> bool:
        """This rank has a log."""
        return self._on

    def open(self, switches: NamLog, rank: int, size: int) -> None:
        """Rank 0 writes LOG_FILE; another, if nn_log_rank asks for it, coupler.log.NNNN.jsonl.

        What an earlier job left there is replaced. Raises HaloclineError for a rank that the coupler does not have.
        """
        wanted = switches.nn_log_rank
        if wanted >= size:
            raise HaloclineError(
                f"nn_log_rank = {wanted}, and the coupler has {size} ranks.\n  {switches.where('nn_log_rank')}. Allowed: 0 to "
                f"{size - 1}, or -1 for all."
            )
        self._rank, self._debug = rank, switches.cn_verbosity == "debug"
        self._on = rank in (0, wanted) or wanted == -1
        waiting, self._waiting = self._waiting, []
        if not self._on:
            return
        self._file = _start(LOG_FILE if rank == 0 else LOG_FILE.with_suffix(f".{rank:04d}.jsonl"))
        self._size = os.fstat(self._file).st_size
        for moment, level, facts in waiting:
            if level != "debug" or self._debug:
                self._write(self._file, _line(moment, level, rank, facts))

    def close(self) -> None:
        """The last event is written."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._on = None, False

    def last_words(self, message: str) -> str:
        """The run ends with an error: the last event of LOG_FILE, written by the rank that is first, whatever its number.

        Returns what to say: `message`, or that of the rank that was faster. A disk that takes nothing more is no reason to
        say nothing.
        """
        self._on = False
        with suppress(OSError):
            file = _start(LOG_FILE)
            with _locked(file):
                known = _last_error(LOG_FILE)
                if known is not None:
                    return known
                if self._file is None:
                    for moment, level, facts in self._waiting:
                        _append(file, _line(moment, level, self._rank, facts))
                _append(file, _line(_now(), "error", self._rank, {"event": "error", "message": message}))
        return message


def close_log(rundir: Path, message: str) -> None:
    """Give the log of a run that failed its last event, if no rank of the coupler came to it; by the launcher, rank null.

    message: the cause, where no side has left one in ABORT_FILE.
    """
    path = rundir / LOG_FILE
    with suppress(OSError):
        if (rundir / ABORT_FILE).exists():
            message = (rundir / ABORT_FILE).read_text(encoding="utf-8", errors="replace").strip()
        if _last_error(path) is None:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            _append(file, _line(_now(), "error", None, {"event": "error", "message": message}))
            os.close(file)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Events of a log, oldest first; a last line that the machine could not finish is left out."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            events.append(json.loads(line))
    return events


def _last_error(path: Path) -> str | None:
    """The message of the last event, if that is an error."""
    events = read_log(path) if path.exists() else []
    return str(events[-1]["message"]) if events and events[-1]["event"] == "error" else None


def _start(path: Path) -> int:
    """The open file, emptied if it is that of an earlier job."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    with _locked(file):
        if os.fstat(file).st_mtime < STARTED:
            os.ftruncate(file, 0)
            os.utime(file)
    return file


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """One process at a time, where the file system knows locks."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _append(file: int, line: bytes) -> None:
    """The whole line in one piece."""
    while line:
        line = line[os.write(file, line) :]


def _line(moment: str, level: str, rank: int | None, facts: dict[str, Any]) -> bytes:
    head = {"time": moment, "level": level, "event": facts["event"], "rank": rank}
    return (json.dumps({**head, **facts, **head}, ensure_ascii=False) + "\n").encode()


def _now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
