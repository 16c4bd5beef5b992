"""Learning along trajectories: a kill, a signal and the number of ranks do not show in the weights."""

import signal
import subprocess
import sys

import pytest
import torch

from coupler.errors import HaloclineError
from models.training import checkpoint
from models.training.online import OnlineFit
from tests.training.runs import distance, environment, torchrun
from tests.training.through import same

RUN = """
import os, signal, sys
from pathlib import Path
from models.training import fit, loader, online
step, order = online.OnlineFit.training_step, loader.Order.__iter__
def dying(self, batch, number):
    if (self.current_epoch, number) == (1, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, number)
for run in sys.argv[2:]:
    if "killed" in run:
        online.OnlineFit.training_step = dying
    if "unsharded" in run:
        loader.Order.__iter__ = lambda self: order(loader.Order(self.samples, self.batch, self.seed, self.shuffle, 0, 2))
    fit.fit(Path(sys.argv[1]), Path(run))
"""
KILL = {"epochs": 3, "more": "rn_ema=0.9;nn_batch=8", "online": "rn_start_noise=0.02"}


@pytest.fixture(scope="module")
def folder(twin_place):
    """With `run.py`, for trainings in processes of their own."""
    (twin_place.folder / "run.py").write_text(RUN)
    return twin_place.folder


@pytest.fixture(scope="module")
def whole(twin_place) -> dict[str, torch.Tensor]:
    """Weights of a training that nobody touched; noise and averaged weights on."""
    return checkpoint.weights(twin_place.train(twin_place.cfg("kill", **KILL), "whole") / checkpoint.LAST)


def test_a_killed_training_ends_with_the_same_bits(twin_place, folder, whole):
    """SIGKILL within the second epoch; the one that forgets its optimiser's state ends elsewhere."""
    cfg = twin_place.cfg("kill", **KILL)
    command = [sys.executable, folder / "run.py", cfg, folder / "killed"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    state = torch.load(folder / "killed" / checkpoint.LAST, weights_only=True)
    assert state["epoch"] == 0
    assert same(whole, twin_place.train(cfg, "killed"))
    (folder / "forgetful").mkdir()
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, folder / "forgetful" / checkpoint.LAST)
    assert not same(whole, twin_place.train(cfg, "forgetful"))


@pytest.mark.parametrize(
    ("number", "plain"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)]
)
def test_a_signal_ends_in_words_and_the_training_goes_on(twin_place, whole, monkeypatch, number, plain):
    """Within the second epoch, as an exit in words; the same command ends with the same bits."""
    step, run = OnlineFit.training_step, f"signal {number}"
    before = signal.signal(number, plain)  # in a shell's background SIGINT is ignored

    def interrupted(self, batch, count):
        if (self.current_epoch, count) == (1, 1):
            signal.raise_signal(number)
        return step(self, batch, count)

    cfg = twin_place.cfg("kill", **KILL)
    try:
        with (
            monkeypatch.context() as patch,
            pytest.raises(HaloclineError, match="interrupted. The same command goes on"),
        ):
            patch.setattr(OnlineFit, "training_step", interrupted)
            twin_place.train(cfg, run)
    finally:
        signal.signal(number, before)
    assert checkpoint.read(twin_place.folder / run / checkpoint.LAST)["epoch"] == 0
    assert not same(whole, twin_place.folder / run)
    assert same(whole, twin_place.train(cfg, run))


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_give_the_weights_of_one(twin_place, folder):
    """1e-5 relative, with a batch that leaves a rank without window in the validation; ranks that share one half are far off."""
    cfg = twin_place.cfg("ranks", epochs=1, more="rn_clip_grad=0.5;rn_ema=0.9;nn_batch=3")
    whole = checkpoint.weights(twin_place.train(cfg, "one") / checkpoint.LAST)
    two, unsharded = torchrun(folder, cfg, "two", "unsharded")
    assert distance(whole, two) < 1e-5
    assert distance(whole, unsharded) > 1e-3
