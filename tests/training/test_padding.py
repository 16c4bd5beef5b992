"""The padded block is what the coupler would build: the index map of the grid, the fill under land and outside."""

import numpy as np
import pytest
import torch

from coupler.grid import Grid
from models.training.padding import Padding

NY, NX, HALO = 6, 8, 3


def blocks(boundary, halo=HALO, vector=True):
    """Padding of a field at U points with two dry cells, and of a static one; fields (2, 1, NY, NX)."""
    wet = torch.ones(1, NY, NX, dtype=torch.bool)
    wet[0, 2, 3:5] = False
    fields = torch.randn(2, 1, NY, NX, generator=torch.Generator().manual_seed(1))
    static = torch.arange(1.0, NY * NX + 1).view(1, NY, NX)
    point = "U" if vector else "T"
    padding = Padding(Grid(NX, NY, boundary), halo, [point], wet, [-9.0], static, ["T"], [0.0])
    return padding(fields), fields, static, wet


def expected(boundary, fields, static, wet):
    """The same by numpy, row by row."""
    filled = np.where(wet.numpy(), fields.numpy(), -9.0)
    rows = ((HALO, HALO), (HALO, HALO))
    if boundary == "closed":
        return np.pad(filled, ((0, 0), (0, 0), *rows), constant_values=-9.0), np.pad(static.numpy(), ((0, 0), *rows))
    around = np.pad(filled, ((0, 0), (0, 0), (0, 0), (HALO, HALO)), mode="wrap")
    south_north = ((HALO, HALO), (0, 0))
    static_around = np.pad(static.numpy(), ((0, 0), (0, 0), (HALO, HALO)), mode="wrap")
    return (
        np.pad(around, ((0, 0), (0, 0), *south_north), constant_values=-9.0),
        np.pad(static_around, ((0, 0), *south_north)),
    )


@pytest.mark.parametrize("boundary", ["closed", "cyclic_ew"])
def test_the_block_is_the_coupler_s(boundary):
    block, *known = blocks(boundary)
    field, static = expected(boundary, *known)
    assert np.array_equal(block[:, :1].numpy(), field.astype(np.float32))
    assert all(np.array_equal(one.numpy(), static) for one in block[:, 1:])


def test_the_edge_matters():
    """The twin with closed edges on a cyclic grid differs."""
    assert not torch.equal(blocks("closed")[0], blocks("cyclic_ew")[0])


def test_a_component_changes_sign_across_the_fold():
    """North of a fold at F points U(i) is -U(N - 2 - i) of the row below; a scalar keeps its sign."""
    block, fields, *_ = blocks("fold_F")
    row = block[0, 0, HALO + NY, HALO : HALO + NX]
    mirrored = fields[0, 0, NY - 1].flip(0).roll(-1)
    assert torch.equal(row, -mirrored) and not torch.equal(row, mirrored)
    scalar = blocks("fold_F", vector=False)
    assert torch.equal(scalar[0][0, 0, HALO + NY, HALO : HALO + NX], scalar[1][0, 0, NY - 1].flip(0))
