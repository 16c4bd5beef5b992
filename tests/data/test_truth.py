"""`halocline truth`: years in a chain, resumed after a kill, coarsened on the way, and its mistakes."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from coupler.errors import HaloclineError
from models.data import coarsen, ocean, store, truth
from models.data import plan as plans
from tests.data.tiny import SCORE, TRAIN, assert_same_data, changed, coarsen_cfg, copied, truth_cfg

LAST = "TINY_00058320_restart.nc"


def quiet() -> Console:
    return Console(file=io.StringIO())


def open_nc(path):
    with xr.open_dataset(path, decode_times=False) as data:
        return data.load()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A truth of two members, made without a break."""
    folder = tmp_path_factory.mktemp("truth")
    cfg = truth_cfg(folder / "cfg", TRAIN, SCORE)
    console = quiet()
    truth.run(cfg, folder / "out", 2, None, console)
    return folder, console.file.getvalue()


@pytest.fixture
def again(made, tmp_path):
    """CFG and a copy of that truth."""
    folder, _ = made
    return folder / "cfg", copied(folder / "out", tmp_path / "out")


def test_years_are_files_and_two_restarts_stay(made):
    folder, shown = made
    names = sorted(path.name for path in (folder / "out" / "train").glob("TINY*"))
    assert names == [
        "TINY_00019441_00038880_burst.nc",
        "TINY_00038880_restart.nc",
        "TINY_00038881_00058320_burst.nc",
        "TINY_00058320_restart.nc",
    ]
    assert sorted(path.name for path in (folder / "out" / "a").glob("*inst.nc")) == ["TINY_00019441_00038880_inst.nc"]
    assert not (folder / "out" / "train" / "work").exists()
    assert "train: year 3 of 3" in shown and "s/year" in shown and "to go" in shown


def test_states_come_in_threes_round_multiples_of_the_interval(made):
    folder, _ = made
    times = np.concatenate(
        [open_nc(path)["time_counter"] for path in sorted((folder / "out" / "train").glob("*burst.nc"))]
    )
    middle = times[2::3][:-1] if abs(times[0] % 864000 - 3200) < 1 else times[1::3]
    assert len(times) == 2 * 36 * 3 and np.allclose(middle % 864000.0, 0)
    assert np.allclose(times[1:-2].reshape(-1, 3) - times[2:-2:3][:, None], [-3200, 0, 3200])


def test_a_killed_run_goes_on_to_the_same_bits(made, tmp_path):
    folder, _ = made
    out = tmp_path / "out"
    cfg = truth_cfg(tmp_path / "cfg")
    program = "import typer; from models.data.commands import truth; typer.run(truth)"
    call = [sys.executable, "-c", program, str(cfg), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, env=os.environ)
    end = time.monotonic() + 60
    while not (out / "train" / "TINY_00019440_restart.nc").exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.15)  # into the next year
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "train" / LAST).exists()
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert_same_data(open_nc(out / "train" / LAST), open_nc(folder / "out" / "train" / LAST))
    assert_same_data(*(open_nc(place / "train" / "TINY_00038881_00058320_burst.nc") for place in (out, folder / "out")))


def test_another_restart_is_caught_by_the_comparison(again, made):
    """The twin of the test above: the last year made again from a state that differs in the last place."""
    cfg, out = again

    def nudge(data):
        return data.assign(un=data["un"] * (1 + 1e-6))  # about ten units in the last place of single precision

    changed(out / "train" / "TINY_00038880_restart.nc", nudge)
    (out / "train" / LAST).unlink()
    truth.run(cfg, out, 1, None, quiet())
    with pytest.raises(AssertionError, match="differs"):
        assert_same_data(open_nc(out / "train" / LAST), open_nc(made[0] / "out" / "train" / LAST))


def test_a_second_call_runs_nothing(again):
    cfg, out = again
    before = {path: path.stat().st_mtime_ns for path in out.rglob("TINY*")}
    console = quiet()
    truth.run(cfg, out, 2, None, console)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("TINY*")} == before
    assert "3 of 3 years are there" in console.file.getvalue()


def test_more_years_are_added(again, tmp_path):
    _, out = again
    truth.run(truth_cfg(tmp_path / "cfg", SCORE | {"nn_years": 2}), out, 1, None, quiet())
    assert len(list((out / "a").glob("*inst.nc"))) == 2


def test_coarsened_while_it_runs_is_what_is_coarsened_afterwards(made, tmp_path):
    folder, _ = made
    cfg = coarsen_cfg(tmp_path / "coarse")
    plan = plans.load(cfg, tmp_path / "out", tmp_path / "one")
    truth.run(folder / "cfg", tmp_path / "out", 2, plan, quiet())
    for member in ("train", "a"):
        coarsen.assemble(plan, member, quiet())
    assert not list((tmp_path / "out").rglob("*burst.nc")), "fine files go once they are coarsened"
    coarsen.run(plans.load(cfg, folder / "out", tmp_path / "two"), 1, quiet())
    for member in ("train", "a"):
        assert_same_data(*(store.read(tmp_path / name / f"{member}.zarr") for name in ("one", "two")))
    truth.run(folder / "cfg", tmp_path / "out", 2, plan, quiet())  # nothing is left to do
    with pytest.raises(HaloclineError, match="--coarsen"):
        truth.run(folder / "cfg", tmp_path / "out", 2, None, quiet())


def test_fine_files_stay_where_asked(again, made, tmp_path):
    _, out = again
    plan = plans.load(coarsen_cfg(tmp_path / "coarse"), out, tmp_path / "one")
    truth.run(truth_cfg(tmp_path / "cfg", SCORE | {"ln_keep": True}), out, 1, plan, quiet())
    assert len(list((out / "a").glob("*inst.nc"))) == 1 and plan.part("a", next((out / "a").glob("*inst.nc"))).exists()


@pytest.mark.parametrize(
    ("member", "groups", "name"),
    [
        ({}, {"namsbc": {"rn_tau0": 0.2}}, "rn_tau0"),
        ({"nn_seed": 5}, {}, "nn_seed"),
        ({"rn_every": 432000.0}, {}, "nn_burst"),
        ({"cn_precision": "double"}, {}, "cn_precision"),
        ({}, {"namdyn_ldf": {"rn_cl4": 0.01}}, "rn_cl4"),
    ],
)
def test_a_changed_namelist_is_refused(again, tmp_path, member, groups, name):
    _, out = again
    with pytest.raises(HaloclineError, match=rf"made .*{name}") as error:
        truth.run(truth_cfg(tmp_path / "cfg", TRAIN | member, **groups), out, 1, None, quiet())
    assert "--out" in str(error.value)


def test_a_failed_ocean_speaks(tmp_path):
    cfg = truth_cfg(tmp_path / "cfg", namdom={"rn_dt": 1600.0, "rn_hmin": 600.0})
    with pytest.raises(HaloclineError, match="stopped") as error:
        truth.run(cfg, tmp_path / "out", 1, None, quiet())
    assert "rn_hmin" in str(error.value) or "thin" in str(error.value)
    assert not list((tmp_path / "out").glob("*/TINY*"))


def test_a_missing_build_says_how_to_make_it(tmp_path, monkeypatch):
    shutil.copytree(ocean.REPOSITORY / "namelists", tmp_path / "namelists", ignore=lambda *_: [])
    monkeypatch.setattr(ocean, "REPOSITORY", tmp_path)
    with pytest.raises(HaloclineError, match="make fortran PREC=single"):
        truth.run(truth_cfg(tmp_path / "cfg"), tmp_path / "out", 1, None, quiet())


def test_a_full_disk_is_met_before_the_start(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(truth.shutil, "disk_usage", lambda _: usage(10, 9, 1_000_000))
    with pytest.raises(HaloclineError, match=r"needs 0\.0 GB on disk.*0\.0 GB left"):
        truth.run(truth_cfg(tmp_path / "cfg"), tmp_path / "out", 1, None, quiet())
    assert not (tmp_path / "out").exists()


def test_a_lost_early_file_is_named(again):
    cfg, out = again
    (out / "train" / "TINY_00019441_00038880_burst.nc").unlink()
    with pytest.raises(HaloclineError, match="TINY_00019441_00038880_burst.nc is missing"):
        truth.run(cfg, out, 1, None, quiet())


def test_a_lost_last_file_is_made_again(again, made):
    cfg, out = again
    (out / "train" / "TINY_00038881_00058320_burst.nc").unlink()
    truth.run(cfg, out, 1, None, quiet())
    assert_same_data(
        *(open_nc(place / "train" / "TINY_00038881_00058320_burst.nc") for place in (out, made[0] / "out"))
    )


@pytest.mark.parametrize(
    ("members", "groups", "words"),
    [
        ((TRAIN, SCORE | {"cn_name": "train"}), {}, "two members have one name"),
        ((TRAIN, SCORE | {"nn_seed": 1}), {}, "two members have one noise"),
        ((TRAIN | {"rn_every": 1000.0},), {}, "rn_every = 1000 s is no multiple"),
        ((TRAIN | {"rn_every": 35200.0},), {}, "a year of 19440 steps is no multiple"),
        ((TRAIN | {"rn_burst_d": 864000.0},), {}, "do not fit between states"),
        ((TRAIN,), {"namrun": {"nn_leapy": 1}}, "years of equal length"),
        ((TRAIN,), {"namsbc": {"rn_tau": 1.0}}, "unknown key 'rn_tau' in &namsbc"),
        ((TRAIN | {"nn_year": 3},), {}, "nearest known: 'nn_years'"),
    ],
)
def test_mistakes_are_named(tmp_path, members, groups, words):
    with pytest.raises(HaloclineError, match=words):
        truth.run(truth_cfg(tmp_path / "cfg", *members, **groups), tmp_path / "out", 1, None, quiet())
    assert not (tmp_path / "out").exists()


def test_no_member_is_an_error(tmp_path):
    with pytest.raises(HaloclineError, match="no group &namtruth"):
        truth.run(coarsen_cfg(tmp_path / "cfg"), tmp_path / "out", 1, None, quiet())
