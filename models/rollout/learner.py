"""What is learned from visited states: targets, a buffer of them, and the steps of the optimiser."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.data.background import State
from models.settings import NamRollout
from models.training.loader import NOISE, ORDER, VIEW, Batch
from models.training.perturb import generator

if TYPE_CHECKING:
    from models.training.fit import Setup


@dataclass
class Buffer:
    """The last visited states (c, ny, nx) and their targets (o, ny, nx) [m s-2], the oldest first."""

    room: int
    inputs: list[Tensor] = field(default_factory=list)
    target: list[Tensor] = field(default_factory=list)

    def add(self, inputs: Tensor, target: Tensor) -> None:
        """States (n, c, ny, nx) and targets (n, o, ny, nx); the oldest make room."""
        self.inputs += list(inputs)
        self.target += list(target)
        del self.inputs[: -self.room], self.target[: -self.room]

    def __len__(self) -> int:
        return len(self.inputs)


class Learner:
    """The network that is trained, and the copy of it that runs in the ocean.

    A target at a visited state is what the running network answered there plus the tendency that it lacked in the window:

        y = N_running(x) + f (truth - background) / window,    f = rn_correct, the second term within +- rn_clip rms

    It is a fixed number from then on, whatever the weights become. Without N_running(x) the network would forget what keeps the
    error small as soon as the error is small.
    """

    def __init__(self, setup: "Setup", rollout: NamRollout, windows: int) -> None:
        """windows: of the whole training. HaloclineError for inputs that backgrounds do not hold."""
        fitted = setup.network.fitted
        assert fitted is not None  # families without weights return tendencies of no kind that this mode trains
        self.setup, self.rollout, self.network = setup, rollout, fitted
        self.names = list(dict.fromkeys(channel.name for channel in setup.samples.channels))
        self.driven = list(dict.fromkeys(channel.name.removeprefix("d") for channel in setup.samples.outputs))
        for name in (*self.names, *self.driven):
            if name not in ("u", "v", "h", "t"):
                raise HaloclineError(
                    f"the network reads or drives '{name}', which the ocean's backgrounds do not hold (u, v, h, t).\n"
                    f"  {setup.train.where('cn_inputs')}."
                )
        self.released, self.average = copy.deepcopy(setup.network).eval(), copy.deepcopy(fitted)
        train, steps = setup.train, max(1, windows * rollout.nn_steps)
        self.optimizer = torch.optim.AdamW(fitted.parameters(), lr=train.rn_lr, weight_decay=train.rn_decay)
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        )
        self.buffer = Buffer(2 * rollout.nn_buffer)
        rms = setup.views[0].loss.rms
        self.limit = rollout.rn_clip * rms if rollout.rn_clip else None

    @property
    def running(self) -> torch.nn.Module:
        """The network that runs in the ocean."""
        assert self.released.fitted is not None  # as in the network that is trained
        return self.released.fitted

    def inputs(self, state: State) -> Tensor:
        """A state (levels, ny, nx) by name to the network's channels (c, ny, nx), zero under land."""
        joined = torch.cat([torch.from_numpy(state[name]).float() for name in self.names])
        return torch.where(self.setup.samples.wet_inputs, joined, 0.0)

    def visit(self, states: Sequence[State], error: State, window: float) -> Tensor:
        """Add what a window of `window` seconds has taught at some of its states; returns the correction (o, ny, nx) [m s-2].

        error: truth minus background at its end.
        """
        lacked = torch.cat([torch.from_numpy(error[name]) for name in self.driven]) / window
        correction = torch.where(self.setup.samples.wet, self.rollout.rn_correct * lacked, 0.0).float()
        if self.limit is not None:
            correction = torch.clamp(correction, -self.limit, self.limit)
        inputs = torch.stack([self.inputs(state) for state in states])
        self.buffer.add(inputs, self.answer(inputs) + correction)
        return correction

    def answer(self, inputs: Tensor) -> Tensor:
        """What the ocean got at states (n, c, ny, nx): (n, o, ny, nx) [m s-2]."""
        with torch.no_grad():
            return self.running(self.setup.views[0].padding(inputs))

    def learn(self, window: int) -> float:
        """nn_steps steps on batches from the buffer and, by rn_offline, from the offline samples; their mean loss.

        HaloclineError when it is no number.
        """
        train, losses = self.setup.train, 0.0
        for step in range(self.rollout.nn_steps):
            batch = self._batch(window, step)
            loss = self.setup.views[batch.view](self.network, batch).mean()
            if not torch.isfinite(loss):
                raise HaloclineError(
                    f"the loss is {float(loss)} in window {window}: the training diverged.\n  {train.where('rn_lr')}. Lower "
                    "rn_lr, set rn_clip_grad = 1, or rn_clip in &namrollout."
                )
            self.optimizer.zero_grad()
            loss.backward()
            if train.rn_clip_grad:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), train.rn_clip_grad)
            self.optimizer.step()
            self.rate.step()
            self._averaged(train.rn_ema)
            losses += float(loss.detach())
        return losses / self.rollout.nn_steps

    def _averaged(self, decay: float) -> None:
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - decay)

    def _batch(self, window: int, step: int) -> Batch:
        """Drawn by (seed, window, step) alone, so that a training that goes on draws the same.

        Noise goes on the offline samples only. A network answers noisy states with less than it was told; where its own answer
        is the target, it would shrink with every turn.
        """
        setup, train = self.setup, self.setup.train
        key = train.nn_seed, window, step
        count = train.nn_batch
        old = round(self.rollout.rn_offline * count)
        stream = generator(ORDER, *key)
        new = torch.randint(len(self.buffer), (count - old,), generator=stream).tolist()
        kept = torch.from_numpy(setup.samples.train)[torch.randint(len(setup.samples.train), (old,), generator=stream)]
        inputs, target = setup.samples.inputs[kept], setup.samples.target[kept]
        if setup.perturb is not None and old:
            inputs, target = setup.perturb(inputs, target, [generator(NOISE, *key, number) for number in range(old)])
        inputs = torch.stack([*(self.buffer.inputs[n] for n in new), *inputs])
        target = torch.stack([*(self.buffer.target[n] for n in new), *target])
        view = int(torch.randint(len(setup.views), (1,), generator=generator(VIEW, *key)))
        return Batch(inputs, target, torch.zeros(count, dtype=torch.int64), count, view)

    def release(self) -> None:
        """What has been learned runs from now on: the averaged weights with rn_ema, else the last."""
        source = self.average if self.setup.train.rn_ema else self.network
        self.running.load_state_dict(source.state_dict())

    def state(self) -> dict[str, Any]:
        """All that a training which goes on needs, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": {"last_epoch": self.rate.last_epoch},
            "inputs": self.buffer.inputs,
            "target": self.buffer.target,
        }

    def load(self, state: dict[str, Any], running: dict[str, Tensor]) -> None:
        """The inverse; running: the weights that run in the ocean."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.running.load_state_dict(running)
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.last_epoch = state["rate"]["last_epoch"]
        self.rate._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.buffer.inputs, self.buffer.target = list(state["inputs"]), list(state["target"])
