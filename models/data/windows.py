"""Assimilation windows of an archive: increments matched with their backgrounds by date; holes, overlaps, what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cftime
import numpy as np

from coupler.errors import HaloclineError

DAY = 86400.0
NEAR = 1.0  # dates that agree [s]
KEYS = {
    "time": "time",
    "end": "z_inc_datef",
    "begin": "z_inc_dateb",
}  # dates of increments that a background may stand at


@dataclass(frozen=True)
class Source:
    """One record of an archive: the file or the files of all ranks, the index in it, and its dates [s since an epoch].

    Backgrounds: time alone. Increments: time of the analysis, begin and end of the window.
    """

    paths: tuple[Path, ...]
    time: float
    begin: float = 0.0
    end: float = 0.0
    record: int = 0

    @property
    def name(self) -> str:
        """The file, for messages."""
        return str(self.paths[0])


@dataclass(frozen=True)
class Window:
    """Increments and the background that they were added to, at `time` [s]."""

    time: float
    increments: Source
    background: Source


@dataclass(frozen=True)
class Clock:
    """From seconds to dates in words."""

    units: str
    calendar: str

    def when(self, seconds: float) -> str:
        """'yyyy-mm-dd hh:mm' of a time."""
        return str(cftime.num2date(seconds, self.units, self.calendar).strftime("%Y-%m-%d %H:%M"))


def length(increments: Sequence[Source], given: float, clock: Clock, where: str) -> float:
    """The window [s]: `given`, or what all files say (z_inc_datef - z_inc_dateb); windows that overlap are an error.

    HaloclineError for windows of no or of different lengths, and for two that overlap or stand twice: both files are named.
    """
    ordered = sorted(increments, key=lambda one: (one.time, one.begin, one.name))
    spans = [(one.time - given, one.time) if given else (one.begin, one.end) for one in ordered]
    for one, (begin, end) in zip(ordered, spans, strict=True):
        if end - begin <= NEAR:
            raise HaloclineError(
                f"the window of {one.name} has no length: z_inc_dateb is {clock.when(begin)}, z_inc_datef {clock.when(end)}.\n"
                f"  {where}. Set rn_window, in seconds."
            )
    for (one, before), (other, after) in pairwise(zip(ordered, spans, strict=True)):
        if after[0] < before[1] - NEAR:
            raise HaloclineError(
                f"windows overlap: {one.name} ({clock.when(before[0])} to {clock.when(before[1])}) and {other.name} "
                f"({clock.when(after[0])} to {clock.when(after[1])}).\n"
                f"  {where}. Narrow cn_increments, so that each window stands in one file, or correct rn_window."
            )
    lengths = np.array([end - begin for begin, end in spans])
    typical = float(np.median(lengths))
    odd = np.flatnonzero(np.abs(lengths - typical) > NEAR)
    if odd.size:
        raise HaloclineError(
            f"windows have different lengths: {ordered[odd[0]].name} has {lengths[odd[0]] / DAY:g} days, most have "
            f"{typical / DAY:g}.\n  {where}. Leave such files out, or set rn_window; a wrong cn_calendar shows in this way, too."
        )
    return typical


def matched(
    increments: Sequence[Source], backgrounds: Sequence[Source], clock: Clock, where: str
) -> tuple[list[Window], str, list[str]]:
    """Windows in order of time, which date of the increments is that of their backgrounds, and what was left out, in words.

    The date is that of `time`, z_inc_datef or z_inc_dateb, the one that finds most backgrounds. HaloclineError when none
    finds any, and for two backgrounds of one date.
    """
    ordered = sorted(backgrounds, key=lambda one: one.time)
    for one, other in pairwise(ordered):
        if other.time - one.time <= NEAR:
            raise HaloclineError(
                f"two backgrounds of {clock.when(one.time)}: {one.name} and {other.name}.\n  {where}. Narrow cn_background."
            )
    times = np.array([one.time for one in ordered])

    def find(key: str) -> list[tuple[Source, Source | None]]:
        found = []
        for one in sorted(increments, key=lambda each: each.time):
            at = int(np.argmin(np.abs(times - getattr(one, key))))
            found.append((one, ordered[at] if abs(times[at] - getattr(one, key)) <= NEAR else None))
        return found

    by_key = {key: find(key) for key in KEYS}
    best = max(KEYS, key=lambda key: sum(background is not None for _, background in by_key[key]))
    windows = [Window(background.time, one, background) for one, background in by_key[best] if background is not None]
    if not windows:
        first = min(increments, key=lambda one: one.time)
        raise HaloclineError(
            f"no background has the date of an increment: increments from {clock.when(first.time)} ({first.name}; window "
            f"{clock.when(first.begin)} to {clock.when(first.end)}), backgrounds from {clock.when(float(times[0]))} to "
            f"{clock.when(float(times[-1]))}.\n  {where}. Check cn_background and cn_calendar."
        )
    alone = [one for one, background in by_key[best] if background is None]
    used = {window.background.time for window in windows}
    notes = [f"no background for {one.name} ({clock.when(one.time)}): left out" for one in alone]
    notes += [
        f"no increments for {one.name} ({clock.when(one.time)}): left out" for one in ordered if one.time not in used
    ]
    return windows, KEYS[best], notes


def holes(windows: Sequence[Window], clock: Clock) -> list[str]:
    """Where windows are missing, in words: steps of more than one and a half median steps."""
    times = np.array([window.time for window in windows])
    steps = np.diff(times)
    step = float(np.median(steps)) if steps.size else 0.0
    return [
        f"{round(steps[at] / step) - 1} window(s) missing between {clock.when(times[at])} and {clock.when(times[at + 1])}"
        for at in np.flatnonzero(steps > 1.5 * step)
    ]


def kept(
    windows: Sequence[Window], drop: int, jumps: Sequence[str], days: float, clock: Clock, where: tuple[str, str]
) -> tuple[list[Window], list[str]]:
    """Windows without the first `drop` and those of less than `days` after a date of `jumps` ('yyyy-mm-dd'); notes in words.

    where: where the namelist has nn_drop and cn_jumps. HaloclineError for a date that cannot be read, and when no window is left.
    """
    left, notes = list(windows[drop:]), []
    if drop:
        notes.append(f"{min(drop, len(windows))} first window(s) dropped (spin-up)")
    for text in jumps:
        begin = _date(text, clock, where[1])
        inside = [window for window in left if begin <= window.time < begin + days * DAY]
        left = [window for window in left if window not in inside]
        notes.append(f"{len(inside)} window(s) dropped after {text} (the observing system changed)")
    if not left:
        raise HaloclineError(
            f"no window is left of {len(windows)}.\n  {where[0]}. Check nn_drop, cn_jumps, rn_jump_days."
        )
    return left, notes


def _date(text: str, clock: Clock, where: str) -> float:
    try:
        year, month, day = (int(part) for part in text.split("-"))
        date = cftime.datetime(year, month, day, calendar=clock.calendar)
    except ValueError:
        raise HaloclineError(
            f"cannot read '{text}' as a date of the calendar {clock.calendar}.\n  {where}. Write 'yyyy-mm-dd'."
        ) from None
    return float(cftime.date2num(date, clock.units, clock.calendar))
