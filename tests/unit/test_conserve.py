"""What conservation removes leaves a weighted sum of zero, and no layout changes a bit of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from coupler.grid import Box, Grid, decompose
from coupler.guards.conserve import Conserve
from tests.unit.together import cut, joined, together

pytestmark = pytest.mark.filterwarnings("error")
GRID = Grid(13, 11)
LEVELS = 2


def case(seed, dtype="f8"):
    """Values over twelve decades, volumes, a coast."""
    rng = np.random.default_rng(seed)
    shape = (LEVELS, GRID.ny, GRID.nx)
    mask = (rng.random((1, GRID.ny, GRID.nx)) > 0.3).astype("f8")
    mask[0, 0, 0] = 1.0
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, shape)) * mask
    return x.astype(dtype), rng.random(shape) + 0.5, mask


def conserved(x, weights, mask, ranks, conserve=Conserve):
    boxes = decompose(GRID, ranks)

    def rank(box, allsum):
        part = cut(x, box)
        conserve("du", cut(weights, box), cut(mask, box), allsum)(part)
        return part

    return joined(together([lambda s, b=box: rank(b, s) for box in boxes]), boxes, GRID)


def residual(x, weights, mask):
    """The weighted sum, relative to that of |x|."""
    return math.fsum((weights * x * mask).ravel()) / math.fsum((weights * abs(x) * mask).ravel())


class Rounded(Conserve):
    """The twin that adds float64 numbers in the order of its layout: here, scaled to integers per rank."""

    def __call__(self, x):
        wet = np.broadcast_to(self._mask != 0, x.shape)
        w = np.where(wet, self._weights, 0.0)
        unit = 2.0**-20
        sums = self._allsum(np.array([np.sum(w * x) / unit, np.sum(w) / unit]).astype(np.int64))
        x -= np.where(wet, sums[0] / sums[1], 0.0)


@pytest.mark.parametrize(("dtype", "rounding"), [("f8", 1e-14), ("f4", 1e-7)])
def test_the_weighted_sum_vanishes(dtype, rounding):
    x, weights, mask = case(0, dtype)
    before = residual(x.astype("f8"), weights, mask)
    after = conserved(x, weights, mask, 1)
    assert abs(before) > 1e-3
    assert abs(residual(after.astype("f8"), weights, mask)) < rounding
    assert (after[np.broadcast_to(mask == 0, after.shape)] == 0).all()
    with pytest.raises(AssertionError):  # the plain mean is not the weighted one
        assert abs(residual(x - x.mean(where=np.broadcast_to(mask != 0, x.shape)), weights, mask)) < rounding


@given(st.integers(0, 50), st.sampled_from([2, 3, 4, 6]), st.sampled_from(["f4", "f8"]))
def test_any_layout_gives_the_same_bits(seed, ranks, dtype):
    x, weights, mask = case(seed, dtype)
    assert conserved(x, weights, mask, ranks).tobytes() == conserved(x, weights, mask, 1).tobytes()


def test_a_sum_that_rounds_is_caught():
    x, weights, mask = case(1)
    twin = [conserved(x, weights, mask, ranks, Rounded).tobytes() for ranks in (1, 2, 3, 4, 6)]
    with pytest.raises(AssertionError):
        assert len(set(twin)) == 1


def test_layers_that_move_are_weighed_again():
    x, first, mask = case(2)
    second = first * np.linspace(1.0, 3.0, GRID.nx)
    for given_as, right in [("callable", True), ("array", False)]:
        now = first.copy()
        conserve = Conserve("du", (lambda now=now: now) if given_as == "callable" else now, mask, lambda a: a)
        conserve(x.copy())
        now[...] = second
        after = x.copy()
        conserve(after)
        assert (abs(residual(after, second, mask)) < 1e-14) == right


def test_one_level_of_weights_serves_all_levels():
    x, weights, mask = case(3)
    same = conserved(x, np.repeat(weights[:1], LEVELS, axis=0), mask, 2)
    assert conserved(x, weights[:1], mask, 2).tobytes() == same.tobytes()


def test_what_was_removed_is_told():
    x, weights, mask = case(4)
    conserve = Conserve("du", weights, mask, lambda a: a)
    wanted = math.fsum((weights * x * mask).ravel()) / math.fsum((weights * mask * np.ones_like(x)).ravel())
    conserve(x)
    assert conserve.removed == pytest.approx(wanted, rel=1e-14)
    conserve(x)
    assert conserve.largest == abs(wanted) or conserve.largest == pytest.approx(abs(wanted), rel=1e-14)


@pytest.mark.parametrize(
    ("weight", "words"), [(0.0, "sum to 0"), (-1.0, "the weight is -1.0 in"), (np.nan, "the weight is nan in")]
)
def test_weights_that_make_no_sense_end_in_words(weight, words):
    x, weights, mask = case(5)
    with pytest.raises(HaloclineError, match=words) as error:
        Conserve("du", np.full_like(weights, weight), mask, lambda a: a)(x)
    assert "output 'du'" in str(error.value) and "cn_weights" in str(error.value)


def test_a_rank_without_wet_cells_takes_part():
    box = Box(0, 0, 3, 2)
    dry, wet = np.zeros((1, box.nj, box.ni)), np.arange(6.0).reshape(1, 2, 3)

    def rank(x, mask, allsum):
        Conserve("du", np.ones_like(x), mask, allsum)(x)
        return x

    parts = together([lambda s: rank(dry, np.zeros_like(dry), s), lambda s: rank(wet, np.ones_like(wet), s)])
    assert not parts[0].any()
    assert parts[1].ravel().tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]


# --- Level by level --------------------------------------------------------------------------------------------------------


class Layered(Conserve):
    """As for outputs that conserve mass."""

    def __init__(self, *args):
        super().__init__(*args, each=True)


@pytest.mark.parametrize(("dtype", "rounding"), [("f8", 1e-14), ("f4", 1e-6)])
def test_each_level_keeps_its_own_sum(dtype, rounding):
    """Mass: what one layer gains, no other may lose. The twin that sums over levels keeps the total alone."""
    x, weights, mask = case(6, dtype)
    x[1] += np.abs(x).max() * mask[0]
    after, total = conserved(x, weights, mask, 2, Layered), conserved(x, weights, mask, 2)
    for k in range(LEVELS):
        assert abs(residual(after[k].astype("f8"), weights[k], mask[0])) < rounding
        assert abs(residual(total[k].astype("f8"), weights[k], mask[0])) > 0.1
    assert abs(residual(total.astype("f8"), weights, mask)) < rounding


@given(st.integers(0, 50), st.sampled_from([2, 3, 4, 6]), st.sampled_from(["f4", "f8"]))
def test_any_layout_gives_the_same_bits_on_each_level(seed, ranks, dtype):
    x, weights, mask = case(seed, dtype)
    assert conserved(x, weights, mask, ranks, Layered).tobytes() == conserved(x, weights, mask, 1, Layered).tobytes()


def test_one_level_is_the_same_either_way():
    x, weights, mask = case(7)
    one = [conserved(x[:1], weights[:1], mask, 2, way).tobytes() for way in (Conserve, Layered)]
    assert one[0] == one[1]


def test_a_level_of_land_has_nothing_to_remove():
    x, weights, mask = case(8)
    mask = np.repeat(mask, LEVELS, axis=0)
    mask[1] = 0.0
    after = conserved(x * mask, weights, mask, 3, Layered)
    assert not after[1].any() and abs(residual(after[0], weights[0], mask[0])) < 1e-14
    with pytest.raises(HaloclineError, match="sum to 0"):
        Layered("dh", weights, np.zeros_like(mask), lambda a: a)(x)
