"""Stability, and how well a mean is known."""

import numpy as np
import pytest

from models.evaluation import series, stability
from models.evaluation.stability import Stability


def test_land_is_not_a_blow_up():
    """NaN under land is no bad state; in water it is, and so is an index that is one too high."""
    tmask = np.ones((1, 2, 2), bool)
    tmask[0, 1, 1] = False
    u, h, t = np.zeros((3, 1, 2, 2)), np.ones((3, 1, 2, 2)), np.zeros((3, 2, 2))
    h[:, 0, 1, 1] = t[:, 1, 1] = np.nan
    assert stability.good_states(u, u, h, t, tmask) == 3
    assert stability.good_states(u, u, h, t, np.ones_like(tmask)) == 0
    t[2, 0, 0] = np.inf
    assert stability.good_states(u, u, h, t, tmask) == 2


def test_the_worse_of_both():
    good, bad = Stability(True, 1.0, 200.0, 5.0), Stability(False, 3.0, 20.0, 2.0)
    assert good.joined(bad) == Stability(False, 3.0, 20.0, 2.0)
    assert good.stable and not bad.stable and not Stability(ended="killed").stable


def test_courant_number_by_hand():
    """3 m/s over 1000 m and 1 m/s over 500 m in 100 s: 0.3 + 0.2."""
    u, v = np.array([[0.0, 3.0]]), np.array([[5.0, 1.0]])
    wide, high = np.full((1, 2), 1000.0), np.array([[1e9, 500.0]])
    assert stability.courant(u, v, wide, high, 100.0) == pytest.approx(0.5)


def test_energy_beyond_twice_the_truth_is_found():
    values = np.array([1.0, 1.9, 2.1, 1.0])
    assert stability.first_above(values, 2.0) == 2
    assert stability.first_above(values, 3.0) is None
    assert stability.first_above(np.array([1.0, np.nan]), 3.0) == 1  # NaN is not below


def ar1(n, memory, seed):
    noise = np.random.default_rng(seed).standard_normal(n)
    values = np.zeros(n)
    for i in range(1, n):
        values[i] = memory * values[i - 1] + noise[i]
    return values


def test_correlated_means_are_less_certain():
    """The spread of the means of many AR(1) series is what the error of one says; sd / sqrt(n) is a third of it."""
    means = [ar1(2000, 0.8, seed).mean() for seed in range(200)]
    one = ar1(2000, 0.8, 1)
    assert series.standard_error(one) == pytest.approx(np.std(means), rel=0.3)
    assert one.std() / np.sqrt(2000) < 0.5 * np.std(means)


def test_intervals_hold_the_mean_as_often_as_they_say():
    """95 % intervals from blocks hold the true mean nearly that often; without blocks, far less."""

    def hits(block):
        intervals = [series.bootstrap_interval(ar1(600, 0.8, seed), block, draws=300) for seed in range(100)]
        return sum(low <= 0 <= high for low, high in intervals)

    assert hits(30) >= 85
    assert hits(1) <= 75
