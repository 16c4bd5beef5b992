"""Bounds of concentrations that hold to the bit, in float32 and in every order of summation."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.families.bounded import QUANTUM, bounded_increment

K = 5
ULP = np.float32(2.0**-24)


def increment(background, analysis, keep=None):
    """bounded_increment for (cells, categories)."""
    planes = [torch.from_numpy(np.float32(x).T[None, :, None, :].copy()) for x in (background, analysis)]
    flags = None if keep is None else torch.from_numpy(keep[None, None, None, :])
    return bounded_increment(*planes, flags)[0, :, 0].numpy().T


def naive(background, analysis):
    """What one writes first: clip, divide by the sum where it is over 1, subtract the background."""
    clipped = np.clip(np.float32(analysis), 0, 1)
    return clipped / np.maximum(clipped.sum(axis=1, keepdims=True), np.float32(1)) - np.float32(background)


def violations(background, change):
    """Cells where background + increment, added in float32, leaves the bounds in some order of summation."""
    found = np.float32(background) + change
    assert found.dtype == np.float32
    bad = ~(found >= 0).all(axis=1) | ~(found.astype(np.float64).sum(axis=1) <= 1)
    for order in permutations(range(found.shape[1])):
        sums = np.zeros(len(found), np.float32)
        for k in order:
            sums = sums + found[:, k]
        bad |= ~(sums <= 1)
    return int(bad.sum())


EDGES = np.float32([0, -0.0, 1e-45, 1e-38, ULP, 2.0**-20, 0.2, 1 / 3, 0.5, 0.5 + ULP, 1 - ULP, 1, 1 + 2 * ULP])
numbers = st.one_of(st.sampled_from([float(edge) for edge in EDGES]), st.floats(0, 1, width=32))
anything = st.one_of(numbers, st.floats(-2, 2, width=32), st.floats(width=32, allow_nan=False, allow_infinity=False))
shape = (12, K)


@given(
    arrays(np.float32, shape, elements=numbers, fill=st.nothing()),
    arrays(np.float32, shape, elements=anything, fill=st.nothing()),
    arrays(np.bool_, shape[:1]),
)
@example(np.full(shape, np.float32(0.2)), np.full(shape, np.float32(1 / 3)), np.zeros(shape[:1], bool))
def test_bounds_hold_to_the_bit(background, analysis, keep):
    """Concentrations, their edges and subnormal ones; any analysis; kept cells or not; every order of summation."""
    assert violations(background, increment(background, analysis)) == 0
    assert violations(background, increment(background, analysis, keep)) == 0


@given(
    arrays(np.float32, shape, elements=anything, fill=st.nothing()),
    arrays(np.float32, shape, elements=anything, fill=st.nothing()),
    arrays(np.bool_, shape[:1]),
)
def test_a_background_out_of_bounds_is_brought_into_them(background, analysis, keep):
    """Negative, over 1, far over 1: the analysis is a concentration, kept cells included."""
    assert violations(background, increment(background, analysis, keep)) == 0


def sea(cells=200_000, seed=0, spread=0.3):
    """Backgrounds that fill their cells exactly or nearly, and analyses that would leave the bounds."""
    rng = np.random.default_rng(seed)
    background = rng.dirichlet(np.full(K, 0.4), cells).astype(np.float32)
    background *= rng.choice(np.float32([1, 1 - 2 * ULP, 0.5, 1e-3]), (cells, 1))
    return background, (background + spread * rng.standard_normal((cells, K))).astype(np.float32)


def test_bounds_hold_where_naive_ones_do_not():
    """The twin, clip and divide in float32, leaves the bounds in thousands of cells."""
    background, analysis = sea()
    assert violations(background, increment(background, analysis)) == 0
    assert violations(background, naive(background, analysis)) > 1000


def test_background_plus_increment_is_the_analysis():
    """To the bit, for every background in [0, 1]: point 2 of the proof. Without the grid of 2^-20 it is not."""
    background, analysis = sea()
    change = increment(background, analysis)
    reached = background + change
    assert (reached == np.floor(reached / QUANTUM) * QUANTUM).all()
    want = np.clip(analysis, 0, 1)
    want = want / np.maximum(want.sum(axis=1, keepdims=True), 1)
    assert abs(reached - want).max() < 1.5 * QUANTUM  # not the emergency answer 0 of point 3
    fine = np.float32(want)
    assert (background + (fine - background) != fine).any()


def test_kept_cells_have_no_increment_at_all():
    """Exactly zero where the background is in bounds; without `keep` rounding to the grid leaves traces."""
    background = np.float32(np.random.default_rng(1).random((1000, K)) / (K + 1))
    keep = np.ones(1000, bool)
    assert not increment(background, background, keep).any()
    assert increment(background, background).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_is_not_hidden(bad):
    """In the analysis or in the background: the guards of the coupler must see it. Cells beside it are sound."""
    background, analysis = (np.full((2, K), 0.1, np.float32) for _ in range(2))
    analysis[0, 2] = bad
    assert (
        not np.isfinite(increment(background, analysis)[0, 2]) and np.isfinite(increment(background, analysis)[1]).all()
    )
    assert not np.isfinite(increment(analysis, background)[0, 2])
