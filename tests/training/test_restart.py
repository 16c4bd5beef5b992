"""A training that was killed, and one over two ranks: the same weights as one that ran alone to its end."""

import pytest
import torch
from rich.console import Console

from models.training import checkpoint
from models.training.fit import fit
from tests.training.runs import RUN, distance, killed, torchrun, weights
from tests.training.synthetic import configuration, dataset, write

EPOCHS = 40
MORE = "cn_formats = '', rn_ema = 0.9"
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With `run.py`, the configuration `cfg`, its data, and `whole`: the run of a training that nobody touched."""
    folder = tmp_path_factory.mktemp("restart")
    write(dataset(), folder / "data.zarr")
    (folder / "run.py").write_text(RUN)
    configuration(folder / "cfg", folder / "data.zarr", EPOCHS, MORE)
    fit(folder / "cfg", folder / "whole", console=QUIET)
    return folder


def history(run):
    """Rows of the learning curve, without the seconds, the last column."""
    return [row.rpartition(",")[0] for row in (run / "history.csv").read_text().splitlines()]


def test_a_killed_training_ends_with_the_same_bits(folder):
    """One thread; weights and learning curve. The twin that goes on without the optimiser's state ends elsewhere."""
    epochs = killed(folder, folder / "cfg", "killed")
    assert 1 <= epochs < EPOCHS
    state = torch.load(folder / "killed" / checkpoint.LAST, weights_only=True)
    fit(folder / "cfg", folder / "killed", console=QUIET)
    whole, again = weights(folder / "whole"), weights(folder / "killed")
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    assert history(folder / "killed") == history(folder / "whole")

    (folder / "forgetful").mkdir()
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, folder / "forgetful" / checkpoint.LAST)
    fit(folder / "cfg", folder / "forgetful", console=QUIET)
    assert distance(whole, weights(folder / "forgetful")) > 1e-3


@pytest.mark.mpi
def test_two_ranks_give_the_weights_of_one(folder):
    """1e-6 relative; the twin whose ranks see the same samples is far off."""
    cfg = configuration(folder / "short", folder / "data.zarr", 15, MORE)
    whole = weights(fit(cfg, folder / "one", console=QUIET))
    two, unsharded = torchrun(folder, cfg, "two", "unsharded")
    assert distance(whole, two) < 1e-6
    assert distance(whole, unsharded) > 1e-3
