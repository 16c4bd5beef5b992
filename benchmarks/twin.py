"""Cost of a step of the differentiable twin, eager and compiled, against a step of the Fortran ocean, in turn on one core.

    python benchmarks/twin.py             every row: up to half an hour, most of it in the compiler, whose work stays in its cache
    python benchmarks/twin.py --quick     48 x 48 cells in single precision, one member

Milliseconds of CPU time per step and member, fastest of all turns; the double gyre of 2 layers with tracer, no output. Fortran:
two runs of different length, their difference. Gradient: of a sum of squares of the state after one step with respect to the
state before it, time of both directions over that of a step without.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from models.data.ocean import executable, read_switches
from models.twin.run import Twin
from models.twin.state import Level, State

DTYPES = {"single": torch.float32, "double": torch.float64}
# As coupler.launch sets it for its ranks: huge pages for large arrays.
PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
NAMELIST = """
&namrun nn_itend = {steps}, nn_stat = 0, cn_exp = 'BENCH' /
&namusr_def nn_nx = {n}, nn_ny = {n}, rn_dx = {dx}, rn_pert = 1. /
&namdom rn_Dt = {dt}, ln_meshmask = .false. /
&namdyn_ldf rn_cs4 = 0.06 /
"""
WORK = 4_000_000  # cells times steps of a turn of the ocean


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, nargs="+", default=[48, 192])
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one row")
    parser.add_argument("--no-gradient", action="store_true", help="steps only")
    options = parser.parse_args()
    if options.quick:
        options.grids, options.precisions, options.members = [48], ["single"], [1]
    if os.environ.get("GLIBC_TUNABLES") is None:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | PAGES)
    torch.set_num_threads(1)
    columns = ("grid", "precision", "members", "Fortran", "eager", "ratio", "compiled", "ratio")
    gradients = ("compiled with gradient", "over step", "eager with gradient", "over step")
    table = Table(*columns, *(() if options.no_gradient else gradients), title="ms per step and member, one core")
    console = Console(width=180)
    for n in options.grids:
        for precision in options.precisions:
            for members in options.members:
                table.add_row(*row(n, precision, members, options.rounds, not options.no_gradient))
                console.print(table)
    console.print("The compiled step of 192 x 192 cells is to be within 10 times the Fortran's, aim 5.")


def row(n: int, precision: str, members: int, rounds: int, gradient: bool) -> list[str]:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        works: dict[str, Callable[[], float]] = {"fortran": lambda: ocean(folder, n, precision)}
        write(folder, n, 1)
        for kind in ("eager", "compiled"):
            twin = Twin(read_switches(folder), DTYPES[precision], compiled=kind == "compiled")
            state = begin(twin, members)
            works[kind] = lambda twin=twin, state=state: steps(twin, state) / members
            if gradient:
                works[f"{kind} gradient"] = lambda twin=twin, state=state: both_ways(twin, state) / members
        for name in works.keys() - {"fortran"}:
            works[name]()  # compiles
        turns = [{name: work() for name, work in works.items()} for _ in range(rounds)]
    best = {name: min(turn[name] for turn in turns) for name in works}
    cells = [f"{best['fortran']:.3f}"]
    for kind in ("eager", "compiled"):
        cells += [f"{best[kind]:.3f}", f"{best[kind] / best['fortran']:.1f}"]
    if gradient:
        for kind in ("compiled", "eager"):
            there_and_back = best[f"{kind} gradient"]
            cells += [f"{there_and_back:.3f}", f"{there_and_back / best[kind]:.1f}"]
    return [f"{n} x {n}", precision, str(members), *cells]


def write(folder: Path, n: int, steps: int) -> None:
    """The namelist of the double gyre of n x n cells."""
    dx = 1.92e6 / n
    (folder / "namelist_cfg").write_text(NAMELIST.format(steps=steps, n=n, dx=dx, dt=0.08 * dx), encoding="utf-8")


def ocean(folder: Path, n: int, precision: str) -> float:
    """Milliseconds of a step of the Fortran ocean, on the CPU's clock."""
    count = max(WORK // (n * n), 50)
    spent = []
    for steps in (count + 1, 1):
        write(folder, n, steps)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([executable(precision)], cwd=folder, check=True, timeout=600)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1e3 * (spent[0] - spent[1]) / count


def begin(twin: Twin, members: int) -> State:
    """A state with a little flow, for each member."""
    with torch.no_grad():
        state = Twin(twin.switches, twin.dtype).after(twin.rest(), 1, 10, forward=True)
    return State(*(level.map(lambda x: x.expand(members, *x.shape).contiguous()) for level in state))


def steps(twin: Twin, state: State, count: int = 20) -> float:
    """Milliseconds of a step."""
    with torch.no_grad():
        start = time.process_time()
        for _ in range(count):
            state = twin.step(state, 11)
        return 1e3 * (time.process_time() - start) / count


def both_ways(twin: Twin, state: State, count: int = 5) -> float:
    """Milliseconds of a step and its gradient."""
    start = time.process_time()
    for _ in range(count):
        leaves = [x.detach().requires_grad_() for level in state for x in level]
        found = twin.step(State(Level(*leaves[:4]), Level(*leaves[4:])), 11)
        torch.autograd.grad(sum(x.square().sum() for level in found for x in level), leaves)
    return 1e3 * (time.process_time() - start) / count


if __name__ == "__main__":
    main()
