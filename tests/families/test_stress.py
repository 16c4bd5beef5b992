"""Stress heads: momentum is conserved over a closed basin, operators give hand-computed values, units scale as they must."""

import numpy as np
import pytest
import torch

from models.families import staggered
from tests.families.basin import METRICS, basin, network, padded, run


def momentum(fields, found):
    """|sum h A S| / sum |h A S| of both components, per level, the largest."""
    h = fields["h"]
    hu = 0.5 * (h + np.roll(h, -1, 2)) * fields["umask"] * fields["e1u"] * fields["e2u"]
    hv = 0.5 * (h + np.roll(h, -1, 1)) * fields["vmask"] * fields["e1v"] * fields["e2v"]
    parts = [found["du"] * hu, found["dv"] * hv]
    return max(float((abs(part.sum((1, 2))) / abs(part).sum((1, 2))).max()) for part in parts)


@pytest.mark.parametrize(("family", "scaled"), [("stress", False), ("stress", True), ("stress_ann", False)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_momentum_of_a_closed_basin_is_kept(family, scaled, dtype, tolerance):
    """With an island, any thickness and, where the network reads them, any spacing."""
    uniform = family == "stress" and not scaled
    fields = basin(48, 40, seed=1, uniform=uniform)
    net = network(dtype, cn_family=family, ln_scale=scaled)
    assert momentum(fields, run(net, fields)) < tolerance


def test_a_direct_head_does_not_keep_it():
    fields = basin(48, 40, seed=1)
    assert momentum(fields, run(network(torch.float64), fields)) > 1e-4


def test_stress_on_walls_is_caught(monkeypatch):
    """With corners on walls left open, momentum leaks."""
    monkeypatch.setattr(staggered, "corners", lambda umask, vmask: torch.ones_like(umask[..., :-1, :-1]))
    fields = basin(48, 40, seed=1)
    assert momentum(fields, run(network(torch.float64, cn_family="stress"), fields)) > 1e-6


def test_momentum_without_thickness_is_caught():
    fields = basin(48, 40, seed=1)
    found = run(network(torch.float64, cn_family="stress"), fields)
    assert momentum({**fields, "h": np.ones_like(fields["h"])}, found) > 1e-5


def test_divergence_of_a_linear_stress():
    """T_xx = a x, T_xy = b x + c y, T_yy = d y on a uniform layer: du = a + c, dv = b + d inside the basin."""
    a, b, c, d, n = 2.0, 3.0, 5.0, 7.0, 9
    j, i = np.mgrid[:n, :n].astype(float)
    one = torch.ones(1, n, n, dtype=torch.float64)
    xx, yy, xy = (torch.from_numpy(x)[None] for x in (a * i, d * j, b * i + c * j))
    spacing = dict.fromkeys(METRICS, 2.0 * one)
    for metrics, dx in ((None, 1.0), (spacing, 2.0)):
        du, dv = staggered.divergence(xx, yy, xy, 300.0 * one, one, one, metrics)
        assert torch.allclose(du, (a + c) / dx * torch.ones_like(du), rtol=1e-14)
        assert torch.allclose(dv, (b + d) / dx * torch.ones_like(dv), rtol=1e-14)


def test_gradients_of_a_linear_flow():
    """u = a x + b y, v = c x + d y: D = b + c, Dh = a - d, zeta = c - b, whatever the sign of each."""
    a, b, c, d, n = 2.0, 3.0, 5.0, 7.0, 6
    j, i = np.mgrid[:n, :n].astype(float)
    one = torch.ones(1, n, n, dtype=torch.float64)
    u, v = (torch.from_numpy(x)[None] for x in (a * i + b * j, c * i + d * j))
    metrics = dict.fromkeys(METRICS, 2.0 * one)
    shear, stretch, zeta = staggered.gradients(u, v, one, one, one, metrics)
    for got, want in ((shear, b + c), (stretch, a - d), (zeta, c - b)):
        assert got.shape == (1, n - 2, n - 2)
        assert torch.allclose(got, want / 2.0 * torch.ones_like(got), rtol=1e-14)


def test_ann_scales_with_its_units():
    """T ~ dx^2 |grad V|^2: velocities times s give s^2; a grid twice as coarse with the same gradients gives twice the tendency."""
    net, fields = network(torch.float64, cn_family="stress_ann"), basin(seed=2)
    here = run(net, fields)
    faster = run(net, {**fields, "u": 3 * fields["u"], "v": 3 * fields["v"]})
    coarser = {name: 2 * field if name in (*METRICS, "u", "v") else field for name, field in fields.items()}
    for name, tendency in here.items():
        assert np.allclose(faster[name], 9 * tendency, rtol=1e-9, atol=1e-9 * abs(tendency).max())
        assert np.allclose(run(net, coarser)[name], 2 * tendency, rtol=1e-9, atol=1e-9 * abs(tendency).max())
    direct = network(torch.float64)
    assert not np.allclose(run(direct, coarser)["du"], 2 * run(direct, fields)["du"], rtol=1e-2)


def test_ann_at_rest_is_silent_and_trainable():
    """No motion, no stress; the gradient with respect to the state is finite there."""
    fields = basin(seed=2)
    still = {**fields, "u": 0 * fields["u"], "v": 0 * fields["v"]}
    net = network(cn_family="stress_ann")
    assert max(abs(part).max() for part in run(net, still).values()) < 1e-12
    x = padded(still, net).requires_grad_()
    net(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_metrics_under_land_may_be_zero():
    """Nothing but a finite, equal tendency where a mesh has spacings of zero under land."""
    fields = basin(seed=2)
    holed = {name: f * fields["tmask"] if name in ("e1t", "e2t") else f for name, f in fields.items()}
    for family in ("stress_ann", "stress"):
        net = network(cn_family=family, ln_scale=True)
        want, found = run(net, fields), run(net, holed)
        assert all(np.array_equal(found[name], want[name]) for name in want)


def test_mom6_form_is_the_network():
    """The arrays give the stored answer, and that of the network itself, in MOM6's order of axes."""
    net = network(torch.float64, cn_family="stress_ann", nn_width=20)
    file = net.mom6()
    assert list(file["layer_sizes"]) == [27, 20, 3] and file["num_layers"] == 3

    def mom6(x, transposed=False):
        for n in range(2):
            a = file[f"A{n}"].T.reshape(file[f"A{n}"].shape) if transposed else file[f"A{n}"]
            x = x @ a + file[f"b{n}"]
            x = np.maximum(x, 0) if n == 0 else x
        return x

    assert np.allclose(mom6(file["x_test"]), file["y_test"], rtol=1e-12)
    assert not np.allclose(mom6(file["x_test"], transposed=True), file["y_test"], rtol=1e-3)
    with torch.inference_mode():
        assert np.allclose(net.ann(torch.from_numpy(file["x_test"])).numpy(), file["y_test"], rtol=1e-12)


def test_ann_reads_shear_then_stretch_then_vorticity(monkeypatch):
    """MOM6's order of the 27 inputs: a flow that is pure shear and vorticity leaves the nine of stretch zero; unit norm."""
    net, n, seen = network(torch.float64, cn_family="stress_ann"), 12, []
    monkeypatch.setattr(net, "ann", lambda x: seen.append(x) or x[..., :3])
    fields = basin(n, n, island=False)
    j, i = np.mgrid[:n, :n].astype(float)
    fields |= {"u": np.stack([j, j]) * 0.1, "v": np.stack([i, i]) * 0.3}
    with torch.inference_mode():
        net(padded(fields, net))
    shear, stretch, zeta = (part.numpy() for part in seen[0][0, 0, n // 2, n // 2].split(9))
    assert np.allclose(stretch, 0, atol=1e-9) and np.allclose(shear / zeta, 2.0)  # 0.1 + 0.3 and 0.3 - 0.1
    assert np.sum(shear**2 + zeta**2) == pytest.approx(1)


def test_stencil_goes_row_by_row():
    """The order of MOM6's RESHAPE: i fastest, from the south-west."""
    x = torch.arange(16.0).reshape(1, 4, 4)
    assert staggered.stencil(x)[0, 0, 0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_first_weights_are_of_the_target_s_size():
    """The scale of the stress is rms times spacing: before training the tendency is within a factor of ten of the target."""
    found = run(network(cn_family="stress", nn_width=16), basin(24, 24, seed=7))
    assert 7e-8 < np.sqrt(np.mean(found["du"][0] ** 2)) < 7e-6
