"""Run folders and command lines, without running anything."""

import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from coupler import launch, preflight, settings
from coupler.cli import app
from coupler.ending import interventions
from coupler.errors import HaloclineError


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "namelist_cfg").write_text("&namcpl rn_timeout_start = 7. /\n")
    (folder / "net.onnx").write_bytes(b"")
    exe = tmp_path / "model.exe"
    exe.write_text("#!/bin/sh\n")
    exe.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return folder


def test_a_run_folder_holds_the_namelist_and_links(cfg, tmp_path):
    job = launch.prepare(cfg, 2, 1, ocean=tmp_path / "model.exe")
    assert job.rundir == tmp_path / "runs" / "case"
    assert (job.rundir / "net.onnx").resolve() == cfg / "net.onnx"
    assert not (job.rundir / "namelist_cfg").is_symlink()
    words = shlex.split(job.command_line().split("&&")[1])
    assert words[1:4] == ["-np", "2", str(tmp_path / "model.exe")]
    assert words[4:7] == [":", "-np", "1"] and words[-2:] == ["couple", "."]
    assert job.environment["OMPI_MCA_rmaps_base_oversubscribe"] == "1"
    assert job.environment["HALOCLINE_TIMEOUT_START"] == "7"


def test_without_coupler_ranks_the_ocean_runs_alone(cfg, tmp_path):
    assert ":" not in launch.prepare(cfg, 2, 0, ocean=tmp_path / "model.exe").command


def test_inside_a_slurm_job_srun_gets_both_programs(cfg, tmp_path, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job = launch.prepare(cfg, 3, 2, ocean=tmp_path / "model.exe")
    assert list(job.command)[:3] == [str(srun), "-n", "5"] and "--multi-prog" in job.command
    rows = (job.rundir / "halocline.multiprog").read_text().splitlines()
    assert rows[0] == f"0-2 {tmp_path / 'model.exe'}" and rows[1].startswith("3-4 ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rundir": "case"}, "is the configuration itself"),
        ({"ocean": "nowhere.exe"}, "no ocean executable at nowhere.exe"),
        ({"link": ["restart.nc"]}, "no file .*restart.nc to link"),
        ({"rundir": "full"}, "is not empty"),
        ({"rundir": "full", "overwrite": True}, "does not look like a run folder"),
        ({"rundir": "full/precious"}, "precious is a file, not a run folder"),
        ({"rundir": "full/precious/run"}, "cannot make the run folder .*run: Not a directory"),
    ],
)
def test_mistakes_leave_nothing_behind(cfg, tmp_path, change, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    change = {key: tmp_path / value if key == "rundir" else value for key, value in change.items()}
    change["link"] = [tmp_path / name for name in change.get("link", [])]
    change["ocean"] = Path(change.get("ocean", tmp_path / "model.exe"))
    with pytest.raises(HaloclineError, match=words):
        launch.prepare(cfg, 1, 1, **change)
    assert not (tmp_path / "runs").exists() and (tmp_path / "full" / "precious").exists()


def test_campaigns_run_jobs_in_threads(cfg, tmp_path):
    """Signals belong to the main thread: there they are taken and given back, a job of another thread leaves them alone."""
    job = replace(launch.prepare(cfg, 1, 0, ocean=tmp_path / "model.exe"), command=("true",))
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(launch.run, job, Console(quiet=True)).result(60)
        with pytest.raises(ValueError, match="main thread"):
            pool.submit(signal.signal, signal.SIGTERM, before).result(60)
    launch.run(job, Console(quiet=True))
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.mpi
@pytest.mark.parametrize("env", ["inherited()", "None"], ids=["cleaned", "as it is"])
def test_mpirun_starts_below_a_process_that_has_initialised_mpi(env):
    """A process below one that called MPI_Init; with the variables that it left, mpirun ends with 1 and prints nothing."""
    run = f"subprocess.run(['mpirun', '-np', '1', 'echo', 'started'], env={env}, timeout=60)"
    child = f"import subprocess; from coupler.programs import inherited; raise SystemExit({run}.returncode)"
    start = f"sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    parent = f"import subprocess, sys; from mpi4py import MPI; {start}"
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == ((1, "") if env == "None" else (0, "started\n")), done.stderr


def test_dry_run_prints_the_command(cfg, tmp_path):
    done = CliRunner().invoke(app, ["run", str(cfg), "--ocean", str(tmp_path / "model.exe"), "--dry-run"])
    assert done.exit_code == 0 and "mpirun" in done.output and "couple ." in done.output


def test_an_earlier_run_is_replaced_only_on_request(cfg, tmp_path):
    launch.prepare(cfg, 1, 1, ocean=tmp_path / "model.exe")
    with pytest.raises(HaloclineError, match="--overwrite"):
        launch.prepare(cfg, 1, 1, ocean=tmp_path / "model.exe")
    launch.prepare(cfg, 1, 1, ocean=tmp_path / "model.exe", overwrite=True)


def test_a_run_says_what_its_guards_did():
    """Silent where nothing was done."""
    end = {"coupler": {"guards": {"gz21": {"du.range": 3, "dv.finite": 1}, "zb20": {}}}}
    (line,) = interventions(end)
    assert line.startswith("guards of network 'gz21' acted: du.range 3, dv.finite 1 cells")
    assert interventions({"coupler": {}}) == []


@pytest.mark.parametrize(
    ("cause", "hinted"),
    [
        ("file 'restart.nc' does not exist.\n  It was named by namelist_cfg line 3.", True),
        ("file '/data/restart.nc' does not exist.", False),
        ("file 'restart.nc' cannot be read: NetCDF: Unknown file format.", False),
    ],
)
def test_a_file_that_the_run_folder_lacks_may_be_linked(tmp_path, cause, hinted):
    (tmp_path / "halocline.abort").write_text(cause)
    (tmp_path / "run.log").touch()
    words = launch._why(launch.Job(tmp_path, [], {}, True, 1), tmp_path / "run.log", 1)
    assert words.startswith(cause) and ("--link FILE" in words) is hinted


def test_more_ranks_than_the_machine_can_hold_are_refused(monkeypatch):
    """Unless a batch system or a host file says that there are other machines; what it can hold passes."""
    for name in preflight.HOSTS:
        monkeypatch.delenv(name, raising=False)
    most = preflight.CROWD * len(os.sched_getaffinity(0))
    preflight.check_crowd(most)
    with pytest.raises(HaloclineError, match=f"{most + 1} ranks would all start on this machine"):
        preflight.check_crowd(most + 1)
    monkeypatch.setenv("PBS_NODEFILE", "nodes")
    preflight.check_crowd(most + 1)


def test_an_ocean_that_would_run_alone_is_refused(tmp_path):
    """The coupler would wait for it in vain; with ln_cpl in namelist_cfg, or without a coupler, it is not."""
    (tmp_path / "namelist_cfg").write_text("&namrun nn_itend = 1 /\n")
    with pytest.raises(HaloclineError, match=r"would run alone.*\n.*line 1"):
        preflight.check_coupled(settings.load(tmp_path))
    (tmp_path / "namelist_ref").write_text("&namrun ln_cpl = .false. /\n")
    (tmp_path / "namelist_cfg").write_text("&namrun ln_cpl = .true. /\n")
    preflight.check_coupled(settings.load(tmp_path))
