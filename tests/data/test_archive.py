"""A centre's archive comes in unchanged and dated, or is refused with the file's name: nothing is filled in or guessed."""

import io
import shutil
from datetime import timedelta

import netCDF4
import numpy as np
import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from coupler.programs import REPOSITORY
from models.data.archive import collect
from models.data.background import write_increments
from models.data.climatology import dates
from models.data.increment import open_increments
from models.settings import NamArchive, NamSplit, NamTrain, load
from tests.data.nemo_archive import Archive, stamp

DAY = 86400.0
ALL = {"cn_fields": ["u", "v", "t", "s", "ssh"]}


def group(folder, **switches):
    return NamArchive(
        **{
            "cn_increments": [f"{folder}/*/assim_background_increments*.nc"],
            "cn_background": [f"{folder}/*/assim_background_state_DI*.nc"],
            "cn_mesh": str(folder / "mesh_mask.nc"),
            "cn_fields": ["u", "t"],
        }
        | switches
    )


def read(folder, **switches):
    """The data set, and what was printed."""
    console = Console(file=io.StringIO(), width=400)
    path = collect(group(folder, **switches), folder / "out.zarr", console)
    return open_increments(path), console.file.getvalue()


@pytest.fixture
def archive():
    return Archive(windows=5)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_every_window_comes_in_with_its_date(tmp_path, calendar):
    """Values, dates and window are those that were written, over 29 February too; read in another calendar they are refused."""
    made = Archive(calendar=calendar, start=(2004, 2, 2), windows=4)
    folder = made.write(tmp_path / "a", fill=1e20)
    data, _ = read(folder, **ALL)
    assert (data.window, data.method, data.calendar) == (10 * DAY, "archive", calendar)
    assert [str(one) for one in dates(data.times, data.time_attrs)] == [str(one) for one in made.dates]
    for name in ("u", "v", "t", "s", "ssh"):
        np.testing.assert_allclose(data.background(name).values, made.background[name], atol=1e-6)
        np.testing.assert_allclose(data.increment(name).values.values, made.increments[name], atol=1e-6)
    np.testing.assert_array_equal(data.increment("sst").values.values, data.increment("t").values.values[:, 0])
    wrong = "360_day" if calendar != "360_day" else "noleap"
    with pytest.raises(HaloclineError, match="different lengths|no date yyyymmdd|overlap"):
        read(folder, **ALL, cn_calendar=wrong)


def test_missing_windows_are_reported_and_left_out(tmp_path):
    """Two windows without files, one without its background: the others come in, none is made up."""
    archive = Archive(windows=9)
    folder = archive.write(tmp_path / "a", leave=(3, 4))
    (folder / archive.dates[7].strftime("%Y%m%d") / "assim_background_state_DI.nc").unlink()
    data, printed = read(folder)
    left = [n for n in range(9) if n not in (3, 4, 7)]
    assert np.allclose(np.diff(data.times) / DAY, np.diff(np.array(left)) * 10)
    np.testing.assert_allclose(data.increment("t").values.values, archive.increments["t"][left], atol=1e-6)
    assert "2 window(s) missing" in printed and "1 window(s) missing" in printed and "no background for" in printed
    assert "missing" not in read(Archive(windows=3).write(tmp_path / "whole"))[1]


def test_windows_that_overlap_are_refused_with_both_names(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    read(folder)
    with netCDF4.Dataset(folder / "20000201" / "assim_background_increments.nc", "a") as file:
        file["z_inc_dateb"][...] = stamp(archive.dates[2] - timedelta(days=12))
    with pytest.raises(HaloclineError, match=r"windows overlap: .*20000121.*20000201"):
        read(folder)
    again = Archive(windows=3).write(tmp_path / "twice")
    shutil.copytree(again / "20000121", again / "copy")
    with pytest.raises(HaloclineError, match="overlap"):
        read(again)


def test_fill_values_become_zero_and_land_too(tmp_path, archive):
    """1e20 on land and at a wet point of an increment is 0, counted; a wet background of 1e20 is an error with its place."""
    folder = archive.write(tmp_path / "a", fill=1e20)
    place = folder / "20000121"
    with netCDF4.Dataset(place / "assim_background_increments.nc", "a") as file:
        file["bckint"][0, 0, 1, 2] = 1e20
    data, printed = read(folder)
    values = data.increment("t").values.values
    assert values[1, 0, 1, 2] == 0 and np.abs(values).max() < 100 and "1 wet increments were beyond" in printed
    with netCDF4.Dataset(place / "assim_background_state_DI.nc", "a") as file:
        file["tn"][0, 0, 1, 2] = 1e20
    with pytest.raises(HaloclineError, match=r"'t' of .*20000121.*i=3, j=2, level 1"):
        read(folder)


def test_a_wet_nan_is_refused_with_its_place(tmp_path, archive):
    folder = archive.write(tmp_path / "a", fill=np.nan)
    read(folder)  # on land it does not matter
    with netCDF4.Dataset(folder / "20000121" / "assim_background_increments.nc", "a") as file:
        file["bckinu"][0, 1, 2, 3] = np.nan
    with pytest.raises(HaloclineError, match=r"increment of 'u' of .*20000121.*1 wet point.*i=4, j=3, level 2"):
        read(folder)
    assert not (folder / "out.zarr.part").exists()


def test_analyses_are_refused(tmp_path):
    """States after the increment are told from those before it; ln_analysis_ok takes them; too few windows say so."""
    made = Archive(windows=20, names=("u", "t"))
    data, printed = read(made.write(tmp_path / "good"))
    assert "states are backgrounds" in printed and "backgrounds" in data.info["background check"]
    folder = made.write(tmp_path / "bad", analysis=True)
    with pytest.raises(HaloclineError, match="look like analyses"):
        read(folder)
    assert not (folder / "out.zarr").exists()
    assert "ANALYSES" in read(folder, ln_analysis_ok=True)[1]
    assert "cannot be told" in read(Archive(windows=4).write(tmp_path / "few"))[1]


def cyclic(folder, archive, mesh=True):
    """The archive with its last column before the first and its first after the last; without `mesh` positions do not show it."""
    for path in [folder / "mesh_mask.nc", *folder.glob("*/*.nc")]:
        with netCDF4.Dataset(path) as old:
            kept = {name: (one.dimensions, np.ma.filled(one[...])) for name, one in old.variables.items()}
            sizes, calendar = {name: len(one) for name, one in old.dimensions.items()}, getattr(old, "calendar", "")
        with netCDF4.Dataset(path, "w") as new:
            new.calendar = calendar
            for name, size in sizes.items():
                new.createDimension(name, size + 2 * (name == "x"))
            for name, (dims, values) in kept.items():
                if dims and dims[-1] == "x":
                    wide = np.concatenate([values[..., -1:], values, values[..., :1]], -1)
                    if not mesh and name.startswith("glam"):
                        wide = np.broadcast_to(np.arange(wide.shape[-1], dtype=float), wide.shape)
                    values = wide
                new.createVariable(name, values.dtype, dims)[...] = values


def wet_edges(archive):
    """Opens the eastern and western coast, so that the ends of the grid meet in water."""
    for name, mask in archive.run.mesh.items():
        if name.endswith("mask"):
            mask[:, 1:-1, [0, -1]] = 1
    archive.run.mesh["bottom_level"][1:-1, [0, -1]] = 4
    for seed, fields in enumerate((archive.background, archive.increments)):
        for name, values in fields.items():
            values[:] = np.random.default_rng(seed).standard_normal(values.shape) * archive.mask(name)


def test_duplicated_columns_are_dropped(tmp_path, archive):
    """By the positions of the mesh, by nn_cyclic; a cyclic grid that nothing tells of is refused."""
    wet_edges(archive)
    folder = archive.write(tmp_path / "a")
    cyclic(folder, archive)
    data, printed = read(folder)
    np.testing.assert_allclose(data.background("t").values, archive.background["t"], atol=1e-6)
    assert "2 duplicated columns dropped" in printed
    with pytest.raises(HaloclineError, match="nn_cyclic is 0"):
        read(folder, nn_cyclic=0)
    hidden = archive.write(tmp_path / "b")
    cyclic(hidden, archive, mesh=False)
    with pytest.raises(HaloclineError, match="stand twice"):
        read(hidden)
    np.testing.assert_allclose(read(hidden, nn_cyclic=2)[0].background("t").values, archive.background["t"], atol=1e-6)
    assert read(hidden, nn_cyclic=0)[0].data.sizes["x"] == 18


def split_ranks(path, columns=9):
    """The file as two ranks write it, in columns, with DOMAIN attributes and a halo of one column between them."""
    with netCDF4.Dataset(path) as old:
        nx, ny = len(old.dimensions["x"]), len(old.dimensions["y"])
        for rank, (first, last) in enumerate(((1, columns + 1), (columns, nx))):
            with netCDF4.Dataset(path.with_name(f"{path.stem}_{rank:04d}.nc"), "w") as new:
                new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
                new.setncatts(
                    {
                        "DOMAIN_number_total": 2,
                        "DOMAIN_number": rank,
                        "DOMAIN_size_global": [nx, ny],
                        "DOMAIN_size_local": [last - first + 1, ny],
                        "DOMAIN_position_first": [first, 1],
                        "DOMAIN_position_last": [last, ny],
                        "DOMAIN_halo_size_start": [rank, 0],
                        "DOMAIN_halo_size_end": [1 - rank, 0],
                    }
                )
                for name, size in old.dimensions.items():
                    new.createDimension(name, last - first + 1 if name == "x" else len(size))
                for name, one in old.variables.items():
                    values = one[...][..., first - 1 : last] if "x" in one.dimensions else one[...]
                    new.createVariable(name, one.dtype, one.dimensions)[...] = values
    path.unlink()


def test_files_of_ranks_are_joined(tmp_path, archive):
    """Cut into two ranks with halos, background, increments and mesh give the same data set; without one rank it is not."""
    whole, _ = read(archive.write(tmp_path / "whole"), **ALL)
    folder = archive.write(tmp_path / "cut")
    for path in [folder / "mesh_mask.nc", *folder.glob("*/*.nc")]:
        split_ranks(path)
    cut, _ = read(folder, **ALL)
    for name in ("u", "t", "ssh"):
        assert np.array_equal(cut.background(name), whole.background(name))
        assert np.array_equal(cut.increment(name).values, whole.increment(name).values)
    (folder / "20000121" / "assim_background_increments_0001.nc").unlink()
    with pytest.raises(HaloclineError, match=r"20000121.*is of 2 ranks, of 1 there is a file"):
        read(folder)


def test_spin_up_and_jumps_are_dropped_on_request(tmp_path):
    folder = Archive(windows=8).write(tmp_path / "a")
    data, printed = read(folder, nn_drop=2, cn_jumps=["2000-03-01"], rn_jump_days=20.0)
    days = [str(one)[:10] for one in dates(data.times, data.time_attrs)]
    assert days[0] == "2000-02-01" and not {"2000-03-01", "2000-03-11"} & set(days) and "2000-03-21" in days
    assert "2 window(s) dropped after 2000-03-01" in printed and len(read(folder)[0].times) == 8
    for wrong in ("2000-13-01", "March"):
        with pytest.raises(HaloclineError, match="cannot read"):
            read(folder, cn_jumps=[wrong])
    with pytest.raises(HaloclineError, match="no window is left"):
        read(folder, nn_drop=8)


def test_increments_on_another_grid_are_refused(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    path = folder / "20000121" / "assim_background_increments.nc"
    with netCDF4.Dataset(path) as old:
        stamps = dict.fromkeys(("time", "z_inc_datef"), archive.dates[1]) | {"z_inc_dateb": archive.dates[0]}
        fields = {
            name: np.array(old[name][0])[..., :-1] for name in ("bckinu", "bckinv", "bckint", "bckins", "bckineta")
        }
    archive.file(path, fields, stamps, 0.0)
    with pytest.raises(
        HaloclineError, match=r"inconsistent grids: 'bckinu' of .*20000121.* has 15 x 12 x 4 cells, .*16 x 12 x 4"
    ):
        read(folder)


def test_the_names_of_variables_can_be_told(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    for path in folder.glob("*/*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            for old, new in (("tn", "my_t"), ("bckint", "my_inc")):
                if old in file.variables:
                    file.renameVariable(old, new)
    with pytest.raises(HaloclineError, match=r"(?s)Looked for: tn, tb.*Add 't=VARIABLE'"):
        read(folder)
    data, _ = read(folder, cn_names=["t=my_t", "t_inc=my_inc"])
    np.testing.assert_allclose(data.increment("t").values.values, archive.increments["t"], atol=1e-6)
    with pytest.raises(HaloclineError, match="cannot use 'temp=x'"):
        read(folder, cn_names=["temp=x"])


def test_levels_from_the_surface(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    data, _ = read(folder, nn_levels=2, cn_fields=["t"])
    assert data.background("t").shape[1] == 2 and data.masks("t").shape[0] == 2 and data.fields == ("sst", "t")
    with pytest.raises(HaloclineError, match="the mesh has 4"):
        read(folder, nn_levels=5)


def test_a_layered_ocean_has_thickness_and_one_temperature(tmp_path):
    """bckinthk beside e3t_n; temperature without levels is sst."""
    made = Archive(names=("u", "v", "h", "t"))
    for fields in (made.background, made.increments):
        fields["t"] = fields["t"][:, 0]
    made.mask = lambda name: made.run.mesh[{"u": "umask", "v": "vmask"}.get(name, "tmask")][
        slice(None) if name != "t" else 0
    ]
    folder = made.write(tmp_path / "a")
    data, _ = read(folder, cn_fields=["u", "v", "h", "t"])
    assert data.fields == ("u", "v", "h", "sst") and data.increment("h").units == "m"
    with pytest.raises(HaloclineError, match="holds no background of 's'"):
        read(folder, cn_fields=["s"])


def test_what_the_cycling_ocean_keeps_is_read(tmp_path):
    """Increments as the twin experiment writes them, tied to backgrounds by date; they name no calendar: it has to be told."""
    made = Archive(names=("u", "v", "h"), windows=3)
    folder = made.write(tmp_path / "a")
    for n, date in enumerate(made.dates):
        place = folder / date.strftime("%Y%m%d")
        (place / "assim_background_increments.nc").unlink()
        fields = {name: made.increments[name][n] for name in made.names}
        path = place / f"assim_background_increments_{n + 1:08d}.nc"
        write_increments(path, fields, stamp(date - timedelta(days=10)), stamp(date))
    data, _ = read(folder, cn_fields=["u", "v", "h"])
    for name in made.names:
        assert np.array_equal(data.increment(name).values, made.increments[name].astype(np.float32))
    for path in folder.glob("*/*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            if "calendar" in file.ncattrs():
                file.delncattr("calendar")
    # January has 31 days in the calendar that is assumed
    with pytest.raises(HaloclineError, match="different lengths"):
        read(folder, cn_fields=["u"])
    assert len(read(folder, cn_fields=["u"], cn_calendar="360_day")[0].times) == 3


def test_the_example_is_read(tmp_path):
    """namelists/nemo_archive has the groups of all steps; with a misspelt key it is refused."""
    text = (REPOSITORY / "namelists" / "nemo_archive" / "namelist_cfg").read_text(encoding="utf-8")
    (tmp_path / "namelist_cfg").write_text(text, encoding="utf-8")
    assert [len(load(tmp_path, model)) for model in (NamArchive, NamSplit, NamTrain)] == [1, 1, 1]
    (tmp_path / "namelist_cfg").write_text(text.replace("rn_jump_days", "rn_jump_day"), encoding="utf-8")
    with pytest.raises(HaloclineError, match="unknown key 'rn_jump_day'"):
        load(tmp_path, NamArchive)


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        ({"cn_increments": ["none/*.nc"]}, "no NetCDF file matches"),
        ({"cn_fields": ["ice"]}, "cn_fields names ice"),
        ({"cn_mesh": "none.nc"}, "there is no"),
        ({"rn_window": 20 * DAY}, "windows overlap"),
        ({"cn_background": ["{}/*/assim_background_increments.nc"]}, "does not say when it is"),
        ({"cn_increments": ["{}/*/assim_background_state_DI.nc"]}, "it is no file of increments"),
    ],
)
def test_mistakes_end_in_words(tmp_path, archive, switches, told):
    folder = archive.write(tmp_path / "a")
    filled = {
        key: [one.format(folder) for one in value] if isinstance(value, list) else value
        for key, value in switches.items()
    }
    with pytest.raises(HaloclineError, match=told):
        read(folder, **filled)


def test_backgrounds_of_other_dates_are_refused(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    for path in folder.glob("*/assim_background_state_DI.nc"):
        with netCDF4.Dataset(path, "a") as file:
            file["rdastp"][...] = float(file["rdastp"][...]) + 50000
    with pytest.raises(HaloclineError, match="no background has the date of an increment"):
        read(folder)


def test_backgrounds_may_stand_at_the_begin_of_the_window(tmp_path, archive):
    folder = archive.write(tmp_path / "a")
    for n, path in enumerate(sorted(folder.glob("*/assim_background_state_DI.nc"))):
        with netCDF4.Dataset(path, "a") as file:
            file["rdastp"][...] = stamp(archive.dates[n] - timedelta(days=10))
    data, printed = read(folder)
    assert "z_inc_dateb" in printed and str(dates(data.times[:1], data.time_attrs)[0]) == "2000-01-01 00:00:00"
