"""What diagnostics cost: coupled runs with none, with the default budgets, and with everything at every exchange.

    python benchmarks/diagnostics.py            the table of docs/pages/diagnostics.md, about three minutes
    python benchmarks/diagnostics.py --quick    the smaller grid, two turns

The reference ocean and Zanna & Bolton's closure in float64, coupled at every step, one core each; runs in turn, the shortest of
each kind, for what else the machine does only adds. "defaults": a line of the budgets every day (27 steps), nothing else. "daily
fields": snapshots, means, maps and guard counts of u, v, h, du, dv besides. "every exchange": all of it at every step, the worst
that can be asked for.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from coupler.launch import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
NAMELIST = """
&namrun nn_itend = {steps}, nn_stat = 1000, cn_exp = 'BENCH', ln_cpl = .true. /
&namusr_def nn_nx = {n}, nn_ny = {n}, rn_dx = 40000., rn_pert = 1. /
&namdom rn_Dt = 3200., ln_meshmask = .false. /
&namexc cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true.,
        cn_fields = 'e1t', 'e2t', 'e1u', 'e2u', 'e1v', 'e2v', 'e1f', 'e2f', 'tmask', 'fmask' /
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h' /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv' /
&namnet cn_name = 'net', cn_artefact = '{artefact}', rn_scale = 0. /
&namdiag {diag} /
"""
FIELDS = "cn_diag = 'u', 'v', 'h', 'du', 'dv', ln_diag_guard = .true., ln_diag_mean = .true., ln_budget_map = .true."
CASES = {
    "none": "cn_budget = 'off'",
    "defaults": "",
    "daily fields": f"rn_diag = 86400., {FIELDS}",
    "every exchange": f"rn_diag = 3200., rn_budget = 3200., {FIELDS}",
}


def run(n: int, steps: int, diag: str) -> float:
    """Seconds of the ocean's whole run."""
    cores = sorted(os.sched_getaffinity(0))
    text = NAMELIST.format(n=n, steps=steps, diag=diag, artefact=ROOT / "models" / "zoo" / "zb20_f8.onnx")
    command = ["mpirun", "-np", "1", "taskset", "-c", str(cores[0]), str(ROOT / "build" / "double" / "gyre.exe"), ":"]
    command += ["-np", "1", "taskset", "-c", str(cores[-1]), sys.executable, "-P", "-m", "coupler.cli", "couple", "."]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "namelist_cfg").write_text(text)
        done = subprocess.run(
            command, cwd=folder, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        whole = re.search(r"^whole run.*", (folder / "timing.output").read_text(), re.M)
        assert whole is not None
        return 1e-3 * steps * float(whole.group().split()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smaller grid, two turns")
    quick = parser.parse_args().quick
    table = Table(title="run time with diagnostics", title_justify="left")
    for column in ("grid", "diagnostics", "ms per step", "ratio to none"):
        table.add_column(column, justify="right" if column[0] in "mr" else "left")
    for n, steps in ((48, 540), (192, 135))[: 1 if quick else None]:
        turns = [[run(n, steps, diag) for diag in CASES.values()] for _ in range(2 if quick else 7)]
        shortest = np.array(turns).min(axis=0)
        for case, seconds in zip(CASES, shortest, strict=True):
            ratio = f"{seconds / shortest[0]:.3f}"
            table.add_row(f"{n} x {n} x 2", case, f"{1e3 * seconds / steps:.2f}", ratio)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
