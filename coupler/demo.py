"""`halocline demo`: the reference ocean alone and with each of two networks, from the same spun-up state, and a picture."""

import time
from pathlib import Path

from rich.console import Console

from coupler import launch, report
from coupler.errors import HaloclineError

NAMELISTS = launch.REPOSITORY / "namelists"
RESTART = "GYRE_00097200_restart.nc"


def demo(out: Path, transport: str, console: Console) -> Path:
    """Spin up ten years alone, run one more year alone and one with each network, draw the figure; returns its path.

    Raises HaloclineError when a run fails, or when the namelists of the repository are not there.
    """
    if not (NAMELISTS / "gyre_zb20" / "namelist_cfg").exists():
        raise HaloclineError(
            f"no experiments in {NAMELISTS}. The demo runs from a checkout of the project: git clone it, then make demo."
        )
    start = time.perf_counter()
    console.print("[bold]1/4[/bold] ten years of double gyre, ocean alone on 2 ranks")
    _run("gyre_spinup", 0, out, (), None, console)
    restart = out / "gyre_spinup" / RESTART
    console.print("[bold]2/4[/bold] one more year, ocean alone (the reference)")
    _run("gyre_control", 0, out, (restart,), None, console)
    over = {"mpi": "direct MPI", "oasis": "OASIS3-MCT"}.get(transport, transport)
    ranks = f"2 ocean ranks + 1 coupler rank, over {over}"
    console.print(f"[bold]3/4[/bold] the same year coupled at every step to Zanna-Bolton 2020 (ONNX), {ranks}")
    _run("gyre_zb20", 1, out, (restart,), transport, console)
    console.print(
        "[bold]4/4[/bold] the same year coupled every 8 hours to Guillaumin-Zanna 2021, a stochastic network of 268 000 "
        f"weights, {ranks}"
    )
    _run("gyre_gz21", 1, out, (restart,), transport, console)
    coupled = [out / "gyre_zb20", out / "gyre_gz21"]
    figure = report.demo_figure(coupled, out / "gyre_control", out / "demo.png")
    console.print(
        f"demo done in {time.perf_counter() - start:.0f} s; the picture: [bold]{figure}[/bold]", highlight=False
    )
    return figure


def _run(
    name: str, coupler_ranks: int, out: Path, link: tuple[Path, ...], transport: str | None, console: Console
) -> None:
    """One experiment of namelists/ in its own run folder, replacing an earlier demo's."""
    job = launch.prepare(NAMELISTS / name, 2, coupler_ranks, out / name, link=link, overwrite=True, transport=transport)
    launch.run(job, console)
