"""Blocks of time never overlap and never come closer than the gap; regions and data sets are held out as told."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from models.data.splits import DAY, datasets, decorrelation_time, regions, split
from models.settings import NamSplit


def autoregressive(coefficient: float, n: int, columns: int = 4) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((n, columns))
    series = np.zeros_like(noise)
    for t in range(1, n):
        series[t] = coefficient * series[t - 1] + noise[t]
    return series


def assert_apart(time: np.ndarray, blocks: list[np.ndarray], gap: float) -> None:
    """Every block is contiguous, after the one before it, and further from it than the gap."""
    for block in blocks:
        assert np.array_equal(block, np.arange(block[0], block[-1] + 1))
    for before, after in pairwise(blocks):
        assert time[after[0]] - time[before[-1]] > gap * (1 - 1e-9)


FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.5, 0.0, 0.5), (0.7, 0.3, 0.0), (0.34, 0.33, 0.33)])


@given(
    fractions=FRACTIONS,
    gap=st.floats(0.5, 90.0),
    steps=st.lists(st.floats(0.5, 8.0), min_size=10, max_size=300),
    start=st.floats(-1e4, 1e4),
)
def test_blocks_are_contiguous_and_further_apart_than_the_gap(fractions, gap, steps, start):
    time = (start + np.concatenate([[0.0], np.cumsum(steps)])) * DAY
    train, val, test = fractions
    try:
        parts = split(time, NamSplit(rn_train=train, rn_val=val, rn_test=test, rn_gap=gap))
    except HaloclineError as error:
        assert "too short" in str(error) or "holds no sample" in str(error)
        assume(False)
    blocks = [block for block, part in zip((parts.train, parts.val, parts.test), fractions, strict=True) if part]
    assert_apart(time, blocks, gap * DAY)
    used = np.concatenate(blocks)
    assert (used[0], used[-1]) == (0, len(time) - 1)  # nothing is lost at either end
    left = np.setdiff1d(np.arange(len(time)), used)  # only what lies in a gap is in no block
    edges = [(time[a[-1]], time[b[0]]) for a, b in pairwise(blocks)]
    assert all(any(low < time[i] < high for low, high in edges) for i in left)


def test_shuffled_samples_are_caught():
    """The broken twin: a random split has test samples between training samples."""
    time = np.arange(100) * DAY
    order = np.random.default_rng(0).permutation(100)
    with pytest.raises(AssertionError):
        assert_apart(time, [np.sort(order[:80]), np.sort(order[80:])], 5 * DAY)


def test_blocks_without_a_gap_are_caught():
    time = np.arange(100) * DAY
    with pytest.raises(AssertionError):
        assert_apart(time, [np.arange(80), np.arange(80, 100)], 5 * DAY)


def test_fractions_hold_for_a_regular_record():
    """730 states five days apart, 30 days of gap: 0.8, 0.1, 0.1 of what is left."""
    parts = split(np.arange(730) * 5 * DAY, NamSplit(rn_gap=30.0))
    assert (parts.train[0], parts.test[-1]) == (0, 729)
    assert [len(parts.train), len(parts.val), len(parts.test)] == pytest.approx([574.4, 71.8, 71.8], abs=1)
    assert parts.gap == 30 * DAY


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_decorrelation_time_of_autoregressive_series(coefficient):
    """AR(1) has (1 + a) / (1 - a) samples between independent ones."""
    measured = decorrelation_time(autoregressive(coefficient, 40000))
    assert measured == pytest.approx((1 + coefficient) / (1 - coefficient), rel=0.1)


def test_decorrelation_time_sees_memory():
    """The broken twin: the same values, shuffled in time, have none left."""
    series = autoregressive(0.9, 4000)
    shuffled = np.random.default_rng(0).permutation(series)
    assert decorrelation_time(shuffled) < 0.2 * decorrelation_time(series)


def test_measured_gap_is_the_decorrelation_time():
    series = autoregressive(0.8, 2000)
    time = np.arange(2000) * 5 * DAY
    parts = split(time, NamSplit(rn_gap=0.0), series)
    assert parts.gap == pytest.approx(decorrelation_time(series) * 5 * DAY)
    assert_apart(time, [parts.train, parts.val, parts.test], parts.gap)


def test_a_short_record_says_how_long_it_must_be():
    settings = NamSplit(rn_gap=60.0)
    with pytest.raises(HaloclineError, match="too short for the split: 360 days, it must have 720 days"):
        split(np.arange(72) * 5 * DAY, settings)
    assert len(split(np.arange(144) * 5 * DAY, settings).test) > 0  # and that is enough


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rn_test": 0.2}, "rn_train + rn_val + rn_test is 1.1, it must be 1"),
        ({"time": [0.0, 1.0, 1.0, 2.0]}, "time does not increase: samples 1 and 2"),
        ({"time": [0.0]}, "a record of 1 sample"),
        ({"rn_gap": 0.0}, "there is no series to measure"),
        ({"rn_gap": 0.0, "series": np.zeros((100, 3))}, "never varies"),
        ({"rn_gap": 0.0, "series": np.full((100, 3), np.nan)}, "holds NaN"),
        ({"rn_gap": 0.0, "series": np.zeros((3, 3))}, "the series has 3 samples, time has 100"),
        ({"rn_gap": 0.0, "series": np.zeros(100), "time": np.arange(100.0) ** 2}, "needs regular samples"),
    ],
)
def test_mistakes_end_in_words(change, message):
    values = {"rn_gap": 1.0, "rn_test": 0.1} | {key: value for key, value in change.items() if key.startswith("rn")}
    time = np.asarray(change.get("time", np.arange(100) * DAY))
    with pytest.raises(HaloclineError) as error:
        split(time, NamSplit(**values), change.get("series"))
    assert message in str(error.value)


def test_a_hole_in_the_record_is_not_a_block():
    time = np.concatenate([np.arange(80), np.arange(400, 401)]) * DAY
    with pytest.raises(HaloclineError, match="holds no sample"):
        split(time, NamSplit(rn_train=0.6, rn_val=0.2, rn_test=0.2, rn_gap=1.0))


@given(
    years=st.tuples(st.integers(1, 8), st.integers(0, 3), st.integers(0, 3)),
    year=st.sampled_from([360.0, 365.0, 365.2425]),
    gap=st.floats(1.0, 90.0),
    step=st.floats(0.5, 10.0),
    start=st.floats(-1e4, 1e4),
)
def test_years_are_whole_and_further_apart_than_the_gap(years, year, gap, step, start):
    time = (start + np.arange(0.0, sum(years) * year, step)) * DAY
    settings = NamSplit(nn_train=years[0], nn_val=years[1], nn_test=years[2], rn_gap=gap)
    parts = split(time, settings, year_days=year)
    blocks = [block for block, count in zip((parts.train, parts.val, parts.test), years, strict=True) if count]
    assert_apart(time, blocks, gap * DAY)
    edge = start * DAY
    for block, count in zip((parts.train, parts.val, parts.test), years, strict=True):
        assert ((time[block] >= edge - 1) & (time[block] < edge + count * year * DAY + 1)).all()
        assert len(block) == 0 or edge == start * DAY or time[block[0]] - edge <= (gap + step) * DAY + 1
        edge += count * year * DAY
    assert time[parts.train[-1]] + step * DAY >= start * DAY + years[0] * year * DAY - 1  # training has its whole years


def test_years_of_another_calendar_are_caught():
    """The broken twin: cut by years of 365 days, ten years of 360 days leave the test in the wrong years, or are too short."""
    time = np.arange(720) * 5 * DAY
    settings = NamSplit(nn_train=8, nn_val=1, nn_test=1, rn_gap=20.0)
    right = split(time, settings, year_days=360.0)
    assert time[right.train[-1]] / DAY == 8 * 360 - 5 and time[right.val[0]] / DAY == 8 * 360 + 20
    assert time[right.test[0]] / DAY == 9 * 360 + 20
    with pytest.raises(HaloclineError, match="too short for the split"):
        split(time, settings, year_days=365.0)
    split(time[:-2], settings, year_days=360.0)  # two states short of ten years: allowed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nn_train": 0}, "but nn_train is 0"),
        ({"nn_train": 9}, "is 11"),
        ({"rn_gap": 200.0}, "too short for a block"),
        ({"year": None}, "length of the year is not known"),
    ],
)
def test_mistakes_in_years_end_in_words(change, told):
    values = {"nn_train": 8, "nn_val": 1, "nn_test": 1, "rn_gap": 20.0} | {
        k: v for k, v in change.items() if k != "year"
    }
    with pytest.raises(HaloclineError, match=told):
        split(np.arange(720) * 5 * DAY, NamSplit(**values), year_days=change.get("year", 360.0))


def test_regions_are_the_cells_that_were_named():
    held = regions(NamSplit(cn_hold_region=["1:3,2:2", "8:8,6:6"]), 6, 8)
    expected = np.zeros((6, 8), dtype=bool)
    expected[1, 0:3] = expected[5, 7] = True
    assert np.array_equal(held, expected)
    assert not regions(NamSplit(), 6, 8).any()


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("1:9,1:6", "not inside the grid of 8 x 6 cells"),
        ("0:3,1:6", "not inside the grid"),
        ("3,1:6", "cannot read the region"),
        ("5:8,1:6", "is all land"),
        ("1:4,1:6", "nothing is left to train on"),
    ],
)
def test_wrong_regions_end_in_words(region, message):
    wet = np.zeros((6, 8))
    wet[:, :4] = 1
    with pytest.raises(HaloclineError) as error:
        regions(NamSplit(cn_hold_region=[region]), 6, 8, wet)
    assert message in str(error.value)


def test_data_sets_are_held_out_by_name():
    names = ["runs/a.zarr", "runs/strong.zarr", "runs/c.zarr"]
    kept, held = datasets(NamSplit(cn_hold_data=["strong", "runs/c.zarr"]), names)
    assert (kept, held) == (["runs/a.zarr"], ["runs/strong.zarr", "runs/c.zarr"])
    with pytest.raises(HaloclineError, match="no data set 'weak'"):
        datasets(NamSplit(cn_hold_data=["weak"]), names)
    with pytest.raises(HaloclineError, match="no data set is left"):
        datasets(NamSplit(cn_hold_data=["a", "strong", "c"]), names)
