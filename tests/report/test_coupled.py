"""The report of a real coupled run, from the ocean's and the coupler's own files."""

import os
import re
import subprocess

import pytest

from models.report.page import report
from models.report.run import read
from tests.conftest import REPO

SHORT = {
    "nn_it000": "1",
    "nn_itend": "81",
    "ln_rstart": ".false.",
    "nn_write": "27",
    "nn_stat": "27",
    "rn_diag": "86400.",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three days of ZB20 in the gyre, from rest with noise on the thickness."""
    folder = tmp_path_factory.mktemp("coupled")
    text = (REPO / "namelists" / "gyre_zb20" / "namelist_cfg").read_text()
    for key, value in SHORT.items():
        text, hits = re.subn(rf"^(\s*){key}(\s*)=\s*\S+", rf"\g<1>{key}\g<2>= {value}", text, flags=re.MULTILINE)
        assert hits == 1, key
    (folder / "cfg").mkdir()
    (folder / "cfg" / "namelist_cfg").write_text(text)
    command = ["halocline", "run", "cfg", "--ocean-ranks", "2", "--coupler-ranks", "1", "--rundir", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


@pytest.mark.mpi
def test_everything_that_the_run_wrote_is_found(run):
    found = read(run)
    assert found.ending.kind == "well" and found.absence.rows == []
    assert found.output.climate.states == 3 and found.span.last == 81 and len(found.stat["KE"].values) == 3
    assert found.networks[0].fits and found.networks[0].pin == "as loaded by the run"
    assert {"zb20.energy_input", "zb20.enstrophy_input"} <= set(found.budgets)
    assert {"ocean", "coupler"} == {phase.side for phase in found.clock.phases} and found.guards.total == 0
    (run / "run.stat").rename(run / "gone")
    assert [what for what, _ in read(run).absence.rows] == ["Energy over time"]
    (run / "gone").rename(run / "run.stat")


@pytest.mark.mpi
def test_its_page_has_every_section_filled(run):
    text = report(run).read_text(encoding="utf-8")
    assert 'class="absent"' not in text and "As the run recorded them" in text
    assert {path.name for path in (run / "report").glob("map_d?_mean.png")} == {"map_du_mean.png", "map_dv_mean.png"}
