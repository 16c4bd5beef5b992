"""The network that is trained beside the ocean, the copy of it that runs there, and the optimiser."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.data.background import State

if TYPE_CHECKING:
    from models.training.setup import Setup


@dataclass(frozen=True)
class Window:
    """What a window has shown: the state that it began with, the one that it ended with, truth minus that one.

    seconds: its length; recording: of its calls, where they are recorded.
    """

    number: int
    begin: State
    background: State
    error: State
    seconds: float
    recording: Path | None = None


class Weights(ABC):
    """Weights that are trained from what the windows of the ocean show, version by version.

    `network` is trained, `average` its running mean (rn_ema), `released` what the ocean runs with. AdamW under a cosine.
    """

    def __init__(self, setup: "Setup", steps: int) -> None:
        """steps: of the optimiser, in the whole training. HaloclineError for fields that the ocean's backgrounds do not hold."""
        fitted = setup.network.fitted
        assert fitted is not None  # families without weights return tendencies of no kind that these modes train
        self.setup, self.network = setup, fitted
        self.names = list(dict.fromkeys(channel.name for channel in setup.samples.channels))
        self.driven = list(dict.fromkeys(channel.name.removeprefix("d") for channel in setup.samples.outputs))
        for name in (*self.names, *self.driven):
            if name not in ("u", "v", "h", "t"):
                raise HaloclineError(
                    f"the network reads or drives '{name}', which the ocean's backgrounds do not hold (u, v, h, t).\n"
                    f"  {setup.train.where('cn_inputs')}."
                )
        self.released, self.average = copy.deepcopy(setup.network).eval(), copy.deepcopy(fitted)
        self.padding = setup.views[0].padding
        train = setup.train
        self.optimizer = torch.optim.AdamW(fitted.parameters(), lr=train.rn_lr, weight_decay=train.rn_decay)
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        )

    @property
    def running(self) -> torch.nn.Module:
        """The network that runs in the ocean."""
        assert self.released.fitted is not None  # as in the network that is trained
        return self.released.fitted

    @property
    def result(self) -> torch.nn.Module:
        """What is exported: the averaged weights with rn_ema, else the last."""
        return self.average if self.setup.train.rn_ema else self.network

    def inputs(self, state: State) -> Tensor:
        """A state (levels, ny, nx) by name to the network's channels (c, ny, nx), zero under land."""
        joined = torch.cat([torch.from_numpy(state[name]).float() for name in self.names])
        return torch.where(self.setup.samples.wet_inputs, joined, 0.0)

    @abstractmethod
    def visit(self, window: Window) -> dict[str, float]:
        """Take what a window has shown; numbers for its line in the log, `loss` among them."""

    @abstractmethod
    def learn(self, version: int) -> dict[str, float]:
        """The windows that `version` ran have ended; numbers for the line of the next one."""

    def step(self, loss: Tensor) -> float:
        """One step of the optimiser, clipped by rn_clip_grad; the norm of the gradient before that."""
        train = self.setup.train
        self.optimizer.zero_grad()
        loss.backward()
        clip = train.rn_clip_grad or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.optimizer.step()
        self.rate.step()
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - train.rn_ema)
        return float(norm)

    def release(self) -> None:
        """What has been learned runs from now on."""
        self.running.load_state_dict(self.result.state_dict())

    def state(self) -> dict[str, Any]:
        """All that a training which goes on needs, as tensors and plain values; what is exported is kept beside it."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": {"last_epoch": self.rate.last_epoch},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.release()
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.last_epoch = state["rate"]["last_epoch"]
        self.rate._last_lr = [group["lr"] for group in self.optimizer.param_groups]
