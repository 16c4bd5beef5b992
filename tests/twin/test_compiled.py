"""The compiled step is the step: values, gradients, and one graph for all steps of a run."""

import dataclasses

import pytest
import torch
from torch._dynamo.utils import counters

from models.twin.run import Twin
from models.twin.state import Level, State
from tests.twin.conftest import small
from tests.twin.test_gradient import FLOW, flat, moving, rebuilt, wet

PLAIN = {
    "namusr_def": {"nn_nx": 8, "nn_ny": 7, "nn_layers": 1, "rn_h": 500.0, "rn_gred": 0.02},
    "namdyn_ldf": {"ln_dynldf": False},
    "namzb20": {"ln_zb20": False},
    "namtra": {"ln_tra": False},
    "namsbc": {"rn_season": 0.0},
}
SWITCHES = {
    "plain": (PLAIN, 1),
    "all terms": (FLOW, 3),
    "cyclic": ({"namusr_def": FLOW["namusr_def"] | {"cn_bnd": "cyclic_ew"}}, 1),
}


def compiled(twin: Twin, **physics) -> Twin:
    """The same ocean with a compiled step, and other physics on demand."""
    made = Twin(twin.switches, twin.dtype, twin.device, compiled=True)
    made.physics = dataclasses.replace(made.physics, **physics)
    return made


def after(twin: Twin, steps: int) -> State:
    with torch.no_grad():
        return twin.after(twin.rest(), 1, steps, forward=True)


def error(one: list[torch.Tensor], two: list[torch.Tensor]) -> float:
    """Largest difference, relative to the largest value of each field."""
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, two, strict=True) if a.abs().max() > 0)


def leap(twin: Twin, state: State, direction: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The state one step later, and the gradient of its product with `direction`."""
    parts = [part.clone().requires_grad_() for part in flat(state)]
    found = flat(twin.step(rebuilt(parts), 41))
    product = sum((a * b).sum() for a, b in zip(found, direction, strict=True))
    gradients = torch.autograd.grad(product, parts, allow_unused=True, materialize_grads=True)
    return [x.detach() for x in found], list(gradients)


def batch(state: State, number: int) -> State:
    """Members that are one state, each a little faster than the one before."""
    factors = 1.0 + 0.1 * torch.arange(number, dtype=state.now.u.dtype)[:, None, None, None]
    return State(
        *(Level(level.u * factors, level.v * factors, *(x + 0 * factors for x in level[2:])) for level in state)
    )


def test_compiled_steps_are_the_steps(tmp_path):
    """Six steps of a plain basin to 1e-12 from one graph, from rest and from a restart; with another drag law they are not."""
    twin = small(tmp_path, **PLAIN)
    eager, fast = after(twin, 6), compiled(twin)
    counters.clear()
    assert error(flat(eager), flat(after(fast, 6))) < 1e-12
    with torch.no_grad():
        found = fast.after(fast.state(twin.restart(eager, 6)), 7, 2)
        assert error(flat(twin.after(eager, 7, 2)), flat(found)) < 1e-12
    assert counters["stats"]["unique_graphs"] == 1
    other = Twin(twin.switches)
    other.physics = dataclasses.replace(other.physics, rn_drg=tuple(-x for x in other.physics.rn_drg))
    assert error(flat(after(other, 6)), flat(after(fast, 6))) > 1e-10


@pytest.mark.slow
@pytest.mark.timeout(1800)  # minutes, in the compiler
@pytest.mark.parametrize("name", SWITCHES)
def test_compiled_values_and_gradients_are_those_of_the_eager_step(tmp_path, name):
    """To 1e-12 and 1e-11; the gradient of a step with a detached velocity is another one."""
    switches, members = SWITCHES[name]
    twin = small(tmp_path, **switches)
    state = batch(moving(twin), members)
    direction = wet(twin, state, 5)
    values, gradients = leap(twin, state, direction)
    found, slopes = leap(compiled(twin), state, direction)
    assert error(values, found) < 1e-12
    assert error(gradients, slopes) < 1e-11
    cut = [gradient * (number > 0) for number, gradient in enumerate(gradients)]
    assert error(slopes, cut) > 1e-3
