"""The part of increments that the day of the year tells: mean and harmonics, fitted to training records only.

c(d) = mean + sum_n (a_n cos n w + b_n sin n w),  w = 2 pi (d - 0.5) / year_days, d the day of the year (1.0 on 1 January, 00:00)

by least squares at each wet point. Harmonics join 31 December to 1 January; monthly means would not. Units are those of
the fitted values: an increment's climatology is per window.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import cftime
import numpy as np

from coupler.errors import HaloclineError
from coupler.guards.statics import YEAR_DAYS

BLOCK = 64  # records in memory at once, of lazy values
CONDITION = (
    1e4  # of the normal matrix (its rows are of order 1/2 to 1): beyond, the days do not determine the harmonics
)


def year_days(calendar: str) -> float:
    """Mean length of the year [days] of a CF calendar. HaloclineError for one that is not known."""
    if calendar.lower() not in YEAR_DAYS:
        raise HaloclineError(f"the calendar '{calendar}' is not known; there are {', '.join(YEAR_DAYS)}.")
    return YEAR_DAYS[calendar.lower()]


def dates(times: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Dates (cftime) of a CF time axis, in its own calendar."""
    return np.atleast_1d(
        cftime.num2date(np.asarray(times), str(attrs["units"]), str(attrs.get("calendar", "standard")))
    )


def day_of_year(times: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Days of the year of a CF time axis, as the coupler counts them: 1.0 on 1 January, 00:00."""
    return np.array(
        [
            date.dayofyr + (date.hour * 3600.0 + date.minute * 60.0 + date.second + date.microsecond * 1e-6) / 86400.0
            for date in dates(times, attrs)
        ]
    )


def basis(days: np.ndarray, harmonics: int, length: float) -> np.ndarray:
    """(days, 1 + 2 harmonics): 1, cos w, sin w, cos 2w, sin 2w, ...; length: days of the year."""
    w = 2.0 * np.pi * (np.asarray(days, np.float64)[:, None] - 0.5) / length * np.arange(1, harmonics + 1)
    result = np.ones((len(w), 1 + 2 * harmonics))
    result[:, 1::2], result[:, 2::2] = np.cos(w), np.sin(w)
    return result


@dataclass(frozen=True)
class Climatology:
    """Coefficients by field: (1 + 2 harmonics, k, y, x), or (.., y, x) of a field without levels; 0 on land.

    Order: mean, a_1, b_1, a_2, b_2, ...; explained: part of the second moment of the values it was fitted to, by field and level.
    """

    coefficients: dict[str, np.ndarray]
    year_days: float
    explained: dict[str, list[float]] = field(default_factory=dict)

    @property
    def harmonics(self) -> int:
        """Harmonics of the year; 0: the mean over time."""
        return (len(next(iter(self.coefficients.values()))) - 1) // 2

    def maps(self, name: str) -> np.ndarray:
        """Coefficients of one field, always with levels: (1 + 2 harmonics, k, y, x)."""
        values = self.coefficients[name]
        return values if values.ndim == 4 else values[:, None]

    def at(self, days: np.ndarray) -> dict[str, np.ndarray]:
        """The climatology on these days of the year: by field (days, k, y, x), or (days, y, x)."""
        rows = basis(np.atleast_1d(days), self.harmonics, self.year_days)
        return {name: np.tensordot(rows, values, axes=1) for name, values in self.coefficients.items()}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays by name, for numpy.savez or a checkpoint."""
        arrays = {f"coefficients_{name}": values for name, values in self.coefficients.items()}
        arrays |= {f"explained_{name}": np.asarray(values) for name, values in self.explained.items()}
        return arrays | {"year_days": np.asarray(self.year_days)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Climatology":
        """The inverse of `to_arrays`. HaloclineError when no coefficients or no length of the year are there."""
        part = {
            kind: {
                name.removeprefix(kind): np.asarray(values) for name, values in arrays.items() if name.startswith(kind)
            }
            for kind in ("coefficients_", "explained_")
        }
        if "year_days" not in arrays or not part["coefficients_"]:
            raise HaloclineError(f"these arrays are no climatology: {', '.join(arrays) or 'none'}.")
        explained = {name: [float(value) for value in values] for name, values in part["explained_"].items()}
        return cls(part["coefficients_"], float(arrays["year_days"]), explained)


@dataclass
class Moments:
    """Sums over records that a fit needs: A'A (c, c), A'y (c, ...), y'y (...)."""

    count: int
    square: np.ndarray
    cross: np.ndarray
    power: np.ndarray

    def plus(self, other: "Moments") -> "Moments":
        """The sums over both sets of records."""
        return Moments(
            self.count + other.count, self.square + other.square, self.cross + other.cross, self.power + other.power
        )

    def minus(self, other: "Moments") -> "Moments":
        """The sums without those records."""
        return Moments(
            self.count - other.count, self.square - other.square, self.cross - other.cross, self.power - other.power
        )

    def residual(self, coefficients: np.ndarray) -> np.ndarray:
        """Sum over these records of (y - A x)^2, for any coefficients x: y'y - 2 x'(A'y) + x'(A'A)x."""
        turned = np.tensordot(self.square, coefficients, axes=1)
        return self.power + np.einsum("c...,c...->...", coefficients, turned - 2.0 * self.cross)

    def solved(self, what: str, columns: int | None = None) -> np.ndarray:
        """Least squares with the first `columns` functions. HaloclineError where the days of the year do not tell them."""
        n = len(self.square) if columns is None else columns
        matrix = self.square[:n, :n]
        if self.count < n or np.linalg.cond(matrix) > CONDITION:
            raise HaloclineError(
                f"{(n - 1) // 2} harmonics of the year cannot be fitted to '{what}': its {self.count} training records stand on "
                "too few days of the year.\n  Set fewer (nn_harmonics, &namtrain; 0: the mean), or train on whole years."
            )
        return np.linalg.solve(matrix, self.cross[:n].reshape(n, -1)).reshape(n, *self.cross.shape[1:])


def moments(values: Any, rows: np.ndarray, records: np.ndarray, wet: np.ndarray | None, what: str) -> Moments:
    """Sums over `records` of values (time, ...), an array or lazy xarray; land (wet 0) counts as 0.

    HaloclineError for wet values that are not finite.
    """
    columns = rows.shape[1]
    total = Moments(0, np.zeros((columns, columns)), np.zeros((columns, *values.shape[1:])), np.zeros(values.shape[1:]))
    for start in range(0, len(records), BLOCK):
        at = records[start : start + BLOCK]
        part = np.asarray(values[at], np.float64)
        if wet is not None:
            part = np.where(wet != 0, part, 0.0)
        if not np.isfinite(part).all():
            raise HaloclineError(f"'{what}' is not finite at wet points between records {at[0] + 1} and {at[-1] + 1}.")
        a = rows[at]
        total.count += len(at)
        total.square += a.T @ a
        total.cross += np.tensordot(a.T, part, axes=1)
        total.power += (part**2).sum(axis=0)
    return total


def fit(
    values: Mapping[str, Any],
    days: np.ndarray,
    length: float,
    harmonics: int,
    records: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
) -> Climatology:
    """The climatology of fields (time, k, y, x) or (time, y, x), from `records` (indices: the training part) alone.

    days: day of the year of every record; length: days of the year; masks: wet points by field, nonzero in the ocean.
    HaloclineError for records that do not tell the harmonics, and for values that are not finite.
    """
    rows = basis(days, harmonics, length)
    coefficients, explained = {}, {}
    for name, field_values in values.items():
        sums = moments(field_values, rows, np.asarray(records), None if masks is None else masks.get(name), name)
        coefficients[name] = sums.solved(name)
        explained[name] = _parts(sums.residual(coefficients[name]), sums.power)
    return Climatology(coefficients, length, explained)


def explained(
    climatology: Climatology,
    values: Mapping[str, Any],
    days: np.ndarray,
    records: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
) -> dict[str, list[float]]:
    """Part of the second moment (about 0) on `records` that the climatology explains: 1 - sum (y - c)^2 / sum y^2, by level.

    Negative where it does harm. The rest, 1 minus this, is what a network of the state can win.
    """
    rows = basis(days, climatology.harmonics, climatology.year_days)
    result = {}
    for name, coefficients in climatology.coefficients.items():
        mask = None if masks is None else masks.get(name)
        sums = moments(values[name], rows, np.asarray(records), mask, name)
        result[name] = _parts(sums.residual(coefficients), sums.power)
    return result


def seasonal_gain(
    values: Mapping[str, Any],
    times: np.ndarray,
    attrs: Mapping[str, Any],
    harmonics: int,
    records: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
) -> dict[str, float]:
    """What harmonics explain on years that they were not fitted to, less what the mean alone does, by field.

    Each calendar year of `records` is left out in turn. Positive: a season is there; zero or negative: harmonics fit noise.
    HaloclineError for fewer than two years.
    """
    records = np.asarray(records)
    years = np.array([date.year for date in dates(times, attrs)])
    days, length = day_of_year(times, attrs), year_days(str(attrs.get("calendar", "standard")))
    groups = [records[years[records] == year] for year in np.unique(years[records])]
    if len(groups) < 2:
        raise HaloclineError(
            "whether harmonics of the year fit noise can be told from two training years on, there is one.\n"
            "  Set nn_harmonics = 0 (&namtrain), or train on more years."
        )
    rows = basis(days, harmonics, length)
    gain = {}
    for name, field_values in values.items():
        parts = [
            moments(field_values, rows, group, None if masks is None else masks.get(name), name) for group in groups
        ]
        whole = reduce(Moments.plus, parts)
        left = np.zeros(2)
        for part in parts:
            rest = whole.minus(part)
            mean = np.zeros_like(part.cross)
            mean[:1] = rest.solved(name, 1)
            left += [part.residual(mean).sum(), part.residual(rest.solved(name)).sum()]
        total = float(np.sum(whole.power))
        gain[name] = float(left[0] - left[1]) / total if total > 0.0 else 0.0
    return gain


def season_warning(gain: Mapping[str, float], harmonics: int) -> str:
    """A warning in words where harmonics explain nothing on years left out, '' where they do."""
    noise = {name: value for name, value in gain.items() if value <= 0.0}
    if not noise or harmonics == 0:
        return ""
    listed = ", ".join(f"{name} {100 * value:+.1f} %" for name, value in noise.items())
    return (
        f"warning: {harmonics} harmonics of the year fit noise in {', '.join(noise)}: on years left out of the fit they explain "
        f"less than the mean alone ({listed} of the variance). Set nn_harmonics = 0 (&namtrain)."
    )


def running_mean(values: np.ndarray, times: np.ndarray, days: float, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over the records within days/2 of each record, in float64; a copy where `days` is 0.

    values: (time, ...); times [s]; blocks: indices of parts (training, validation, ...) that must not see each other. It
    does not cross a hole either (a step longer than 1.5 median steps); at an end the mean is over the records that are there.
    """
    result = np.array(values, np.float64)
    if days == 0.0:
        return result
    times = np.asarray(times, np.float64)
    for block in blocks:
        steps = np.diff(times[block])
        holes = np.flatnonzero(steps > 1.5 * np.median(steps)) + 1 if len(steps) else np.array([], int)
        for piece in np.split(np.asarray(block), holes):
            if not len(piece):
                continue
            at = times[piece]
            half = 43200.0 * days * (1 + 1e-9)
            low, high = np.searchsorted(at, at - half, "left"), np.searchsorted(at, at + half, "right")
            summed = np.concatenate(
                [np.zeros((1, *values.shape[1:])), np.cumsum(values[piece], axis=0, dtype=np.float64)]
            )
            count = (high - low).reshape(-1, *[1] * (values.ndim - 1))
            result[piece] = (summed[high] - summed[low]) / count
    return result


def _parts(residual: np.ndarray, power: np.ndarray) -> list[float]:
    """1 - sum residual / sum power by level (one level for a field without); 0 where there is no power."""
    levels = len(power) if power.ndim == 3 else 1
    lost, total = (np.asarray(part).reshape(levels, -1).sum(axis=1) for part in (residual, power))
    return [float(1.0 - a / b) if b > 0.0 else 0.0 for a, b in zip(lost, total, strict=True)]
