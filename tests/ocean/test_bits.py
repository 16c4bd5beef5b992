"""Same bits for any number of ranks, across restarts, with run-time checks, with and without output."""

import shutil

import numpy as np
import pytest
import xarray as xr

from .conftest import nudged, same_bits

END = 60
CYCLIC = {"namusr_def": {"ln_cyclic": True}, "namsbc": {"cn_wind": "channel"}, "namlbc": {"rn_shlat": 0.0}}


@pytest.mark.parametrize("cyclic", [False, True], ids=["closed", "cyclic"])
def test_any_number_of_ranks(ocean, cyclic):
    """Restart and run.stat of 1, 2, 3, 4 and 6 ranks, cut by the model or by hand, are the same bits."""
    basin = CYCLIC if cyclic else {}
    layouts = [(2, 0, 0), (2, 2, 1), (3, 3, 1), (4, 2, 2), (6, 0, 0), (6, 3, 2)]
    one = ocean(basin, name="one")
    assert np.abs(one.restart(END)["un"]).max() > 1e-3
    for ranks, jpni, jpnj in layouts:
        other = ocean(basin, {"nammpp": {"jpni": jpni, "jpnj": jpnj}}, ranks=ranks, name=f"r{ranks}{jpni}{jpnj}")
        same_bits(one.restart(END), other.restart(END))
        assert (one.rundir / "run.stat").read_bytes() == (other.rundir / "run.stat").read_bytes()
    with pytest.raises(AssertionError):
        same_bits(one.restart(END), nudged(other.restart(END), "vb"))


def test_blocks_of_rows(ocean):
    """Friction works in blocks of rows, as many as the cache holds: 12 of 40 on this wide grid, more on each of 4 or 3 ranks."""
    wide = {"namusr_def": {"nn_nx": 200, "nn_ny": 38}, "namrun": {"nn_itend": 20}}
    one = ocean(wide, name="one")
    for ranks, jpni in ((4, 4), (3, 1)):
        same_bits(one.restart(20), ocean(wide, {"nammpp": {"jpni": jpni}}, ranks=ranks, name=f"r{ranks}").restart(20))


@pytest.mark.parametrize("ranks", [1, 4])
def test_restart_continues(ocean, ranks):
    """60 steps are 25 steps and 35 more, the second part on another number of ranks."""
    whole = ocean({"namrun": {"nn_stock": 25}}, name="whole")
    part = ocean({"namrun": {"nn_itend": 25}}, name="part", ranks=ranks)
    same_bits(whole.restart(25), part.restart(25))
    shutil.copy(part.rundir / "TEST_00000025_restart.nc", part.rundir / "restart.nc")
    go_on = {"namrun": {"ln_rstart": True, "nn_it000": 26, "cn_ocerst_in": "restart.nc"}}
    rest = ocean(go_on, name="part", ranks=5 - ranks)
    same_bits(whole.restart(END), rest.restart(END))
    assert np.array_equal(whole.stat[whole.stat[:, 0] > 25], rest.stat)


def test_one_bit_in_the_restart_is_caught(ocean):
    """The broken twin of the test above: a restart that is one unit in the last place off ends elsewhere."""
    whole = ocean({}, {"namrun": {"nn_stock": 25}}, name="whole")
    with xr.open_dataset(whole.rundir / "TEST_00000025_restart.nc") as ds:
        nudged(ds.load(), "un").to_netcdf(whole.rundir / "restart.nc")
    rest = ocean({"namrun": {"ln_rstart": True, "nn_it000": 26}}, name="whole")
    rest_end = rest.restart(END)
    again = ocean({}, name="again")
    with pytest.raises(AssertionError):
        same_bits(again.restart(END), rest_end)


@pytest.mark.parametrize("cyclic", [False, True], ids=["closed", "cyclic"])
def test_checked_build_gives_the_same_bits(ocean, cyclic):
    """-O0 -fcheck=all -ffpe-trap=... and the optimised build: same bits, and nothing is trapped."""
    basin = CYCLIC if cyclic else {}
    fast = ocean(basin, name="fast")
    checked = ocean(basin, variant="check", ranks=2, name="checked")
    same_bits(fast.restart(END), checked.restart(END))


def test_output_and_trends_change_nothing(ocean):
    """The run with all output and all trends has the bits of the run without."""
    quiet = ocean({}, name="quiet")
    loud = ocean(
        {
            "namrun": {"nn_write": 10},
            "namdia": {"nn_burst": 20, "nn_burst_d": 2},
            "namtrd": {"ln_trd": True, "nn_trd": 1},
        },
        name="loud",
        ranks=2,
    )
    same_bits(quiet.restart(END), loud.restart(END))


def test_single_precision_is_close(ocean):
    """32 bits give the same flow to a few digits, and not the same bits."""
    double = ocean({}, name="double").restart(END)
    single = ocean({}, name="single", variant="single").restart(END)
    assert np.abs(single["un"] - double["un"]).max() < 1e-3 * np.abs(double["un"]).max()
    with pytest.raises(AssertionError):
        same_bits(single, double)


def test_closures_are_part_of_what_is_compared(ocean):
    """Each term that a stencil of two cells needs is on in these runs: switching it off is seen."""
    full = ocean({}, name="full").restart(END)
    for name, off in {
        "zb20": {"namzb20": {"ln_zb20": False}},
        "leith": {"namdyn_ldf": {"rn_cl4": 0.0}},
        "smagorinsky": {"namdyn_ldf": {"rn_cs4": 0.0}},
        "wall": {"namlbc": {"rn_shlat": 0.0}},
    }.items():
        with pytest.raises(AssertionError):
            same_bits(full, ocean(off, name=name).restart(END))
