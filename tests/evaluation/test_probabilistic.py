"""Scores of ensembles: closed forms, propriety, reliability."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, ndtr

from coupler.errors import HaloclineError
from models.evaluation import probabilistic as prob


@pytest.mark.parametrize(("mean", "std", "y"), [(0.0, 1.0, 0.0), (1.0, 2.0, -0.5), (0.3, 0.1, 0.7)])
def test_gaussian_crps_is_the_integral(mean, std, y):
    """int (F(x) - 1(x >= y))^2 dx; 0.2337 at z = 0."""
    below, above = (
        quad(lambda x, target=step: (ndtr((x - mean) / std) - target) ** 2, *limits)[0]
        for step, limits in ((0, (-20, y)), (1, (y, 20)))
    )
    assert prob.gaussian_crps(mean, std, y) == pytest.approx(below + above, rel=1e-5)


def unproper(mean, std, y):
    """The formula with an unnormalised Gaussian, and erf in the place of Phi."""
    z = (y - mean) / std
    return std * (z * (2 * erf(z) - 1) + 2 * np.exp(-(z**2) / 2) - 1 / np.sqrt(np.pi))


def best_mean(score):
    """The mean that is expected to score best where the truth is N(0, 1)."""
    draws = np.random.default_rng(0).standard_normal(40000)
    means = np.linspace(-1, 1, 21)
    return means[np.argmin([score(mean, 1.0, draws).mean() for mean in means])]


def test_gaussian_crps_is_proper():
    assert best_mean(prob.gaussian_crps) == pytest.approx(0, abs=0.05)
    assert abs(best_mean(unproper)) > 0.5


def test_fair_crps_by_hand():
    """Members 0, 1, 3, truth 2: (2 + 1 + 1) / 3 - (1 + 3 + 2) / (3 * 2) = 1/3."""
    x = np.array([3.0, 0.0, 1.0])[:, None]
    assert prob.fair_crps(x, np.array([2.0])) == pytest.approx(1 / 3)


def test_fair_crps_does_not_depend_on_the_number_of_members():
    """The plain one, with M^2 in place of M (M - 1), favours many members."""
    draw = np.random.default_rng(1)
    y = draw.standard_normal(20000)
    fair, plain = {}, {}
    for members in (2, 10):
        x = draw.standard_normal((members, y.size))
        fair[members] = prob.fair_crps(x, y).mean()
        spread = np.abs(x[:, None] - x[None]).sum((0, 1)) / 2
        plain[members] = (np.abs(x - y).mean(0) - spread / members**2).mean()
    assert fair[2] == pytest.approx(fair[10], abs=0.02)
    assert fair[10] == pytest.approx(1 / np.sqrt(np.pi), abs=0.02)
    assert plain[2] > plain[10] + 0.1


def test_spread_and_skill_of_a_reliable_ensemble():
    """Truth and members from one distribution: 1 for any number of members; half the spread: 0.5."""
    draw = np.random.default_rng(2)
    for members in (2, 10):
        x, y = draw.standard_normal((members, 40000)), draw.standard_normal(40000)
        assert prob.spread_skill(x, y) == pytest.approx(1, abs=0.02)
    assert prob.spread_skill(0.5 * x, y) < 0.6
    assert np.sqrt(x.var(0).mean() / np.mean((x.mean(0) - y) ** 2)) < 0.92  # twin: without the factors of M
    weight = np.arange(40000) < 100
    x[:, 100:] = 1e3
    assert prob.spread_skill(x, y, weight) == pytest.approx(1, abs=0.2)


def test_ranks_are_flat_with_ties_too():
    """Half of everything is exactly zero, as sea ice has it; a rank that counts ties as below is not flat."""
    draw = np.random.default_rng(3)
    x, y = np.maximum(draw.standard_normal((5, 30000)), 0), np.maximum(draw.standard_normal(30000), 0)
    assert prob.rank_chi2(prob.rank_histogram(x, y)) < 20
    assert prob.rank_histogram(x, y).sum() == 30000
    ties_below = np.bincount((x <= y).sum(0), minlength=6)
    assert prob.rank_chi2(ties_below) > 1000
    assert prob.rank_chi2(prob.rank_histogram(0.3 * x, y)) > 1000  # overconfident


def test_energy_score():
    """In one dimension it is the fair CRPS; members that agree with the truth have 0."""
    x = np.array([3.0, 0.0, 1.0])
    assert prob.energy_score(x, np.array([2.0])) == pytest.approx(prob.fair_crps(x[:, None], np.array([2.0]))[0])
    assert prob.energy_score(np.ones((4, 3)), np.ones(3)) == 0


def test_variance_ratio():
    draw = np.random.default_rng(4)
    mean = draw.standard_normal(50000)
    y, generated = (mean + size * draw.standard_normal(50000) for size in (0.5, 0.5))
    assert prob.variance_ratio(generated, mean, y) == pytest.approx(1, abs=0.03)
    assert prob.variance_ratio(mean, mean, y) == 0


def test_one_member_has_no_spread():
    for score in (prob.fair_crps, prob.spread_skill, prob.energy_score):
        with pytest.raises(HaloclineError, match="at least 2 members, got 1"):
            score(np.ones((1, 3)), np.ones(3))
