"""Small closed basins and states in them."""

import numpy as np
import pytest
import xarray as xr

from models.data.coarse import rimmed
from models.evaluation.mesh import Mesh
from models.evaluation.states import METRICS, Piece

DAY = 86400.0


def random_states(mesh, count, seed=0, speed=0.1, start=0.0):
    """A piece of states 5 days apart, noise about a steady gyre; u and v vanish on the walls."""
    draw = np.random.default_rng(seed)
    k, ny, nx = mesh.shape
    u, v = (
        (speed * (draw.standard_normal((count, k, ny, nx)) + np.linspace(-1, 1, ny)[:, None]) * mask)
        for mask in (mesh.umask, mesh.vmask)
    )
    h = 500.0 + 20 * draw.standard_normal((count, k, ny, nx))
    t = 15.0 + draw.standard_normal((count, ny, nx))
    return Piece(start + 5 * DAY * np.arange(1, count + 1), u, v, h, t)


def write_run(folder, piece, mesh, exp="GYRE", first=1, last=1000):
    """Files as the reference ocean writes them: with a rim of land, NaN in h and t there."""
    folder.mkdir(exist_ok=True)
    land = rimmed(mesh.tmask.astype(float)) == 0
    h, t = np.where(land, np.nan, rimmed(piece.h)), np.where(land[0], np.nan, rimmed(piece.t))
    dims = ("time_counter", "deptht", "y", "x")
    calendar = {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day"}
    xr.Dataset(
        {
            "vozocrtx": (dims, rimmed(piece.u).astype("f4")),
            "vomecrty": (dims, rimmed(piece.v).astype("f4")),
            "thkcello": (dims, h.astype("f4")),
            "sosstsst": (("time_counter", "y", "x"), t.astype("f4")),
        },
        coords={"time_counter": ("time_counter", piece.seconds, calendar)},
    ).to_netcdf(folder / f"{exp}_{first:08d}_{last:08d}_inst.nc")
    masks = {
        name: (("deptht", "y", "x"), rimmed(getattr(mesh, name).astype(float))) for name in ("tmask", "umask", "vmask")
    }
    widths = {name: (("y", "x"), np.pad(getattr(mesh, name), 1, mode="edge")) for name in METRICS}
    xr.Dataset(masks | widths).to_netcdf(folder / "mesh_mask.nc")
    return folder


@pytest.fixture
def mesh():
    return Mesh.closed(12, 12, 40000.0)


@pytest.fixture
def piece(mesh):
    return random_states(mesh, 40)
