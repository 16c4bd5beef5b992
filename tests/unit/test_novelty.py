"""Novelty is a property of the domain: wet cells outside the percentiles, on whatever ranks they lie."""

import numpy as np
import pytest

from coupler.contract import InputSpec
from coupler.grid import Grid, decompose
from coupler.guards.novelty import CHUNK, Novelty
from tests.unit.together import cut, together

pytestmark = pytest.mark.filterwarnings("error")
GRID = Grid(10, 8)


def spec(name="u", **more):
    return InputSpec(name=name, units="m s-1", point="T", **{"percentiles": (-1.0, 1.0), **more})


def alone(array):
    return array


def case(share):
    """A field of which `share` of the wet cells, all in one corner, are novel; land holds a novel fill."""
    x, mask = np.zeros((1, GRID.ny, GRID.nx), "f4"), np.ones((1, GRID.ny, GRID.nx))
    mask[:, :, 5:] = 0.0  # 40 wet cells
    x[:, :, 5:] = 99.0
    for place in np.argwhere(mask)[: round(share * 40)]:
        x[tuple(place)] = 2.0
    return x, mask


def verdicts(share, threshold, ranks, collective=True):
    x, mask = case(share)

    def rank(box, allsum):
        novelty = Novelty("net", [spec()], threshold, allsum if collective else alone)
        return novelty.check(1, {"u": cut(x, box)}, {"u": cut(mask, box)})

    return together([lambda s, b=box: rank(b, s) for box in decompose(GRID, ranks)])


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(
    ("share", "threshold", "novel"),
    [(0.25, 0.25, True), (0.225, 0.25, False), (0.0, 0.0, False), (0.025, 0.0, True)],
)
def test_the_share_is_that_of_the_domain(share, threshold, novel, ranks):
    assert verdicts(share, threshold, ranks) == [novel] * ranks


def test_a_share_per_rank_is_caught():
    with pytest.raises(AssertionError):
        assert verdicts(0.25, 0.25, 4, collective=False) == [True] * 4


def test_land_does_not_count():
    x, mask = case(0.0)
    assert not Novelty("net", [spec()], 0.1, alone).check(1, {"u": x}, {"u": mask})
    assert Novelty("net", [spec()], 0.1, alone).check(1, {"u": x}, {})  # the twin without a mask


def test_nan_is_novel():
    x = np.zeros((1, 4, 4))
    x[0, :2] = np.nan
    assert Novelty("net", [spec()], 0.5, alone).check(1, {"u": x}, {})


def test_threshold_one_never_acts_and_reports_the_same():
    """Counts that travel together, CHUNK checks at a time, are those that travel at once."""
    calls = []

    def counting(array):
        calls.append(1)
        return array

    x, mask = case(0.25)
    often, seldom = Novelty("net", [spec()], 0.99, alone), Novelty("net", [spec()], 1.0, counting)
    for kt in range(1, 2 * CHUNK + 10):
        values = {"u": x if kt == 7 else x * 0}
        assert not often.check(kt, values, {"u": mask})
        assert not seldom.check(kt, values, {"u": mask})
    assert seldom.report() == often.report()
    assert len(calls) == 3
    assert seldom.report()[0].endswith("at most 25 % (step 7)")
    assert not Novelty("net", [spec()], 1.0, alone).check(1, {"u": x * 0 + 9}, {"u": mask})


def test_an_impossible_input_counts_and_is_named():
    x = np.zeros((1, 4, 5))
    novelty = Novelty(
        "net", [spec(valid_range=(-5.0, 5.0)), spec("t", percentiles=None, valid_range=(-3.0, 40.0))], 0.9, alone
    )
    novelty.check(1, {"u": x, "t": x}, {})
    bad, hot = x.copy(), x.copy()
    bad[0, 0, :2] = 3.0, 9.0  # novel; novel and impossible
    hot[0, 1, 1] = 300.0
    novelty.check(2, {"u": bad, "t": hot}, {})
    lines = novelty.report()
    assert "3.75 % of the cells" in lines[0] and "at most 7.5 % (step 2)" in lines[0]
    assert (
        lines[1] == "input 'u' of network 'net' left its valid range, -5 to 5 m s-1, in 1 of 40 cells, first at step 2"
    )
    assert "input 't'" in lines[2] and len(lines) == 3


def test_what_has_no_percentiles_is_not_watched():
    novelty = Novelty("net", [spec(percentiles=None), spec("m", static=True)], 0.0, alone)
    assert not novelty.watches
    assert not novelty.check(1, {}, {})
    assert novelty.report() == []
