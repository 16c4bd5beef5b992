"""The seasonal part of increments: fitted to training records only, smooth over the year's end, honest where no season is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from models.data import climatology

ATTRS = {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day"}
DAY = 86400.0


def record(years=6, step=5.0, noise=0.1, season=1.0, seed=0, length=360.0):
    """Times [s], days of the year and values (time, 2, 3, 4) with one harmonic and noise."""
    times = np.arange(0.0, years * length, step) * DAY
    days = climatology.day_of_year(times, ATTRS)
    w = 2 * np.pi * (days - 0.5) / length
    random = np.random.default_rng(seed)
    wave = 0.3 + season * (np.cos(w) + 0.5 * np.sin(w))
    return times, days, wave[:, None, None, None] + noise * random.standard_normal((len(times), 2, 3, 4))


def test_the_fit_finds_the_harmonics():
    """Coefficients are those of the made-up season; with none allowed the mean alone comes out."""
    _, days, values = record(noise=1e-6)
    clim = climatology.fit({"u": values}, days, 360.0, 2, np.arange(len(days)))
    np.testing.assert_allclose(clim.coefficients["u"][:, 0, 0, 0], [0.3, 1.0, 0.5, 0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(clim.at(days)["u"], values, atol=1e-4)
    assert clim.maps("u").shape == (5, 2, 3, 4) and clim.explained["u"] == pytest.approx([1.0, 1.0])
    mean = climatology.fit({"u": values}, days, 360.0, 0, np.arange(len(days)))
    assert mean.harmonics == 0 and mean.explained["u"][0] < 0.2


def test_only_training_records_enter():
    """Whatever stands in the other years, the coefficients are bit for bit the same; fitted to all records they are not."""
    _, days, values = record()
    train = np.arange(4 * 72)
    other = values.copy()
    other[4 * 72 :] += 5.0
    first, second = (climatology.fit({"u": v}, days, 360.0, 1, train).coefficients["u"] for v in (values, other))
    assert np.array_equal(first, second)
    leaking = climatology.fit({"u": other}, days, 360.0, 1, np.arange(len(days))).coefficients["u"]
    assert np.abs(leaking - first).max() > 0.5


@given(st.sampled_from(["standard", "noleap", "360_day"]), st.integers(1, 4))
def test_the_year_closes(calendar, harmonics):
    """31 December and 1 January differ by no more than two neighbouring days elsewhere; a clock of 300 days would jump."""
    attrs = {"units": "seconds since 2001-01-01 00:00:00", "calendar": calendar}
    length = climatology.year_days(calendar)
    days = climatology.day_of_year(np.arange(0, 4 * length) * DAY, attrs)
    random = np.random.default_rng(1)
    clim = climatology.Climatology({"u": random.standard_normal((1 + 2 * harmonics, 1, 1, 1))}, length)

    def jumps(used):
        series = used.at(days)["u"].ravel()
        step = np.abs(np.diff(series))
        over = np.diff(days) < 0
        return step[over].max(), step[~over].max()

    at_end, inside = jumps(clim)
    assert over_bound(at_end, inside)
    broken = climatology.Climatology({"u": np.r_[0.0, 0.0, 1.0].reshape(3, 1, 1, 1)}, 300.0)
    assert not over_bound(*jumps(broken))


def over_bound(at_end, inside):
    return at_end <= 1.3 * inside + 1e-12


def test_the_clock_is_the_couplers():
    """1 January 00:00 is 1.0, 2 January 06:00 is 2.25, in each calendar; the last day is the calendar's."""
    for calendar, last in (("standard", 366), ("noleap", 365), ("360_day", 360)):
        attrs = {"units": "days since 2004-01-01 00:00:00", "calendar": calendar}
        assert climatology.day_of_year([0.0, 1.25, last - 1.0], attrs) == pytest.approx([1.0, 2.25, last])


def test_harmonics_of_noise_are_told():
    """Without a season the gain on left-out years is negative and the warning says so; with one it is positive, and silent."""
    for season, positive in ((0.0, False), (1.0, True)):
        times, _, values = record(season=season, noise=1.0)
        gain = climatology.seasonal_gain({"u": values}, times, ATTRS, 3, np.arange(len(times)))
        assert (gain["u"] > 0) == positive
        assert bool(climatology.season_warning(gain, 3)) != positive
    assert "u" in climatology.season_warning({"u": -0.1}, 3) and climatology.season_warning({"u": -0.1}, 0) == ""


def test_the_gain_is_that_of_refitted_years():
    """The sums without a year give what leaving it out by hand gives."""
    times, days, values = record(years=3, noise=1.0)
    gain = climatology.seasonal_gain({"u": values}, times, ATTRS, 1, np.arange(len(times)))["u"]
    won = 0.0
    for year in range(3):
        out = np.arange(72 * year, 72 * year + 72)
        kept = np.setdiff1d(np.arange(216), out)
        for harmonics, sign in ((0, 1), (1, -1)):
            clim = climatology.fit({"u": values}, days, 360.0, harmonics, kept)
            won += sign * ((values[out] - clim.at(days[out])["u"]) ** 2).sum()
    assert gain == pytest.approx(won / (values**2).sum())


def test_half_a_year_tells_no_harmonics():
    """Records of the winters alone are refused; the mean of them is not."""
    _, days, values = record()
    winter = np.flatnonzero(days < 60)
    with pytest.raises(HaloclineError, match="too few days"):
        climatology.fit({"u": values}, days, 360.0, 3, winter)
    climatology.fit({"u": values}, days, 360.0, 0, winter)


def test_land_is_left_out_and_wet_nan_is_not():
    """NaN on land gives coefficients 0 there; the same NaN at a wet point is an error."""
    _, days, values = record()
    mask = np.ones((2, 3, 4))
    mask[:, 1, 1] = 0
    values[:, :, 1, 1] = np.nan
    clim = climatology.fit({"u": values}, days, 360.0, 1, np.arange(len(days)), {"u": mask})
    assert not clim.coefficients["u"][:, :, 1, 1].any()
    with pytest.raises(HaloclineError, match="not finite"):
        climatology.fit({"u": values}, days, 360.0, 1, np.arange(len(days)))


def test_what_is_explained_can_be_negative():
    """A climatology with the sign turned does harm on the test part, and the score says it."""
    _, days, values = record()
    clim = climatology.fit({"u": values}, days, 360.0, 1, np.arange(200))
    turned = climatology.Climatology({"u": -clim.coefficients["u"]}, 360.0)
    part = np.arange(200, len(days))
    good, bad = (climatology.explained(one, {"u": values}, days, part)["u"] for one in (clim, turned))
    assert min(good) > 0.9 and max(bad) < -2


def test_arrays_and_back():
    _, days, values = record()
    clim = climatology.fit({"u": values, "sst": values[:, 0]}, days, 360.0, 1, np.arange(len(days)))
    again = climatology.Climatology.from_arrays(clim.to_arrays())
    assert all(np.array_equal(again.at(days)[name], clim.at(days)[name]) for name in ("u", "sst"))
    assert again.explained == clim.explained and again.maps("sst").shape == (3, 1, 3, 4)
    with pytest.raises(HaloclineError, match="no climatology"):
        climatology.Climatology.from_arrays({"x": days})


def test_the_running_mean_stays_in_its_part():
    """Neither the next part of the split nor the far side of a hole enters; one block over all of it would let them in."""
    times = np.r_[0:10, 20:30] * DAY
    values = np.r_[np.zeros(5), np.ones(5), 10 * np.ones(10)][:, None]
    parts = [np.arange(5), np.arange(5, 20)]
    smooth = climatology.running_mean(values, times, 5.0, parts)
    assert np.array_equal(smooth, values)
    crossing = climatology.running_mean(values, times, 5.0, [np.arange(20)])
    assert crossing[4, 0] == pytest.approx(0.4) and crossing[9, 0] == 1.0  # the split is crossed, the hole is not
    assert np.array_equal(climatology.running_mean(values, times, 0.0, parts), values)


@given(st.integers(0, 1000))
def test_the_running_mean_keeps_a_constant_and_calms_noise(seed):
    times = np.arange(100) * 5 * DAY
    values = np.random.default_rng(seed).standard_normal((100, 2))
    smooth = climatology.running_mean(values + 7, times, 25.0, [np.arange(100)])
    assert np.allclose(smooth[2:-2], np.array([values[k - 2 : k + 3].mean(0) + 7 for k in range(2, 98)]))
    assert smooth.std() < 0.8 * values.std()
