"""What the emulator is fitted to: windows of the running ocean without a closure, in couples that begin with opposite noise.

The difference of a couple's trajectories shows the ocean's response to a small change, the Jacobian, which a sum over states
hardly weighs: a perturbation of a tenth of a standard deviation is a hundredth of the variance.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from coupler import launch
from coupler.errors import HaloclineError
from models.assimilation.analysis import wet
from models.assimilation.job import OceanJob
from models.data.background import State, background_file, increments_file, read_background, write_increments
from models.rollout import ocean
from models.rollout.ocean import Plan
from models.rollout.trajectory import Calls, read, record_file
from models.rollout.versions import Version
from models.settings import NamEmulator
from models.training.perturb import generator
from models.training.samples import Samples

FOLDER = "emulator_ocean"  # of the run that is recorded; removed when it has been read
NOISE = 7717  # part of the key of random streams
SCALE = 2.5  # cells: standard deviation of the Gaussian that makes the smooth half of the noise
QUARTER = 4


@dataclass(frozen=True)
class Recorded:
    """Trajectories (couples, 2, calls + 1, c, ny, nx), physical units, 0 under land; every fourth couple is held out."""

    fitted: Tensor
    held: Tensor

    @classmethod
    def of(cls, couples: Tensor) -> "Recorded":
        """Cut a quarter off, the last couple at least."""
        held = torch.zeros(len(couples), dtype=torch.bool)
        held[QUARTER - 1 :: QUARTER] = True
        held[-1] |= not held.any()
        return cls(couples[~held], couples[held])


def record(plan: Plan, samples: Samples, switches: NamEmulator, seed: int, folder: Path, console: Console) -> Recorded:
    """Run the ocean of a plan without its closure through nn_windows windows; the states at every call and at the end.

    Each couple of windows begins with a state of the truth plus and minus rn_perturb standard deviations of noise, half of it white
    and half smooth; the ocean itself balances them. HaloclineError for an ocean that dies, and where a closure answers.
    """
    assert plan.calls is not None  # the modes that learn along trajectories record the calls
    windows, masks, std = switches.nn_windows, plan.truth.masks(), spread(samples)
    rundir = folder / FOLDER
    job = launched(plan, switches, rundir)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    found, before = [], 0.0
    with (
        OceanJob(job, "training") as running,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("windows without closure", total=windows)
        for window in range(windows + 1):  # the first one, from the start without noise, is not used
            kt = (window + 1) * plan.steps
            path, recording = background_file(rundir, kt), record_file(rundir, window * plan.steps + 1)
            running.wait_for(path)
            background = read_background(path)
            state = wet(masks, background.fields)
            if window:
                found.append(trajectory(recording, plan.calls, samples, state))
            if window < windows:
                wanted = begin(plan, switches, samples, std, seed, window)
                put = {name: value - state[name] for name, value in wanted.items()}
                write_increments(increments_file(rundir, kt), put, before or background.date, background.date)
            before = background.date
            for done in (path, recording, increments_file(rundir, kt - plan.steps)):
                done.unlink(missing_ok=True)
            bar.update(task, completed=window)
        running.finish()
    shutil.rmtree(rundir, ignore_errors=True)
    return Recorded.of(torch.stack(found).unflatten(0, (-1, 2)))


def trajectory(path: Path, calls: Calls, samples: Samples, end: State) -> Tensor:
    """The states of a window's recording and its end (calls + 1, c, ny, nx). HaloclineError unless every answer is zero."""
    states, answers = read(path, calls)
    largest = float(torch.where(samples.wet, answers, 0.0).abs().max())
    if largest:
        raise HaloclineError(
            f"{path.name} holds answers of a network up to {largest:.2g} m s-2: an emulator that is fitted to an ocean with a "
            "closure takes the closure for a part of the ocean, and its gradient would miss what the closure does.\n"
            "  Record with cn_engine = 'null'."
        )
    names = dict.fromkeys(channel.name for channel in samples.channels)
    last = torch.cat([torch.from_numpy(end[name]).float() for name in names])
    return torch.where(samples.wet_inputs, torch.cat([states, last[None]]), 0.0)


def begin(plan: Plan, switches: NamEmulator, samples: Samples, std: Tensor, seed: int, window: int) -> State:
    """The state that a window, from 0, begins with: couples lie evenly over the training part of the truth."""
    couple = window // 2
    number = plan.first + couple * plan.count // (switches.nn_windows // 2)
    state = wet(plan.truth.masks(), plan.truth.state(number))
    noise = switches.rn_perturb * (-1) ** window * perturbation(samples.wet_inputs, std, seed, couple).double().numpy()
    level = 0
    for name in dict.fromkeys(channel.name for channel in samples.channels):
        levels = len(state[name])
        state[name] = state[name] + noise[level : level + levels]
        level += levels
    return state


def spread(samples: Samples) -> Tensor:
    """Standard deviation of the training states about their mean over time (c, 1, 1)."""
    states = samples.inputs[torch.from_numpy(samples.train)]
    departures = torch.where(samples.wet_inputs, states - states.mean(dim=0), 0.0)
    squares = departures.square().mean(dim=0).sum(dim=(1, 2), keepdim=True)
    return (squares / samples.wet_inputs.sum(dim=(1, 2), keepdim=True)).sqrt()


def perturbation(cells: Tensor, std: Tensor, seed: int, couple: int) -> Tensor:
    """Noise (c, ny, nx) of that standard deviation (c, 1, 1) on wet `cells` (c, ny, nx); half white, half smooth."""
    white, other = torch.randn((2, *cells.shape), generator=generator(NOISE, seed, couple))
    return torch.where(cells, std * np.sqrt(0.5) * (white + _smooth(other)), 0.0)


def _smooth(noise: Tensor) -> Tensor:
    """White noise (c, ny, nx) under a Gaussian of SCALE cells, of variance one."""
    reach = round(3 * SCALE)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / SCALE).square())
    line = line / line.square().sum().sqrt()
    rows = torch.nn.functional.conv2d(noise[:, None], line[None, None, :, None], padding=(reach, 0))
    return torch.nn.functional.conv2d(rows, line[None, None, None], padding=(0, reach))[:, 0]


def launched(plan: Plan, switches: NamEmulator, rundir: Path) -> launch.Job:
    """The run folder of the ocean with zeros for answers."""
    assert plan.calls is not None
    net = f"namnet:{plan.network}"
    last = (switches.nn_windows + 1) * plan.steps
    edits = plan.edits(0, Version(0, Path("none"), "")) | {
        "namrun.nn_itend": str(last),
        "namrun.nn_stock": str(last),
        "nam_asminc.ln_dyninc": ".true.",
        "nam_asminc.ln_thkinc": ".true.",
        "nam_asminc.ln_trainc": ".true.",
        f"{net}.cn_engine": "'null'",
        f"{net}.cn_artefact": "''",
        f"{net}.cn_inputs": "''",
        f"{net}.cn_outputs": ", ".join(f"'{name}'" for name in plan.calls.outputs),
        f"{net}.ln_swap": ".false.",
    }
    return ocean.run_folder(plan, rundir, edits, None)
