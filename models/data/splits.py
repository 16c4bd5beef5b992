"""Training, validation and test parts of a record: contiguous blocks with gaps; held-out regions and data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from models.settings import NamSplit

DAY = 86400.0
SHORT = 0.1  # part of a year that may be missing at the end of a record of whole years: spin-up was dropped
REGULAR = 0.01  # steps of time that differ by less than this part of their mean count as equal


@dataclass(frozen=True)
class Split:
    """Indices into the record, ascending; `gap` is the time that was left out between two blocks [s]."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    gap: float


def decorrelation_time(series: np.ndarray) -> float:
    """Time between effectively independent samples, in samples: 1 + 2 sum_k r(k), k up to the first r(k) <= 0.

    series: (time,) or (time, ...), regular in time, e.g. daily SSH at some points; r is the autocorrelation of the
    deviations from the mean, from autocovariances summed over all other axes. White noise gives about 1,
    AR(1) with coefficient a gives (1 + a) / (1 - a), twice its e-folding time. von Storch & Zwiers (1999), section 17.1.
    Raises HaloclineError for fewer than three samples, for values that are not finite and for a series that never varies.
    """
    values = np.asarray(series, dtype=float)
    values = values.reshape(len(values), -1) if values.ndim else values.reshape(0, 1)
    n = len(values)
    if n < 3:
        raise HaloclineError(
            f"the decorrelation time needs at least 3 samples, got {n}.\n  Set rn_gap (&namsplit) in days."
        )
    if not np.isfinite(values).all():
        raise HaloclineError("the series for the decorrelation time holds NaN or infinity.\n  Leave land out of it.")
    spectrum = np.abs(np.fft.rfft(values - values.mean(axis=0), 2 * n, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum.sum(axis=1), 2 * n)[:n] / n
    scale = float(np.max(np.abs(values))) or 1.0
    if covariance[0] <= (1e-12 * scale) ** 2:
        raise HaloclineError(
            "the series for the decorrelation time never varies (all land, or an ocean at rest).\n"
            "  Give wet points that vary, or set rn_gap (&namsplit) in days."
        )
    r = covariance / covariance[0]
    below = np.flatnonzero(r <= 0.0)
    return float(1.0 + 2.0 * r[1 : below[0] if below.size else n].sum())


def split(
    time: np.ndarray, settings: NamSplit, series: np.ndarray | None = None, year_days: float | None = None
) -> Split:
    """Cut a record into blocks: training first, then validation, then test, each pair more than the gap apart.

    time: (n,) [s], strictly increasing. series: (n, ...), measured when rn_gap is 0 (see decorrelation_time). year_days:
    days of the calendar's year, needed with nn_train (`climatology.year_days`).
    By rn_train, rn_val, rn_test: with g the gap and d the median step of time, the blocks share the length of the record less
    its gaps, time[-1] - time[0] + d - (blocks - 1) g, in this ratio. By nn_train, nn_val, nn_test: whole years counted from the
    first record; the gap is taken from the beginning of the later block. Samples in the gaps are in no block.
    Raises HaloclineError for fractions that do not sum to one, a time axis that does not increase, and a record in
    which a block would be shorter than the gap (its samples would then say the same thing) or than two samples.
    """
    time, steps = _checked(time, settings)
    step = float(np.median(steps))
    gap = settings.rn_gap * DAY or _measured_gap(steps, step, settings, series)
    length = float(time[-1] - time[0]) + step
    edges = (
        _by_years(length, step, gap, settings, year_days)
        if settings.nn_train
        else _by_parts(length, step, gap, settings)
    )
    parts = []
    for start, end in edges:
        slack = 1e-9 * length  # an edge that falls on a sample must not move by rounding
        inside = np.flatnonzero((time >= time[0] + start - slack) & (time < time[0] + end - slack))
        if end > start and not inside.size:
            raise HaloclineError(
                f"a block of the split holds no sample: {(time[0] + start) / DAY:.6g} to {(time[0] + end) / DAY:.6g} days.\n"
                f"  {settings.where('rn_train')}. The record has a hole there; make it whole, or change the fractions."
            )
        parts.append(inside)
    return Split(parts[0], parts[1], parts[2], gap)


def _checked(time: np.ndarray, settings: NamSplit) -> tuple[np.ndarray, np.ndarray]:
    """Time and its steps, once the switches and the axis are good."""
    fractions = (settings.rn_train, settings.rn_val, settings.rn_test)
    if not settings.nn_train and abs(sum(fractions) - 1.0) > 1e-6:
        raise HaloclineError(
            f"rn_train + rn_val + rn_test is {sum(fractions):g}, it must be 1.\n"
            f"  {settings.where('rn_train')}. They are {settings.rn_train:g}, {settings.rn_val:g}, {settings.rn_test:g}."
        )
    if not settings.nn_train and (settings.nn_val or settings.nn_test):
        raise HaloclineError(
            f"nn_val is {settings.nn_val} and nn_test {settings.nn_test}, but nn_train is 0.\n"
            f"  {settings.where('nn_val')}. Set nn_train too, for whole years, or leave all three out."
        )
    time = np.asarray(time, dtype=float)
    if time.ndim != 1 or len(time) < 2:
        raise HaloclineError(
            f"a record of {time.size} sample(s) cannot be split: at least two for each block are needed.\n"
            f"  {settings.where('rn_train')}. Make a longer truth."
        )
    steps = np.diff(time)
    if not np.isfinite(time).all() or steps.min() <= 0.0:
        place = int(np.flatnonzero(~(steps > 0.0))[0]) if (~(steps > 0.0)).any() else 0
        raise HaloclineError(
            f"time does not increase: samples {place} and {place + 1} (counted from 0) are at {time[place]:g} and "
            f"{time[place + 1]:g} s.\n  Check the order of the files, and that no period stands in two of them."
        )
    return time, steps


def _by_parts(length: float, step: float, gap: float, settings: NamSplit) -> list[tuple[float, float]]:
    """Begin and end of the three blocks [s from the first record], by fractions of the record."""
    fractions = (settings.rn_train, settings.rn_val, settings.rn_test)
    blocks = [fraction for fraction in fractions if fraction > 0.0]
    usable = length - (len(blocks) - 1) * gap
    least = max(gap, 2.0 * step)
    need = least / min(blocks) + (len(blocks) - 1) * gap
    if usable * min(blocks) < least * (1.0 - 1e-9):
        raise HaloclineError(
            f"the record is too short for the split: {length / DAY:.6g} days, it must have {need / DAY:.6g} days.\n"
            f"  {settings.where('rn_train')}. The smallest block has the fraction {min(blocks):g} and must last "
            f"{least / DAY:.6g} days (the gap is {gap / DAY:.6g} days). Make a longer truth, or a larger fraction."
        )
    edges, start = [], 0.0
    for fraction in fractions:
        edges.append((start, start + fraction * usable))
        start = edges[-1][1] + gap if fraction > 0.0 else start
    return edges


def _by_years(
    length: float, step: float, gap: float, settings: NamSplit, year_days: float | None
) -> list[tuple[float, float]]:
    """Begin and end of the three blocks [s from the first record], by whole years; gaps at the beginning of the later block."""
    if year_days is None:
        raise HaloclineError(
            f"nn_train counts years, but the length of the year is not known.\n  {settings.where('nn_train')}. "
            "The record has no calendar; use rn_train, rn_val, rn_test."
        )
    year, years = year_days * DAY, (settings.nn_train, settings.nn_val, settings.nn_test)
    if length < (sum(years) - SHORT) * year:
        raise HaloclineError(
            f"the record is too short for the split: {length / year:.4g} years of {year_days:g} days, nn_train + nn_val + nn_test "
            f"is {sum(years)}.\n  {settings.where('nn_train')}. Of the last year a tenth may be missing, no more. "
            "Ask for fewer years, or make a longer record."
        )
    edges, end = [], 0.0
    for count in years:
        start = end + (gap if count and end > 0.0 else 0.0)
        end += count * year
        if count and end - start < max(gap, 2.0 * step):
            raise HaloclineError(
                f"{count} year(s) are too short for a block: the gap before it takes {gap / DAY:.6g} days, and it must last as "
                f"long.\n  {settings.where('nn_train')}. Ask for more years (nn_val, nn_test), or set rn_gap."
            )
        edges.append((start, max(start, end)))
    return edges


def _measured_gap(steps: np.ndarray, step: float, settings: NamSplit, series: np.ndarray | None) -> float:
    if series is None:
        raise HaloclineError(
            "rn_gap is 0 (measure the decorrelation time), but there is no series to measure.\n"
            f"  {settings.where('rn_gap')}. Set it in days."
        )
    if len(series) != len(steps) + 1:
        raise HaloclineError(f"the series has {len(series)} samples, time has {len(steps) + 1}.")
    if np.ptp(steps) > REGULAR * step:
        raise HaloclineError(
            f"the decorrelation time needs regular samples: steps of time are {steps.min():g} to {steps.max():g} s.\n"
            f"  {settings.where('rn_gap')}. Set it in days."
        )
    try:
        return decorrelation_time(series) * step
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {settings.where('rn_gap')}.") from None


def regions(settings: NamSplit, ny: int, nx: int, wet: np.ndarray | None = None) -> np.ndarray:
    """Cells (ny, nx) that are held out of training: True inside any region of cn_hold_region.

    'imin:imax,jmin:jmax' counts cells from 1, both ends included. wet: (ny, nx), nonzero in the ocean; with it a region
    without ocean, or a hold-out that leaves none to train on, is an error. Raises HaloclineError for those and for
    a region that cannot be read or lies outside the grid.
    """
    held = np.zeros((ny, nx), dtype=bool)
    for text in settings.cn_hold_region:
        try:
            along_i, along_j = text.split(",")
            (i0, i1), (j0, j1) = (tuple(int(part) for part in along.split(":")) for along in (along_i, along_j))
        except ValueError:
            raise HaloclineError(
                f"cannot read the region '{text}'.\n  {settings.where('cn_hold_region')}. "
                "Write 'imin:imax,jmin:jmax', cells counted from 1, e.g. '1:12,30:48'."
            ) from None
        if not (1 <= i0 <= i1 <= nx and 1 <= j0 <= j1 <= ny):
            raise HaloclineError(
                f"region '{text}' is not inside the grid of {nx} x {ny} cells (i = 1:{nx}, j = 1:{ny}).\n"
                f"  {settings.where('cn_hold_region')}."
            )
        part = np.s_[j0 - 1 : j1, i0 - 1 : i1]
        if wet is not None and not np.any(wet[part]):
            raise HaloclineError(f"region '{text}' is all land.\n  {settings.where('cn_hold_region')}. Choose another.")
        held[part] = True
    if not np.any((np.ones_like(held) if wet is None else np.asarray(wet, dtype=bool)) & ~held):
        raise HaloclineError(
            "nothing is left to train on: every ocean cell is held out, or all cells are land.\n"
            f"  {settings.where('cn_hold_region')}. Hold less out, and check the mask."
        )
    return held


def datasets(settings: NamSplit, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Data sets for training, and those held out by cn_hold_data (a path as in cn_data, or its last part without suffix).

    Raises HaloclineError for a name that is not there, and when none is left for training.
    """
    held: list[str] = []
    for wanted in settings.cn_hold_data:
        found = [name for name in names if wanted in (name, Path(name).name, Path(name).stem)]
        if not found:
            raise HaloclineError(
                f"there is no data set '{wanted}' to hold out.\n  {settings.where('cn_hold_data')}. "
                f"There are: {', '.join(names) or 'none'}."
            )
        held += found
    kept = [name for name in names if name not in held]
    if not kept:
        raise HaloclineError(
            f"no data set is left to train on, all are held out.\n  {settings.where('cn_hold_data')}. Hold fewer out."
        )
    return kept, [name for name in names if name in held]
