"""The end of a run: both sides' markers, and a table of where the time went."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

End = Mapping[str, Mapping[str, Any]]

# Row of the table, side, phases that are added; "-" phases are subtracted from the total.
ROWS = (
    ("computing", "ocean", ("total", "-wait", "-pack", "-unpack")),
    ("waiting for the coupler", "ocean", ("wait",)),
    ("transport", "ocean", ("pack", "unpack")),
    ("inference", "coupler", ("inference",)),
    ("waiting for the ocean", "coupler", ("wait",)),
    ("transport", "coupler", ("pack", "unpack")),
    ("start, diagnostics, end", "coupler", ("total", "-wait", "-pack", "-unpack", "-inference")),
)


def read_end(rundir: Path) -> End:
    """The end markers that are there: side -> its document (timers as seconds per rank)."""
    found = {}
    for side in ("ocean", "coupler"):
        try:
            document = json.loads((rundir / f"halocline.{side}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if document.get("ended") is True:
            found[side] = document
    return found


def seconds_of(document: Mapping[str, Any], phases: tuple[str, ...]) -> np.ndarray:
    """Seconds per rank of a row of the table."""
    total = np.zeros(len(document["total"]))
    for phase in phases:
        total += -np.array(document[phase[1:]]) if phase.startswith("-") else np.array(document[phase])
    return total


def table(end: End) -> Table:
    """Minimum, median and maximum over ranks of each phase, with its share of the side's time."""
    result = Table(title="where the time went [s]", title_justify="left")
    result.add_column("side")
    result.add_column("phase")
    for name in ("min", "median", "max", "share"):
        result.add_column(name, justify="right")
    previous = ""
    for label, side, phases in ROWS:
        seconds = seconds_of(end[side], phases)
        share = 100 * np.median(seconds) / max(float(np.median(end[side]["total"])), 1e-9)
        shown = f"{side} ({len(seconds)})" if side != previous else ""
        result.add_row(
            shown, label, f"{seconds.min():.2f}", f"{np.median(seconds):.2f}", f"{seconds.max():.2f}", f"{share:.0f} %"
        )
        previous = side
    return result


def early(end: End) -> list[str]:
    """How a run goes on that was asked to end early."""
    kt = end["coupler"].get("stopped", 0)
    if not kt:
        return []
    from coupler.restart import restart_name  # brings in the networks, which `halocline run` does not need

    return [
        f"it was asked to end early and ended after step {kt}; both sides have written restarts. Go on with nn_it000 = {kt + 1}, "
        f"the ocean's restart of step {kt}, and cn_rst_in = '{restart_name(kt)}'"
    ]


def interventions(end: End) -> list[str]:
    """A line for each network whose guards acted: 'output.guard' and the number of cells, over all ranks and restarts."""
    return [
        f"guards of network '{network}' acted: {', '.join(f'{name} {count}' for name, count in counts.items())} cells; "
        "halocline.guard.*.jsonl says where"
        for network, counts in end["coupler"].get("guards", {}).items()
        if counts
    ]
