"""The end of a run: both sides' markers, and a table of where the time went."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

End = Mapping[str, Mapping[str, Any]]

# Row of the table, side, phases that are added; "-": the total without the other rows of its side. Rows of one side and
# one rank add up to its total.
ROWS = (
    ("computing", "ocean", ("-",)),
    ("waiting for the coupler", "ocean", ("wait",)),
    ("transport", "ocean", ("pack", "unpack")),
    ("inference", "coupler", ("inference",)),
    ("guards", "coupler", ("guarding",)),
    ("waiting for the ocean", "coupler", ("wait",)),
    ("waiting for each other", "coupler", ("relay",)),
    ("transport", "coupler", ("pack", "unpack")),
    ("diagnostics", "coupler", ("diagnostics",)),
    ("recording", "coupler", ("record",)),
    ("restarts", "coupler", ("restart",)),
    ("start", "coupler", ("start",)),
    ("end", "coupler", ("end",)),
    ("loop, log", "coupler", ("-",)),
)
OPTIONAL = ("relay", "diagnostics", "record")  # rows that are left out where no rank spent time on them


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
    total = np.array(document["total"])
    if phases == ("-",):
        others = {phase for _, side, row in ROWS if side == document["side"] for phase in row} - {"-"}
        return total - sum((np.array(document[phase]) for phase in others), np.zeros(len(total)))
    return sum((np.array(document[phase]) for phase in phases), np.zeros(len(total)))


def rows(end: End) -> list[tuple[str, str, np.ndarray]]:
    """Side, label and seconds per rank of every row; of several networks each has a row beneath their sum."""
    found = []
    for label, side, phases in ROWS:
        seconds = seconds_of(end[side], phases)
        if phases[0] in OPTIONAL and not seconds.any():
            continue
        found.append((side, label, seconds))
        networks = end[side].get("networks", {}) if phases == ("inference",) else {}
        if len(networks) > 1:
            found += [(side, f"  {name}", np.array(part["inference"])) for name, part in networks.items()]
    return found


def table(end: End) -> Table:
    """Minimum, median and maximum over ranks of each phase, with its share of the side's time."""
    result = Table(title="where the time went [s]", title_justify="left")
    result.add_column("side")
    result.add_column("phase")
    for name in ("min", "median", "max", "share"):
        result.add_column(name, justify="right")
    previous = ""
    for side, label, seconds in rows(end):
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
    why = f" ({end['coupler']['why']})" if end["coupler"].get("why") else ""
    return [f"it was asked to end early{why} and ended after step {kt}; both sides have written restarts. {go_on(kt)}"]


def go_on(kt: int) -> str:
    """How a run is continued from the restarts of step `kt`."""
    return (
        f"Go on with nn_it000 = {kt + 1}, the ocean's restart of step {kt}, cn_rst_in = 'halocline_{kt:08d}_restart.nc', and "
        "cn_first = 'restart' where nn_lag = 1."
    )


def last_restarts(rundir: Path) -> int:
    """The last step of which both sides have left a restart, 0 if there is none.

    The ocean's is known by its name, as NEMO's and the reference ocean's: NAME_KKKKKKKK_restart*.nc.
    """
    steps = (int(path.name[10:18]) for path in rundir.glob("halocline_[0-9]*_restart.nc") if path.name[10:18].isdigit())
    for kt in sorted(steps, reverse=True):
        if any(not path.name.startswith("halocline_") for path in rundir.glob(f"*_{kt:08d}_restart*.nc")):
            return kt
    return 0


def interventions(end: End) -> list[str]:
    """A line for each network whose guards acted: 'output.guard' and the number of cells, over all ranks and restarts."""
    return [
        f"guards of network '{network}' acted: {', '.join(f'{name} {count}' for name, count in counts.items())} cells; "
        "halocline.guard.*.jsonl says where"
        for network, counts in end["coupler"].get("guards", {}).items()
        if counts
    ]
