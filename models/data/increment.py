"""Data sets of increments: written, opened lazily, checked. The types stand in models/data/quantities.py.

A data set is that of models/data/store.py with u, v, h, sst: the BACKGROUND at the analysis time, before the increment, and
NAME_inc: analysis minus background, in the units of NAME, gathered over one window. Attribute `increments`: JSON text
{"window": seconds, "method": "insert|cycle|enoi|archive", ...}.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError
from coupler.units import per_second
from models.data import store
from models.data.quantities import FIELDS, Increment, Tendency, UnitsError, check_units, checked_window

__all__ = [
    "FIELDS",
    "Increment",
    "Increments",
    "Tendency",
    "UnitsError",
    "Writer",
    "open_increments",
    "per_second",
    "writer",
]

SUFFIX = "_inc"
ATTRIBUTE = "increments"
OVERLAP = 1e-6  # windows that overlap by less than this part of a window do not


class Writer(store.Writer):
    """Writes a data set of increments piece by piece; used as a context manager, see `store.Writer`."""

    def __init__(
        self,
        path: Path,
        time: dict[str, str],
        static: dict[str, Any],
        provenance: dict[str, Any],
        window: float,
        method: str,
        **facts: Any,
    ) -> None:
        """Window [s]: of every increment; method: 'insert', 'cycle', 'enoi', 'archive'; facts: gain, ...; may grow.

        HaloclineError where `path` is something else than a data set, see `store.check_place`.
        """
        super().__init__(path, time, static, provenance)
        self.window = checked_window(window, str(path))
        self.facts = {"window": self.window, "method": method, **facts}

    def add(self, time: np.ndarray, background: Mapping[str, np.ndarray], increments: Mapping[str, Increment]) -> None:
        """Add records: time (n) [s], backgrounds and increments by name of the state, (n, k, y, x) or (n, y, x).

        UnitsError for what is no increment; HaloclineError for another window or name, and for an increment without
        its background.
        """
        fields = {name: np.asarray(values) for name, values in background.items()}
        for name, increment in increments.items():
            if not isinstance(increment, Increment):
                raise UnitsError(
                    f"'{name}' is a {type(increment).__name__}, a data set of increments takes increments."
                )
            if increment.name != name or increment.window != self.window:
                raise UnitsError(
                    f"{increment.label()} was given as '{name}' of {self.path}, whose window is {self.window:g} s."
                )
            if name not in background:
                raise HaloclineError(f"the increment of '{name}' has no background: networks read the background.")
            fields[name + SUFFIX] = np.asarray(increment.values)
        super().append(np.asarray(time), fields)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self._began:
            self.note(ATTRIBUTE, self.facts)
        super().__exit__(kind, *rest)


writer = Writer


class Increments:
    """A data set of increments, opened lazily.

    window [s], method, info (the attribute `increments`), fields (names with increments), times [s], time_attrs (CF units
    and calendar), calendar, data (the xarray data set with masks and metrics).
    """

    def __init__(self, path: Path, data: xr.Dataset, info: dict[str, Any]) -> None:
        self.path, self.data, self.info = path, data, info
        self.window, self.method = float(info["window"]), str(info.get("method", ""))
        self.fields = tuple(name for name in FIELDS if name + SUFFIX in data)
        self.times = np.asarray(data.time.values, np.float64)
        self.time_attrs = {str(key): str(value) for key, value in data.time.attrs.items()}
        self.calendar = self.time_attrs.get("calendar", "standard")

    def background(self, name: str) -> xr.DataArray:
        """The state before the increment, lazily: (time, k, y, x), or (time, y, x). HaloclineError when it is not there."""
        if name not in self.data:
            raise HaloclineError(f"{self.path} has no '{name}'; it has {', '.join(map(str, self.data.data_vars))}.")
        return self.data[name]

    def increment(self, name: str) -> Increment:
        """The increment of one field, its values lazily. HaloclineError for a field that was not changed."""
        if name not in self.fields:
            raise HaloclineError(
                f"{self.path} has no increments of '{name}'; it has those of {', '.join(self.fields)}."
            )
        values = self.data[name + SUFFIX]
        return Increment(values, self.window, str(values.attrs["units"]), name, FIELDS[name][1])

    def masks(self, name: str) -> np.ndarray:
        """Wet points of a field: (k, y, x), or (y, x) for one without levels; 1 wet, 0 land."""
        mask = np.asarray(self.data[f"{FIELDS[name][1].lower()}mask"].values)
        return mask if "k" in self.data[name].dims else mask[0]


def open_increments(path: Path) -> Increments:
    """The data set of increments at PATH.

    HaloclineError: no data set, one without increments, window missing or not positive, units per second in place of per
    window, an increment without its background, windows that overlap.
    """
    path = Path(path)
    if not path.is_dir():
        raise HaloclineError(f"there is no data set of increments {path}.\n  `halocline assimilate` writes them.")
    data = store.read(path, needed=())
    text = data.attrs.get(ATTRIBUTE)
    try:
        info = json.loads(str(text))
    except ValueError:
        info = None
    if not isinstance(info, dict) or "window" not in info:
        raise HaloclineError(
            f"{path} does not say over which window its increments were gathered (attribute '{ATTRIBUTE}': {text!r}).\n"
            "  It is no data set of increments, or another program wrote it: make it with `halocline assimilate`."
        )
    window = checked_window(info["window"], str(path))
    found = [str(name) for name in data.data_vars if str(name).endswith(SUFFIX)]
    if not found:
        raise HaloclineError(f"{path} holds no increment: no variable ends in '{SUFFIX}'.")
    for variable in found:
        name = variable.removesuffix(SUFFIX)
        units = data[variable].attrs.get("units")
        if name not in FIELDS or units is None:
            raise HaloclineError(
                f"'{variable}' of {path} is no known increment, or has no units (attribute: {units!r})."
            )
        try:
            check_units(name, str(units), FIELDS[name][0], "an increment")
        except UnitsError as error:
            raise UnitsError(f"'{variable}' of {path}: {error}") from None
        if name not in data or data[name].dims != data[variable].dims:
            raise HaloclineError(f"'{variable}' of {path} has no background '{name}' of the same shape.")
    steps = np.diff(np.asarray(data.time.values, np.float64))
    if steps.size and steps.min() < window * (1 - OVERLAP):
        at = int(np.argmin(steps))
        raise HaloclineError(
            f"windows of {path} overlap: records {at + 1} and {at + 2} are {steps[at]:g} s apart, a window has {window:g} s."
        )
    return Increments(path, data, info)
