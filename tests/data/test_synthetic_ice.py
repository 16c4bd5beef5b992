"""The synthetic sea ice: physics that keeps volume and heat, errors that depend on the state, the same bits from a seed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.data import synthetic_ice
from models.data.quantities import Increment
from models.data.synthetic_ice import (
    BIASED,
    DAY,
    FREEZING,
    HEAT,
    LATENT,
    THICKNESS,
    TRUTH,
    Ice,
    World,
    forecast,
    increments,
    run,
    step,
)  # fmt: skip

H = np.array(THICKNESS)[:, None, None]
WINDOW = 5


@pytest.fixture(scope="module")
def world():
    return World(seed=3, days=2 * 360)


@pytest.fixture(scope="module")
def winter(world):
    return forecast(world, TRUTH, world.rest(), 60)


def volume(a):
    return float((a * H).sum())


def test_a_seed_gives_the_same_bits(world, winter):
    """Equal seeds give equal data sets; another seed gives another weather."""
    again = forecast(World(seed=3, days=720), TRUTH, World(seed=3, days=720).rest(), 60)
    other = forecast(World(seed=4, days=720), TRUTH, World(seed=4, days=720).rest(), 60)
    assert again.a.tobytes() == winter.a.tobytes() and again.t.tobytes() == winter.t.tobytes()
    assert other.a.tobytes() != winter.a.tobytes()


def test_drift_and_ridging_keep_the_volume(world, winter):
    """To round-off, on a grid with an island; a fraction moved without its source would not."""
    _, u, v = synthetic_ice._drift(world, replace(TRUTH, resist=0.0), winter)
    moved = synthetic_ice._upstream(world, winter.a, u, v)
    ridged = synthetic_ice._ridge(moved)
    assert abs(u).max() > 0.05 and moved.sum(axis=0).max() > 1.0
    assert volume(moved) == pytest.approx(volume(winter.a), rel=1e-12)
    assert volume(ridged) == pytest.approx(volume(winter.a), rel=1e-12)
    over = moved.sum(axis=0) - 1.0
    enough = over <= (moved[:-1] * (1.0 - H[:-1] / H[-1])).sum(axis=0)  # thin ice to make thick ice of
    assert (over[enough] > 0).any() and ridged.sum(axis=0)[enough].max() < 1.0 + 1e-9 and ridged.min() >= 0
    assert volume(winter.a * 1.001) != pytest.approx(volume(winter.a), rel=1e-12)


@pytest.mark.parametrize("temperature", [FREEZING, 2.0])
def test_ocean_and_ice_exchange_heat_without_loss(temperature):
    """Without an atmosphere: HEAT t - LATENT volume is kept, in warm water that melts ice and where nothing happens."""
    a = np.full((5, 4, 4), 0.1)
    t, air = np.full((4, 4), temperature), np.full((4, 4), -10.0)
    later, cooler = synthetic_ice._ocean(a, t, air, replace(TRUTH, exchange=0.0))
    before, after = (HEAT * t - LATENT * (a * H).sum(axis=0)), (HEAT * cooler - LATENT * (later * H).sum(axis=0))
    assert np.allclose(before, after, rtol=1e-12)
    assert (volume(later) < volume(a)) == (temperature > FREEZING)


def test_cold_air_freezes_and_warm_water_melts(world):
    """New ice only where the water is at the freezing point; none is made in warm water."""
    rest, cold = world.rest(), np.full(world.shape, -15.0)
    frozen, t = synthetic_ice._ocean(rest.a.copy(), rest.t, cold, TRUTH)
    assert frozen[0].max() > 0 and t.min() == FREEZING
    warm, t = synthetic_ice._ocean(rest.a.copy(), rest.t + 3.0, cold, TRUTH)
    assert warm.max() == 0 and t[world.tmask > 0].max() < FREEZING + 3.0


def test_ice_has_a_season_and_keeps_its_bounds(world, winter):
    """Much in late winter, little in late summer, 0 <= sum <= 1 always, nothing on land."""
    series = run(world, TRUTH, winter, 120, WINDOW)
    cover = series[:, world.tmask > 0].mean(axis=1)
    assert cover[:72].max() > 0.8 and cover[:72].min() < 0.3
    assert series.min() >= 0 and series.max() <= 1 + 1e-6 and not series[:, world.tmask == 0].any()


@pytest.fixture(scope="module")
def data(world, winter):
    return increments(world, winter, 100, WINDOW)


def test_increments_lead_from_the_background_to_the_truth(world, winter, data):
    """Background + increment is the truth's state; the analysis in the background's place would show no increment."""
    truth = forecast(world, TRUTH, winter, 10 * WINDOW)
    background, increment = (data[name].isel(time=9).values for name in ("a_i", "a_i_inc"))
    assert np.allclose(background + increment, truth.a, atol=1e-6)
    assert not np.allclose(background, truth.a, atol=1e-2)
    assert json.loads(data.attrs["increments"])["window"] == WINDOW * DAY


def test_a_model_without_errors_has_no_increments(world, winter, data):
    none = increments(world, winter, 5, WINDOW, TRUTH)
    assert abs(none["a_i_inc"]).max() < 1e-6
    assert abs(data["a_i_inc"]).max() > 0.1


def test_the_error_depends_on_the_state(world, winter):
    """Over the same weather, more ice gives another increment: a constant correction cannot be right."""
    thin = replace(winter, a=0.3 * winter.a)
    one, other = (
        (forecast(world, TRUTH, ice, WINDOW).a - forecast(world, BIASED, ice, WINDOW).a).sum(0)
        for ice in (winter, thin)
    )
    assert abs(one - other).max() > 0.05


def test_a_step_takes_tendencies_only(world, winter):
    """An increment given as a tendency is refused by its type, an array too; converted, it arrives in one window."""
    gift = Increment(np.full_like(winter.a, -0.01) * winter.a, WINDOW * DAY, "1", "a_i", "T")
    for wrong in (gift, gift.values):
        with pytest.raises(HaloclineError, match="takes a Tendency in s-1"):
            step(world, TRUTH, winter, wrong)
    with_it, without = (forecast(world, TRUTH, winter, WINDOW, t) for t in (gift.tendency(), None))
    assert with_it.a.sum() < without.a.sum()


def test_mistakes_are_refused(world):
    with pytest.raises(HaloclineError, match="day 720 is not in the weather"):
        step(world, TRUTH, Ice(world.rest().a, world.rest().t, 720))
    with pytest.raises(HaloclineError, match="at least 12 x 12"):
        World(ny=4)
