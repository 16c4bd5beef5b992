"""The files of diagnostics: what coupler ranks show is gathered on rank 0 and written there."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from coupler.grid import Box
from coupler.handshake import Handshake
from coupler.io import DiagnosticsField, DiagnosticsFile, create_diagnostics
from coupler.means import Means
from coupler.settings import Settings
from coupler.transport.base import Transport

View = Callable[[], np.ndarray]


class Output:
    """One file of fields: gathers what its views show, and writes it on rank 0."""

    def __init__(
        self,
        shake: Handshake,
        transport: Transport,
        grid: int,
        box: Box,
        period: int,
        settings: Settings,
        statics: Mapping[str, View],
        places: Mapping[str, DiagnosticsField],
        path: Path,
        variables: Sequence[DiagnosticsField],
        views: Mapping[str, View],
        bounds: bool = False,
    ) -> None:
        """statics: coordinates, read at the first record; period: in steps."""
        self.shake, self.path, self.period, self.bounds, self.views = shake, path, period, bounds, views
        self.names = [variable.name for variable in variables]
        self._transport, self._box, self._statics = transport, box, dict(statics)
        self._file: DiagnosticsFile | None = None
        if transport.rank == 0:
            part = shake.grids[grid - 1]
            self._file = create_diagnostics(
                path,
                (part.ny, part.nx),
                variables,
                shake.date(1).isoformat(" "),
                shake.time.calendar,
                {
                    "title": f"Halocline: networks coupled to {shake.model}",
                    "closure": ", ".join(net.cn_name for net in settings.namnet),
                },
                list(places.values()),
                bounds,
            )

    def write(
        self,
        kt: int,
        seconds: float,
        bounds: tuple[float, float] | None = None,
        values: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """A record of what the views show now, or of `values`. Collective."""
        shown = {name: view().copy() for name, view in self.views.items()} if values is None else values
        fixed = {name: view().copy() for name, view in self._statics.items()}
        self._statics = {}
        parts = self._transport.gather((self._box, shown, fixed))
        if self._file is None or parts is None:
            return
        self._file.record(kt, seconds, bounds)
        for box, fields, places in parts:
            for name, array in fields.items():
                self._file.put(name, array if array.shape[0] > 1 else array[0], box.j0, box.i0)
            for name, array in places.items():
                self._file.put_coordinate(name, array[0], box.j0, box.i0)
        self._file.sync()

    def close(self) -> None:
        """Give the file its final name."""
        if self._file is not None:
            self._file.close()


class MeanOutput:
    """Means over the periods of an output, each value weighted by the steps until the next exchange."""

    def __init__(self, output: Output, maps: Sequence[str]) -> None:
        """maps: arrays that come with `add` and are written too."""
        self.output, self._maps, self._means, self._interval = output, maps, Means(), -1
        self._first = output.shake.time.nn_it000

    def add(self, kt: int, after: int, maps: Mapping[str, np.ndarray]) -> None:
        """What the views show at step `kt` holds until step `after`; what a period has begun with is written at its end."""
        period = self.output.period
        if (kt - 1) // period != self._interval:
            self.flush(period * (self._interval + 1))
            self._interval = (kt - 1) // period
        self._means.add({name: view() for name, view in self.output.views.items()}, after - kt)
        self._means.add({name: maps[name] for name in self._maps if name in maps}, 1)

    def flush(self, last: int) -> None:
        """Write the mean that has begun, up to step `last`. Collective."""
        if self._interval < 0:
            return
        period, step = self.output.period, self.output.shake.time.rn_Dt
        last = min(last, period * (self._interval + 1))
        bounds = (max(period * self._interval, self._first - 1) * step, last * step)
        self.output.write(last, 0.5 * (bounds[0] + bounds[1]), bounds, self._means.take())
        self._interval = -1
