"""Rotations and reflections of the square (D4) acting on fields of the C-grid: components, grid points and the sign of f.

An element transposes (i <-> j), then reflects in x, then in y. Under a reflection in x
  a field at T or V points goes from cell i to n - 1 - i;
  a field at U or F points, stored at the east face, from i to n - 2 - i: flipped, then shifted by one face, for the east face
    of a cell becomes its west face; the last column, a wall or the seam of a cyclic grid, stays;
  x components change sign, and with each reflection f and other pseudo-scalars.
Under the transposition u and v change places, with them everything at U and V points, and e1 with e2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from coupler.errors import HaloclineError
from models.families.trainable import Trainable

Array = TypeVar("Array", np.ndarray, Tensor)
CORIOLIS = ("ff_t", "ff_f")

# name: (point, what it becomes under transposition, what changes its sign: x or y reflection, or any: 'pseudo')
FIELDS: dict[str, tuple[str, str, str]] = {
    **{name: ("T", name, "") for name in ("h", "t", "sst", "tmask")},
    **{f"{d}{a}{s}": (a.upper(), f"{d}{b}{s}", sign) for a, b, sign in (("u", "v", "x"), ("v", "u", "y"))
       for d, s in (("", ""), ("", "_b"), ("d", ""), ("d", "_adv"))},
    **{f"d{a}_inv_std": (a.upper(), f"d{b}_inv_std", "") for a, b in ("uv", "vu")},
    "h_b": ("T", "h_b", ""), "sst_b": ("T", "sst_b", ""),
    "umask": ("U", "vmask", ""), "vmask": ("V", "umask", ""), "fmask": ("F", "fmask", ""),
    "ff_t": ("T", "ff_t", "pseudo"), "ff_f": ("F", "ff_f", "pseudo"),
    "e1t": ("T", "e2t", ""), "e2t": ("T", "e1t", ""), "e1f": ("F", "e2f", ""), "e2f": ("F", "e1f", ""),
    "e1u": ("U", "e2v", ""), "e2u": ("U", "e1v", ""), "e1v": ("V", "e2u", ""), "e2v": ("V", "e1u", ""),
}  # fmt: skip


@dataclass(frozen=True)
class Element:
    """One of the eight: transposition first, then the reflections in x and in y."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def reflection(self) -> bool:
        """True where f changes sign; the other four are rotations."""
        return (self.transpose + self.flip_x + self.flip_y) % 2 == 1

    @property
    def inverse(self) -> "Element":
        """The element that undoes this one."""
        return Element(True, self.flip_y, self.flip_x) if self.transpose else self


ALL = tuple(Element(t, x, y) for t in (False, True) for x in (False, True) for y in (False, True))


def elements(names: Iterable[str]) -> tuple[Element, ...]:
    """The elements that a network with inputs `names` may be given: all eight if it reads f, else the four rotations."""
    if set(CORIOLIS) & set(names):
        return ALL
    return tuple(element for element in ALL if not element.reflection)


def transform(fields: Mapping[str, Array], element: Element) -> dict[str, Array]:
    """Whole closed (or cyclic) basins (..., nj, ni) by name, moved by the element; copies of numbers, so inverses are exact.

    Transposed fields are (..., ni, nj). HaloclineError for a name that is not known, a partner that is not there, or a
    reflection of velocities without f beside them: nature's reflection has the other f.
    """
    if element.reflection and {"u", "v"} & set(fields) and not set(CORIOLIS) & set(fields):
        raise HaloclineError(
            f"a reflection of {', '.join(fields)} changes the sign of the Coriolis parameter, which is not among them. Add 'ff_t' "
            "to the inputs (&namtrain cn_inputs), or use the four rotations."
        )
    result = {}
    for name in fields:
        point, _, sign = _known(name)
        x = _source(fields, name, element)
        for axis, flip, shifted in ((-1, element.flip_x, "UF"), (-2, element.flip_y, "VF")):
            if flip:
                x = _flip(x, axis)
                x = _roll(x, axis) if point in shifted else x
        result[name] = -x if _negative(sign, element) else x
    return result


class GroupAverage(Trainable):
    """The mean of g^-1 N(g x) over the elements g that `elements` allows: a network that has the symmetry, at their cost.

    Equivariant to round-off whatever the weights. The east face of a cell is the west face of its mirror image: one more
    row and column are read than by the network itself, its radius grows by one, unless the network is `centred`.
    """

    def __init__(self, network: Trainable) -> None:
        radius = network.radius + (0 if network.centred else 1)
        super().__init__(network.family, network.inputs, network.outputs, radius, network.citation)
        self.network, self.coefficients = network, network.coefficients
        self.elements = elements(spec.name for spec in network.inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, J, I) to (n, c', J - 2 radius, I - 2 radius)."""
        if self.network.centred:
            x = pad(
                x, (1, 1, 1, 1), mode="replicate"
            )  # only makes the shapes fit: nothing that is returned depends on it
        fields = self.split(x)
        total = self._moved(fields, self.elements[0])
        for element in self.elements[1:]:
            total = total + self._moved(fields, element)
        return total / len(self.elements)

    def _moved(self, fields: Mapping[str, Tensor], element: Element) -> Tensor:
        parts = []
        for spec in self.inputs:
            point, _, sign = _known(spec.name)
            x = _source(fields, spec.name, element)
            for axis, flip, shifted in ((-1, element.flip_x, "UF"), (-2, element.flip_y, "VF")):
                # A row more than without the reflection: outputs at faces and at centres then lie one apart.
                low = 0 if flip and point in shifted else 1
                x = x.narrow(axis, low, x.shape[axis] - (1 if flip else 2))
                x = x.flip(axis) if flip else x
            parts.append(-x if _negative(sign, element) else x)
        found = self.network(torch.cat(parts, dim=1))
        back = {}
        levels = [int(spec.levels) for spec in self.outputs]
        for output, y in zip(self.outputs, found.split(levels, dim=1), strict=True):
            point, _, sign = _known(output.name)
            for axis, flip, shifted in ((-1, element.flip_x, "UF"), (-2, element.flip_y, "VF")):
                if flip:
                    y = y.narrow(axis, 0 if point in shifted else 1, y.shape[axis] - 1).flip(axis)
            back[output.name] = -y if _negative(sign, element) else y
        # The transposition is its own inverse.
        return torch.cat([_source(back, spec.name, element) for spec in self.outputs], dim=1)


def _known(name: str) -> tuple[str, str, str]:
    if name not in FIELDS:
        raise HaloclineError(
            f"how '{name}' is rotated is not known: its grid point and its partner are needed. Known: {', '.join(FIELDS)}. "
            "Leave it out, or train with cn_symmetry = 'none'."
        )
    return FIELDS[name]


def _source(fields: Mapping[str, Array], name: str, element: Element) -> Array:
    """What stands at `name` after the transposition, before reflections."""
    if not element.transpose:
        return fields[name]
    partner = _known(name)[1]
    if partner not in fields:
        raise HaloclineError(
            f"under a rotation by 90 degrees '{name}' becomes '{partner}', which is not among {', '.join(fields)}. Give both."
        )
    return fields[partner].swapaxes(-1, -2)


def _negative(sign: str, element: Element) -> bool:
    return {"": False, "x": element.flip_x, "y": element.flip_y, "pseudo": element.reflection}[sign]


def _flip(x: Array, axis: int) -> Array:
    return x.flip(axis) if isinstance(x, Tensor) else np.flip(x, axis)


def _roll(x: Array, axis: int) -> Array:
    return x.roll(-1, axis) if isinstance(x, Tensor) else np.roll(x, -1, axis)
