"""Exact sums: equal to rational arithmetic, and the same bits for any order, cut and number of partial sums."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coupler.errors import HaloclineError
from coupler.grid import Grid, decompose
from coupler.guards.exactsum import LIMBS, partial, partial_products, total

finite = st.floats(allow_nan=False, allow_infinity=False)
vectors = arrays.arrays(np.float64, st.integers(0, 40), elements=finite)
pairs = st.integers(0, 30).flatmap(
    lambda n: st.tuples(*[arrays.arrays(np.float64, n, elements=finite) for _ in range(2)])
)
LARGEST, SMALLEST = sys.float_info.max, 5e-324


def exact(fraction):
    """Correctly rounded, None beyond the largest float64."""
    try:
        return float(fraction)
    except OverflowError:
        return None


def rounded(limbs):
    try:
        return total(limbs)
    except HaloclineError:
        return None


@settings(max_examples=300)
@given(vectors)
def test_a_sum_is_correctly_rounded(x):
    assert rounded(partial(x)) == exact(sum(map(Fraction, x.tolist()), Fraction(0)))


@settings(max_examples=300)
@given(pairs)
def test_a_sum_of_products_is_correctly_rounded(pair):
    w, x = pair
    want = sum((Fraction(a) * Fraction(b) for a, b in zip(w.tolist(), x.tolist(), strict=True)), Fraction(0))
    assert rounded(partial_products(w, x)) == exact(want)


def test_a_large_field_is_summed_as_fsum_does():
    x = np.random.default_rng(1).normal(size=(7, 62, 199)) * 10.0 ** np.arange(-9, 12, 3)[:, None, None]
    assert total(partial(x)) == math.fsum(x.ravel())
    assert total(partial(x[:, 3:-3, 5:-5])) == math.fsum(x[:, 3:-3, 5:-5].ravel())
    assert total(partial(np.asfortranarray(x))) == total(partial(x))


def test_products_broadcast():
    random = np.random.default_rng(2)
    w, x = random.uniform(1, 2, (9, 11)), random.normal(size=(4, 9, 11))
    want = sum(Fraction(a) * Fraction(b) for a, b in zip((w + 0 * x).flat, x.flat, strict=True))
    assert total(partial_products(w, x)) == float(want)
    np.testing.assert_array_equal(partial_products(np.float64(1.0), x), partial(x))


@pytest.mark.parametrize(
    ("x", "want"),
    [
        ([], 0.0),
        ([LARGEST, LARGEST, -LARGEST, 1.0, -LARGEST], 1.0),
        ([SMALLEST, -1.0, 1.0], SMALLEST),
        ([1.0, 2.0**-53], 1.0),
        ([1.0, 2.0**-53, SMALLEST], 1.0 + 2.0**-52),
        ([-0.0, -0.0], 0.0),
        ([LARGEST, 2.0**969], LARGEST),
    ],
)
def test_ends_of_the_range(x, want):
    assert total(partial(np.array(x))) == want


def test_products_beyond_the_range_cancel():
    w, x = np.array([LARGEST, LARGEST, SMALLEST]), np.array([LARGEST, -LARGEST, 2.0**1000])
    assert total(partial_products(w, x)) == SMALLEST * 2.0**1000
    assert total(partial_products(w[2:], w[2:])) == 0.0  # 2^-2148 rounds to zero
    assert partial_products(w[2:], w[2:])[0] == 1  # and is not lost


@pytest.mark.parametrize("x", [0.1, -0.1, SMALLEST, -SMALLEST])
def test_as_many_partial_sums_as_promised(x):
    limbs = partial_products(np.array([x, -LARGEST]), np.array([1.0, LARGEST]))
    want = Fraction(x) * 2**30
    assert total(limbs * 2**30 + partial_products(np.array([LARGEST]), np.array([LARGEST])) * 2**30) == float(want)


# --- any layout ------------------------------------------------------------------------------------------------------


def exact_sum(parts):
    return total(sum((partial_products(w, x) for w, x in parts), np.zeros(LIMBS, np.int64)))


def naive_sum(parts):
    return float(sum(np.sum(w * x) for w, x in parts))


def assert_layout_does_not_matter(add, seed=0):
    """1 to 12 ranks, in any order of arrival, give the bits of one rank."""
    random = np.random.default_rng(seed)
    grid = Grid(31, 24)
    w, x = random.uniform(1, 2, (grid.ny, grid.nx)), random.normal(size=(3, grid.ny, grid.nx)) * 1e3
    want = add([(w, x)])
    for ranks in range(1, 13):
        boxes = decompose(grid, ranks)
        for number in random.permuted(np.tile(np.arange(ranks), (3, 1)), axis=1):
            parts = [np.s_[..., b.j0 : b.j0 + b.nj, b.i0 : b.i0 + b.ni] for b in (boxes[n] for n in number)]
            assert add([(w[part], x[part]) for part in parts]).hex() == want.hex()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_layout_does_not_matter(seed):
    assert_layout_does_not_matter(exact_sum, seed)


def test_a_naive_sum_is_caught():
    with pytest.raises(AssertionError):
        assert_layout_does_not_matter(naive_sum)


@settings(max_examples=100)
@given(vectors, st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_and_cut_do_not_matter(x, random, cut):
    shuffled = np.array(random.sample(x.tolist(), len(x)))
    limbs = partial(shuffled[:cut]) + partial(shuffled[cut:])
    assert rounded(limbs) == rounded(partial(x))


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(bad):
    field = np.ones((5, 6))
    field[2, 3] = bad
    with pytest.raises(HaloclineError, match=f"an exact sum met {bad} among its terms"):
        partial(field)
    with pytest.raises(HaloclineError, match=f"an exact sum met {bad} among its terms"):
        partial_products(field, np.ones(6))
    with pytest.raises(HaloclineError, match=f"an exact sum met {bad} among its terms"):
        partial_products(np.ones(6), field)


def test_a_sum_too_large_is_refused():
    with pytest.raises(HaloclineError, match="exceeds the largest float64"):
        total(partial(np.array([LARGEST, LARGEST])))
