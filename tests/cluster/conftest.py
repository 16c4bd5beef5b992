"""A small coupled ocean, and a Slurm on PATH that starts its ranks here."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO, end_session

OCEAN = """
&namrun
   cn_exp       = 'GYRE'
   nn_it000     = 1
   nn_itend     = {steps}
   ln_rstart    = .false.
   cn_ocerst_in = ''
   ln_cpl       = .true.
/
&namusr_def   rn_pert = 1.   /
&namcpl
   cn_rst_in = ''
/
&namexc  cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true.
         cn_fields = 'e1t', 'e2t', 'e1u', 'e2u', 'e1v', 'e2v', 'e1f', 'e2f', 'tmask', 'fmask'  /
&namexc  cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h'  /
&namexc  cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv'  /
&namnet  cn_name = 'zb20', cn_artefact = 'zb20_f8.onnx', cn_sha256 = '{sha256}'  /
"""


@pytest.fixture
def configuration(tmp_path):
    """configuration(steps) -> folder of a coupled run from rest."""

    def make(steps=20):
        folder = tmp_path / "cfg"
        folder.mkdir(exist_ok=True)
        sha256 = hashlib.sha256((REPO / "models/zoo/zb20_f8.onnx").read_bytes()).hexdigest()
        (folder / "namelist_cfg").write_text(OCEAN.format(steps=steps, sha256=sha256))
        return folder

    return make


@pytest.fixture
def slurm(tmp_path):
    """slurm(script, timeout=60, **environment) -> (exit code, output); `.log` holds the srun lines and what they became."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("srun", "sbatch", "scontrol", "apptainer"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{REPO}/tests/cluster/slurm.py" {name} "$@"\n')
        tool.chmod(0o755)

    def submit(script, timeout=60, **environment):
        # The batch shell starts in the folder of the submission; scripts lie beside it.
        shutil.copytree(REPO / "namelists/slurm", tmp_path / "jobs", dirs_exist_ok=True)
        submit.log.unlink(missing_ok=True)
        values = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "FAKE_SLURM_LOG": str(submit.log),
            **{key: str(value) for key, value in environment.items()},
        }
        with open(tmp_path / "job.log", "w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                ["sbatch", script],
                cwd=tmp_path / "jobs",
                env=values,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = -1
            finally:
                end_session(process)
            out.seek(0)
            return code, out.read()

    submit.log = Path(tmp_path / "srun.log")
    return submit
