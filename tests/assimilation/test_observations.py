"""What is observed of a truth, and the ensemble whose departures stand for the errors of a background."""

from pathlib import Path

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.assimilation.ensemble import departures
from models.assimilation.observations import TYPES, Network
from models.evaluation.mesh import GRAVITY
from tests.assimilation import small
from tests.assimilation.synthetic import GRED, REST, group, member, smooth, state, wet

# ---------------------------------------------------------------------------------------------------------------------
# What is observed


def test_places_belong_to_seed_and_window():
    network = Network(wet(), GRED, REST, group())
    other = Network(wet(), GRED, REST, group(nn_seed=2))
    one, two = network.places(4), network.places(5)
    for kind in TYPES:
        assert np.array_equal(one.cells[kind], network.places(4).cells[kind])
        assert wet()[tuple(one.cells[kind].T)].all()
        assert len(np.unique(one.cells[kind], axis=0)) == len(one.cells[kind])
    assert not np.array_equal(one.cells["ssh"], two.cells["ssh"]) and np.array_equal(one.cells["sst"], two.cells["sst"])
    assert not np.array_equal(one.cells["h"], other.places(4).cells["h"])


def test_tracks_visit_the_whole_basin():
    network = Network(wet(), GRED, REST, group(nn_track=2))
    visits = np.zeros(wet().shape)
    for window in range(1, 201):
        visits[tuple(network.places(window).cells["ssh"].T)] += 1
    assert visits[wet()].min() > 0.3 * visits[wet()].mean()


def test_sea_surface_height_is_that_of_the_layers():
    network = Network(wet(), GRED, REST, group(nn_sst=0, nn_profiles=0))
    one = member(smooth(np.random.default_rng(5), 1), 0)
    places = network.places(1)
    h = state(one)["h"][(slice(None), *places.cells["ssh"].T)]
    wanted = (GRED[0] * (h[0] - REST[0]) + GRED[1] * (h[0] + h[1] - REST.sum())) / GRAVITY
    np.testing.assert_allclose(network.observe(state(one), places), wanted, atol=1e-12)
    assert np.abs(wanted).max() > 1e-3


def test_errors_have_their_size():
    network = Network(wet(), GRED, REST, group())
    truth = state(member(smooth(np.random.default_rng(5), 1), 0))
    found = {kind: [] for kind in TYPES}
    for window in range(60):
        places = network.places(window)
        error = network.observed(truth, places, window) - network.observe(truth, places)
        for number, kind in enumerate(TYPES):
            found[kind].append(error[places.kinds == number])
    for number, kind in enumerate(TYPES):
        values = np.concatenate(found[kind])
        assert values.std() == pytest.approx(network.errors[number], rel=0.1)
        assert abs(values.mean()) < 4 * network.errors[number] / np.sqrt(values.size)


# ---------------------------------------------------------------------------------------------------------------------
# The ensemble


def test_members_are_differences_of_states(tmp_path):
    path = small.write_truth(tmp_path / "states.zarr", records=12)
    found = departures(path, 10, 2, 3.0, small.masks(), "here")
    pairs = np.stack([(small.state(n + 2)["h"] - small.state(n)["h"]) / np.sqrt(2.0) for n in range(10)])
    np.testing.assert_allclose(found["h"], 3.0 * (pairs - pairs.mean(0)), atol=1e-3)
    assert found["t"].shape == (10, 1, small.NY + 2, small.NX + 2) and np.abs(found["u"].mean(0)).max() < 1e-12


def test_members_about_their_mean(tmp_path):
    path = small.write_truth(tmp_path / "states.zarr", records=8)
    found = departures(path, 8, 0, 1.0, small.masks(), "here")
    states = np.stack([small.state(n)["t"] for n in range(8)])
    np.testing.assert_allclose(found["t"], states - states.mean(0), atol=1e-5)


def test_too_few_states_and_another_grid_are_refused(tmp_path):
    path: Path = small.write_truth(tmp_path / "states.zarr", records=8)
    with pytest.raises(HaloclineError, match="8 states: too few for 7 members of states 2 records apart"):
        departures(path, 7, 2, 1.0, small.masks(), "here")
    other = {name: np.pad(mask, [(0, 0), (0, 0), (0, 1)]) for name, mask in small.masks().items()}
    with pytest.raises(HaloclineError, match="7 x 5 cells"):
        departures(path, 4, 0, 1.0, other, "here")
