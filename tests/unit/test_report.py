"""The figure, drawn from small run directories made here."""

import matplotlib.image
import netCDF4
import numpy as np
import pytest

from coupler.errors import HaloclineError
from coupler.io import DiagnosticsField, create_diagnostics, read_output
from coupler.report import demo_figure, read_ocean, rossby, speed

NJ, NI, NK, DX, F0 = 50, 50, 2, 40e3, 7e-5
FIELDS = [DiagnosticsField(name, "m s-2", point, NK) for name, point in (("du", "U"), ("dv", "V"))]


def write_run(directory, u, v, energy=0.02, frame=1):
    """A run directory as the ocean and the coupler leave it; u, v: (y, x) at U and V points of a closed basin.

    With frame=0 the walls are the edges of the grid, without a frame of land.
    """
    directory.mkdir(exist_ok=True)
    j, i = np.mgrid[0:NJ, 0:NI]
    tmask = ((np.minimum(i, j) >= frame) & (i < NI - frame) & (j < NJ - frame)).astype(float)
    umask = tmask * np.roll(tmask, -1, 1) * (i < NI - 1)
    vmask = tmask * np.roll(tmask, -1, 0) * (j < NJ - 1)

    with netCDF4.Dataset(directory / "mesh_mask.nc", "w") as mesh:
        for name, size in (("time_counter", 1), ("nav_lev", 1), ("y", NJ), ("x", NI)):
            mesh.createDimension(name, size)
        values = {"tmask": tmask, "umask": umask, "vmask": vmask}
        values |= {"ff_f": F0 + 2e-11 * (j - NJ / 2) * DX}
        values |= {name: np.full((NJ, NI), DX) for name in ("e1u", "e2v", "e1f", "e2f")}
        for name, array in values.items():
            mesh.createVariable(name, "f8", ("time_counter", "nav_lev", "y", "x"))[:] = array[None, None]

    with netCDF4.Dataset(directory / "GYRE_00000001_00009720_inst.nc", "w") as output:
        for name, size in (("time_counter", None), ("deptht", NK), ("y", NJ), ("x", NI)):
            output.createDimension(name, size)
        time = output.createVariable("time_counter", "f8", ("time_counter",))
        time.setncatts({"units": "seconds since 0011-01-01 00:00:00", "calendar": "360_day"})
        time[:] = [180 * 86400, 360 * 86400]
        output.experiment = "GYRE"
        for point, di, dj in (("", 0.5, 0.5), ("_u", 1, 0.5), ("_v", 0.5, 1), ("_f", 1, 1)):
            for name, array in (("nav_lon", i + di), ("nav_lat", j + dj)):
                output.createVariable(name + point, "f8", ("y", "x"))[:] = array * DX / 1e3
                output[name + point].units = "km"
        for name, array in (("vozocrtx", u * umask), ("vomecrty", v * vmask)):
            variable = output.createVariable(name, "f8", ("time_counter", "deptht", "y", "x"))
            variable[0:2] = np.broadcast_to(array, (2, NK, NJ, NI))

    days = np.arange(0, 361, 5)
    wobble = energy * (1 + 0.1 * np.sin(days / 37) + 0.03 * np.sin(days / 7))
    lines = ["# it  date[yyyymmdd]  second_of_day  max|u|[m/s]  KE1[m2/s2]  KE2[m2/s2]  KE[J/m2]  min_h[m]"]
    for day, ke in zip(days, wobble, strict=True):
        date = f"{11 + day // 360:04d}{day % 360 // 30 + 1:02d}{day % 30 + 1:02d}"
        lines.append(f"{27 * day:10d}  {date}  {0:5d} 0.8 {ke:.8e} {ke / 4:.8e} {800e3 * ke:.8e} 300.0")
    (directory / "run.stat").write_text("\n".join([*lines, ""]))

    with create_diagnostics(
        directory / "halocline_diag.nc", (NJ, NI), FIELDS, "0011-01-01", "360_day", attributes={"closure": "zb20"}
    ) as diagnostics:
        diagnostics.record(9720, 360 * 86400)
        diagnostics.put("du", 5e-7 * np.stack([np.roll(u, 3, 0) * umask] * NK))
        diagnostics.put("dv", 5e-7 * np.stack([np.roll(v, 3, 0) * vmask] * NK))
    return directory


def eddies(seed):
    """Non-divergent flow of a double gyre with eddies, about 0.5 m s-1."""
    j, i = np.mgrid[0:NJ, 0:NI]
    waves = np.hypot(np.fft.fftfreq(NJ)[:, None], np.fft.fftfreq(NI)) * NI
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((NJ, NI)))
    psi = np.fft.ifft2(noise * np.exp(-((waves - 5) ** 2) / 4)).real
    wall = np.sin(np.pi * i / (NI - 1)) * np.sin(np.pi * j / (NJ - 1))
    psi = wall * (psi / psi.std() + 3 * np.exp(-i / 12) * np.sin(2 * np.pi * j / (NJ - 1)))
    u, v = -(psi - np.roll(psi, 1, 0)), psi - np.roll(psi, 1, 1)
    return 0.5 * u, 0.5 * v


@pytest.fixture
def runs(tmp_path):
    return write_run(tmp_path / "coupled", *eddies(1)), write_run(tmp_path / "reference", *eddies(2), energy=0.0185)


def test_figure_has_its_size_and_units_everywhere(runs, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    out = demo_figure([runs[0]] * 2, runs[1], tmp_path / "figures" / "demo.png")

    assert matplotlib.image.imread(out).shape[1] == 1600
    assert out.stat().st_size < 600_000
    labels = [text for axes in figures[0].axes for text in (axes.get_xlabel(), axes.get_ylabel()) if text]
    assert len(labels) >= 16  # two times three maps and colour bars, one series of two axes
    assert all("[" in label for label in labels), labels
    assert "zb20" in figures[0].get_suptitle() and "0012-01-01" in figures[0].get_suptitle()


@pytest.mark.parametrize("frame", [0, 1])
def test_solid_rotation_has_twice_its_rate_as_vorticity(tmp_path, frame):
    j, i = np.mgrid[0:NJ, 0:NI] * DX
    rate = 1e-6
    expected = 2 * rate / (F0 + 2e-11 * (j - NJ / 2 * DX))
    values = rossby(read_ocean(write_run(tmp_path / "run", -rate * j, rate * i, frame=frame))).values
    corners = np.zeros((NJ, NI), bool)
    corners[frame : NJ - 1 - frame, frame : NI - 1 - frame] = True
    np.testing.assert_allclose(values[corners], expected[corners], rtol=1e-12)
    assert np.isnan(values[~corners]).all()  # also the last row and column, where np.roll met the opposite wall

    wrong = rossby(read_ocean(write_run(tmp_path / "wrong", rate * j, rate * i, frame=frame))).values
    np.testing.assert_allclose(wrong[corners], 0, atol=1e-12)  # u of the wrong sign is strain, without vorticity


def test_speed_of_a_uniform_flow(tmp_path):
    run = write_run(tmp_path / "run", np.full((NJ, NI), 0.3), np.full((NJ, NI), 0.4))
    values = speed(read_ocean(run)).values
    np.testing.assert_allclose(values[2:-2, 2:-2], 0.5)
    assert np.isnan(values[0]).all() and np.isnan(values[:, -1]).all()


@pytest.mark.parametrize("name", ["GYRE_00000001_00009720_inst.nc", "mesh_mask.nc", "run.stat", "halocline_diag.nc"])
def test_a_missing_file_is_named(runs, tmp_path, name):
    (runs[0] / name).unlink()
    with pytest.raises(HaloclineError, match="vozocrtx" if "inst" in name else name):
        demo_figure([runs[0]], runs[1], tmp_path / "demo.png")


def test_diagnostics_have_their_name_only_when_whole(tmp_path):
    path = tmp_path / "diag.nc"
    with pytest.raises(RuntimeError), create_diagnostics(path, (4, 6), FIELDS, "0001-01-01") as diagnostics:
        diagnostics.record(1, 3200)
        raise RuntimeError("the run dies")
    assert not path.exists() and path.with_name("diag.nc.part").exists()
    with pytest.raises(HaloclineError, match="did not reach its end"):
        read_output(path)


def test_diagnostics_put_blocks_where_they_belong(tmp_path):
    whole = np.random.default_rng(0).standard_normal((NK, 4, 6))
    with create_diagnostics(tmp_path / "diag.nc", (4, 6), FIELDS, "0001-01-01", "360_day") as diagnostics:
        diagnostics.record(3, 9600)
        for j, i in ((0, 0), (0, 3), (2, 0), (2, 3)):
            diagnostics.put("du", whole[:, j : j + 2, i : i + 3], j, i)
        with pytest.raises(ValueError, match="leaves the grid"):
            diagnostics.put("du", whole, 1, 0)
        with pytest.raises(ValueError, match="shape"):
            diagnostics.put("du", whole[0])
    read = read_output(tmp_path / "diag.nc")
    assert read["du"].dims == ("time_counter", "level", "y", "x") and read["du"].units == "m s-2"
    assert read["time_counter"].calendar == "360_day" and read["kt"].values.tolist() == [3]
    np.testing.assert_array_equal(read["du"].values[0], whole)
