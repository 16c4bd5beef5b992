"""`halocline science online`: closures trained in several ways, judged in the Fortran ocean, in one table."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.console import console as open_console

KEPT = REPOSITORY / "models" / "zoo" / "closures"


def online(
    namelist: Annotated[
        list[Path] | None,
        typer.Option(help="recipe of a training (folder with namelist_cfg); repeat. Default: those of all modes"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="seeds of each recipe")] = 3,
    years: Annotated[int, typer.Option(min=1, help="years of each run, after one that is dropped")] = 20,
    starts: Annotated[int, typer.Option(min=1, help="initial states of the ocean, a run from each")] = 1,
    every: Annotated[int, typer.Option(min=1, help="time steps between calls of the network")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="trainings and runs side by side")] = 1,
    train: Annotated[bool, typer.Option("--train/--no-train", help="train what is missing, or only judge")] = True,
    whole: Annotated[
        bool, typer.Option("--all-or-nothing", help="a network that is missing is an error, not a line of the table")
    ] = False,
    freeze: Annotated[
        bool,
        typer.Option("--freeze", help="keep the whole table in models/zoo/online and show it in the documentation"),
    ] = False,
    trainings: Annotated[Path, typer.Option(help="folder of the trainings, NAME_sSEED each")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="folder of the runs; those that are there are not run again")] = Path(
        "runs/science_online"
    ),
    keep: Annotated[
        Path, typer.Option(help="folder of the frozen conventional closures and the truth's statistics")
    ] = KEPT,
    ocean: Annotated[Path, typer.Option(help="ocean executable")] = REPOSITORY / "build" / "single" / "gyre.exe",
    name: Annotated[str, typer.Option(help="name of the table")] = "online",
) -> None:
    """Train every recipe with every seed, run the networks in the coupled ocean under both winds; one table with all of it.

    Interrupted, it goes on where it was: type the same again. A training that fails, or is not there, is a line of the table. The
    table is NAME.md, NAME.json, NAME.csv in the folder of the runs, with a figure; cards of the trainings tell of their runs.
    """
    from models.campaign import online_plan, online_report, runs

    designs, absent = [], {}
    for cfg in namelist or online_plan.NAMELISTS:
        if namelist is None and not cfg.is_dir():
            absent[cfg.name] = "there is no such recipe"
            continue
        designs.append(online_plan.design(cfg))
    if len({design.name for design in designs}) < len(designs):
        raise HaloclineError("two recipes have the same cn_name: their trainings would share folders. Name each once.")
    plan = online_plan.Plan(runs.Campaign(out, ocean), designs, trainings, seeds, years, starts, every, jobs)
    command = " ".join(
        [
            "halocline science online",
            *(f"--namelist {cfg}" for cfg in namelist or []),
            f"--seeds {seeds} --years {years} --starts {starts} --every {every}",
            *(["--no-train"] if not train else []),
        ]
    )
    document = online_report.make(
        plan, absent, keep, _frozen(keep), name, command, train, whole or freeze, open_console()
    )  # fmt: skip
    if freeze:
        online_report.freeze(document, out, name, online_report.KEPT, online_report.PAGE)


def _frozen(keep: Path) -> dict[str, Any]:
    path = keep / "conventional.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HaloclineError(
            f"the frozen conventional rows cannot be read: {error}.\n  halocline science scan makes {path}."
        ) from None
