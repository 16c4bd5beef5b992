"""What a window of the coupled ocean has gone through: the states at every call of the network, and the answers it got."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coupler.errors import HaloclineError
from coupler.links import read_links
from coupler.settings import NamExc, NamNet, Settings
from coupler.transport.recording import Recording

RECORD = "record.nc"  # cn_record of the ocean's run
WHERE = {"cn_inputs": "to_coupler", "cn_outputs": "to_ocean"}


@dataclass(frozen=True)
class Calls:
    """The calls of the trained network in a window: how many, how long each answer is held [s], the ocean's names of its fields."""

    number: int
    seconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def calls(
    settings: Settings, network: str, inputs: Sequence[str], outputs: Sequence[str], window: float, step: float
) -> Calls:
    """From the coupling of an ocean: &namnet `network` with the names of its channels; window and step in seconds.

    HaloclineError where its fields do not travel together, whole, and where the ocean does not get the answers.
    """
    if not settings.namcpl.ln_active:
        raise HaloclineError(
            "ln_active = .false.: the ocean would not get the answers whose effect is to be learnt.\n"
            f"  {settings.namcpl.where('ln_active')}. Leave it out."
        )
    group = next(group for group in settings.namnet if group.cn_name == network)
    found = {key: _fields(settings, group, key, names) for key, names in zip(WHERE, (inputs, outputs), strict=True)}
    exchanges = [exchange for pairs in found.values() for _, exchange in pairs]
    periods = {exchange.rn_period or step for exchange in exchanges}
    if len(periods) > 1:
        one = next(exchange for exchange in exchanges if (exchange.rn_period or step) != max(periods))
        raise HaloclineError(
            f"the fields of network '{network}' travel every {' and every '.join(f'{p:g}' for p in sorted(periods))} s: states and "
            f"answers would not be pairs.\n  {one.where('rn_period')}. Give its exchanges one period."
        )
    seconds = periods.pop()
    return Calls(
        round(window / seconds),
        seconds,
        *(tuple(field for field, _ in found[key]) for key in ("cn_inputs", "cn_outputs")),
    )


def _fields(settings: Settings, group: NamNet, key: str, names: Sequence[str]) -> list[tuple[str, NamExc]]:
    """The ocean's field of each input or output, and the exchange that it travels with."""
    links, found = read_links(group, key), []
    for name in dict.fromkeys(names):
        link = links.get(name)
        field = link.field if link else name
        exchange = next((e for e in settings.namexc if e.cn_dir == WHERE[key] and field in e.cn_fields), None)
        if exchange is None or (link and link.levels):
            what = f"levels {link} of it" if link and link.levels else f"'{field}', which is in no exchange of &namexc"
            raise HaloclineError(
                f"'{name}' of network '{group.cn_name}' is {what}: it is not recorded as a field of the ocean.\n"
                f"  {group.where(key)}. Let whole fields travel between the ocean and this network."
            )
        found.append((field, exchange))
    return found


def record_file(folder: Path, kt: int) -> Path:
    """The recording of a window whose first step is `kt`."""
    return folder / f"{Path(RECORD).stem}_{kt:08d}{Path(RECORD).suffix}"


def read(path: Path, calls: Calls) -> tuple[Tensor, Tensor]:
    """States (n, c, ny, nx) and answers (n, o, ny, nx) at the n calls of a window, in the ocean's units, float32.

    HaloclineError for a file that holds other steps.
    """
    recording = Recording(path)
    try:
        stacks = []
        for direction, names in (("to_coupler", calls.inputs), ("to_ocean", calls.outputs)):
            series = [recording.fields[direction, name] for name in names]
            steps = {tuple(one.records) for one in series}
            if any(len(one) != calls.number for one in steps):
                raise HaloclineError(
                    f"{path} holds {len(next(iter(steps)))} calls of the network, a window has {calls.number}: another run "
                    "writes into this folder."
                )
            stacks.append(np.concatenate([np.asarray(one.variable[...], np.float32) for one in series], axis=1))
    finally:
        recording.close()
    return torch.from_numpy(stacks[0]), torch.from_numpy(stacks[1])
