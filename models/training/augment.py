"""Augmentation: batches rotated (and reflected, where the network reads f), with their walls, masks and metrics."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from coupler.errors import HaloclineError
from coupler.grid import Grid
from models.families import symmetry
from models.families.symmetry import Element
from models.training.samples import Channel, Samples

TRANSPOSED = {"cyclic_ew": "cyclic_ns", "cyclic_ns": "cyclic_ew"}  # other edges stay
F_BESIDE = {"ff_t": torch.zeros(1, 1)}  # reflections are given only to networks that read f, see `elements`


def elements(inputs: Sequence[str], grid: Grid) -> tuple[Element, ...]:
    """What a batch may be turned by: the identity first. HaloclineError on a grid with a north fold."""
    if grid.boundary.startswith("fold"):
        raise HaloclineError(
            f"cn_symmetry = 'augment' turns the whole grid, which a north fold ('{grid.boundary}') does not allow. "
            "Use 'group' or 'none'."
        )
    return symmetry.elements(inputs)


class Turn(torch.nn.Module):
    """Inputs (n, c, ny, nx) and targets (n, o, ny, nx) moved by an element, components and faces included."""

    def __init__(self, channels: Sequence[Channel], outputs: Sequence[Channel], element: Element) -> None:
        super().__init__()
        self.channels, self.outputs, self.element = tuple(channels), tuple(outputs), element

    def forward(self, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        fields = by_name(inputs, self.channels) | by_name(target, self.outputs) | F_BESIDE
        fields = symmetry.transform(fields, self.element)
        return joined(fields, self.channels), joined(fields, self.outputs)


def landscape(samples: Samples, element: Element) -> Samples:
    """`samples` with masks, metrics and grid moved by the element; states and targets stay as they are."""
    known = {name: plane for name, plane in samples.static.items() if name in symmetry.FIELDS}
    wet = by_name(samples.wet_inputs.float(), samples.channels) | by_name(samples.wet.float(), samples.outputs)
    held = by_name((samples.held & samples.wet).float(), samples.outputs)
    moved, kept = symmetry.transform({**wet, **known}, element), symmetry.transform({**held, **F_BESIDE}, element)
    grid = samples.grid
    if element.transpose:
        grid = Grid(grid.ny, grid.nx, TRANSPOSED.get(grid.boundary, grid.boundary))
    return replace(
        samples,
        wet_inputs=joined(moved, samples.channels) != 0,
        wet=joined(moved, samples.outputs) != 0,
        held=joined(kept, samples.outputs) != 0,
        static={name: moved[name] for name in known},
        grid=grid,
    )


def by_name(tensor: Tensor, channels: Sequence[Channel]) -> dict[str, Tensor]:
    """(..., c, ny, nx) cut into (..., levels, ny, nx) by name."""
    names = [(name, len(list(group))) for name, group in groupby(channels, key=lambda channel: channel.name)]
    parts = tensor.split([count for _, count in names], dim=-3)
    return {name: part for (name, _), part in zip(names, parts, strict=True)}


def joined(fields: dict[str, Tensor], channels: Sequence[Channel]) -> Tensor:
    """The inverse of `by_name`."""
    return torch.cat([fields[name] for name in dict.fromkeys(channel.name for channel in channels)], dim=-3)
