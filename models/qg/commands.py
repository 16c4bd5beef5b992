"""The commands `halocline qg ...`."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from coupler.errors import HaloclineError
from models.qg import table as tables
from models.qg import train as training
from models.qg import truth as truths
from models.qg.records import Records
from models.qg.score import score as score_of
from models.qg.score import truth_of
from models.training.trainer import threads

app = typer.Typer(help="A second truth: two-layer quasi-geostrophic turbulence, closures for it, and their scores.")
Cfg = Annotated[
    Path, typer.Argument(help="folder that holds namelist_cfg (&namqg, &namtrain, &namonline), or the file")
]
Out = Annotated[Path | None, typer.Option(help="folder of truth and trainings; default runs/NAME of CFG")]
Mode = Annotated[str | None, typer.Option(help="offline or online, in place of cn_mode")]
Adjoint = Annotated[str | None, typer.Option(help="full or approx, in place of cn_adjoint")]
Seed = Annotated[int | None, typer.Option(min=0, help="in place of nn_seed")]


@app.command()
def truth(cfg: Cfg, out: Out = None) -> None:
    """Run the fine model and keep its coarse-grained states as a data set."""
    torch.set_num_threads(1)
    typer.echo(f"data set {truths.make(cfg, training.place(cfg, out))}")


@app.command()
def train(
    cfg: Cfg,
    out: Out = None,
    mode: Mode = None,
    adjoint: Adjoint = None,
    seed: Seed = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="begin anew: empty the run folder first")] = False,
) -> None:
    """Train a closure; an interrupted training goes on. It lies in OUT/offline_sSEED, full_sSEED or approx_sSEED."""
    todo = training.plan(cfg, out, mode, adjoint, seed)
    typer.echo(f"trained in {training.fit(todo, cfg, overwrite)}")


@app.command()
def score(cfg: Cfg, out: Out = None, mode: Mode = None, adjoint: Adjoint = None, seed: Seed = None) -> None:
    """Score a trained closure beside the coarse model alone."""
    todo = training.plan(cfg, out, mode, adjoint, seed)
    with threads(todo.train):
        truth = truth_of(Records(truths.read(todo.group, todo.out), todo.group), todo.group)
        rows = {"none": score_of(truth, None), todo.folder.name: score_of(truth, training.trained(todo, truth.records))}
    typer.echo(tables.text(todo.out.name, truth.floor, rows))


@app.command()
def table(
    cfg: Annotated[list[Path], typer.Argument(help="namelists, one for each regime")],
    out: Annotated[Path, typer.Option(help="folder of everything; what is there is not made again")] = Path("runs/qg"),
    seeds: Annotated[str, typer.Option(help="seeds of the trainings, comma-separated")] = "1,2,3",
) -> None:
    """Truth, trainings of every kind and seed, and one table of their scores: OUT/table.md and table.json."""
    try:
        numbers = [int(text) for text in seeds.split(",")]
    except ValueError:
        raise HaloclineError(f"--seeds {seeds}: give whole numbers, as 1,2,3.") from None
    torch.set_num_threads(1)
    typer.echo(f"table {tables.table(cfg, out, numbers)}")
