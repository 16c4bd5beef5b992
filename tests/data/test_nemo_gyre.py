"""Real NEMO output, a gyre of 32 x 22 cells by 2: what goes in comes out."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from models.data import cgrid, store
from models.data.mesh import read_mesh
from models.data.nemo import open_nemo
from models.data.nemo_coarsen import coarsen_nemo
from tests.data.nemo_run import namelist

REPO = Path(__file__).resolve().parents[2]
GYRE = REPO.parent / "shared" / "data" / "nemo_gyre"
FACES = (("u", "e2u"), ("v", "e1v"))
pytestmark = pytest.mark.skipif(not GYRE.is_dir(), reason=f"no NEMO output at {GYRE}")


def outflows(data: xr.Dataset, coarse: xr.Dataset, time: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Volume that leaves each coarse cell: from the coarse data set, and summed over the fine cells of `data` [m3 s-1]."""
    fine = [data[name][time] * data[f"e3{name}"] * data[length] * data[f"{name}mask"] for name, length in FACES]
    ours = [
        np.float64(coarse[name][time]) * coarse[f"e3{name}"].values * coarse[length].values for name, length in FACES
    ]
    return cgrid.outflow(*ours, False), cgrid.cell_sum(cgrid.outflow(*(f.values for f in fine), False), n)


@pytest.fixture(scope="module")
def gyre(tmp_path_factory):
    """Real output, 32 x 22 cells, by 2."""
    folder = tmp_path_factory.mktemp("gyre")
    cfg = namelist(folder, cn_truth=str(GYRE), ln_advective=True)
    return store.read(coarsen_nemo(cfg, folder / "gyre.zarr", progress=False))


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


def test_gyre_shifted_by_a_column_is_caught(gyre):
    """The broken twin: faces of the wrong column lose the balance."""
    mesh = read_mesh(GYRE / "mesh_mask.nc")
    fine = xr.merge([open_nemo(GYRE, [], mesh, {}), mesh])
    ours, theirs = outflows(fine.assign(u=fine.u.roll(x=1)), gyre, 35, 2)
    assert np.abs(ours - theirs).max() > 1e-3 * np.abs(fine.u[35].values).max() * 106e3 * 300


def test_the_gyre_s_names_and_notes():
    mesh = read_mesh(GYRE / "mesh_mask.nc")
    found = open_nemo(GYRE, [], mesh, {})
    assert set(found.data_vars) == {"u", "v", "t", "s", "ssh"} and found.sizes["time"] == 36
    assert any("full steps" in note for note in mesh.attrs["notes"])
