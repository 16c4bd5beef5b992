"""How near gradients along the ocean's trajectories are to the true one: those of the identity, of damping, of an emulator.

    python benchmarks/gradient.py                              needs runs/gyre_coarsen and runs/gyre_online_start_s1
    python benchmarks/gradient.py --emulator runs/gyre_emulator_s1 --windows 8

The true gradient goes through every step of the twin, which steps as the Fortran ocean does. Cosine: of gradients of the network's
weights, mean over windows of a gradient each, and of their sum; size over the true size; growth: sensitivity to the state at
the window's begin over that at its end, each field in the unit of the loss. The network is that of cn_start.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from coupler.errors import HaloclineError
from models.data.ocean import read_switches
from models.emulator.fit import FILE
from models.emulator.network import Emulator
from models.rollout import loop, ocean
from models.rollout.adjoint import Adjoint
from models.rollout.propagator import Damped
from models.settings import NamAdjoint, NamEmulator, NamRollout, load
from models.training import checkpoint, fit
from models.twin.closure import NetworkClosure
from models.twin.run import Twin
from models.twin.state import Level, State

DAY = 86400.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="?", type=Path, default=Path("namelists/gyre_emulator"))
    parser.add_argument("--emulator", type=Path, nargs="*", default=[], help="run folders of cn_mode = 'emulator'")
    parser.add_argument("--windows", type=int, default=4, help="spread over the training part")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    try:
        judge = Judge(options.cfg, options.windows)
        console.print(judge.table(options.emulator))
    except HaloclineError as error:
        console.print(f"not measured: {error}")


class Judge:
    """The windows of a configuration, their trajectories and their true gradients."""

    def __init__(self, cfg: Path, windows: int) -> None:
        train, parts = fit.settings(cfg)
        setup = fit.prepare(train, parts, fit.read(train))
        rollout, self.adjoint, self.switches = (load(cfg, group)[0] for group in (NamRollout, NamAdjoint, NamEmulator))
        setup = fit.beside(replace(setup, adjoint=self.adjoint, emulator=self.switches), rollout)
        self.setup, self.plan = setup, ocean.plan(rollout, setup)
        assert self.plan.calls is not None
        self.calls, self.change = self.plan.calls, loop._change(self.plan)
        self.twin = Twin(read_switches(Path(rollout.cn_ocean)), torch.float32)
        self.twin.physics = replace(self.twin.physics, ln_tra=False)
        learner = self.learner(Damped(setup.samples.channels, setup.samples.outputs, 0.0))
        self.network, self.unit = learner.network, 1.0 / learner.loss.change.square()
        first = torch.linspace(self.plan.first, self.plan.first + self.plan.count - 1, windows).long()
        states = [self.true(learner, int(number)) for number in (*first, *(first + 1))]
        self.begin, self.truth = torch.stack(states[:windows]), torch.stack(states[windows:])
        self.states, self.answers = self.run()
        self.true_gradients, self.true_growth = self.gradients(self.through_twin)

    def true(self, learner: Adjoint, number: int) -> Tensor:
        """A state of the truth (c, ny, nx)."""
        return learner.inputs(self.plan.truth.state(number))

    def learner(self, propagator: object) -> Adjoint:
        """What the training does with a propagator."""
        return Adjoint(self.setup, self.adjoint, self.calls, self.change, propagator, 1)

    def level(self, x: Tensor) -> Level:
        """A state (n, c, ny, nx) as a time level, layers at rest under land."""
        u, v, h = x.chunk(3, dim=1)
        depth = torch.tensor(self.twin.basin.depth)[:, None, None]
        return Level(u, v, torch.where(self.twin.basin.tmask.at() > 0, h, depth), torch.zeros_like(u[:, :1]))

    def closure(self) -> NetworkClosure:
        """The network in the twin."""
        return NetworkClosure(self.network, self.setup.views[0].padding, ["u", "v", "h"], self.setup.samples.levels)

    def run(self) -> tuple[Tensor, Tensor]:
        """States (n, calls + 1, c, ny, nx) and answers (n, calls, o, ny, nx) of the ocean with the network."""
        every = self.plan.steps // self.calls.number
        level, wet, closure = self.level(self.begin), self.setup.samples.wet_inputs, self.closure()
        with torch.no_grad():
            found = self.twin.states(State(level, level), 1, self.plan.steps, closure, every, forward=True)
            states = [torch.cat(one.now[:3], dim=1) * wet for n, one in enumerate(found, 1) if n % every == 0]
            states = [self.begin, *states]
            answers = [torch.cat(closure(self.level(x))[:2], dim=1) * self.setup.samples.wet for x in states[:-1]]
        return torch.stack(states, dim=1), torch.stack(answers, dim=1)

    def through_twin(self, number: int) -> tuple[Tensor, Tensor]:
        """The end of a window through every step, and its begin, which has a gradient."""
        begin = self.begin[number][None].clone().requires_grad_()
        level, every = self.level(begin), self.plan.steps // self.calls.number
        end = self.twin.window(State(level, level), 1, self.plan.steps, self.closure(), every, forward=True).now
        return torch.cat(end[:3], dim=1) * self.setup.samples.wet_inputs, begin

    def through(self, learner: Adjoint) -> Callable[[int], tuple[Tensor, Tensor]]:
        """The same with a propagator."""

        def one(number: int) -> tuple[Tensor, Tensor]:
            states = self.states[number][None].clone().requires_grad_()
            return learner.end(states, self.answers[number][None])[0], states

        return one

    def gradients(self, through: Callable[[int], tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
        """Of the weights, for each window (n, weights), and the growth of the sensitivity, mean over windows."""
        found, growth = [], 0.0
        loss = self.learner(Damped(self.setup.samples.channels, self.setup.samples.outputs, 0.0)).loss
        weights = list(self.network.parameters())
        for number in range(len(self.begin)):
            end, begin = through(number)
            back = torch.autograd.grad(loss(end, self.truth[number][None]).sum(), [*weights, end, begin])
            found.append(torch.cat([part.flatten() for part in back[:-2]]))
            first = back[-1] if back[-1].ndim == 4 else back[-1][:, 0]
            sizes = [float((part.square() / self.unit).sum().sqrt()) for part in (first, back[-2])]
            growth += sizes[0] / sizes[1] / len(self.begin)
        return torch.stack(found), growth

    def table(self, folders: list[Path]) -> Table:
        """A row for each propagator."""
        samples, seconds = self.setup.samples, self.calls.seconds
        rows: dict[str, object] = {"identity": Damped(samples.channels, samples.outputs, seconds)}
        for days in (4, 2, 1, 0.5):
            rows[f"damped in {days:g} days"] = Damped(
                samples.channels, samples.outputs, seconds, math.exp(-seconds / (days * DAY))
            )
        for folder in folders:
            emulator = Emulator(samples, self.switches, seconds, 1)
            emulator.load_state_dict(checkpoint.read(folder / FILE)["emulator"])
            rows[f"emulator of {folder.name}"] = emulator.requires_grad_(False)
        table = Table(
            "gradient", "cosine", "lowest", "of the sum", "size", "growth", title="against the twin's gradient"
        )
        true, norm = self.true_gradients, self.true_gradients.norm(dim=1)
        table.add_row("twin", "1", "1", "1", "1", f"{self.true_growth:.2f}")
        for name, propagator in rows.items():
            found, growth = self.gradients(self.through(self.learner(propagator)))
            cosine = torch.nn.functional.cosine_similarity(found, true, dim=1)
            total = torch.nn.functional.cosine_similarity(found.sum(dim=0), true.sum(dim=0), dim=0)
            size = (found.norm(dim=1) / norm).mean()
            numbers = (cosine.mean(), cosine.min(), total, size)
            table.add_row(name, *(f"{float(number):.3f}" for number in numbers), f"{growth:.2f}")
        return table


if __name__ == "__main__":
    main()
