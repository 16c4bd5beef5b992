"""D4 on the C-grid: exact permutations of numbers that commute with the grid's operators, and networks that commute with them."""

import numpy as np
import pytest
import torch

from coupler.errors import HaloclineError
from models.families import symmetry
from models.families.symmetry import ALL, Element, elements, transform
from tests.families.basin import basin, distance, network, run

MIRROR, TURN = Element(flip_x=True), Element(transpose=True, flip_x=True)


def divergence(fields):
    """u(i) - u(i - 1) + v(j) - v(j - 1) at T points, walls in the west and south closed."""
    west = np.pad(fields["u"], ((0, 0), (0, 0), (1, 0)))
    south = np.pad(fields["v"], ((0, 0), (1, 0), (0, 0)))
    return (west[..., 1:] - west[..., :-1]) + (south[:, 1:] - south[:, :-1])


def vorticity(fields):
    """v(i + 1) - v(i) - u(j + 1) + u(j) at F points inside the basin, with the last row and column zero."""
    inner = (np.diff(fields["v"], axis=2)[:, :-1]) - (np.diff(fields["u"], axis=1)[..., :-1])
    return np.pad(inner, ((0, 0), (0, 1), (0, 1)))


def commutes(fields, moved, element):
    want = transform({"h": divergence(fields)}, element)["h"]
    return np.array_equal(divergence(moved), want)


@pytest.mark.parametrize("element", ALL)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_inverse_restores_every_bit(element, kind):
    fields = basin()
    if kind == "torch":
        fields = {name: torch.from_numpy(field) for name, field in fields.items()}
    there = transform(fields, element)
    back = transform(there, element.inverse)
    assert all(np.array_equal(np.asarray(back[name]), np.asarray(fields[name])) for name in fields)
    assert element == Element() or any(
        there[n].shape != fields[n].shape or not np.array_equal(np.asarray(there[n]), np.asarray(fields[n]))
        for n in fields
    )


@pytest.mark.parametrize("element", ALL)
def test_divergence_is_a_scalar(element):
    """div(R u) = R div(u) bit for bit: components, faces and signs move as they must."""
    fields = basin(seed=3)
    assert commutes(fields, transform(fields, element), element)


@pytest.mark.parametrize("element", ALL)
def test_vorticity_changes_sign_with_f(element):
    fields = basin(seed=4)
    moved = transform(fields, element)
    want = transform({"ff_f": vorticity(fields)}, element)["ff_f"]
    assert np.array_equal(vorticity(moved), want)
    assert np.array_equal(np.sign(moved["ff_t"]), np.full_like(moved["ff_t"], -1 if element.reflection else 1))


def test_rotating_the_array_alone_is_caught():
    """np.rot90 of every field, components as they were: not the rotated flow."""
    fields = basin(seed=3)
    assert not commutes(fields, {name: np.rot90(field, 1, (2, 1)) for name, field in fields.items()}, TURN)


@pytest.mark.parametrize("forgotten", ["the shift of faces", "the sign", "the swap of components"])
def test_a_forgotten_part_is_caught(forgotten, monkeypatch):
    fields, element = basin(seed=3), TURN if forgotten.startswith("the swap") else MIRROR
    if forgotten == "the shift of faces":
        monkeypatch.setattr(symmetry, "_roll", lambda x, axis: x)
    elif forgotten == "the sign":
        monkeypatch.setattr(symmetry, "_negative", lambda sign, element: False)
    else:
        monkeypatch.setattr(symmetry, "_source", lambda fields, name, element: fields[name].swapaxes(-1, -2))
    assert not commutes(fields, transform(fields, element), element)


@pytest.mark.parametrize(
    "switches",
    [{}, {"ln_galilean": True}, {"cn_family": "stress"}, {"cn_family": "stress_ann"}, {"cn_family": "gz21"}],
    ids=lambda switches: "-".join(map(str, switches.values())) or "momentum_cnn",
)
def test_group_network_commutes_with_the_group(switches):
    """max |M(R x) - R M(x)| / rms < 1e-5 for the eight elements, walls and an island included; without the group it does not."""
    switches = {"cn_inputs": ["u", "v", "h", "ff_t"], **switches}
    fields = basin(seed=5)

    def wet(found, fields):
        return {name: part * fields["umask" if name.startswith("du") else "vmask"] for name, part in found.items()}

    def worst(net):
        here = run(net, fields)
        pairs = ((transform(fields, g), transform(here, g)) for g in ALL)
        return max(distance(wet(run(net, moved), moved), wet(want, moved)) for moved, want in pairs)

    assert worst(network(cn_symmetry="group", **switches)) < 1e-5
    assert worst(network(**switches)) > 1e-2


def test_the_shift_of_faces_in_the_group_network_matters(monkeypatch):
    """Averaged as if U lay in the middle of the cell, the network does not commute with a reflection."""
    net, fields = network(cn_symmetry="group", cn_inputs=["u", "v", "h", "ff_t"]), basin(seed=5)
    moved = transform(fields, MIRROR)
    with monkeypatch.context() as patch:
        patch.setitem(symmetry.FIELDS, "u", ("T", "v", "x"))
        here, there = run(net, fields), run(net, moved)
    assert distance(there, transform(here, MIRROR)) > 1e-2


def test_without_f_only_rotations():
    """A network that does not read f is averaged over four elements, and reflections of its data are refused."""
    assert len(elements(("u", "v", "h"))) == 4 and not any(g.reflection for g in elements(("u", "v", "h")))
    assert len(elements(("u", "v", "h", "ff_t"))) == 8
    fields = {name: field for name, field in basin().items() if name != "ff_t"}
    with pytest.raises(HaloclineError, match="ff_t"):
        transform(fields, MIRROR)
    net, fields = network(cn_symmetry="group"), basin(seed=6)
    here = run(net, fields)
    assert distance(run(net, transform(fields, TURN)), transform(here, TURN)) < 1e-5
    assert distance(run(net, transform(fields, MIRROR)), transform(here, MIRROR)) > 1e-2


def test_what_cannot_be_turned_is_refused():
    with pytest.raises(HaloclineError, match="'w'"):
        transform({"w": np.zeros((1, 3, 3))}, MIRROR)
    with pytest.raises(HaloclineError, match="'e1t' becomes 'e2t'"):
        transform({"e1t": np.ones((1, 3, 3))}, TURN)
