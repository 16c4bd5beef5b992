"""Coarse-graining on the C grid keeps what the discrete equations keep: divergence, volume, tracer, constants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from models.data import cgrid
from models.data.smooth import Smoother, filter_scale, ratio


def ocean(seed: int, ny: int, nx: int, depth: int, land: float = 0.3, cyclic: bool = False):
    """Random curvilinear metrics, masks with coasts and steps, thickness and flow."""
    random = np.random.default_rng(seed)
    mesh = {f"e{axis}{point}": 1e4 * (1 + 0.5 * random.random((ny, nx))) for axis in "12" for point in "tuvf"}
    mesh |= {f"{name}{point}": random.random((ny, nx)) for name in ("glam", "gphi", "ff_") for point in "tuvf"}
    wet = random.random((depth, ny, nx)) > land
    masks = {"tmask": wet, "umask": wet & cgrid.east(wet.copy(), cyclic), "vmask": wet & cgrid.north(wet.copy())}
    masks["fmask"] = masks["umask"] & cgrid.north(masks["umask"].copy())
    thick = {p: (10 + 90 * random.random((depth, ny, nx))) * masks[f"{p}mask"] for p in "tuv"}
    flow = {p: random.standard_normal((depth, ny, nx)) * masks[f"{p}mask"] for p in "uv"}
    return mesh, masks, thick, flow


def flux_sum(mesh, masks, thick, flow, n):
    """Coarse transports from coarse velocity, thickness and length, as a model would make them."""
    transports = []
    for point, length, total in (("u", "e2u", cgrid.u_face_sum), ("v", "e1v", cgrid.v_face_sum)):
        velocity = cgrid.weighted_faces(flow[point], thick[point], mesh[length], n, point.upper())
        transports.append(velocity * total(thick[point] * mesh[length], n))
    return transports


def centred(mesh, masks, thick, flow, n):
    """The broken twin: to the centres, box mean, back to the faces."""
    u = 0.5 * (flow["u"] + cgrid.west(flow["u"].copy(), False))
    v = 0.5 * (flow["v"] + cgrid.south(flow["v"].copy()))
    u, v = cgrid.cell_sum(u, n) / n**2, cgrid.cell_sum(v, n) / n**2
    u, v = 0.5 * (u + cgrid.east(u.copy(), False)), 0.5 * (v + cgrid.north(v.copy()))
    return u * cgrid.u_face_sum(thick["u"] * mesh["e2u"], n), v * cgrid.v_face_sum(thick["v"] * mesh["e1v"], n)


def imbalance(method, seed, n, cyclic=False) -> float:
    """Largest difference of coarse outflow and the sum of fine outflows, over the largest fine one."""
    mesh, masks, thick, flow = ocean(seed, 4 * n, 6 * n, 3, cyclic=cyclic)
    fine = cgrid.outflow(flow["u"] * thick["u"] * mesh["e2u"], flow["v"] * thick["v"] * mesh["e1v"], cyclic)
    coarse = cgrid.outflow(*method(mesh, masks, thick, flow, n), cyclic)
    return float(np.abs(coarse - cgrid.cell_sum(fine, n)).max() / np.abs(fine).max())


@given(seed=st.integers(0, 10**6), n=st.integers(2, 6), cyclic=st.booleans())
def test_divergence_is_kept_to_roundoff(seed, n, cyclic):
    """Coarse divergence x volume is the sum of fine divergences x volumes, with land, steps and any metrics."""
    assert imbalance(flux_sum, seed, n, cyclic) < 1e-13


def test_centred_means_lose_divergence():
    assert imbalance(centred, 0, 4) > 0.1


@given(seed=st.integers(0, 10**6), n=st.integers(2, 5))
def test_volume_tracer_and_constants_are_kept(seed, n):
    mesh, _, thick, _ = ocean(seed, 3 * n, 4 * n, 2)
    area = mesh["e1t"] * mesh["e2t"]
    tracer = np.random.default_rng(seed).standard_normal(thick["t"].shape)
    volume = cgrid.cell_sum(thick["t"] * area, n)
    coarse = cgrid.coarse_metrics(mesh, n, False)
    thickness = cgrid.quotient(volume, np.broadcast_to(coarse["e1t"] * coarse["e2t"], volume.shape))
    mean = cgrid.weighted_cells(tracer, thick["t"], area, n)
    assert np.allclose(thickness * coarse["e1t"] * coarse["e2t"], volume, rtol=1e-13)
    content = (tracer * thick["t"] * area).sum()
    assert np.isclose((mean * volume).sum(), content, rtol=1e-12, atol=1e-12 * np.abs(tracer * thick["t"] * area).sum())
    assert np.allclose(cgrid.weighted_cells(0 * tracer + 7, thick["t"], area, n)[volume > 0], 7, rtol=1e-14)


def test_a_mean_without_volume_loses_tracer():
    mesh, _, thick, _ = ocean(0, 12, 12, 2)
    area = mesh["e1t"] * mesh["e2t"]
    tracer = np.random.default_rng(0).standard_normal(thick["t"].shape)
    plain = cgrid.cell_sum(tracer, 3) / 9
    lost = (plain * cgrid.cell_sum(thick["t"] * area, 3)).sum() - (tracer * thick["t"] * area).sum()
    assert abs(lost) > 1e-3 * np.abs(tracer * thick["t"] * area).sum()


def test_masks_are_wet_where_any_fine_point_is():
    """A closed face on an open one would drop its transport; a wet face needs wet cells on both sides."""
    _, masks, _, _ = ocean(3, 12, 18, 2, land=0.6)
    coarse = cgrid.coarse_masks(masks, 3, False)
    fine = masks["umask"][:, :, 2::3].reshape(2, 4, 3, 6).any(axis=2)
    assert np.array_equal(coarse["umask"] != 0, fine)
    both = (coarse["tmask"] != 0) & (cgrid.east(coarse["tmask"].copy(), False) != 0)
    assert not ((coarse["umask"] != 0) & ~both).any()
    all_wet = masks["umask"][:, :, 2::3].reshape(2, 4, 3, 6).all(axis=2)
    assert (all_wet != fine).any()  # the other policy is another mask


@pytest.mark.parametrize("n", [2, 3])
def test_metrics_of_a_regular_grid(n):
    ny, nx = 6 * n, 4 * n
    i, j = np.meshgrid(np.arange(nx), np.arange(ny))
    mesh = {f"e{axis}{point}": np.full((ny, nx), 1000.0) for axis in "12" for point in "tuvf"}
    for point, di, dj in (("t", 0, 0), ("u", 0.5, 0), ("v", 0, 0.5), ("f", 0.5, 0.5)):
        mesh |= {f"glam{point}": i + di, f"gphi{point}": j + dj, f"ff_{point}": 1e-4 * (j + dj)}
    coarse = cgrid.coarse_metrics(mesh, n, False)
    assert all(np.allclose(coarse[f"e{axis}{point}"], 1000 * n) for axis in "12" for point in "tuvf")
    centre = (n - 1) / 2
    assert np.allclose(coarse["glamt"][0], np.arange(4) * n + centre)
    assert np.allclose(coarse["glamf"][0], np.arange(4) * n + n - 0.5)
    assert np.allclose(coarse["ff_t"][:, 0], 1e-4 * (np.arange(6) * n + centre))
    assert np.allclose(coarse["ff_f"][:, 0], 1e-4 * (np.arange(6) * n + n - 0.5))


def test_a_factor_that_does_not_fit_lists_those_that_do():
    with pytest.raises(HaloclineError, match="does not divide the grid of 30 x 20 cells") as error:
        cgrid.check_factor(20, 30, 4, "here")
    assert "Possible: 2, 5, 10" in str(error.value)


def sheared(ny=40, nx=48, step=1e4):
    """Analytic flow u = sin(ax) cos(by), v = cos(ax) sin(by), cyclic in x; and its advection at U and V."""
    i, j = np.meshgrid(np.arange(nx), np.arange(ny))
    a, b = 2 * np.pi / (nx * step), np.pi / (ny * step)
    mesh = {f"e{axis}{point}": np.full((ny, nx), step) for axis in "12" for point in "tuvf"}
    masks = {f"{point}mask": np.ones((1, ny, nx)) for point in "tuvf"}

    def flow(x, y):
        u, v = np.sin(a * x) * np.cos(b * y), np.cos(a * x) * np.sin(b * y)
        advect_u = u * a * np.cos(a * x) * np.cos(b * y) - v * b * np.sin(a * x) * np.sin(b * y)
        advect_v = -u * a * np.sin(a * x) * np.sin(b * y) + v * b * np.cos(a * x) * np.cos(b * y)
        return u, v, advect_u, advect_v

    at_u, at_v = flow((i + 1) * step, (j + 0.5) * step), flow((i + 0.5) * step, (j + 1) * step)
    return mesh, masks, at_u[0][None], at_v[1][None], at_u[2], at_v[3]


def advection_error(cyclic=True, swap=False) -> float:
    mesh, masks, u, v, exact_u, exact_v = sheared()
    advect_u, advect_v = cgrid.advection(u, v, mesh, masks, cyclic)
    if swap:
        advect_u, advect_v = -advect_u, -advect_v
    inner = np.s_[2:-2, 2:-2]
    error = np.abs(advect_u[0][inner] - exact_u[inner]).max() + np.abs(advect_v[0][inner] - exact_v[inner]).max()
    return float(error / np.abs(exact_u).max())


def test_advection_of_an_analytic_flow():
    """(u . grad) u on the C grid is second order: half a percent on 40 x 48 cells; the other sign is caught."""
    assert advection_error() < 0.02
    assert advection_error(swap=True) > 1


@pytest.mark.parametrize("point", "TUV")
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("kind", ["gaussian", "taper"])
def test_filters_keep_integrals_constants_and_land(kind, point, cyclic):
    mesh, masks, _, _ = ocean(5, 20, 24, 2, cyclic=cyclic)
    mask = masks[f"{point.lower()}mask"]
    smooth = Smoother(kind, 2e4 if kind == "gaussian" else 5e4, point, mesh, mask, cyclic)
    field = np.random.default_rng(0).standard_normal(mask.shape) * mask
    area = mesh[f"e1{point.lower()}"] * mesh[f"e2{point.lower()}"]
    filtered = smooth(field)
    assert np.allclose(
        (filtered * area).sum((1, 2)), (field * area).sum((1, 2)), atol=1e-12 * np.abs(field * area).sum()
    )
    assert np.allclose(smooth(3.0 * mask), 3.0 * mask, atol=1e-12)
    assert not filtered[~mask].any()
    assert filtered[mask].std() < 0.7 * field[mask].std()


@pytest.mark.parametrize("width", [2e4, 3e4])
def test_a_gaussian_has_the_width_that_was_asked_for(width):
    mesh = {f"e{axis}{point}": np.full((41, 41), 1e4) for axis in "12" for point in "tuvf"}
    field = np.zeros((1, 41, 41))
    field[0, 20, 20] = 1.0
    spread = Smoother("gaussian", width, "T", mesh, np.ones_like(field), False)(field)[0]
    x = (np.arange(41) - 20) * 1e4
    assert np.sqrt((spread.sum(0) * x**2).sum()) == pytest.approx(width, rel=0.03)
    assert np.sqrt((spread.sum(1) * x**2).sum()) != pytest.approx(filter_scale("gaussian", width), rel=0.5)


def test_a_closed_basin_does_not_leak_round_its_ends():
    mesh = {f"e{axis}{point}": np.full((20, 20), 1e4) for axis in "12" for point in "tuvf"}
    field = np.zeros((1, 20, 20))
    field[0, 10, 0] = 1.0
    closed, open_ = (
        Smoother("gaussian", 2e4, "T", mesh, np.ones_like(field), cyclic)(field) for cyclic in (False, True)
    )
    assert abs(closed[0, 10, -1]) < 1e-12 < 1e-3 < open_[0, 10, -1]


def test_filter_to_grid_ratio():
    assert ratio("gaussian", 20e3, 40e3) == pytest.approx(np.sqrt(12) / 2)
    assert ratio("none", 20e3, 40e3) == 0
