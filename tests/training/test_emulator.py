"""cn_mode = 'emulator': the ocean's Jacobian is found again from what the ocean did, and a closure does not hide in it."""

import io
import itertools
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from coupler.errors import HaloclineError
from models.data.ocean import read_switches
from models.emulator import fit as emulation
from models.emulator import record
from models.emulator.network import Emulator
from models.emulator.record import Recorded
from models.rollout.ocean import plan
from models.rollout.propagator import Damped
from models.rollout.trajectory import Calls
from models.settings import NamAdjoint, NamEmulator, NamRollout, load
from models.training import fit
from models.training.modes import beside
from models.training.samples import collect
from models.training.setup import prepare
from models.twin.closure import NetworkClosure
from models.twin.run import Twin
from models.twin.state import Level, State
from tests.training import box, synthetic

SECONDS = 9600.0
SWITCHES = NamEmulator(nn_width=16, nn_kernels=[3, 1], nn_steps=300, nn_batch=16, rn_lr=1e-2, nn_refit=80)
SILENT = Console(file=io.StringIO())
DRAG = 2e-5  # of a closure [s-1]: a fifth of a velocity in a call, as much as `ocean` spreads


@pytest.fixture(scope="module")
def samples():
    return collect({"toy": synthetic.dataset(states=30)}, *synthetic.switches())


def noise_of(samples, seed, couple):
    return record.perturbation(samples.wet_inputs, record.spread(samples), seed, couple)


def ocean(samples, x):
    """A linear ocean: spreads everything, turns u and v, on wet cells; neighbours under land count as zero."""
    wet = samples.wet_inputs.float()
    ny, nx = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    around = sum(padded[..., j : j + ny, i : i + nx] for j, i in ((0, 1), (2, 1), (1, 0), (1, 2)))
    x = x + 0.1 * (around - 4 * x)
    u, v, h = x.split(2, dim=1)
    return torch.cat((u + 0.3 * v, v - 0.3 * u, h), dim=1) * wet


def trajectories(samples, couples=12, calls=6, force=None):
    """(couples, 2, calls + 1, c, ny, nx) of `ocean` from perturbed samples; force: of a state [m s-2], added after each call."""
    found = []
    for couple, sign in itertools.product(range(couples), (1.0, -1.0)):
        noise = noise_of(samples, 1, couple)
        x = [torch.where(samples.wet_inputs, samples.inputs[2 * couple] + 0.3 * sign * noise, 0.0)[None]]
        for _ in range(calls):
            x.append(ocean(samples, x[-1]))
            if force is not None:
                x[-1] = x[-1] + torch.cat((SECONDS * force(x[-2]), 0 * x[-1][:, 4:]), dim=1)
        found.append(torch.cat(x))
    return torch.stack(found).unflatten(0, (-1, 2))


def drag(x):
    """The closure of the broken variant."""
    return -DRAG * x[:, :4]


def fitted(samples, couples, **changes):
    emulator = Emulator(samples, SWITCHES.model_copy(update=changes), SECONDS, seed=1)
    emulation.fit(emulator, couples, SWITCHES, 1, SILENT)
    return emulator


@pytest.fixture(scope="module")
def recorded(samples):
    return Recorded.of(trajectories(samples))


@pytest.fixture(scope="module")
def emulator(samples, recorded):
    return fitted(samples, recorded.fitted)


def adjoint_error(samples, emulator):
    """Relative error of the emulator's adjoint of noise, in units of each field's change, beside that of `ocean`."""
    unit = emulator.std
    x = samples.inputs[-3:].clone() * samples.wet_inputs
    back = torch.stack([noise_of(samples, 2, n) for n in range(3)]) / unit.square()
    found = []
    for step in (emulator, lambda x: ocean(samples, x)):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad((step(x) * back).sum(), x)
        found.append((gradient - back) * unit * samples.wet_inputs)  # without the identity, which any emulator has
    return float((found[0] - found[1]).norm() / found[1].norm())


def test_the_jacobian_of_a_linear_ocean_is_found_again(samples, emulator):
    assert adjoint_error(samples, emulator) < 0.25


def test_states_that_are_no_pairs_do_not_give_it(samples, recorded):
    """The broken variant: each state is followed by one of another trajectory."""
    couples = recorded.fitted.clone()
    couples[:, :, 1::2] = couples.roll(1, 0)[:, :, 1::2]
    assert adjoint_error(samples, fitted(samples, couples)) > 0.5


def test_a_force_acts_as_it_is_known_to(samples):
    """An ocean at a standstill adds seconds times the force to what it drives, on wet cells; one that turns, turns half of it."""
    still = Emulator(samples, SWITCHES, SECONDS, seed=1)
    with torch.no_grad():
        still.network.last.weight.zero_()
        still.network.last.bias.zero_()
    x = samples.inputs[:2] * samples.wet_inputs
    f = 1e-6 * torch.randn(2, 4, *x.shape[-2:], generator=torch.Generator().manual_seed(1))
    wanted = x + SECONDS * torch.cat((f, 0 * x[:, 4:]), dim=1) * samples.wet_inputs
    assert torch.allclose(still(x, f), wanted, rtol=0, atol=1e-6)
    still.driven = still.driven[::-1]
    assert not torch.allclose(still(x, f), wanted, rtol=0, atol=1e-3)


def test_an_emulator_of_an_ocean_with_a_closure_is_caught(samples, recorded, emulator):
    """Its error in windows without the closure tells it; so do the answers, before any fit."""
    hidden = fitted(samples, trajectories(samples, force=drag)[: len(recorded.fitted)])
    good, bad = (emulation.one_step(one, recorded.held) for one in (emulator, hidden))
    assert good["u"]["change"] < 0.15 and bad["u"]["change"] > 3 * good["u"]["change"]
    assert bad["h"]["change"] < 0.3  # the drag does not touch it


@pytest.mark.parametrize("answer", [0.0, 1e-9])
def test_recordings_with_answers_are_refused(samples, tmp_path, monkeypatch, answer):
    """An answer on land does not count: the ocean does not take it."""
    calls = Calls(3, SECONDS, ("u", "v", "h"), ("du", "dv"))
    states, answers = samples.inputs[:3], torch.where(samples.wet, answer, 1.0).expand(3, -1, -1, -1)
    monkeypatch.setattr(record, "read", lambda path, calls: (states, answers))
    end = dict(zip("uvh", samples.inputs[3].double().numpy().reshape(3, 2, *states.shape[-2:]), strict=True))
    if answer:
        with pytest.raises(HaloclineError, match="takes the closure for a part of the ocean"):
            record.trajectory(tmp_path / "record.nc", calls, samples, end)
        return
    found = record.trajectory(tmp_path / "record.nc", calls, samples, end)
    assert torch.equal(found[3], samples.inputs[3] * samples.wet_inputs) and len(found) == 4


def visits(samples, emulator, recorded, force, **changes):
    """A copy of the emulator after a refit on states of the ocean with the drag; force: what it is told of it."""
    one, switches = Emulator(samples, SWITCHES, SECONDS, seed=1), SWITCHES.model_copy(update=changes)
    one.load_state_dict(emulator.state_dict())
    propagator = emulation.Emulated(one, switches, recorded, seed=1)
    pairs = trajectories(samples, couples=4, force=drag).flatten(0, 1)
    x, x_next = pairs[:, :-1].flatten(0, 1), pairs[:, 1:].flatten(0, 1)
    numbers = propagator.visited(3, x, force(x), x_next)
    return propagator, numbers["one_step"], emulation.one_step(one, recorded.held)["u"]["change"]


def test_a_refit_on_states_with_a_closure_learns_nothing_of_the_closure(samples, emulator, recorded):
    """The force that was given is subtracted; with it left out, the broken variant, the error without closure grows."""
    _, error, after = visits(samples, emulator, recorded, drag)
    assert error < 0.35 and after < 0.2
    _, error, worse = visits(samples, emulator, recorded, lambda x: 0 * drag(x))
    assert error > 0.35 and worse > 2 * after


def test_a_refit_goes_on_with_the_same_bits(samples, emulator, recorded):
    """Weights and optimiser of the state are all that a later refit depends on."""
    propagator, *_ = visits(samples, emulator, recorded, drag, nn_refit=3)
    other = emulation.Emulated(Emulator(samples, SWITCHES, SECONDS, seed=5), propagator.switches, recorded, seed=1)
    file = io.BytesIO()
    torch.save(propagator.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = recorded.held.flatten(0, 2)[:8]
    for one in (propagator, other):
        one.visited(4, x, drag(x), ocean(samples, x))
    assert all(
        torch.equal(a, b) for a, b in zip(propagator.emulator.parameters(), other.emulator.parameters(), strict=True)
    )


def test_couples_begin_with_opposite_noise_of_the_asked_size(samples):
    noise = torch.stack([noise_of(samples, 1, couple) for couple in range(20)])
    states = samples.inputs[torch.from_numpy(samples.train)]
    wet = samples.wet_inputs
    wanted = torch.where(wet, states - states.mean(dim=0), 0.0).square().sum(dim=(0, 2, 3)) / len(states)
    assert torch.allclose(noise.square().sum(dim=(0, 2, 3)) / 20 / wanted, torch.ones(6), atol=0.2)
    assert not noise[:, ~wet].any() and not torch.equal(noise[0], noise[1])


# ---------------------------------------------------------------------------------------------------------------------
# Beside the ocean: the drag that it lacks (box.py)


@pytest.fixture(scope="module")
def learnt(truth, tmp_path_factory):
    return box.trained(tmp_path_factory.mktemp("emulator"), truth, box.EMULATOR)


@pytest.mark.mpi
def test_a_drag_that_the_ocean_lacks_is_learnt_with_the_emulator(learnt):
    lines, _ = learnt
    before, after = box.errors(lines)
    assert after < 0.3 * before


@pytest.mark.mpi
def test_the_emulator_says_how_good_it_is(learnt):
    """In windows held out, before the training; and at the states that each version got to."""
    lines, out = learnt
    events = [line for line in lines if line["event"] == "emulator"]
    assert len(events) == 1 and set(events[0]["one_step"]) == {"u", "v", "h"}
    assert all(0 < one["change"] < 0.8 for one in events[0]["one_step"].values())
    versions = [line for line in lines if line["event"] == "version"]
    assert len(versions) == 12 and all(0 < line["one_step"] < 1 for line in versions)
    assert not (out / record.FOLDER).exists(), "recordings that have been read go"
    assert f"persistence 1: u {events[0]['one_step']['u']['change']:.3f}" in (out / "README.md").read_text()


def cosine(propagator, samples, twin, network, padding, start, truth):
    """Of the gradient with this propagator and that through the twin: a window of a day, a sum over squared errors."""
    closure = NetworkClosure(network, padding, ["u", "v", "h"], 2)
    wet, unit = samples.wet_inputs, record.spread(samples)
    depth = torch.tensor(twin.basin.depth)[:, None, None]
    u, v, h = start[None].split(2, dim=1)
    level = Level(u, v, torch.where(twin.basin.tmask.at() > 0, h, depth), torch.zeros_like(u[:, :1]))
    states = [State(level, level), *twin.states(State(level, level), 1, box.STEPS, closure, 3, forward=True)][::3]
    states = [torch.cat([one.now.u, one.now.v, one.now.h], dim=1) * wet for one in states]
    found = []
    for end in (states[-1], along(propagator, network, padding, [x.detach() for x in states])):
        loss = ((end - truth) / unit * wet).square().sum()
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))]))
    return float(torch.nn.functional.cosine_similarity(*found, dim=0))


def along(propagator, network, padding, states):
    """The end of a window in the graph of the propagator, values those of the states."""
    x = states[0]
    for after in states[1:]:
        moved = propagator(x, network(padding(x)))
        x = after + moved - moved.detach()
    return x


@pytest.mark.mpi
@pytest.mark.slow
def test_the_gradient_is_near_that_of_the_twin(truth, tmp_path):
    """Nearer than that of the identity in its place, for the network as it is at first; measured: 0.91 and 0.82."""
    changes = {"namemulator": {"nn_windows": 24, "nn_steps": 1500, "nn_kernels": [3, 3, 3, 3]}}
    cfg = box.configured(tmp_path / "cfg", truth, box.EMULATOR, **changes)
    train, parts = fit.settings(cfg)
    setup = prepare(train, parts, fit.read(train))
    switches, adjoint, rollout = (load(cfg, group)[0] for group in (NamEmulator, NamAdjoint, NamRollout))
    setup = beside(replace(setup, adjoint=adjoint, emulator=switches), rollout)
    samples, network, padding = setup.samples, setup.network.fitted, setup.views[0].padding
    emulator = emulation.emulated(plan(rollout, setup), samples, switches, train.nn_seed, tmp_path, None, SILENT)
    twin = Twin(read_switches(cfg), torch.float32)
    twin.physics = replace(twin.physics, ln_tra=False)
    first, last = (samples.inputs[n] * samples.wet_inputs for n in (20, 21))
    near, far = (
        cosine(one, samples, twin, network, padding, first, last)
        for one in (emulator, Damped(samples.channels, samples.outputs, SECONDS))
    )
    assert near > 0.87 and near > far + 0.04


@pytest.mark.mpi
@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(learnt, truth, tmp_path):
    """The emulator as it was refitted at the last version; the broken twin has forgotten the optimiser's sums."""
    cfg, out = box.configured(tmp_path / "cfg", truth, box.EMULATOR), tmp_path / "out"
    box.ended(cfg, out, window=9)
    forgetful = box.forgetful(out)
    for one in (out, forgetful):
        box.go_on(cfg, one)
    box.assert_same_training(out, learnt, window=9)
    with pytest.raises(AssertionError, match="another course"):
        box.assert_same_training(forgetful, learnt, window=9)
