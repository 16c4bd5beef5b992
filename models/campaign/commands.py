"""`halocline science`: the scan of conventional closures, and networks beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.campaign import cost, forecast, judge, matrix, options, rows, runs, table, truth
from models.campaign.bias_commands import bias
from models.campaign.online_commands import online
from models.campaign.schedule import side_by_side
from models.console import console as open_console
from models.data.store import provenance
from models.evaluation.climate import Climate
from models.evaluation.figures import draw_all

KEPT = REPOSITORY / "models" / "zoo" / "closures"
CONVENTIONAL = "conventional"

app = typer.Typer(
    help="Closures in the Fortran ocean: conventional ones over a scan, networks, truth and its noise floor."
)
Out = Annotated[Path, typer.Option(help="folder of the runs; those that are there are not run again")]
Keep = Annotated[Path, typer.Option(help="folder of the frozen numbers and of the statistics of the truth")]
Jobs = Annotated[int, typer.Option(min=1, help="runs side by side; costs are always measured one at a time")]
Years = Annotated[int, typer.Option(min=1, help="years of each run, after one that is dropped")]
Ocean = Annotated[Path, typer.Option(help="ocean executable")]
Timed = Annotated[bool, typer.Option("--cost/--no-cost", help="measure the cost of a simulated year")]


app.command()(bias)
app.command()(online)


@app.callback()
def _root() -> None:
    """Closures and bias corrections in the Fortran ocean, scored against coarsened truth."""


@app.command()
def scan(
    data: Annotated[list[Path] | None, typer.Option("--truth", help="data set of halocline coarsen; repeat")] = None,
    unseen: Annotated[
        list[Path] | None, typer.Option("--truth-unseen", help="the same under the wind that networks do not see")
    ] = None,
    out: Out = Path("runs/science_closures"),
    keep: Keep = KEPT,
    jobs: Jobs = 2,
    years: Years = 20,
    timed: Timed = True,
    ocean: Ocean = runs.OCEAN,
) -> None:
    """Run the conventional closures and the 20 km model under both winds, score and freeze them.

    Without --truth they are scored against the statistics of the truth that are kept with the frozen numbers.
    """
    console = open_console()
    campaign = runs.Campaign(out, ocean)
    given = {"trained": data or [], "unseen": unseen or []}
    truths = {wind: truth.read(wind, paths) if paths else truth.load(wind, keep) for wind, paths in given.items()}
    planned = matrix.under(list(truths), matrix.conventional(years))
    found = _scored(campaign, planned, truths, jobs, console)
    costs = _costs(campaign, cost.conventional(), console) if timed else {}
    for wind, paths in given.items():
        if paths:
            truth.save(truths[wind], keep)
        _keep_climates(campaign, keep, wind, truths[wind], [row for row in planned if row.wind == wind], found)
    files = {"executable": ocean, "namelist": runs.NAMELISTS / "gyre_coarse" / "namelist_cfg"}
    used = {wind: [_origin(path) for path in paths] for wind, paths in given.items()}
    facts = {
        "title": "# Conventional closures of the coarse double gyre",
        "command": " ".join(["halocline science scan", *_options(given), f"--years {years}"]),
        "provenance": provenance(files, truth=used),
    }
    _show(keep, CONVENTIONAL, truths, found, costs, facts, years, console)


@app.command()
def closures(
    artefact: Annotated[list[Path], typer.Argument(help="networks; NAME_s1, NAME_s2, ... are seeds of one design")],
    every: Annotated[
        str, typer.Option(help="time steps between calls, comma-separated; the first is the main one")
    ] = "3,1",
    out: Out = Path("runs/science_closures"),
    keep: Keep = KEPT,
    jobs: Jobs = 1,
    years: Years = 20,
    timed: Timed = True,
    switch: Annotated[
        list[str] | None,
        typer.Option("--set", help="switch of the networks' namelist, e.g. namdyn_ldf.rn_cs4=0.03; repeat"),
    ] = None,
    one_core: Annotated[
        bool, typer.Option("--one-core/--two-cores", help="ocean and coupler of a run share a core, or have one each")
    ] = True,
    extra: Annotated[
        bool,
        typer.Option("--extra", help="also every 9 steps, 100 years of the first network, and grids of 53 and 32 km"),
    ] = False,
    ocean: Ocean = runs.OCEAN,
    name: Annotated[str, typer.Option(help="name of the table")] = "closures",
) -> None:
    """Run networks in the coarse ocean under both winds; a table with truth, floor and the frozen conventional rows.

    The table goes to the folder of the runs: NAME.md, NAME.json, NAME.csv; the figures to NAME_trained and NAME_unseen there.
    """
    console = open_console()
    campaign = runs.Campaign(out, ocean)
    for file in artefact:
        if not file.is_file():
            raise HaloclineError(f"there is no network {file}. Name artefacts (.onnx, .pt2), e.g. of halocline train.")
    steps = options.steps(every)
    truths = {wind: truth.load(wind, keep) for wind in matrix.WINDS}
    frozen = _frozen(keep)
    edits = options.edits(switch or [])
    planned = matrix.under(list(truths), matrix.networks(artefact, [*steps, 9] if extra else steps, years, edits))
    if extra:
        planned += [matrix.century(artefact[0], steps[0]), *matrix.other_grids(artefact, steps[0], years)]
    found = _scored(campaign, planned, truths, jobs, console, one_core)
    costs = dict(frozen["cost"])
    if timed:
        timeable = cost.networks(artefact, steps, edits)
        designs = {judge.design(row.name): row for row in reversed(timeable)}  # the first of its seeds
        for one_core in (False, True):
            costs |= _costs(campaign, list(designs.values()), console, one_core)
    together = [*(row for wind in truths for row in frozen["winds"][wind]["rows"]), *found]
    files = {"executable": ocean, "namelist": runs.NAMELISTS / "gyre_closure" / "namelist_cfg"}
    files |= {file.name: file for file in artefact}
    facts = {
        "title": "# Networks in the coarse double gyre, beside conventional closures",
        "command": f"halocline science closures {' '.join(map(str, artefact))} --every {every} --years {years}"
        + "".join(f" --set {text}" for text in switch or []),
        "provenance": provenance(files),
    }
    _show(out, name, truths, together, costs, facts, years, console)
    for wind, one in truths.items():
        mine = [row for row in planned if row.wind == wind and row.family == "network"]
        ended = [
            rows.climate(campaign, row, one.joint.grid)
            for row in mine
            if (campaign.path(row) / "climate.npz").is_file()
        ]
        others = [Climate.load(path) for path in sorted(keep.glob(f"climate_{wind}_*.npz"))]
        folder = out / f"{name}_{wind}"
        folder.mkdir(parents=True, exist_ok=True)
        draw_all([*ended, *others], one.records, folder)


@app.command()
def ensemble(
    artefact: Annotated[Path, typer.Argument(help="stochastic network")],
    data: Annotated[
        Path, typer.Option("--truth", help="data set of halocline coarsen, to start from and to compare with")
    ],
    every: Annotated[int, typer.Option(min=1, help="time steps between calls")] = 3,
    members: Annotated[int, typer.Option(min=2, help="forecasts from each state")] = 10,
    dates: Annotated[int, typer.Option(min=1, help="states of the truth that forecasts start from")] = 8,
    out: Out = Path("runs/science_closures"),
    ocean: Ocean = runs.OCEAN,
) -> None:
    """Forecasts of 60 days from states of the truth: spread of the ensemble over the error of its mean; 1 is reliable."""
    row = matrix.Row(artefact.stem, "ensemble", artefact=artefact, every=every)
    lines = forecast.ensemble(runs.Campaign(out, ocean), row, data, members, dates, Console(quiet=True))
    facts = {
        "artefact": artefact.name,
        "sha256": runs.sha256(artefact),
        "every": every,
        "members": members,
        "dates": dates,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"ensemble_{artefact.stem}.json"
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({**facts, "leads": lines}, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    keys = list(lines[0])
    page = [
        table.line(keys),
        table.line(["---"] * len(keys)),
        *(table.line([f"{line[key]:.3g}" for key in keys]) for line in lines),
    ]
    console = open_console()
    console.print(Markdown("\n".join(page)))
    console.print(f"table: {path}", highlight=False)


def _keep_climates(
    campaign: runs.Campaign,
    keep: Path,
    wind: str,
    one: truth.Truth,
    planned: Sequence[matrix.Row],
    found: Sequence[dict[str, Any]],
) -> None:
    """The climates of the 20 km model and of the best conventional row, for figures."""
    best = judge.best([row for row in found if row["wind"] == wind], one).get("overall")
    for row in planned:
        label = "20_km" if row.family == "20 km" else "best" if row.name == best else ""
        if label and (campaign.path(row) / "climate.npz").is_file():
            rows.climate(campaign, row, one.joint.grid).save(keep / f"climate_{wind}_{label}.npz")


def _options(given: dict[str, list[Path]]) -> list[str]:
    names = {"trained": "--truth", "unseen": "--truth-unseen"}
    return [f"{names[wind]} {path}" for wind, paths in given.items() for path in paths]


def _frozen(keep: Path) -> dict[str, Any]:
    path = keep / f"{CONVENTIONAL}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HaloclineError(
            f"the frozen conventional rows cannot be read: {error}.\n  halocline science scan makes {path}."
        ) from None


def _origin(path: Path) -> dict[str, Any]:
    """Where a data set of truth came from, as it says itself."""
    from models.data import store

    if path.suffix == ".npz":
        return {"file": path.name, "sha256": runs.sha256(path)}
    return {"file": path.name, "provenance": json.loads(store.read(path).attrs["provenance"])}


def _scored(
    campaign: runs.Campaign,
    planned: Sequence[matrix.Row],
    truths: dict[str, truth.Truth],
    jobs: int,
    console: Console,
    one_core: bool = False,
) -> list[dict[str, Any]]:
    """All rows run, some side by side (with one_core, each on a core of its own), and scored, in the order of the plan."""
    quiet = Console(quiet=True)
    for row in {(row.wind, row.grid, row.start): row for row in planned}.values():
        runs.start(campaign, row, quiet)

    found: dict[str, dict[str, Any]] = {}

    def score(row: matrix.Row) -> None:
        found[row.folder] = rows.scored(campaign, row, truths[row.wind], quiet)

    side_by_side(
        planned,
        lambda row, core: runs.run(campaign, row, quiet, core),
        jobs,
        console,
        one_core,
        lambda row: row.name,
        score,
    )
    return [found[row.folder] for row in planned]


def _costs(
    campaign: runs.Campaign, planned: Sequence[matrix.Row], console: Console, one_core: bool = False
) -> dict[str, dict[str, Any]]:
    found = {}
    for row in planned:
        console.print(f"measuring the cost of {row.name}{table.ONE_CORE if one_core else ''}", highlight=False)
        repeats = 1 if row.grid == cost.FINE else cost.REPEATS
        key = table.key_of_cost({"row": row.name, "family": row.family}) + (table.ONE_CORE if one_core else "")
        found[key] = cost.measured(campaign, row, Console(quiet=True), one_core, repeats)
    return found


def _show(
    folder: Path,
    name: str,
    truths: dict[str, truth.Truth],
    found: Sequence[dict[str, Any]],
    costs: dict[str, Any],
    facts: dict[str, Any],
    years: int,
    console: Console,
) -> None:
    tables = [
        table.collected(one, [row for row in found if row["wind"] == wind], costs, years)
        for wind, one in truths.items()
    ]
    table.write(folder, name, tables, costs, facts)
    for found_here in tables:
        console.print(table.short(found_here))
    console.print(f"tables: {folder / name}.md, .json, .csv", highlight=False)
