"""Ensemble optimal interpolation: the formula, what localisation cuts, consistency with errors of known covariance."""

from functools import cache

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.assimilation.enoi import gaspari_cohn
from models.assimilation.observations import TYPES, Network
from models.assimilation.statistics import ENOUGH, binned, seen
from models.evaluation.probabilistic import rank_chi2
from tests.assimilation.synthetic import (
    CUT,
    DX,
    FIELDS,
    GRED,
    REST,
    SCALE,
    ensemble,
    group,
    masks,
    member,
    method,
    smooth,
    state,
    wet,
)

# ---------------------------------------------------------------------------------------------------------------------
# The correlation


def test_gaspari_cohn_is_a_correlation_of_compact_support():
    distance = np.linspace(0.0, 2 * CUT, 400)
    values = gaspari_cohn(distance, CUT)
    assert values[0] == 1.0 and np.all(np.diff(values) <= 1e-15) and not values[distance >= CUT].any()
    assert gaspari_cohn(np.array([CUT / 2]), CUT) == pytest.approx(5.0 / 24.0)  # eq. 4.10 at z = c
    cells = np.argwhere(wet())
    matrix = gaspari_cohn(DX * np.linalg.norm(cells[:, None] - cells, axis=-1), CUT)
    assert np.linalg.eigvalsh(matrix).min() > -1e-8


def test_a_boxcar_is_no_correlation():
    """The twin: what is cut without a taper has negative eigenvalues."""
    cells = np.argwhere(wet())
    matrix = (np.linalg.norm(cells[:, None] - cells, axis=-1) * DX < CUT).astype(float)
    with pytest.raises(AssertionError):
        assert np.linalg.eigvalsh(matrix).min() > -1e-8


# ---------------------------------------------------------------------------------------------------------------------
# The analysis


def textbook(interpolation, window, background, truth, localised=True, errors=True):
    """K (y - H x_b) with K = B H^T (H B H^T + R)^-1 from whole matrices; H by finite differences of the operator."""
    network, places = interpolation.network, interpolation.network.places(window)
    names = list(FIELDS)
    sizes = {name: masks()[name].size for name in names}
    members = np.concatenate([interpolation.ensemble[name].reshape(40, -1) for name in names], axis=1)
    cells = np.concatenate([np.tile(np.argwhere(np.ones_like(wet())), (FIELDS[name], 1)) for name in names])
    unit = {name: np.zeros((sum(sizes.values()), *masks()[name].shape)) for name in names}
    first = 0
    for name in names:
        unit[name].reshape(len(unit[name]), -1)[first : first + sizes[name]] = np.eye(sizes[name])
        first += sizes[name]
    operator = network.operate(unit, places).T  # (observations, state)
    there = places.rows_columns
    taper = gaspari_cohn(DX * np.linalg.norm(cells[:, None] - there, axis=-1), CUT) if localised else 1.0
    between = gaspari_cohn(DX * np.linalg.norm(there[:, None] - there, axis=-1), CUT) if localised else 1.0
    covariance = members.T @ members / 39
    left = taper * (covariance @ operator.T)
    total = between * (operator @ covariance @ operator.T)
    variance = network.errors[places.kinds] ** 2 if errors else 1e-6 * np.diag(total)
    innovation = network.observed(truth, places, window) - network.observe(background, places)
    change = left @ np.linalg.solve(total + np.diag(variance), innovation)
    first, found = 0, {}
    for name in names:
        found[name] = change[first : first + sizes[name]].reshape(masks()[name].shape) * masks()[name]
        first += sizes[name]
    found["h"] -= masks()["h"] * (found["h"].sum((-2, -1)) / masks()["h"].sum((-2, -1)))[:, None, None]
    return found


@pytest.fixture(scope="module")
def analysed():
    interpolation = method()
    fields = smooth(np.random.default_rng(7), 2)
    background, truth = state(member(fields, 0)), state(member(fields, 1))
    return interpolation, background, truth, interpolation.increments(3, background, truth)


def assert_same(found, wanted):
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6 * SCALE[name])


def test_increments_are_the_textbook_s(analysed):
    interpolation, background, truth, found = analysed
    assert_same(found, textbook(interpolation, 3, background, truth))
    assert all(np.abs(found[name]).max() > 0.1 * SCALE[name] for name in FIELDS)


@pytest.mark.parametrize(
    "broken",
    [{"localised": False}, {"errors": False}],
    ids=["localisation removed", "R forgotten"],
)
def test_a_broken_analysis_is_noticed(analysed, broken):
    interpolation, background, truth, found = analysed
    with pytest.raises(AssertionError):
        assert_same(found, textbook(interpolation, 3, background, truth, **broken))


def test_layers_keep_their_volume_and_land_stays(analysed):
    found = analysed[3]
    assert np.abs(found["h"].sum((-2, -1))).max() < 1e-9
    assert not any((values * (1 - masks()[name])).any() for name, values in found.items())


def reach(cut):
    """Largest change of temperature farther than CUT from the only observations: one profile."""
    interpolation = method(cut, nn_track=0, nn_sst=0, nn_profiles=1)
    fields = smooth(np.random.default_rng(7), 2)
    change = interpolation.increments(5, state(member(fields, 0)), state(member(fields, 1)))["t"][0]
    row, column = interpolation.network.places(5).cells["h"][0]
    j, i = np.indices(wet().shape)
    far = np.hypot(j - row, i - column) * DX >= CUT
    assert np.abs(change).max() > 0.0
    return np.abs(change[far]).max()


def test_an_observation_changes_nothing_far_away():
    assert reach(CUT) == 0.0


def test_without_localisation_it_would():
    with pytest.raises(AssertionError):
        assert reach(1e12) == 0.0


# ---------------------------------------------------------------------------------------------------------------------
# Consistency: errors of the background are drawn from the ensemble's own population


@cache
def cycled(inflate=1.0, error=1.0, analysis=False, windows=60):
    """Statistics of many windows; twins: spread times `inflate`, R times `error`^2, an analysis in place of the background."""
    members = {name: inflate * values for name, values in ensemble(400, 2).items()}
    group_errors = {"rn_ssh_std": 0.006, "rn_sst_std": 0.3, "rn_profile_std": 5.0}
    interpolation = method(1e7, members, **group_errors)
    drawn = smooth(np.random.default_rng(3), 2 * windows)
    network = interpolation.network
    object.__setattr__(network, "group", group(**{key: error * value for key, value in group_errors.items()}))
    honest = Network(wet(), GRED, REST, group(**group_errors))
    object.__setattr__(network, "observed", honest.observed)
    for window in range(1, windows + 1):
        truth, background = state(member(drawn, 2 * window - 2)), state(member(drawn, 2 * window - 1))
        departure = {name: (background[name] - truth[name]) / np.sqrt(2.0) for name in truth}
        background = {name: truth[name] + departure[name] for name in truth}  # its error has the members' covariance
        if analysis:
            change = interpolation.increments(window, background, truth)
            background = {name: background[name] + change[name] for name in truth}
            interpolation.statistics.ranks = {}
        interpolation.increments(window, background, truth)
    return interpolation.statistics


def assert_consistent(statistics):
    for kind in TYPES:
        total = statistics.total(kind)
        assert total["number"] > ENOUGH
        assert total["innovation_std"] == pytest.approx(total["expected"], rel=0.1), kind
        assert total["error_desroziers"] == pytest.approx(total["error"], rel=0.15), kind
        assert total["spread_desroziers"] == pytest.approx(total["spread"], rel=0.15), kind
        assert total["residual_std"] < total["innovation_std"]
        parts = binned(statistics.ranks[kind])
        assert np.all(np.abs(parts - 1.0) < 0.35), (kind, parts)
    statistics.check_background()


def test_right_covariances_are_found_consistent():
    assert_consistent(cycled())


@pytest.mark.parametrize(
    "broken", [{"inflate": 2.0}, {"inflate": 0.5}, {"error": 0.1}], ids=["too much spread", "too little", "R forgotten"]
)
def test_wrong_covariances_are_noticed(broken):
    with pytest.raises(AssertionError):
        assert_consistent(cycled(**broken))


def test_analysis_in_place_of_the_background_is_noticed():
    """Its distance from the observations is smaller than their own error."""
    statistics = cycled(analysis=True)
    with pytest.raises(HaloclineError, match="it is an analysis"):
        statistics.check_background()
    assert not any(seen(cycled().total(kind)) for kind in TYPES)


def test_ranks_gather_into_flat_classes():
    assert binned(np.full(61, 7)).tolist() == pytest.approx([1.0] * 12)
    assert rank_chi2(np.full(61, 7)) == 0.0
