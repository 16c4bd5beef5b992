"""Gradients of the twin: against finite differences, the adjoint against the tangent-linear model, memory of a window."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.twin.run import Twin
from models.twin.state import Level, State, Tendency
from models.twin.step import step
from tests.twin.conftest import small

FLOW = {"namusr_def": {"nn_nx": 10, "nn_ny": 9}}
CLOSURES = {
    "smagorinsky": {"namzb20": {"ln_zb20": False}, "namdyn_ldf": {"rn_cl4": 0.0, "rn_ahm4": 0.0}},
    "all terms": {},
    "cyclic": {"namusr_def": {"nn_nx": 10, "nn_ny": 9, "cn_bnd": "cyclic_ew"}},
}


def moving(twin: Twin, steps: int = 40) -> State:
    """A state with a flow."""
    with torch.no_grad():
        return twin.after(twin.rest(), 1, steps, forward=True)


def flat(state: State) -> list[torch.Tensor]:
    return [*state.before, *state.now]


def rebuilt(parts: list[torch.Tensor]) -> State:
    return State(Level(*parts[:4]), Level(*parts[4:]))


def wet(twin: Twin, state: State, seed: int) -> list[torch.Tensor]:
    """Random directions on wet points, of the size of each field."""
    generator = torch.Generator().manual_seed(seed)
    masks = (twin.basin.umask, twin.basin.vmask, twin.basin.tmask, twin.basin.tmask)
    scales = (0.01, 0.01, 1.0, 0.1)
    return [
        scale * mask.at() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        for x, mask, scale in zip(flat(state), masks * 2, scales * 2, strict=True)
    ]


def several(twin: Twin, parts, steps: int = 5):
    """The state after some steps, as a tuple of tensors."""
    return tuple(flat(twin.after(rebuilt(list(parts)), 41, steps)))


@pytest.mark.parametrize("name", CLOSURES)
def test_the_adjoint_is_the_adjoint(tmp_path, name):
    """<y, L x> = <L* y, x> to 1e-12 over 5 steps; a detached state in the window is not its adjoint."""
    twin = small(tmp_path, **(FLOW | CLOSURES[name]))
    state = moving(twin)
    x, y = tuple(wet(twin, state, 1)), tuple(wet(twin, state, 2))

    def run(*parts):
        return several(twin, parts)

    _, tangent = torch.func.jvp(run, tuple(flat(state)), x)
    _, pull = torch.func.vjp(run, *flat(state))
    forward = sum((a * b).sum() for a, b in zip(y, tangent, strict=True))
    backward = sum((a * b).sum() for a, b in zip(pull(y), x, strict=True))
    assert abs(forward - backward) < 1e-12 * abs(forward)

    def cut(*parts):
        return several(twin, [part.detach() if number == 0 else part for number, part in enumerate(parts)])

    _, pull = torch.func.vjp(cut, *flat(state))
    detached = sum((a * b).sum() for a, b in zip(pull(y), x, strict=True))
    assert abs(forward - detached) > 1e-6 * abs(forward)


@pytest.mark.parametrize("name", CLOSURES)
def test_the_gradient_is_that_of_finite_differences(tmp_path, name):
    """Centred differences of a loss over 5 steps, to 1e-6."""
    twin = small(tmp_path, **(FLOW | CLOSURES[name]))
    state = moving(twin)
    direction = wet(twin, state, 3)
    target = wet(twin, state, 4)

    def loss(parts):
        return sum((a * b).sum() for a, b in zip(several(twin, parts), target, strict=True))

    parts = [part.clone().requires_grad_() for part in flat(state)]
    loss(parts).backward()
    slope = sum((part.grad * d).sum() for part, d in zip(parts, direction, strict=True))
    size = 1e-4
    with torch.no_grad():
        up = loss([part + size * d for part, d in zip(parts, direction, strict=True)])
        down = loss([part - size * d for part, d in zip(parts, direction, strict=True)])
    assert abs((up - down) / (2 * size) - slope) < 1e-6 * abs(slope)


def test_the_gradient_of_a_closures_parameter_passes_the_steps(tmp_path):
    """A window of 12 steps, the closure every third; the same from checkpoints to the last bit, and as differences."""
    twin = small(tmp_path, **FLOW)
    state = moving(twin)
    x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def closure(factor):
        return lambda now: Tendency(-1e-6 * factor * now.u, -1e-6 * factor**2 * now.v)

    def loss(factor, run):
        return (run(closure(factor)).now.u ** 2).sum()

    def window(made):
        return twin.window(state, 40, 12, made, every=3)

    def plain(made):
        return twin.after(state, 40, 12, made, every=3)

    (one,) = torch.autograd.grad(loss(x, window), x)
    (two,) = torch.autograd.grad(loss(x, plain), x)
    assert one == two
    with torch.no_grad():
        slope = (loss(x + 1e-4, plain) - loss(x - 1e-4, plain)) / 2e-4
    assert abs(slope - one) < 1e-6 * abs(one)


def test_a_window_that_begins_between_two_calls_calls_when_the_steps_do(tmp_path):
    """Steps 41 to 50, calls at 41, 43, 46 and 49: its parts begin with a call; a part that began at 44 would call there, too."""
    twin = small(tmp_path, **FLOW)
    state, called = moving(twin), []

    def closure(now: Level) -> Tendency:
        called.append(float(now.u.sum()))
        return Tendency(-1e-6 * now.u, -1e-6 * now.v)

    with torch.no_grad():
        one, before = twin.window(state, 41, 10, closure, every=3), called.copy()
        called.clear()
        two = twin.after(state, 41, 10, closure, every=3)
    assert before == called and len(called) == 4
    assert all(torch.equal(a, b) for a, b in zip(flat(one), flat(two), strict=True))


def test_a_state_at_rest_has_a_finite_gradient(tmp_path):
    """|D| = 0 everywhere: the gradient of its root is 0, not infinite times 0."""
    twin = small(tmp_path, **FLOW)
    state = twin.rest()
    parts = [part.clone().requires_grad_() for part in flat(state)]
    sum(part.sum() for part in flat(step(twin.basin, twin.physics, rebuilt(parts), 0.0))).backward()
    assert all(torch.isfinite(part.grad).all() for part in parts)
    zero = torch.zeros(1, requires_grad=True)
    torch.sqrt(zero * zero).backward()
    assert not torch.isfinite(zero.grad).all()  # what it would be with torch's own root


class Live(TorchDispatchMode):
    """Bytes of the tensors that are alive, and their peak, while the mode is on."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor._base is None:
                size = tensor.numel() * tensor.element_size()
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor, self.freed, size)
        return out

    def freed(self, size):
        self.now -= size


def test_the_memory_of_a_window_grows_with_the_square_root(tmp_path):
    """Peak of forward and backward together: 16 times the steps, less than 5 times the bytes; without checkpoints 12 and more."""
    twin = small(tmp_path, **FLOW)
    state = moving(twin)

    def peak(run, steps):
        x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        live = Live()
        with live:
            (run(steps, lambda now: Tendency(-1e-6 * x * now.u, -1e-6 * x * now.v)).now.u ** 2).sum().backward()
        return live.peak

    def plain(steps, closure):
        return twin.after(state, 40, steps, closure)

    def window(steps, closure):
        return twin.window(state, 40, steps, closure)

    assert peak(plain, 64) > 12 * peak(plain, 4)
    assert peak(window, 64) < 5 * peak(window, 4)
    assert peak(window, 64) < peak(plain, 64) / 5
