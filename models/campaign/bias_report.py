"""What `halocline science bias` leaves: the table with its provenance, and the maps of the bias before and after."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from models.campaign import bias_rows, bias_runs, bias_table, rows, runs, truth
from models.campaign.bias_rows import Twin
from models.campaign.bias_runs import Plan
from models.data.store import provenance
from models.evaluation.bias_maps import draw
from models.evaluation.climate import Climate

STATISTICS = runs.NAMELISTS.parent / "models" / "zoo" / "closures"  # of the truth under the wind of the training data


def make(plan: Plan, keep: Path, name: str, command: str, console: Console) -> None:
    """Run what is missing, score it, write table and figures into `keep`."""
    truths = {twin.name: truth_of(twin) for twin in plan.twins}
    found = bias_runs.scored(plan, truths, console)
    tables = []
    for twin in plan.twins:
        mine = [row for row in found if row["wind"] == twin.name]
        tables.append(
            bias_table.collected(twin, truths[twin.name], mine, bias_runs.residuals(plan, twin), plan.years)
            | {"networks": bias_runs.origins(plan, twin)}
        )
    templates = ("gyre_coarse", "gyre_bias", "gyre_bias_closure", "gyre_assimilate")
    files = {"executable": plan.campaign.ocean, "closure": plan.closure, "recipe": plan.recipe}
    files |= {f"namelist {one}": runs.NAMELISTS / one / "namelist_cfg" for one in templates}
    facts = {
        "title": "# Bias corrections of the coarse double gyre, in free runs",
        "command": command,
        "provenance": provenance(files),
    }
    bias_table.write(keep, name, tables, facts)
    for one in tables:
        console.print(bias_table.short(one))
        for line in bias_table.summary(one):
            console.print(line, highlight=False, soft_wrap=True)
    for twin in plan.twins:
        shown = maps_of(plan, twin, truths[twin.name])
        if shown:
            draw(shown, truths[twin.name].joint, keep / f"{name}_{twin.name}.png")
    console.print(f"tables: {keep / name}.md, .json, .csv; figures: {name}_TWIN.png", highlight=False)


def truth_of(twin: Twin) -> truth.Truth:
    """The unseen truth of a twin: its records, or the statistics that are kept with the closures."""
    found = truth.read(twin.name, twin.unseen) if twin.unseen else truth.load("trained", STATISTICS)
    return replace(found, wind=twin.name)


def maps_of(plan: Plan, twin: Twin, one: truth.Truth) -> list[Climate]:
    """Climates for the maps: free, with the climatological increment, with the first network, on the closure; those that ended."""
    wanted: dict[str, Any] = {"free": bias_rows.FREE}
    method = plan.methods[0]
    wanted |= {
        "+ climatology": f"{method} climatology",
        "+ network": f"{method} network s1",
        "+ closure and network": f"{method} network on closure s1",
    }
    planned = {row.name: row for row, _ in bias_runs.table_rows(plan, twin)}
    shown = []
    for title, name in wanted.items():
        row = planned.get(name)
        if row is not None and (plan.campaign.path(row) / "climate.npz").is_file():
            shown.append(replace(rows.climate(plan.campaign, row, one.joint.grid), name=title))
    return shown
