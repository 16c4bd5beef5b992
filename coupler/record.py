"""Recording: every exchange of a run, gathered on rank 0 and written to cn_record for `halocline replay`."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
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

FIXED = 40_000  # bytes of the file per exchange: its axes and the heads of its variables (measured: 34 kB)
OVERHEAD = 1024  # bytes per record of an exchange: its step, flags, and the index of its chunks (measured: 500)
COST = 2e-8  # seconds per byte to compress and write (measured: 48x48x2 and 62x199x31 in 64 bits; twice that on a busy machine)


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
        """Open the file and say how large it will be. HaloclineError where it cannot be written, or the disk is too small."""
        self._on = settings.namcpl.ln_record
        self._transport, self._boxes, self._timers = transport, boxes, timers
        self._file: RecordFile | None = None
        self._seconds, self._records = 0.0, 0
        if not self._on or transport.rank:
            return
        path = Path(settings.namcpl.cn_record)
        kinds = [(plan.exchange, plan.stack.dtype) for plan in plans]
        print(f"halocline: ln_record: {_room(path, settings, shake, kinds)}", flush=True)
        self._file = RecordFile(
            path,
            shake,
            kinds,
            {
                "title": f"Halocline: every exchange of {shake.model}",
                "namelist_cfg": settings.path.read_text(encoding="utf-8", errors="replace"),
                "artefacts": json.dumps(artefact_hashes(settings)),
                "halocline": version("halocline"),
            },
        )

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
        if self._file is not None and found is not None:
            heads = [words for words, _, _ in found if words is not None]
            self._file.append(plan.exchange, kt, heads[0] if heads else {}, [piece[1:] for piece in found])
            self._records += 1
            self._seconds += time.perf_counter() - start

    def close(self) -> None:
        """Give the file its name and say what it cost."""
        if self._file is None:
            return
        self._file.close()
        size = self._file.path.stat().st_size
        print(
            f"halocline: ln_record: {self._file.path} holds {self._records} exchanges in {_bytes(size)}; writing them took "
            f"{self._seconds:.2f} s",
            flush=True,
        )


def artefact_hashes(settings: Settings) -> dict[str, str]:
    """sha256 of the file of every network, by the network's name."""
    search = [settings.path.resolve().parent, Path.cwd()]
    return {
        group.cn_name: hashlib.sha256(find_artefact(group.cn_artefact, search).read_bytes()).hexdigest()
        for group in settings.namnet
        if group.cn_artefact and group.cn_engine != "null"
    }


def _room(path: Path, settings: Settings, shake: Handshake, kinds: Sequence[tuple[Exchange, np.dtype]]) -> str:
    """Bytes per step and of the file, uncompressed, as a sentence. HaloclineError when the disk has less room."""
    steps = range(shake.time.nn_it000, shake.time.nn_itend + 1)
    per_step, total = 0.0, 0
    for exchange, dtype in kinds:
        part = shake.grids[exchange.grid - 1]
        size = exchange.levels * part.nx * part.ny * dtype.itemsize + OVERHEAD
        per_step += 0.0 if exchange.static else size / exchange.period
        total += FIXED + size * (1 if exchange.static else math.ceil(len(steps) / exchange.period))
    free = shutil.disk_usage(path.absolute().parent).free
    if total > free:
        fit = max(0, int((free - (total - per_step * len(steps))) / max(per_step, 1.0)))
        raise HaloclineError(
            f"the recording {path} would take up to {_bytes(total)} ({_bytes(per_step)} per step, {len(steps)} steps), and "
            f"{path.absolute().parent} has {_bytes(free)} free.\n  {settings.namcpl.where('ln_record')}. Run fewer steps (about "
            f"{fit} fit), exchange less often (rn_period in &namexc), put cn_record on a larger disk, or set ln_record = .false."
        )
    return (
        f"{_bytes(per_step)} per step to {path}, at most {_bytes(total)} for {len(steps)} steps ({_bytes(free)} are free); this "
        f"takes coupler rank 0 about {per_step * COST * 1e3:.2g} ms per step"
    )


def _bytes(number: float) -> str:
    """Bytes for people."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"
