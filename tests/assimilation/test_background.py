"""Files of a window: what is written is read again, what is no such file is refused."""

import cftime
import netCDF4
import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.data import background
from tests.assimilation import small


def test_increments_have_nemo_s_names_shapes_and_dates(tmp_path):
    path = background.increments_file(tmp_path, 135)
    fields = small.state(3)
    background.write_increments(path, fields, 130106.0, 130111.0)
    assert path.name == "assim_background_increments_00000135.nc" and not list(tmp_path.glob("*.part"))
    with netCDF4.Dataset(path) as file:
        assert file["bckinu"].dimensions == ("time_counter", "deptht", "y", "x")
        assert file["bckint"].dimensions == ("time_counter", "y", "x")
        assert [file[name].units for name in ("bckinu", "bckinthk", "bckint")] == ["m s-1", "m", "degC"]
        for name, called in (("u", "bckinu"), ("v", "bckinv"), ("h", "bckinthk")):
            np.testing.assert_array_equal(file[called][0], fields[name])
        np.testing.assert_array_equal(file["bckint"][0], fields["t"][0])
        assert float(file["z_inc_dateb"][...]) == 130106.0 and float(file["time"][...]) == 130111.0


def test_only_what_is_changed_is_written(tmp_path):
    path = tmp_path / "increments.nc"
    background.write_increments(path, {"t": small.state(1)["t"]}, 1.0, 2.0)
    with netCDF4.Dataset(path) as file:
        assert "bckint" in file.variables and "bckinu" not in file.variables


def test_dates_are_numbers():
    date = cftime.datetime(13, 2, 30, 7, 8, 9, calendar="360_day")
    assert background.date_number(date) == pytest.approx(130230.070809, abs=1e-9)


def test_what_is_no_background_is_refused(tmp_path):
    path = tmp_path / "background.nc"
    path.write_bytes(b"CDF")
    with pytest.raises(HaloclineError, match="cannot be read as a background"):
        background.read_background(path)
    with netCDF4.Dataset(path, "w") as file:
        file.createVariable("rdastp", "f8", ())
    with pytest.raises(HaloclineError, match="has no un, vn, e3t_n, tn"):
        background.read_background(path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HaloclineError, match="cannot write"):
        background.write_increments(tmp_path / "none" / "increments.nc", small.state(0), 1.0, 2.0)
