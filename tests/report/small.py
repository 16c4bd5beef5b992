"""Small run folders, as the ocean and the coupler leave them."""

import json
import os
from pathlib import Path

from models.evaluation.mesh import Mesh
from tests.evaluation.conftest import random_states, write_run

N, STEP, EVERY = 12, 3200.0, 135  # cells, time step [s], steps between states (5 days)
COUPLED = """
&namcpl  nn_seed = 7  /
&namexc  cn_name = 'masks', cn_dir = 'to_coupler', ln_static = .true., cn_fields = 'umask', 'vmask'  /
&namexc  cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', rn_period = 28800.  /
&namexc  cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv', rn_period = 28800.  /
&namnet  cn_name = 'gz', cn_artefact = 'gz21_f4.onnx', cn_policy = 'clip', rn_clip = 1.e-6,
         cn_sha256 = 'e133f5bd416e80d16172cd18128fece8c756ef7770af5b284fc1e011d8478030'  /
"""
ENERGY = "kt,date,gz.energy_input,gz.enstrophy_input\n27,d,1e-5,-2e-16\n54,d,-2e-5,-3e-16\n"
LEVELS = "kt,date,gz.energy_input.k01,gz.enstrophy_input.k02\n27,d,8e-6,1e-16\n54,d,1e-6,2e-16\n"


def namelist(steps: int, extra: str = "") -> str:
    return (
        f"&namrun  cn_exp = 'GYRE', nn_it000 = 1, nn_itend = {steps}, nn_write = {EVERY}  /\n"
        f"&namdom  rn_Dt = {STEP:g}  /\n{extra}"
    )


def run_stat(steps: int, energy: float = 5000.0) -> str:
    rows = ["# it  date[yyyymmdd]  second_of_day  max|u|[m/s]  KE[J/m2]  min_h[m]"]
    rows += [f" {it}  00010102  0  {0.5 + 1e-5 * it:.5f}  {energy + it:.4E}  220.0" for it in range(27, steps + 1, 27)]
    return "\n".join(rows) + "\n"


def ocean(folder: Path, states: int = 20, seed: int = 0, extra: str = "") -> Path:
    """A run of the reference ocean that ended well, alone."""
    mesh = Mesh.closed(N, N, 40000.0)
    folder.mkdir(parents=True)
    write_run(folder, random_states(mesh, states, seed, speed=0.1 + 0.1 * seed), mesh)
    steps = states * EVERY
    (folder / "namelist_cfg").write_text(namelist(steps, extra))
    (folder / "namelist_ref").write_text("&namdom  rn_Dt = 60., rn_atfp = 0.1  /\n&nammpp  jpni = 0  /\n")
    (folder / "run.stat").write_text(run_stat(steps))
    (folder / "run.log").write_text("")
    (folder / "ocean.output").write_text(
        " Halocline reference ocean, double precision\n gyre: run ended well at kt = 1\n"
    )
    (folder / "timing.output").write_text(
        "ranks 2\npart [s]   min   mean  max  ms per step\nwhole run  10.0  10.0  10.0  1.0\ndynamics   6.0   7.0   8.0  0.7\n"
    )
    return folder


def markers(folder: Path, coupler: dict | None = None) -> None:
    """Both end markers."""
    ends = {
        "ocean": {"wait": [6.0, 5.0], "pack": [0.5, 0.5], "unpack": [0.5, 0.5], "total": [10.0, 10.0]},
        "coupler": {"wait": [3.0], "pack": [0.5], "unpack": [0.5], "inference": [5.0], "total": [10.0]}
        | (coupler or {}),
    }
    for side, document in ends.items():
        text = json.dumps({"side": side, "ended": True, "kt": 1} | document)
        (folder / f"halocline.{side}.json").write_text(text)


def coupled(folder: Path, states: int = 20, seed: int = 1) -> Path:
    """A coupled run that ended well, with guards, budgets and a log of events."""
    ocean(folder, states, seed, COUPLED)
    markers(folder, {"guards": {"gz": {"du.range": 3}}})
    (folder / "run.log").write_text("halocline: ocean 'gyre': 14 x 14 cells\n")
    (folder / "halocline_energy.csv").write_text(ENERGY)
    (folder / "halocline_energy_levels.csv").write_text(LEVELS)
    place = {"network": "gz", "output": "du", "field": "du", "guard": "range", "i": 3, "j": 5, "k": 1}
    lines = [place | {"step": 9}, place | {"step": 18}, place | {"step": 18, "i": 4}]
    (folder / "halocline.guard.0000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    start = {"time": "2026-01-02T03:04:05Z", "event": "start", "revision": "abc123", "versions": {"numpy": "9.9"}}
    (folder / "coupler.log.jsonl").write_text(json.dumps(start) + '\n{"event": "progr')  # the last line was cut short
    return folder


def aged(folder: Path, seconds: float, now: float) -> None:
    """All files were written so long before `now`."""
    for path in folder.iterdir():
        os.utime(path, (now - seconds,) * 2)
