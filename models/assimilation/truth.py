"""The truth of a twin experiment: states of a data set of `halocline coarsen`, one for each analysis."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from models.data import store
from models.data.background import State
from models.data.increment import ATTRIBUTE

BLOCK = store.CHUNK  # records that are read together, a chunk of the data set
NAMES = {"u": "u", "v": "v", "h": "h", "t": "sst"}
MASKS = {"u": "umask", "v": "vmask", "h": "tmask", "t": "tmask"}


@dataclass
class Truth:
    """States at `records` of a data set, the first of which is the start. Arrays (levels, y, x), the rim of land included."""

    path: Path
    data: xr.Dataset
    records: np.ndarray
    _block: dict[str, np.ndarray] = field(default_factory=dict)
    _first: int = -1

    @property
    def windows(self) -> int:
        """Analyses there is a truth for."""
        return len(self.records) - 1

    @property
    def times(self) -> np.ndarray:
        """Times of the records [s], in the units of the data set."""
        return np.asarray(self.data["time"].values, np.float64)[self.records]

    @property
    def time_attrs(self) -> dict[str, str]:
        """CF units and calendar."""
        return {str(key): str(value) for key, value in self.data["time"].attrs.items()}

    def date(self, window: int) -> cftime.datetime:
        """When the analysis of a window is made; 0: the start."""
        attrs = self.data["time"].attrs
        return cftime.num2date(round(float(self.times[window])), attrs["units"], attrs.get("calendar", "standard"))

    def masks(self) -> State:
        """1 on wet points of u, v, h, t, 0 on land: (levels, y, x) each."""
        found = {name: (self.data[mask].values > 0).astype(float) for name, mask in MASKS.items()}
        return {**found, "t": found["t"][:1]}

    def state(self, window: int) -> State:
        """The true state at the analysis of a window; 0: the start."""
        record = int(self.records[window])
        first = record - record % BLOCK
        if first != self._first:
            rows = self.data.isel(time=slice(first, first + BLOCK))
            self._block = {name: rows[variable].values.astype(np.float64) for name, variable in NAMES.items()}
            self._first = first
        state = {name: values[record - first] for name, values in self._block.items()}
        return {**state, "t": state["t"][None]}

    def static(self) -> dict[str, Any]:
        """Masks and metrics, as `store.Writer` takes them."""
        return {
            str(name): (field.dims, field.values, dict(field.attrs))
            for name, field in self.data.data_vars.items()
            if "time" not in field.dims
        }


def open_truth(path: Path, window: float, windows: int, where: str) -> Truth:
    """The truth with one record for each window; windows 0: to its end. where: where the namelist names it, for messages.

    HaloclineError: no data set, one of increments, states that are not `window` [s] (or a whole part of it) apart, or too
    few of them.
    """
    try:
        data = store.read(path)
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {where}.") from None
    if ATTRIBUTE in data.attrs:
        raise HaloclineError(
            f"{path} is a data set of increments: its states are backgrounds of a model, no truth.\n"
            f"  {where}. Name a data set of `halocline coarsen`."
        )
    times = np.asarray(data["time"].values, np.float64)
    if times.size < 2:
        raise HaloclineError(f"{path} has {times.size} states, a window needs two.\n  {where}. Take a longer truth.")
    room = int((times[-1] - times[0] + 1.0) // window)
    if room < max(windows, 1):
        raise HaloclineError(
            f"{path} is too short: it has {(times[-1] - times[0]) / 86400:g} days, {room} windows of {window / 86400:g} days; "
            f"{max(windows, 1)} are asked for.\n  {where}. Lower nn_windows, or take a longer truth."
        )
    wanted = times[0] + window * np.arange((windows or room) + 1)
    records = np.searchsorted(times, wanted - 1.0)
    off = np.abs(times[np.minimum(records, times.size - 1)] - wanted)
    if off.max() > 1.0:
        late = int(np.argmax(off > 1.0))
        raise HaloclineError(
            f"{path} has no state at the analysis of window {late} ({(wanted[late] - times[0]) / 86400:g} days after its first): "
            f"its states are {np.min(np.diff(times)) / 86400:g} days apart.\n  {where}. Set rn_window to a multiple of that."
        )
    return Truth(path, data, records)
