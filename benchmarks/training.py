"""Samples per second of `halocline train` against a bare torch loop: same network, data, batch, optimiser and noise.

    python benchmarks/training.py [DATA.zarr] [--rounds 3] [--threads 1]

Without DATA.zarr, random states of the double gyre's size (50 x 50 cells with its rim, two layers). The bare loop holds padded
states in memory, draws noise for the batch with one call, and validates; ours pads each batch with the coupler's index map, draws
the noise of each sample from its own stream, validates, writes checkpoints and the learning curve.
Threes of epochs of the two alternate, the fastest of each counts; with one thread by the processor's clock, which other jobs on
the machine disturb less.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from models.data import store
from models.settings import NamSplit, NamTrain
from models.training import fit
from models.training.loader import SampleData
from models.training.module import Fit
from models.training.setup import Setup
from models.training.trainer import calm, trainer_of

WIDTHS = (16, 32)
EPOCHS = 3  # of a round


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data = store.read(options.data, ()) if options.data else random_states()
    clock = time.process_time if options.threads == 1 else time.perf_counter
    table = Table("network", "weights", "samples", "bare loop", "halocline train", "ratio", title="samples per second")
    for width in WIDTHS:
        train = NamTrain(nn_width=width, nn_threads=options.threads, nn_epochs=EPOCHS)
        setup = fit.prepare(train, NamSplit(rn_gap=20.0), {"data": data})
        torch.set_num_threads(options.threads)
        used = len(setup.samples.train) // train.nn_batch * train.nn_batch
        bare, ours = [], []
        loop = BareLoop(setup)
        for _ in range(options.rounds):
            bare += [loop.epoch(clock) for _ in range(EPOCHS)]
            ours.append(epoch(setup, clock))
        weights = sum(weight.numel() for weight in setup.network.parameters())
        rates = used / min(bare), used / min(ours)
        numbers = (str(weights), str(used), f"{rates[0]:.0f}", f"{rates[1]:.0f}", f"{rates[1] / rates[0]:.2f}")
        table.add_row(f"width {width}, kernels 5 3 3 3 3", *numbers)
    Console(width=110).print(table)


def epoch(setup: Setup, clock: Callable[[], float]) -> float:
    """Seconds of an epoch of ours, validation and files included; the fastest of EPOCHS."""
    with tempfile.TemporaryDirectory() as folder, calm():
        trainer = trainer_of(setup.train, Path(folder), Console(quiet=True))
        module = Fit(setup.network, setup.views, setup.train, setup.steps, {})
        watch = Stopwatch(clock)
        trainer.callbacks.append(watch)  # after the checkpoints
        trainer.fit(module, SampleData(setup.samples, setup.train, setup.perturb))
        return watch.seconds


class Stopwatch(Callback):
    """Seconds of the fastest epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.seconds = clock, float("inf")

    def on_train_epoch_start(self, *_: object) -> None:
        """Start."""
        self.start = self.clock()

    def on_train_epoch_end(self, *_: object) -> None:
        """Stop."""
        self.seconds = min(self.seconds, self.clock() - self.start)


class BareLoop:
    """The loop that one would write by hand; everything that can be computed before it has been."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.network, samples = setup, setup.network, setup.samples
        with torch.no_grad():
            view, radius = setup.views[0], setup.network.radius
            self.inputs = view.padding(samples.inputs)
            self.target = samples.target / view.loss.rms
            self.mask = view.loss.weight
            assert setup.perturb is not None
            noise = samples.wet_inputs * setup.perturb.std[:, None, None]
            self.noise = torch.nn.functional.pad(noise, (radius,) * 4)
        self.inner = (..., slice(radius, -radius), slice(radius, -radius))
        train = setup.train
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=train.rn_lr, weight_decay=train.rn_decay)
        self.rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 1000)

    def loss(self, inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean squared error over wet points, targets in units of their rms."""
        error = self.network(inputs) / self.setup.views[0].loss.rms - target
        return (error.square() * self.mask).sum() / len(inputs)

    def epoch(self, clock: Callable[[], float]) -> float:
        """Seconds of one pass over training and validation part."""
        setup, fields = self.setup, len(self.setup.samples.channels)
        start = clock()
        order = torch.from_numpy(np.random.permutation(setup.samples.train))  # noqa: NPY002
        batch = setup.train.nn_batch
        for step in range(len(order) // batch):
            index = order[step * batch : (step + 1) * batch]
            inputs, target = self.inputs[index], self.target[index]
            noise = setup.train.rn_noise * torch.rand(batch, 1, 1, 1) * self.noise
            noise = noise * torch.randn(batch, fields, *inputs.shape[2:])
            inputs[:, :fields] += noise
            driven = noise[:, : target.shape[1]][self.inner]
            loss = self.loss(inputs, target - driven / setup.train.rn_restore / setup.views[0].loss.rms)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.rate.step()
            float(loss.detach())
        with torch.no_grad():
            for step in range(0, len(setup.samples.val), batch):
                index = torch.from_numpy(setup.samples.val[step : step + batch])
                float(self.loss(self.inputs[index], self.target[index]))
        return clock() - start


def random_states(states: int = 720, ny: int = 50, nx: int = 50, levels: int = 2) -> xr.Dataset:
    """White noise of the double gyre's sizes and magnitudes: speed does not depend on values."""
    rng = np.random.default_rng(1)
    mask = np.zeros((levels, ny, nx), np.float32)
    mask[:, 1:-1, 1:-1] = 1
    scales = {"u": 0.1, "v": 0.1, "h": 30.0, "du": 5e-7, "dv": 5e-7}
    fields = {name: scale * rng.standard_normal((states, levels, ny, nx), np.float32) for name, scale in scales.items()}
    fields["h"] += 500
    return xr.Dataset(
        {"time": ("time", 432000.0 * np.arange(states))}
        | {name: (("time", "k", "y", "x"), values * mask) for name, values in fields.items()}
        | dict.fromkeys(("tmask", "umask", "vmask"), (("k", "y", "x"), mask))
        | {"e1t": (("y", "x"), np.full((ny, nx), 4e4, np.float32))},
        attrs={"halocline_format": store.FORMAT},
    )


if __name__ == "__main__":
    main()
