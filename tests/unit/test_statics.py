"""Maps inside a network are of one grid, and static inputs are what the contract says: both are known before the first step."""

import numpy as np
import pytest

from coupler.contract import Contract, InputSpec
from coupler.errors import HaloclineError
from coupler.guards import statics
from coupler.guards.statics import check_range, grid_problem, year_problem
from coupler.specs import Climatology
from coupler.swap import check_swap

FIELDS = {"mig": "mig", "row": "mjg", "u": "u"}


def mapped(ni=50.0, nj=50.0):
    """A network that looks up maps by mig and mjg."""
    place = {"units": "1", "point": "T", "levels": 1, "static": True, "fill": 1.0}
    return Contract.from_dict(
        {
            "name": "maps", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f4",
            "decomposition": "bitwise",
            "inputs": [
                {"name": "mig", **place, "valid_range": (1.0, ni)},
                {"name": "row", **place, "valid_range": (1.0, nj)},
                {"name": "u", "units": "m s-1", "point": "U"},
            ],
            "outputs": [{"name": "du", "units": "m s-2", "point": "U"}],
        }
    )  # fmt: skip


@pytest.mark.parametrize("size", [(50, 50), (26, 23)])
def test_maps_of_the_same_grid_are_accepted(size):
    assert grid_problem("bias", mapped(*size), FIELDS, *size) == ""


@pytest.mark.parametrize("size", [(100, 100), (49, 50), (50, 51), (25, 100)])
def test_maps_of_another_grid_are_refused_in_words(size, monkeypatch):
    """Larger, smaller, of as many cells."""
    words = grid_problem("bias", mapped(), FIELDS, *size)
    assert "made for a grid of 50 x 50" in words and f"The ocean's grid is {size[0]} x {size[1]}" in words
    assert "'mig', 'row'" in words
    monkeypatch.setattr(statics, "PLACES", ())  # the twin that does not know what mig is
    assert grid_problem("bias", mapped(), FIELDS, *size) == ""


def test_networks_without_maps_run_on_any_grid():
    told = mapped()
    plain = told.model_copy(update={"inputs": told.inputs[2:]})
    loose = told.model_copy(update={"inputs": tuple(s.model_copy(update={"valid_range": None}) for s in told.inputs)})
    assert grid_problem("bias", plain, FIELDS, 7, 9) == grid_problem("bias", loose, FIELDS, 7, 9) == ""


def seasonal(year=360.0, harmonics=2):
    return mapped().model_copy(update={"climatology": Climatology(harmonics=harmonics, year_days=year)})


@pytest.mark.parametrize(
    ("year", "calendar"),
    [(360.0, "360_day"), (365.0, "noleap"), (365.2425, "standard"), (365.25, "gregorian"), (365.0, "standard")],
)
def test_a_climatology_of_the_same_year_is_accepted(year, calendar):
    assert year_problem("bias", seasonal(year), calendar) == ""


@pytest.mark.parametrize(
    ("year", "calendar", "ours"), [(360.0, "noleap", "365"), (360.0, "standard", "365.2"), (365.25, "360_day", "360")]
)
def test_a_climatology_of_another_year_is_refused_in_words(year, calendar, ours, monkeypatch):
    words = year_problem("bias", seasonal(year), calendar)
    assert (
        f"a year of {year:g} days" in words
        and f"'{calendar}' has a year of {ours}" in words
        and "nn_harmonics" in words
    )
    assert year_problem("bias", seasonal(year, harmonics=0), calendar) == ""  # every day the same
    assert year_problem("bias", mapped(), calendar) == ""
    monkeypatch.setattr(statics, "SAME_YEAR", 10.0)  # the twin to which every year is the same
    assert year_problem("bias", seasonal(year), calendar) == ""


def test_a_climatology_of_another_year_is_not_swapped_in():
    check_swap("bias", seasonal(365.0), seasonal(365.25))
    with pytest.raises(HaloclineError, match="the years of their climatologies differ"):
        check_swap("bias", seasonal(365.0), seasonal(360.0))


def static(**changes):
    return InputSpec.model_validate(
        {"name": "depth", "units": "m", "point": "T", "levels": 1, "static": True, "valid_range": (0.1, 5000.0)}
        | changes
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_static_input_in_its_range_passes(dtype):
    values = np.array([[[0.1, 5000.0, 300.0]]], dtype)
    check_range("bias", static(), values, None)
    check_range("bias", static(valid_range=None), values * 1e9, None)


@pytest.mark.parametrize("wrong", [-3.0, 5001.0, np.nan, np.inf])
def test_a_static_input_outside_its_range_ends_in_words(wrong):
    values = np.full((1, 3, 4), 200.0)
    values[0, 1, 2] = wrong
    with pytest.raises(
        HaloclineError, match=rf"'depth' of network 'bias' is {wrong:g} m in 1 of 12 cells.*0.1 to 5000"
    ):
        check_range("bias", static(), values, None)
    land = np.ones((1, 3, 4))
    land[0, 1, 2] = 0.0
    check_range("bias", static(), values, land)


def test_cells_of_no_ocean_rank_hold_the_fill():
    check_range("bias", static(), np.zeros((1, 2, 2)), None)
    with pytest.raises(HaloclineError, match="is 0 m in 4 of 4"):
        check_range("bias", static(fill=7.0), np.zeros((1, 2, 2)), None)
