"""The cycle with an ocean whose error is known: what the data set holds, and how a bad experiment ends."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.assimilation import experiment
from models.data import increment
from models.data.background import increments_file
from tests.assimilation import small

NAMES = {"u": "u", "v": "v", "h": "h", "t": "sst"}


def assimilate(tmp_path, truth=None, faults=None, **changes):
    """The data set, and what was printed."""
    truth = truth or small.write_truth(tmp_path / "truth.zarr")
    ocean = small.fake_ocean(tmp_path / "bin", **(faults or {}))
    console = Console(file=io.StringIO(), width=200)
    cfg = small.cfg(tmp_path / "cfg", truth, **changes)
    path = experiment.run(cfg, tmp_path / "run", None, ocean, 1, None, True, console)
    return increment.open_increments(path), console.file.getvalue()


def assert_inserted(data, gain=1.0, late=0):
    """Backgrounds are the last analysis and the ocean's drift, increments `gain` of what lacks to the truth. late: of the truth."""
    masks = small.masks()
    analysis = small.state(0)
    for record in range(len(data.times)):
        truth = small.state(record + 1 + late)
        for name, called in NAMES.items():
            at = data.background(called)[record].values.reshape(masks[name].shape)
            wanted = (analysis[name] + small.DRIFT[name]) * masks[name]
            np.testing.assert_allclose(at, wanted, rtol=1e-6, atol=1e-4 * small.SIZE[name])
            change = data.increment(called).values[record].values.reshape(masks[name].shape)
            np.testing.assert_allclose(
                change, gain * (truth[name] - wanted) * masks[name], rtol=1e-5, atol=1e-4 * small.SIZE[name]
            )
            analysis[name] = wanted + gain * (truth[name] - wanted) * masks[name]


@pytest.fixture(scope="module")
def inserted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inserted")
    return assimilate(folder, namassim={"ln_archive": True}), folder / "run"


def test_insertion_finds_the_ocean_s_error(inserted):
    data = inserted[0][0]
    assert_inserted(data)
    assert data.method == "insert" and data.window == small.WINDOW and set(data.fields) == {"u", "v", "h", "sst"}
    np.testing.assert_allclose(data.times, small.FIRST + small.WINDOW * np.arange(1, 6))


@pytest.mark.parametrize("broken", [{"late": 1}, {"gain": 0.5}], ids=["window shifted by one", "half the increment"])
def test_a_broken_insertion_is_noticed(inserted, broken):
    with pytest.raises(AssertionError):
        assert_inserted(inserted[0][0], **broken)


def test_analysis_in_place_of_the_background_is_noticed(inserted):
    """The twin: stored after the update."""
    data = inserted[0][0].data.load()
    for called in NAMES.values():
        data[called] = data[called] + data[f"{called}_inc"]
    with pytest.raises(AssertionError):
        assert_inserted(increment.Increments(inserted[0][0].path, data, inserted[0][0].info))


def test_a_cycle_adds_a_part(tmp_path):
    data, printed = assimilate(tmp_path, namassim={"cn_method": "cycle", "rn_gain": 0.5})
    assert_inserted(data, gain=0.5)
    assert data.info["gain"] == 0.5 and data.info["update"] == "direct"
    assert "background error" in printed and "analysis error" in printed


def test_fields_that_are_not_named_are_not_changed(tmp_path):
    data, _ = assimilate(tmp_path, namassim={"cn_fields": ["h", "t"]})
    assert set(data.fields) == {"h", "sst"}
    drift = data.background("u").values[:, 0, 2, 2] - small.state(0)["u"][0, 2, 2]
    np.testing.assert_allclose(drift, 0.01 * np.arange(1, 6), atol=1e-6)


def test_first_windows_can_be_left_out(tmp_path):
    data, printed = assimilate(tmp_path, namassim={"nn_drop": 3})
    np.testing.assert_allclose(data.times, small.FIRST + small.WINDOW * np.array([4, 5]))
    assert "2 windows of 5 days" in printed


def test_archive_keeps_nemo_s_files(inserted):
    folder = inserted[1]
    names = sorted(path.name for path in (folder / "archive").iterdir())
    assert len(names) == 10 and not list(folder.glob("assim_*")) and not list(folder.rglob("*.part"))
    with netCDF4.Dataset(increments_file(folder / "archive", 270)) as file:
        assert float(file["z_inc_dateb"][...]) == 20111.0 and float(file["z_inc_datef"][...]) == 20116.0
        assert file["bckinthk"].dimensions == ("time_counter", "deptht", "y", "x") and file["bckint"].units == "degC"


def test_without_archive_no_file_of_the_cycle_stays(tmp_path):
    assimilate(tmp_path)
    assert not list((tmp_path / "run").glob("assim_*"))


def test_provenance_names_what_it_was_made_with(inserted):
    facts = json.loads(inserted[0][0].data.attrs["provenance"])
    assert set(facts["sha256"]) == {"executable", "namelist", "start"}
    assert facts["truth"]["data"] == "truth.zarr" and facts["truth"]["sha256"] == {"truth": "0" * 64}
    assert facts["switches"]["rn_window"] == small.WINDOW


def test_the_run_begins_on_the_truth_s_day(inserted):
    text = (inserted[1] / "namelist_cfg").read_text()
    assert "nn_date0 = 20106" in text and "nn_itend = 675" in text


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong


def refused(tmp_path, words, **given):
    """The experiment ends with these words, and leaves no data set."""
    begin = time.monotonic()
    with pytest.raises(HaloclineError) as error:
        assimilate(tmp_path, **given)
    assert time.monotonic() - begin < 30
    for word in words:
        assert word in str(error.value), str(error.value)
    assert not list(tmp_path.rglob("increments.zarr*"))


def test_a_dead_ocean_ends_the_experiment_with_its_message(tmp_path):
    refused(tmp_path, ["layer 1 outcrops", "exit code 3", "00000270"], faults={"die": 2})


def test_a_background_of_another_step_is_refused(tmp_path):
    refused(tmp_path, ["is of step 136", "step 135"], faults={"shift": 1})


def test_a_truth_that_is_too_short_is_refused(tmp_path):
    refused(tmp_path, ["too short", "5 windows", "9 are asked"], namassim={"nn_windows": 9})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"namusr_def": {"nn_nx": 9}}, ["8 x 7 cells", "11 x 7"]),
        ({"namusr_def": {"rn_dx": 20000.0}}, ["rn_dx = 40000", "20000"]),
        ({"namusr_def": {"rn_gred": [0.01, 0.008]}}, ["rn_gred", "0.01"]),
        ({"namrun": {"nn_leapy": 0}}, ["360_day", "nn_leapy = 0"]),
        ({"namassim": {"rn_window": 432001.0}}, ["whole number", "rn_window"]),
        ({"namassim": {"rn_window": 86400.0}}, ["no state at the analysis of window 1", "5 days apart"]),
        ({"namassim": {"nn_drop": 5}}, ["all 5 windows"]),
        ({"namassim": {"cn_fields": ["u", "salt"]}}, ["'salt'", "cn_fields"]),
        ({"namassim": {"cn_method": "enoi"}}, ["cn_ensemble"]),
        ({"namassim": {"cn_method": "enoi", "cn_ensemble": "nowhere"}}, ["no run nowhere", "(&namassim, cn_ensemble)"]),
        ({"namassim": {"rn_gain": 0.5}}, ["rn_gain = 0.5 is for", "'cycle'"]),
    ],
    ids=[
        *("size", "width", "gravity", "calendar", "steps", "no record", "all dropped", "field"),
        *("no ensemble", "lost ensemble", "gain"),
    ],
)
def test_truth_and_ocean_must_fit(tmp_path, changes, words):
    refused(tmp_path, words, **changes)


def test_a_truth_that_begins_within_a_day_is_refused(tmp_path):
    truth = small.write_truth(tmp_path / "truth.zarr", first=small.FIRST + 3600.0)
    refused(tmp_path, ["midnight"], truth=truth)


def test_what_is_no_truth_is_refused_with_its_line(tmp_path, inserted):
    """Neither a folder that is not there, nor backgrounds of a model beside increments."""
    refused(tmp_path, ["is no data set", "cn_truth"], truth=tmp_path / "none.zarr")
    refused(tmp_path, ["data set of increments", "cn_truth"], truth=inserted[0][0].path)


# ---------------------------------------------------------------------------------------------------------------------
# Sparse observations, and how a job ends


def observing(tmp_path, **changes):
    """Groups for 'enoi' with an ensemble of the truth's own states."""
    states = small.write_truth(tmp_path / "states.zarr", records=30)
    switches = {"cn_method": "enoi", "cn_ensemble": str(states), "nn_ensemble": 20, "nn_apart": 1, "rn_localise": 1e6}
    return {"namassim": switches | {"nn_track": 4, "nn_sst": 1, "nn_profiles": 5} | changes}


def error(data, name, part):
    """Error of the background (0) or analysis (1), less its mean over the basin, in which the ensemble has no members."""
    states = data.data[name].values + part * data.data[f"{name}_inc"].values
    key = "t" if name == "sst" else name
    truth = np.stack([small.state(record + 1)[key] for record in range(len(states))])
    off = (states.reshape(truth.shape) - truth)[..., 1:-1, 1:-1]
    return float(np.std(off - off.mean((-2, -1), keepdims=True)))


def test_observing_nothing_is_refused(tmp_path):
    refused(tmp_path, ["nothing is observed", "nn_track"], **observing(tmp_path, nn_track=0, nn_sst=0, nn_profiles=0))


def test_sparse_observations_bring_the_ocean_nearer_to_the_truth(tmp_path):
    truth = small.write_truth(tmp_path / "truth.zarr", records=16)
    data, printed = assimilate(tmp_path, truth=truth, **observing(tmp_path))
    for name in ("h", "sst"):
        assert error(data, name, 1) < 0.8 * error(data, name, 0)
    folder = tmp_path / "run"
    lines = (folder / "obs_statistics.csv").read_text().splitlines()
    assert lines[0].startswith("window,type,units,number,innovation_mean") and len(lines) == 1 + 3 * 15
    numbers = json.loads((folder / "obs_statistics.json").read_text())
    assert set(numbers) == {"ssh", "sst", "h"} and len(numbers["sst"]["ranks"]) == 21
    assert sum(numbers["sst"]["ranks"]) == numbers["sst"]["number"] == 15 * 30
    assert (folder / "obs_statistics.png").stat().st_size > 10000
    assert "innovation std" in printed and "expected" in printed
    groups = observing(tmp_path, nn_drop=5)
    assimilate(tmp_path, truth=truth, **groups)
    assert json.loads((folder / "obs_statistics.json").read_text())["sst"]["number"] == 10 * 30
    assert (folder / "obs_statistics.csv").read_text().splitlines() == lines


def test_the_twin_without_increments_stays_away(tmp_path):
    """The twin: observations whose errors are as large as to say nothing."""
    truth = small.write_truth(tmp_path / "truth.zarr", records=16)
    blind = {"rn_ssh_std": 1e4, "rn_sst_std": 1e4, "rn_profile_std": 1e6}
    data, _ = assimilate(tmp_path, truth=truth, **observing(tmp_path, **blind))
    with pytest.raises(AssertionError):
        assert error(data, "sst", 1) < 0.8 * error(data, "sst", 0)


def test_an_analysis_that_fails_ends_the_ocean(tmp_path, monkeypatch):
    def fail(*_):
        raise HaloclineError("no analysis today")

    monkeypatch.setattr("models.assimilation.analysis.Insertion.increments", fail)
    refused(tmp_path, ["no analysis today"])
    assert not left(tmp_path, 10.0)


def test_sigterm_ends_the_ocean(tmp_path):
    """The command is ended while its ocean hangs: nothing of it stays."""
    cfg = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    ocean = small.fake_ocean(tmp_path / "bin", hang=1)
    words = ["assimilate", str(cfg), "--rundir", str(tmp_path / "run"), "--ocean", str(ocean)]
    process = subprocess.Popen([sys.executable, "-m", "coupler.cli", *words], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not running(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not left(tmp_path, 10.0) and not list(tmp_path.rglob("increments.zarr*"))


def running(folder):
    """Processes whose working folder is the run's."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder / "run":
                found.append(link.parent.name)
    return found


def left(folder, limit):
    """Processes of the run, when there is none any more or `limit` [s] are over."""
    until = time.monotonic() + limit
    while (found := running(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    return found
