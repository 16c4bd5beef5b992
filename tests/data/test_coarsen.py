"""`halocline coarsen`: the target is what the coarse executable lacks, and nothing else; its mistakes are named."""

import errno
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

from coupler.errors import HaloclineError
from models.data import coarsen, commands, nemo_coarsen, ocean, parts, store, truth
from models.data import plan as plans
from models.data.advective import advection
from models.data.coarse import basin, coarse_state, face_mean, rimmed
from models.data.residual import STATE, CoarseModel, tendency
from tests.data.tiny import COARSE, SCORE, TRAIN, assert_same_data, changed, coarsen_cfg, copied, over, text, truth_cfg

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(commands.coarsen)

STEP = 3200.0
EXACT = {"namdom": {"rn_atfp": 0.0}, "namusr_def": {"rn_pert": 5.0}}  # no Asselin filter: a step is the leapfrog alone


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """A tiny truth with bursts ('train') and one with single states ('a')."""
    folder = tmp_path_factory.mktemp("fine")
    truth.run(truth_cfg(folder / "cfg", TRAIN, SCORE), folder / "out", 2, None, quiet())
    return folder / "out"


@pytest.fixture(scope="module")
def made(fine, tmp_path_factory):
    """Its data sets, the reports and what was printed."""
    folder = tmp_path_factory.mktemp("coarse")
    console = quiet()
    reports = coarsen.run(plans.load(coarsen_cfg(folder / "cfg"), fine, folder / "out"), 1, console)
    return folder / "out", {report.member: report for report in reports}, console.file.getvalue()


@pytest.fixture
def again(fine, tmp_path):
    """A copy of the truth that a test may spoil."""
    return copied(fine, tmp_path / "fine")


def attempt(truth_folder, tmp_path, **changes):
    """Coarsen with changes; nothing may be left behind when it fails."""
    try:
        return coarsen.run(
            plans.load(coarsen_cfg(tmp_path / "cfg", **changes), truth_folder, tmp_path / "out"), 1, quiet()
        )
    except HaloclineError:
        assert not list((tmp_path / "out").glob("*.zarr")) and not list((tmp_path / "out").rglob("*.part"))
        raise


# ---------------------------------------------------------------------------------------------------------------------
# The residual


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """States of the coarse model's own run in threes, 64 bit, without time filter."""
    folder = tmp_path_factory.mktemp("own")
    dia = {"nn_burst": 60, "nn_burst_d": 1, "ln_dia_r8": True, "ln_inst": False, "ln_mean": False}
    groups = over(over(COARSE, EXACT), {"namrun": {"nn_itend": 630}, "namdia": dia})
    del groups["namcoarsen"]
    ocean.run(ocean.executable("double"), folder, text(groups))
    (folder / "coarse").mkdir()
    (folder / "coarse" / "namelist_cfg").write_text(text(over(COARSE, EXACT)))
    with xr.open_dataset(next(folder.glob("*burst.nc")), decode_times=False) as data:
        states = {key: np.nan_to_num(data[name].values) for key, name in STATE.items()}
        time = data["time_counter"].values
        attrs = {key: str(value) for key, value in data["time_counter"].attrs.items()}
    return folder / "coarse", states, time, attrs


def residual(own, sign=1.0, step=STEP, before=True, **groups):
    """rms of the residual over rms of the tendency, for the coarse model of `own` with changes."""
    cfg, states, time, attrs = own
    switches = ocean.parse((cfg / "namelist_cfg").read_text(), ocean.read_switches(cfg))
    switches = ocean.parse(switches.changed(groups), switches)
    model = CoarseModel(ocean.executable("double"), switches)
    at = np.flatnonzero(parts.middles(time, STEP)[:-1])
    now = {key: values[at] for key, values in states.items()}
    earlier = {key: values[at - 1] for key, values in states.items()}
    rhs = model.right_hand_side(now, earlier if before else now, time[at], attrs)
    change = tendency(states["u"][at + 1], states["u"][at - 1], step)
    return np.sqrt(np.mean((sign * change - rhs["u"]) ** 2) / np.mean(change**2))


def test_the_model_has_no_residual_against_itself(own):
    """A leapfrog step of the coarse model is its right-hand side: S = 0 to round-off."""
    assert residual(own) < 1e-8


@pytest.mark.parametrize(
    "broken",
    [
        {"sign": -1.0},
        {"step": 0.5 * STEP},
        {"namdyn_ldf": {"rn_cs4": 0.0}},
        {"namdrg": {"rn_drg": [0.0, 0.0]}},
        {"namsbc": {"rn_tau0": 0.0}},
        {"before": False},
    ],
    ids=["wrong sign", "wrong d", "friction left out", "drag left out", "wind left out", "before level left out"],
)
def test_a_broken_residual_is_caught(own, broken):
    assert residual(own, **broken) > 1e-4


def test_data_set_holds_tendency_minus_right_hand_side(fine, made):
    """One state worked out by hand, from the fine file to du."""
    data = store.read(made[0] / "train.zarr", ("u_b", "du", "dv_adv"))
    with xr.open_dataset(sorted((fine / "train").glob("*burst.nc"))[0], decode_times=False) as file:
        at = int(np.flatnonzero(np.abs(file["time_counter"].values - float(data["time"][3])) < 1)[0])
        names = ("vozocrtx", "vomecrty", "thkcello", "sosstsst")
        states = [
            coarse_state(*(basin(np.nan_to_num(file[name][at + shift].values)) for name in names), 2, 1.0)
            for shift in (-1, 0, 1)
        ]
        attrs = {key: str(value) for key, value in file["time_counter"].attrs.items()}
    earlier, now, later = (
        {key: rimmed(value)[None] for key, value in zip(STATE, state, strict=True)} for state in states
    )
    model = CoarseModel(ocean.executable("double"), ocean.read_switches(made[0].parent / "cfg"))
    rhs = model.right_hand_side(now, earlier, data["time"].values[3:4], attrs)
    expected = (later["u"] - earlier["u"]) / (2 * STEP) - rhs["u"]
    np.testing.assert_allclose(data["du"].values[3:4], expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(data["u_b"].values[3:4], earlier["u"], rtol=1e-6, atol=1e-9)
    assert np.abs(data["du"].values).max() > 1e-9
    for name, mask in (("du", "umask"), ("dv", "vmask"), ("du_adv", "umask"), ("dv_adv", "vmask")):
        assert not np.any(data[name].values * (data[mask].values == 0)), f"{name} on land"


def test_thickness_needs_no_closure(made):
    report = made[1]["train"]
    assert np.all(report.rms("dh") < 0.02 * report.rms("dhdt"))


def test_filtered_velocities_do_need_one(fine, made):
    """The twin: velocities are filtered instead of transports."""
    with xr.open_dataset(sorted((fine / "train").glob("*burst.nc"))[1], decode_times=False) as file:
        u, v, h, t = (
            basin(np.nan_to_num(file[name][:30].values)).astype(float)
            for name in ("vozocrtx", "vomecrty", "thkcello", "sosstsst")
        )
        time = file["time_counter"].values[:30]
        attrs = {key: str(value) for key, value in file["time_counter"].attrs.items()}
    _, _, thick, sst = coarse_state(u, v, h, t, 2, 1.0)
    wrong = face_mean(u, -1, 2, 1.0), face_mean(v, -2, 2, 1.0)
    at = np.flatnonzero(parts.middles(time, STEP)[:-1])
    states = {"u": rimmed(wrong[0]), "v": rimmed(wrong[1]), "h": rimmed(thick), "sst": rimmed(sst)}
    model = CoarseModel(ocean.executable("double"), ocean.read_switches(made[0].parent / "cfg"))
    now, earlier = ({key: values[at + shift] for key, values in states.items()} for shift in (0, -1))
    change = tendency(states["h"][at + 1], states["h"][at - 1], STEP)
    left = change - model.right_hand_side(now, earlier, time[at], attrs)["h"]
    with pytest.raises(AssertionError):
        assert np.sqrt(np.mean(left**2)) < 0.02 * np.sqrt(np.mean(change**2))


def test_the_report_compares_both_targets(made):
    numbers, shown = made[1]["train"].numbers(), made[2]
    data = store.read(made[0] / "train.zarr")
    own, other = (basin(data[name].values.astype(float)) for name in ("du", "du_adv"))
    both = np.sqrt(((own - other) ** 2).sum((0, 2, 3)) / (own**2).sum((0, 2, 3)))
    np.testing.assert_allclose(numbers["difference du"], both, rtol=1e-4)
    np.testing.assert_allclose(numbers["rms du"], np.sqrt((own**2).mean((0, 2, 3))), rtol=1e-4)
    assert json.loads(data.attrs["report"]) == numbers
    assert (
        "correlation of both" in shown
        and "a: 36 states, no target" in shown
        and "train: 71 states with target" in shown
    )


# ---------------------------------------------------------------------------------------------------------------------
# The advective target


def test_advection_of_a_turning_disk():
    """u = -w y, v = w x: -(u . grad) u = w**2 (x, y), exactly, away from the walls."""
    dx, dy, spin = 3.0, 2.0, 0.7
    x, y = dx * (np.arange(9) + 0.5), dy * (np.arange(7) + 0.5)
    u = np.broadcast_to(-spin * y[:, None], (7, 9)).copy()
    v = np.broadcast_to(spin * x[None, :], (7, 9)).copy()
    du, dv = advection(u, v, np.ones((8, 10)), dx, dy)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(du[inner], np.broadcast_to(spin**2 * (x + dx / 2), (7, 9))[inner])
    np.testing.assert_allclose(dv[inner], np.broadcast_to(spin**2 * (y + dy / 2)[:, None], (7, 9))[inner])
    with pytest.raises(AssertionError):  # the twin: v of the wrong sign
        np.testing.assert_allclose(advection(u, -v, np.ones((8, 10)), dx, dy)[0][inner], du[inner])


# ---------------------------------------------------------------------------------------------------------------------
# Work in pieces, layout, provenance


def test_pieces_and_processes_change_no_bits(fine, made, tmp_path):
    cfg = coarsen_cfg(tmp_path / "cfg", namcoarsen={"rn_maxmem": 4.0})
    plan = plans.load(cfg, fine, tmp_path / "out")
    assert parts.piece_length(2 * 26 * 26 * 8 * parts.COPIES, plan.group.rn_maxmem) < 40
    coarsen.run(plan, 2, quiet())
    for name in ("train.zarr", "a.zarr"):
        assert_same_data(store.read(tmp_path / "out" / name), store.read(made[0] / name))
    assert not list((tmp_path / "out").glob("*.parts"))


def test_layout_units_and_provenance(made):
    data = store.read(made[0] / "train.zarr", ("du", "dv", "u_b", "sst_b", "gred", "e1t", "ff_f", "h_rest"))
    assert data["u"].dims == ("time", "k", "y", "x") and data["sst"].dims == ("time", "y", "x")
    assert data["u"].shape == (71, 2, 14, 14) and data["u"].dtype == np.float32 and data["time"].dtype == np.float64
    assert data["time"].attrs["units"].startswith("seconds since") and data["time"].attrs["calendar"] == "360_day"
    assert data["u"].attrs["standard_name"] == "sea_water_x_velocity" and data["du"].attrs["units"] == "m s-2"
    assert np.allclose(np.diff(data["time"]), 864000.0) and data["h_rest"].values.tolist() == [500.0, 750.0]
    facts = json.loads(data.attrs["provenance"])
    assert set(facts["sha256"]) == {"truth namelist", "truth mesh", "coarse namelist", "coarse executable"}
    assert facts["truth_made_by"]["precision"] == "single" and facts["recipe"]["factor"] == 2
    assert "du" not in store.read(made[0] / "a.zarr")


def test_a_second_call_makes_only_what_is_missing(fine, made, tmp_path, monkeypatch):
    plan = plans.load(coarsen_cfg(tmp_path / "cfg"), fine, tmp_path / "out")
    coarsen.make_parts(plan, {"train": plan.files("train")[:1]}, 1, quiet())
    asked = []
    true_make = parts.make
    monkeypatch.setattr(parts, "make", lambda fine, *rest: asked.append(fine.name) or true_make(fine, *rest))
    coarsen.run(plan, 1, quiet())
    assert plan.files("train")[0].name not in asked and plan.files("train")[1].name in asked
    assert_same_data(store.read(tmp_path / "out" / "train.zarr"), store.read(made[0] / "train.zarr"))


def test_parts_of_another_recipe_are_not_used(fine, tmp_path):
    first = plans.load(coarsen_cfg(tmp_path / "cfg"), fine, tmp_path / "out")
    coarsen.make_parts(first, {"a": first.files("a")}, 1, quiet())
    part, file = first.part("a", first.files("a")[0]), first.files("a")[0]
    assert parts.fresh(part, file, first.recipe)
    other = plans.load(coarsen_cfg(tmp_path / "cfg", namcoarsen={"rn_sigma": 30000.0}), fine, tmp_path / "out")
    assert not parts.fresh(part, file, other.recipe) and not other.done("a")(file)


def test_another_wind_is_remarked(fine, tmp_path):
    console = quiet()
    plan = plans.load(coarsen_cfg(tmp_path / "cfg", namsbc={"rn_tau0": 0.1}), fine, tmp_path / "out")
    coarsen.run(plan, 1, console)
    assert "rn_tau0 of &namsbc is 0.1, in the truth 0.05: the target contains the difference" in console.file.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


def bursts(folder):
    return sorted((folder / "train").glob("*burst.nc"))


def test_missing_variables_are_named(again, tmp_path):
    changed(bursts(again)[0], lambda data: data.drop_vars("thkcello"))
    with pytest.raises(HaloclineError, match="has no thkcello; looked for vozocrtx.*found .*vomecrty"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_values_that_are_not_finite_are_located(again, tmp_path):
    def spoil(data):
        data["vozocrtx"].values[7, 1, 5, 6] = np.nan
        return data

    changed(bursts(again)[1], spoil)
    with pytest.raises(
        HaloclineError, match=r"'vozocrtx' is not finite in 1 wet cells, first in record 7, at \(1, 5, 6\)"
    ):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_a_file_of_another_grid_is_refused(again, tmp_path):
    changed(bursts(again)[0], lambda data: data.isel(x=slice(0, 20)))
    with pytest.raises(HaloclineError, match="mesh_mask.nc beside it"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_a_file_cut_short_is_refused(again, tmp_path):
    path = bursts(again)[1]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(HaloclineError, match="cannot read|not finite"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_a_missing_year_is_seen(again, tmp_path):
    _, last = bursts(again)
    shutil.copy(last, again / "train" / "TINY_00077761_00097200_burst.nc")
    changed(
        again / "train" / "TINY_00077761_00097200_burst.nc",
        lambda data: data.assign_coords(time_counter=data["time_counter"] + 2 * 31104000.0),
    )
    with pytest.raises(HaloclineError, match="has a hole between"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_a_truth_too_short_is_refused(again, tmp_path):
    bursts(again)[1].unlink()
    changed(bursts(again)[0], lambda data: data.isel(time_counter=slice(0, 3)))  # t+d, t-d, t
    with pytest.raises(HaloclineError, match="no three states 3200 s apart.*too short"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


def test_a_truth_without_output_is_refused(again, tmp_path):
    for path in bursts(again):
        path.unlink()
    with pytest.raises(HaloclineError, match="has no output yet"):
        attempt(again, tmp_path, namcoarsen={"cn_members": "train"})


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (
            {"namdom": {"rn_dt": 2400.0}},
            "states 3200 s before and after each, the coarse model steps by rn_Dt = 2400 s",
        ),
        ({"namusr_def": {"nn_nx": 16}}, "nn_nx = 16 of the coarse model does not fit"),
        ({"namusr_def": {"rn_dx": 50000.0}}, "rn_dx = 50000 m of the coarse model does not fit"),
        ({"namcoarsen": {"nn_factor": 5}}, "does not fit: the truth has 24 cells, 5 of them to one"),
        ({"namusr_def": {"cn_bnd": "cyclic_ew"}}, "closed basins only"),
        ({"namusr_def": {"rn_h": [400.0, 750.0]}}, "rn_h = .* of the truth: they must be equal"),
        ({"namcoarsen": {"cn_members": "c"}}, "has no member 'c'; it has a, train"),
        ({"namcoarsen": {"cn_filter": "taper"}}, "cn_filter = 'taper' is for cn_source = 'nemo'"),
        ({"namcoarsen": {"nn_factors": 5}}, "nearest known: 'nn_factor'"),
        ({"namdyn_ldf": {"rn_cs": 0.1}}, "unknown key 'rn_cs' in &namdyn_ldf"),
    ],
)
def test_what_does_not_fit_is_named(fine, tmp_path, groups, words):
    with pytest.raises(HaloclineError, match=words):
        attempt(fine, tmp_path, **groups)


def test_another_burst_is_refused_before_the_truth_runs(tmp_path):
    plan = plans.load(coarsen_cfg(tmp_path / "cfg", namdom={"rn_dt": 2400.0}), tmp_path / "out", tmp_path / "coarse")
    with pytest.raises(
        HaloclineError, match="states 3200 s before and after each, the coarse model steps by rn_Dt = 2400 s"
    ):
        truth.run(truth_cfg(tmp_path / "fine"), tmp_path / "out", 1, plan, quiet())


def test_a_full_disk_is_met_before_the_start(fine, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(coarsen.shutil, "disk_usage", lambda _: usage(10, 9, 1000))
    with pytest.raises(HaloclineError, match="need 0.* GB on disk"):
        attempt(fine, tmp_path)


def test_no_truth_is_an_error(tmp_path):
    with pytest.raises(HaloclineError, match="Set cn_truth, or give --truth"):
        plans.load(coarsen_cfg(tmp_path / "cfg"), None, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HaloclineError, match="no members in"):
        attempt(tmp_path / "empty", tmp_path)


def test_the_coarse_model_speaks(fine, tmp_path):
    with pytest.raises(HaloclineError, match="right-hand side of the coarse model was not evaluated"):
        attempt(fine, tmp_path, namdyn_ldf={"rn_cs4": "'many'"})


def test_an_older_data_set_outlives_a_failure(again, made, tmp_path):
    """Nothing half-written under the final name, and what was there stays."""
    shutil.copytree(made[0], tmp_path / "out")
    changed(bursts(again)[0], lambda data: data.drop_vars("thkcello"))
    with pytest.raises(HaloclineError):
        coarsen.run(plans.load(coarsen_cfg(tmp_path / "cfg"), again, tmp_path / "out"), 1, quiet())
    assert_same_data(store.read(tmp_path / "out" / "train.zarr"), store.read(made[0] / "train.zarr"))


def test_a_folder_that_is_no_data_set(tmp_path, made):
    with pytest.raises(HaloclineError, match="is no data set"):
        store.read(tmp_path / "nothing.zarr")
    with pytest.raises(HaloclineError, match="has no du; it has"):
        store.read(made[0] / "a.zarr", ("du",))


# ---------------------------------------------------------------------------------------------------------------------
# The switches of targets, and the command


def test_targets_are_switched_off_one_by_one(fine, made, tmp_path):
    whole = store.read(made[0] / "train.zarr")
    for switch, gone in (("ln_target", ("du", "dv")), ("ln_advective", ("du_adv", "dv_adv"))):
        attempt(fine, tmp_path, namcoarsen={switch: False, "cn_members": "train"})
        data = store.read(tmp_path / "out" / "train.zarr")
        assert set(whole.variables) - set(data.variables) == set(gone)
        assert_same_data(data, whole.drop_vars(gone))


def test_the_command_writes_and_shows(fine, made, tmp_path):
    result = CliRunner().invoke(
        app, [str(made[0].parent / "cfg"), "--truth", str(fine), "--out", str(tmp_path), "--jobs", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "train: 71 states with target" in result.output and f"data sets in {tmp_path}" in result.output.replace(
        "\n", ""
    )
    assert_same_data(store.read(tmp_path / "train.zarr"), store.read(made[0] / "train.zarr"))


def test_nemo_files_go_their_own_way(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(nemo_coarsen, "coarsen_nemo", lambda cfg, out: asked.append(out) or out)
    cfg = coarsen_cfg(tmp_path / "cfg", namcoarsen={"cn_source": "nemo", "cn_truth": "some/files"})
    assert CliRunner().invoke(app, [str(cfg), "--out", str(tmp_path / "out")]).exit_code == 0
    assert asked == [tmp_path / "out" / "files.zarr"]
    result = CliRunner().invoke(app, [str(cfg), "--truth", str(tmp_path)])
    assert "--truth is for members" in str(result.exception)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        (tmp_path / "new.zarr.part").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with (
        pytest.raises(HaloclineError, match="cannot write .*No space left on device"),
        store.Writer(tmp_path / "new.zarr", {}, {}, {}) as writer,
    ):
        writer.append(np.zeros(1), {"u": np.zeros((1, 2, 3, 3))})
    assert not list(tmp_path.iterdir())


def test_bad_numbers_do_not_enter_a_data_set(tmp_path):
    values = np.zeros((1, 2, 3, 3))
    values[0, 1, 1, 1] = np.inf
    with (
        pytest.raises(HaloclineError, match="'du' of .* is not finite"),
        store.Writer(tmp_path / "new.zarr", {}, {}, {}) as writer,
    ):
        writer.append(np.zeros(1), {"du": values})
    assert not list(tmp_path.iterdir())


def one_record(path):
    with store.Writer(path, {}, {}, {}) as writer:
        writer.append(np.zeros(1), {"u": np.ones((1, 2, 3, 3))})


@pytest.mark.parametrize("name", ["mine", "mine.part"])
def test_what_is_no_data_set_is_not_replaced(name, tmp_path, monkeypatch):
    """A folder of the user's, under the name or under that of the part; data sets, and parts that were killed, are replaced."""
    place = tmp_path / "mine"
    one_record(place)
    place.rename(tmp_path / "mine.part")
    one_record(place)
    one_record(place)
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    (tmp_path / name).mkdir()
    one_record(place)  # an empty folder is no loss
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("all of it")
    with pytest.raises(HaloclineError, match=f"{name} is there and is no data set: it would be replaced"):
        one_record(place)
    assert (tmp_path / name / "thesis.tex").exists()
    monkeypatch.setattr(store, "check_place", lambda path: None)  # the twin that does not look
    one_record(place)
    assert not (tmp_path / name / "thesis.tex").exists()


def test_processes_end_with_the_one_that_was_killed():
    program = (
        "import os, signal; from models.data import parts; pool = parts.pool(1); "
        "print(pool.submit(os.getpid).result(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    worker = Path(f"/proc/{int(done.stdout)}/cmdline")
    end = time.monotonic() + 10
    while worker.exists() and b"spawn" in worker.read_bytes() and time.monotonic() < end:
        time.sleep(0.05)
    assert done.returncode == -signal.SIGKILL and time.monotonic() < end
