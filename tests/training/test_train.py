"""`halocline train` end to end on a target that a small network learns, and the broken trainings that must not look alike."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console

from coupler.contract import KEY, Contract
from coupler.engines.onnx import OnnxEngine
from coupler.engines.selftest import self_test
from coupler.errors import HaloclineError
from models.settings import NamTrain
from models.training import checkpoint, scores
from models.training.fit import fit, prepare, read, seeded, settings
from models.training.module import Fit
from tests.training.synthetic import configuration, dataset, write

QUIET = Console(quiet=True)
ROOT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
EPOCHS = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    write(dataset(), folder / "data.zarr")
    return folder


def trained(place, name, data="data.zarr", epochs=EPOCHS, more="cn_formats = ''", console=QUIET):
    cfg = configuration(place / name, place / data, epochs, more)
    return fit(cfg, place / f"run_{name}", console=console)


@pytest.fixture(scope="module")
def good(place):
    return trained(place, "good", more="cn_formats = 'onnx', 'pt2'")


def skill(run, part="test"):
    rows = json.loads((run / "scores.json").read_text())[part]
    return [row["r2_zero"] for row in rows]


def test_it_learns(good):
    """R2 about zero on states that it never saw; every output and level."""
    assert min(skill(good)) > 0.3 and min(skill(good, "validation")) > 0.3


def test_a_shuffled_target_is_not_learnt(place):
    """The twin: targets of other states. It must not look like skill."""
    data = dataset()
    order = np.random.default_rng(0).permutation(data.sizes["time"])
    for name in ("du", "dv"):
        data[name].values[:] = data[name].values[order]
    write(data, place / "shuffled.zarr")
    assert max(skill(trained(place, "shuffled", "shuffled.zarr"))) <= 0.02


def test_the_wrong_sign_is_seen(place):
    """Trained on -S, scored on S: worse than nothing."""
    write(dataset(sign=-1.0), place / "wrong.zarr")
    run = trained(place, "wrong", "wrong.zarr")
    train, parts = settings(place / "good")
    setup = prepare(train, parts, read(train))
    setup.network.load_state_dict(checkpoint.weights(run / checkpoint.LAST))
    found = scores.scores(lambda inputs: setup.network(setup.views[0].padding(inputs)), setup.samples)
    assert max(score.r2_zero for score in found["test"]) < -0.3


def test_the_artefact_carries_its_contract(good):
    """Radius as measured, hash of the data, seed, epochs; its self-test passes."""
    path = good / "tiny.onnx"
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    contract = Contract.from_json(metadata[KEY])
    assert (contract.name, contract.radius, contract.family) == ("tiny", 2, "momentum_cnn")
    assert [spec.name for spec in contract.inputs] == ["u", "v", "h", "tmask", "umask", "vmask"]
    assert contract.trained_on["seed"] == "1" and contract.trained_on["epochs"] == str(EPOCHS)
    assert len(contract.trained_on["sha256"]) == 64
    assert self_test(OnnxEngine(path.read_bytes(), path)) == "bitwise"


def test_the_folder_says_what_happened(good):
    rows = list(csv.DictReader((good / "history.csv").open()))
    assert [int(float(row["epoch"])) for row in rows] == list(range(1, EPOCHS + 1))
    assert checkpoint.read(good / checkpoint.LAST)["epoch"] == EPOCHS - 1
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    card = (good / "README.md").read_text()
    assert "R2 about zero" in card and "cn_name" in card and "Not scored yet" in card
    assert (good / "learning.png").stat().st_size > 5000
    assert not [path for path in good.iterdir() if "part" in path.name or path.name.startswith(".")]


@pytest.mark.slow
def test_the_same_namelist_gives_the_same_bytes(place, good):
    again = trained(place, "again", more="cn_formats = 'onnx', 'pt2'")
    for name in ("tiny.onnx", "tiny.pt2"):
        one, other = (hashlib.sha256((run / name).read_bytes()).hexdigest() for run in (good, again))
        assert one == other
    seed = trained(place, "seed", more="cn_formats = '', nn_seed = 2")
    assert different(seed, good)


def different(run, other, name=checkpoint.LAST):
    a, b = (checkpoint.weights(folder / name) for folder in (run, other))
    return any(not torch.equal(a[key], b[key]) for key in a)


def test_another_seed_has_a_name_and_a_number_of_its_own():
    train = NamTrain(cn_name="net", nn_seed=1)
    other = seeded(train, 7)
    assert (other.cn_name, other.nn_seed, train.nn_seed) == ("net_s7", 7, 1)


def test_a_finished_training_only_exports(place, good):
    before = (good / checkpoint.LAST).stat().st_mtime_ns
    (good / "tiny.onnx").unlink()
    trained(place, "good", more="cn_formats = 'onnx', 'pt2'")
    assert (good / "tiny.onnx").exists() and (good / checkpoint.LAST).stat().st_mtime_ns == before


def test_another_recipe_is_refused_in_a_folder(place, good):
    """Naming what differs; switches that do not change the weights may differ."""
    with pytest.raises(HaloclineError, match=r"rn_lr: 0.002 there, 0.001 now"):
        trained(place, "good", more="cn_formats = '', rn_lr = 0.001")
    trained(place, "good", more="cn_formats = '', nn_threads = 2")


def test_a_folder_of_something_else_is_left_alone(place, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    configuration(place / "other", place / "data.zarr")
    with pytest.raises(HaloclineError, match="no folder of a training"):
        fit(place / "other", tmp_path, overwrite=True, console=QUIET)
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_ocean_s_run_folder_is_left_alone(place, tmp_path, overwrite):
    """It has a namelist_cfg, too; with &namtrain in it, the twin, the folder is a training's."""
    cfg, ocean = configuration(place / "ocean", place / "data.zarr", 1, "cn_formats = ''"), tmp_path / "run"
    ocean.mkdir()
    (ocean / "namelist_cfg").write_text("&namdom\n   rn_Dt = 3200.\n/\n")
    (ocean / "restart.nc").write_text("years of work")
    with pytest.raises(HaloclineError, match="no folder of a training(.|\n)*--rundir"):
        fit(cfg, ocean, overwrite=overwrite, console=QUIET)
    assert sorted(path.name for path in ocean.iterdir()) == ["namelist_cfg", "restart.nc"]
    (ocean / "namelist_cfg").write_text((cfg / "namelist_cfg").read_text())
    fit(cfg, ocean, overwrite=overwrite, console=QUIET)
    assert (ocean / checkpoint.LAST).exists() and (ocean / "restart.nc").exists() is not overwrite


def test_a_folder_that_is_not_there_is_named_before_torch_is_read(place, tmp_path):
    """The command's process has not imported torch when it says so; the twin with a namelist has."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom models.training.commands import train\n"
        "try:\n    train(Path(sys.argv[1]))\nexcept Exception as error:\n    print(error)\nprint('torch' in sys.modules)"
    )

    def said(cfg):
        command = [sys.executable, "-c", code, str(cfg)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, env=ROOT).stdout

    missing = said(tmp_path / "nothing")
    assert "nothing" in missing and missing.endswith("False\n")
    assert said(configuration(tmp_path / "cfg", tmp_path / "no.zarr")).endswith("True\n")


def test_a_broken_checkpoint_is_named(place, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / checkpoint.LAST).write_bytes(b"not a checkpoint")
    configuration(place / "broken", place / "data.zarr")
    with pytest.raises(HaloclineError, match="is no checkpoint of a training"):
        fit(place / "broken", run, console=QUIET)


def test_a_pickle_is_not_run(place, tmp_path):
    """A checkpoint that holds code is refused; torch.load without weights_only, the twin, would run it."""
    run, trap = tmp_path / "run", tmp_path / "sprung"
    run.mkdir()
    torch.save({"state_dict": Trap(trap)}, run / checkpoint.LAST)
    configuration(place / "trap", place / "data.zarr")
    with pytest.raises(HaloclineError, match="is no checkpoint"):
        fit(place / "trap", run, console=QUIET)
    assert not trap.exists()
    torch.load(run / checkpoint.LAST, weights_only=False)
    assert trap.exists()


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


def test_a_diverging_training_stops_with_epoch_and_sample(place):
    with pytest.raises(HaloclineError, match=r"the loss is (nan|inf) in epoch \d+, first at sample \d+"):
        trained(place, "diverged", more="cn_formats = '', rn_lr = 1.e30")


def test_an_interrupt_ends_in_words_and_goes_on(place, good, monkeypatch):
    """Ctrl-C in the third epoch; the same command ends with the weights of the training that nobody touched."""

    def interrupted(self):
        if self.current_epoch == 2:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch, pytest.raises(HaloclineError, match="interrupted. The same command goes on"):
        patch.setattr(Fit, "on_train_epoch_start", interrupted)
        trained(place, "interrupted")
    signal.signal(signal.SIGINT, before)
    assert checkpoint.read(place / "run_interrupted" / checkpoint.LAST)["epoch"] == 1
    assert different(place / "run_interrupted", good)
    assert not different(trained(place, "interrupted"), good)


def test_early_stopping_keeps_the_best(place):
    """It ends before the last epoch, exports the best weights, and a second call changes nothing."""
    run = trained(place, "early", epochs=60, more="cn_formats = '', nn_patience = 2, rn_lr = 0.1")
    rows = list(csv.DictReader((run / "history.csv").open()))
    assert len(rows) < 60
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert checkpoint.read(run / checkpoint.BEST)["epoch"] + 1 == float(best["epoch"])
    before = (run / checkpoint.LAST).read_bytes()
    trained(place, "early", epochs=60, more="cn_formats = '', nn_patience = 2, rn_lr = 0.1")
    assert (run / checkpoint.LAST).read_bytes() == before


def test_averaged_weights_are_what_is_exported(place, good):
    """rn_ema: other weights than the last ones, and they are those in the scores."""
    run = trained(place, "ema", more="cn_formats = '', rn_ema = 0.9")
    assert different(run, good)
    state = checkpoint.read(run / checkpoint.LAST)
    last = {key.removeprefix("network."): value for key, value in state["current_model_state"].items()}
    assert all(torch.equal(last[key], value) for key, value in checkpoint.weights(good / checkpoint.LAST).items())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("cn_loss = 'nll'", "do not go together"),
        ("cn_formats = 'mom6'", "is for cn_family = 'stress_ann'"),
        ("cn_formats = 'h5'", "format 'h5' is not known"),
        ("cn_device = 'cuda:99'", "GPUs are there"),
        ("cn_device = 'tpu'", "Allowed: 'cpu'"),
        ("nn_batch = 400", "nn_batch is 400"),
        ("cn_inputs = 'u', 'v', 'w'", "'w'"),
        ("nn_kernals = 3", "nn_kernels"),
    ],
)
def test_a_mistake_in_the_namelist_ends_in_words(place, tmp_path, more, words):
    configuration(tmp_path, place / "data.zarr", more=more)
    with pytest.raises(HaloclineError, match=words):
        fit(tmp_path, tmp_path / "run", console=QUIET)
    assert not list((tmp_path / "run").glob("*.onnx")) if (tmp_path / "run").exists() else True


def test_a_data_set_that_is_not_there_is_named(tmp_path):
    configuration(tmp_path, tmp_path / "nothing.zarr")
    with pytest.raises(HaloclineError, match="there is no data set"):
        fit(tmp_path, tmp_path / "run", console=QUIET)
