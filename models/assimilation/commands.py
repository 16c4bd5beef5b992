"""The command `halocline assimilate`."""

from pathlib import Path
from typing import Annotated

import typer

from coupler.errors import HaloclineError
from models.console import console as open_console


def assimilate(
    cfg: Annotated[Path, typer.Argument(help="folder that holds namelist_cfg, or the file itself")],
    rundir: Annotated[Path | None, typer.Option(help="where the ocean runs; default runs/NAME of CFG")] = None,
    out: Annotated[Path | None, typer.Option(help="the data set, in place of cn_out")] = None,
    ocean: Annotated[Path | None, typer.Option(help="ocean executable; default cn_exe, or the reference ocean")] = None,
    ocean_ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the ocean")] = 1,
    coupler_ranks: Annotated[
        int | None, typer.Option(min=0, help="MPI ranks of the coupler; default 1 where networks are coupled, else 0")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="empty the run folder first")] = False,
) -> None:
    """Increments as a data set: from a twin experiment (&namassim), or from a centre's archive (&namarchive)."""
    from coupler.settings import config_file
    from models import settings
    from models.assimilation import experiment

    console = open_console()
    archive = next(iter(settings.load(cfg, settings.NamArchive)), None)
    if archive is None:
        place = rundir if rundir is not None else Path("runs") / config_file(cfg).resolve().parent.name
        experiment.run(cfg, place, out, ocean, ocean_ranks, coupler_ranks, overwrite, console)
        return
    if settings.load(cfg, settings.NamAssim):
        raise HaloclineError(
            f"{config_file(cfg)} holds &namassim and &namarchive.\n  {archive.where()}. One file makes increments in one way."
        )
    from models.data.archive import collect

    path = collect(archive, out if out is not None else Path(archive.cn_out), console)
    console.print(f"data set {path}", highlight=False)
