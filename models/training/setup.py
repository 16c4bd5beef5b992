"""What a training is made of: samples, their statistics, the network with its first weights, and what trains it."""

from dataclasses import dataclass
from pathlib import Path

import torch
import xarray as xr

from coupler.errors import HaloclineError
from models.data import statistics
from models.data.increment import open_increments
from models.data.statistics import Statistics
from models.families import trainable
from models.families.trainable import Trainable
from models.settings import NamAdjoint, NamEmulator, NamOnline, NamRollout, NamSplit, NamTrain
from models.training import augment, increments
from models.training.increments import Seasons
from models.training.losses import Loss, tail_mean
from models.training.module import View
from models.training.padding import Padding
from models.training.perturb import Amplification, Perturbation
from models.training.samples import Samples, collect
from models.training.windows import LAST_EPOCH, Windows, length


@dataclass(frozen=True)
class Setup:
    """All that a training needs, made from the namelist and the data."""

    train: NamTrain
    samples: Samples
    statistics: Statistics
    network: Trainable
    views: tuple[View, ...]
    perturb: Perturbation | None
    seasons: Seasons | None = None
    online: NamOnline | None = None
    windows: Windows | None = None
    rollout: NamRollout | None = None
    adjoint: NamAdjoint | None = None
    emulator: NamEmulator | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        count = len(self.samples.train)
        if self.windows is not None and self.online is not None:
            count = len(self.windows.starts(self.windows.train, length(self.online, self.windows.steps, LAST_EPOCH)))
        return self.train.nn_epochs * (count // self.train.nn_batch)


def prepare(train: NamTrain, parts: NamSplit, data: dict[str, xr.Dataset]) -> Setup:
    """Samples, statistics of the training part, the network with its first weights, and what trains it."""
    samples, seasons = collect(data, train, parts), None
    if train.cn_target == "increment":
        samples, seasons = increments.anomalies(samples, {name: open_increments(Path(name)) for name in data}, train)
    numbers = _statistics(data, samples, train)
    if seasons is not None:
        numbers = increments.with_numbers(numbers, samples, seasons)
    network = trainable.build(train, samples.levels, numbers, samples.spacing, seasons.climate if seasons else None)
    rms = torch.tensor([numbers.rms[channel.name][channel.level] for channel in samples.outputs])
    if not (rms > 0).all():
        raise HaloclineError(
            f"the target {samples.outputs[int((rms <= 0).nonzero()[0])]} is zero everywhere in the training part: there is "
            "nothing to learn. Look at the data set (of coarsen: was the truth written with ln_burst = .true.?)."
        )
    mean = tail_mean(samples.target[torch.from_numpy(samples.train)], rms, samples.wet_training, train.rn_tails)
    views = [View(padding_of(network, samples), Loss(train, rms, samples.wet_training, mean))]
    if train.cn_symmetry == "augment":
        for element in augment.elements([spec.name for spec in network.inputs], samples.grid)[1:]:
            moved = augment.landscape(samples, element)
            turn = augment.Turn(samples.channels, samples.outputs, element)
            views.append(View(padding_of(network, moved), Loss(train, rms, moved.wet_training, mean), turn))
    perturb = _perturbation(train, samples, numbers, seasons.climate.window if seasons else 1.0)
    return Setup(train, samples, numbers, network, tuple(views), perturb, seasons)


def padding_of(network: Trainable, samples: Samples) -> Padding:
    """Padding for the network's inputs. HaloclineError for a static field that the data set lacks."""
    fills = {spec.name: spec.fill for spec in network.inputs}
    static = [spec for spec in network.inputs if spec.static]
    for spec in static:
        if spec.name not in samples.static:
            raise HaloclineError(
                f"the network reads the static field '{spec.name}', the data set has {', '.join(samples.static)}. "
                "Make the data set again, or choose another family."
            )
    order = [spec.name for spec in network.inputs]
    if [spec.static for spec in network.inputs] != sorted(spec.static for spec in network.inputs):
        raise HaloclineError(f"inputs that vary must come before static ones; the network has {', '.join(order)}.")
    return Padding(
        samples.grid,
        network.radius,
        [channel.point for channel in samples.channels],
        samples.wet_inputs,
        [float(fills.get(channel.name, 0.0)) for channel in samples.channels],
        torch.cat([samples.static[spec.name] for spec in static]),
        [spec.point for spec in static],
        [float(spec.fill) for spec in static],
    )


def _statistics(data: dict[str, xr.Dataset], samples: Samples, train: NamTrain) -> Statistics:
    """Of the training part, without regions that are held out."""
    names = [name for name in next(iter(data.values())).data_vars if "time" in next(iter(data.values()))[name].dims]
    joined = xr.concat(
        [one[names].drop_vars("time", errors="ignore") for one in data.values()], dim="time", join="override"
    )
    first = next(iter(data.values()))
    rest = {str(name): first[name] for name in first.data_vars if name not in names}
    held = xr.DataArray(samples.held[0].numpy(), dims=first["tmask"].dims[-2:])
    masks = {mask: rest[mask].where(~held, 0) for mask in trainable.POINTS}
    target = train.cn_target if train.cn_target in statistics.TARGETS else "residual"
    return statistics.of(joined.assign(rest | masks), samples.train, target)


def _perturbation(train: NamTrain, samples: Samples, numbers: Statistics, unit: float) -> Perturbation | None:
    """Unit [s] is the target's unit of time, a second or a window."""
    if not train.rn_noise and not train.rn_amplify:
        return None
    variables = [trainable.VARIABLES.get(channel.name, channel.name) for channel in samples.channels]
    std = [numbers.std[name][channel.level] for name, channel in zip(variables, samples.channels, strict=True)]
    place = {(channel.name, channel.level): number for number, channel in enumerate(samples.channels)}
    driven = [channel.name.removeprefix("d").removesuffix("_bias") for channel in samples.outputs]
    restored = [place.get((name, channel.level), -1) for name, channel in zip(driven, samples.outputs, strict=True)]
    amplify = None
    if train.rn_amplify:
        mean = samples.inputs[torch.from_numpy(samples.train)].mean(0)
        amplify = Amplification(train.rn_amplify, train.rn_amplify_restore / unit, mean)
    return Perturbation(
        train.rn_noise, train.rn_restore / unit, torch.tensor(std), samples.wet_inputs, torch.tensor(restored), amplify
    )
