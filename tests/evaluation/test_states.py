"""Reading runs: folders of the ocean, data sets, finer grids; what is said of wrong ones."""

import numpy as np
import pytest
import xarray as xr

from coupler.errors import HaloclineError
from models.data import store
from models.data.coarse import coarse_state, rimmed
from models.evaluation.climate import Climate, climate_of
from models.evaluation.mesh import Mesh
from models.evaluation.states import METRICS, open_states
from tests.evaluation.conftest import DAY, random_states, write_run


def joined(states, name):
    return np.concatenate([getattr(piece, name) for piece in states.pieces()])


def test_a_run_folder_is_read_without_its_rim(tmp_path, mesh, piece):
    states = open_states(write_run(tmp_path / "run", piece, mesh))
    assert states.mesh.shape == (2, 12, 12)
    for name in ("u", "v", "h", "t"):
        np.testing.assert_allclose(joined(states, name), getattr(piece, name), rtol=1e-6)
    for mask in ("tmask", "umask", "vmask"):
        assert np.array_equal(getattr(states.mesh, mask), getattr(mesh, mask))


def test_memory_bounds_the_pieces_and_changes_nothing(tmp_path, mesh, piece):
    folder = write_run(tmp_path / "run", piece, mesh)
    small = open_states(folder)
    object.__setattr__(small, "megabytes", 0.08)
    lengths = [len(part.seconds) for part in small.pieces()]
    assert max(lengths) <= 3 and sum(lengths) == 40
    assert np.array_equal(joined(small, "h"), joined(open_states(folder), "h"))


def test_segments_are_joined_in_order_and_overlaps_dropped(tmp_path, mesh):
    first, second = random_states(mesh, 6, 1), random_states(mesh, 6, 2, start=20 * DAY)
    write_run(tmp_path / "run", second, mesh, first=501, last=1100)
    write_run(tmp_path / "run", first, mesh, first=1, last=600)
    found = joined(open_states(tmp_path / "run"), "seconds")
    assert found.tolist() == [5 * DAY * n for n in range(1, 11)]  # days 25 and 30 are in both
    assert len(first.seconds) + len(second.seconds) == 12


def test_a_run_that_ended_with_an_error_is_read_to_its_end(tmp_path, mesh, piece):
    """Its last file has no final name; one that a running ocean still writes, without halocline.abort, is no state of a run."""
    whole = write_run(tmp_path / "run", piece, mesh) / "GYRE_00000001_00001000_inst.nc"
    whole.rename(f"{whole}.part")
    with pytest.raises(HaloclineError, match="holds no output"):
        open_states(tmp_path / "run")
    (tmp_path / "run" / "halocline.abort").write_text("the layer outcrops\n")
    assert len(joined(open_states(tmp_path / "run"), "seconds")) == len(piece.seconds)


def test_a_finer_run_is_coarsened_as_the_truth_is(tmp_path):
    """Thickness and transports, not velocities: those averaged alone are something else."""
    fine = Mesh.closed(24, 24, 20000.0)
    piece = random_states(fine, 3)
    states = open_states(write_run(tmp_path / "run", piece, fine), (12, 12), 20000.0)
    u, _, h, t = coarse_state(piece.u, piece.v, piece.h, piece.t, 2, 1.0)
    assert states.mesh.shape == (2, 12, 12) and states.mesh.width == 40000
    np.testing.assert_allclose(joined(states, "u"), u, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(joined(states, "h"), h, rtol=1e-6)
    np.testing.assert_allclose(joined(states, "t"), t, rtol=1e-6)
    unfiltered = open_states(tmp_path / "run", (12, 12), 0.0)
    assert np.abs(joined(unfiltered, "u") - u).max() > 0.05


def write_data(path, piece, mesh, **more):
    static = {
        name: (("k", "y", "x"), rimmed(getattr(mesh, name).astype("f4")), {}) for name in ("tmask", "umask", "vmask")
    }
    static |= {name: (("y", "x"), np.pad(getattr(mesh, name), 1, mode="edge"), {}) for name in METRICS}
    static["gred"] = ("k", mesh.gred.astype("f4"), {})
    fields = {"u": piece.u, "v": piece.v, "h": piece.h, "sst": piece.t, **more}
    with store.Writer(path, {"units": "seconds since 0001-01-01", "calendar": "360_day"}, static, {}) as writer:
        writer.append(piece.seconds, {name: rimmed(values) for name, values in fields.items()})
    return path


def test_a_data_set_and_a_run_folder_have_the_same_climate(tmp_path, mesh, piece):
    data = climate_of(write_data(tmp_path / "a.zarr", piece, mesh))
    folder = climate_of(write_run(tmp_path / "run", piece, mesh))
    assert data.states == folder.states == 40
    np.testing.assert_allclose(data.mean["eta"], folder.mean["eta"], rtol=1e-6)
    np.testing.assert_allclose(data.spectra["ke"], folder.spectra["ke"], rtol=1e-5)
    assert "transfer" not in data.spectra


def test_targets_in_a_data_set_give_the_transfer(tmp_path, mesh, piece):
    path = write_data(tmp_path / "a.zarr", piece, mesh, du=-1e-7 * piece.u, dv=-1e-7 * piece.v)
    climate = climate_of(path)
    np.testing.assert_allclose(climate.spectra["transfer"], -2e-7 * climate.spectra["ke"], rtol=1e-3)


def test_an_abort_makes_a_run_unstable(tmp_path, mesh, piece):
    folder = write_run(tmp_path / "run", piece, mesh)
    assert climate_of(folder).stability.stable
    (folder / "halocline.abort").write_text("gyre: error: the value is not finite\n   the run blew up\n")
    stability = climate_of(folder).stability
    assert not stability.stable and stability.ended == "gyre: error: the value is not finite the run blew up"


def test_reduced_gravities_of_the_namelist_are_used(tmp_path, mesh, piece):
    folder = write_run(tmp_path / "run", piece, mesh)
    (folder / "namelist_cfg").write_text("&namusr_def rn_gred = 0.02, 0.01 /\n")
    assert open_states(folder).mesh.gred.tolist() == [0.02, 0.01]
    (folder / "namelist_cfg").write_text("&namusr_def rn_gred = 0.02 /\n")
    with pytest.raises(HaloclineError, match=r"2 layers, but there are 1 reduced gravities.*\n.*rn_gred"):
        open_states(folder)


def test_a_last_file_that_is_still_written_is_left_out(tmp_path, mesh, piece):
    folder = write_run(tmp_path / "run", piece, mesh)
    (folder / "GYRE_00001001_00002000_inst.nc").write_bytes(b"\x89HDF half a file")
    assert climate_of(folder).states == 40
    (folder / "GYRE_00000001_00001000_inst.nc").unlink()
    with pytest.raises(HaloclineError, match="cannot be read as NetCDF"):
        climate_of(folder)


def test_what_is_no_run_is_refused(tmp_path, mesh, piece):
    with pytest.raises(HaloclineError, match="there is no run"):
        open_states(tmp_path / "nowhere")
    (tmp_path / "picture.png").write_bytes(b"no run")
    with pytest.raises(HaloclineError, match="picture.png is a file of another kind"):
        open_states(tmp_path / "picture.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(HaloclineError, match=r"holds no output EXP_FIRST_LAST_inst.nc.*It holds: notes.txt"):
        open_states(tmp_path / "empty")
    folder = write_run(tmp_path / "run", piece, mesh)
    with pytest.raises(HaloclineError, match="12 x 12 cells, the truth 10 x 10"):
        open_states(folder, (10, 10))
    file = folder / "GYRE_00000001_00001000_inst.nc"
    with xr.open_dataset(file) as dataset:
        dataset.load()
    dataset.drop_vars(["sosstsst"]).to_netcdf(file)
    with pytest.raises(HaloclineError, match="lacks sosstsst; it holds thkcello, vomecrty, vozocrtx"):
        open_states(folder)
    (folder / "mesh_mask.nc").unlink()
    dataset.to_netcdf(file)
    with pytest.raises(HaloclineError, match="no mesh_mask.nc"):
        open_states(folder)


def test_a_saved_climate_can_stand_for_a_run(tmp_path, mesh, piece):
    path = Climate.from_states([piece], mesh, name="saved").save(tmp_path / "a.npz")
    assert climate_of(path).name == "saved"
    assert climate_of(path, name="other").name == "other"
