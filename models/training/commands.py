"""The command `halocline train`."""

from pathlib import Path
from typing import Annotated

import typer

from coupler.errors import HaloclineError
from models.settings import NamQg, NamTrain, load


def train(
    cfg: Annotated[
        Path, typer.Argument(help="folder that holds namelist_cfg (&namtrain, &namsplit), or the file itself")
    ],
    rundir: Annotated[Path | None, typer.Option(help="where to train; default runs/NAME of CFG")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="in place of nn_seed; name and folder are then NAME_sSEED")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="begin anew: empty the run folder first")] = False,
) -> None:
    """Train a network; an interrupted training goes on. `torchrun --nproc_per_node=N -m coupler.cli train CFG` for N ranks."""
    groups = load(cfg, NamTrain)  # a mistake is told at once: what follows imports torch, 7 s
    inversion = bool(groups) and groups[0].cn_mode == "eki"  # needs no torch
    layers = bool(load(cfg, NamQg))
    try:
        if layers:
            from models.qg import train as qg
        elif inversion:
            from models.eki.loop import invert
        else:
            from models.training import fit
    except ImportError as error:
        raise HaloclineError(
            f"`halocline train` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    if layers:
        qg.fit(qg.plan(cfg, rundir, seed=seed), cfg, overwrite)
    elif inversion:
        invert(cfg, rundir, overwrite, seed=seed)
    else:
        fit.fit(cfg, rundir, overwrite, seed=seed)
