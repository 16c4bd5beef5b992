"""cn_mode = 'rollout_nograd' with the reference ocean: a drag that it lacks is learnt from where its coupled run gets to."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from rich.console import Console

from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from models.data import ocean, store
from models.rollout import log, loop
from models.rollout.learner import Buffer, Learner
from models.rollout.versions import Versions
from models.rollout.weights import Window
from models.settings import NamRollout
from models.training import checkpoint, fit
from models.training.history import Scalars
from tests.assimilation.small import TIME
from tests.conftest import end_session
from tests.data.tiny import over, text
from tests.training import synthetic

WINDOW, STEPS, SPINUP, RECORDS = 86400.0, 27, 30, 45
DRAG, LACKED = 2e-8, 2e-6  # s-1 in both layers of the ocean, and what it lacks
MODEL = {
    "namrun": {"cn_exp": "ROLL", "nn_stat": 0, "nn_write": 0},
    "namusr_def": {"nn_nx": 12, "nn_ny": 12, "rn_dx": 40000.0, "rn_pert": 20.0},
    "namdom": {"rn_dt": 3200.0},
    "namdrg": {"rn_drg": [DRAG, DRAG]},
}
STATE = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "sst": "sosstsst"}
TRAIN = {
    "namsplit": {"rn_train": 0.7, "rn_val": 0.15, "rn_test": 0.15, "rn_gap": 2.0},
    "namtrain": {
        "cn_name": "drag", "cn_mode": "rollout_nograd", "nn_width": 8, "nn_kernels": [3, 1], "nn_batch": 8, "nn_threads": 1,
        "rn_lr": 1e-2, "rn_noise": 0.0, "rn_clip_grad": 1.0, "cn_formats": ["onnx"],
    },
    "namrollout": {"rn_window": WINDOW, "nn_windows": 40, "nn_buffer": 60, "nn_steps": 8, "nn_swap": 4, "rn_clip": 0.0},
}  # fmt: skip
COUPLED = {"namrun": {"ln_cpl": True}, "namcpl": {"nn_wire": 64, "rn_timeout": 60.0}}
EXCHANGES = [
    {"cn_name": "geometry", "cn_dir": "to_coupler", "cn_fields": ["tmask", "umask", "vmask"], "ln_static": True},
    {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v", "h"], "rn_period": 9600.0},
    {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"], "rn_period": 9600.0},
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Daily states of the ocean with the drag, after a spin-up, as `halocline coarsen` writes them; du, dv: the drag."""
    folder = tmp_path_factory.mktemp("truth")
    run = {"nn_itend": STEPS * (SPINUP + RECORDS), "nn_write": STEPS}
    changes = {
        "namrun": run,
        "namdia": {"ln_mean": False, "ln_dia_r8": True},
        "namdrg": {"rn_drg": [DRAG + LACKED, DRAG + LACKED]},
    }
    ocean.run(ocean.executable("double"), folder, text(over(MODEL, changes)))
    with (
        xr.open_dataset(next(folder.glob("*inst.nc")), decode_times=False) as file,
        xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh,
    ):
        states = {name: np.nan_to_num(file[called].values)[SPINUP:] for name, called in STATE.items()}
        static = {
            f"{point}mask": (("k", "y", "x"), mesh[f"{point}mask"].values.reshape(2, 14, 14).astype("f4"), {})
            for point in "tuvf"
        }
        static |= {
            name: (("y", "x"), mesh[name].values.reshape(14, 14).astype("f4"), {})
            for name in ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")
        }
    wet = {"u": "umask", "v": "vmask", "h": "tmask"}
    states = {
        name: values * (static[wet[name]][1] if name in wet else static["tmask"][1][0])
        for name, values in states.items()
    }
    states |= {"du": -LACKED * states["u"], "dv": -LACKED * states["v"]}
    with store.Writer(folder / "truth.zarr", TIME, static, {}) as writer:
        writer.append(WINDOW * np.arange(SPINUP + 1, SPINUP + RECORDS + 1), states)
    return folder / "truth.zarr"


def configured(folder, truth, **changes):
    """A CFG that trains beside the ocean that it describes itself."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = over(over(over(MODEL, COUPLED), TRAIN), {"namtrain": {"cn_data": str(truth)}})
    groups = over(groups, {"namrollout": {"cn_ocean": str(folder), "cn_exe": str(ocean.executable("double"))}})
    groups["namnet"] = {"cn_name": "closure", "cn_artefact": "none.onnx"}
    groups = over(groups, changes)
    exchanges = "".join(text({"namexc": exchange}) for exchange in EXCHANGES)
    (folder / "namelist_cfg").write_text(text(groups) + exchanges)
    return folder


def trained(folder, truth, **changes):
    """The lines of a training's log, and its folder."""
    out = fit.fit(configured(folder / "cfg", truth, **changes), folder / "out", console=Console(file=io.StringIO()))
    return log.read(out), out


def errors(lines):
    """Error at the window's end: of the first version, and of the last quarter of the windows."""
    windows = [line for line in lines if line["event"] == "window"]
    fresh = [line["error"] for line in windows if line["version"] == 0]
    return float(np.mean(fresh)), float(np.mean([line["error"] for line in windows[-len(windows) // 4 :]]))


@pytest.fixture(scope="module")
def learnt(truth, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("learnt"), truth)


@pytest.mark.mpi
def test_a_drag_that_the_ocean_lacks_is_learnt_where_it_gets_to(learnt):
    """The targets of the data set give the scale alone; the drag of the upper layer is found again in the network's answers.

    Not that of the lower one, whose flow is ten times weaker: what the upper one does to it in a window is larger.
    """
    lines, out = learnt
    before, after = errors(lines)
    assert after < 0.1 * before
    scores = json.loads((out / "scores.json").read_text())["test"]
    assert min(one["r2_zero"] for one in scores if one["output"] in ("du1", "dv1")) > 0.8


@pytest.mark.mpi
def test_versions_are_numbered_and_taken_by_the_running_ocean(learnt):
    """One ocean, from the first step to the last; each version is taken at the first exchange after it was made."""
    lines, out = learnt
    versions = [line for line in lines if line["event"] == "version"]
    assert [line["version"] for line in versions] == list(range(1, len(versions) + 1))
    assert sum(line["event"] == "start" for line in lines) == 1
    swaps = [json.loads(line) for line in (out / "ocean" / "halocline.swap.jsonl").read_text().splitlines()]
    wanted = [(str(line["version"]), line["sha256"], line["kt"] + 1) for line in versions[:-1]]
    assert [(one["version"], one["sha256"], one["kt"]) for one in swaps] == wanted
    ran = {line["window"]: line["version"] for line in lines if line["event"] == "window"}
    assert all(version == (window - 1) // 4 for window, version in ran.items())


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("broken", ["no correction", "no own answer"])
def test_a_broken_target_does_not_learn_it(learnt, truth, tmp_path, monkeypatch, broken):
    """Targets without the correction stay where they are; without the own answer they forget what has been learnt."""
    changes = {"namrollout": {"rn_correct": 0.0}} if broken == "no correction" else {}
    if broken == "no own answer":
        monkeypatch.setattr(Learner, "answer", nothing)
    lines, _ = trained(tmp_path, truth, **changes)
    with pytest.raises(AssertionError):
        assert errors(lines)[1] < 0.1 * errors(learnt[0])[0]


def nothing(self, inputs):
    """In place of the running network's answer."""
    return torch.zeros(len(inputs), 1, 1, 1)


def left(correct=1.0, swap=4):
    """A stand-in for the ocean: each window lacks the data set's target less what the running network answers. The part of its
    energy that is left in the last eight of 32 windows. swap: windows after which the new weights run.
    """
    train, parts = synthetic.switches(rn_noise=0.0, rn_lr=1e-2, nn_batch=8)
    setup = fit.prepare(train, parts, {"data": synthetic.dataset(states=30)})
    learner = Learner(setup, NamRollout(nn_buffer=60, rn_clip=0.0, rn_correct=correct), 32)
    samples, sizes = setup.samples, []
    for number in range(1, 33):
        inputs, wanted = (part[samples.train[number % len(samples.train)]] for part in (samples.inputs, samples.target))
        with torch.no_grad():
            lacked = torch.where(samples.wet, wanted - learner.running(learner.padding(inputs[None]))[0], 0.0)
        sizes.append(float(lacked.square().sum() / wanted.square().sum()))
        state = dict(zip("uvh", (part.numpy() for part in inputs.split(2)), strict=True))
        error = dict(zip("uv", ((WINDOW * part).numpy() for part in lacked.split(2)), strict=True))
        learner.visit(Window(number, state, state, error, WINDOW))
        if number % swap == 0:
            learner.release()
    return float(np.mean(sizes[-8:]))


def test_what_is_lacked_goes_to_zero(monkeypatch):
    """Not with targets that lack the running network's own answer, nor without the correction, nor with weights that never run."""
    assert left() < 0.1
    assert left(correct=0.0) > 0.9 and left(swap=100) > 0.9
    monkeypatch.setattr(Learner, "answer", nothing)
    assert left() > 0.2


@pytest.mark.parametrize("swapped", [{"sha256": "old", "kt": 109}, {"sha256": "new", "kt": 112}, None])
def test_weights_that_were_not_swapped_are_seen(tmp_path, swapped):
    """Another version, a later exchange, and none at all."""
    plan, version = SimpleNamespace(steps=STEPS), SimpleNamespace(number=1, sha256="new")
    run, path = SimpleNamespace(ocean=tmp_path, plan=plan, version=version), tmp_path / "halocline.swap.jsonl"
    path.write_text(json.dumps({"sha256": "new", "kt": 4 * STEPS + 1}) + "\n")
    loop.Rollout.taken(run, 5)
    path.write_text(json.dumps(swapped) + "\n" if swapped else "")
    with pytest.raises(HaloclineError, match="has not taken version 1 at step 109"):
        loop.Rollout.taken(run, 5)


@pytest.mark.mpi
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_training_that_was_ended_goes_on_to_the_same_weights(learnt, truth, tmp_path, number):
    """The ocean goes on from its restart, with the version that ran; the windows since then are run again."""
    cfg = configured(tmp_path / "cfg", truth)
    process = subprocess.Popen(
        [sys.executable, "-m", "coupler.cli", "train", str(cfg), "--rundir", "out"], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    )  # fmt: skip
    until = time.monotonic() + 240
    try:
        while not any(line["window"] >= 14 for line in log.read(tmp_path / "out")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=120)[0].decode() if number != signal.SIGKILL else ""
    finally:
        process.kill()
        end_session(process)
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert "interrupted in window" in said and "The same command goes on from the last version" in said
    fit.fit(cfg, tmp_path / "out", console=Console(file=io.StringIO()))
    lines, whole = log.read(tmp_path / "out"), learnt[0]
    starts = [line["window"] for line in lines if line["event"] == "start"]
    assert len(starts) == 2 and starts[0] == 0 and starts[1] >= 12 and starts[1] % 4 == 0
    plain = [
        [{key: value for key, value in line.items() if key != "time"} for line in some if line["event"] != "start"]
        for some in (lines, whole)
    ]
    assert plain[0] == plain[1]
    again, once = (checkpoint.weights(folder / checkpoint.LAST) for folder in (tmp_path / "out", learnt[1]))
    assert all(torch.equal(again[name], once[name]) for name in once)
    assert (tmp_path / "out" / "drag.onnx").read_bytes() == (learnt[1] / "drag.onnx").read_bytes()


def test_tensorboard_hides_what_a_killed_training_wrote(tmp_path):
    """Windows from the one that is run again on; without that they are there twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def shown(folder, first):
        for start, value in ((1, 1.0), (first, 2.0)):
            board = Scalars(folder, start)
            for step in range(start, 5):
                board(step, error=value)
            board.close()
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        return [(event.step, event.value) for event in events.Scalars("error")]

    assert shown(tmp_path, 3) == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_a_version_holds_the_weights_of_its_moment(tmp_path):
    """Weights put into the traced graph answer as the network does; two that changed places are refused by the self-test."""
    train, parts = synthetic.switches(nn_kernels=[3, 3, 3, 3])
    setup = fit.prepare(train, parts, {"data": synthetic.dataset(states=30)})
    versions = Versions(setup.network, train, setup.statistics, {"data": "none"})
    for number in (1, 2):
        with torch.no_grad():
            for weight in setup.network.parameters():
                weight.add_(0.1 * number)
        made = versions.write(setup.network, number, tmp_path)
        content = made.path.read_bytes()
        engine = OnnxEngine(content, made.path)
        self_test(engine)
        assert (engine.contract.version, hashlib.sha256(content).hexdigest()) == (str(number), made.sha256)
    names = [name for name, _ in setup.network.named_parameters()]
    places = versions.places
    one, other = next(
        (a, b) for a in names for b in names if a < b and same_shape(setup.network, a, b) and "weight" in a
    )
    places[one], places[other] = places[other], places[one]
    with torch.no_grad():
        dict(setup.network.named_parameters())[one].mul_(-2.0)
    path = versions.write(setup.network, 3, tmp_path).path
    with pytest.raises(HaloclineError, match="self-test"):
        self_test(OnnxEngine(path.read_bytes(), path))


def same_shape(network, one, other):
    weights = dict(network.named_parameters())
    return weights[one].shape == weights[other].shape


def test_the_buffer_keeps_the_newest():
    buffer = Buffer(4)
    for n in range(3):
        buffer.add(torch.full((2, 1, 1, 1), float(n)), torch.full((2, 1, 1, 1), -float(n)))
    assert [float(x) for x in buffer.inputs] == [1, 1, 2, 2] and [float(y) for y in buffer.target] == [-1, -1, -2, -2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"namrollout": {"cn_ocean": ""}}, "cn_ocean is empty"),
        ({"namrollout": {"cn_network": "other"}}, "Name the &namnet"),
        ({"namrollout": {"rn_window": 86401.0}}, "whole number"),
        ({"namrollout": {"rn_window": 12800.0}}, "no multiple of rn_period"),
        ({"namrollout": {"cn_truth": "nowhere.zarr"}}, "none of the data sets"),
        ({"namrollout": {"cn_fields": ["w"]}}, "Allowed: 'u'"),
        ({"namtrain": {"cn_loss": "nll", "cn_family": "gz21"}}, "Train them offline"),
    ],
)
def test_what_cannot_run_is_refused_before_the_ocean_starts(truth, tmp_path, change, words):
    with pytest.raises(HaloclineError, match=words):
        trained(tmp_path, truth, **change)
    assert not (tmp_path / "out" / "ocean").exists()
