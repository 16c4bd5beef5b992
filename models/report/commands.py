"""`halocline report`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coupler.errors import HaloclineError


def report(
    run_dir: Annotated[Path, typer.Argument(help="run folder, of a run that ended well, failed, or is going on")],
    against: Annotated[Path | None, typer.Option(help="another run folder, to be shown beside it")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for the page and its PNG files; default RUN_DIR/report")
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(help="coarsened truth (.zarr, .npz) to score against; a second one gives the noise floor"),
    ] = None,
    skip: Annotated[float, typer.Option(min=0, help="days at the start of each run that averages leave out")] = 0.0,
) -> None:
    """Write one page about a run: configuration, provenance, series, maps, spectra, scores, where the time went."""
    os.environ.setdefault(
        "HDF5_USE_FILE_LOCKING", "FALSE"
    )  # a run that goes on must not find its files locked by a reader
    try:
        from models.report import page
    except ImportError as error:
        raise HaloclineError(
            f"`halocline report` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    quiet = Console(stderr=True)
    with quiet.status(f"reading {run_dir}"):
        written = page.report(run_dir, against, out, truth or [], skip)
    print(written)
