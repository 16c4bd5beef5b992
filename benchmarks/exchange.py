"""Round trip of an empty exchange (engine null, 2 fields each way), against plain MPI messages of the same bytes.

Prints a table of medians and ratios. `python benchmarks/exchange.py [--quick]`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from coupler.launch import ENVIRONMENT

REPO = Path(__file__).resolve().parents[1]
NAMELIST = """
&namexc cn_name = 'state',    cn_dir = 'to_coupler', cn_fields = 'u', 'v' /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean',   cn_fields = 'du', 'dv' /
&namnet cn_name = 'null', cn_engine = 'null', cn_outputs = 'du', 'dv' /
"""
RAW = """
import sys
import numpy as np
from mpi4py import MPI
from time import perf_counter
nbytes, steps, ocean = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
world = MPI.COMM_WORLD
left = world.rank < ocean
peers = range(ocean, world.size) if left else range(ocean)
size = nbytes // (ocean * (world.size - ocean)) // 8
out, into = np.zeros((len(peers), size)), np.zeros((len(peers), size))
times = []
for _ in range(steps):
    start = perf_counter()
    if left:
        for n, peer in enumerate(peers):
            world.Isend(out[n], peer).Free()
        MPI.Request.Waitall([world.Irecv(into[n], peer) for n, peer in enumerate(peers)])
    else:
        MPI.Request.Waitall([world.Irecv(into[n], peer) for n, peer in enumerate(peers)])
        MPI.Request.Waitall([world.Isend(out[n], peer) for n, peer in enumerate(peers)])
    times.append(perf_counter() - start)
if world.rank == 0:
    print("raw", float(np.median(times)))
"""
SHAPES = ((62, 199, 1), (182, 149, 31), (722, 603, 31))


def build(folder: Path) -> Path:
    """The Fortran side, linked with the client."""
    client, source = REPO / "coupler/fortran/cpl_halocline_mpi.f90", REPO / "benchmarks/pingpong.f90"
    exe = folder / "pingpong.exe"
    subprocess.run(["mpif90", "-O3", client, source, "-o", exe], cwd=folder, check=True)
    return exe


def mpirun(folder: Path, *args: object) -> str:
    """Standard output of an MPI job in `folder`."""
    import os

    command = ["mpirun", *(str(arg) for arg in args)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout


def row(folder: Path, exe: Path, shape: tuple[int, int, int], ocean: int, coupler: int) -> tuple[float, float]:
    """Median seconds per step of our exchange and of raw messages, one after the other."""
    cells = shape[0] * shape[1] * shape[2]
    steps = max(15, min(2000, 40_000_000 // cells))
    halocline = [sys.executable, "-P", "-m", "coupler.cli", "couple", "."]
    for mark in folder.glob("halocline.*"):
        mark.unlink()
    ours = mpirun(folder, "-np", ocean, exe, *shape, steps, ":", "-np", coupler, *halocline)
    raw = mpirun(folder, "-np", ocean + coupler, sys.executable, "raw.py", 16 * cells, steps, ocean)
    time = next(float(line.split()[1]) for line in ours.splitlines() if line.startswith("pingpong"))
    return time, float(raw.split()[1])


def main() -> None:
    """Build, measure, print."""
    shapes = SHAPES[:2] if "--quick" in sys.argv else SHAPES
    table = Table(
        title="round trip of an exchange, u and v there, du and dv back, 64 bits, no network", title_justify="left"
    )
    for name in ("grid", "MB each way", "ocean ranks", "coupler ranks", "halocline [ms]", "raw MPI [ms]", "ratio"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exe = build(folder)
        (folder / "namelist_cfg").write_text(NAMELIST)
        (folder / "raw.py").write_text(RAW)
        for shape in shapes:
            for ocean, coupler in ((1, 1), (2, 1), (1, 2), (2, 2)):
                ours, raw = row(folder, exe, shape, ocean, coupler)
                size = 16 * shape[0] * shape[1] * shape[2] / 1e6
                cells = [
                    "x".join(map(str, shape)),
                    f"{size:.1f}",
                    ocean,
                    coupler,
                    f"{1e3 * ours:.3f}",
                    f"{1e3 * raw:.3f}",
                    f"{ours / raw:.2f}",
                ]
                table.add_row(*(str(cell) for cell in cells))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
