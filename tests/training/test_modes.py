"""What an artefact says of its training: the mode and the switches that decided, in the words of that mode only."""

from types import SimpleNamespace

import pytest

from models.settings import NamAdjoint, NamEmulator, NamOnline, NamRollout, NamSplit, NamTrain
from models.training import artefact, fit, results

START = {"cn_ocean": "/somewhere/namelists/gyre_closure/namelist_cfg", "cn_start": "/somewhere/runs/start_s{seed}"}
ROLLOUT = NamRollout(**START, nn_windows=288, nn_swap=6, rn_offline=0.5)


def setup_of(mode, **groups):
    """What the texts read of a training's Setup; groups: those of its mode."""
    train = NamTrain(cn_mode=mode, nn_seed=3, nn_epochs=7, nn_batch=4, rn_noise=0.25, rn_amplify=0.1)
    samples = SimpleNamespace(digest="0" * 64, train=range(80))
    none = dict.fromkeys(("online", "rollout", "adjoint", "emulator", "windows"))
    return SimpleNamespace(train=train, samples=samples, steps=70, **{**none, **groups})


SETUPS = {
    "offline": setup_of("offline"),
    "online": setup_of("online", online=NamOnline(**START, nn_window_min=135, nn_window=270, rn_energy=10.0)),
    "rollout_nograd": setup_of("rollout_nograd", rollout=ROLLOUT),
    "adjoint_approx": setup_of("adjoint_approx", rollout=ROLLOUT, adjoint=NamAdjoint(rn_damp=86400.0)),
    "emulator": setup_of("emulator", rollout=ROLLOUT, adjoint=NamAdjoint(nn_cut=9), emulator=NamEmulator()),
}


def recipe_of(setup):
    """All switches of the training, as its checkpoint has them."""
    return fit._recipe(setup, NamSplit())


def facts_of(mode, setup=None):
    """What an artefact says of a training; setup: in place of that of SETUPS."""
    setup = setup or SETUPS[mode]
    assert setup.train.cn_mode == mode
    return artefact.mode_facts(setup.train, recipe_of(setup))


@pytest.mark.parametrize("mode", SETUPS)
def test_an_artefact_says_its_mode_and_nothing_of_others(mode):
    """Texts without a path of the machine; epochs where there are epochs, windows where there are windows. The recipe, the broken
    twin, has the paths, and the epochs of every mode.
    """
    facts, recipe = facts_of(mode), recipe_of(SETUPS[mode])
    assert facts["mode"].startswith(mode) and all(isinstance(value, str) for value in facts.values())
    assert not any("/somewhere" in value for value in facts.values())
    assert ("epochs" in facts) == (mode in ("offline", "online")) and "nn_epochs" in recipe
    assert ("windows" in facts) == (mode != "offline")
    if mode != "offline":
        assert facts["start"] == "start_s3" and facts["ocean"] == "gyre_closure"
        assert any("/somewhere" in str(value) for value in recipe.values())


def test_what_decides_is_told():
    """In the numbers of the switches that SETUPS gives."""
    assert facts_of("online")["windows"] == "135 to 270 steps, doubled every 2 epochs; the network called every 3"
    assert facts_of("online")["loss"] == "errors along the window: states x 1, energy x 10"
    assert all(
        facts_of(mode)["loss"].startswith("errors at the window's end: ") for mode in ("adjoint_approx", "emulator")
    )
    assert facts_of("rollout_nograd")["windows"].startswith("288 of 5 days, 48 versions")
    assert facts_of("rollout_nograd")["corrections"].startswith("1 x (truth - background) / window, at most 3 rms")
    assert facts_of("adjoint_approx")["adjoint"] == "identity, damped in 86400 s"
    assert facts_of("emulator")["gradient"] == "cut after 9 calls of the network"


def test_noise_that_a_mode_does_not_add_is_none():
    """Switches of the fit to single states stand in every namelist; only those that were obeyed are told."""
    assert facts_of("offline")["noise"].startswith("up to 0.25 std") and "stretching" in facts_of("offline")
    assert facts_of("rollout_nograd")["noise"].startswith("up to 0.25 std")  # on the offline half of a batch
    for mode in ("online", "adjoint_approx", "emulator"):
        assert facts_of(mode)["noise"] == "none" and "stretching" not in facts_of(mode)
    alone = setup_of("rollout_nograd", rollout=ROLLOUT.model_copy(update={"rn_offline": 0.0, "rn_correct": 0.0}))
    facts = facts_of("rollout_nograd", alone)
    assert facts["noise"] == "none" and facts["corrections"].startswith("none")
    anchored = setup_of("online", online=NamOnline(**START, rn_offline=1.0))  # single states beside the windows
    facts = facts_of("online", anchored)
    assert facts["noise"].startswith("up to 0.25 std") and facts["loss"].endswith("single states x 1")


@pytest.mark.parametrize("mode", SETUPS)
def test_the_line_before_a_training_is_that_of_its_mode(mode):
    """What is counted: epochs of samples, epochs of windows, or windows beside the ocean."""
    text = results._training(SETUPS[mode], recipe_of(SETUPS[mode]))
    assert ("epochs" in text) == (mode in ("offline", "online"))
    assert ("288 of 5 days" in text) == (mode not in ("offline", "online"))
    assert ("of 4 samples" in text) == (mode == "offline") and ("of 4 windows" in text) == (mode == "online")
