"""`halocline evaluate`: tables, files, figures, mistakes."""

import csv
import json
import shutil

import pytest
import typer
from matplotlib.image import imread
from typer.testing import CliRunner

from coupler.errors import HaloclineError
from models.evaluation import climate
from models.evaluation.climate import Climate, climate_of
from models.evaluation.commands import evaluate, names
from models.evaluation.mesh import Mesh
from models.evaluation.scores import KEYS
from tests.evaluation.conftest import random_states, write_run

app = typer.Typer()
app.command()(evaluate)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two truths as climates, a run folder, and one that blew up."""
    place = tmp_path_factory.mktemp("evaluate")
    mesh = Mesh.closed(32, 32, 40000.0)
    for name, seed in (("truth_a", 1), ("truth_b", 2)):
        Climate.from_states([random_states(mesh, 80, seed, 0.2)], mesh, name=name).save(place / f"{name}.npz")
    write_run(place / "good", random_states(mesh, 80, 3, 0.15), mesh)
    blown = random_states(mesh, 80, 4, 0.15)
    blown.u[75:] = 30.0
    write_run(place / "blown", blown, mesh)
    hopeless = random_states(mesh, 80, 4, 0.15)
    hopeless.u[3:] = float("nan")
    write_run(place / "hopeless", hopeless, mesh)
    return place


@pytest.fixture(scope="module")
def truths(place):
    return ["--truth", place / "truth_a.npz", "--truth", place / "truth_b.npz"]


def test_tables_show_floor_years_and_runs(place, truths):
    result = run(place / "good", place / "blown", place / "hopeless", *truths)
    assert result.exit_code == 0, result.output
    for words in ("EKE1", "rmse", "floor: truth_a", "floor: truth_b", "years", "blown unstable", "mean of 2 truths"):
        assert words in result.output, words
    assert "hopeless is unstable: after 0.0 years; nothing is left of it" in result.output
    assert "give a second, independent" in run(place / "good", "--truth", place / "truth_a.npz").output


def test_the_first_year_is_dropped_unless_told(place, truths, tmp_path):
    (tmp_path / "namelist_cfg").write_text("&nameval rn_skip = 100. /\n")
    by_default = json.loads(run(place / "good", *truths, "--json").stdout)
    told = json.loads(run(place / "good", *truths, "--json", "--cfg", tmp_path).stdout)
    years = [found["runs"][0]["scores"]["years"] for found in (by_default, told)]
    assert years == pytest.approx([8 * 5 / 360, 60 * 5 / 360])


def test_a_baseline_is_the_bias_before(place, truths, tmp_path):
    """Maps of the bias before and after; without a baseline there is no before."""
    for name, more in (("with", ["--baseline", place / "good"]), ("without", [])):
        result = run(place / "blown", *truths, *more, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert imread(tmp_path / "with" / "bias.png")[..., :3].std() > 0.05
    assert not (tmp_path / "without" / "bias.png").exists()


def test_files_and_figures(place, truths, tmp_path):
    """Every figure is drawn and has something on it; a run without a state does not stop them."""
    out = tmp_path / "out"
    result = run(place / "good", place / "hopeless", *truths, "--baseline", place / "good", "--out", out)
    assert result.exit_code == 0, result.output
    assert {file.name for file in out.iterdir()} == {
        "scores.json", "scores.csv", "maps.png", "spectra.png", "scores.png", "climates",
    }  # fmt: skip
    for name in ("maps", "spectra", "scores"):
        picture = imread(out / f"{name}.png")
        assert min(picture.shape[:2]) > 400 and picture[..., :3].std() > 0.05
    found = json.loads((out / "scores.json").read_text())
    assert set(KEYS) < set(found["runs"][0]["scores"])
    assert found["runs"][0]["scores"]["s_ke1"] == 0
    assert [entry["stable"] for entry in found["runs"]] == [True, False]
    assert found["runs"][1]["scores"]["eke1"] is None
    assert len(found["floor"]) == 2
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("truth", "truth"), ("truth_a", "floor"), ("truth_b", "floor"), ("good", "baseline"), ("hopeless", "run"),
    ]  # fmt: skip
    assert float(rows[3]["eke1"]) == pytest.approx(found["runs"][0]["scores"]["eke1"], rel=1e-5)
    again = json.loads(run(out / "climates" / "good.npz", *truths, "--json").stdout)
    assert again["runs"][0]["scores"]["eke1"] == pytest.approx(found["runs"][0]["scores"]["eke1"], rel=1e-5)


def test_the_baseline_has_a_row(place, truths, monkeypatch):
    """Before the runs, scored once, also where it is a RUN by another path; without it there is none."""
    read = []
    monkeypatch.setattr(climate, "climate_of", lambda path, *rest: read.append(path.name) or climate_of(path, *rest))
    result = run(place / "blown", *truths, "--baseline", place / "good")
    tables = result.output.split("similarity")
    assert len(tables) == 3 and all("baseline: good" in part for part in tables), result.output
    assert tables[0].index("baseline: good") < tables[0].index("blown unstable")
    found = json.loads(run(place / "blown", *truths, "--baseline", place / "good", "--json").stdout)
    assert [(one["name"], one["kind"]) for one in found["runs"]] == [("good", "baseline"), ("blown", "run")]
    assert found["runs"][0]["scores"]["s_ke1"] == 0
    assert found["runs"][0]["scores"]["eke1"] == pytest.approx(
        json.loads(run(place / "good", *truths, "--json").stdout)["runs"][0]["scores"]["eke1"]
    )
    read.clear()
    again = run(place / "blown", place / "good", *truths, "--baseline", place / "blown" / ".." / "good", "--json")
    assert read.count("good") == 1
    assert [(one["name"], one["kind"]) for one in json.loads(again.stdout)["runs"]] == [
        ("blown", "run"), ("good", "baseline"),
    ]  # fmt: skip
    assert "baseline" not in run(place / "blown", *truths).output


def test_a_baseline_of_the_same_name_is_told_apart(place, truths, tmp_path):
    shutil.copytree(place / "blown", tmp_path / "good")
    found = json.loads(run(place / "good", *truths, "--baseline", tmp_path / "good", "--json").stdout)
    assert [one["name"] for one in found["runs"]] == [f"{tmp_path.name}/good", f"{place.name}/good"]


def test_json_is_the_only_output(place, truths):
    assert json.loads(run(place / "good", *truths, "--json").stdout)["runs"][0]["name"] == "good"


def test_mistakes(place, truths, tmp_path):
    assert run(place / "good").exit_code == 2  # no truth
    for args, words in (
        ((tmp_path / "none", *truths), "there is no run"),
        ((place / "good", "--truth", tmp_path / "none.npz"), "cannot be read as a climate"),
    ):
        error = run(*args).exception
        assert isinstance(error, HaloclineError) and words in str(error)
    (tmp_path / "namelist_cfg").write_text("&nameval nn_ktail = 20 /\n")
    error = run(place / "good", *truths, "--cfg", tmp_path).exception
    assert isinstance(error, HaloclineError) and "nn_ktail = 20 is above nn_kmax = 16" in str(error)


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c.npz"]
    assert names(paths) == ["a/run", "b/run", "c"]
