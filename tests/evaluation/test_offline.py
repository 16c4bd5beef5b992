"""Offline skill: which zero, which weights, by level and by point."""

import numpy as np
import pytest

from models.evaluation import offline

WEIGHT = np.ones((1, 1, 2))
Y = np.array([1.0, 3.0, 2.0, 6.0]).reshape(2, 1, 1, 2)  # (time, k, j, i): mean 3, <(y - 3)^2> = 3.5, <y^2> = 12.5


def test_r2_of_the_mean_and_of_nothing():
    """The best constant has 0 about the mean, nothing has 0 about zero; with the zeros exchanged they have not."""
    mean, zero = np.full_like(Y, 3.0), np.zeros_like(Y)
    assert offline.r2(mean, Y, WEIGHT) == 0
    assert offline.r2(zero, Y, WEIGHT, "zero") == 0
    assert offline.r2(mean, Y, WEIGHT, "zero") == pytest.approx(1 - 3.5 / 12.5)
    assert offline.r2(zero, Y, WEIGHT) == pytest.approx(1 - 12.5 / 3.5)


def test_perfect_and_shuffled():
    result = offline.skill(Y, Y, WEIGHT)
    assert (result.r2_mean, result.r2_zero, result.r, result.l2) == (1, 1, 1, 0)
    assert (result.r2_map == 1).all() and np.allclose(result.r_map, 1)
    shuffled = offline.skill(Y[::-1], Y, WEIGHT)
    assert shuffled.r2_mean < 0.5
    np.testing.assert_allclose(shuffled.r_map, -1)


def test_relative_error_and_scale():
    assert offline.relative_l2(0.5 * Y, Y, WEIGHT) == pytest.approx(0.5)
    assert offline.pooled_correlation(0.5 * Y, Y, WEIGHT) == pytest.approx(1)  # a correlation does not see the size
    assert offline.r2(0.5 * Y, Y, WEIGHT, "zero") == pytest.approx(0.75)


def test_land_and_areas_count():
    """A bad value on land changes nothing; on water it does."""
    p = Y.copy()
    p[..., 1] = 1e6
    land = np.array([[[1.0, 0.0]]])
    assert offline.r2(p, Y, land) == 1
    assert offline.r2(p, Y, WEIGHT) < 0
    assert np.isnan(offline.skill(p, Y, land).r2_map[0, 0, 1])


def test_levels_are_scored_apart():
    """An energetic level must not hide a quiet one that is all wrong."""
    y = np.random.default_rng(0).standard_normal((20, 2, 4, 4)) * np.array([10.0, 1.0])[:, None, None]
    p = y.copy()
    p[:, 1] = 0
    weight = np.ones((2, 4, 4))
    assert offline.r2(p, y, weight, "zero").tolist() == [1.0, 0.0]
    assert 1 - np.sum((p - y) ** 2) / np.sum(y**2) > 0.98  # twin: pooled


def test_series_of_patterns():
    y = np.random.default_rng(0).standard_normal((3, 1, 4, 4))
    p = np.stack([y[0], -y[1], 5 + 2 * y[2]])
    np.testing.assert_allclose(offline.correlation_series(p, y, np.ones((1, 4, 4)))[:, 0], [1, -1, 1])
