"""Commands that the models package adds to `halocline`."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
from rich.console import Console

from coupler.errors import HaloclineError
from models.assimilation.commands import assimilate
from models.data.commands import coarsen, truth
from models.evaluation.commands import evaluate
from models.report.commands import report
from models.training.commands import train
from models.twin.commands import twin

Out = Annotated[Path, typer.Option(help="folder for the artefacts")]
Formats = Annotated[str, typer.Option(help="formats, comma-separated: onnx, pt2, pt")]
Precisions = Annotated[str, typer.Option(help="precisions, comma-separated: f8, f4")]


def register(app: typer.Typer) -> None:
    """Add the commands of this package; called through the entry point group `halocline.commands`."""
    app.command("demo")(demo)
    app.command("truth")(truth)
    app.command("coarsen")(coarsen)
    app.command("assimilate")(assimilate)
    app.command("train")(train)
    app.command("twin")(twin)
    app.command("evaluate")(evaluate)
    app.command("report")(report)
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("science", add_help_option=False, context_settings=passed_on)(science)
    app.command("qg", add_help_option=False, context_settings=passed_on)(qg)
    app.command("export")(export)
    app.command("import")(import_)


def demo(
    out: Annotated[Path, typer.Option(help="folder for the runs and the pictures")] = Path("runs/demo"),
    transport: Annotated[str, typer.Option(help="mpi or oasis")] = "mpi",
) -> None:
    """The coarse double gyre alone and with each of three networks, and pictures of it beside the truth."""
    try:
        from models import demo as demonstration
    except ImportError as error:
        raise HaloclineError(
            f"`halocline demo` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    demonstration.demo(out, transport, Console())


def science(context: typer.Context) -> None:
    """Closures in the Fortran ocean, conventional and trained, scored against truth (scan, closures, ensemble)."""
    from models.campaign.commands import app  # xarray and zarr take a second, which no coupler rank should pay

    app(context.args or ["--help"], prog_name="halocline science")


def qg(context: typer.Context) -> None:
    """A second truth, two-layer quasi-geostrophic turbulence (truth, train, score, table)."""
    try:
        from models.qg.commands import app
    except ImportError as error:
        raise HaloclineError(
            f"`halocline qg` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    app(context.args or ["--help"], prog_name="halocline qg")


def export(
    family: Annotated[str, typer.Argument(help="family of networks, e.g. zb20")],
    out: Out = Path(),
    dtype: Precisions = "f8,f4",
    format: Formats = "onnx,pt2",
    kappa: Annotated[float | None, typer.Option(help="coefficient of zb20 [m2]; default: gamma 0.1 at 40 km")] = None,
) -> None:
    """Write a network as artefacts with its contract inside; radius and decomposition are measured."""
    coefficients = {} if kappa is None else {"kappa": kappa}
    _show(_exporter("export").export(family, out, dtype.split(","), format.split(","), **coefficients))


def import_(
    family: Annotated[str, typer.Argument(help="family of networks, e.g. gz21")],
    weights: Annotated[Path, typer.Argument(help="published weights, e.g. trained_model.pth")],
    out: Out = Path(),
    dtype: Precisions = "f4",
    format: Formats = "onnx,pt2",
) -> None:
    """Write published weights as artefacts with a contract inside; radius and decomposition are measured."""
    files, published = _exporter("import").import_weights(family, weights, out, dtype.split(","), format.split(","))
    typer.echo(
        f"{weights}: these are the published weights of {family}."
        if published
        else f"{weights}: these are not the published weights of {family}; where they were trained is not known."
    )
    _show(files)


def _exporter(command: str) -> ModuleType:
    try:
        from models import export as exporter
    except ImportError as error:
        raise HaloclineError(
            f"`halocline {command}` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    return exporter


def _show(files: Iterable[Path]) -> None:
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        typer.echo(f"{path}  {path.stat().st_size} bytes  cn_sha256 = '{digest}'")
