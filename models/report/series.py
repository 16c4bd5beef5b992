"""What a run wrote as it went: run.stat of the ocean, budgets of the networks, the log of the guards."""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO

import numpy as np

from coupler.errors import HaloclineError
from models.report.folder import Folder

ENERGY, LEVELS = "halocline_energy.csv", "halocline_energy_levels.csv"
UNITS = {"energy_input": "W m-2", "enstrophy_input": "m s-3", "dh_input": "m s-1", "dt_input": "K m s-1"}
BUDGET = re.compile(r"(?P<network>.+?)\.(?P<kind>\w+)(?:\.k(?P<level>\d+))?$")
LARGEST = 200e6  # bytes of guard logs that are read; more would take longer than the page


@dataclass(frozen=True)
class Series:
    """Values (n,) of one quantity at model steps (n,)."""

    steps: np.ndarray
    values: np.ndarray
    units: str


@dataclass
class Guards:
    """What the guards did: cells by step and 'network output.guard', and by place (i, j) from 1 in the global grid."""

    counts: dict[str, int] = field(default_factory=dict)
    steps: dict[str, dict[int, int]] = field(default_factory=dict)
    places: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)
    unlisted: int = 0

    @property
    def total(self) -> int:
        """Interventions of all guards of all networks."""
        return sum(self.counts.values())


def run_stat(folder: Folder) -> dict[str, Series]:
    """The columns 'name[units]' of run.stat, by name.

    Raises HaloclineError when there is no such file, it has no line yet, or is not the reference ocean's.
    """
    text = folder.text("run.stat")
    if text is None:
        raise HaloclineError("there is no run.stat; the reference ocean writes it every nn_stat steps (&namrun).")
    header, *lines = text.splitlines() or [""]
    names = header.lstrip("# ").split()
    columns = [re.fullmatch(r"(.+?)\[(.+)\]", name) for name in names]
    if "it" not in names or not any(columns):
        raise HaloclineError(
            f"run.stat has no header '# it ... name[units] ...' of the reference ocean; it begins with: {header[:80]}"
        )
    rows = [line.split() for line in lines]
    table = np.array([[_number(word) for word in row] for row in rows if len(row) == len(names)], float)
    if not table.size:
        raise HaloclineError("run.stat has no line yet.")
    steps = table[:, names.index("it")].astype(int)
    return {match[1]: Series(steps, table[:, place], match[2]) for place, match in enumerate(columns) if match}


def budgets(folder: Folder) -> dict[str, Series]:
    """The columns of ENERGY and of its levels: 'NETWORK.energy_input', of level 1 'NETWORK.energy_input.k01', and so on.

    HaloclineError when there is none, or no record in it.
    """
    if folder.text(ENERGY) is None:
        raise HaloclineError(f"there is no {ENERGY}: the coupler of this run kept no budgets of the networks.")
    found = _columns(folder, ENERGY)
    return found | (_columns(folder, LEVELS) if folder.text(LEVELS) is not None else {})


def _columns(folder: Folder, name: str) -> dict[str, Series]:
    header, *rows = list(csv.reader(StringIO(folder.text(name) or ""))) or [[]]
    if "kt" not in header:
        raise HaloclineError(f"{name} has no column kt; its header is: {', '.join(header)[:120]}")
    rows = [row for row in rows if len(row) == len(header)]
    if not rows:
        raise HaloclineError(f"{name} has no record yet.")
    steps = np.array([int(float(row[header.index("kt")])) for row in rows])
    found = {}
    for place, title in enumerate(header):
        match = BUDGET.match(title.strip())
        if match:
            unit = UNITS.get(match["kind"], "units of the field per second")
            found[title.strip()] = Series(steps, np.array([_number(row[place]) for row in rows]), unit)
    return found


def guards(folder: Folder) -> Guards:
    """The counts of the end marker (or of the last progress event), steps and places from halocline.guard.*.jsonl."""
    found = Guards()
    marked = folder.end.get("coupler", {}).get("guards") or folder.event("progress").get("guards") or {}
    for network, counts in marked.items() if isinstance(marked, Mapping) else ():
        if isinstance(counts, Mapping):
            found.counts |= {f"{network} {name}": int(count) for name, count in counts.items()}
        elif isinstance(counts, int) and counts:
            found.counts[str(network)] = counts
    steps: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    places: dict[str, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
    room = LARGEST
    for path in sorted(folder.path.glob("halocline.guard.*.jsonl")):
        room -= path.stat().st_size
        if room < 0:
            raise HaloclineError(
                f"the guard logs of {folder.path} are larger than {LARGEST / 1e6:.0f} MB: only their counts are shown."
            )
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                _add(line, steps, places, found)
    found.steps = {name: dict(sorted(at.items())) for name, at in steps.items()}
    found.places = {name: dict(at) for name, at in places.items()}
    if not found.counts:
        found.counts = {name: sum(at.values()) for name, at in found.steps.items()}
    return found


def _add(line: str, steps: dict, places: dict, found: Guards) -> None:
    """One line of a guard log; one that is cut short is passed over."""
    try:
        row = json.loads(line)
        if "not_listed" in row:
            found.unlisted += int(row["not_listed"])
            return
        name = f"{row['network']} {row['output']}.{row['guard']}"
        steps[name][int(row["step"])] += int(row.get("cells", 1))
        if "i" in row:
            places[str(row["field"])][int(row["i"]), int(row["j"])] += 1
    except (ValueError, KeyError, TypeError):
        return


def _number(word: str) -> float:
    """NaN for what a Fortran format could not write (***), or what was cut short."""
    try:
        return float(word)
    except ValueError:
        return float("nan")
