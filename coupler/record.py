"""Recording: every exchange of a run, gathered on rank 0 and written to cn_record for `halocline replay`."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from coupler.engines.base import find_artefact
from coupler.errors import HaloclineError
from coupler.exchange import Exchange, Plan
from coupler.grid import Box
from coupler.handshake import Handshake
from coupler.settings import Settings
from coupler.timers import Timers
from coupler.transport.base import Header, Transport
from coupler.transport.recording import RecordFile

FIXED = 36_000  # bytes of the file per exchange: its axes, steps and flags (measured: 34 kB)
FIELD = 5_000  # and per field: the head of its variable, the index of its chunks (measured: 4.5 kB)
OVERHEAD = 1024  # bytes per record of an exchange: its step, flags, and the index of its chunks (measured: 500)
COST = 2e-8  # seconds per byte to compress and write (measured: 48x48x2 and 62x199x31 in 64 bits; twice that on a busy machine)
QUICK = 1e-8  # seconds per byte of one file of several, as it is (measured: 50x50x10 in 32 bits, most of it per record)
Piece = tuple[Box, Mapping[str, np.ndarray]]  # of a rank: its box, and there field -> (levels, nj, ni)


class Recorder:
    """Writes what arrives and what is answered, as it travels: before land is filled, in the type of the stack.

    All methods are collective over the coupler, and do nothing without ln_record.
    """

    def __init__(
        self,
        settings: Settings,
        shake: Handshake,
        plans: Sequence[Plan],
        transport: Transport,
        boxes: Mapping[int, Box],
        timers: Timers,
    ) -> None:
        """Open the first file and say how large it will be.

        HaloclineError where it cannot be written, the disk is too small, or rn_record does not fit the periods.
        """
        self._on = settings.namcpl.ln_record
        self._transport, self._boxes, self._timers, self._shake = transport, boxes, timers, shake
        self._seconds, self._records, self._files, self._bytes = 0.0, 0, 0, 0
        self._parts: dict[int, _Part] = {}
        self._static: list[tuple[Exchange, int, Mapping[str, int], Sequence[Piece]]] = []
        if not self._on or transport.rank:
            return
        self._path = Path(settings.namcpl.cn_record)
        self._kinds = [(plan.exchange, plan.stack.dtype) for plan in plans]
        self._span = _span(settings, shake, [plan.exchange for plan in plans])
        print(f"halocline: ln_record: {_room(self._path, settings, shake, self._kinds, self._span)}", flush=True)
        self._about: dict[str, str | int] = {
            "title": f"Halocline: every exchange of {shake.model}",
            "namelist_cfg": settings.path.read_text(encoding="utf-8", errors="replace"),
            "artefacts": json.dumps(artefact_hashes(settings)),
            "halocline": version("halocline"),
        }
        self._part(shake.time.nn_it000)

    def _part(self, kt: int) -> "_Part":
        """The file that step `kt` belongs to, opened with the static fields where it is new."""
        begin, end = self._shake.time.nn_it000, self._shake.time.nn_itend
        number = (kt - begin) // self._span if self._span else 0
        if number in self._parts:
            return self._parts[number]
        path, about, due = self._path, self._about, {}
        if self._span:
            first, last = begin + number * self._span, min(begin + (number + 1) * self._span - 1, end)
            about = {**about, "first_step": first, "last_step": last}
            path = path.with_name(f"{path.stem}_{first:08d}{path.suffix}")
            ends = {e.number: last - (last - 1) % e.period for e, _ in self._kinds if not e.static}
            due = {exchange: step for exchange, step in ends.items() if step >= first}
        file = RecordFile(path, self._shake, self._kinds, about, lasting=not self._span)
        for record in self._static:
            file.append(*record)
        self._parts[number] = _Part(number, file, due)
        return self._parts[number]

    def received(self, plan: Plan, kt: int, header: Header | None) -> None:
        """The fields of `plan` have arrived for step `kt`; header: what came with them, None on a rank without a peer."""
        if self._on:
            head = None if header is None else {"restart": header.restart, "last": int(header.last)}
            with self._timers("record"):
                self._write(plan, kt, head, plan.stack)

    def answered(self, plan: Plan, kt: int, status: int, values: np.ndarray) -> None:
        """The networks' answer for the ocean's step `kt`, values (levels, nj, ni), also where ln_active = .false. drops it."""
        if self._on:
            with self._timers("record"):
                self._write(plan, kt, {"status": status}, values)

    def _write(self, plan: Plan, kt: int, head: Mapping[str, int] | None, stack: np.ndarray) -> None:
        start = time.perf_counter()
        box, halo = self._boxes[plan.exchange.grid], plan.exchange.halo
        interior, mine, level = stack[:, halo : halo + box.nj, halo : halo + box.ni].copy(), {}, 0
        for field in plan.exchange.fields:
            mine[field.name] = interior[level : level + field.levels]
            level += field.levels
        found = self._transport.gather((head, box, mine))
        if found is None:
            return
        heads = [words for words, _, _ in found if words is not None]
        record = plan.exchange, kt, heads[0] if heads else {}, [piece[1:] for piece in found]
        if plan.exchange.static and self._span:
            self._static.append(record)
        part = self._part(kt)
        part.file.append(*record)
        self._records += 1
        if part.due.get(plan.exchange.number) == kt:
            del part.due[plan.exchange.number]
            if not part.due:  # nothing more belongs to it: the ocean has not yet got this answer
                self._close([part.number])
        self._seconds += time.perf_counter() - start

    def _close(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            file = self._parts.pop(number).file
            file.close()
            self._files += 1
            self._bytes += file.path.stat().st_size

    def close(self) -> None:
        """Give the last file its name and say what it cost."""
        if not self._on or self._transport.rank:
            return
        self._close(list(self._parts))
        name = self._path if not self._span else f"{self._files} files {self._path.stem}_*{self._path.suffix}"
        print(
            f"halocline: ln_record: {name} {'hold' if self._span else 'holds'} {self._records} exchanges in "
            f"{_bytes(self._bytes)}; writing them took {self._seconds:.2f} s",
            flush=True,
        )


@dataclass
class _Part:
    """A file, and the exchanges that it still waits for: number -> step of the last one. number: of the file, from 0."""

    number: int
    file: RecordFile
    due: dict[int, int]


def artefact_hashes(settings: Settings) -> dict[str, str]:
    """sha256 of the file of every network, by the network's name."""
    search = [settings.path.resolve().parent, Path.cwd()]
    return {
        group.cn_name: hashlib.sha256(find_artefact(group.cn_artefact, search).read_bytes()).hexdigest()
        for group in settings.namnet
        if group.cn_artefact and group.cn_engine != "null"
    }


def _span(settings: Settings, shake: Handshake, exchanges: Sequence[Exchange]) -> int:
    """Steps of a file; 0: one file. HaloclineError for a length that cuts a step or a coupling period."""
    switches = settings.namcpl
    steps = switches.rn_record / shake.time.rn_Dt
    if abs(steps - round(steps)) > 1e-9 * steps:
        raise HaloclineError(
            f"rn_record = {switches.rn_record:g} s is {steps:g} steps of {shake.time.rn_Dt:g} s; it must be a whole number.\n"
            f"  {switches.where('rn_record')}. Set it to {max(round(steps), 1) * shake.time.rn_Dt:g}."
        )
    for exchange in exchanges:
        if not exchange.static and round(steps) % exchange.period:
            raise HaloclineError(
                f"rn_record = {switches.rn_record:g} s is no multiple of the {exchange.period * shake.time.rn_Dt:g} s from one "
                f"exchange '{exchange.name}' to the next.\n  {switches.where('rn_record')}. Each file holds whole periods."
            )
    return round(steps)


def _room(
    path: Path, settings: Settings, shake: Handshake, kinds: Sequence[tuple[Exchange, np.dtype]], span: int
) -> str:
    """Bytes per step and of the file, uncompressed, as a sentence. HaloclineError when the disk has less room.

    Of several files two must fit, the one that is written and the one that is read: whoever reads may remove.
    """
    steps = shake.time.nn_itend - shake.time.nn_it000 + 1
    files = math.ceil(steps / span) if span else 1
    per_step, per_file, longest = 0.0, 0, min(steps, span or steps)
    for exchange, dtype in kinds:
        part = shake.grids[exchange.grid - 1]
        size = exchange.levels * part.nx * part.ny * dtype.itemsize + OVERHEAD
        per_step += 0.0 if exchange.static else size / exchange.period
        per_file += (
            FIXED
            + FIELD * len(exchange.fields)
            + size * (1 if exchange.static else math.ceil(longest / exchange.period))
        )
    free, needed = shutil.disk_usage(path.absolute().parent).free, per_file * min(files, 2)
    if needed > free:
        fit = max(0, int((free - (needed - per_step * steps)) / max(per_step, 1.0)))
        advice = "Shorten rn_record" if span else f"Run fewer steps (about {fit} fit)"
        what = f"two files of {span} steps" if span and files > 1 else f"{steps} steps"
        raise HaloclineError(
            f"the recording {path} would take up to {_bytes(needed)} ({_bytes(per_step)} per step, {what}), and "
            f"{path.absolute().parent} has {_bytes(free)} free.\n  {settings.namcpl.where('ln_record')}. {advice}, "
            "exchange less often (rn_period in &namexc), put cn_record on a larger disk, or set ln_record = .false."
        )
    cost = per_step * (QUICK if span else COST) * 1e3
    length = f"at most {_bytes(per_file * files)} for {steps} steps"
    if files > 1:
        length = (
            f"in {files} files of {span} steps, at most {_bytes(per_file)} each and {_bytes(per_file * files)} together"
        )
    return (
        f"{_bytes(per_step)} per step to {path}, {length} ({_bytes(free)} are free); this takes coupler rank 0 about "
        f"{cost:.2g} ms per step"
    )


def _bytes(number: float) -> str:
    """Bytes for people."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"
