"""A row of the table: how a run ended, and its scores."""

import math
from typing import Any

from rich.console import Console

from models.campaign import runs
from models.campaign.grids import across
from models.campaign.matrix import Row
from models.campaign.truth import Truth
from models.evaluation.climate import Climate, climate_of
from models.evaluation.scores import scores

SKIP = 360.0  # days dropped at the start of each run: its adjustment to another friction or network


def climate(campaign: runs.Campaign, row: Row, shape: tuple[int, int]) -> Climate:
    """The climate of a run that has ended, on the truth's grid; kept in its folder, so that it is reduced once."""
    kept = campaign.path(row) / "climate.npz"
    if kept.is_file():
        return Climate.load(kept)
    found = climate_of(campaign.path(row), shape, SKIP, name=row.name)
    found.save(kept)
    return found


def scored(campaign: runs.Campaign, row: Row, truth: Truth, console: Console) -> dict[str, Any]:
    """Run a row unless it has been; its record with `scores` (None for a run that blew up).

    A run that ended well but holds bad states (faster than 10 m s-1) counts as blown up on the day of the first. A grid whose
    cells do not fill those of the truth has the scores of grids.across.
    """
    record = runs.run(campaign, row, console)
    if record["status"] != "finished":
        return {**record, "scores": None}
    cells, joint = row.grid.cells, truth.joint
    whole = cells % joint.grid[1] == 0  # the run's cells fill the truth's
    reduced = climate(campaign, row, joint.grid if whole else (cells, cells))
    if not reduced.stability.stable:
        day = math.floor(reduced.stability.reached / 86400)
        return {
            **record,
            "status": "blew up",
            "day": day,
            "message": reduced.stability.ended or "bad states",
            "scores": None,
        }
    return {
        **record,
        "scores": scores(reduced, joint) if whole else across(reduced, joint),
        "fastest": round(reduced.stability.speed, 3),
        "thinnest": round(reduced.stability.thickness, 1),
    }
