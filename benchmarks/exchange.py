"""Round trip of an empty exchange (engine null, 2 fields each way) over MPI and over OASIS, against plain MPI messages.

The floor is what any transport must do: the same bytes through plain MPI messages, with one pack and one unpack copy in each
direction, timed in the same run. Prints a table of medians and ratios. `python benchmarks/exchange.py [--quick]`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from coupler import namcouple, settings
from coupler.handshake import parse
from coupler.launch import ENVIRONMENT

REPO = Path(__file__).resolve().parents[1]
NAMELIST = """
&namcpl cn_transport = '{transport}' /
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
taken, given = np.zeros((len(peers), size)), np.zeros((len(peers), size))
times = {False: [], True: []}
for step in range(2 * steps):
    copies = step % 2 == 1
    start = perf_counter()
    if left:
        if copies:
            out[...] = given
        sends = [world.Isend(out[n], peer) for n, peer in enumerate(peers)]
        MPI.Request.Waitall(sends + [world.Irecv(into[n], peer) for n, peer in enumerate(peers)])
        if copies:
            taken[...] = into
    else:
        MPI.Request.Waitall([world.Irecv(into[n], peer) for n, peer in enumerate(peers)])
        if copies:
            taken[...] = into
            out[...] = given
        MPI.Request.Waitall([world.Isend(out[n], peer) for n, peer in enumerate(peers)])
    times[copies].append(perf_counter() - start)
if world.rank == 0:
    print("raw", float(np.median(times[False])), float(np.median(times[True])))
"""
SHAPES = ((62, 199, 1), (182, 149, 31), (722, 603, 31))
LAYOUTS = ((1, 1), (2, 1), (1, 2), (2, 2))


def build(folder: Path) -> dict[str, Path]:
    """The Fortran side by transport, linked with its client; OASIS only where `make oasis` found it."""
    programs = {}
    flags = REPO / "build" / "oasis" / "flags.mk"
    found = [("mpi", "", "")]
    if flags.exists():
        include, libraries = (line.split(":=")[1] for line in flags.read_text().splitlines())
        found.append(("oasis", include, libraries))
    for transport, include, libraries in found:
        work = folder / f"build_{transport}"
        work.mkdir()
        client = REPO / f"coupler/fortran/cpl_halocline_{transport}.f90"
        programs[transport] = work / "pingpong.exe"
        sources = [str(client), str(REPO / "benchmarks/pingpong.f90")]
        command = ["mpif90", "-O3", *include.split(), *sources, "-o", str(programs[transport]), *libraries.split()]
        subprocess.run(command, cwd=work, check=True)
    return programs


def mpirun(folder: Path, *args: object) -> str:
    """Standard output of an MPI job in `folder`."""
    command = ["mpirun", *(str(arg) for arg in args)]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def ours(
    folder: Path, transport: str, exe: Path, shape: tuple[int, int, int], steps: int, layout: tuple[int, int]
) -> float:
    """Median seconds per step of our exchange."""
    for mark in [*folder.glob("halocline.*"), *folder.glob("namcouple")]:
        mark.unlink()
    (folder / "namelist_cfg").write_text(NAMELIST.format(transport=transport))
    if transport == "oasis":
        shake = parse(mpirun(folder, "-np", 1, exe, *shape, steps, "describe").splitlines()[-1])
        namcouple.write(settings.load(folder), shake, folder / "namcouple")
    coupler = [sys.executable, "-P", "-m", "coupler.cli", "couple", "."]
    text = mpirun(folder, "-np", layout[0], exe, *shape, steps, ":", "-np", layout[1], *coupler)
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("pingpong"))


def main() -> None:
    """Build, measure, print."""
    shapes = SHAPES[:2] if "--quick" in sys.argv else SHAPES
    table = Table(
        title="round trip of an exchange, u and v there, du and dv back, 64 bits, no network [ms]", title_justify="left"
    )
    for name in ("grid", "MB each way", "ranks", "raw MPI", "floor", "mpi", "oasis", "mpi/floor", "mpi/oasis"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = build(folder)
        (folder / "raw.py").write_text(RAW)
        for shape in shapes:
            cells = shape[0] * shape[1] * shape[2]
            steps = max(15, min(2000, 20_000_000 // cells))
            for layout in LAYOUTS:
                raw = mpirun(folder, "-np", sum(layout), sys.executable, "raw.py", 16 * cells, steps, layout[0])
                plain, floor = (float(word) for word in raw.split()[1:3])
                times = {
                    transport: ours(folder, transport, exe, shape, steps, layout) for transport, exe in programs.items()
                }
                row = ["x".join(map(str, shape)), f"{16 * cells / 1e6:.1f}", f"{layout[0]} + {layout[1]}"]
                row += [f"{1e3 * t:.3f}" for t in (plain, floor, times["mpi"])]
                if "oasis" in times:
                    row += [
                        f"{1e3 * times['oasis']:.3f}",
                        f"{times['mpi'] / floor:.2f}",
                        f"{times['mpi'] / times['oasis']:.2f}",
                    ]
                else:
                    row += ["-", f"{times['mpi'] / floor:.2f}", "-"]
                table.add_row(*row)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
