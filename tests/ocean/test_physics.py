"""What the equations promise: rest, volume, energy, gyres, and the form of the closure."""

import f90nml
import numpy as np
import pytest

from .conftest import ROOT

REST = {"namsbc": {"cn_wind": "none"}, "namusr_def": {"rn_pert": 0.0}}


@pytest.mark.parametrize("cyclic", [False, True])
def test_rest_stays_rest(ocean, cyclic):
    """Without wind and noise every velocity stays exactly zero and every layer exactly as it was."""
    end = ocean(REST, {"namusr_def": {"rn_pert": 0.0, "ln_cyclic": cyclic}}, ranks=2).restart(60)
    assert np.all(end["un"] == 0.0) and np.all(end["vn"] == 0.0)
    assert np.all(end["e3t_n"][0] == 500.0) and np.all(end["e3t_n"][1] == 750.0)


@pytest.mark.parametrize("layers", [1, 3])
def test_other_numbers_of_layers(ocean, layers):
    """One and three layers run in the checked build; without a tracer it is zero."""
    depth = {"nn_layers": layers, "rn_h": [400.0, 300.0, 500.0][:layers], "rn_gred": [0.01, 0.008, 0.006][:layers]}
    run = ocean({"namusr_def": depth, "namtra": {"ln_tra": False}}, ranks=2, variant="check")
    end = run.restart(60)
    assert end["un"].shape[0] == layers and np.all(end["tn"] == 0.0)
    np.testing.assert_allclose(end["e3t_n"].values[:, 1:-1, 1:-1].mean((1, 2)), depth["rn_h"], rtol=1e-2)


@pytest.mark.parametrize("cyclic", [False, True])
def test_volume_is_conserved(ocean, cyclic):
    """Every layer keeps its volume to round-off; tracer content too when nothing restores it, and a constant stays constant."""
    change = {
        "namusr_def": {"ln_cyclic": cyclic},
        "namrun": {"nn_itend": 3000, "nn_stock": 1500, "nn_stat": 1000},
        "namsbc": {"rn_trelax": 0.0},
    }
    run = ocean(change)
    first, last = run.restart(1500), run.restart(3000)
    wet = (first["tn"] != 0.0).values
    for layer in range(2):
        volumes = [ds["e3t_n"].values[layer][wet].sum() for ds in (first, last)]
        assert abs(volumes[1] / volumes[0] - 1.0) < 1e-12
    content = [(ds["e3t_n"].values[0] * ds["tn"].values)[wet].sum() for ds in (first, last)]
    assert abs(content[1] / content[0] - 1.0) < 1e-12
    assert np.abs(last["e3t_n"].values[0] - first["e3t_n"].values[0])[wet].max() > 5.0
    flat = ocean(change, {"namsbc": {"rn_tstar_s": 7.0, "rn_tstar_n": 7.0, "rn_trelax": 0.0}}, name="flat").restart(
        3000
    )
    np.testing.assert_allclose(flat["tn"].values[wet], 7.0, rtol=1e-12)


def shipped(name, steps):
    """A namelist_cfg of the repository, with another length, without field output, under the name TEST."""
    groups = f90nml.read(ROOT / "namelists" / name / "namelist_cfg")
    groups["namrun"].update({"cn_exp": "TEST", "nn_itend": steps, "nn_write": 0})
    return f"{groups}\n"


def test_double_gyre_of_three_years(ocean):
    """namelists/gyre, three years from rest: bounded energy, a western boundary current of both signs, gyres of both signs."""
    run = ocean(text=shipped("gyre", 29160), variant="single", timeout=120)
    assert run.stat[:, -1].min() > 100.0
    assert run.stat[:, 3].max() < 2.0
    assert 1e-3 < run.stat[-365:, 4].mean() < 3e-2
    end = run.restart(29160)
    v = end["vn"].values[0, 2:-2, 1:5]  # the four columns by the western wall
    assert v[:23].max() > 0.1 and v[23:].min() < -0.1  # northward in the south, southward in the north
    inner = np.abs(end["vn"].values[0, 2:-2, 10:-10])
    assert np.abs(v).mean() > 3 * inner.mean()
    h = end["e3t_n"].values[0, 1:-1, 1:-1]
    assert (
        h[12:20].mean() > 505.0 > 495.0 > h[28:36].mean()
    )  # deep anticyclone in the south, shallow cyclone in the north
    assert 5.0 < end["tn"].values[1:-1, 1:-1].min() + 1e-3 and end["tn"].values.max() < 25.0 + 1e-3


def test_channel_flows_east(ocean):
    """namelists/channel, 100 days: eastward, the same along the channel up to the noise, on two ranks."""
    run = ocean(text=shipped("channel", 5400), ranks=2, timeout=120)
    u = run.restart(5400)["un"].values[0, 1:-1]
    assert u.mean(1).max() > 0.01 and u.mean() > 0.005
    assert u.std(1).max() < 0.5 * u.mean(1).max()


def test_annual_cycle_of_the_wind(ocean):
    """rn_season = a: wind times 1 + a on 1 January, 1 - a on 1 July; nothing with a = 0."""
    slow = {
        "namusr_def": {"rn_pert": 0.0, "rn_dx": 4.0e5, "rn_f0": 1.0e-5, "rn_beta": 0.0},
        "namdom": {"rn_dt": 21600.0},
        "namdyn_ldf": {"ln_dynldf": False},
        "namzb20": {"ln_zb20": False},
    }

    def wind(season, kt):
        change = {
            "namrun": {"nn_itend": kt},
            "namtrd": {"ln_trd": True, "nn_trd": kt},
            "namsbc": {"rn_tau0": 1e-6, "rn_season": season},
        }
        run = ocean(slow, change, name=f"{season}{kt}")
        return run.open(f"TEST_00000001_{kt:08d}_trd.nc", decode_times=False)["utrd_wnd"].values[0]

    january, july, plain = wind(0.5, 1), wind(0.5, 721), wind(0.0, 1)
    np.testing.assert_allclose(january, 1.5 * plain, rtol=1e-5, atol=1e-20)
    np.testing.assert_allclose(july, 0.5 * plain, rtol=1e-4, atol=1e-20)
    assert np.abs(plain).max() > 0


CYCLIC = {"namusr_def": {"ln_cyclic": True}, "namsbc": {"cn_wind": "channel", "rn_season": 0.0}}
ZB = {"namzb20": {"ln_zb20": True, "rn_zb_kappa": 2.0e8}}


def trends(ocean, *changes):
    """Trends (64 bit), mesh and state of a small basin after 300 steps; thickness at rest on land."""
    base = {"namrun": {"nn_itend": 300, "nn_stat": 100}, "namsbc": {"rn_season": 0.0}}
    first = ocean(base, *changes)
    names = {"un": "vozocrtx", "vn": "vomecrty", "e3t_n": "thkcello", "tn": "sosstsst"}
    state = first.restart(300)[list(names)].rename(names)
    state.expand_dims(time_counter=[0.0]).to_netcdf(first.rundir / "states.nc")
    out = ocean(base, *changes, {"namrhs": {"ln_rhs": True}})
    return out.open("trends.nc", decode_times=False).isel(time_counter=0), out.open("mesh_mask.nc"), state


def zanna_bolton(u, v, h, mesh, kappa):
    """The closure of one layer with numpy, arrays (j, i), square cells of one size: an independent writing of the formulas."""
    dx = float(mesh["e1t"].values[0, 0])
    tm, um, vm, fm = (mesh[f"{p}mask"].values[0] for p in "tuvf")

    def east(a):
        return np.roll(a, -1, 1)

    def north(a):
        return np.roll(a, -1, 0)

    def west(a):
        return np.roll(a, 1, 1)

    def south(a):
        return np.roll(a, 1, 0)

    def to_t(a):
        return 0.25 * (a + west(a) + south(a) + west(south(a)))

    def to_f(a):
        return 0.25 * (a + east(a) + north(a) + east(north(a)))

    zeta = (east(v) - v - (north(u) - u)) / dx * fm
    shear = (north(u) - u + east(v) - v) / dx * fm
    stretch = (u - west(u) - (v - south(v))) / dx * tm
    p = h * tm * to_t(zeta * shear)
    q = h * tm * 0.5 * (to_t(zeta**2) + to_t(shear**2) + stretch**2)
    hf = 4 * to_f(h * tm) / np.maximum(1, 4 * to_f(tm))
    r = hf * zeta * to_f(stretch)
    hu, hv = 0.5 * (h + east(h)), 0.5 * (h + north(h))
    du = kappa * (east(p) - p - (r - south(r)) - (east(q) - q)) / (dx * hu) * um
    dv = kappa * (-(north(p) - p) - (r - west(r)) - (north(q) - q)) / (dx * hv) * vm
    return du, dv


@pytest.mark.parametrize("cyclic", [False, True])
def test_zanna_bolton_is_its_formula(ocean, cyclic):
    """Against numpy at every face, walls and cyclic edge included; the wrong slip is seen."""
    trend, mesh, state = trends(ocean, ZB, CYCLIC if cyclic else {})
    free_slip = mesh.copy(deep=True)
    free_slip["fmask"].values[:] = np.where(mesh["fmask"].values == 1.0, 1.0, 0.0)
    for layer in range(2):
        u, v, h = (state[name].values[layer] for name in ("vozocrtx", "vomecrty", "thkcello"))
        du, dv = zanna_bolton(u, v, h, mesh, 2.0e8)
        scale = max(np.abs(du).max(), np.abs(dv).max())
        assert scale > 0
        assert np.abs(trend["utrd_zb20"].values[layer] - du).max() < 1e-12 * scale
        assert np.abs(trend["vtrd_zb20"].values[layer] - dv).max() < 1e-12 * scale
        wrong, _ = zanna_bolton(u, v, h, free_slip, 2.0e8)
        assert np.abs(wrong - du).max() > 1e-3 * scale


def faces(h):
    """Thickness of the east and north faces, arrays (k, j, i)."""
    return 0.5 * (h + np.roll(h, -1, 2)), 0.5 * (h + np.roll(h, -1, 1))


def test_closures_conserve_zonal_momentum(ocean):
    """Sum of h A du/dt of friction and Zanna-Bolton over a free-slip channel is zero to round-off; no-slip walls take momentum."""
    for slip, conserved in ((0.0, True), (2.0, False)):
        trend, _, state = trends(ocean, ZB, CYCLIC, {"namlbc": {"rn_shlat": slip}})
        hu, _ = faces(state["thkcello"].values)
        for term in ("ldf", "zb20"):
            product = hu * trend[f"utrd_{term}"].values
            relative = np.abs(product.sum((1, 2))) / np.abs(product).sum((1, 2))
            assert np.all(relative < 1e-12) if conserved else np.all(relative > 1e-6), (term, relative)


@pytest.mark.parametrize("cyclic", [False, True])
def test_energy_of_the_terms(ocean, cyclic):
    """The vorticity flux does no work (to round-off), friction and drag take energy, pressure and wind may do either."""
    trend, _, state = trends(ocean, {"namdyn_ldf": {"rn_cl4": 0.0}}, CYCLIC if cyclic else {})
    u, v = state["vozocrtx"].values, state["vomecrty"].values
    hu, hv = faces(state["thkcello"].values)

    def work(term):
        along_u, along_v = hu * u * trend[f"utrd_{term}"].values, hv * v * trend[f"vtrd_{term}"].values
        return (along_u + along_v).sum((1, 2)), (np.abs(along_u) + np.abs(along_v)).sum((1, 2))

    net, gross = work("pvo")
    assert np.all(np.abs(net) < 1e-12 * gross)
    for term in ("ldf", "drg"):
        assert np.all(work(term)[0] < 0), term
    net, gross = work("keg")
    assert np.any(np.abs(net) > 1e-6 * gross)  # what the first assertion would show for a term that does work
