"""The demo: what it runs, its picture beside the truth, its table; from small climates made here."""

from dataclasses import replace
from hashlib import sha256
from io import StringIO

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from coupler import settings
from coupler.engines.base import find_artefact, read_contract
from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.programs import REPOSITORY
from models import demo
from models.campaign.truth import Truth
from models.evaluation.climate import Climate
from models.evaluation.mesh import Mesh
from models.evaluation.scores import scores
from models.evaluation.side_by_side import Shown, band, side_by_side
from models.evaluation.states import DAY, Piece

N, YEAR = 24, 360 * DAY
COUPLED = ("gyre_closure", "gyre_zb20", "gyre_gz21")


def climate(name, speed, seed, states=73, skip=0.0):
    """Waves of random phase over a year of states, every 5 days."""
    rng = np.random.default_rng(seed)
    mesh = Mesh.closed(N, N, 80e3)
    y, x = np.mgrid[0:N, 0:N] / N
    phase = 2 * np.pi * rng.random((states, 2, 1, 1))
    u = speed * np.sin(2 * np.pi * 3 * y + phase) * mesh.umask
    v = speed * np.cos(2 * np.pi * 2 * x + phase) * mesh.vmask
    h = np.array([500.0, 750.0])[:, None, None] + 10 * speed * np.sin(2 * np.pi * x + phase)
    piece = Piece(432000.0 * np.arange(states), u, v, h, np.full((states, N, N), 15.0))
    return Climate.from_states([piece], mesh, name, skip)


@pytest.fixture(scope="module")
def truth():
    return Truth("trained", [climate("a", 0.3, 1), climate("b", 0.3, 2)])


@pytest.fixture(scope="module")
def runs():
    made = {"40 km": (0.1, 3), "40 km + network": (0.29, 4)}
    return [Shown(name, "one run", climate(name, *of, skip=90), climate(name, *of)) for name, of in made.items()]


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, still open."""
    import matplotlib.pyplot as plt

    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    yield kept
    monkeypatch.undo()
    for figure in kept:
        plt.close(figure)


def panels(figure):
    """Axes by their title."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def test_the_picture_has_its_size_and_every_column(truth, runs, tmp_path, figures):
    first = Shown("Truth: 10 km", "two runs", truth.joint)
    out = side_by_side(first, runs, truth.expected(1.0), tmp_path / "new" / "demo.png")
    assert matplotlib.image.imread(out).shape[1] == 1600
    assert out.stat().st_size < 500_000
    assert [path.name for path in out.parent.iterdir()] == ["demo.png"]  # nothing half-written is left
    assert {"Truth: 10 km", "40 km", "40 km + network"} <= set(panels(figures[0]))


def test_maps_of_a_row_share_the_scale_of_the_truth(truth, runs, tmp_path, figures):
    first = Shown("Truth: 10 km", "two runs", truth.joint)
    side_by_side(first, runs, truth.expected(1.0), tmp_path / "demo.png")
    images = [axes.images[0] for axes in figures[0].axes if axes.images]
    assert len(images) == 6
    for row in (images[:3], images[3:]):
        assert len({image.get_clim() for image in row}) == 1
    energy = 1e4 * truth.joint.eke[0]
    np.testing.assert_allclose(images[0].get_clim()[1], np.percentile(energy, 99.5))
    weak = 1e4 * runs[0].climate.eke[0]
    assert np.percentile(weak, 99.5) < 0.2 * images[1].get_clim()[1]  # its own scale would hide how weak it is
    np.testing.assert_allclose(images[1].get_array(), weak)


def test_time_counts_from_the_common_start_and_marks_what_is_dropped(truth, runs, tmp_path, figures):
    """Runs whose dates differ lie on each other; without the common start they would be ten years apart."""
    later = replace(runs[0], whole=replace(runs[0].whole, time=runs[0].whole.time + 10 * YEAR))
    first = Shown("Truth: 10 km", "two runs", truth.joint)
    side_by_side(first, [later, runs[1]], truth.expected(1.0), tmp_path / "demo.png")
    panel = panels(figures[0])["Kinetic energy over time, layer 1"]
    lines = [line for line in panel.lines if len(line.get_xdata()) == 73]
    for line in lines:
        np.testing.assert_allclose(line.get_xdata()[[0, -1]], [0, 72 * 5 / 360])
    np.testing.assert_allclose(lines[0].get_ydata(), 1e4 * runs[0].whole.ke[:, 0])
    dropped = [line.get_xdata()[0] for line in panel.lines if list(line.get_ydata()) == [0, 1] and line.get_xdata()[0]]
    np.testing.assert_allclose(dropped, 90 / 360)


def test_the_best_of_tuning_is_a_mark_on_every_line_of_the_scores(truth, runs, tmp_path, figures):
    first, rival = Shown("Truth: 10 km", "two runs", truth.joint), climate("tuned", 0.2, 5)
    for given in (rival, None):
        side_by_side(first, runs, truth.expected(1.0), tmp_path / "demo.png", given)
    marks = [
        [line for line in panels(figure)["Scores, each from zero"].lines if line.get_marker() == "D"]
        for figure in figures
    ]
    assert [len(found) for found in marks] == [6, 0]
    ratio = marks[0][0].get_xdata()[0] / truth_stroke(panels(figures[0])["Scores, each from zero"])
    assert ratio == pytest.approx(scores(rival, truth.joint)["eke1"] / scores(truth.joint, truth.joint)["eke1"])


def truth_stroke(panel):
    """Where the first row has its upright stroke."""
    return next(line.get_xdata()[0] for line in panel.lines if line.get_linewidth() == 1.8)


def test_a_run_on_another_grid_is_refused(truth, tmp_path):
    other = Climate.from_states([], Mesh.closed(8, 8, 240e3), "other")
    shown = [Shown("40 km", "", other, other)] * 2
    with pytest.raises(HaloclineError, match="8 x 8 cells"):
        side_by_side(Shown("Truth", "", truth.joint), shown, truth.expected(1.0), tmp_path / "demo.png")
    assert not list(tmp_path.iterdir())


def test_bands_are_relative_for_values_and_from_zero_for_errors():
    assert band("eke1", 200.0, 0.05) == pytest.approx((190, 210))
    assert band("eta_rmse", 0.0, 1.1) == (0, 1.1)
    low, high = band("tail", 1.0, 0.1)
    assert low * high == pytest.approx(1) and high == pytest.approx(np.exp(0.1))


def test_the_table_has_three_lines_with_units_and_years(truth, runs):
    floor = truth.expected(1.0)
    console = Console(width=90, record=True, file=StringIO())
    console.print(demo.table(truth.joint, [run.climate for run in runs], floor))
    text = console.export_text()
    lines = [line.split() for line in text.splitlines() if line.strip().startswith(("truth", "40 km"))]
    assert len(lines) == 3 and "[cm2 s-2]" in text and "SSH [cm]" in text
    eke = 1e4 * 0.5 * 0.3**2
    assert lines[0][3] != "0" and float(lines[0][3]) == pytest.approx(eke, rel=0.2)
    assert float(lines[1][2]) < 0.2 * float(lines[2][4])


# --- the experiments that the demo runs ------------------------------------------------------------------------------


def switches(name):
    """Groups of namelists/NAME: {(group, cn_name or ''): values}."""
    groups = read_groups(demo.NAMELISTS / name / "namelist_cfg")
    return {(group.name, str(group.values().get("cn_name", ""))): group.values() for group in groups}


def of(name, group, key, default):
    """A switch of the ocean in namelists/NAME, or its default."""
    return switches(name).get((group, ""), {}).get(key, default)


@pytest.mark.parametrize("name", COUPLED)
def test_periods_divide_the_start(name):
    """OASIS refuses a restart between coupling steps; a period of 7 steps would be."""
    run = switches(name)["namrun", ""]
    step = of(name, "namdom", "rn_dt", 3200.0)
    periods = [net.rn_period for net in settings.load(demo.NAMELISTS / name).namexc if not net.ln_static]
    assert not misfits(run["nn_it000"], step, periods)
    assert misfits(97201, 3200.0, [7 * 3200.0])


def misfits(first, step, periods):
    """Periods [s] of which the time before the first step is no multiple."""
    return [period for period in periods if period and (first - 1) * step % period]


@pytest.mark.parametrize("name", ["gyre_control", *COUPLED])
def test_experiments_begin_where_the_spinup_ends(name):
    last = switches("gyre_spinup")["namrun", ""]["nn_itend"]
    run = switches(name)["namrun", ""]
    assert run["cn_ocerst_in"] == demo.RESTART == f"GYRE_{last:08d}_restart.nc"
    assert run["nn_it000"] == last + 1 or run["nn_rstctl"] == 0


def test_the_pair_of_the_picture_differs_by_the_network_alone():
    """Same length, friction, wind, output; another friction would be seen."""
    pair = ("gyre_control", "gyre_closure")
    defaults = {
        ("namdyn_ldf", "rn_cs4"): None, ("namdyn_ldf", "rn_cl4"): 0.0, ("namsbc", "rn_tauas"): 0.0,
        ("namlbc", "rn_shlat"): 2.0, ("namrun", "nn_write"): None, ("namusr_def", "nn_nx"): 48,
        ("namusr_def", "rn_dx"): 40000.0, ("namdom", "rn_dt"): 3200.0, ("namzb20", "ln_zb20"): False,
        ("namdia", "cn_inst"): None,
    }  # fmt: skip
    alone, coupled = ({where: of(name, *where, default) for where, default in defaults.items()} for name in pair)
    assert alone == coupled
    assert alone != coupled | {("namdyn_ldf", "rn_cs4"): 0.01}
    runs = [switches(name)["namrun", ""] for name in pair]
    assert len({run["nn_itend"] - run["nn_it000"] for run in runs}) == 1


@pytest.mark.parametrize("name", COUPLED)
def test_the_networks_are_shipped_and_pinned(name):
    for net in settings.load(demo.NAMELISTS / name).namnet:
        file = find_artefact(net.cn_artefact)
        assert file.is_relative_to(REPOSITORY / "models" / "zoo")
        assert sha256(file.read_bytes()).hexdigest() == net.cn_sha256
        assert read_contract(file).outputs


def test_the_truth_is_shipped_and_small():
    files = sorted(demo.TRUTH.glob("truth_trained_*.npz"))
    assert len(files) == 2 and all(file.stat().st_size < 300_000 for file in files)
    assert all(Climate.load(file).years == pytest.approx(30, abs=0.1) for file in files)


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_outside_of_a_checkout_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "NAMELISTS", tmp_path)
    with pytest.raises(HaloclineError, match="checkout of the project"):
        demo.demo(tmp_path / "out", "mpi", Console(quiet=True))


def test_an_unknown_transport_runs_nothing(tmp_path):
    with pytest.raises(HaloclineError, match="'smoke signals' is unknown. Allowed: mpi, oasis"):
        demo.demo(tmp_path / "out", "smoke signals", Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_without_the_truth_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRUTH", tmp_path)
    with pytest.raises(HaloclineError, match="no statistics of the truth"):
        demo.demo(tmp_path / "out", "mpi", Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_the_readme_shows_the_picture():
    shown = REPOSITORY / "docs" / "pages" / "demo.png"
    assert f"]({shown.relative_to(REPOSITORY)})" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert shown.stat().st_size < 500_000 and matplotlib.image.imread(shown).shape[1] == 1600
