"""`halocline demo`: the reference ocean alone and with networks, from one spun-up state; pictures and a page beside the truth."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coupler import launch, report
from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.campaign import truth as records
from models.campaign.rows import SKIP
from models.evaluation.climate import Climate, climate_of
from models.evaluation.scores import scores
from models.evaluation.side_by_side import Shown, side_by_side
from models.report.page import report as write_page

NAMELISTS = REPOSITORY / "namelists"
TRUTH = (
    REPOSITORY / "models" / "zoo" / "closures"
)  # statistics of the 10 km ocean: half an hour of computing that is not repeated
RESTART = "GYRE_00097200_restart.nc"
TRANSPORTS = {"mpi": "direct MPI", "oasis": "OASIS3-MCT"}


def demo(out: Path, transport: str, console: Console) -> list[Path]:
    """Spin up ten years alone, go on alone and with three networks, draw two pictures, write a page; returns the pictures' paths.

    Raises HaloclineError when a run fails, or when the namelists or the truth of the repository are not there.
    """
    if not (NAMELISTS / "gyre_zb20" / "namelist_cfg").exists():
        raise HaloclineError(
            f"no experiments in {NAMELISTS}. The demo runs from a checkout of the project: git clone it, then make demo."
        )
    if transport not in TRANSPORTS:
        raise HaloclineError(f"transport '{transport}' is unknown. Allowed: {', '.join(TRANSPORTS)}.")
    truth = records.load("trained", TRUTH)
    start = time.perf_counter()
    restart = out / "gyre_spinup" / RESTART

    def part(number: int, words: str, name: str, coupled: bool) -> Path:
        """One experiment of namelists/ in its own run folder, replacing an earlier demo's."""
        console.print(f"[bold]{number}/5[/bold] {words}", highlight=False, soft_wrap=True)
        link = () if name == "gyre_spinup" else (restart,)
        job = launch.prepare(
            NAMELISTS / name, 2, int(coupled), out / name, link=link, overwrite=True,
            transport=transport if coupled else None,
        )  # fmt: skip
        launch.run(job, console)
        return out / name

    part(1, "ten years of double gyre at 40 km, ocean alone on 2 ranks", "gyre_spinup", False)
    alone = part(2, "six more years, ocean alone", "gyre_control", False)
    ranks = f"2 ocean ranks + 1 coupler rank, over {TRANSPORTS[transport]}"
    trained = part(3, f"the same six years, every third step with the trained network: {ranks}", "gyre_closure", True)
    zb20 = part(4, "the first of these years, every step with Zanna-Bolton 2020", "gyre_zb20", True)
    gz21 = part(5, "the same year, every 8 hours with Guillaumin-Zanna 2021, a stochastic network", "gyre_gz21", True)

    grid = truth.joint.grid
    runs = [_shown(name, run, grid) for name, run in {"40 km": alone, "40 km + network": trained}.items()]
    floor = truth.expected(runs[0].climate.years)
    lengths = " + ".join(f"{record.years:.0f}" for record in truth.records)
    first = Shown("Truth: 10 km, coarse-grained", f"{lengths} years, independent runs", truth.joint)
    pictures = [
        side_by_side(first, runs, floor, out / "demo.png", Climate.load(TRUTH / "climate_trained_best.npz")),
        report.demo_figure([zb20, gz21], alone, out / "demo_networks.png"),
    ]
    page = write_page(trained, alone, truth=sorted(TRUTH.glob("truth_trained_*.npz")), skip=SKIP)
    console.print(f"demo done in {time.perf_counter() - start:.0f} s; the pictures:", highlight=False)
    for picture in pictures:
        console.print(f"  [bold]{picture}[/bold]", highlight=False, soft_wrap=True)
    console.print(f"and a page about the run with the network: [bold]{page}[/bold]", highlight=False, soft_wrap=True)
    console.print(table(truth.joint, [run.climate for run in runs], floor))
    return pictures


def _shown(name: str, run: Path, grid: tuple[int, int]) -> Shown:
    whole, kept = climate_of(run, grid, name=name), climate_of(run, grid, SKIP, name=name)
    if not kept.states:
        raise HaloclineError(
            f"{run} has no good state after its first {SKIP:g} days, nothing to draw. Look at {run / 'run.log'}."
        )
    return Shown(name, f"one run, its years 2 to {whole.years:.0f}", kept, whole)


def table(truth: Climate, runs: Sequence[Climate], floor: Mapping[str, float]) -> Table:
    """A line for the truth and one for each run; the truth's line says what sampling alone leaves of a run (`floor`)."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    shown.caption = "±: sampling alone, in as many years as a run has here"
    shown.add_column("")
    for header in ("EKE layer 1\n[cm2 s-2]", "EKE layer 2\n[cm2 s-2]", "error of mean\nSSH [cm]", "years"):
        shown.add_column(escape(header), justify="right")
    own = scores(truth, truth)
    shown.add_row(
        "truth, 10 km",
        f"{own['eke1']:.0f} ± {floor['eke1'] * own['eke1']:.0f}",
        f"{own['eke2']:.1f} ± {floor['eke2'] * own['eke2']:.1f}",
        f"0.0 ± {floor['eta_rmse']:.1f}",
        f"{truth.years:.0f}",
    )
    for run in runs:
        own = scores(run, truth)
        shown.add_row(
            run.name, f"{own['eke1']:.0f}", f"{own['eke2']:.1f}", f"{own['eta_rmse']:.1f}", f"{run.years:.0f}"
        )
    return shown
