"""What is learned from visited states without the ocean's gradient: targets, a buffer of them, the optimiser's steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.rollout.weights import Weights, Window
from models.settings import NamRollout
from models.training.loader import NOISE, ORDER, VIEW, Batch
from models.training.perturb import generator

if TYPE_CHECKING:
    from models.training.setup import Setup


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


class Learner(Weights):
    """Weights that are drawn to the truth from where the ocean gets to.

    A target at a visited state is what the running network answered there plus the tendency that it lacked in the window:

        y = N_running(x) + f (truth - background) / window,    f = rn_correct, the second term within +- rn_clip rms

    It is a fixed number from then on, whatever the weights become. Without N_running(x) the network would forget what keeps the
    error small as soon as the error is small.
    """

    def __init__(self, setup: "Setup", rollout: NamRollout, windows: int) -> None:
        """windows: of the whole training. HaloclineError for inputs that backgrounds do not hold."""
        super().__init__(setup, max(1, windows * rollout.nn_steps))
        self.rollout = rollout
        self.buffer = Buffer(2 * rollout.nn_buffer)
        self.limit = rollout.rn_clip * setup.views[0].loss.rms if rollout.rn_clip else None

    def visit(self, window: Window) -> dict[str, float]:
        """Targets at the states that a window began and ended with, then nn_steps steps; mean loss, rms correction [m s-2]."""
        lacked = torch.cat([torch.from_numpy(window.error[name]) for name in self.driven]) / window.seconds
        correction = torch.where(self.setup.samples.wet, self.rollout.rn_correct * lacked, 0.0).float()
        if self.limit is not None:
            correction = torch.clamp(correction, -self.limit, self.limit)
        inputs = torch.stack([self.inputs(state) for state in (window.begin, window.background)])
        self.buffer.add(inputs, self.answer(inputs) + correction)
        return {"loss": self._fit(window.number), "correction": float(correction.square().mean().sqrt())}

    def learn(self, version: int) -> dict[str, float]:
        """Nothing more: each window has been learnt from at its end."""
        return {}

    def answer(self, inputs: Tensor) -> Tensor:
        """What the ocean got at states (n, c, ny, nx): (n, o, ny, nx) [m s-2]."""
        with torch.no_grad():
            return self.running(self.padding(inputs))

    def _fit(self, window: int) -> float:
        """nn_steps steps on batches from the buffer and, by rn_offline, from the offline samples; their mean loss.

        HaloclineError when it is no number.
        """
        train, losses = self.setup.train, 0.0
        for step in range(self.rollout.nn_steps):
            batch = self._batch(window, step)
            loss = self.setup.views[batch.view](self.network, batch).mean()
            if not torch.isfinite(loss):
                raise HaloclineError(
                    f"the loss is {float(loss.detach())} in window {window}: the training diverged.\n  {train.where('rn_lr')}. "
                    "Lower rn_lr, set rn_clip_grad = 1, or rn_clip in &namrollout."
                )
            self.step(loss)
            losses += float(loss.detach())
        return losses / self.rollout.nn_steps

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

    def state(self) -> dict[str, Any]:
        """See Weights."""
        return {**super().state(), "inputs": self.buffer.inputs, "target": self.buffer.target}

    def load(self, state: Mapping[str, Any]) -> None:
        """See Weights."""
        super().load(state)
        self.buffer.inputs, self.buffer.target = list(state["inputs"]), list(state["target"])
