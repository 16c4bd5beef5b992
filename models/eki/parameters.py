"""The switches that are fitted: their names, their prior, and the space in which the ensemble lives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import NamNet, config_file
from models.data.ocean import read_switches
from models.settings import GROUPS, NamEki

FIXED = ("namdom.rn_dt",)  # the lengths of runs are counted in it
FARTHEST, LARGEST = 5.0, 1e30  # standard deviations that a member may lie out; Fortran's single precision ends at 3e38


@dataclass(frozen=True)
class Parameter:
    """One switch. first, spread: mean and standard deviation of the prior in the space of the ensemble, ln(value) for 'log'."""

    switch: str
    transform: str
    first: float
    spread: float

    def value(self, x: float) -> float:
        """The switch's value, in its units."""
        return float(np.exp(x)) if self.transform == "log" else float(x)


def values(parameters: Sequence[Parameter], x: np.ndarray) -> list[float]:
    """The switches' values of one member, x (p,) in the space of the ensemble."""
    return [one.value(float(number)) for one, number in zip(parameters, x, strict=True)]


def fortran(parameters: Sequence[Parameter], found: Sequence[float]) -> dict[str, str]:
    """'group.switch' to its value as Fortran text, every digit of it."""
    return {one.switch: repr(float(value)) for one, value in zip(parameters, found, strict=True)}


def prior(eki: NamEki) -> list[Parameter]:
    """The switches of cn_parameters. HaloclineError for lists that do not fit, and for switches that the ocean does not have."""
    count = len(eki.cn_parameters)
    if not count:
        raise HaloclineError(
            f"cn_mode = 'eki' needs switches to fit: cn_parameters is empty.\n  {eki.where('cn_parameters')}. "
            "Name some, 'namdyn_ldf.rn_cs4' for example."
        )
    namelist = config_file(Path(eki.cn_ocean))
    if not namelist.is_file():
        raise HaloclineError(
            f"cn_ocean = '{eki.cn_ocean}' is not a configuration: there is no {namelist}.\n  {eki.where('cn_ocean')}. Paths count "
            "from the folder in which the command runs."
        )
    if len({name if ":" in name else name.lower() for name in eki.cn_parameters}) < count:
        raise HaloclineError(f"cn_parameters names a switch twice.\n  {eki.where('cn_parameters')}.")
    first = _each(eki, "rn_first", count, one_for_all=False)
    spread, transforms = _each(eki, "rn_spread", count), _each(eki, "cn_transform", count)
    found = []
    for switch, value, width, transform in zip(eki.cn_parameters, first, spread, transforms, strict=True):
        _check_switch(eki, switch)
        if transform not in ("log", "none"):
            raise HaloclineError(
                f"cn_transform holds '{transform}'. Allowed: 'log', 'none'.\n  {eki.where('cn_transform')}."
            )
        if not np.isfinite(value) or (transform == "log" and value <= 0):
            raise HaloclineError(
                f"rn_first of {switch} is {value:g}; ln of it is needed (cn_transform = 'log').\n  {eki.where('rn_first')}. "
                "Give a positive value, or set cn_transform = 'none'."
            )
        if not (np.isfinite(width) and width > 0):
            raise HaloclineError(
                f"rn_spread of {switch} is {width:g}; it must be above 0.\n  {eki.where('rn_spread')}."
            )
        if transform == "log" and np.log(value) + FARTHEST * width > np.log(LARGEST):
            raise HaloclineError(
                f"rn_spread of {switch} is {width:g}, of ln(value): a member may get {value:g} times e^{FARTHEST * width:g}.\n"
                f"  {eki.where('rn_spread')}. 0.7 is a factor of 2 either way."
            )
        found.append(Parameter(switch, transform, float(np.log(value)) if transform == "log" else value, width))
    if eki.nn_members < 2 * (count + 1):
        raise HaloclineError(
            f"{eki.nn_members} members are too few for {count} switches: half of them may fail, and the rest must span the "
            f"switches.\n  {eki.where('nn_members')}. Take {2 * (count + 1)} or more."
        )
    return found


def _each(eki: NamEki, key: str, count: int, one_for_all: bool = True) -> list[Any]:
    """A list with one entry for each switch."""
    given = getattr(eki, key)
    if one_for_all and len(given) == 1:
        return given * count
    if len(given) != count:
        raise HaloclineError(
            f"{key} has {len(given)} entries for {count} switches of cn_parameters.\n  {eki.where(key)}. Give one for each."
        )
    return list(given)


def _check_switch(eki: NamEki, switch: str) -> None:
    """A real number of the ocean's groups, or of a &namnet of the configuration."""
    place, dot, name = switch.rpartition(".")
    group, _, called = place.partition(":")
    where = f"\n  {eki.where('cn_parameters')}."
    if not dot or not group:
        raise HaloclineError(f"'{switch}' is no switch. Write group.switch, 'namdyn_ldf.rn_cs4' for example.{where}")
    cfg = Path(eki.cn_ocean)
    if called:
        there = [one.values().get("cn_name") for one in read_groups(config_file(cfg)) if one.name == group]
        if group != "namnet" or called not in there:
            raise HaloclineError(
                f"{config_file(cfg)} has no &{group} with cn_name = '{called}', of '{switch}'.{where} "
                "Only &namnet is named so, as 'namnet:closure.rn_scale'."
            )
        fields = NamNet.model_fields
        real, known = (
            name in fields and fields[name].annotation is float,
            [key for key, field in fields.items() if field.annotation is float],
        )
    else:
        defaults = read_switches(cfg).defaults
        known = [
            f"{key}.{one}"
            for key, entries in defaults.items()
            for one, value in entries.items()
            if type(value) is float
        ]
        known = [one for one in known if one.partition(".")[0] not in GROUPS and one not in FIXED]
        real = switch.lower() in known
        known = [one for one in known if one.startswith(f"{group}.")] or sorted({one.split(".")[0] for one in known})
    if not real:
        raise HaloclineError(
            f"'{switch}' is no switch of the ocean that holds one real number.{where} Allowed: {', '.join(known)}."
        )
