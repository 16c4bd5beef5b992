"""`halocline train` on increments end to end: what is learnt, what is left, a kill, two ranks."""

import json
import signal

import numpy as np
import pytest
import torch
from rich.console import Console

from coupler.engines.base import load_engine
from coupler.engines.selftest import sample
from coupler.errors import HaloclineError
from models.training import checkpoint
from models.training.fit import fit
from models.training.module import Fit
from tests.training import synthetic
from tests.training.runs import RUN, distance, killed, torchrun, weights
from tests.training.test_increments import PER_YEAR, WINDOW, dataset

QUIET = Console(quiet=True)
EPOCHS = 30
NAMELIST = """
&namsplit
   nn_train = 4, nn_val = 1, nn_test = 1, rn_gap = 20.
/
&namtrain
   cn_name = 'bias', cn_data = '{data}', cn_target = 'increment', cn_family = '{family}', cn_inputs = 'u', 'v', 'h', 't'
   nn_kernels = 3, nn_width = 8, nn_epochs = {epochs}, nn_batch = 4, nn_threads = 1, rn_lr = 2.e-2, rn_noise = 0.02
   rn_restore = 4320000., cn_formats = {formats}
   {more}
/
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("increments")
    synthetic.write(dataset(), folder / "data.zarr")
    (folder / "run.py").write_text(RUN)
    return folder


def configuration(place, name, family="increment_mlp", data="data.zarr", epochs=EPOCHS, more="", formats="''"):
    folder = place / name
    folder.mkdir(exist_ok=True)
    text = NAMELIST.format(data=place / data, family=family, epochs=epochs, more=more, formats=formats)
    (folder / "namelist_cfg").write_text(text, encoding="utf-8")
    return folder


def trained(place, name, **how):
    return fit(configuration(place, name, **how), place / f"run_{name}", console=QUIET)


@pytest.fixture(scope="module")
def good(place):
    return trained(place, "good", formats="'onnx'")


@pytest.fixture(scope="module")
def mean(place):
    return trained(place, "mean", family="increment_mean", formats="'onnx'")


def shares(run, key="state_r2"):
    return {row["output"]: row[key] for row in json.loads((run / "scores.json").read_text())["explained"]["test"]}


def answer(run, like=None, more=0.0):
    """The contract, and the artefact's stacked outputs on the inputs of another's self-test (its own), layers thicker by `more`."""
    engine = load_engine(run / "bias.onnx", trust=True)
    other = engine if like is None else load_engine(like / "bias.onnx", trust=True)
    inputs, _, scalars = sample(other.contract, (2, 9, 8))
    inputs["h"] = inputs.get("h", 0.0) + more
    inputs = {spec.name: inputs[spec.name] for spec in engine.contract.inputs}
    return engine.contract, np.concatenate(list(engine.run(inputs, None, scalars).values()))


def test_half_of_the_anomaly_is_learnt(place, good):
    """As much as is linear in the background (0.5), in every output; of shuffled increments nothing, of the climatology all."""
    found = shares(good)
    assert 0.3 < min(found.values()) and max(found.values()) < 0.56
    data = dataset()
    order = np.random.default_rng(0).permutation(4 * PER_YEAR)
    for name in ("u", "v", "h", "sst"):
        data[f"{name}_inc"].values[: 4 * PER_YEAR] = data[f"{name}_inc"].values[order]
    synthetic.write(data, place / "shuffled.zarr")
    twin = trained(place, "shuffled", data="shuffled.zarr")
    assert max(shares(twin).values()) < 0.1
    assert shares(twin, "climatology")["dh_bias"] == pytest.approx(shares(good, "climatology")["dh_bias"], abs=1e-6)


def test_the_climatology_alone_is_an_artefact(good, mean):
    """Radius 0, static inputs, no state explained; it says the same in any state, the network does not."""
    document, first = answer(mean, good)
    assert document.radius == 0 and all(spec.static for spec in document.inputs) and document.window == WINDOW
    assert {part.state for part in document.explained.values()} == {0.0}
    assert not np.array_equal(answer(good)[1], answer(good, more=40.0)[1])
    assert np.array_equal(first, answer(mean, good, more=40.0)[1]) and np.abs(first).max() > 0


def test_contract_and_card_tell_the_two_parts(good):
    document, _ = answer(good)
    found = shares(good, "climatology"), shares(good, "state")
    for name, part in document.explained.items():
        assert (part.climatology, part.state) == (found[0][name], found[1][name])
    text = (good / "README.md").read_text()
    assert "does not look at the ocean" in text and "m s-2" not in text and "[per window]" in text
    assert document.trained_on["window"] == "432000 s" and "insert" in document.trained_on["increments"]


def test_damping_is_baked_in(place, good, mean):
    """Outputs less climatology are those of the plain network times the R2 of the validation part, which the contract notes."""
    damped = trained(place, "damped", more="ln_damp = .true.", formats="'onnx'")
    (document, found), (_, plain), (_, climate) = answer(damped), answer(good), answer(mean, good)
    factors = np.array(
        [document.coefficients[f"damp_{name}"] for name in shares(good) if name[-1] in "12" or name == "dt_bias"]
    )
    assert (factors > 0.3).all() and (factors < 0.6).all()
    validation = json.loads((good / "scores.json").read_text())["validation"]
    assert np.allclose(factors, [row["r2_zero"] for row in validation], atol=1e-6)
    state = factors[:, None, None] * (plain - climate)
    assert np.allclose(found - climate, state, atol=1e-4 * np.abs(plain).max())
    assert not np.allclose(found - climate, plain - climate, atol=1e-2 * np.abs(plain).max())


def goes_on(place, whole, run):
    """What is in `run` ends with the bits of `whole`; the twin that goes on without the optimiser's state ends elsewhere."""
    cfg, state = whole.with_name(whole.name.removeprefix("run_")), checkpoint.read(run / checkpoint.LAST)
    assert 1 <= state["epoch"] + 1 < checkpoint.read(whole / checkpoint.LAST)["epoch"] + 1
    fit(cfg, run, console=QUIET)
    one, again = weights(whole), weights(run)
    assert all(torch.equal(value, again[key]) for key, value in one.items())
    assert (whole / "scores.json").read_bytes() == (run / "scores.json").read_bytes()

    forgetful = run.with_name(f"{run.name}_forgetful")
    forgetful.mkdir()
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, forgetful / checkpoint.LAST)
    fit(cfg, forgetful, console=QUIET)
    assert distance(one, weights(forgetful)) > 1e-3


CONVOLUTIONS = {"family": "increment_cnn", "more": "nn_dilations = 1, 2, 1"}


def test_an_interrupted_training_ends_with_the_same_bits(place, monkeypatch):
    """Convolutions, one thread; interrupted in the third epoch of six."""
    whole = trained(place, "brief", epochs=6, **CONVOLUTIONS)

    def interrupted(self):
        if self.current_epoch == 2:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch, pytest.raises(HaloclineError, match="interrupted. The same command goes on"):
        patch.setattr(Fit, "on_train_epoch_start", interrupted)
        fit(place / "brief", place / "interrupted", console=QUIET)
    signal.signal(signal.SIGINT, before)
    goes_on(place, whole, place / "interrupted")


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(place):
    """The same after SIGKILL."""
    whole = trained(place, "whole", **CONVOLUTIONS)
    killed(place, place / "whole", "killed")
    goes_on(place, whole, place / "killed")


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_give_the_weights_of_one(place):
    """1e-5 relative; the twin whose ranks see the same samples is far off."""
    one = weights(trained(place, "one"))
    two, unsharded = torchrun(place, place / "one", "two", "unsharded")
    assert distance(one, two) < 1e-5 < 1e-3 < distance(one, unsharded)
