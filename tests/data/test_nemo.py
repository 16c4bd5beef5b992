"""NEMO files in every dialect give the same fields; what is wrong with them is said with its place."""

import numpy as np
import pytest
import xarray as xr

from coupler.errors import HaloclineError
from tests.data.nemo_run import CMIP, IOIPSL, XIOS, Run, assert_same_fields, opened


@pytest.mark.parametrize("names", [IOIPSL, XIOS, CMIP], ids=["ioipsl", "xios", "cmip"])
@pytest.mark.parametrize("fill", [0.0, 1e20, np.nan], ids=["zero", "1e20", "nan"])
def test_dialects_give_the_same_fields(names, fill, tmp_path):
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, names, fill=fill)
    assert_same_fields(opened(tmp_path), run)


def test_fields_of_another_run_are_caught(run, tmp_path):
    with pytest.raises(AssertionError):
        assert_same_fields(opened(tmp_path), Run(seed=1))


def test_a_name_in_no_table_is_given(tmp_path):
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, IOIPSL | {"u": "my_u"})
    with pytest.raises(HaloclineError) as error:
        opened(tmp_path)
    assert "holds 'u'" in str(error.value) and "vozocrtx" in str(error.value)  # what it looked for
    assert "my_u" in str(error.value) and "votemper" in str(error.value)  # what it found
    assert_same_fields(opened(tmp_path, chosen={"u": "my_u"}), run)


@pytest.mark.parametrize(
    ("calendar", "spelled"), [("360_day", "360d"), ("noleap", "365d"), ("noleap", "noleap"), ("standard", "gregorian")]
)
def test_calendars(calendar, spelled, tmp_path):
    """Ten days are 864000 s in each, and the axis decodes to the dates that were written."""
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, calendar=calendar, spelled=spelled)
    found = opened(tmp_path)
    assert np.array_equal(found.time, (5 + 10 * np.arange(6)) * 86400.0)
    days = 30 if calendar == "360_day" else 29 if calendar == "standard" else 28  # of February 2000
    decoded = xr.decode_cf(found[["time"]], decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)).time.values
    assert (decoded[-1].month, decoded[-1].day) == ((2, 26) if days == 30 else (2, 25))


def test_files_follow_each_other_in_time(tmp_path):
    """Two files, named against their order, with different epochs."""
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, part=slice(0, 2), label="_z")
    run.write(tmp_path, part=slice(2, 6), label="_a", units="seconds since 1999-06-01 00:00:00")
    found = opened(tmp_path)
    assert_same_fields(found, run)
    assert np.allclose(np.diff(found.time), 864000.0)


def test_a_time_in_two_files_ends_in_words(tmp_path):
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, part=slice(0, 3), label="_a")
    run.write(tmp_path, part=slice(2, 6), label="_b")
    with pytest.raises(HaloclineError, match="overlap in time"):
        opened(tmp_path)


def test_a_missing_file_ends_in_words(tmp_path):
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, part=slice(0, 3), label="_a")
    run.write(tmp_path, part=slice(3, 6), label="_b")
    (tmp_path / "RUN_b_grid_V.nc").unlink()
    with pytest.raises(HaloclineError, match="'v' has 3 times .* 't' has 6"):
        opened(tmp_path)


def test_no_files_and_broken_files_end_in_words(run, tmp_path):
    with pytest.raises(HaloclineError, match=r"no file in .* matches \*gird\*.nc"):
        opened(tmp_path, ("*gird*.nc",))
    cut = (tmp_path / "RUN_grid_T.nc").read_bytes()[:2000]
    (tmp_path / "RUN_cut_grid_T.nc").write_bytes(cut)
    with pytest.raises(HaloclineError, match="cannot read .*RUN_cut_grid_T.nc"):
        opened(tmp_path)


def test_another_grid_ends_in_words(run, tmp_path):
    Run(nx=18).write(tmp_path)
    with pytest.raises(
        HaloclineError,
        match=r"inconsistent grids: 'v\w+' of .*grid_T.nc has 18 x 12 x 4 cells, the mesh has 16 x 12 x 4",
    ):
        opened(tmp_path)


def test_another_place_ends_in_words(run, tmp_path):
    """The same sizes elsewhere on Earth."""
    path = tmp_path / "RUN_grid_T.nc"
    dataset = xr.load_dataset(path, decode_times=False)
    lon, lat = run.mesh["glamt"].astype("f4"), run.mesh["gphit"].astype("f4")
    path.unlink()
    path = tmp_path / "RUN_near_grid_T.nc"
    dataset.assign(nav_lon=(("y", "x"), lon), nav_lat=(("y", "x"), lat)).to_netcdf(path)
    assert_same_fields(opened(tmp_path), run)
    path.unlink()
    path = tmp_path / "RUN_far_grid_T.nc"
    dataset.assign(nav_lon=(("y", "x"), lon + 30), nav_lat=(("y", "x"), lat)).to_netcdf(path)
    with pytest.raises(HaloclineError, match="inconsistent grids: .* at -29.000 E"):
        opened(tmp_path)
