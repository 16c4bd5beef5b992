"""cn_mode = 'rollout_nograd' with the reference ocean: a drag that it lacks is learnt from where its coupled run gets to."""

import hashlib
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from models.rollout import loop
from models.rollout.learner import Buffer, Learner
from models.rollout.versions import Versions
from models.rollout.weights import Window
from models.settings import NamRollout
from models.training.history import Scalars
from models.training.setup import prepare
from tests.training import box, synthetic


@pytest.fixture(scope="module")
def learnt(truth, tmp_path_factory):
    return box.trained(tmp_path_factory.mktemp("learnt"), truth, box.ROLLOUT)


@pytest.mark.mpi
def test_a_drag_that_the_ocean_lacks_is_learnt_where_it_gets_to(learnt):
    """The targets of the data set give the scale alone; the drag of the upper layer is found again in the network's answers.

    Not that of the lower one, whose flow is ten times weaker: what the upper one does to it in a window is larger.
    """
    lines, out = learnt
    before, after = box.errors(lines)
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
    lines, _ = box.trained(tmp_path, truth, box.ROLLOUT, **changes)
    with pytest.raises(AssertionError):
        assert box.errors(lines)[1] < 0.1 * box.errors(learnt[0])[0]


def nothing(self, inputs):
    """In place of the running network's answer."""
    return torch.zeros(len(inputs), 1, 1, 1)


def left(correct=1.0, swap=4):
    """A stand-in for the ocean: each window lacks the data set's target less what the running network answers. The part of its
    energy that is left in the last eight of 32 windows. swap: windows after which the new weights run.
    """
    train, parts = synthetic.switches(rn_noise=0.0, rn_lr=1e-2, nn_batch=8)
    setup = prepare(train, parts, {"data": synthetic.dataset(states=30)})
    learner = Learner(setup, NamRollout(nn_buffer=60, rn_clip=0.0, rn_correct=correct), 32)
    samples, sizes = setup.samples, []
    for number in range(1, 33):
        inputs, wanted = (part[samples.train[number % len(samples.train)]] for part in (samples.inputs, samples.target))
        with torch.no_grad():
            lacked = torch.where(samples.wet, wanted - learner.running(learner.padding(inputs[None]))[0], 0.0)
        sizes.append(float(lacked.square().sum() / wanted.square().sum()))
        state = dict(zip("uvh", (part.numpy() for part in inputs.split(2)), strict=True))
        error = dict(zip("uv", ((box.WINDOW * part).numpy() for part in lacked.split(2)), strict=True))
        learner.visit(Window(number, state, state, error, box.WINDOW))
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
    plan, version = SimpleNamespace(steps=box.STEPS), SimpleNamespace(number=1, sha256="new")
    run, path = SimpleNamespace(ocean=tmp_path, plan=plan, version=version), tmp_path / "halocline.swap.jsonl"
    path.write_text(json.dumps({"sha256": "new", "kt": 4 * box.STEPS + 1}) + "\n")
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
    cfg, out = box.configured(tmp_path / "cfg", truth, box.ROLLOUT), tmp_path / "out"
    said = box.ended(cfg, out, window=14, number=number)
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert "interrupted in window" in said and "The same command goes on from the last version" in said
        cause = {signal.SIGINT: "KeyboardInterrupt", signal.SIGTERM: 128 + signal.SIGTERM}[number]
        assert (out / "ocean" / "halocline.abort").read_text() == f"the training has ended: {cause}\n"
    box.go_on(cfg, out)
    box.assert_same_training(out, learnt, window=14)


@pytest.mark.slow
@pytest.mark.mpi
def test_a_training_that_forgets_goes_on_to_others(learnt, truth, tmp_path):
    """The broken twin of the one above: without what the optimiser has summed up."""
    cfg, out = box.configured(tmp_path / "cfg", truth, box.ROLLOUT), tmp_path / "out"
    box.ended(cfg, out, window=14)
    forgetful = box.forgetful(out)
    box.go_on(cfg, forgetful)
    with pytest.raises(AssertionError, match="another course"):
        box.assert_same_training(forgetful, learnt, window=14)


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
    setup = prepare(train, parts, {"data": synthetic.dataset(states=30)})
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
        box.trained(tmp_path, truth, box.ROLLOUT, **change)
    assert not (tmp_path / "out" / "ocean").exists()
