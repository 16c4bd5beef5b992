"""Cost of the reference ocean: milliseconds per step for grids, precisions and rank counts, as a table.

    python benchmarks/ocean.py            the table of the documentation, about two minutes
    python benchmarks/ocean.py --quick    fewer steps, the smallest grid only

Each run is made several times and the fastest is reported: other load on the machine only ever adds time.
No field output; checks after every step are on, as always.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMP_NUM_THREADS": "1",
}
YEAR = 360 * 86400.0
NAMELIST = """
&namrun nn_itend = {steps}, nn_stat = 1000, cn_exp = 'BENCH' /
&namusr_def nn_nx = {n}, nn_ny = {n}, rn_dx = {dx}, rn_pert = 1. /
&namdom rn_Dt = {dt}, ln_meshmask = .false. /
&namdyn_ldf rn_cs4 = 0.06 /
"""


def milliseconds(variant: str, n: int, ranks: int, steps: int, repeats: int) -> float:
    """Wall-clock milliseconds per step of the double gyre of n x n cells, fastest of several runs."""
    exe = ROOT / "build" / variant / "gyre.exe"
    if not exe.exists():
        raise SystemExit(f"{exe.relative_to(ROOT)} is missing: run make fortran")
    best = float("inf")
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as rundir:
            dx = 1.92e6 / n
            (Path(rundir) / "namelist_cfg").write_text(NAMELIST.format(steps=steps, n=n, dx=dx, dt=0.08 * dx))
            subprocess.run(
                ["mpirun", "-np", str(ranks), str(exe)], cwd=rundir, env=os.environ | MPI, check=True, timeout=600
            )
            line = re.search(r"^whole run.*", (Path(rundir) / "timing.output").read_text(), re.M)
            best = min(best, float(line.group().split()[-1]))
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smallest grid, few steps")
    parser.add_argument("--grids", type=int, nargs="+", default=[48, 96, 192])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.quick:
        args.grids, args.repeats = args.grids[:1], 2

    print(
        f"{'grid':>8} {'precision':>9} {'ranks':>5} {'ms/step':>9} {'s/year':>8} {'ns/cell/layer/step':>19} {'speed-up':>8}"
    )
    for n in args.grids:
        steps = max((1000 if args.quick else 4000) * 48 * 48 // (n * n), 200)
        for variant in ("single", "double"):
            one = None
            for ranks in args.ranks:
                ms = milliseconds(variant, n, ranks, steps, args.repeats)
                one = one or ms
                year = ms * 1e-3 * YEAR / (0.08 * 1.92e6 / n)
                cell = ms * 1e6 / (2 * n * n)
                print(
                    f"{n:>4}x{n:<3} {variant:>9} {ranks:>5} {ms:>9.4f} {year:>8.2f} {cell:>19.1f} {one / ms:>8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
