"""The fit of the emulator, its error from one call to the next, and what it is to a training beside the ocean."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from coupler.errors import HaloclineError
from models.emulator.network import Emulator, rms
from models.emulator.record import Recorded, record
from models.settings import NamEmulator
from models.training import checkpoint
from models.training.perturb import generator
from models.training.samples import Samples

if TYPE_CHECKING:
    from models.rollout.ocean import Plan

FILE = "emulator.ckpt"  # of a training's folder: the emulator after its first fit
DRAW, REDRAW = 7727, 7741  # parts of the keys of random streams
WARM = 50  # steps in which the rate rises
CLIP = 1.0  # largest norm of the gradient
REFIT = 0.1  # rate on visited states, in rn_lr
BLOCK = 64  # pairs that are scored together
FLOOR = 0.1  # of the rms change of all pairs: is added to the change of a pair, in which its error counts

Scores = dict[str, dict[str, float]]


class Emulated:
    """The emulator as the propagator of a training beside the ocean: see models/rollout/propagator.py."""

    def __init__(self, emulator: Emulator, switches: NamEmulator, recorded: Recorded, seed: int) -> None:
        self.emulator, self.switches, self.seed = emulator.requires_grad_(False), switches, seed
        self.fitted = recorded.fitted
        self.units = _units(emulator, recorded.fitted)
        self.optimizer = torch.optim.AdamW(emulator.parameters(), lr=REFIT * switches.rn_lr, weight_decay=0.0)

    def __call__(self, x: Tensor, f: Tensor) -> Tensor:
        """See Propagator."""
        return self.emulator(x, f)

    def visited(self, version: int, x: Tensor, f: Tensor, x_next: Tensor) -> dict[str, float]:
        """nn_refit steps on batches of which half was visited and half recorded without closure; the error before them, of some.

        The force goes in as it was given, so that states of an ocean with a closure teach nothing of the closure.
        HaloclineError when the loss is no number.
        """
        few = slice(None, None, max(1, len(x) // BLOCK))
        missed = _errors(self.emulator, x[few], x_next[few], f[few])
        score = float(_ratio(missed, x_next[few] - x[few], self.emulator.wet).mean())
        self.emulator.requires_grad_(True)
        half = max(1, self.switches.nn_batch // 2)
        for step in range(self.switches.nn_refit):
            stream = generator(REDRAW, self.seed, version, step)
            some = torch.randint(len(x), (half,), generator=stream)
            error = self.emulator(x[some], f[some]) - x_next[some]
            loss = _squares(self.emulator, error, x_next[some] - x[some], self.units[0])
            loss = loss + _couples(self.emulator, self.fitted, self.units, max(1, half // 2), stream)
            _step(self.emulator, self.optimizer, loss, self.switches, f"after version {version}")
        self.emulator.requires_grad_(False)
        return {"one_step": score}

    def state_dict(self) -> dict[str, Any]:
        """Weights, scales and the optimiser; what was recorded is recorded again, the same."""
        return {"emulator": self.emulator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse."""
        self.emulator.load_state_dict(state["emulator"])
        self.optimizer.load_state_dict(state["optimizer"])


def emulated(
    plan: "Plan",
    samples: Samples,
    switches: NamEmulator,
    seed: int,
    folder: Path,
    log: Callable[..., None] | None,
    console: Console,
) -> Emulated:
    """Record the ocean of a plan without its closure, fit the emulator, say how good it is.

    A training that goes on records again, with the same bits, and finds the fit in its folder. log: takes the event 'emulator';
    None: it has one. HaloclineError for an ocean that dies and a fit that diverges.
    """
    assert plan.calls is not None  # of modes that learn along trajectories
    if not switches.nn_kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in switches.nn_kernels):
        raise HaloclineError(
            f"nn_kernels = {switches.nn_kernels}: kernels must be odd and positive.\n  {switches.where('nn_kernels')}. Use 3 or 5."
        )
    recorded = record(plan, samples, switches, seed, folder, console)
    emulator = Emulator(samples, switches, plan.calls.seconds, seed)
    path, recipe = folder / FILE, {**switches.model_dump(), "seed": seed, "data": samples.digest}
    if path.exists() and (found := checkpoint.read(path)).get("recipe") == recipe:
        emulator.load_state_dict(found["emulator"])
        scores = found["scores"]
    else:
        fit(emulator, recorded.fitted, switches, seed, console)
        scores = one_step(emulator, recorded.held)
        document = {"recipe": recipe, "emulator": emulator.state_dict(), "scores": scores}
        checkpoint.CheckpointFiles().save_checkpoint(document, path)
    console.print(said(scores, len(recorded.held) * 2), highlight=False, soft_wrap=True)
    if log is not None:
        log("emulator", window=0, kt=0, version=0, one_step=scores)
    return Emulated(emulator, switches, recorded, seed)


def fit(emulator: Emulator, couples: Tensor, switches: NamEmulator, seed: int, console: Console) -> None:
    """Fit to trajectories (couples, 2, calls + 1, c, ny, nx): nn_steps steps of AdamW, the rate a cosine after a short rise.

    Loss: squared errors of states, and of differences within a couple, in units of their change from call to call.
    HaloclineError when it is no number.
    """
    emulator.scale(couples)
    emulator.requires_grad_(True)
    units, steps = _units(emulator, couples), switches.nn_steps
    optimizer = torch.optim.AdamW(emulator.parameters(), lr=switches.rn_lr, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("emulator", total=steps)
        for step in range(steps):
            loss = _couples(emulator, couples, units, switches.nn_batch // 2, generator(DRAW, seed, step))
            _step(emulator, optimizer, loss, switches, f"in step {step + 1}")
            rate.step()
            bar.update(task, completed=step + 1)
    emulator.requires_grad_(False)


def one_step(emulator: Emulator, couples: Tensor) -> Scores:
    """By field, over trajectories (couples, 2, calls + 1, c, ny, nx), levels averaged: rms error from one call to the next.

    change: of each pair in its own rms change (1: persistence); difference: the same of differences within couples; state: in
    the standard deviation of the states over cells and time; bias: of the mean error, in the rms change.
    """
    wet, before, after = emulator.wet, couples[:, :, :-1], couples[:, :, 1:]
    error = _errors(emulator, before.flatten(0, 2), after.flatten(0, 2)).unflatten(0, before.shape[:3])
    change = after - before
    numbers = {
        "change": _ratio(error, change, wet),
        "state": rms(error, wet) / emulator.std,
        "difference": _ratio(error[:, 0] - error[:, 1], change[:, 0] - change[:, 1], wet),
        "bias": rms(error.flatten(0, 2).mean(dim=0, keepdim=True), wet) / rms(change, wet),
    }
    names = [channel.name for channel in emulator.channels]
    return {
        name: {key: float(value.flatten()[[n == name for n in names]].mean()) for key, value in numbers.items()}
        for name in dict.fromkeys(names)
    }


def said(scores: Scores, windows: int) -> str:
    """The scores as a sentence."""
    parts = (f"{name} {one['change']:.3f} ({one['state']:.2g} of the state)" for name, one in scores.items())
    return (
        f"emulator: error from one call to the next, persistence = 1, in {windows} held-out windows: {', '.join(parts)}"
    )


def _errors(emulator: Emulator, x: Tensor, x_next: Tensor, f: Tensor | None = None) -> Tensor:
    """Emulated minus true states (n, c, ny, nx), piece by piece."""
    with torch.no_grad():
        pieces = [
            emulator(x[n : n + BLOCK], None if f is None else f[n : n + BLOCK]) - x_next[n : n + BLOCK]
            for n in range(0, len(x), BLOCK)
        ]
    return torch.cat(pieces)


def _ratio(error: Tensor, change: Tensor, wet: Tensor) -> Tensor:
    """Errors of pairs (..., c, ny, nx), each in the rms of its own change: root mean square over pairs, by channel (c,)."""
    squares = [(part * wet).square().double().sum(dim=(-2, -1)) for part in (error, change)]
    return (squares[0] / squares[1]).flatten(0, -2).mean(dim=0).sqrt()


def _units(emulator: Emulator, couples: Tensor) -> tuple[Tensor, Tensor]:
    """Rms change from call to call (c, 1, 1) of states, and of differences within couples."""
    change = couples[:, :, 1:] - couples[:, :, :-1]
    return rms(change, emulator.wet), rms(change[:, 0] - change[:, 1], emulator.wet)


def _couples(
    emulator: Emulator, couples: Tensor, units: tuple[Tensor, Tensor], count: int, stream: torch.Generator
) -> Tensor:
    """The loss of `count` couples at random calls."""
    some = torch.randint(len(couples), (count,), generator=stream)
    calls = torch.randint(couples.shape[2] - 1, (count,), generator=stream)
    x, x_next = (couples[some, :, calls + later].flatten(0, 1) for later in (0, 1))
    error, change = emulator(x) - x_next, x_next - x
    error_apart, change_apart = (part[0::2] - part[1::2] for part in (error, change))
    return _squares(emulator, error, change, units[0]) + _squares(emulator, error_apart, change_apart, units[1])


def _squares(emulator: Emulator, error: Tensor, change: Tensor, unit: Tensor) -> Tensor:
    """Mean square over wet cells and channels, in units of the pair's own change and a part of `unit` (c, 1, 1).

    The waves that the noise starts change ten times as fast as the states that a training gets to.
    """
    cells = emulator.wet.sum(dim=(1, 2), keepdim=True)
    own = ((change * emulator.wet).square().sum(dim=(2, 3), keepdim=True) / cells).sqrt()
    return ((error / (own + FLOOR * unit)).square() * emulator.wet / cells).sum() / (len(error) * len(cells))


def _step(emulator: Emulator, optimizer: torch.optim.Optimizer, loss: Tensor, switches: NamEmulator, when: str) -> None:
    """HaloclineError when the loss is no number."""
    if not torch.isfinite(loss):
        raise HaloclineError(
            f"the emulator's loss is {float(loss.detach())} {when}: its fit diverged.\n  {switches.where('rn_lr')}. Lower rn_lr in "
            "&namemulator."
        )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(emulator.parameters(), CLIP)
    optimizer.step()
