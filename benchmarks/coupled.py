"""A coupled step against its two sides alone: the reference ocean with two networks, nn_lag = 0 and 1.

    python benchmarks/coupled.py              the table of README.md, about three minutes
    python benchmarks/coupled.py --quick      the smallest grid, few steps

One core for each side. A coupling period of p steps: ocean alone is p steps without coupling, coupler alone what its rank does
with a message (inference.py), both for one period. With nn_lag = 1 the two overlap: the aim is a period of at most 1.05
times the slower of the two. Each run is made several times, in turn: medians, and the median of the ratios of each turn. The
start is left out by taking the difference between a run and one of a third of its length. Zanna & Bolton's closure in float64
lives on memory, which both sides share; the convolutions of the small network (11 458 weights) on arithmetic. "busier" is the side
that works longer in the lagged run itself: what is over 1 is waiting and copying, whatever the machine does meanwhile.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from inference import ZOO, Case, Rank, write_convnets
from rich.console import Console
from rich.table import Table

from coupler.engines.base import load_engine
from coupler.launch import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
NAMELIST = """
&namrun
   nn_itend = {steps}, nn_stat = 1000, cn_exp = 'BENCH'
   ln_cpl = {coupled}
/
&namusr_def nn_nx = {n}, nn_ny = {n}, rn_dx = {dx}, rn_pert = 1. /
&namdom rn_Dt = {dt}, ln_meshmask = .false. /
&namdyn_ldf rn_cs4 = 0.06 /
"""
GEOMETRY = {
    "zb20_f8": "'e1t', 'e2t', 'e1u', 'e2u', 'e1v', 'e2v', 'e1f', 'e2f', 'tmask', 'fmask'",
    "convnet_f4": "'umask', 'vmask'",
}
COUPLING = """
&namexc cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true., cn_fields = {geometry} /
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h', rn_period = {period} /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv', rn_period = {period}, nn_lag = {lag} /
&namnet cn_name = 'net', cn_artefact = '{artefact}', rn_scale = 0. /
"""


@dataclass(frozen=True)
class Setup:
    """A square basin of `n` cells and two layers, coupled every `period` steps to a network."""

    n: int
    period: int
    artefact: Path


def on_core(number: int) -> list[str]:
    """One core for each side, as the aim says: the scheduler else moves two busy processes about."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[number % len(cores)])]


def run(setup: Setup, steps: int, lag: int | None) -> dict[str, float]:
    """Milliseconds per coupling period of one run of the ocean, alone (lag None) or coupled, and of the coupler's phases."""
    dx = 1.92e6 / setup.n
    dt = 0.08 * dx
    text = NAMELIST.format(
        steps=steps, n=setup.n, dx=dx, dt=dt, coupled=".false." if lag is None else ".true."
    )  # fmt: skip
    command = ["mpirun", "-np", "1", *on_core(0), str(ROOT / "build" / "double" / "gyre.exe")]
    if lag is not None:
        text += COUPLING.format(
            period=setup.period * dt, lag=lag, artefact=setup.artefact, geometry=GEOMETRY[setup.artefact.stem]
        )
        command += [":", "-np", "1", *on_core(1), sys.executable, "-P", "-m", "coupler.cli", "couple", "."]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "namelist_cfg").write_text(text)
        done = subprocess.run(
            command, cwd=folder, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        whole = re.search(r"^whole run.*", (folder / "timing.output").read_text(), re.M)
        assert whole is not None
        result = {"period": steps * float(whole.group().split()[-1])}
        if lag is not None:
            for side in ("coupler", "ocean"):
                end = json.loads((folder / f"halocline.{side}.json").read_text())
                for phase in {"wait", "unpack", "inference", "pack"} & set(end):
                    result[f"{side} {phase}"] = 1e3 * end[phase][0]
    return result


def period(setup: Setup, steps: int, lag: int | None) -> dict[str, float]:
    """Milliseconds per coupling period of a run and of its phases, without its start."""
    whole, third = run(setup, steps, lag), run(setup, steps // 3 // setup.period * setup.period, lag)
    periods = steps // setup.period - steps // 3 // setup.period
    return {key: (whole[key] - third[key]) / periods for key in whole}


def alone(setup: Setup, calls: int) -> float:
    """Milliseconds that the coupler's rank takes for a message: unpack, network, guard, mask, pack; median."""
    rank = Rank(Case(setup.artefact, setup.n, setup.n, 2), load_engine(setup.artefact))
    seen = []
    for kt in range(1, calls + 1):
        start = time.perf_counter()
        rank.step(kt)
        seen.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seen))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smallest grid, few steps")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        convnet = write_convnets(Path(folder))["convnet_f4.onnx"]
        zb20 = ZOO / "zb20_f8.onnx"
        setups = (Setup(96, 32, convnet), Setup(192, 24, convnet), Setup(96, 4, zb20), Setup(192, 3, zb20))
        measure(setups[: 1 if args.quick else None], args.quick)


def measure(setups: Sequence[Setup], quick: bool) -> None:
    """Run everything in turn and print the table."""
    repeats = 2 if quick else 7
    table = Table(title="one coupling period, one core for each side [ms]", title_justify="left")
    columns = (
        "network, grid", "steps", "ocean", "coupler", "lag 0", "lag 1", "lag 1 / slower", "/ busier", "inference",
        "unpack, pack", "wait", "rest", "ocean: pack", "wait",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right")
    print(f"load of the machine: {os.getloadavg()[0]:.2f}")
    for setup in setups:
        steps = setup.period * (30 if quick else 90)
        seen: dict[str, list[dict[str, float]]] = {"ocean": [], "0": [], "1": []}
        solo = []
        for _ in range(repeats):
            seen["ocean"].append(period(setup, steps, None))
            solo.append(alone(setup, 30))
            seen["0"].append(period(setup, steps, 0))
            seen["1"].append(period(setup, steps, 1))
        middle = {name: {k: float(np.median([r[k] for r in runs])) for k in runs[0]} for name, runs in seen.items()}
        one, ocean, coupler = middle["1"], middle["ocean"]["period"], float(np.median(solo))
        rounds = zip(seen["1"], seen["ocean"], solo, strict=True)
        ratio = float(np.median([lag["period"] / max(free["period"], own) for lag, free, own in rounds]))
        copied = one["coupler unpack"] + one["coupler pack"]
        rest = one["period"] - one["coupler inference"] - copied - one["coupler wait"]
        at_work = one["period"] - one["ocean pack"] - one["ocean unpack"] - one["ocean wait"]
        busier = max(at_work, one["coupler inference"] + copied)
        numbers = [ocean, coupler, middle["0"]["period"], one["period"]]
        table.add_row(
            f"{setup.artefact.stem} {setup.n}x{setup.n}x2",
            str(setup.period),
            *(f"{number:.3f}" for number in numbers),
            f"{ratio:.3f}",
            f"{one['period'] / busier:.3f}",
            f"{one['coupler inference']:.3f}",
            f"{copied:.3f}",
            f"{one['coupler wait']:.3f}",
            f"{rest:.3f}",
            f"{one['ocean pack'] + one['ocean unpack']:.3f}",
            f"{one['ocean wait']:.3f}",
        )
    Console(width=132).print(table)


if __name__ == "__main__":
    main()
