"""The command `halocline twin`."""

from pathlib import Path
from typing import Annotated

import typer

from coupler.errors import HaloclineError
from models.console import console


def twin(
    cfg: Annotated[Path, typer.Argument(help="folder that holds namelist_cfg of the ocean alone, or the file itself")],
    steps: Annotated[int | None, typer.Option(min=1, help="number of steps, in place of nn_itend")] = None,
    rundir: Annotated[Path | None, typer.Option(help="where to run; default runs/NAME of CFG")] = None,
    dtype: Annotated[str, typer.Option(help="precision: double or single")] = "double",
    compile: Annotated[
        bool, typer.Option("--compile", help="torch.compile the step: a minute to begin, then faster")
    ] = False,
    link: Annotated[list[Path] | None, typer.Option(help="file to link into the run folder (repeat)")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="empty the run folder first")] = False,
) -> None:
    """Run the differentiable twin in place of the Fortran ocean, alone, on one core: same namelist, restarts and files."""
    try:
        from models.twin import program  # torch takes seconds
    except ImportError as error:
        raise HaloclineError(
            f"`halocline twin` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    program.run(cfg, console(), rundir, steps, dtype, compile, link, overwrite)
