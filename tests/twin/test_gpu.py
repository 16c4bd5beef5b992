"""On a GPU the twin is the twin."""

import pytest
import torch

from tests.twin.conftest import small
from tests.twin.test_compiled import compiled, error, leap
from tests.twin.test_gradient import FLOW, flat, moving, wet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def on_gpu(twin, state, direction):
    return twin.to("cuda"), state.to(state.now.u.dtype, "cuda"), [x.to("cuda") for x in direction]


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_values_and_gradients_are_those_of_the_cpu(tmp_path, fast):
    """A step in float64 and its gradient to 1e-10, eager and compiled; in float32 they are farther off."""
    twin = small(tmp_path, **FLOW)
    state = moving(twin)
    direction = wet(twin, state, 6)
    wanted = leap(twin, state, direction)
    moved, there, along = on_gpu(compiled(twin) if fast else twin, state, direction)
    for one, two in zip(wanted, leap(moved, there, along), strict=True):
        assert error(one, [x.cpu() for x in two]) < 1e-10
    rounded = leap(twin.to("cuda"), there.to(torch.float32), along)[0]
    assert error(wanted[0], [x.cpu() for x in rounded]) > 1e-10


def test_a_run_is_that_of_the_cpu(tmp_path):
    """20 steps from rest in float64 to 1e-10."""
    twin = small(tmp_path, **FLOW)
    moved = twin.to("cuda")
    with torch.no_grad():
        one, two = (each.after(each.rest(), 1, 20, forward=True) for each in (twin, moved))
    assert all(x.device.type == "cuda" for x in flat(two))
    assert error(flat(one), [x.cpu() for x in flat(two)]) < 1e-10
