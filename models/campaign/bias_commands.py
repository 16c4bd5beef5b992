"""`halocline science bias`: corrections from analysis increments, made and judged in the free model."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.console import console as open_console

KEPT = REPOSITORY / "models" / "zoo" / "gyre_bias"


def bias(
    twin: Annotated[list[str] | None, typer.Option(help="asis, wind, season; repeat. Default: asis and wind")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="increments by insert, cycle, enoi; repeat. Default: all three")
    ] = None,
    recycle: Annotated[
        list[str] | None, typer.Option(help="methods whose networks get a second round; 'none'. Default: insert")
    ] = None,
    with_closure: Annotated[
        bool, typer.Option("--closure/--no-closure", help="the same again with the closure network in the model")
    ] = True,
    seeds: Annotated[int, typer.Option(min=1, help="seeds of each network")] = 3,
    years: Annotated[int, typer.Option(min=1, help="years of each run, after one that is dropped")] = 20,
    jobs: Annotated[int, typer.Option(min=1, help="assimilations, trainings and runs side by side")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="threads of each training")] = 1,
    windows: Annotated[int, typer.Option(min=0, help="windows of the increments; 0: all of the truth")] = 0,
    out: Annotated[Path, typer.Option(help="folder of all runs; what is there is not made again")] = Path(
        "runs/science_bias"
    ),
    keep: Annotated[Path, typer.Option(help="folder of the table and its figures")] = KEPT,
    recipe: Annotated[
        Path | None, typer.Option(help="namelist of the trainings; default namelists/gyre_bias_train")
    ] = None,
    closure: Annotated[
        Path | None, typer.Option("--closure-network", help="default: that of models/zoo/gyre_momentum")
    ] = None,
    ocean: Annotated[Path, typer.Option(help="ocean executable")] = REPOSITORY / "build" / "single" / "gyre.exe",
    name: Annotated[str, typer.Option(help="name of the table")] = "bias",
) -> None:
    """Increments, trainings, free runs and a second round for each twin; a table with truth, noise floor and verdicts.

    Interrupted, it goes on where it was: type the same again. The table is NAME.md, NAME.json, NAME.csv.
    """
    from models.campaign import bias_report, bias_rows, bias_runs, bias_training, runs

    twins = [bias_rows.TWINS[one] for one in _known("--twin", twin or ["asis", "wind"], bias_rows.TWINS)]
    methods = _known("--method", method or list(bias_rows.METHODS), bias_rows.METHODS)
    again = [] if recycle == ["none"] else _known("--recycle", recycle or ["insert"], bias_rows.METHODS)
    plan = bias_runs.Plan(
        runs.Campaign(out, ocean), twins, methods, [False, True] if with_closure else [False], seeds, years, jobs,
        [one for one in again if one in methods], closure or bias_rows.CLOSURE_FILE, recipe or bias_training.RECIPE,
        threads, windows,
    )  # fmt: skip
    for file in (plan.closure, plan.recipe):
        if not file.is_file():
            raise HaloclineError(f"there is no file {file}. Name it with --closure-network or --recipe.")
    command = " ".join(
        [
            "halocline science bias",
            *(f"--twin {one.name}" for one in twins),
            *(f"--method {one}" for one in methods),
            *(f"--recycle {one}" for one in plan.recycle or ["none"]),
            *([] if with_closure else ["--no-closure"]),
            f"--seeds {seeds} --years {years}",
            *([f"--windows {windows}"] if windows else []),
        ]
    )
    bias_report.make(plan, keep, name, command, open_console())


def _known(option: str, given: list[str], allowed: Collection[str]) -> list[str]:
    """The names that were given, once each. HaloclineError for one that is not known."""
    for one in given:
        if one not in allowed:
            raise HaloclineError(f"{option} {one} is unknown. Allowed: {', '.join(allowed)}.")
    return list(dict.fromkeys(given))
