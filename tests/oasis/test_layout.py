"""Segments in any order become increasing disjoint ones, and the way back is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.oasis import PyOasisException
from coupler.oasis.layout import make_layout
from coupler.oasis.partition import BoxPartition, CubePartition, OrangePartition, PointsPartition

segments = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12)


def points_of(starts, lengths):
    return np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)] or [np.zeros(0, int)])


@given(segments)
def test_packing_and_unpacking_are_exact(pairs):
    starts, lengths = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = points_of(starts, lengths)
    layout = make_layout(starts, lengths)
    packed = points_of(layout.starts, layout.lengths)
    assert (np.diff(packed) > 0).all()
    assert (layout.starts[1:] > (layout.starts + layout.lengths)[:-1]).all()  # merged where they touch
    assert layout.size == wanted.size
    assert layout.packed == packed.size
    assert (packed if layout.order is None else packed[layout.order]).tolist() == wanted.tolist()
    assert (wanted if layout.first is None else wanted[layout.first]).tolist() == packed.tolist()


@given(segments, st.integers(1, 4))
def test_a_bundle_repeats_the_segments_per_level(pairs, levels):
    starts, lengths = np.array(pairs, np.int64).reshape(-1, 2).T
    layout = make_layout(starts, lengths)
    kind, number, *rest = layout.orange(levels, 70).tolist()
    expected = np.concatenate([points_of(layout.starts, layout.lengths) + 70 * k for k in range(levels)])
    assert kind == 3
    assert len(rest) == 2 * number
    assert points_of(rest[::2], rest[1::2]).tolist() == expected.tolist()


def test_a_full_grid_is_one_segment():
    """Rows of a whole grid touch; a long description costs set-up time in MCT."""
    assert BoxPartition(0, 10, 20, 10).layout.orange(3, 200).tolist() == [3, 1, 0, 600]


def test_box_cube_and_points_describe_their_points():
    assert points_of(*pair(BoxPartition(12, 3, 2, 10))).tolist() == [12, 13, 14, 22, 23, 24]
    assert points_of(*pair(CubePartition(1, 2, 2, 4, 3, 2))).tolist() == [1, 2, 5, 6, 13, 14, 17, 18]
    assert points_of(*pair(PointsPartition([3, 1]))).tolist() == [0, 2]
    assert PointsPartition([3, 1, 3]).local_size == 3
    assert OrangePartition(np.array([4]), np.array([2])).local_size == 2


def pair(partition):
    return partition.layout.starts, partition.layout.lengths


def test_wrong_indices_are_refused():
    with pytest.raises(PyOasisException, match="negative global index -1"):
        PointsPartition([0])
    with pytest.raises(PyOasisException, match="global index 24, the grid has 24 points"):
        BoxPartition(12, 3, 2, 10, 24)
