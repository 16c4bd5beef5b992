"""Restarts that do not fit, states that go wrong: one message, non-zero exit code, in seconds."""

import os
import shutil
import subprocess

import pytest
import xarray as xr

from .conftest import MPI, executable
from .test_namelist import message

GO_ON = {"namrun": {"ln_rstart": True, "nn_it000": 11, "nn_itend": 12}}
FIRST = {"namrun": {"nn_itend": 10}}


@pytest.fixture
def begun(ocean):
    """A run of ten steps whose restart lies beside it as restart.nc."""
    run = ocean(FIRST)
    shutil.copy(run.rundir / "TEST_00000010_restart.nc", run.rundir / "restart.nc")
    return run


def test_restart_that_fits_is_taken(ocean, begun):
    assert "rst_read" in ocean(GO_ON).log


def test_restart_missing(ocean):
    got = message(ocean(GO_ON, ok=False, ranks=2, timeout=20))
    assert "restart.nc" in got and "does not exist" in got and "cn_ocerst_in" in got


def test_restart_truncated(ocean, begun):
    path = begun.rundir / "restart.nc"
    path.write_bytes(path.read_bytes()[:5000])
    got = message(ocean(GO_ON, ok=False, ranks=2, timeout=20))
    assert "restart.nc" in got and "truncated" in got


def test_restart_of_another_grid(ocean, begun):
    got = message(ocean(GO_ON, {"namusr_def": {"nn_nx": 19}}, ok=False, ranks=2, timeout=20))
    assert "wrong size" in got and "19 15 2" in got and "21 15 2" in got


def test_restart_without_a_variable(ocean, begun):
    with xr.open_dataset(begun.rundir / "TEST_00000010_restart.nc") as ds:
        ds.load().drop_vars("e3t_n").to_netcdf(begun.rundir / "restart.nc")
    assert "e3t_n" in message(ocean(GO_ON, ok=False, timeout=20))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"namrun": {"nn_it000": 12}}, ["after step 10", "begin with step 12", "nn_rstctl"]),
        ({"namdom": {"rn_dt": 1200.0}}, ["time step", "2400", "1200"]),
        ({"namrun": {"nn_date0": 20101}}, ["10101", "20101"]),
    ],
)
def test_restart_of_another_time(ocean, begun, change, words):
    got = message(ocean(GO_ON, change, ok=False, ranks=2, timeout=20))
    for word in words:
        assert word in got, got


def test_new_experiment_from_a_restart(ocean, begun):
    """nn_rstctl = 0 takes the state alone; without before fields the first step is forward."""
    new = {"namrun": {"ln_rstart": True, "nn_rstctl": 0, "nn_it000": 1, "nn_itend": 3, "nn_date0": 50101}}
    ocean(new)
    with xr.open_dataset(begun.rundir / "TEST_00000010_restart.nc") as ds:
        ds.load().drop_vars(["ub", "vb", "e3t_b", "tb"]).to_netcdf(begun.rundir / "restart.nc")
    assert "forward first step: T" in ocean(new).log


def test_outcrop_names_the_place(ocean):
    run = ocean({"namdom": {"rn_hmin": 498.0}, "namrun": {"nn_itend": 600}}, ok=False, ranks=3, timeout=30)
    got = message(run)
    assert (
        "layer thickness" in got and "outcrops" in got and "(i,j,k) = (" in got and "kt =" in got and "rn_hmin" in got
    )


def test_blow_up_names_field_and_place(ocean):
    run = ocean(
        {"namdom": {"rn_dt": 20000.0, "rn_hmin": 0.0}, "namrun": {"nn_itend": 2000}}, ok=False, ranks=2, timeout=30
    )
    got = message(run)
    assert "(i,j,k) = (" in got and "kt =" in got and ("not finite" in got or "outcrops" in got)
    assert not list(run.rundir.glob("*restart*"))


def test_a_stale_message_is_removed(ocean, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "halocline.abort").write_text("of an earlier run")
    assert not (ocean(FIRST).rundir / "halocline.abort").exists()


def test_help_and_unknown_option():
    exe = str(executable("double"))
    good = subprocess.run(
        [exe, "--help"], env=os.environ | MPI, capture_output=True, text=True, timeout=20, check=False
    )
    assert good.returncode == 0 and "usage" in good.stdout
    bad = subprocess.run([exe, "--hlep"], env=os.environ | MPI, capture_output=True, text=True, timeout=20, check=False)
    assert bad.returncode != 0 and "--hlep" in bad.stderr and "usage" in bad.stderr
