"""Distances of distributions, quantiles and tails, similarity scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from models.evaluation import distributions, similarity, tails
from models.evaluation.climate import Climate
from models.evaluation.distributions import AXES
from tests.evaluation.conftest import random_states


def test_distance_of_two_spikes_is_how_far_they_are_apart():
    """The twin, an overlap of densities, says the same for any two spikes."""
    edges = np.linspace(0, 10, 11)
    spikes = np.eye(10, dtype=int)
    assert distributions.wasserstein(spikes[2], spikes[2], edges) == 0
    assert distributions.wasserstein(spikes[2], spikes[5], edges) == pytest.approx(3)
    assert distributions.wasserstein(7 * spikes[2], 3 * spikes[9], edges) == pytest.approx(7)
    overlap = [np.abs(spikes[2] - spikes[other]).sum() for other in (5, 9)]
    assert overlap[0] == overlap[1]


@given(st.floats(0.05, 0.4), st.floats(-0.3, 0.3))
def test_histograms_give_the_distance_of_the_samples(width, shift):
    """As scipy has it from the samples themselves; within a bin."""
    draw = np.random.default_rng(3)
    a, b = 0.2 * draw.standard_normal(4000), width * draw.standard_normal(4000) + shift
    axis = AXES["u"]
    found = distributions.wasserstein(axis.count(a), axis.count(b), axis.edges)
    assert found == pytest.approx(wasserstein_distance(a, b), abs=3e-3)


@pytest.mark.parametrize("name", AXES)
def test_everything_is_counted(name):
    axis = AXES[name]
    values = np.concatenate([axis.edges[:-1] + 0.5 * np.diff(axis.edges), [1e3, 1e9]])
    counts = axis.count(values)
    assert counts.sum() == len(values)
    assert counts[-1] == 3 and (counts[:-1] == 1).all()


def test_quantiles_come_back():
    draw = np.random.default_rng(4).standard_normal(100000) * 0.1
    axis = AXES["v"]
    for q in (0.05, 0.5, 0.99):
        assert distributions.quantile(axis.count(draw), axis.edges, q) == pytest.approx(np.quantile(draw, q), abs=2e-3)


def test_tails():
    """A sample twice as wide has quantiles that are 100 % too large; the same sample 0; a shuffle changes nothing."""
    draw = np.random.default_rng(5).standard_normal(200000)
    assert tails.quantile_bias(2 * draw, draw, 0.99) == pytest.approx(1)
    assert tails.quantile_bias(draw[::-1], draw, 0.999) == 0
    assert tails.quantile_bias(draw, 2 * draw, 0.99) == pytest.approx(-0.5)  # twin: the other way round
    assert tails.excess_kurtosis(draw) == pytest.approx(0, abs=0.05)
    assert tails.excess_kurtosis(np.array([-1.0, 1.0])) == -2


def climate(mesh, seed, speed):
    return Climate.from_states([random_states(mesh, 60, seed, speed)], mesh)


def test_similarity_is_one_for_the_truth_and_zero_for_the_baseline(mesh):
    """Halfway between them it lies between; worse than the baseline, it is negative."""
    truth, base = climate(mesh, 1, 0.2), climate(mesh, 2, 0.1)
    perfect = similarity.similarities(truth, truth, base, 5)
    assert set(perfect.values()) == {1.0}
    assert {f"s_{name}{k}" for name in AXES for k in (1, 2)} < set(perfect)
    assert {"s_spec_ke1", "s_spec_ens2"} < set(perfect)
    assert set(similarity.similarities(base, truth, base, 5).values()) == {0.0}
    between = similarity.similarities(climate(mesh, 3, 0.16), truth, base, 5)
    assert all(0.2 < value < 0.95 for value in between.values())
    assert all(value < 0 for value in similarity.similarities(climate(mesh, 4, 0.05), truth, base, 5).values())


def test_similarity_with_baseline_and_run_exchanged_is_seen(mesh):
    truth, base, run = climate(mesh, 1, 0.2), climate(mesh, 2, 0.1), climate(mesh, 3, 0.16)
    assert min(similarity.similarities(base, truth, run, 5).values()) < 0
    assert np.isnan(similarity.similarity(1.0, 0.0))


def test_tail_biases_of_climates(mesh):
    truth = climate(mesh, 1, 0.2)
    assert set(tails.tail_biases(truth, truth).values()) == {0.0}
    doubled = replace(truth, counts=climate(mesh, 1, 0.4).counts)
    assert tails.tail_biases(doubled, truth)["ke1_q99"] == pytest.approx(3, rel=0.05)  # speed twice, energy four times
