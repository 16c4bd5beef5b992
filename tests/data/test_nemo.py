"""NEMO files in every dialect give the same fields; what is wrong with them is said with its place; nothing stays half-written."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

from coupler.errors import HaloclineError
from models.data import cgrid, ranks, store
from models.data.large import Blocks, Layout
from models.data.mesh import read_mesh
from models.data.nemo import open_nemo
from models.data.nemo_coarsen import FIXED, LIBRARIES, PLANES, coarsen_nemo
from tests.data.nemo_run import CMIP, IOIPSL, XIOS, Run

REPO = Path(__file__).resolve().parents[2]
GYRE = REPO.parent / "shared" / "data" / "nemo_gyre"
real = pytest.mark.skipif(not GYRE.is_dir(), reason=f"no NEMO output at {GYRE}")


def opened(folder: Path, patterns=("*grid*.nc",), chosen=None, **options) -> xr.Dataset:
    return open_nemo(folder, patterns, read_mesh(folder / "mesh_mask.nc"), chosen or {}, **options)


def namelist(folder: Path, **switches) -> Path:
    """A folder with a namelist_cfg that coarsens `folder`."""
    values = {"cn_source": "nemo", "cn_truth": str(folder), "nn_factor": 2, "cn_filter": "none", "ln_advective": False}
    lines = []
    for key, value in (values | switches).items():
        text = {True: ".true.", False: ".false."}.get(value) if isinstance(value, bool) else None
        lines.append(f"   {key} = {text or (repr(value) if isinstance(value, str) else value)}")
    cfg = folder / "cfg"
    cfg.mkdir(exist_ok=True)
    (cfg / "namelist_cfg").write_text("&namcoarsen\n" + "\n".join(lines) + "\n/\n")
    return cfg


@pytest.fixture
def run(tmp_path) -> Run:
    """A run written in the old dialect."""
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path)
    return run


def assert_same_fields(found: xr.Dataset, run: Run) -> None:
    for name, values in run.fields.items():
        assert np.array_equal(found[name].values, values), name


# --- names, times, fill values -------------------------------------------------------------------------------------------------
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


# --- mesh ----------------------------------------------------------------------------------------------------------------------
def test_thickness_is_rebuilt_from_full_steps(run, tmp_path):
    """e3t from e3t_1d, e3u and e3v the smaller neighbour; the notes say so."""
    mesh = read_mesh(tmp_path / "mesh_mask.nc")
    wet = run.mesh["tmask"] != 0
    assert np.array_equal(mesh.e3t.values[wet], np.broadcast_to(run.mesh["e3t_1d"][:, None, None], wet.shape)[wet])
    assert any("full steps" in note for note in mesh.attrs["notes"])


def test_partial_bottom_cells_are_used(run, tmp_path):
    """Old meshes carry the bottom cell's thickness; without it the bottom cell would be a full step."""
    level = run.mesh["bottom_level"]
    run.mesh |= {"mbathy": level, "e3t_ps": np.where(level > 0, 3.0, 0.0)}
    mesh = read_mesh(run.write_mesh(tmp_path, leave=("bottom_level",)))
    j, i = 2, 2
    assert mesh.e3t.values[:, j, i].tolist() == [10.0, 20.0, 40.0, 3.0]
    assert mesh.e3t.values[:, 4, 5].tolist() == [10.0, 3.0, 40.0, 80.0]  # on the shelf, land below
    assert mesh.e3u.values[:2, 4, 3].tolist() == [10.0, 3.0]  # the smaller of 20 and 3


def test_given_thickness_is_not_rebuilt(run, tmp_path):
    run.mesh["e3t_0"] = 5.0 + np.random.default_rng(0).random(run.mesh["tmask"].shape)
    mesh = read_mesh(run.write_mesh(tmp_path))
    assert np.array_equal(mesh.e3t.values, run.mesh["e3t_0"])
    assert not any("full steps" in note for note in mesh.attrs["notes"])


def test_masks_are_made_from_the_bottom_level(run, tmp_path):
    """domain_cfg has no masks."""
    mesh = read_mesh(run.write_mesh(tmp_path, leave=("tmask", "umask", "vmask", "fmask"), name="domain_cfg.nc"))
    for name in ("tmask", "umask", "vmask", "fmask"):
        assert np.array_equal(mesh[name].values, run.mesh[name]), name


def split_ranks(dataset: xr.Dataset, folder: Path, stem: str, cuts=(6, 9), halo: int = 1, skip: int = -1) -> None:
    """Four files, one per rank, with halos and DOMAIN attributes as NEMO writes them; `skip`: one of land, which does not run."""
    ny, nx = dataset.sizes["y"], dataset.sizes["x"]
    rank = 0
    for j0, j1 in ((0, cuts[0]), (cuts[0], ny)):
        for i0, i1 in ((0, cuts[1]), (cuts[1], nx)):
            low, high = (halo if i0 else 0, halo if j0 else 0), (halo if i1 < nx else 0, halo if j1 < ny else 0)
            part = dataset.isel(y=slice(j0 - low[1], j1 + high[1]), x=slice(i0 - low[0], i1 + high[0]))
            part.attrs = {
                "DOMAIN_number_total": 4 - (skip >= 0),  # NEMO's jpnij
                "DOMAIN_number": rank,
                "DOMAIN_size_global": [nx, ny],
                "DOMAIN_size_local": [part.sizes["x"], part.sizes["y"]],
                "DOMAIN_position_first": [i0 - low[0] + 1, j0 - low[1] + 1],
                "DOMAIN_position_last": [i1 + high[0], j1 + high[1]],
                "DOMAIN_halo_size_start": list(low),
                "DOMAIN_halo_size_end": list(high),
            }
            if rank != skip:
                part.to_netcdf(folder / f"{stem}_{rank:04d}.nc")
            rank += 1


@pytest.mark.parametrize("halo", [0, 1, 2])
def test_files_of_ranks_are_joined(halo, run, tmp_path):
    """Mesh and output, one file per rank, are those of one file, without their halos."""
    whole = read_mesh(tmp_path / "mesh_mask.nc")
    for file in sorted(tmp_path.glob("*.nc")):
        dataset = xr.load_dataset(file, decode_times=False)
        file.unlink()
        split_ranks(dataset, tmp_path, file.stem, halo=halo)
    joined = read_mesh(tmp_path / "mesh_mask.nc")
    for name in whole.data_vars:
        assert np.array_equal(joined[name].values, whole[name].values), name
    assert_same_fields(open_nemo(tmp_path, ["*grid*"], joined, {}), run)


def test_a_rank_of_land_may_be_absent(run, tmp_path):
    run.mesh["tmask"][:, 6:, 9:] = 0
    dataset = run.mesh_dataset()
    (tmp_path / "mesh_mask.nc").unlink()
    split_ranks(dataset, tmp_path, "mesh_mask", skip=3)
    assert np.array_equal(read_mesh(tmp_path / "mesh_mask.nc").tmask.values, run.mesh["tmask"])


def test_the_file_of_a_rank_is_missed(run, tmp_path):
    """Of the mesh and of the output; a file too many is another run's."""
    for file in sorted(tmp_path.glob("*.nc")):
        dataset = xr.load_dataset(file, decode_times=False)
        file.unlink()
        split_ranks(dataset, tmp_path, file.stem)
    mesh = read_mesh(tmp_path / "mesh_mask.nc")
    lost = tmp_path / "RUN_grid_U_0002.nc"
    kept = lost.read_bytes()
    lost.unlink()
    with pytest.raises(
        HaloclineError, match=r"RUN_grid_U.nc is of 4 ranks, of 3 there is a file; there is none of rank 0002"
    ):
        open_nemo(tmp_path, ["*grid*"], mesh, {})
    lost.write_bytes(kept)
    assert_same_fields(open_nemo(tmp_path, ["*grid*"], mesh, {}), run)
    shutil.copy(lost, tmp_path / "RUN_grid_U_0004.nc")
    with pytest.raises(HaloclineError, match="is of 4 ranks, of 5 there is a file"):
        open_nemo(tmp_path, ["*grid*"], mesh, {})
    (tmp_path / "mesh_mask_0000.nc").unlink()
    with pytest.raises(HaloclineError, match=r"mesh_mask.nc is of 4 ranks, of 3"):
        read_mesh(tmp_path / "mesh_mask.nc")


def test_unchecked_ranks_would_be_land(run, tmp_path, monkeypatch):
    """The broken twin of the test before: zeros where a rank's water was, and no word."""
    monkeypatch.setattr(ranks, "_complete", lambda parts, paths: None)
    path = tmp_path / "RUN_grid_U.nc"
    dataset = xr.load_dataset(path, decode_times=False)
    path.unlink()
    split_ranks(dataset, tmp_path, path.stem)
    (tmp_path / "RUN_grid_U_0002.nc").unlink()
    found = open_nemo(tmp_path, ["*grid*"], read_mesh(tmp_path / "mesh_mask.nc"), {})
    assert (found.u.values[..., 6:, :9] == 0).all() and run.fields["u"][..., 6:, :9].any()


def test_ranks_that_cannot_be_placed_end_in_words(run, tmp_path):
    shutil.copy(tmp_path / "mesh_mask.nc", tmp_path / "mesh_mask_0001.nc")
    (tmp_path / "mesh_mask.nc").rename(tmp_path / "mesh_mask_0000.nc")
    with pytest.raises(HaloclineError, match="one rank's part, but has no attribute 'DOMAIN_position_first'"):
        read_mesh(tmp_path / "mesh_mask.nc")


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        (("glamt",), "holds none of glamt"),
        (("e3t_1d",), "holds none of e3t_0, e3t, e3t_1d"),
        (("e1t",), "holds none of e1t"),
    ],
)
def test_an_incomplete_mesh_ends_in_words(leave, message, run, tmp_path):
    with pytest.raises(HaloclineError, match=message):
        read_mesh(run.write_mesh(tmp_path, leave=leave))


def test_all_land_ends_in_words(run, tmp_path):
    run.mesh["tmask"][:] = 0
    with pytest.raises(HaloclineError, match="all land"):
        read_mesh(run.write_mesh(tmp_path))


def cyclic_run(folder: Path) -> Run:
    """A channel as NEMO before 4.2 writes it: first column = last but one, last column = second."""
    run = Run()
    for values in (*run.mesh.values(), *run.fields.values()):
        if values.ndim > 1:
            values[..., 0], values[..., -1] = values[..., -2], values[..., 1]
    run.write_mesh(folder)
    run.write(folder)
    return run


def test_duplicated_columns_are_dropped(tmp_path):
    run = cyclic_run(tmp_path)
    mesh = read_mesh(tmp_path / "mesh_mask.nc")
    assert (mesh.sizes["x"], mesh.attrs["cyclic"], mesh.attrs["dropped"]) == (14, 1, 1)
    found = opened(tmp_path)
    assert np.array_equal(found.u.values, (run.fields["u"] * run.mesh["umask"])[..., 1:-1])


def test_a_closed_basin_keeps_its_columns(run, tmp_path):
    mesh = read_mesh(tmp_path / "mesh_mask.nc")
    assert (mesh.sizes["x"], mesh.attrs["cyclic"]) == (16, 0)


# --- consistency and values ------------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize("value", [np.nan, 1e20])
def test_no_number_on_a_wet_cell_is_an_error_with_its_place(value, tmp_path):
    run = Run()
    run.fields["t"][3, 2, 9, 4] = value
    run.write_mesh(tmp_path)
    run.write(tmp_path)
    out = tmp_path / "out.zarr"
    with pytest.raises(
        HaloclineError, match=r"'t' has no number at 1 wet cell\(s\), the first at i=5, j=10, level 3, time 4"
    ):
        coarsen_nemo(namelist(tmp_path), out, progress=False)
    assert not list(tmp_path.glob("out.zarr*"))


def test_a_value_on_land_is_not_an_error(tmp_path):
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path, fill=np.nan)
    assert coarsen_nemo(namelist(tmp_path), tmp_path / "out.zarr", progress=False).is_dir()


def test_damage_inside_a_file_ends_in_words(run, tmp_path):
    """The head of the file is whole, the values are not: seen only when they are read."""
    path = tmp_path / "RUN_grid_U.nc"
    dataset = xr.load_dataset(path, decode_times=False)
    dataset.to_netcdf(path, encoding={"vozocrtx": {"zlib": True, "shuffle": False, "chunksizes": (1, 4, 12, 16)}})
    whole = path.read_bytes()
    packed = whole.rfind(b"\x78\x5e")  # the last compressed chunk (zlib's head)
    path.write_bytes(whole[: packed + 40] + bytes(400) + whole[packed + 440 :])
    with pytest.raises(HaloclineError, match="cannot read 'u' at time"):
        coarsen_nemo(namelist(tmp_path), tmp_path / "out.zarr", progress=False)
    assert not list(tmp_path.glob("out.zarr*"))


# --- coarsening ------------------------------------------------------------------------------------------------------------------
def outflows(data: xr.Dataset, coarse: xr.Dataset, time: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Volume that leaves each coarse cell: from the coarse data set, and summed over the fine cells of `data` [m3 s-1]."""
    fine = [data[name][time] * data[f"e3{name}"] * data[length] * data[f"{name}mask"] for name, length in FACES]
    ours = [
        np.float64(coarse[name][time]) * coarse[f"e3{name}"].values * coarse[length].values for name, length in FACES
    ]
    return cgrid.outflow(*ours, False), cgrid.cell_sum(cgrid.outflow(*(f.values for f in fine), False), n)


FACES = (("u", "e2u"), ("v", "e1v"))


@pytest.fixture(scope="module")
def gyre(tmp_path_factory):
    """Real output, 32 x 22 cells, by 2."""
    folder = tmp_path_factory.mktemp("gyre")
    cfg = namelist(folder, cn_truth=str(GYRE), ln_advective=True)
    return store.read(coarsen_nemo(cfg, folder / "gyre.zarr", progress=False))


@real
def test_gyre_by_two_keeps_divergence_and_heat(gyre):
    """Divergence to single precision (the files' own), heat content as well."""
    mesh = read_mesh(GYRE / "mesh_mask.nc")
    fine = open_nemo(GYRE, [], mesh, {})
    assert (gyre.sizes["x"], gyre.sizes["y"], gyre.sizes["k"]) == (16, 11, 31)
    assert gyre.time.attrs["calendar"] == "360_day" and np.array_equal(gyre.time, fine.time)
    ours, theirs = outflows(xr.merge([fine, mesh]), gyre, 35, 2)
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(fine.u[35].values).max() * 106e3 * 300
    volume = mesh.e1t * mesh.e2t * mesh.e3t * mesh.tmask
    heat = float((fine.t[35].astype(float) * volume).sum())
    coarse_heat = float((gyre.t[35].astype(float) * gyre.h[35] * gyre.e1t * gyre.e2t).sum())
    assert coarse_heat == pytest.approx(heat, rel=1e-6)
    for name in ("u", "v", "du_adv", "dv_adv"):
        assert np.isfinite(gyre[name].values).all()
    assert 1e-10 < float(np.sqrt((gyre.du_adv**2).mean())) < 1e-6  # m s-2: a gyre of 0.3 m s-1 on 200 km


@real
def test_gyre_shifted_by_a_column_is_caught(gyre):
    """The broken twin: faces of the wrong column lose the balance."""
    mesh = read_mesh(GYRE / "mesh_mask.nc")
    fine = xr.merge([open_nemo(GYRE, [], mesh, {}), mesh])
    ours, theirs = outflows(fine.assign(u=fine.u.roll(x=1)), gyre, 35, 2)
    assert np.abs(ours - theirs).max() > 1e-3 * np.abs(fine.u[35].values).max() * 106e3 * 300


@real
def test_the_gyre_s_names_and_notes():
    mesh = read_mesh(GYRE / "mesh_mask.nc")
    found = open_nemo(GYRE, [], mesh, {})
    assert set(found.data_vars) == {"u", "v", "t", "s", "ssh"} and found.sizes["time"] == 36
    assert any("full steps" in note for note in mesh.attrs["notes"])


def test_blocks_of_levels_give_the_same_bits(run, tmp_path):
    """One level at a time or all at once: the memory limit changes nothing but the memory."""
    one = LIBRARIES + (FIXED + 1.5 * PLANES) * 8e-6 * 16 * 12  # [MB]
    results = []
    for name, memory in (("few", one), ("all", 1000.0)):
        cfg = namelist(tmp_path, cn_filter="gaussian", rn_sigma=1e5, ln_advective=True, rn_maxmem=memory)
        results.append(store.read(coarsen_nemo(cfg, tmp_path / f"{name}.zarr", progress=False)))
    few, many = results
    assert json.loads(few.attrs["provenance"])["levels_at_once"] == 1
    for name in many.data_vars:
        assert np.array_equal(few[name].values, many[name].values), name


def test_thickness_of_the_files_is_used(tmp_path):
    """With z* the files carry e3: velocities are then weighted with it, and it is written with time."""
    run = Run()
    run.write_mesh(tmp_path)
    run.write(tmp_path)
    changing = 5 + np.random.default_rng(1).random((6, 4, 12, 16)).astype("f4")
    for point in "TUV":
        path = tmp_path / f"RUN_grid_{point}.nc"
        dataset = xr.load_dataset(path, decode_times=False)
        dataset[f"e3{point.lower()}"] = (("time_counter", f"depth{point.lower()}", "y", "x"), changing)
        dataset.to_netcdf(path)
    coarse = store.read(coarsen_nemo(namelist(tmp_path), tmp_path / "out.zarr", progress=False))
    wall = changing * run.mesh["umask"] * run.mesh["e2u"]
    expected = cgrid.quotient(cgrid.u_face_sum(run.fields["u"] * wall, 2), cgrid.u_face_sum(wall, 2))
    assert np.allclose(coarse.u.values, expected, atol=1e-6)
    fixed = run.mesh["umask"] * run.mesh["e2u"]  # the broken twin: the mesh's constant thickness
    twin = cgrid.quotient(
        cgrid.u_face_sum(run.fields["u"] * fixed, 2), cgrid.u_face_sum(np.broadcast_to(fixed, wall.shape), 2)
    )
    assert not np.allclose(coarse.u.values, twin, atol=1e-3)
    assert coarse.e3u.dims == ("time", "k", "y", "x")


def test_the_data_set_says_what_it_is(run, tmp_path):
    coarse = store.read(coarsen_nemo(namelist(tmp_path, ln_advective=True), tmp_path / "out.zarr", progress=False))
    facts = json.loads(coarse.attrs["provenance"])
    assert facts["sha256"]["mesh_mask.nc"] == store.sha256(tmp_path / "mesh_mask.nc")
    assert facts["switches"]["nn_factor"] == 2 and "zarr" in facts["versions"]
    assert coarse.u.attrs["units"] == "m s-1" and coarse.t.attrs["standard_name"] == "sea_water_potential_temperature"
    assert coarse.u.dtype == np.float32 and coarse.time.dtype == np.float64


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"nn_factor": 5}, "nn_factor = 5 does not divide the grid of 16 x 12 cells"),
        ({"cn_truth": "/nowhere"}, "there is no folder '/nowhere'"),
        ({"cn_mesh": "other.nc"}, "there is no .*other.nc, and no other_0000.nc"),
        ({"cn_names": "q=humidity"}, "cannot use 'q=humidity'"),
        ({"cn_source": "gyre"}, "cn_source is 'gyre', not 'nemo'"),
        ({"rn_maxmem": 0.01}, "rn_maxmem is 0.01 MB"),
    ],
)
def test_wrong_switches_end_in_words(switches, message, run, tmp_path):
    with pytest.raises(HaloclineError, match=message):
        coarsen_nemo(namelist(tmp_path, **switches), tmp_path / "out.zarr", progress=False)
    assert not list(tmp_path.glob("out.zarr*"))


# --- full disk ---------------------------------------------------------------------------------------------------------------
def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch):
    """Space ends in the middle: an error, no new data set, the older one untouched."""
    out = coarsen_nemo(namelist(tmp_path), tmp_path / "out.zarr", progress=False)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    put = zarr.storage.LocalStore.set
    calls = []

    async def full(self, key, value, *rest):
        calls.append(key)
        if len(calls) > 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await put(self, key, value, *rest)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", full)
    with pytest.raises(HaloclineError, match="cannot write .*out.zarr: No space left on device"):
        coarsen_nemo(namelist(tmp_path), out, progress=False)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out.zarr.part").exists()


def test_too_small_a_disk_is_refused_at_once(tmp_path):
    sizes = {"time": 10**9, "k": 10**3, "y": 100, "x": 100}
    layout = {"u": Layout(("time", "y", "x"), {})}
    with (
        pytest.raises(HaloclineError, match="MB are needed"),
        Blocks(tmp_path / "a.zarr", sizes, 1, layout, xr.Dataset()),
    ):
        pass
    assert not list(tmp_path.iterdir())


# --- larger than memory ------------------------------------------------------------------------------------------------------
IN_A_CHILD = """
import resource, sys
from pathlib import Path
import models.data.nemo_coarsen as work
def memory(key):
    return int(next(row for row in open("/proc/self/status") if row.startswith(key)).split()[1]) / 1024
idle = memory("VmRSS")
work.coarsen_nemo(Path(sys.argv[1]), Path(sys.argv[1]) / "out.zarr", progress=False)
print(memory("VmHWM") - idle)
"""


def peak(folder: Path, maxmem: float) -> float:
    """What a process of its own takes beyond its imports to coarsen `folder` [MB]."""
    cfg = namelist(folder, rn_maxmem=maxmem)
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD, str(cfg)], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_files_larger_than_the_memory_that_is_allowed(tmp_path):
    """190 MB of fields with rn_maxmem = 130 MB; benchmarks/coarsen.py does it with gigabytes and a limited address space.

    The broken twin: 2000 MB are allowed, all levels come at once, and the peak is beyond that limit.
    """
    ny, nx, depth, times = 200, 200, 100, 6
    run = Run(ny=ny, nx=nx, depth=2, times=1)
    run.mesh = {name: values for name, values in run.mesh.items() if values.ndim == 2} | {
        "e3t_1d": np.full(depth, 10.0)
    }
    run.mesh["bottom_level"] = np.full((ny, nx), depth)
    run.write_mesh(tmp_path)
    for point, name in (("u", "uoce"), ("v", "voce")):
        with netCDF4.Dataset(tmp_path / f"RUN_{point}.nc", "w") as file:
            for dim, size in (("time_counter", times), ("z", depth), ("y", ny), ("x", nx)):
                file.createDimension(dim, size)
            clock = file.createVariable("time_counter", "f8", ("time_counter",))
            clock.units, clock[:] = "days since 2000-01-01", np.arange(times)
            options = {"zlib": True, "complevel": 1, "chunksizes": (1, 1, ny, nx)}
            variable = file.createVariable(name, "f4", ("time_counter", "z", "y", "x"), **options)
            for time in range(times):
                variable[time] = np.full((depth, ny, nx), 0.1 * time, "f4")
    assert 2 * times * depth * ny * nx * 4 > 1.4 * 130e6
    assert peak(tmp_path, 130.0) < 130.0 < peak(tmp_path, 2000.0)
