"""Increments are per window, tendencies per second: nothing mixes them, in memory or in a file."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from models.data import store
from models.data.increment import Increment, Tendency, UnitsError, Writer, open_increments, per_second

DAY = 86400.0
WINDOW = 5 * DAY
TIME = {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day"}
INC = Increment.of("u", np.ones((2, 3)), WINDOW)
RATE = INC.tendency()


@given(st.floats(1.0, 1e7), st.sampled_from(["u", "v", "h", "sst", "t", "s", "ssh"]))
def test_the_only_ways_across_are_inverse(window, name):
    """increment -> tendency -> increment gives values, units, point and window back; the twin over another window does not."""
    first = Increment.of(name, np.arange(3.0), window)
    again = first.tendency().over(window)
    np.testing.assert_allclose(again.values, first.values)
    assert (again.units, again.point, again.window) == (first.units, first.point, first.window)
    assert not np.allclose(first.tendency().over(2 * window).values, first.values)


def test_a_tendency_is_per_second():
    np.testing.assert_allclose(RATE.values * WINDOW, 1.0)
    assert [Tendency(1.0, units, "x", "T").over(2.0).units for units in ("m s-2", "K s-1", "s-1", "m")] == [
        "m s-1",
        "K",
        "1",
        "m s",
    ]
    assert RATE.units == "m s-2" and per_second("degC") == "degC s-1" and per_second("m") == "m s-1"


MIXED = {
    "increment + tendency": lambda: INC + RATE,
    "tendency - increment": lambda: RATE - INC,
    "increment + number": lambda: INC + 1,
    "number + increment": lambda: 1 + INC,
    "array + increment": lambda: np.ones((2, 3)) + INC,
    "xarray + increment": lambda: xr.DataArray(np.ones((2, 3))) + INC,
    "increment * increment": lambda: INC * INC,
    "increment * array": lambda: INC * np.ones((2, 3)),
    "increment == tendency": lambda: INC == RATE,
    "increment < number": lambda: INC < 1,
    "numpy function": lambda: np.sin(INC),
    "numpy mean": lambda: np.mean(INC),
    "numpy array": lambda: np.asarray(INC),
    "float": lambda: float(Increment.of("u", 1.0, WINDOW)),
    "truth": lambda: bool(INC),
    "sum": lambda: sum([INC, INC]),
    "iteration": lambda: list(INC),
    "other window": lambda: INC + Increment.of("u", np.ones((2, 3)), DAY),
    "other field": lambda: INC + Increment.of("v", np.ones((2, 3)), WINDOW),
    "division by bool": lambda: INC / True,
    "wrapped twice": lambda: Increment.of("u", RATE, WINDOW),
    "rate called increment": lambda: Increment(RATE.values, WINDOW, "m s-2", "u", "U"),
    "thickness rate called increment": lambda: Increment(1.0, WINDOW, "m s-1", "h", "T"),
    "increment called rate": lambda: Tendency(1.0, "m", "h", "T"),
}


@pytest.mark.parametrize("mixture", MIXED)
def test_mixing_is_refused(mixture):
    """The twin with plain arrays goes through without a word: that is why the types are there."""
    with pytest.raises(TypeError):
        MIXED[mixture]()
    assert np.all(INC.values + RATE.values > 0)


def test_like_and_like_add():
    assert np.array_equal((INC + INC - INC * 0.5).values, np.full((2, 3), 1.5))
    assert np.array_equal((np.float32(2) * INC / 4).values, np.full((2, 3), 0.5)) and (INC == INC).all()
    assert np.array_equal((-RATE).values, -RATE.values)


@pytest.mark.parametrize("window", [0, -5.0, np.nan, np.inf, None, True, "5"])
def test_a_window_is_a_positive_number(window):
    with pytest.raises(HaloclineError, match="window"):
        Increment.of("u", 1.0, window)


def test_temperature_increments_may_be_in_kelvin():
    assert Increment(1.0, DAY, "K", "sst", "T").tendency().units == "K s-1"
    with pytest.raises(UnitsError, match="degC"):
        Increment(1.0, DAY, "m", "sst", "T")


def written(path, records=4, window=WINDOW, step=WINDOW):
    random = np.random.default_rng(0)
    static = {
        "tmask": (("k", "y", "x"), np.ones((2, 3, 4), "f4"), {}),
        "umask": (("k", "y", "x"), np.ones((2, 3, 4), "f4"), {}),
    }
    with Writer(path, TIME, static, {"by": "test"}, window, "insert", gain=1.0) as out:
        for start in range(0, records, 2):
            state = {"u": random.standard_normal((2, 2, 3, 4)), "sst": random.standard_normal((2, 3, 4))}
            change = {name: Increment.of(name, values / 10, window) for name, values in state.items()}
            out.add(step * np.arange(start, start + 2), state, change)
    return path


def test_a_data_set_keeps_its_window(tmp_path):
    data = open_increments(written(tmp_path / "i.zarr"))
    assert (data.window, data.method, data.fields, data.calendar) == (WINDOW, "insert", ("u", "sst"), "360_day")
    assert data.info["gain"] == 1.0 and data.background("sst").dims == ("time", "y", "x")
    increment = data.increment("u")
    assert isinstance(increment, Increment) and increment.values.chunks is not None
    np.testing.assert_allclose(increment.values.values, data.background("u").values / 10, rtol=1e-6)
    assert data.masks("u").shape == (2, 3, 4) and data.masks("sst").shape == (3, 4)
    with pytest.raises(HaloclineError, match="has no increments of 'h'"):
        data.increment("h")


def changed(path, variable=None, **attrs):
    group = zarr.open_group(path)
    (group if variable is None else group[variable]).attrs.update(attrs)
    return path


def test_a_data_set_without_window_or_with_rates_is_refused(tmp_path):
    path = written(tmp_path / "i.zarr")
    open_increments(path)
    with pytest.raises(UnitsError, match="rate, per second"):
        open_increments(changed(path, "u_inc", units="m s-2"))
    changed(path, "u_inc", units="m s-1")
    for value, told in (
        (json.dumps({"method": "insert"}), "over which window"),
        (json.dumps({"window": 0}), "positive"),
    ):
        with pytest.raises(HaloclineError, match=told):
            open_increments(changed(path, increments=value))


def test_windows_that_overlap_are_refused(tmp_path):
    open_increments(written(tmp_path / "apart.zarr", step=2 * WINDOW))
    with pytest.raises(HaloclineError, match="overlap"):
        open_increments(written(tmp_path / "overlap.zarr", step=0.5 * WINDOW))


def test_what_is_no_increment_is_not_written(tmp_path):
    state = {"u": np.ones((1, 2, 3, 4))}
    wrong = {
        "Tendency": {"u": Increment.of("u", state["u"], WINDOW).tendency()},
        "ndarray": {"u": state["u"]},
        "window": {"u": Increment.of("u", state["u"], DAY)},
        "background": {"v": Increment.of("v", state["u"], WINDOW)},
    }
    for told, increments in wrong.items():
        with (
            pytest.raises(HaloclineError, match=told),
            Writer(tmp_path / "i.zarr", TIME, {}, {}, WINDOW, "insert") as out,
        ):
            out.add(np.zeros(1), state, increments)
    assert not (tmp_path / "i.zarr").exists()


def test_only_a_data_set_is_replaced(tmp_path):
    """An older data set, or an empty folder; other files and folders are refused, and stay."""
    path = written(written(tmp_path / "i.zarr"))
    (tmp_path / "empty").mkdir()
    written(tmp_path / "empty")
    for name in ("a.txt", "folder/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    zarr.open_group(tmp_path / "foreign.zarr", mode="w")
    for name in ("a.txt", "folder", "foreign.zarr"):
        with pytest.raises(HaloclineError, match="would be replaced"):
            written(tmp_path / name)
        assert (tmp_path / name).exists()
    open_increments(path)


def test_a_data_set_of_states_is_no_data_set_of_increments(tmp_path):
    with store.Writer(tmp_path / "s.zarr", TIME, {}, {}) as out:
        out.append(np.zeros(1), {"u": np.ones((1, 2, 3, 4))})
    with pytest.raises(HaloclineError, match="over which window"):
        open_increments(tmp_path / "s.zarr")
    with pytest.raises(HaloclineError, match="there is no data set"):
        open_increments(tmp_path / "none.zarr")
