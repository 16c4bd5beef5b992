"""cn_mode = 'adjoint_approx': the gradient along recorded trajectories, by hand and in a training beside the reference ocean."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coupler import settings as coupling
from coupler.errors import HaloclineError
from models.rollout import adjoint, trajectory
from models.rollout.adjoint import Adjoint
from models.rollout.propagator import Damped
from models.settings import NamAdjoint
from models.training import checkpoint
from models.training.samples import Channel
from tests.data.tiny import text
from tests.training import box

# ---------------------------------------------------------------------------------------------------------------------
# By hand: N(x) = theta A x and P(x, f) = d x + s f, so that d x(c + 1) = (d + s theta A) d x(c) + s A x(c) d theta

THETA, DECAY, SECONDS, CALLS = 0.3, 0.9, 0.7, 7
CHANNELS = [Channel("u", "U", level, 2) for level in range(2)]
OUTPUTS = [Channel("du", "U", level, 2) for level in range(2)]


class Turned(torch.nn.Module):
    """N(x) = theta A x, where A shifts by a cell and takes half of the other layer."""

    def __init__(self):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(THETA, dtype=torch.float64))

    @staticmethod
    def matrix(x):
        return x.roll(1, -1) + 0.5 * x.flip(1)

    def forward(self, x):
        return self.theta * self.matrix(x)


def toy(cut=0, theta=THETA):
    """An Adjoint of that network, with trajectories of 2 windows that P and N did not make."""
    learner = object.__new__(Adjoint)
    wet = torch.ones(2, 3, 4, dtype=torch.bool)
    learner.network, learner.padding = Turned(), lambda x: x
    learner.setup = SimpleNamespace(samples=SimpleNamespace(wet=wet, wet_inputs=wet))
    learner.propagator, learner.adjoint = Damped(CHANNELS, OUTPUTS, SECONDS, DECAY), NamAdjoint(nn_cut=cut)
    states = torch.randn(2, CALLS + 1, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return learner, states, theta * Turned.matrix(states[:, :-1].flatten(0, 1)).unflatten(0, (2, CALLS))


def gradient(learner, states, answers):
    """Of the sum over the windows of |x_hat(end)|^2 / 2."""
    end, _ = learner.end(states, answers)
    return float(torch.autograd.grad(0.5 * end.square().sum(), learner.network.theta)[0])


def by_hand(states, calls=CALLS, state=True):
    """The adjoint, backwards. state: N sees what it did to the state."""
    passed, found = states[:, -1].clone(), 0.0
    for call in reversed(range(CALLS - calls, CALLS)):
        found += SECONDS * float((passed * Turned.matrix(states[:, call])).sum())
        back = passed.roll(-1, -1) + 0.5 * passed.flip(1)  # the transpose of A
        passed = DECAY * passed + (SECONDS * THETA * back if state else 0.0)
    return found


@pytest.mark.parametrize("kept", [adjoint.KEPT, 1], ids=["whole", "in segments"])
@pytest.mark.parametrize("cut", [0, 3])
def test_the_gradient_is_that_of_the_adjoint_by_hand(monkeypatch, kept, cut):
    """And not that of a network which does not feel what it did to the state."""
    monkeypatch.setattr(adjoint, "KEPT", kept)
    learner, states, answers = toy(cut)
    wanted = by_hand(states, cut or CALLS)
    assert gradient(learner, states, answers) == pytest.approx(wanted, rel=1e-12)
    assert by_hand(states, cut or CALLS, state=False) != pytest.approx(wanted, rel=0.05)
    assert not cut or by_hand(states) != pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("where", ["padding", "propagator"])
def test_a_detached_state_gives_another_gradient(where):
    learner, states, answers = toy()
    wanted, whole = by_hand(states), getattr(learner, where)
    detached = {"padding": lambda x: whole(x.detach()), "propagator": lambda x, f: whole(x.detach(), f)}
    setattr(learner, where, detached[where])
    assert gradient(learner, states, answers) != pytest.approx(wanted, rel=0.05)


def test_values_in_the_graph_are_the_recorded_ones():
    """To the last bit, at every call: the ocean's states, which P and N alone would not have made."""
    learner, states, answers = toy()
    seen = []
    learner.padding = lambda x: seen.append(x.detach().clone()) or x
    end, missed = learner.end(states, answers)
    assert all(torch.equal(x, states[:, call]) for call, x in enumerate(seen)) and len(seen) == CALLS
    assert torch.equal(end, states[:, -1]) and end.requires_grad and float(missed.max()) < 1e-30
    free = learner.propagator(states[:, 0], answers[:, 0])
    assert not torch.allclose(free, states[:, 1], atol=0.1)


def test_single_states_beside_the_windows_have_their_weight():
    """rn_offline times their loss, drawn by the version; without it there is none."""
    found = {}
    for weight in (0.0, 0.5):
        learner, states, answers = toy()
        learner.adjoint = NamAdjoint(rn_offline=weight)
        learner.anchor = (lambda network, epoch, number: 10.0 * number + network.theta) if weight else None
        learner.order, learner.loss = [0, 1], lambda end, truth: (end - truth).square().mean(dim=(1, 2, 3))
        learner.batch = [(x, f, torch.zeros_like(x[-1])) for x, f in zip(states, answers, strict=True)]
        learner.step = lambda loss, weight=weight: found.setdefault(weight, float(loss.detach()))
        learner.learn(3)
    assert found[0.5] == pytest.approx(found[0.0] + 0.5 * (30 + THETA), rel=1e-12)


def test_the_gradient_goes_only_through_what_is_driven():
    """A force on u reaches v or h by no way; a damped state keeps its share."""
    channels = [*CHANNELS, Channel("h", "T", 0, 1)]
    x, f = torch.ones(1, 3, 2, 2, requires_grad=True), torch.ones(1, 2, 2, 2, requires_grad=True)
    moved = Damped(channels, OUTPUTS, SECONDS, DECAY)(x, f)
    back_x, back_f = torch.autograd.grad(moved[:, :2].sum() + 10 * moved[:, 2].sum(), (x, f))
    assert torch.allclose(back_x[0, :, 0, 0], torch.tensor([DECAY, DECAY, 10 * DECAY]))
    assert torch.allclose(back_f, torch.full_like(f, SECONDS))


# ---------------------------------------------------------------------------------------------------------------------
# Beside the ocean: the drag that it lacks (box.py)


def trained(folder, truth, **changes):
    return box.trained(folder, truth, box.ADJOINT, **changes)


@pytest.fixture(scope="module")
def learnt(truth, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("along"), truth)


@pytest.mark.mpi
def test_a_drag_that_the_ocean_lacks_is_learnt_along_its_trajectories(learnt):
    lines, out = learnt
    before, after = box.errors(lines)
    assert after < 0.3 * before
    assert not list((out / "ocean").glob("record*")), "recordings that have been read go"


@pytest.mark.mpi
def test_the_gradient_is_taken_where_the_ocean_ran(learnt):
    """The recorded answers are those of the network that is trained, to rounding; each version had two windows."""
    lines, _ = learnt
    versions = [line for line in lines if line["event"] == "version"]
    assert len(versions) == 12 and all(line["apart"] < 1e-5 and np.isfinite(line["gradient"]) for line in versions)
    ran = {line["window"]: line["version"] for line in lines if line["event"] == "window"}
    assert all(version == (window - 1) // 2 for window, version in ran.items())


@pytest.mark.mpi
def test_answers_of_another_version_are_refused(truth, tmp_path, monkeypatch):
    """The broken twin: the averaged weights run in the ocean, the gradient is that of the last ones."""
    monkeypatch.setattr(Adjoint, "release", lambda self: self.running.load_state_dict(self.average.state_dict()))
    with pytest.raises(HaloclineError, match="differ from those of version 1"):
        trained(tmp_path, truth, namtrain={"rn_ema": 0.9}, namrollout={"nn_windows": 6})
    assert "the training has ended" in (tmp_path / "out" / "ocean" / "halocline.abort").read_text()


@pytest.mark.mpi
@pytest.mark.slow
def test_the_averaged_weights_are_exported(truth, tmp_path):
    """With rn_ema the ocean runs the last weights, and the artefact holds their mean."""
    _, out = trained(tmp_path, truth, namtrain={"rn_ema": 0.9}, namrollout={"nn_windows": 6})
    kept = checkpoint.read(out / checkpoint.LAST)
    average, last = kept["rollout"]["average"], kept["rollout"]["network"]
    exported = checkpoint.weights(out / checkpoint.LAST)
    assert all(torch.equal(exported[name], average[name]) for name in average)
    assert any(not torch.equal(exported[name], last[name]) for name in last)


@pytest.mark.mpi
@pytest.mark.slow
def test_a_force_of_the_wrong_sign_does_not_learn_it(learnt, truth, tmp_path, monkeypatch):
    plain = Damped.__call__
    monkeypatch.setattr(Damped, "__call__", lambda self, x, f: plain(self, x, -f))
    with pytest.raises((AssertionError, HaloclineError)):
        lines, _ = trained(tmp_path, truth)
        assert box.errors(lines)[1] < 0.3 * box.errors(learnt[0])[0]


@pytest.mark.mpi
@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(learnt, truth, tmp_path):
    """Killed at any moment, it goes on from its last version; the broken twin has forgotten the optimiser's sums."""
    cfg, out = box.configured(tmp_path / "cfg", truth, box.ADJOINT), tmp_path / "out"
    box.ended(cfg, out, window=13)
    forgetful = box.forgetful(out)
    for one in (out, forgetful):
        box.go_on(cfg, one)
    box.assert_same_training(out, learnt, window=13)
    with pytest.raises(AssertionError, match="another course"):
        box.assert_same_training(forgetful, learnt, window=13)


@pytest.mark.mpi
@pytest.mark.slow
def test_an_ocean_that_blows_up_ends_in_words(truth, tmp_path):
    """What went wrong where, and no traceback; the ocean is not left waiting."""
    with pytest.raises(HaloclineError) as error:
        trained(tmp_path, truth, namtrain={"rn_lr": 1e3, "rn_clip_grad": 0.0})
    assert "ocean" in str(error.value) and "step" in str(error.value)
    assert (tmp_path / "out" / "ocean" / "halocline.abort").exists()


REFUSED = {
    "correction": ({"namrollout": {"rn_correct": 0.5}}, "rn_correct = 0.5 is a switch of another cn_mode"),
    "noise": ({"namtrain": {"rn_noise": 0.2}}, "rn_noise = 0.2 is a switch of another cn_mode"),
    "batch": ({"namtrain": {"nn_batch": 8}}, "nn_swap is the batch"),
    "huber": ({"namtrain": {"cn_loss": "huber"}}, "by the squared error of states"),
    "augment": ({"namtrain": {"cn_symmetry": "augment"}}, "turns the basin"),
    "inputs": ({"namtrain": {"cn_inputs": ["u", "v"]}}, "cn_inputs lacks 'h'"),
    "loss": ({"namadjoint": {"rn_state": 0.0}}, "no loss is left"),
    "damped emulator": ({"namtrain": {"cn_mode": "emulator"}}, "rn_damp = 43200 is for cn_mode = 'adjoint_approx'"),
    "recipe": ({"namtrain": {"cn_target": "increment", "cn_family": "increment_cnn"}}, "holds tendencies"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_mode_does_not_obey_is_refused_before_the_ocean_starts(truth, tmp_path, name):
    changes, words = REFUSED[name]
    with pytest.raises(HaloclineError, match=words) as error:
        trained(tmp_path, truth, **changes)
    assert "line" in str(error.value) and not (tmp_path / "out" / "ocean").exists()


def test_fields_that_do_not_travel_together_are_refused(tmp_path):
    """State and answer of one call are a pair, whole and of the ocean."""

    def found(exchange=None, cpl=None, **net):
        exchanges = [dict(one) for one in box.EXCHANGES]
        exchanges[2] |= exchange or {}
        groups = text({"namcpl": cpl or {}, "namnet": {"cn_name": "closure", "cn_artefact": "x.onnx", **net}})
        (tmp_path / "namelist_cfg").write_text(groups + "".join(text({"namexc": one}) for one in exchanges))
        settings = coupling.load(tmp_path)
        return trajectory.calls(settings, "closure", ["u", "u", "v", "h"], ["du", "dv"], 86400.0, 3200.0)

    assert found() == trajectory.Calls(9, 9600.0, ("u", "v", "h"), ("du", "dv"))
    with pytest.raises(HaloclineError, match=r"travel every 3200 and every 9600 s.*\n.*rn_period"):
        found({"rn_period": 3200.0})
    with pytest.raises(HaloclineError, match="would not get the answers"):
        found(cpl={"ln_active": False})
    with pytest.raises(HaloclineError, match="in no exchange"):
        found(cn_inputs=["u=other.uu"])
    with pytest.raises(HaloclineError, match="is levels h"):
        found(cn_inputs=["h=h(1:1)"])
