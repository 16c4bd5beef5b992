"""Scale, ramp and window: how much reaches the ocean, where, and nothing at all where nothing should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from coupler.guards.window import Window
from coupler.settings import NamNet

pytestmark = pytest.mark.filterwarnings("error")
LAT = np.repeat(np.linspace(-60.0, 60.0, 5)[:, None], 3, axis=1)  # -60 -30 0 30 60


def window(levels=3, gphi=LAT, seconds=3600.0, **switches):
    return Window(NamNet(cn_name="net", **switches), "du", levels, seconds, "U", gphi)


def field(dtype="f8", levels=3):
    return np.random.default_rng(0).normal(size=(levels, 5, 3)).astype(dtype)


def test_the_ramp_is_linear_from_zero_at_step_one():
    ramp = window(rn_ramp=2.0, rn_scale=3.0)
    assert [ramp.factor(kt) for kt in (1, 13, 25, 49, 50, 1000)] == [0.0, 0.75, 1.5, 3.0, 3.0, 3.0]
    with pytest.raises(AssertionError):  # a ramp that counts the steps done
        assert [ramp.factor(kt + 1) for kt in (1, 13)] == [0.0, 0.75]


@given(st.floats(0.01, 100.0), st.integers(1, 10**6), st.floats(-2.0, 2.0))
def test_the_ramp_never_overshoots_nor_turns_back(days, kt, scale):
    ramp = window(rn_ramp=days, rn_scale=scale)
    assert abs(ramp.factor(kt)) <= abs(ramp.factor(kt + 1)) <= abs(scale)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_factor_one_without_window_touches_nothing(dtype):
    values = field(dtype)
    values.setflags(write=False)  # a write would raise
    window(nn_lev_max=3).apply(values, 1)
    with pytest.raises(ValueError, match="read-only"):
        window(rn_scale=2.0).apply(values, 1)


@pytest.mark.parametrize(
    ("switches", "keep"),
    [
        ({"nn_lev_min": 2}, np.array([0, 1, 1])[:, None, None]),
        ({"nn_lev_max": 1}, np.array([1, 0, 0])[:, None, None]),
        ({"rn_lat_min": -30.0, "rn_lat_max": 30.0}, np.array([0, 1, 1, 1, 0])[None, :, None]),
        (
            {"nn_lev_min": 2, "nn_lev_max": 2, "rn_lat_min": 0.0},
            np.array([0, 1, 0])[:, None, None] * np.array([0, 0, 1, 1, 1])[None, :, None],
        ),
    ],
)
def test_outside_the_window_there_is_plain_zero(switches, keep):
    values, before = field("f4"), field("f4")
    values[0, 0, 0] = np.nan  # outside all four windows but one
    before[0, 0, 0] = np.nan
    window(rn_scale=0.5, **switches).apply(values, 1)
    inside = np.broadcast_to(keep == 1, values.shape)
    assert values[inside].tobytes() == (before[inside] * np.float32(0.5)).tobytes()
    assert values[~inside].tobytes() == np.zeros(np.count_nonzero(~inside), "f4").tobytes()
    with pytest.raises(AssertionError):  # multiplying by a window gives -0.0 and NaN
        assert (before * 0.5 * keep)[~inside].astype("f4").tobytes() == values[~inside].tobytes()


def test_factor_zero_gives_plain_zero():
    values = field()
    window(rn_ramp=1.0).apply(values, 1)
    assert values.tobytes() == np.zeros_like(values).tobytes()
    assert (field() * 0.0).tobytes() != values.tobytes()


def test_latitudes_are_read_when_they_have_arrived():
    gphi = np.full((5, 3), np.nan)
    band = window(gphi=gphi, rn_lat_min=0.0)
    gphi[...] = LAT
    values = np.ones((3, 5, 3))
    band.apply(values, 1)
    assert values[0, :, 0].tolist() == [0, 0, 1, 1, 1]


def test_a_cut_window_is_the_window_cut():
    values = field()
    window(rn_lat_max=0.0).apply(values, 1)
    for rows in (slice(0, 2), slice(2, 5)):
        part = field()[:, rows].copy()
        window(gphi=LAT[rows], rn_lat_max=0.0).apply(part, 1)
        assert part.tobytes() == values[:, rows].tobytes()


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"nn_lev_max": 4}, ["nn_lev_max = 4", "has 3 level(s)", "1 to 3"]),
        ({"nn_lev_min": 5}, ["nn_lev_min = 5", "'du'"]),
        ({"nn_lev_min": 3, "nn_lev_max": 2}, ["levels 3 to 2 is empty"]),
        ({"rn_lat_min": 30.0, "rn_lat_max": -30.0}, ["latitudes 30 to -30 is empty", "southern"]),
        ({"rn_lat_min": 30.0, "gphi": None}, ["'gphiu' does not travel", "static exchange", "ln_static"]),
    ],
)
def test_a_window_that_cannot_be_ends_in_words(switches, words):
    with pytest.raises(HaloclineError) as error:
        window(**switches)
    for word in [*words, "net"]:
        assert word in str(error.value)


def test_no_latitudes_are_needed_without_a_band():
    window(gphi=None, nn_lev_min=2)
