"""Packed or level by level: seconds per exchange of a 3-D field over OASIS, Python on both sides. Prints a table.

python tests/oasis/measure_bundles.py [--quick]

Each case is one launch: senders own rows (or columns), one or two receivers own rows with a halo of 2. Time: barrier to
barrier around put and get, median of 7 after 2 warm-up exchanges; set-up: Component.enddef of the slowest rank.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
}
SCRIPT = """
import sys, time
import numpy as np
from mpi4py import MPI
import coupler.oasis as pyoasis
nx, ny, nz, form, cut, count = (*map(int, sys.argv[2:5]), sys.argv[5], sys.argv[6], 9)
sends = sys.argv[1] == "left"
c = pyoasis.Component(sys.argv[1])
n, r = c.localcomm.size, c.localcomm.rank
def edges(m): return m * r // n, m * (r + 1) // n
if not sends:
    a, b = edges(ny)
    rows = range(max(0, a - 2), min(ny, b + 2))
    p = pyoasis.BoxPartition(rows[0] * nx, nx, len(rows), nx, nx * ny)
elif cut == "rows":
    a, b = edges(ny)
    p = pyoasis.BoxPartition(a * nx, nx, b - a, nx, nx * ny)
else:
    a, b = edges(nx)
    p = pyoasis.BoxPartition(a, b - a, ny, nx, nx * ny)
v = pyoasis.Var("A" if sends else "B", p, pyoasis.OASIS.OUT if sends else pyoasis.OASIS.IN, nz)
world = MPI.COMM_WORLD
world.Barrier()
start = time.perf_counter()
c.enddef()
setup = world.reduce(time.perf_counter() - start, MPI.MAX)
field = np.zeros((p.local_size, nz), order="F") + r
seconds = []
for t in range(count):
    world.Barrier()
    start = time.perf_counter()
    (v.put if sends else v.get)(t, field)
    world.Barrier()
    seconds.append(time.perf_counter() - start)
if world.rank == 0:
    print(setup, np.median(seconds[2:]))
"""


def measure(size: tuple[int, int, int], ranks: tuple[int, int], form: str, cut: str) -> tuple[float, float]:
    """Seconds of (set-up, exchange)."""
    names = [("A", "B")] if form == "packed" else [(f"A_{k + 1:03d}", f"B_{k + 1:03d}") for k in range(size[2])]
    entries = "".join(f"{a} {b} 1 1 0 r.nc EXPORTED\n1 1 1 1 a a LAG=0\nR 0 R 0\n" for a, b in names)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "namcouple").write_text(
            f"$NFIELDS\n{len(names)}\n$END\n$RUNTIME\n9\n$END\n$STRINGS\n{entries}$END\n"
        )
        Path(folder, "side.py").write_text(SCRIPT)
        arguments = ["side.py", "NAME", *map(str, size), form, cut]
        command = ["mpirun"]
        for side, count in zip(("left", "right"), ranks, strict=True):
            program = [sys.executable, *(side if word == "NAME" else word for word in arguments)]
            command += [":"] * (side == "right") + ["-np", str(count), *program]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, env={**MPI, **os.environ}
        )
    if done.returncode:
        sys.exit(done.stderr)
    setup, exchange = done.stdout.split()
    return float(setup), float(exchange)


def main() -> None:
    """One line per case."""
    sizes = [(20, 20, 31), (62, 199, 31), (182, 149, 31), (362, 302, 31), (722, 603, 31)]
    titles = f"{'packed s':>9} {'levels s':>9} {'ratio':>6} {'set-up packed, levels s':>24}"
    print(f"{'grid':>12} {'ranks':>6} {'senders':>8} {'MB':>6} {titles}")
    for size in sizes[:3] if "--quick" in sys.argv else sizes:
        for ranks, cut in (((1, 1), "rows"), ((2, 1), "rows"), ((2, 1), "columns"), ((2, 2), "columns")):
            (setup_p, packed), (setup_l, levels) = (measure(size, ranks, form, cut) for form in ("packed", "levels"))
            megabytes = size[0] * size[1] * size[2] * 8 / 1e6
            print(
                f"{'x'.join(map(str, size)):>12} {ranks[0]}->{ranks[1]:<3} {cut:>8} {megabytes:6.1f} {packed:9.4f} {levels:9.4f} "
                f"{levels / packed:6.2f} {setup_p:12.2f} {setup_l:11.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
