"""Trainings in processes of their own, killed on their way or over two ranks, and what their weights have in common.

A folder holds `run.py`, which trains a configuration in one run folder after the other.
"""

import os
import signal
import subprocess
import sys
import time

from models.training import checkpoint
from tests.conftest import REPO

# Ranks of a run folder that is called unsharded do not know of each other: both see every sample.
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


def environment():
    """One thread, and the code of this repository."""
    return {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


def killed(folder, cfg, run):
    """Start a training, and SIGKILL it after a few epochs; how many epochs its checkpoint holds."""
    command = [sys.executable, folder / "run.py", cfg, folder / run]
    with (folder / f"{run}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            history = folder / run / "history.csv"
            if history.exists() and len(history.read_text().splitlines()) > 4:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (folder / f"{run}.log").read_text()
    return checkpoint.read(folder / run / checkpoint.LAST)["epoch"] + 1


def torchrun(folder, cfg, *runs):
    """The weights of trainings over two ranks, one run folder after the other."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [folder / "run.py", cfg, *(folder / run for run in runs)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    return [weights(folder / run) for run in runs]


def weights(folder):
    """Of the last checkpoint."""
    return checkpoint.weights(folder / checkpoint.LAST)


def distance(one, other):
    """Largest relative difference of a weight array, in its norm."""
    return max(float((a - other[key]).norm() / a.norm()) for key, a in one.items() if key.endswith(("weight", "bias")))
