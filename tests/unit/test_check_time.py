"""The ocean's time per step on a machine whose cores do other work, too: fewer steps are timed, and no run stays behind."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from coupler import check_time

MPIRUN = """#!{python}
import os, pathlib, re, time
steps = int(re.findall(r"nn_itend = (\\d+)", pathlib.Path("namelist_cfg").read_text())[-1])
with open("tried", "a") as out:
    out.write(f"{{os.getpid()}} {{steps}}\\n")
if steps > {most}:
    time.sleep(60)
rows = [f"{{name:27s}} 0. 0. {{value:f}} 0." for name, value in (("whole run", 0.001 * steps + 2), ("restarts", 2.0))]
pathlib.Path("timing.output").write_text("\\n".join(["ranks", "part", *rows]) + "\\n")
"""


@pytest.mark.parametrize(("most", "runs"), [(10_000, 1), (1000, 2), (1, 2)])
def test_a_busy_machine_times_fewer_steps(tmp_path, monkeypatch, most, runs):
    """Where the first run is too slow a shorter one gives the time of a step; where that is too, it is said; all have ended."""
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(MPIRUN.format(python=sys.executable, most=most))
    mpirun.chmod(0o755)
    monkeypatch.setattr(check_time, "on_path", lambda name: str(mpirun))
    monkeypatch.setattr(check_time, "LONGEST", 1.5)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "namelist_cfg").write_text("&namrun\n nn_itend = 9\n/\n&namdom\n/\n")
    grid, field = SimpleNamespace(nx=50, ny=50), SimpleNamespace(levels=2)
    shake = SimpleNamespace(model=check_time.REFERENCE, grids=[grid], fields=[field])
    ocean = SimpleNamespace(described=True, program=Path("gyre.exe"), shake=shake)
    step, unknown = check_time.time_ocean(ocean, tmp_path / "run", 1)
    tried = [line.split() for line in (tmp_path / "run" / "calibration" / "tried").read_text().splitlines()]
    assert [int(steps) for _, steps in tried] == [5000, 100][:runs]
    assert step == pytest.approx(0.001 if most > 1 else 0.0) and bool(unknown) == (most == 1)
    assert most > 1 or "busy" in unknown
    assert not any(Path(f"/proc/{pid}").exists() for pid, _ in tried)
