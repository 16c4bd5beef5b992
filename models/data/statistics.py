"""Statistics of the training part of a data set: what networks are normalised with, and what their contracts say is known."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import xarray as xr

from coupler.errors import HaloclineError

POINTS = {"u": "U", "v": "V", "h": "T", "sst": "T", "ff_t": "T", "du": "U", "dv": "V"}
FIELDS = ("u", "v", "h", "sst")
STATIC = ("ff_t",)
TARGETS = {"residual": {"du": "du", "dv": "dv"}, "advective": {"du": "du_adv", "dv": "dv_adv"}}
BLOCK = 32  # states in memory at a time
SAMPLES = 256  # states, spread evenly, that percentiles are taken from
LOW, HIGH = 0.1, 99.9  # percentiles


@dataclass(frozen=True)
class Statistics:
    """Numbers over wet points and the chosen times; keys are variables of the data set, tuples have one entry per level.

    rms: of the targets du, dv [m s-2]; low, high: extremes; p001, p999: percentiles 0.1 and 99.9 over all levels; rate: largest
    plausible change of an output per second, None if not known; count: number of states.
    """

    mean: dict[str, tuple[float, ...]]
    std: dict[str, tuple[float, ...]]
    rms: dict[str, tuple[float, ...]]
    low: dict[str, float]
    high: dict[str, float]
    p001: dict[str, float]
    p999: dict[str, float]
    rate: float | None
    count: int

    def to_json(self) -> str:
        """The document; from_json gives the same numbers, bit for bit."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str = "statistics") -> "Statistics":
        """The inverse of to_json; HaloclineError if the document is not one."""
        try:
            document = json.loads(text)
            if set(document) != {field.name for field in fields(cls)}:
                raise ValueError(f"entries {sorted(document)}")
            tuples = {key: {n: tuple(v) for n, v in document[key].items()} for key in ("mean", "std", "rms")}
            return cls(**{**document, **tuples})
        except (ValueError, TypeError, AttributeError) as error:
            raise HaloclineError(
                f"{where}: this is not a document of statistics ({error}). Take them again from the data set."
            ) from None


def of(dataset: xr.Dataset, times: Sequence[int] | np.ndarray, target: str = "residual") -> Statistics:
    """Statistics of u, v, h, sst (those that are there), ff_t and the `target` at the indices `times`, over wet points.

    Read in blocks of BLOCK states, so a data set may be larger than memory; sums in float64. Give the training part only.
    Where the target is absent, rms is empty. HaloclineError without times, for a mask that is missing or dry, and for
    values under water that are not finite, with where they are.
    """
    index = np.asarray(times, dtype=int)
    if index.size == 0:
        raise HaloclineError(
            "statistics of no time: the training part is empty. Check &namsplit and the data set's length."
        )
    names = {name: name for name in FIELDS if name in dataset}
    names |= {name: variable for name, variable in TARGETS[target].items() if variable in dataset}
    result: dict[str, dict] = {key: {} for key in ("mean", "std", "rms", "low", "high", "p001", "p999")}
    sampled = set(index[np.unique(np.linspace(0, index.size - 1, SAMPLES).astype(int))].tolist())
    for name, variable in names.items():
        wet = _wet(dataset, name, "k" in dataset[variable].dims)
        sums = _Sums(len(wet))
        for start in range(0, index.size, BLOCK):
            block = index[start : start + BLOCK]
            values = dataset[variable].isel(time=block).values.astype(np.float64)
            values = values if "k" in dataset[variable].dims else values[:, None]
            sums.add(variable, values, wet, block, [n for n, i in enumerate(block) if int(i) in sampled])
        _record(result, name, sums)
    for name in (name for name in STATIC if name in dataset):
        wet, sums = _wet(dataset, name, False), _Sums(1)
        sums.add(name, dataset[name].values.astype(np.float64)[None, None], wet, np.zeros(1, int), [0])
        _record(result, name, sums)
    return Statistics(**result, rate=None, count=int(index.size))


class _Sums:
    """Running sums per level; the first block's mean is the origin, so that the variance does not cancel."""

    def __init__(self, levels: int) -> None:
        self.origin: np.ndarray | None = None
        self.count, self.first, self.second = np.zeros(levels), np.zeros(levels), np.zeros(levels)
        self.low, self.high = np.inf, -np.inf
        self.kept: list[np.ndarray] = []

    def add(self, name: str, values: np.ndarray, wet: np.ndarray, times: np.ndarray, keep: list[int]) -> None:
        """values: (time, k, y, x); wet: (k, y, x); keep: which of these times percentiles are taken from."""
        bad = ~np.isfinite(values) & wet
        if bad.any():
            t, k, j, i = np.argwhere(bad)[0]
            raise HaloclineError(
                f"variable '{name}' is {values[t, k, j, i]} under water at time index {times[t]}, level {k + 1}, cell "
                f"({i + 1}, {j + 1}); {int(bad.sum())} such values. Mend the data set, or coarsen it again."
            )
        if self.origin is None:
            self.origin = np.array([values[:, k, wet[k]].mean() for k in range(len(wet))])
        for k, origin in enumerate(self.origin):
            part = values[:, k, wet[k]]
            self.count[k] += part.size
            self.first[k] += (part - origin).sum()
            self.second[k] += ((part - origin) ** 2).sum()
            self.low, self.high = min(self.low, part.min()), max(self.high, part.max())
            self.kept.append(part[keep].ravel())


def _record(result: dict[str, dict], name: str, sums: _Sums) -> None:
    assert sums.origin is not None
    shift = sums.first / sums.count
    mean = sums.origin + shift
    variance = np.maximum(sums.second / sums.count - shift**2, 0.0)
    result["mean"][name], result["std"][name] = tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())
    if name in ("du", "dv"):
        result["rms"][name] = tuple(np.sqrt(variance + mean**2).tolist())
    result["low"][name], result["high"][name] = float(sums.low), float(sums.high)
    kept = np.concatenate(sums.kept)
    result["p001"][name], result["p999"][name] = (float(p) for p in np.percentile(kept, (LOW, HIGH)))


def _wet(dataset: xr.Dataset, name: str, levels: bool) -> np.ndarray:
    """(k, y, x), or (1, y, x) of the first level where the field has none."""
    label = f"{POINTS[name].lower()}mask"
    if label not in dataset:
        raise HaloclineError(
            f"the data set has no '{label}', which says where '{name}' is under water; it has {', '.join(map(str, dataset))}. "
            "Coarsen it again."
        )
    mask = dataset[label].values > 0
    mask = mask if mask.ndim == 3 else mask[None]
    mask = mask if levels else mask[:1]
    if not mask.any(axis=(1, 2)).all():
        raise HaloclineError(f"'{label}' has no wet point on some level. Check the mask of the data set.")
    return mask
