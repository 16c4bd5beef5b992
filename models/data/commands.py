"""The commands `halocline truth` and `halocline coarsen`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coupler.errors import HaloclineError
from models.console import console as open_console
from models.ended import ended_by_sigterm

if TYPE_CHECKING:
    from models.settings import NamCoarsen

Cfg = Annotated[Path, typer.Argument(help="folder that holds namelist_cfg, or the file itself")]
Out = Annotated[Path | None, typer.Option(help="folder of the result; default runs/NAME of CFG")]
Jobs = Annotated[int, typer.Option(min=0, help="processes side by side; 0: one for each core")]


def truth(
    cfg: Cfg,
    out: Out = None,
    jobs: Jobs = 0,
    coarsen: Annotated[
        Path | None, typer.Option(help="CFG of halocline coarsen: coarsen each year while the next one runs")
    ] = None,
) -> None:
    """Run the fine ocean, each &namtruth a member, and go on where an earlier call ended."""
    from coupler.settings import config_file
    from models.data import coarsen as coarsening
    from models.data import plan as plans
    from models.data import truth as fine

    console = open_console()
    place = out if out is not None else Path("runs") / config_file(cfg).resolve().parent.name
    with ended_by_sigterm():
        plan = None if coarsen is None else plans.load(coarsen, place, None)
        members = fine.run(cfg, place, _cores(jobs), plan, console)
        if plan is not None:
            for member in members:
                console.print(coarsening.assemble(plan, member.name, console).table(), highlight=False)
            console.print(f"data sets in {plan.out}", highlight=False)
    console.print(f"{len(members)} members in {place}", highlight=False)


def coarsen(
    cfg: Cfg,
    truth: Annotated[Path | None, typer.Option(help="folder of the fine run, in place of cn_truth")] = None,
    out: Out = None,
    jobs: Jobs = 0,
) -> None:
    """Coarse states and targets from a fine run, as one data set (zarr) for each member."""
    from models import settings
    from models.data import coarsen as coarsening
    from models.data import plan as plans

    console = open_console()
    group = next(iter(settings.load(cfg, settings.NamCoarsen)), None)
    if group is not None and group.cn_source == "nemo":
        _coarsen_nemo(cfg, group, truth, out)
        return
    with ended_by_sigterm():
        plan = plans.load(cfg, truth, out)
        coarsening.run(plan, _cores(jobs), console)
    console.print(f"data sets in {plan.out}", highlight=False)


def _coarsen_nemo(cfg: Path, group: "NamCoarsen", truth: Path | None, out: Path | None) -> None:
    """NEMO files into OUT/NAME.zarr, NAME that of their folder."""
    from coupler.settings import config_file
    from models.data.nemo_coarsen import coarsen_nemo

    if truth is not None:
        raise HaloclineError(
            f"--truth is for members of `halocline truth`.\n  {group.where('cn_truth')}. Set cn_truth to the folder of the files."
        )
    place = out if out is not None else Path("runs") / config_file(cfg).resolve().parent.name
    place.mkdir(parents=True, exist_ok=True)
    path = coarsen_nemo(cfg, place / f"{Path(group.cn_truth).resolve().name}.zarr")
    typer.echo(f"data set {path}")


def _cores(jobs: int) -> int:
    return jobs or len(os.sched_getaffinity(0))
