"""What a network puts into the ocean, by the coupler, is what the ocean's own trends say; any layout writes the same bits."""

import csv

import numpy as np
import pytest
import xarray as xr

from tests.consistency import bias_nets, networks
from tests.consistency.conftest import SPINUP, coupling, merged, same_bits

STEP = 2400.0
TRENDS = {
    "namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True},
    "namrun": {"nn_write": 1},
    "namdia": {"ln_mean": False, "ln_dia_r8": True, "cn_inst": "vozocrtx vomecrty thkcello"},
}
FIELDS = ["u", "v", "h", "du", "dv"]
DIAG = {
    "namdiag": {
        "rn_diag": 2 * STEP, "cn_diag": FIELDS, "ln_diag_mean": True, "ln_diag_guard": True, "ln_budget_map": True,
        "cn_budget": "on", "rn_budget": STEP,
    }
}  # fmt: skip
RHO0 = 1026.0


def table(run, name="halocline_energy.csv"):
    """Column -> values, numbers but for the date."""
    with open(run.folder / name, newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([row[key] if key == "date" else float(row[key]) for row in rows]) for key in rows[0]}


# Offset c of the mirrored column (N - c - i) mod N of a row that lies above a fold at an F point.
MIRRORED = {"T": 1, "U": 2}


def east(x):
    """The eastern neighbour; walls are land, so that the wrap of a closed grid does not matter."""
    return np.roll(x, -1, -1)


def north(x, boundary, point="T", sign=1.0):
    """The northern neighbour; above a fold at an F point the last row backwards, above others a row that weighs nothing."""
    y = np.roll(x, -1, -2)
    if boundary == "fold_F":
        n = x.shape[-1]
        y[..., -1, :] = sign * x[..., -1, (n - MIRRORED[point] - np.arange(n)) % n]
    return y


def rows(mesh, boundary):
    """Weights (row, 1) of T and U points and of V and F points: one half where a row holds each of its cells twice."""
    t, f = np.ones((mesh["e1t"].shape[0], 1)), np.ones((mesh["e1t"].shape[0], 1))
    if boundary == "fold_T":
        t[-1], f[-1] = 0.5, 0.0
    if boundary == "fold_F":
        f[-1] = 0.5
    return t, f


def from_trends(run, boundary="closed", depth=True, sign=1.0, moved=True, last=SPINUP + 6):
    """(steps, levels) energy and enstrophy input of the ocean's trend 'cpl', from the ocean's files alone, from the second step on.

    Curls at corners, one after the other: another way than that of coupler/energetics.py. depth, sign, moved: broken twins.
    """
    trend = run.open(f"TEST_{SPINUP + 1:08d}_{last:08d}_trd.nc")
    state, mesh = run.open(f"TEST_{SPINUP + 1:08d}_{last:08d}_inst.nc"), run.open("mesh_mask.nc")
    du, dv = (np.nan_to_num(trend[name].values[1:]) for name in ("utrd_cpl", "vtrd_cpl"))
    u, v, h = (np.nan_to_num(state[name].values[:-1]) for name in ("vozocrtx", "vomecrty", "thkcello"))
    m = {name: np.nan_to_num(mesh[name].values) for name in mesh.data_vars}
    m = {name: values[0] if values.ndim == 3 else values for name, values in m.items()}
    tmask, (t, f) = m["tmask"], rows(m, boundary)
    h = np.where(tmask, h, 0.0) if depth else np.ones_like(h)
    hu, hv = (0.5 * (h + east(h)), 0.5 * (h + north(h, boundary))) if moved else (h, h)
    wet_u, wet_v = tmask * east(tmask), tmask * north(tmask, boundary)
    area = (tmask * m["e1t"] * m["e2t"] * t).sum()
    along_u, along_v = (
        hu * u * sign * du * wet_u * m["e1u"] * m["e2u"] * t,
        hv * v * dv * wet_v * m["e1v"] * m["e2v"] * f,
    )

    def curl(a, b):
        a, b = m["e1u"] * a * wet_u, m["e2v"] * b * wet_v
        return (east(b) - b - north(a, boundary, "U", -1.0) + a) / (m["e1f"] * m["e2f"])

    corners = wet_u * north(wet_u, boundary, "U")
    hf = 0.25 * (h + east(h) + north(h, boundary) + east(north(h, boundary)))
    enstrophy = hf * curl(u, v) * curl(sign * du, dv) * corners * m["e1f"] * m["e2f"] * f
    return RHO0 * (along_u + along_v).sum((-2, -1)) / area, enstrophy.sum((-2, -1)) / area


@pytest.fixture(scope="module")
def whole(zb20_run):
    """One rank each, every step in the budget."""
    return zb20_run(TRENDS, DIAG)


def agree(found, wanted):
    scale = np.abs(wanted).max()
    assert scale > 0
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * scale)


def compare(run, **twin):
    rows, each = table(run), table(run, "halocline_energy_levels.csv")
    energy, enstrophy = from_trends(run, **twin)
    for column, wanted in (("energy", energy), ("enstrophy", enstrophy)):
        levels = [each[f"zb20.{column}_input.k{k + 1:02d}"][1:] for k in range(2)]
        agree(np.stack(levels, 1), wanted)
        agree(rows[f"zb20.{column}_input"][1:], wanted.sum(1))


def test_energy_and_enstrophy_input_are_those_of_the_ocean(whole):
    """The trend that the ocean adds at step kt does the work that the coupler reports for step kt, to round-off."""
    compare(whole)
    rows = table(whole)
    assert rows["kt"].tolist() == [SPINUP + n for n in range(1, 7)]
    assert (rows["zb20.energy_input"] < 0).all() or (rows["zb20.energy_input"] > 0).all()


@pytest.mark.parametrize("twin", [{"sign": -1.0}, {"depth": False}, {"moved": False}])
def test_a_wrong_sign_a_missing_depth_a_wrong_point_are_caught(whole, twin):
    with pytest.raises(AssertionError):
        compare(whole, **twin)


SLOW = [pytest.param(edge, marks=pytest.mark.slow) for edge in ("cyclic_ew", "fold_T")]


@pytest.mark.parametrize("boundary", ["fold_F", *SLOW])
def test_every_edge_closes_the_budget(zb20_run, boundary):
    """Also where the rows on a fold hold every cell twice."""
    run = zb20_run(TRENDS, DIAG, boundary=boundary, ocean=2, coupler=3)
    compare(run, boundary=boundary)
    if boundary.startswith("fold"):
        with pytest.raises(AssertionError):
            compare(run, boundary="cyclic_ew")


@pytest.mark.parametrize(
    ("transport", "ocean", "coupler"),
    [("mpi", 3, 2), ("oasis", 2, 2), *(pytest.param("mpi", n, n, marks=pytest.mark.slow) for n in (2, 3, 4))],
)
def test_every_layout_and_transport_writes_the_same_bits(zb20_run, whole, transport, ocean, coupler):
    other = zb20_run(
        merged(coupling(), {"namcpl": {"cn_transport": transport}}), TRENDS, DIAG, ocean=ocean, coupler=coupler
    )
    for name in ("halocline_energy.csv", "halocline_energy_levels.csv"):
        assert (whole.folder / name).read_bytes() == (other.folder / name).read_bytes()
    for name in ("halocline_diag.nc", "halocline_diag_mean.nc"):
        same_bits(whole.open(name), other.open(name))


WATCHED = """
from pathlib import Path
from coupler import settings
from coupler.diagnostics import Diagnostics
from coupler.loop import couple
from coupler.transport.mpi import MpiTransport

def told(kind, name):
    method = getattr(kind, name)
    def tell(self, *args):
        with open("order.txt", "a") as file:
            print(name, args[0] if name == "record" else args[1], file=file)
        return method(self, *args)
    setattr(kind, name, tell)

told(Diagnostics, "record")
told(MpiTransport, "send")
couple(settings.load(Path(".")))
"""


def in_order(lines):
    """Every step: the answer, then the diagnostics."""
    kts = [line.split()[1] for line in lines[::2]]
    return bool(kts) and lines == [f"{what} {kt}" for kt in kts for what in ("send", "record")]


def test_the_ocean_has_its_answer_before_diagnostics_begin(zb20_run, tmp_path):
    (tmp_path / "watched.py").write_text(WATCHED)
    run = zb20_run(DIAG, script=tmp_path / "watched.py")
    lines = (run.folder / "order.txt").read_text().splitlines()
    assert len(lines) == 12 and in_order(lines)
    assert not in_order([lines[n ^ 1] for n in range(12)])


def test_means_are_those_of_the_snapshots(zb20_run, whole):
    """Over two steps, with the bounds in time; maps of the energy input sum to the table."""
    every = zb20_run(merged(DIAG, {"namdiag": {"rn_diag": STEP}}))
    steps, means = every.open("halocline_diag.nc"), whole.open("halocline_diag_mean.nc")
    for name in FIELDS:
        pairs = steps[name].values.reshape(3, 2, *steps[name].shape[1:])
        np.testing.assert_array_equal(means[name].values, (pairs[:, 0] + pairs[:, 1]) / 2)
        assert means[name].attrs["cell_methods"] == "time_counter: mean"
    assert means["time_counter_bounds"].values.tolist() == [
        [STEP * (SPINUP + n), STEP * (SPINUP + n + 2)] for n in (0, 2, 4)
    ]
    mesh = whole.open("mesh_mask.nc")
    work = sum(
        (means[f"zb20_energy_input_{p}"].values * np.squeeze(mesh[f"e1{p}"].values * mesh[f"e2{p}"].values)).sum(
            (-3, -2, -1)
        )
        for p in "uv"
    )
    area = (np.squeeze(mesh["e1t"].values * mesh["e2t"].values) * np.squeeze(mesh["tmask"].values)[0]).sum()
    pairs = table(whole)["zb20.energy_input"].reshape(3, 2).mean(1)
    np.testing.assert_allclose(work / area, pairs, rtol=1e-12)


def test_the_files_follow_cf(whole):
    """Times, calendars and bounds that xarray decodes, points, standard names from the contract."""
    for name in ("halocline_diag.nc", "halocline_diag_mean.nc"):
        with xr.open_dataset(whole.folder / name, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as file:
            assert file.attrs["Conventions"] == "CF-1.8"
            assert file["time_counter"].values[0].calendar == "360_day"
            assert file["du"].attrs["point"] == "U" and file["du"].attrs["stagger"].startswith("x: 0.5 y: 0 ")
            assert {"units", "long_name", "cell_methods"} <= set(file["du"].attrs)
            assert file["x"].values.tolist() == list(range(1, file.sizes["x"] + 1))


def test_a_continued_run_puts_the_earlier_files_by(coupled_run, zb20_run, whole):
    """In the folder of the first run: the table goes on, and both files of fields are there."""
    first = zb20_run(DIAG)
    onward = {"namrun": {"nn_it000": SPINUP + 7, "nn_itend": SPINUP + 10, "ln_rstart": True, "ln_cpl": True,
                         "cn_ocerst_in": f"TEST_{SPINUP + 6:08d}_restart.nc"},
              "namcpl": {"cn_rst_in": f"halocline_{SPINUP + 6:08d}_restart.nc"}}  # fmt: skip
    kept = [first.folder / name for name in (*onward["namcpl"].values(), onward["namrun"]["cn_ocerst_in"])]
    kept += [*first.folder.glob("halocline_diag*.nc"), first.folder / "halocline_energy.csv"]
    second = coupled_run(coupling(), DIAG, onward, link=kept)
    assert table(second)["kt"].tolist() == [SPINUP + n for n in range(1, 11)]
    one = second.open(f"halocline_diag_{SPINUP + 1:08d}_{SPINUP + 5:08d}.nc")
    same_bits(one, first.open("halocline_diag.nc"))
    assert second.open("halocline_diag.nc")["kt"].values.tolist() == [SPINUP + 7, SPINUP + 9]
    assert (second.folder / f"halocline_diag_mean_{SPINUP + 2:08d}_{SPINUP + 6:08d}.nc").is_file()
    straight = zb20_run(DIAG, steps=10)
    assert (second.folder / "halocline_energy.csv").read_text() == (
        straight.folder / "halocline_energy.csv"
    ).read_text()


def test_the_content_that_a_bias_correction_adds_is_that_of_the_ocean(zb20_run, tmp_path):
    """Heat by the trend of temperature, times thickness; no volume where the correction conserves it."""
    files = networks.write(tmp_path / "nets", bias=bias_nets.bias(), mean=bias_nets.MEAN)
    run = {}
    for name in ("mean", "bias"):
        groups = bias_nets.groups((name,), seldom=1)
        groups["namdiag"] = {"rn_budget": STEP}
        run[name] = zb20_run(groups, TRENDS, link=files, coupler=2)
    mesh = run["mean"].open("mesh_mask.nc")
    area = mesh["e1t"].values * mesh["e2t"].values * mesh["tmask"].values[0]

    def trend(name, variable):
        return np.where(
            area > 0, run[name].open(f"TEST_{SPINUP + 1:08d}_{SPINUP + 6:08d}_trd.nc")[variable].values, 0.0
        )

    state = run["mean"].open(f"TEST_{SPINUP + 1:08d}_{SPINUP + 6:08d}_inst.nc")
    thickness = np.where(area > 0, state["thkcello"].values[:-1, 0], 0.0)
    heat, found = trend("mean", "ttrd_asm")[1:] * thickness * area, table(run["mean"])["mean.dt_bias_input"][1:]
    agree(found, heat.sum((-2, -1)) / area.sum())
    with pytest.raises(AssertionError):
        agree(found, heat.sum((-2, -1)) / (area > 0).sum())
    volume = np.abs(trend("bias", "htrd_asm")).max()
    assert volume > 1e-7
    assert np.abs(table(run["bias"])["bias.dh_bias_input"]).max() < 1e-15 * volume * area.size
    assert "no energy and enstrophy input of 'bias': no e1u, e2u, e1v, e2v travels" in run["bias"].text


def test_what_cannot_be_told_is_said_once_or_refused(zb20_run, tmp_path):
    """Without metrics: a line at the start and no table; with cn_budget = 'on' the run does not begin."""
    files = networks.write(tmp_path / "nets", both=networks.BOTH)
    run = zb20_run(networks.groups({"cn_name": "both"}), link=files, steps=2)
    assert run.text.count("no energy and enstrophy input of 'both': no e1t, e2t, e1u, e2u, e1v, e2v travels") == 1
    assert not (run.folder / "halocline_energy.csv").exists()
    done = zb20_run(networks.groups({"cn_name": "both"}, diag={"cn_budget": "on"}), link=files, steps=2, ok=False)
    assert "cn_budget = 'on', and there is no energy" in done.text and "ln_static = .true." in done.text
    assert "namelist_cfg line" in done.text
