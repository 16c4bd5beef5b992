"""The target of networks of increments: what is left of an increment when its climatology is taken away.

Increments are per window and stay so: a network returns what assimilation would add in one window. The climatology comes from
the training part alone, and so do all numbers that the network is scaled with.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from coupler.errors import HaloclineError
from models.data import climatology
from models.data.increment import Increments
from models.data.statistics import HIGH, LOW, Statistics
from models.families.increment import FIELDS_OUT, Climate
from models.settings import NamTrain
from models.training.samples import Samples

SHOWN = ("method", "gain", "update")  # of what a data set says of its increments; notes of an archive stay there


@dataclass(frozen=True)
class Seasons:
    """The climatological part and the days of the year (n,) of all samples; facts for the contract; warning: '' for none."""

    climate: Climate
    days: np.ndarray
    facts: dict[str, str]
    warning: str = ""

    def at(self, index: np.ndarray) -> Tensor:
        """The climatology (n, o, ny, nx) of these samples."""
        return self.climate.at(self.days[index])


def anomalies(samples: Samples, data: Mapping[str, Increments], train: NamTrain) -> tuple[Samples, Seasons]:
    """Samples whose target is the increment less its climatology [units per window], and that climatology.

    First the mean over the domain is removed from outputs that conserve, then a running mean is taken (rn_lowpass) in each part
    of each data set by itself. HaloclineError for data sets of different windows or calendars, and records that do not tell
    the harmonics.
    """
    window, attrs = _common(data, train)
    times = np.concatenate([one.times for one in data.values()])
    days = climatology.day_of_year(times, attrs)
    target = samples.target.clone()
    if train.cn_conserve:
        _remove_means(target, samples, train)
    if train.rn_lowpass:
        smooth = climatology.running_mean(target.numpy(), times, train.rn_lowpass, _blocks(samples, data))
        target = torch.from_numpy(smooth.astype(np.float32))
    values, length = {"increment": target.numpy()}, climatology.year_days(str(attrs.get("calendar", "standard")))
    with _located(train, "nn_harmonics"):
        found = climatology.fit(values, days, length, train.nn_harmonics, samples.train)
    climate = Climate(torch.from_numpy(found.maps("increment")), length, window)
    seasons = Seasons(climate, days, _facts(data, train, climate))
    if train.nn_harmonics:
        fields = _by_output(target, samples)
        with _located(train, "nn_harmonics"):
            gain = climatology.seasonal_gain(fields, times, attrs, train.nn_harmonics, samples.train)
        seasons = replace(seasons, warning=climatology.season_warning(gain, train.nn_harmonics))
    return replace(samples, target=target - seasons.at(np.arange(len(target)))), seasons


def with_numbers(numbers: Statistics, samples: Samples, seasons: Seasons) -> Statistics:
    """The statistics, with the rms of each output's anomaly by level and percentiles of its whole increments, by output's name."""
    rms, p001, p999 = {}, {}, {}
    wet, whole = samples.wet_training, samples.target[samples.train] + seasons.at(samples.train)
    for name, index in outputs(samples).items():
        parts = [samples.target[samples.train][:, o][:, wet[o]].double() for o in index]
        rms[name] = tuple(float(part.square().mean().sqrt()) for part in parts)
        kept = np.concatenate([whole[:, o][:, wet[o]].numpy().ravel() for o in index])
        p001[name], p999[name] = (float(value) for value in np.percentile(kept, (LOW, HIGH)))
    return replace(numbers, rms=numbers.rms | rms, p001=numbers.p001 | p001, p999=numbers.p999 | p999)


def outputs(samples: Samples) -> dict[str, list[int]]:
    """Channels of the target by output."""
    found: dict[str, list[int]] = {}
    for n, channel in enumerate(samples.outputs):
        found.setdefault(channel.name, []).append(n)
    return found


def _common(data: Mapping[str, Increments], train: NamTrain) -> tuple[float, dict[str, str]]:
    """Window and attributes of time, which all data sets share."""
    names, sets = list(data), list(data.values())
    for name, one in zip(names, sets, strict=True):
        here, first = ((s.window, s.time_attrs.get("units"), s.calendar) for s in (one, sets[0]))
        if here != first:
            raise HaloclineError(
                f"data set {name} has windows of {here[0]:g} s and time in '{here[1]}' ({here[2]}), {names[0]} {first[0]:g} s and "
                f"'{first[1]}' ({first[2]}): they must agree.\n  {train.where('cn_data')}. Train on one of them."
            )
    return sets[0].window, sets[0].time_attrs


def _blocks(samples: Samples, data: Mapping[str, Increments]) -> list[np.ndarray]:
    """Parts of each data set: a running mean crosses none of their edges."""
    edges = np.cumsum([0, *(len(one.times) for one in data.values())])
    parts = [samples.train, samples.val, samples.test, *samples.others.values()]
    cut = [part[(part >= a) & (part < b)] for part in parts for a, b in pairwise(edges)]
    return [part for part in cut if len(part)]


def _remove_means(target: Tensor, samples: Samples, train: NamTrain) -> None:
    """Take sum(A x) / sum(A) from x over wet cells, of each level and sample; A = e1t e2t."""
    area = (samples.static["e1t"] * samples.static["e2t"])[0].double()
    names = {FIELDS_OUT[name].output for name in train.cn_conserve}
    for n, channel in enumerate(samples.outputs):
        if channel.name in names:
            weight = area * samples.wet[n]
            mean = (target[:, n].double() * weight).sum(dim=(1, 2)) / weight.sum()
            target[:, n] = torch.where(samples.wet[n], target[:, n] - mean[:, None, None].float(), 0.0)


def _facts(data: Mapping[str, Increments], train: NamTrain, climate: Climate) -> dict[str, str]:
    """What the contract records of the increments."""
    ways = {", ".join(f"{key} {one.info[key]}" for key in SHOWN if key in one.info) for one in data.values()}
    season = f" and {climate.harmonics} harmonics of {climate.year_days:g} days" if climate.harmonics else ""
    return {
        "window": f"{climate.window:g} s",
        "increments": "; ".join(sorted(ways)),
        "climatology": f"mean{season}, of the training part",
        "running mean": f"{train.rn_lowpass:g} days" if train.rn_lowpass else "none",
    }


@contextmanager
def _located(train: NamTrain, key: str) -> Iterator[None]:
    """Errors end with the place of the switch."""
    try:
        yield
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {train.where(key)}.") from None


def _by_output(target: Tensor, samples: Samples) -> dict[str, np.ndarray]:
    return {name: target[:, index].numpy() for name, index in outputs(samples).items()}
