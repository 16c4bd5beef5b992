"""The mesh of a NEMO run: thickness and masks rebuilt where they are absent, duplicated columns, what is missing."""

from pathlib import Path

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.data.mesh import read_mesh
from tests.data.nemo_run import Run, opened


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
