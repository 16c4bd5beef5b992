"""NEMO files of one rank each are joined to what one file would hold; a rank that is missing is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from coupler.errors import HaloclineError
from models.data import ranks
from models.data.mesh import read_mesh
from models.data.nemo import open_nemo
from tests.data.nemo_run import assert_same_fields


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
