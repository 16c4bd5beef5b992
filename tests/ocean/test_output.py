"""Output files, mesh_mask.nc, trends, right-hand sides of given states."""

import numpy as np
import pytest
import xarray as xr

from .conftest import same_bits

QUIET = {"namsbc": {"rn_season": 0.0}, "namdia": {"ln_dia_r8": True}}


def test_instantaneous_fields_and_means(ocean):
    """The mean of 4 steps is the mean of the 4 states; names, units, times and calendar are NEMO's and CF's."""
    each = ocean(QUIET, {"namrun": {"nn_write": 1, "nn_itend": 8}, "namdia": {"ln_mean": False}}, name="each", ranks=2)
    four = ocean(QUIET, {"namrun": {"nn_write": 4, "nn_itend": 8}}, name="four")
    states = each.open("TEST_00000001_00000008_inst.nc")
    mean = four.open("TEST_00000001_00000008_mean.nc")
    inst = four.open("TEST_00000001_00000008_inst.nc")
    assert states.sizes == {"time_counter": 8, "y": 15, "x": 19, "deptht": 2}
    for name in ("vozocrtx", "vomecrty", "thkcello", "sosstsst", "sossheig", "ssrelvor"):
        assert np.array_equal(inst[name].values, states[name].values[3::4], equal_nan=True)
        expected = states[name].values.reshape(2, 4, *states[name].shape[1:]).mean(1)
        np.testing.assert_allclose(mean[name].values, expected, rtol=1e-12, atol=1e-15 * np.nanmax(np.abs(expected)))
        assert not np.allclose(mean[name].values, inst[name].values, rtol=1e-12, equal_nan=True)
        assert "mean" in mean[name].attrs["cell_methods"] and "point" in inst[name].attrs["cell_methods"]
        assert {"units", "long_name"} <= set(mean[name].attrs)
    assert states["thkcello"].attrs["standard_name"] == "cell_thickness"
    eta = (0.008 * states["thkcello"][:, 0] + 0.008 * states["thkcello"].sum("deptht", skipna=False)) / 9.81
    np.testing.assert_allclose(states["sossheig"], eta, rtol=1e-12)
    date = states["time_counter"].values[-1]
    assert (date.calendar, date.isoformat()) == ("360_day", "0001-01-01T05:20:00")
    assert {"nav_lon", "nav_lat"} <= set(states.variables)


@pytest.mark.parametrize(
    ("leapy", "calendar", "date"), [(0, "noleap", 40307), (1, "proleptic_gregorian", 40306), (30, "360_day", 40305)]
)
def test_calendars(ocean, leapy, calendar, date):
    """Ten days after 25 February of the leap year 4: February has 28, 29 or 30 days."""
    run = ocean(
        {"namrun": {"nn_leapy": leapy, "nn_date0": 40225, "nn_itend": 360, "nn_write": 360, "nn_stat": 360}},
        {"namdia": {"ln_mean": False}},
    )
    assert run.stat[-1, 1] == date
    time = run.open("TEST_00000001_00000360_inst.nc", decode_times=xr.coders.CFDatetimeCoder(use_cftime=True))[
        "time_counter"
    ].values[0]
    assert time.calendar == calendar
    assert time.year * 10000 + time.month * 100 + time.day == date


def test_bursts(ocean):
    """Round step 20, 40, 60: t-d, t, t+d, the bits of the states."""
    run = ocean(
        QUIET,
        {"namrun": {"nn_write": 1, "nn_itend": 62}, "namdia": {"ln_mean": False, "nn_burst": 20, "nn_burst_d": 2}},
    )
    burst = run.open("TEST_00000001_00000062_burst.nc", decode_times=False)
    steps = np.rint(burst["time_counter"].values / 2400.0).astype(int)
    assert list(steps) == [2, 18, 20, 22, 38, 40, 42, 58, 60, 62]
    states = run.open("TEST_00000001_00000062_inst.nc", decode_times=False)
    assert burst["vozocrtx"].values.tobytes() == states["vozocrtx"].values[steps - 1].tobytes()
    assert burst["vozocrtx"].values.tobytes() != states["vozocrtx"].values[steps - 2].tobytes()


@pytest.mark.parametrize("cyclic", [False, True])
def test_mesh_mask(ocean, cyclic):
    """Land ring, masks of faces and corners from those of cells, slip on the coast, beta plane, distances in km."""
    change = {"namusr_def": {"ln_cyclic": cyclic}, "namlbc": {"rn_shlat": 1.5}, "namrun": {"nn_itend": 1}}
    mesh = ocean(change, ranks=3).open("mesh_mask.nc")
    tmask = mesh["tmask"].values[0]
    wet = np.zeros((15, 17 if cyclic else 19))
    wet[1:-1, slice(None) if cyclic else slice(1, -1)] = 1
    assert np.array_equal(tmask, wet)
    east = np.roll(wet, -1, 1)
    north = np.roll(wet, -1, 0)
    corner = wet * east * north * np.roll(north, -1, 1)
    touches = np.maximum.reduce([wet * east, north * np.roll(north, -1, 1), wet * north, east * np.roll(north, -1, 1)])
    assert np.array_equal(mesh["umask"].values[0], wet * east)
    assert np.array_equal(mesh["vmask"].values[0], wet * north)
    assert np.array_equal(mesh["fmask"].values[0], np.where(corner == 1, 1.0, 1.5 * touches))
    assert np.all(mesh["e1t"] == 40000.0) and np.all(mesh["e2f"] == 40000.0)
    first = 0 if cyclic else 1
    np.testing.assert_allclose(mesh["glamt"].values[0, first : first + 2], [20.0, 60.0])
    np.testing.assert_allclose(mesh["glamu"].values[0] - mesh["glamt"].values[0], 20.0)
    np.testing.assert_allclose(mesh["gphif"].values[:2, 0], [0.0, 40.0], atol=1e-9)
    np.testing.assert_allclose(np.diff(mesh["ff_f"].values[:, 0]), 2e-11 * 40000.0)
    np.testing.assert_allclose(mesh["ff_t"].values[7, 0], 7e-5)


TERMS = ("hpg", "keg", "pvo", "ldf", "wnd", "drg", "zb20")


def test_trends_add_up_to_the_step(ocean):
    """Sum of the terms = total = (u(after) - u(before)) / 2 dt, for u, v, h and T; each term is there."""
    run = ocean(
        QUIET,
        {"namrun": {"nn_write": 1, "nn_itend": 31}, "namdom": {"rn_atfp": 0.0}, "namdia": {"ln_mean": False}},
        {"namtrd": {"ln_trd": True, "nn_trd": 30}},
        ranks=2,
    )
    states = run.open("TEST_00000001_00000031_inst.nc", decode_times=False)
    trends = run.open("TEST_00000001_00000031_trd.nc", decode_times=False)
    assert trends["time_counter"].values.tolist() == [29 * 2400.0]  # step 30 starts from the state after step 29
    after, before = states.isel(time_counter=29), states.isel(time_counter=27)
    for axis, name in (("u", "vozocrtx"), ("v", "vomecrty")):
        total = trends[f"{axis}trd_tot"].values[0]
        terms = [trends[f"{axis}trd_{term}"].values[0] for term in TERMS]
        scale = max(np.abs(term).max() for term in terms)
        np.testing.assert_allclose(sum(terms), total, atol=1e-6 * scale)  # written with 32 bits
        np.testing.assert_allclose(total, (after[name] - before[name]).values / 4800.0, atol=1e-6 * scale)
        for term, value in zip(TERMS, terms, strict=True):
            assert np.abs(value).max() > 0 or (axis, term) == ("v", "wnd"), term
    thickness = (after["thkcello"] - before["thkcello"]).values / 4800.0
    np.testing.assert_allclose(trends["htrd_adv"].values[0], thickness, atol=1e-6 * np.nanmax(np.abs(thickness)))
    tracer = [trends[f"ttrd_{term}"].values[0] for term in ("adv", "ldf", "res")]
    np.testing.assert_allclose(sum(tracer), trends["ttrd_tot"].values[0], atol=1e-12)
    change = (after["sosstsst"] - before["sosstsst"]).values / 4800.0
    np.testing.assert_allclose(trends["ttrd_tot"].values[0], change, atol=1e-2 * np.nanmax(np.abs(change)))


def test_rhs_of_states_is_the_trend_of_the_run(ocean):
    """ln_rhs on (before, now) gives, in 64 bits, what the step itself used; a shifted record does not."""
    run = ocean(
        QUIET,
        {"namrun": {"nn_write": 1, "nn_itend": 30}, "namdom": {"rn_atfp": 0.0}, "namdia": {"ln_mean": False}},
        {"namtrd": {"ln_trd": True, "nn_trd": 1}},
    )
    states = run.open("TEST_00000001_00000030_inst.nc", decode_times=False)
    names = ["vozocrtx", "vomecrty", "thkcello", "sosstsst"]
    now = states[names].isel(time_counter=slice(20, 23))
    before = states[names].isel(time_counter=slice(19, 22)).rename({n: f"{n}_b" for n in names})
    before["time_counter"] = now["time_counter"]
    xr.merge([now, before]).to_netcdf(run.rundir / "states.nc")
    for ranks in (1, 4):
        ocean(QUIET, {"namrhs": {"ln_rhs": True, "cn_rhs_out": f"rhs{ranks}.nc"}}, ranks=ranks)
    one = run.open("rhs1.nc", decode_times=False)
    same_bits(one, run.open("rhs4.nc", decode_times=False))
    trends = run.open("TEST_00000001_00000030_trd.nc", decode_times=False).isel(time_counter=slice(21, 24))
    assert one["utrd_tot"].dtype == np.float64
    for name in [f"{a}trd_{t}" for a in "uv" for t in (*TERMS, "tot")] + [
        "htrd_adv",
        "ttrd_adv",
        "ttrd_ldf",
        "ttrd_res",
    ]:
        np.testing.assert_allclose(
            trends[name].values, one[name].values, atol=2e-7 * np.nanmax(np.abs(one[name])), err_msg=name
        )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(trends["utrd_pvo"].values[1:], one["utrd_pvo"].values[:-1], rtol=1e-3, atol=0)
    burst_like = now.astype(np.float32)  # states without before level, 32 bit: as a burst file
    burst_like.to_netcdf(run.rundir / "states.nc")
    ocean(QUIET, {"namrhs": {"ln_rhs": True, "cn_rhs_out": "rhs_now.nc"}})
    near = run.open("rhs_now.nc", decode_times=False)
    np.testing.assert_allclose(near["utrd_zb20"], one["utrd_zb20"], atol=1e-4 * np.abs(one["utrd_zb20"]).max())


def test_rhs_input_missing(ocean):
    run = ocean({"namrhs": {"ln_rhs": True}}, ok=False, ranks=2, timeout=20)
    assert "states.nc" in (run.rundir / "halocline.abort").read_text()
