"""What a simulated year costs: wall-clock time times the cores that a run holds, waiting and coupler included.

A run of 90 days and one that is some years longer, each the fastest of several, one job at a time: their difference is free of
the start, which is printed beside. CPU seconds are of all processes; a rank that polls counts as busy.
"""

import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler import launch
from models.campaign import runs
from models.campaign.matrix import COARSE, MIDDLE, Grid, Row

SHORT = 90  # days
FINE = Grid(192, 800.0)
REPEATS = 3


def conventional() -> list[Row]:
    """One row of each kind: strengths cost the same."""
    zanna = {"namzb20.ln_zb20": ".true.", "namzb20.rn_zb_kappa": f"{0.1 * COARSE.dx**2:.6e}"}
    return [
        Row("40 km Smagorinsky", "Smagorinsky"),
        Row("40 km Leith", "Leith", edits={"namdyn_ldf.rn_cs4": "0.", "namdyn_ldf.rn_cl4": "0.01"}),
        Row("40 km ZB20 (Fortran)", "ZB20", edits=zanna),
        Row("20 km", "20 km", grid=MIDDLE),
        Row("10 km", "10 km", grid=FINE, edits={"namdyn_ldf.rn_cs4": "0.06"}, start=0),
    ]


def networks(artefacts: Sequence[Path], every: Sequence[int], edits: Mapping[str, str]) -> list[Row]:
    """Each network with each number of steps between its calls. edits: of the namelist."""
    return [
        Row(f"{file.stem} every {n}", "network", edits=edits, artefact=file, every=n)
        for file in artefacts
        for n in every
    ]


def measured(
    campaign: runs.Campaign, row: Row, console: Console, one_core: bool = False, repeats: int = REPEATS
) -> dict[str, Any]:
    """Core-seconds per simulated year of a row: wall-clock seconds times cores held (2 with a network, or 1 with one_core).

    With one_core all processes are bound to one core, and yield while they wait. HaloclineError when a run fails.
    """
    cores = 1 if row.artefact is None or one_core else 2
    years = _longer(row)
    short, long = (_fastest(campaign, row, days, console, one_core, repeats) for days in (SHORT, SHORT + 360 * years))
    wall, cpu = ((b - a) / years for a, b in zip(short, long, strict=True))
    return {
        "row": row.name,
        "family": row.family,
        "cores": cores,
        "core_s_per_year": round(wall * cores, 3),
        "wall_s_per_year": round(wall, 3),
        "cpu_s_per_year": round(cpu, 3),
        "start_s": round(short[0] - wall * SHORT / 360.0, 2),
        "repeats": repeats,
        "load": round(os.getloadavg()[0], 1),
    }


def _longer(row: Row) -> int:
    """Years by which the longer run is longer: some seconds of work on any grid."""
    return 3 if row.artefact is not None else max(1, round(10 * (COARSE.cells / row.grid.cells) ** 2))


def _fastest(
    campaign: runs.Campaign, row: Row, days: int, console: Console, one_core: bool, repeats: int
) -> tuple[float, float]:
    """Wall-clock and CPU seconds of the fastest of some runs."""
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="halocline_cost_") as scratch:
            job = runs.prepared(campaign, replace(row, days=days), console, Path(scratch) / "run")
            if one_core:
                job = runs.bound(job, max(os.sched_getaffinity(0)))
            before, began = _cpu(), time.perf_counter()
            launch.run(job, console)
            found.append((time.perf_counter() - began, _cpu() - before))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
