"""Where the time went, from the end markers of both sides; without them, from the ocean's own timing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupler.ending import ROWS
from coupler.errors import HaloclineError
from models.report.folder import Folder


@dataclass(frozen=True)
class Phase:
    """Seconds of a phase on a side: smallest, median and largest over its ranks, and its share of the side's time."""

    side: str
    label: str
    low: float
    middle: float
    high: float
    share: float
    part: bool = False  # of the phase above it, in which it is contained


@dataclass(frozen=True)
class Clock:
    """The phases of each side, its ranks, and the wall-clock time [s]. source: the file that says so."""

    phases: list[Phase]
    ranks: dict[str, int]
    total: float
    source: str

    def share(self, side: str, label: str) -> float | None:
        """The share of a phase; None where it is not known."""
        return next((phase.share for phase in self.phases if (phase.side, phase.label) == (side, label)), None)


def clock(folder: Folder) -> Clock:
    """The closing table of a run. HaloclineError when neither end markers nor timing.output are there."""
    if {"ocean", "coupler"} <= set(folder.end):
        return _from_markers(folder)
    if folder.text("timing.output"):
        return _from_ocean(folder)
    raise HaloclineError(
        "there are no end markers (halocline.ocean.json, halocline.coupler.json), which both sides write at their planned end, "
        "and no timing.output of the ocean."
    )


def _from_markers(folder: Folder) -> Clock:
    phases: list[Phase] = []
    for side in ("ocean", "coupler"):
        document = folder.end[side]
        total = np.array(document["total"], float)
        left = total.copy()
        rest, place = "rest", len(phases)
        for label, of, parts in ROWS:
            if of != side:
                continue
            if any(part.startswith("-") for part in parts):  # what no other row counts
                rest, place = label, len(phases)
                continue
            known = np.array([document[part] for part in parts if part in document], float)  # older runs timed fewer
            if known.any():
                phases.append(_phase(side, label, known.sum(0), total))
                left = left - known.sum(0)
            if parts == ("inference",):
                phases += _each(document, side, total)
        phases.insert(place, _phase(side, rest, np.maximum(left, 0), total))
    ranks = {side: len(folder.end[side]["total"]) for side in ("ocean", "coupler")}
    whole = max(float(np.max(folder.end[side]["total"])) for side in ranks)
    return Clock(phases, ranks, whole, "halocline.ocean.json, halocline.coupler.json")


def _phase(side: str, label: str, seconds: np.ndarray, total: np.ndarray, part: bool = False) -> Phase:
    middle = float(np.median(seconds))
    share = middle / max(float(np.median(total)), 1e-9)
    return Phase(side, label, float(seconds.min()), middle, float(seconds.max()), share, part)


def _each(document: Mapping[str, Any], side: str, total: np.ndarray) -> list[Phase]:
    """The inference of each of several networks, which together are the row above."""
    networks = document.get("networks", {})
    if len(networks) < 2:
        return []
    return [
        _phase(side, name, np.array(timed["inference"], float), total, True)
        for name, timed in networks.items()
        if "inference" in timed
    ]


def _from_ocean(folder: Folder) -> Clock:
    """timing.output: a line 'ranks N', then 'part  min  mean  max  ms per step', the first part the whole run."""
    text = folder.text("timing.output") or ""
    found = re.findall(r"^(\S.*?)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+[\d.]+\s*$", text, re.MULTILINE)
    if not found or float(found[0][2]) <= 0:
        raise HaloclineError("timing.output has no line 'part  min  mean  max  ms per step'.")
    total = float(found[0][2])
    phases = [
        Phase("ocean", label, float(low), float(mean), float(high), float(mean) / total)
        for label, low, mean, high in found[1:]
        if float(high) > 0
    ]
    rest = max(0.0, total - sum(phase.middle for phase in phases))
    phases.append(Phase("ocean", "rest", rest, rest, rest, rest / total))
    ranks = re.search(r"^ranks\s+(\d+)", text, re.MULTILINE)
    return Clock(phases, {"ocean": int(ranks[1])} if ranks else {}, float(found[0][3]), "timing.output")
