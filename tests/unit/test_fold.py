"""The north fold against NEMO's rows written out, against geometry, and against itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.grid import Grid

# What lbc_nfd does with one halo row, one-based and without halo: value(i, ny + 1) = sign * value(column, row).
NEMO = {
    ("T", "T"): (lambda i, nx: nx + 2 - i, -1),
    ("T", "U"): (lambda i, nx: nx + 1 - i, -1),
    ("T", "V"): (lambda i, nx: nx + 2 - i, -2),
    ("T", "F"): (lambda i, nx: nx + 1 - i, -2),
    ("F", "T"): (lambda i, nx: nx + 1 - i, 0),
    ("F", "U"): (lambda i, nx: nx - i, 0),
    ("F", "V"): (lambda i, nx: nx + 1 - i, -1),
    ("F", "F"): (lambda i, nx: nx - i, -1),
}
POINTS = {"T": (0.0, 0.0), "U": (0.5, 0.0), "V": (0.0, 0.5), "F": (0.5, 0.5)}


@pytest.mark.parametrize(("pivot", "point"), NEMO)
def test_the_first_row_beyond_the_fold_is_nemos(pivot, point):
    grid = Grid(12, 7, f"fold_{pivot}")
    column, row = NEMO[pivot, point]
    index, sign = grid.source(np.full(12, 7), np.arange(12), point)
    want = [(7 + row - 1) * 12 + (column(i, 12) - 1) % 12 for i in range(1, 13)]
    assert index.tolist() == want and (sign == -1).all()


@given(
    st.sampled_from("TF"),
    st.sampled_from("TUVF"),
    st.integers(2, 9),
    st.integers(2, 8),
    st.integers(1, 20),
    st.integers(-40, 40),
)
def test_cell_and_source_lie_opposite_about_the_pivot(pivot, point, half, ny, k, i):
    """Rotation by half a turn about the pivot: the positions of a halo cell and its source add up to twice the pivot's."""
    nx = 2 * half
    index, _ = Grid(nx, ny, f"fold_{pivot}").source(np.array([ny - 1 + k]), np.array([i]), point)
    if index[0] < 0:
        return
    dx, dy = POINTS[point]
    x0, y0 = (0.0, ny - 1.0) if pivot == "T" else (-0.5, ny - 0.5)
    assert (index[0] // nx + dy) + (ny - 1 + k + dy) == 2 * y0
    assert ((index[0] % nx + dx) + (i + dx) - 2 * x0) % nx == 0


@given(st.sampled_from("TF"), st.sampled_from("TUVF"), st.integers(2, 9), st.integers(3, 8))
def test_every_row_beyond_the_fold_is_a_whole_row_reversed(pivot, point, half, ny):
    nx = 2 * half
    index, _ = Grid(nx, ny, f"fold_{pivot}").source(np.array([ny]), np.arange(nx), point)
    assert len(set((index // nx).tolist())) == 1
    assert set(np.diff(index % nx).tolist()) <= {-1, nx - 1}


def test_a_fold_at_the_wrong_edge_or_off_by_one_is_caught():
    grid = Grid(12, 7, "fold_T")
    south, sign = grid.source(np.array([-1]), np.arange(12), "T")
    assert (south == -1).all() and (sign == 1).all()
    wrong = Grid(12, 7, "fold_F").source(np.full(12, 7), np.arange(12), "T")[0]
    assert not np.array_equal(wrong, grid.source(np.full(12, 7), np.arange(12), "T")[0])


@pytest.mark.parametrize("pivot", "TF")
def test_odd_rows_are_refused(pivot):
    with pytest.raises(Exception, match="must be even"):
        Grid(13, 7, f"fold_{pivot}")
