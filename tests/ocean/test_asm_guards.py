"""Increments that cannot be, files that do not fit, switches that contradict: one message that says what to do."""

import numpy as np
import pytest
import xarray as xr

from .conftest import same_bits
from .test_asm_inc import ALL, END, FLAT, INSERT, assimilated, noise, write  # noqa: F401
from .test_namelist import message

WIND = {"namrun": {"nn_itend": 40}}


def spoiled(name, value, place=(3, 4)):
    """The increments with one value replaced, in layer 2 where there are layers."""
    fields = noise()
    fields[name][(1, *place) if fields[name].ndim == 3 else place] = value
    return fields


@pytest.mark.parametrize("how", [INSERT, FLAT], ids=["insert", "flat"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bckinu", 10.5, ["bckinu", "(i,j,k) = (5,4,2)", "10.500 m s-1", "analysis minus background"]),
        ("bckinv", -11.0, ["bckinv", "-11.000 m s-1"]),
        ("bckint", 31.0, ["bckint", "(i,j,k) = (5,4,1)", "31.000 degC", "30.000 degC"]),
        ("bckint", np.nan, ["bckint", "not a number"]),
        ("bckinthk", -745.0, ["(i,j,k) = (5,4,2)", "outcrop", "rn_hmin", "10.000 m", "-745.00 m"]),
    ],
)
@pytest.mark.parametrize("variant", ["double", pytest.param("check", marks=pytest.mark.slow)])
def test_absurd_increments(assimilated, how, name, value, words, variant):  # noqa: F811
    """Field, cell, value, file and what to do; nothing of it is applied."""
    got = message(assimilated(how, fields=spoiled(name, value), ok=False, ranks=2, variant=variant, timeout=20))
    for word in [*words, "assim_background_increments.nc"]:
        assert word in got, got


def test_just_below_the_limits_is_taken(assimilated):  # noqa: F811
    """The broken twin of the guards: they do not stop what is large and possible."""
    for name, value in (("bckint", 29.0), ("bckinu", 0.5), ("bckinthk", -100.0)):
        assimilated(FLAT, WIND, fields=spoiled(name, value), name=name)


def test_fill_values_and_land_count_as_nothing(assimilated):  # noqa: F811
    """1e20 and -2e10 in the ocean, anything on land: the bits of a file with zeros there; 1 m in place of them has others."""
    filled, zero, other = noise(), noise(), noise()
    for key in ("bckinu", "bckinv", "bckinthk", "bckint"):
        filled[key][..., 4, 4], filled[key][..., 5, 5], filled[key][..., 0, :] = 1e20, -2e10, np.nan
        zero[key][..., 4, 4] = zero[key][..., 5, 5] = zero[key][..., 0, :] = 0.0
        other[key][..., 4, 4] = 1e-3
    one = assimilated(INSERT, fields=zero, name="zero").restart(END)
    same_bits(one, assimilated(INSERT, fields=filled, name="filled").restart(END))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(one, assimilated(INSERT, fields=other, name="other").restart(END))


@pytest.mark.parametrize(
    ("how", "begin", "end", "words"),
    [
        (INSERT, 0, 29, ["another window", "10101.192000", "10101.200000", "must be the end of the window"]),
        (INSERT, 31, 30, ["another window"]),
        (FLAT, 5, 30, ["another window", "must lie in the window"]),
        (FLAT, 0, 3, ["another window"]),
    ],
)
def test_a_file_of_another_window(assimilated, how, begin, end, words):  # noqa: F811
    got = message(assimilated(how, begin=begin, end=end, ok=False, ranks=2, timeout=20))
    for word in [*words, "z_inc_datef", "assim_background_increments.nc"]:
        assert word in got, got


def test_missing_file_variable_or_date_and_a_wrong_size(assimilated, ocean, tmp_path):  # noqa: F811
    got = message(ocean(INSERT, name="none", ok=False, timeout=20))
    assert "assim_background_increments.nc" in got and "does not exist" in got
    fields = noise()
    del fields["bckinthk"]
    got = message(assimilated(INSERT, fields=fields, name="less", ok=False, ranks=2, timeout=20))
    assert "'bckinthk'" in got and "ln_thkinc" in got and ".false." in got
    assimilated(INSERT, {"nam_asminc": {"ln_thkinc": False}}, WIND, fields=fields, name="less")
    fields = {key: np.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, 1)]) for key, v in noise().items()}
    got = message(assimilated(INSERT, fields=fields, name="size", ok=False, ranks=2, timeout=20))
    assert "'bckinu'" in got and "wrong size" in got and "20 15 2" in got
    write(tmp_path / "date", noise(), 0, 30)
    path = tmp_path / "date" / "assim_background_increments.nc"
    with xr.open_dataset(path) as dataset:
        undated = dataset.load().drop_vars("z_inc_datef")
    undated.to_netcdf(path)
    assert "z_inc_datef" in message(ocean(INSERT, name="date", ok=False, timeout=20))


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        (ALL | {"ln_asmdin": True, "ln_asmiau": True}, ["ln_asmdin and ln_asmiau", "twice"]),
        ({"ln_asmdin": True}, ["no field", "ln_trainc"]),
        ({"ln_trainc": True}, ["nothing says how", "ln_asmdin"]),
        ({"ln_asmdin": True, "ln_thkinc": True, "ln_sshinc": True}, ["thickness of layer 1"]),
        (ALL | {"ln_asmdin": True, "nitdin": 60}, ["nitdin", "this run has 60"]),
        (ALL | {"ln_asmiau": True, "nitiaustr": 9, "nitiaufin": 8}, ["nitiaufin", "less than"]),
        (ALL | {"ln_asmiau": True, "nitiaustr": 61, "nitiaufin": 70}, ["no steps of this run"]),
        (ALL | {"ln_asmiau": True, "nitiaustr": 0}, ["before the experiment"]),
        (ALL | {"ln_asmiau": True, "niaufn": 2}, ["niaufn", "hat"]),
        ({"ln_bkgwri": True, "nitbkg": 61}, ["nitbkg"]),
        ({"nn_asmwin": 5}, ["nn_asmwin", "nothing is to be done"]),
        ({"ln_bkgwri": True, "nn_asmwin": -1}, ["nn_asmwin", "negative"]),
        ({"ln_asmdim": True}, ["ln_asmdim", "nam_asminc", "namelist_cfg line"]),
    ],
)
def test_switches_that_contradict(ocean, switches, words):
    got = message(ocean({"nam_asminc": switches}, ok=False, ranks=2, timeout=20))
    for word in words:
        assert word in got, got
