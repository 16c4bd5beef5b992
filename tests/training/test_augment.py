"""Turned batches: velocities, faces and walls turn together."""

import pytest
import torch

from coupler.errors import HaloclineError
from coupler.grid import Grid
from models.families.symmetry import Element
from models.training import fit
from models.training.augment import Turn, elements, landscape
from models.training.samples import collect
from tests.training.synthetic import dataset, laplacian, switches

IDENTITY, QUARTER = Element(), Element(transpose=True, flip_x=True)


def target_of(inputs, samples, element=IDENTITY):
    """The law of the data: the Laplacian of u and v, neighbours beyond walls zero."""
    wet = landscape(samples, element).wet
    return torch.from_numpy(2e-6 * laplacian(inputs[:, :4].numpy())) * wet


def test_the_law_holds_in_turned_batches():
    """What is true of the ocean is true of the turned one; the twin that turns the array but not the vector is not."""
    samples = collect({"a": dataset()}, *switches())
    inputs, target = samples.inputs[:3], samples.target[:3]
    assert torch.allclose(target_of(inputs, samples), target, atol=1e-12)
    for element in elements(["u", "v", "h"], samples.grid):
        moved, asked = Turn(samples.channels, samples.outputs, element)(inputs, target)
        assert torch.allclose(target_of(moved, samples, element), asked, atol=1e-12)
    moved, asked = inputs.rot90(1, (2, 3)), target.rot90(1, (2, 3))
    assert not torch.allclose(target_of(moved, samples, QUARTER), asked, atol=1e-9)


def test_reflections_are_for_networks_that_read_f():
    grid = Grid(14, 12)
    assert len(elements(["u", "v"], grid)) == 4 and len(elements(["u", "v", "ff_t"], grid)) == 8


def test_a_fold_is_refused():
    with pytest.raises(HaloclineError, match="north fold"):
        elements(["u", "v"], Grid(14, 12, "fold_T"))


def test_a_turned_batch_has_its_own_padding_and_loss():
    """A basin longer than wide lies across after a quarter turn."""
    train, parts = switches(cn_symmetry="augment")
    setup = fit.prepare(train, parts, {"a": dataset()})
    shapes = [tuple(view.loss.weight.shape[1:]) for view in setup.views]
    assert sorted(shapes) == [(12, 14), (12, 14), (14, 12), (14, 12)] and shapes[0] == (12, 14)
    assert setup.views[0].turn is None
