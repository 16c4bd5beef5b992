"""Closures in the two-layer model: gradients of both adjoints, kills, growing windows, refusals, scores."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.qg import table, train, truth
from models.qg.commands import app
from models.qg.model import Model
from models.qg.parameters import Parameters
from models.qg.score import score, truth_of
from models.qg.trajectory import Diverged, TrajectoryFit, step
from models.training import checkpoint
from models.training.commands import train as command
from models.training.windows import Window
from tests.qg.conftest import QUIET

ALL = {"namonline_rn_energy": "3.", "namonline_rn_spectra": "0.1"}


def fit_of(place, cfg, **options) -> tuple[TrajectoryFit, torch.Tensor]:
    """What a training fits, in float64, with weights that answer; and three windows of four steps."""
    records = place.records(cfg)
    module, _ = train.parts(place.plan(cfg, **options), records)
    torch.manual_seed(0)
    for weight in module.network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    parameters, n, dt = module.model.parameters, module.model.n, module.model.dt
    double = TrajectoryFit(
        module.network.double(),
        Model(parameters, n, dt),
        module.change.flatten(),
        module.switches,
        module.online,
        module.adjoint,
        1,
        {},
    )
    return double, records.window(torch.tensor([0, 20, 45]), 4).double()


def gradient(module: TrajectoryFit, records: torch.Tensor) -> torch.Tensor:
    loss = module.losses(records)[0].sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.network.parameters()))])


def difference(module: TrajectoryFit, records: torch.Tensor, direction: torch.Tensor, size: float = 1e-4) -> float:
    """Slope of the loss along a direction of the weights, by central differences of fourth order."""
    first = [weight.detach().clone() for weight in module.network.parameters()]

    def moved(by: float) -> float:
        at = 0
        with torch.no_grad():
            for weight, value in zip(module.network.parameters(), first, strict=True):
                weight.copy_(value + by * direction[at : at + weight.numel()].view_as(weight))
                at += weight.numel()
            return float(module.losses(records)[0].sum())

    found = (8 * (moved(size) - moved(-size)) - (moved(2 * size) - moved(-2 * size))) / (12 * size)
    moved(0.0)
    return found


def test_the_full_gradient_is_that_of_finite_differences(place):
    """To 1e-6, of every loss together. A state that is detached in the window, and the approximate adjoint, give another."""
    module, records = fit_of(place, place.cfg("gradient", **ALL), adjoint="full")
    found = gradient(module, records)
    direction = found / found.norm()
    assert difference(module, records, direction) == pytest.approx(float(found.norm()), rel=1e-6)
    for cfg, adjoint in (
        (place.cfg("detached", **ALL, namonline_nn_cut="1"), "full"),
        (place.cfg("gradient", **ALL), "approx"),
    ):
        other, _ = fit_of(place, cfg, adjoint=adjoint)
        assert float(other.losses(records)[0].sum()) == pytest.approx(float(module.losses(records)[0].sum()), rel=1e-12)
        assert float((gradient(other, records) - found).norm() / found.norm()) > 0.01


def test_the_gradient_in_the_state_is_that_of_finite_differences():
    """To 1e-6 of ten steps; in single precision it is not."""
    errors = []
    for dtype in (torch.float64, torch.float32):
        model = Model(Parameters(), 16, 21600.0, dtype)
        q, w, way = model.noise(1e-5, [1, 2, 3])

        def loss(state, model=model, w=w):
            return ((model.after(state, 10) * w).sum()) * 1e10

        found = float((torch.func.grad(loss)(q) * way).sum())
        size = 1e-3
        slope = float(loss(q + size * way) - loss(q - size * way)) / (2 * size)
        errors.append(abs(slope / found - 1.0))
    assert errors[0] < 1e-6 < errors[1]


def test_the_approximate_adjoint_is_the_one_by_hand():
    """For S = a q: lambda(k) = (1 + dt a) lambda(k+1), dJ/da = sum of dt <q(k), lambda(k+1)>; values are those of the full one."""
    model, steps = Model(Parameters(), 16, 21600.0), 6
    start, w = model.noise(1e-5, [1, 2])
    a = torch.tensor(-2e-6, dtype=torch.float64, requires_grad=True)
    found = {}
    for adjoint in ("approx", "full"):
        q, visited = start.clone().requires_grad_(), []
        first = q
        for _ in range(steps):
            visited.append(q.detach())
            q = step(model, q, lambda state: a * state, adjoint)
        found[adjoint] = (q.detach(), *torch.autograd.grad((q * w).sum(), (a, first)))
    costate, by_hand = w, 0.0
    for q in reversed(visited):
        by_hand = by_hand + model.dt * (q * costate).sum()
        costate = (1 + model.dt * a.detach()) * costate
    assert torch.allclose(found["approx"][0], found["full"][0], rtol=1e-12, atol=1e-20)
    assert float(found["approx"][1]) == pytest.approx(float(by_hand), rel=1e-12)
    assert torch.allclose(found["approx"][2], costate, rtol=1e-12)
    assert float(found["full"][1]) != pytest.approx(float(by_hand), rel=1e-2)


def test_a_training_that_is_interrupted_ends_with_the_same_bits(place, monkeypatch):
    """Within the third epoch, averaged weights and noise on; one that forgets its optimiser's state ends elsewhere."""
    cfg = place.cfg("resume", namonline_rn_start_noise="0.02")
    whole = checkpoint.weights(place.fit(cfg, "whole") / checkpoint.LAST)
    plain = TrajectoryFit.training_step

    def dying(self, batch, number):
        if (self.current_epoch, number) == (2, 1):
            raise RuntimeError("the power fails")
        return plain(self, batch, number)

    monkeypatch.setattr(TrajectoryFit, "training_step", dying)
    with pytest.raises(RuntimeError, match="the power fails"):
        place.fit(cfg, "killed")
    monkeypatch.undo()
    state = checkpoint.read(place.folder / "killed" / "full_s1" / checkpoint.LAST)
    assert state["epoch"] == 1
    again = place.fit(cfg, "killed")
    assert all(torch.equal(value, checkpoint.weights(again / checkpoint.LAST)[key]) for key, value in whole.items())
    rows = np.genfromtxt(again / "history.csv", delimiter=",", names=True)
    assert rows["epoch"].tolist() == [1, 2, 3] and (again / "learning.png").exists()
    forgetful = place.folder / "forgetful" / "full_s1"
    forgetful.mkdir(parents=True)
    (forgetful / "namelist_cfg").write_text("")
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, forgetful / checkpoint.LAST)
    lost = checkpoint.weights(place.fit(cfg, "forgetful") / checkpoint.LAST)
    assert any(not torch.equal(value, lost[key]) for key, value in whole.items())
    with pytest.raises(HaloclineError, match="belongs to another training"):
        place.fit(place.cfg("other rate", namtrain_rn_decay="0.5", namonline_rn_start_noise="0.02"), "killed")


def test_windows_grow_and_members_stay_apart(place):
    """2, 4, 4 steps; no window passes a member's end; noise is on the first state alone and belongs to epoch and sample."""
    cfg = place.cfg("windows", namonline_rn_start_noise="0.1")
    records = place.records(cfg)
    _, data = train.parts(place.plan(cfg), records)
    count = records.q.shape[1]
    assert (data.train % count + 4 < count).all() and data.train.max() < 2 * count <= data.val.min()
    assert (records.train, records.val, records.test) == ([0, 1], [2], [3, 4])
    loader = data.train_dataloader()
    lengths = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        one, two = (loader.dataset[next(iter(loader.sampler))] for _ in range(2))
        assert torch.equal(one.records, two.records)
        lengths.append(one.records.shape[1] - 1)
    assert lengths == [2, 4, 4]
    noise = one.records - records.window(one.index, 4)
    assert (noise[:, 1:] == 0).all()
    spread = records.q[records.train].square().mean(dim=(0, 1, 3, 4)).sqrt()
    assert torch.allclose(noise[:, 0].square().mean(dim=(0, 2, 3)).sqrt(), 0.1 * spread, rtol=0.1)


def test_the_network_is_fitted_and_adds_no_mean(place):
    """The fit to single states lowers the validation loss; the answer has mean zero, and moves with the state."""
    cfg = place.cfg("offline")
    folder = place.fit(cfg, "offline", mode="offline")
    rows = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert len(rows) == 3 and rows["val_loss"][-1] < rows["val_loss"][0]
    records = place.records(cfg)
    network = train.trained(place.plan(cfg, "offline", mode="offline"), records)
    q = records.q[3, :2]
    with torch.no_grad():
        answer, turned = network(q), network(q.roll((3, 5), dims=(-2, -1)))
    assert float(answer.mean(dim=(-2, -1)).abs().max()) < 1e-6 * float(answer.std())
    assert torch.allclose(turned, answer.roll((3, 5), dims=(-2, -1)), atol=1e-4 * float(answer.std()))
    fresh = train.fresh(place.plan(cfg).train, torch.ones(2), torch.ones(2))
    assert float(fresh(q).abs().max()) == 0.0


def test_the_table_has_every_run(place):
    """The model alone, offline, approx and full, with scores; a second call makes nothing again; a run that blew up is a row."""
    cfg, out = place.cfg("tabled"), place.folder / "tabled_runs"
    (out / "tabled").mkdir(parents=True)
    (out / "tabled" / truth.NAME).symlink_to(place.folder / "data" / truth.NAME)
    path = table.table([cfg], out, [1], QUIET)
    text, rows = path.read_text(), json.loads((out / "table.json").read_text())["regimes"]["tabled"]["rows"]
    assert list(rows) == ["none", "offline_s1", "approx_s1", "full_s1"]
    assert all(f"| {name} |" in text for name in (*rows, "truth, half against half"))
    assert rows["none"]["residual_r2"] == [0.0, 0.0] and rows["offline_s1"]["core_seconds"] > 0
    before = (out / "tabled" / "full_s1" / checkpoint.LAST).stat().st_mtime_ns
    table.table([cfg], out, [1], QUIET)
    assert (out / "tabled" / "full_s1" / checkpoint.LAST).stat().st_mtime_ns == before
    records = place.records(cfg)
    scale = records.q.std()

    def explosive(q: torch.Tensor) -> torch.Tensor:
        return 1e-4 * q * (q / scale).square()

    blown = score(truth_of(records, place.plan(cfg).group), explosive)
    assert all(step < blown["free_steps"] for step in blown["lasted"]) and "wasserstein" not in blown
    assert blown["rollout_long"] == np.inf


def test_scores_know_the_truth(place):
    """The truth itself has no error of the residual and of its climate; another member's forcing has."""
    records = place.records(place.cfg("cfg"))
    held = truth_of(records, place.plan(place.cfg("cfg")).group)
    assert all(0.5 < ratio < 2 for ratio in held.floor["energy_ratio"])
    alone = score(held, None)
    assert 0 < alone["rollout_loss"] < alone["rollout_end"] < 1
    assert score(held, lambda q: -1e-6 * q)["rollout_loss"] > alone["rollout_loss"]
    assert max(score(held, lambda q: 1e-12 * torch.ones_like(q))["residual_r2"]) < 0


REFUSED = {
    "odd": ({"namqg_nn_coarse": "15"}, "nn_coarse = 15 is odd"),
    "finer": ({"namqg_nn_coarse": "64"}, "nn_coarse = 64 is not below nn_fine = 32"),
    "step": ({"namqg_rn_dt": "20000."}, "no multiple of rn_dt_fine"),
    "regime": ({"namqg_cn_regime": "'jets'"}, "cn_regime"),
    "unknown": ({"namqg_rn_betta": "1."}, "rn_beta"),
    "short": ({"namqg_rn_days": "0.3"}, "holds no two coarse steps"),
    "family": ({"namtrain_cn_family": "'stress'"}, "cn_family is a switch of the ocean's trainings"),
    "mode": ({"namtrain_cn_mode": "'eki'"}, "trains 'offline' or 'online'"),
    "ocean": ({"namonline_cn_ocean": "'gyre'"}, "cn_ocean is a switch of the ocean's trainings"),
    "loss": ({"namonline_rn_state": "0."}, "no loss is left"),
    "start": ({"namonline_cn_start": "'nowhere_{seed}'"}, "no nowhere_1/last.ckpt to begin from"),
    "window": ({"namonline_nn_window": "500"}, "no window of 500 steps fits in"),
    "batch": ({"namtrain_nn_batch": "5000"}, "nn_batch is 5000"),
    "even": ({"namtrain_nn_kernels": "3, 4"}, "sizes must be odd"),
    "other truth": ({"namqg_rn_beta": "2.e-11"}, "was made with other switches"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused(place, name):
    """In words, before anything is computed."""
    changes, words = REFUSED[name]
    with pytest.raises(HaloclineError, match=words):
        place.fit(place.cfg(f"refused {name}", **changes), f"refused_run {name}")


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"namqg_nn_rollout": "1000"}, r"nn_rollout = 1000 steps, a member of the truth has room for \d+"),
        ({"namqg_rn_drop": "10."}, "rn_drop = 10 days leave no state of free runs of rn_climate = 10 days"),
        ({"namqg_rn_beta": "nan"}, "rn_beta = nan is not allowed: input should be a finite number"),
    ],
)
def test_a_score_that_has_nothing_to_look_at_is_refused(place, switches, words):
    """With the switch's line, before anything runs; the score of the same truth without the switch is made."""
    with pytest.raises(HaloclineError, match=words) as error:
        todo = place.plan(place.cfg("nothing", **switches))
        truth_of(place.records(place.cfg("cfg")), todo.group)
    assert "namelist_cfg line" in str(error.value)
    truth_of(place.records(place.cfg("cfg")), place.plan(place.cfg("cfg")).group)


def test_a_blow_up_is_named(place):
    """Diverged, with what helps."""
    module, records = fit_of(place, place.cfg("blown"))
    with torch.no_grad():
        for weight in module.network.parameters():
            weight.fill_(1e6)
    batch = Window(records, torch.arange(3), 3)
    module._trainer = type("T", (), {"current_epoch": 0, "barebones": False})()
    with pytest.raises(Diverged, match="blew up"):
        module.training_step(batch, 0)


def test_the_command_makes_a_truth(place, monkeypatch):
    """From the command line, in the folder of the runs; what is there and fits is not made again."""
    monkeypatch.chdir(place.folder)
    cfg = place.cfg("commanded", namqg_rn_spinup="5.", namqg_rn_adapt="1.", namqg_rn_days="2.")
    for _ in range(2):
        done = CliRunner().invoke(app, ["truth", str(cfg)])
        assert done.exit_code == 0 and "runs/commanded/truth.zarr" in done.output, done.output
    data = truth.read(truth.settings(cfg), place.folder / "runs" / "commanded")
    assert data["q"].shape == (5, 8, 2, 16, 16) and data["q"].attrs["units"] == "s-1"
    assert CliRunner().invoke(app, ["train", str(cfg), "--adjoint", "half"]).exit_code != 0


def test_halocline_train_knows_the_two_layer_model(tmp_path):
    """A namelist with &namqg is trained here, not in the ocean: it asks for its own truth."""
    with pytest.raises(HaloclineError, match="halocline qg truth"):
        command(REPOSITORY / "namelists" / "qg_eddy", tmp_path)
