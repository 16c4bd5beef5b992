"""Mistakes in the modes beside the ocean that a training would survive: each property with the twin that lacks it."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from coupler.errors import HaloclineError
from models.eki import card
from models.eki.card import doubts
from models.eki.log import Iteration
from models.eki.members import Ensemble
from models.eki.parameters import prior
from models.emulator import fit as emulation
from models.emulator import record
from models.emulator.network import Emulator
from models.emulator.record import Recorded
from models.rollout import adjoint, loop, ocean
from models.rollout.adjoint import Adjoint
from models.rollout.learner import Learner
from models.rollout.trajectory import Calls
from models.rollout.weights import Window
from models.settings import NamAdjoint, NamEki, NamEmulator, NamRollout, NamTrain
from models.training import fit
from models.training.samples import collect
from tests.training import synthetic
from tests.training.test_adjoint import CALLS, DECAY, SECONDS, THETA, Turned, gradient, toy

SILENT = Console(file=io.StringIO())
SWITCHES = NamEmulator(nn_width=8, nn_kernels=[3, 3], nn_steps=3, nn_batch=4, nn_refit=2)
PERIOD, WINDOW = 9600.0, 86400.0


@pytest.fixture(scope="module")
def samples():
    return collect({"toy": synthetic.dataset(states=30)}, *synthetic.switches())


def setup(**changes):
    train, parts = synthetic.switches(rn_noise=0.0, nn_batch=8, **changes)
    return fit.prepare(train, parts, {"data": synthetic.dataset(states=30)})


# --- the emulator ------------------------------------------------------------------------------------------------------


def test_half_of_a_force_acts_before_the_emulator_and_half_after(samples):
    """E(x + f T/2) + f T/2 of a nonlinear E; all before, all after, and the halves of another time are other states."""
    emulator = Emulator(samples, SWITCHES, PERIOD, seed=1).requires_grad_(False)
    x = samples.inputs[:2] * samples.wet_inputs
    f = 1e-5 * torch.randn(2, 4, *x.shape[-2:], generator=torch.Generator().manual_seed(1))
    push = PERIOD * torch.cat((f, 0 * x[:, 4:]), dim=1) * samples.wet_inputs
    found = emulator(x, f)

    def far(before, after):
        return float((found - emulator(x + before * push) - after * push).abs().max())

    assert far(0.5, 0.5) < 0.01 and min(far(0.0, 1.0), far(1.0, 0.0), far(0.25, 0.25)) > 0.05


def stand_in(samples, states=12):
    """A truth of the samples' states, as a plan has it."""
    wet = samples.wet_inputs.numpy()
    masks = {name: wet[2 * n : 2 * n + 2].astype(float) for n, name in enumerate("uvh")}

    def state(number):
        values = samples.inputs[number].double().numpy()
        return {name: values[2 * n : 2 * n + 2] for n, name in enumerate("uvh")}

    return SimpleNamespace(first=0, count=states, truth=SimpleNamespace(masks=lambda: masks, state=state))


def test_windows_of_a_couple_lie_on_both_sides_of_one_true_state(samples):
    """Their mean is that state; the next couple has another one, and other noise."""
    plan, std = stand_in(samples), record.spread(samples)
    switches = SWITCHES.model_copy(update={"nn_windows": 4, "rn_perturb": 0.5})
    one, other, third = (
        torch.from_numpy(np.concatenate([*record.begin(plan, switches, samples, std, 1, window).values()]))
        for window in (0, 1, 2)
    )
    wet, unit = samples.wet_inputs, std.double()
    first, second = (torch.where(wet, samples.inputs[n].double(), 0.0) for n in (0, plan.count // 2))
    assert torch.allclose(0.5 * (one + other), first, atol=1e-4)
    assert float(((one - other) / unit)[wet].std()) == pytest.approx(1.0, rel=0.2)
    assert not torch.allclose(0.5 * (one + third), first, atol=1e-2)
    assert not torch.allclose((third - second) / unit, (one - first) / unit, atol=1e-2)


def test_the_error_that_is_told_is_that_of_windows_held_out(samples, tmp_path, monkeypatch):
    """On the line and in emulator.ckpt; the windows that it was fitted to, made four times as lively, have another one."""
    x = torch.where(samples.wet_inputs, samples.inputs[:12], 0.0).reshape(2, 2, 3, *samples.inputs.shape[1:])
    middle = x.mean(dim=(0, 1, 2))
    recorded, lines = Recorded(middle + 4 * (x[:1] - middle), x[1:]), []
    monkeypatch.setattr(emulation, "record", lambda *args: recorded)
    plan = SimpleNamespace(calls=Calls(2, PERIOD, ("u", "v", "h"), ("du", "dv")))

    def log(event, **values):
        lines.append((event, values))

    made = emulation.emulated(plan, samples, SWITCHES, 1, tmp_path, log, SILENT).emulator
    held, fitted = (emulation.one_step(made, couples) for couples in (recorded.held, recorded.fitted))
    ((event, values),) = lines
    assert event == "emulator" and values["one_step"] == held and held != fitted


def test_a_refit_changes_the_emulator_and_zero_steps_do_not(samples):
    x = torch.where(samples.wet_inputs, samples.inputs[:9], 0.0)
    recorded = Recorded.of(x[:8].reshape(2, 2, 2, *x.shape[1:]))
    for steps, moves in ((2, True), (0, False)):
        emulator = Emulator(samples, SWITCHES, PERIOD, seed=1)
        emulator.scale(recorded.fitted)
        before = [weight.detach().clone() for weight in emulator.parameters()]
        propagator = emulation.Emulated(emulator, SWITCHES.model_copy(update={"nn_refit": steps}), recorded, seed=1)
        propagator.visited(1, x[:8], torch.zeros(8, 4, *x.shape[-2:]), x[1:])
        assert moves != all(torch.equal(a, b) for a, b in zip(before, emulator.parameters(), strict=True))
        assert not any(weight.requires_grad for weight in emulator.parameters())


# --- the gradient along the ocean's trajectories -----------------------------------------------------------------------

BEND = 0.2  # P(x, f) = d x + b x^2 + s f: its Jacobian d + 2 b x is another one at each state


def bent(states, shift):
    """The adjoint by hand, with the Jacobian at state c + shift."""
    passed, found = states[:, -1].clone(), 0.0
    for call in reversed(range(CALLS)):
        found += SECONDS * float((passed * Turned.matrix(states[:, call])).sum())
        back = passed.roll(-1, -1) + 0.5 * passed.flip(1)
        passed = (DECAY + 2 * BEND * states[:, call + shift]) * passed + SECONDS * THETA * back
    return found


def test_the_jacobian_is_taken_at_the_state_of_its_call():
    """That at the next state, the wrong time level, gives another gradient."""
    learner, states, answers = toy()
    learner.propagator = lambda x, f: DECAY * x + BEND * x.square() + SECONDS * f
    found = gradient(learner, states, answers)
    assert found == pytest.approx(bent(states, 0), rel=1e-12)
    assert abs(bent(states, 1) / found - 1) > 0.05


def test_the_loss_compares_with_background_plus_what_it_lacks(monkeypatch):
    """The truth, not its mirror image: the ocean at the truth has no loss."""
    learner = object.__new__(Adjoint)
    wet = torch.ones(2, 3, 3, dtype=torch.bool)
    learner.setup = SimpleNamespace(samples=SimpleNamespace(wet=wet, wet_inputs=wet))
    learner.names, learner.calls, learner.batch, learner.order = ["u"], None, [], [0, 1]
    learner.loss = lambda end, truth: (end - truth).square().mean(dim=(1, 2, 3))
    monkeypatch.setattr(
        adjoint.trajectory, "read", lambda path, calls: (torch.ones(4, 2, 3, 3), torch.ones(4, 2, 3, 3))
    )
    background, error = np.full((2, 3, 3), 5.0), np.full((2, 3, 3), 0.5)
    shown = learner.visit(Window(1, {}, {"u": background}, {"u": error}, WINDOW, "record.nc"))
    states, _, truth = learner.batch[0]
    assert shown["loss"] == 0.25 and float(truth.mean()) == 5.5 and float(states[-1].mean()) == 5.0


def test_damping_and_adjustment_are_those_of_the_namelist(samples, monkeypatch):
    """rn_damp is a time, in which a share 1/e stays; 0 is the identity, which the twins without damping are."""
    monkeypatch.setattr(loop, "Adjoint", lambda setup, adjoint, calls, change, propagator, versions: propagator)
    calls = Calls(9, PERIOD, ("u", "v", "h"), ("du", "dv"))
    plan = SimpleNamespace(rollout=NamRollout(), calls=calls)
    x = torch.where(samples.wet_inputs, samples.inputs[:1], 0.0)
    f = torch.where(samples.wet, 1e-6, 0.0)[None].expand(1, -1, -1, -1)

    def moved(**changes):
        of = SimpleNamespace(
            samples=samples, adjoint=NamAdjoint(**changes), emulator=None, train=SimpleNamespace(nn_seed=1)
        )
        return loop._learner(of, plan, {}, None, SILENT)(x, f)

    pushed = PERIOD * torch.cat((f, 0 * x[:, 4:]), dim=1)
    assert torch.allclose(moved(), x + pushed)
    assert torch.allclose(moved(rn_damp=PERIOD), math.exp(-1) * x + pushed)
    left = moved(rn_radius=5e4) - x
    assert float(left.norm()) < 0.9 * float(pushed.norm()) and not torch.allclose(moved(rn_damp=PERIOD), x + pushed)


# --- the windows -------------------------------------------------------------------------------------------------------


def test_an_ocean_gets_its_part_of_the_error_and_all_where_the_truth_begins_again():
    """rn_gain of truth minus background; at the end of the truth, its first state minus background."""
    masks = {name: np.ones((1, 2, 2)) for name in "uvh"}
    truth = SimpleNamespace(
        masks=lambda: masks, state=lambda number: {name: np.full((1, 2, 2), 10.0 + number) for name in "uvh"}
    )
    rollout = NamRollout(rn_gain=0.25, cn_fields=["u", "v", "h"])
    plan = SimpleNamespace(rollout=rollout, truth=truth, count=4, begin=lambda window: (window - 1) % 4)
    run = SimpleNamespace(plan=plan)
    background, error = ({name: np.full((1, 2, 2), value) for name in "uvh"} for value in (7.0, 2.0))
    within, again = (loop.Rollout.increments(run, window, background, error) for window in (3, 4))
    assert all(np.all(values == 0.5) for values in within.values()) and set(within) == set("uvh")
    assert all(np.all(values == 10.0 - 7.0) for values in again.values())


def test_every_swap_is_checked_at_the_end_of_the_window_after_it(monkeypatch, tmp_path):
    """Six windows, new weights after each second one; the last ones go to no ocean."""
    seen, handed = [], []
    state = {name: np.zeros((1, 2, 2)) for name in "uvh"}
    plan = SimpleNamespace(
        rollout=NamRollout(nn_windows=6, nn_swap=2), steps=27, calls=None, first=0, begin=lambda window: window - 1,
        truth=SimpleNamespace(masks=lambda: state, state=lambda number: state),
    )  # fmt: skip
    run = SimpleNamespace(
        plan=plan, window=0, ocean=tmp_path, version=SimpleNamespace(number=0), taken=seen.append,
        learner=SimpleNamespace(visit=lambda window: {}), log=lambda event, **values: None,
        compare=lambda window: (state, state, 0.1, 20000101.0), increments=lambda *args: {},
        hand_over=lambda window, last: handed.append((window, last)),
    )  # fmt: skip
    monkeypatch.setattr(loop, "write_increments", lambda *args: None)
    monkeypatch.setattr(loop, "_said", lambda *args: "")
    loop._windows(run, SimpleNamespace(wait_for=lambda path: None), SILENT)
    assert handed == [(2, False), (4, False), (6, True)] and seen == [3, 5] and run.window == 6


# --- what is learnt from a window --------------------------------------------------------------------------------------


def learner(size=1e-3, **changes):
    """A Learner after one window that lacked `size` [m s-1] of u everywhere."""
    made = setup()
    one = Learner(made, NamRollout(nn_buffer=4, nn_steps=1, **changes), 4)
    state = dict(zip("uvh", (part.numpy() for part in made.samples.inputs[0].split(2)), strict=True))
    error = {name: np.full_like(state[name], size) for name in "uv"}
    inputs = one.inputs(state)[None]
    before = one.answer(inputs)[0]
    shown = one.visit(Window(1, state, state, error, WINDOW))
    return one, one.buffer.target[0] - before, shown


def test_a_correction_is_cut_at_its_bound():
    one, added, _ = learner(size=1e3, rn_clip=2.0)
    wet, bound = one.setup.samples.wet, 2.0 * one.setup.views[0].loss.rms.expand_as(added)
    assert torch.allclose(added[wet], bound[wet], rtol=1e-3)
    _, added, _ = learner(size=1e3, rn_clip=0.0)
    assert torch.allclose(added[wet], torch.tensor(1e3 / WINDOW), rtol=1e-3)


def test_the_part_of_a_batch_that_is_offline_is_the_data_sets():
    """Half of it are samples of the data set with their own targets, the rest what was visited."""
    for part, wanted in ((0.5, 4), (0.0, 0)):
        one, *_ = learner(rn_offline=part)
        batch, targets = one._batch(1, 0), one.setup.samples.target
        offline = [any(torch.equal(target, kept) for kept in targets) for target in batch.target]
        assert offline == [False] * (8 - wanted) + [True] * wanted


def test_a_step_obeys_its_clip_its_rate_and_its_mean():
    """Gradients above rn_clip_grad are cut, the rate ends at zero, rn_ema says what is exported."""
    one = Learner(setup(rn_clip_grad=1e-3, rn_ema=0.9, rn_lr=0.1), NamRollout(nn_steps=1), 3)
    weights, start = list(one.network.parameters()), [weight.detach().clone() for weight in one.network.parameters()]
    for _ in range(3):
        norm = one.step(sum(weight.square().sum() for weight in weights))
        cut = float(torch.stack([weight.grad.norm() for weight in weights]).norm())
        assert norm > 0.1 and cut == pytest.approx(1e-3, rel=1e-3)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)
    assert one.result is one.average and one.result is not one.network
    mean, last = (next(iter(part.parameters())) for part in (one.average, one.network))
    assert 0 < float((mean - start[0]).detach().norm()) < 0.5 * float((last - start[0]).detach().norm())
    bare = Learner(setup(), NamRollout(), 3)
    assert bare.result is bare.network


# --- what is told before anything runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cn_ocean": "nowhere"}, "cn_ocean = 'nowhere' is not a configuration"),
        ({"cn_exe": "nowhere.exe"}, "cn_exe = 'nowhere.exe' is not an executable"),
        ({"cn_exe": "namelist_cfg"}, "cn_exe = 'namelist_cfg' is not an executable"),
        ({"cn_restart": "nowhere.nc"}, "cn_restart = 'nowhere.nc' is not a restart"),
        ({"rn_window": 432001.0}, "it must be a whole number"),
        ({"nn_windows": 10**9}, "the ocean counts to 2147483647"),
    ],
)
def test_files_and_numbers_that_no_ocean_takes_are_named(tmp_path, monkeypatch, change, words):
    """By the switch; the same without the mistake gets past these checks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "namelist_cfg").write_text("&namrun\n ln_cpl = .true.\n/\n")

    def planned(**changes):
        rollout = NamRollout(**{"cn_ocean": "namelist_cfg", "rn_window": 432000.0, **changes})
        train = SimpleNamespace(cn_mode="rollout_nograd", cn_device="cpu", model_fields_set=set())
        ocean.plan(rollout, SimpleNamespace(train=train, adjoint=None))

    with pytest.raises(HaloclineError, match=words) as error:
        planned(**change)
    assert next(iter(change)) in str(error.value)
    with pytest.raises(HaloclineError, match="has the networks"):
        planned()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cn_device": "cuda"}, "trains on the CPU"),
        ({"nn_epochs": 3}, "counts windows"),
        ({"nn_patience": 3}, "counts windows"),
    ],
)
def test_switches_that_a_training_beside_the_ocean_does_not_obey_are_refused(change, words):
    """With the defaults nothing is said."""
    with pytest.raises(HaloclineError, match=words) as error:
        ocean._obeyed(NamTrain(cn_mode="rollout_nograd", **change))
    assert next(iter(change)) in str(error.value)
    ocean._obeyed(NamTrain(cn_mode="rollout_nograd"))


@pytest.mark.parametrize("kernels", [[4, 3], [0], [-3], []])
def test_kernels_without_a_middle_are_refused_before_the_ocean_runs(samples, tmp_path, monkeypatch, kernels):
    """Their output would have another size; the recording alone takes minutes."""
    monkeypatch.setattr(emulation, "record", lambda *args: pytest.fail("the ocean was run"))
    plan = SimpleNamespace(calls=Calls(2, PERIOD, ("u", "v", "h"), ("du", "dv")))
    switches = NamEmulator(nn_kernels=kernels)
    with pytest.raises(HaloclineError, match="nn_kernels = .* odd and positive"):
        emulation.emulated(plan, samples, switches, 1, tmp_path, None, SILENT)


BOX = "&namusr_def\n nn_nx = 12\n nn_ny = 12\n/\n&namrun\n ln_cpl = .false.\n/\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cn_ocean": "nowhere"}, "cn_ocean = 'nowhere' is not a configuration"),
        ({"cn_parameters": ["namdom.rn_Dt"]}, "is no switch of the ocean"),
        ({"cn_parameters": ["namrollout.rn_window"]}, "is no switch of the ocean"),
        (
            {"cn_parameters": ["namdyn_ldf.rn_cs4", "NAMDYN_LDF.RN_CS4"], "rn_first": [0.02, 0.02]},
            "names a switch twice",
        ),
        ({"rn_spread": [1e3]}, "times e\\^5000"),
    ],
)
def test_switches_that_cannot_be_fitted_are_refused(tmp_path, change, words):
    """The time step, those of a training, one that is named twice, a spread over all numbers; a coefficient is not."""
    (tmp_path / "namelist_cfg").write_text(BOX)
    common = {"cn_ocean": str(tmp_path), "cn_parameters": ["namdyn_ldf.rn_cs4"], "rn_first": [0.02]}
    with pytest.raises(HaloclineError, match=words):
        prior(NamEki(**{**common, **change}))
    (one,) = prior(NamEki(**common))
    assert one.value(one.first) == pytest.approx(0.02)


def test_an_error_that_is_too_large_is_a_doubt():
    """The best run then lies well within it; with rn_error = 1 the truth itself says so, and where it lies near 1 all is well."""

    def told(least, error):
        runs = [Iteration(n, np.zeros((2, 1)), [], np.array([2 * least, least]), 0.5, 1.0) for n in range(2)]
        return " ".join(doubts(runs, error))

    assert "Set it to 2 or so" in told(0.11, 6.0)
    assert told(0.11, 1.0) == told(0.9, 6.0) == ""


def test_what_is_no_climate_is_told_before_anything_runs(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("no climate")
    with pytest.raises(HaloclineError, match="cn_test"):
        card.check(NamEki(rn_judge=720.0, cn_test=[str(other)]))
    card.check(NamEki(rn_judge=720.0, cn_test=[str(tmp_path)]))


def test_a_judged_run_that_is_dropped_whole_is_told(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&nameval\n rn_skip = 30.\n/\n")
    with pytest.raises(HaloclineError, match="rn_skip = 30 days leave nothing of a run of rn_judge = 30 days"):
        card.skipped(tmp_path, NamEki(rn_judge=30.0))
    assert card.skipped(tmp_path, NamEki(rn_judge=31.0)) == 30.0


def test_an_executable_that_is_not_there_is_told(tmp_path):
    with pytest.raises(HaloclineError, match="cn_exe = 'nowhere.exe' is not an executable"):
        Ensemble.of(NamEki(cn_exe="nowhere.exe"), [], None, tmp_path)
