"""A training that was killed, and one over two ranks: the same weights as one that ran alone to its end."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from rich.console import Console

from models.training import checkpoint
from models.training.fit import fit
from tests.conftest import REPO
from tests.training.synthetic import configuration, dataset, write

EPOCHS = 40
MORE = "cn_formats = '', rn_ema = 0.9"
RUN = """
import sys
from pathlib import Path
from models.training import fit, loader
order = loader.Order.__iter__
for run in sys.argv[2:]:
    if "unsharded" in run:
        loader.Order.__iter__ = lambda self: order(loader.Order(self.samples, self.batch, self.seed, self.shuffle))
    fit.fit(Path(sys.argv[1]), Path(run))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restart")
    write(dataset(), folder / "data.zarr")
    (folder / "run.py").write_text(RUN)
    configuration(folder / "cfg", folder / "data.zarr", EPOCHS, MORE)
    fit(folder / "cfg", folder / "whole", console=Console(quiet=True))
    return folder


def environment():
    return {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


def killed(place, cfg, run):
    """Start a training, and SIGKILL it after a few epochs; its last whole epoch, counted from 1."""
    command = [sys.executable, place / "run.py", cfg, place / run]
    with (place / f"{run}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            history = place / run / "history.csv"
            if history.exists() and len(history.read_text().splitlines()) > 4:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (place / f"{run}.log").read_text()
    return checkpoint.read(place / run / checkpoint.LAST)["epoch"] + 1


def weights(folder):
    return checkpoint.weights(folder / checkpoint.LAST)


def distance(one, other):
    """Largest relative difference of a weight array, in its norm."""
    return max(float((a - other[key]).norm() / a.norm()) for key, a in one.items() if key.endswith(("weight", "bias")))


def test_a_killed_training_ends_with_the_same_bits(place):
    """One thread. The twin that goes on without the optimiser's state ends elsewhere."""
    epochs = killed(place, place / "cfg", "killed")
    assert 1 <= epochs < EPOCHS
    state = torch.load(place / "killed" / checkpoint.LAST, weights_only=True)
    fit(place / "cfg", place / "killed", console=Console(quiet=True))
    whole, again = weights(place / "whole"), weights(place / "killed")
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    rows = [(place / run / "history.csv").read_text().splitlines() for run in ("whole", "killed")]
    strip = [[row.rpartition(",")[0] for row in table] for table in rows]  # all but the seconds
    assert strip[0] == strip[1]

    (place / "forgetful").mkdir()
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, place / "forgetful" / checkpoint.LAST)
    fit(place / "cfg", place / "forgetful", console=Console(quiet=True))
    assert distance(whole, weights(place / "forgetful")) > 1e-3


def torchrun(place, cfg, *runs):
    """Two ranks that train in one run folder after the other; those named unsharded see the same samples."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [place / "run.py", cfg, *(place / run for run in runs)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return [weights(place / run) for run in runs]


@pytest.mark.mpi
def test_two_ranks_give_the_weights_of_one(place):
    """1e-6 relative; the twin whose ranks see the same samples is far off."""
    cfg = configuration(place / "short", place / "data.zarr", 15, MORE)
    whole = weights(fit(cfg, place / "one", console=Console(quiet=True)))
    two, unsharded = torchrun(place, cfg, "two", "unsharded")
    assert distance(whole, two) < 1e-6
    assert distance(whole, unsharded) > 1e-3
