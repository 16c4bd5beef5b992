"""The closure: against loops, against itself in pieces, and against what must hold whatever the formulas."""

import numpy as np
import pytest
import torch
import zb20_loops
from zb20_fields import METRICS, ocean

from models.families.zb20 import INPUTS, KAPPA, zanna_bolton


def eager(fields, dtype=torch.float64):
    """The torch function on arrays."""
    return tuple(t.numpy() for t in zanna_bolton(**{n: torch.tensor(a, dtype=dtype) for n, a in fields.items()}))


def relative(got, want):
    """Largest difference over largest value, of du and dv together."""
    return max(abs(a - b).max() for a, b in zip(got, want, strict=True)) / max(abs(b).max() for b in want)


def faces(tmask):
    """umask, vmask of the interior."""
    t = tmask[0]
    return t[2:-2, 2:-2] * t[2:-2, 3:-1], t[2:-2, 2:-2] * t[3:-1, 2:-2]


@pytest.mark.parametrize("land", [0.0, 0.25])
def test_agrees_with_loops(land):
    fields = ocean(2, 7, 9, seed=3, land=land)
    want = zb20_loops.zanna_bolton(*(fields[n] for n in INPUTS), KAPPA)
    assert relative(eager(fields), want) < 1e-13


@pytest.mark.parametrize("broken", [{"sign_r": -1.0}, {"products": False}])
def test_broken_loops_are_caught(broken):
    fields = ocean(1, 7, 9, seed=3)
    want = zb20_loops.zanna_bolton(*(fields[n] for n in INPUTS), KAPPA, **broken)
    assert relative(eager(fields), want) > 1e-2


def test_onnx_has_the_bits_of_torch(zb20):
    fields = ocean(2, 20, 17)
    got = zb20.run(fields)
    for name, want in zip(("du", "dv"), eager(fields), strict=True):
        assert np.array_equal(got[name], want)


def test_values_under_land_change_nothing(zb20):
    fields = ocean(2, 12, 14, seed=1, land=0.4)
    before = zb20.run(fields)
    t = fields["tmask"][0] > 0
    wet_u, wet_v = t.copy(), t.copy()
    wet_u[:, :-1] &= t[:, 1:]
    wet_v[:-1, :] &= t[1:, :]
    dry = {"T": ~t, "U": ~wet_u, "V": ~wet_v, "F": fields["fmask"][0] == 0}
    for garbage in (0.0, -7.0, 1e20, np.nan, np.inf):
        dirty = {n: a.copy() for n, a in fields.items()}
        for name, point in {"u": "U", "v": "V", "h": "T", **{m: m[-1].upper() for m in METRICS}}.items():
            dirty[name][:, dry[point]] = garbage
        after = zb20.run(dirty)
        assert all(np.array_equal(before[n], after[n]) for n in before), garbage


def test_zero_and_finite_on_land_faces(zb20):
    fields = ocean(2, 12, 14, seed=1, land=0.4)
    got = zb20.run(fields)
    for name, mask in zip(("du", "dv"), faces(fields["tmask"]), strict=True):
        assert np.isfinite(got[name]).all()
        assert (got[name][:, mask == 0] == 0).all()
        assert (got[name][:, mask == 1] != 0).all()


def periodic(n=12, seed=5):
    """A doubly periodic sea without walls, constant e1, e2 in j and i; padded by wrapping."""
    fields = ocean(1, n - 4, n - 4, seed=seed, land=0.0)
    for name in METRICS:
        fields[name][:] = 4e4 if name.startswith("e1") else 3e4
    return {name: np.pad(a, ((0, 0), (2, 2), (2, 2)), mode="wrap") for name, a in fields.items()}


def budgets(fields, tendencies):
    """|sum h e1 e2 d| / sum |h e1 e2 d| of both components."""
    h = fields["h"][:, 2:-2, 2:-2]
    h_u, h_v = 0.5 * (h + fields["h"][:, 2:-2, 3:-1]), 0.5 * (h + fields["h"][:, 3:-1, 2:-2])
    forces = h_u * tendencies["du"], h_v * tendencies["dv"]
    return [abs(f.sum()) / abs(f).sum() for f in forces]


def test_momentum_is_conserved(zb20):
    """The forcing is the divergence of a stress: its sum over a sea without walls is round-off."""
    fields = periodic()
    assert max(budgets(fields, zb20.run(fields))) < 1e-14


def test_momentum_budget_catches_a_bad_halo(zb20):
    fields = periodic()
    fields["v"][:, :, -2:] = 0.0
    assert max(budgets(fields, zb20.run(fields))) > 1e-4


def test_known_case_of_pure_shear(zb20):
    """u = a y^2/2, v = 0: zeta = -a y = -D, Dh = 0, so T_yy = -kappa zeta D - kappa/2 (zeta^2 + D^2) = 0 and du = dv = 0.

    Either part of T_yy alone would give dv = 2 kappa a^2 y.
    """
    fields = ocean(1, 9, 9, land=0.0)
    for name in (*METRICS, "h"):
        fields[name][:] = 1e4
    y = (np.arange(13) - 6.0) * 1e4
    fields["u"][:] = 0.5 * 1e-9 * (y**2)[:, None]
    fields["v"][:] = 0.0
    got = zb20.run(fields)
    scale = 2 * KAPPA * 1e-18 * 4e4
    assert abs(got["du"]).max() < 1e-12 * scale
    assert abs(got["dv"]).max() < 1e-10 * scale


def test_known_case_of_pure_stretch(zb20):
    """u = a x^2/2, v = 0: Dh = a x, zeta = D = 0, so T = -kappa/2 Dh^2 I and du = -kappa a^2 x."""
    fields = ocean(1, 9, 9, land=0.0)
    for name in (*METRICS, "h"):
        fields[name][:] = 1e4
    x = (np.arange(13) - 6.0) * 1e4
    fields["u"][:] = 0.5 * 1e-9 * x**2
    fields["v"][:] = 0.0
    got = zb20.run(fields)
    # Dh at T(i) is a (x_i - dx/2); Dh^2/2 differs between T(i + 1) and T(i) by a^2 x_i dx
    want = -KAPPA * 1e-18 * np.broadcast_to(x[2:-2], (1, 9, 9))
    assert abs(got["du"] - want).max() < 1e-12 * abs(want).max()
    assert abs(got["dv"]).max() < 1e-12 * abs(want).max()


def test_single_precision_is_round_off():
    fields = ocean(2, 12, 14)
    assert relative(eager(fields, torch.float32), eager(fields)) < 1e-5


def test_gradients_are_finite():
    """Land and guards must not poison training through the closure."""
    fields = {n: torch.tensor(a, requires_grad=n in "uvh") for n, a in ocean(1, 6, 6, land=0.3).items()}
    sum(out.sum() for out in zanna_bolton(**fields)).backward()
    assert all(torch.isfinite(fields[n].grad).all() for n in "uvh")
