"""Records of what the coupler received and returned, gathered on rank 0."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from coupler.exchange import Plan
from coupler.fields import Field
from coupler.grid import Box
from coupler.guards.guard import Guard
from coupler.handshake import Handshake
from coupler.io import DiagnosticsField, DiagnosticsFile, create_diagnostics
from coupler.network import Network
from coupler.settings import Settings
from coupler.transport.base import Transport


class Diagnostics:
    """Writes the fields of &namdiag every rn_diag seconds, as the networks saw and made them."""

    def __init__(
        self,
        settings: Settings,
        shake: Handshake,
        plans: Sequence[Plan],
        transport: Transport,
        boxes: Mapping[int, Box],
        networks: Sequence[Network] = (),
    ) -> None:
        """Nothing is written when rn_diag is 0. Raises HaloclineError for a field that no exchange carries."""
        self._shake, self._transport = shake, transport
        self._file: DiagnosticsFile | None = None
        self._views: dict[str, Callable[[], np.ndarray]] = {}
        diag = settings.namdiag
        self._period = diag.rn_diag
        if not self._period:
            return
        step = shake.time.rn_Dt
        if abs(round(self._period / step) * step - self._period) > 1e-9 * self._period:
            raise HaloclineError(
                f"rn_diag = {self._period:g} s is not a multiple of the ocean's time step, {step:g} s.\n  {diag.where('rn_diag')}."
            )
        known = {field.name: (field, plan) for plan in plans for field in plan.exchange.fields}
        names = diag.cn_diag or [f.name for p in plans if p.exchange.direction == "to_ocean" for f in p.exchange.fields]
        for name in names:
            if name not in known:
                raise HaloclineError(
                    f"cn_diag names '{name}', which no exchange carries. Carried: {', '.join(known)}.\n  {diag.where('cn_diag')}."
                )
        grids = sorted({known[name][0].grid for name in names})
        if len(grids) > 1:
            raise HaloclineError(
                f"the diagnostics file holds one grid, and {', '.join(names)} live on {len(grids)}.\n  {diag.where('cn_diag')}. "
                "Name the fields of one."
            )
        part = shake.grids[grids[0] - 1]
        box = self._box = boxes[grids[0]]
        for name in names:
            plan, halo = known[name][1], known[name][1].exchange.halo
            self._views[name] = partial(_inside, plan.views[name], halo, box)
        fields = [known[name][0] for name in names]
        if diag.ln_diag_guard:
            fields += self._guards(networks, {field.name: field for field in fields})
        if transport.rank == 0:
            self._file = create_diagnostics(
                Path(diag.cn_diag_file),
                (part.ny, part.nx),
                [DiagnosticsField(field.name, field.units, field.point, field.levels) for field in fields],
                shake.date(1).isoformat(" "),
                shake.time.calendar,
                {
                    "title": f"Halocline: networks coupled to {shake.model}",
                    "closure": ", ".join(n.cn_name for n in settings.namnet),
                },
            )

    def _guards(self, networks: Sequence[Network], written: Mapping[str, Field]) -> list[Field]:
        """How often the guards changed each cell of a written field since the start of the run, as guard_FIELD."""
        found = []
        for net in networks:
            for output, link in net.outputs.items():
                guard = net.stages.guard
                if guard is None or link.field not in written or link.levels is not None:
                    continue
                field = written[link.field].model_copy(update={"name": f"guard_{link.field}", "units": "1"})
                none = np.zeros((field.levels, self._box.nj, self._box.ni), np.int32)
                self._views[field.name] = partial(_counts, guard, output, none)
                found.append(field)
        return found

    def record(self, kt: int) -> None:
        """Write step `kt` when it is due. Collective over the coupler."""
        if not self._period:
            return
        seconds = (kt - 1) * self._shake.time.rn_Dt
        if round(seconds / self._period) * self._period != seconds:
            return
        parts = self._transport.gather((self._box, {name: view().copy() for name, view in self._views.items()}))
        if self._file is not None and parts is not None:
            self._file.record(kt, round(seconds))
            for part in parts:
                _put(self._file, *part)

    def close(self) -> None:
        """Give the file its final name."""
        if self._file is not None:
            self._file.close()


def _inside(view: np.ndarray, halo: int, box: Box) -> np.ndarray:
    """A field (levels, nj, ni) without its halo."""
    return view[:, halo : halo + box.nj, halo : halo + box.ni]


def _counts(guard: Guard, output: str, none: np.ndarray) -> np.ndarray:
    """Interventions per cell, zeros before the first."""
    return guard.cells.get(output, none)


def _put(file: DiagnosticsFile, box: Box, values: Mapping[str, np.ndarray]) -> None:
    """Write the box of one coupler rank."""
    for name, array in values.items():
        file.put(name, array if array.shape[0] > 1 else array[0], box.j0, box.i0)
