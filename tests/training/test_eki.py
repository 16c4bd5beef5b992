"""cn_mode = 'eki': ensembles of runs find the coefficient of a truth, also after a kill and with runs that blow up."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from coupler.errors import HaloclineError
from models.data import ocean, store
from models.eki import log, update
from models.eki.card import doubts
from models.eki.log import Iteration
from models.eki.loop import first, invert
from models.eki.members import Ensemble, Member, Start
from models.eki.observed import _blocks, _layers, observation, shrunk
from models.eki.parameters import Parameter, prior
from models.evaluation.mesh import Mesh
from models.evaluation.scores import COLUMNS
from models.evaluation.states import Piece
from models.settings import NamEki, NamTrain, load
from models.training import history
from models.training.folder import run_folder
from tests.assimilation.small import TIME
from tests.conftest import end_session
from tests.data.tiny import over, text

DAY, SPINUP, RECORDS = 86400.0, 720, 60
WIND = 0.1  # N m-2, that the truth is made with
MODEL = {
    "namrun": {"cn_exp": "EKI", "nn_stat": 0, "nn_write": 0},
    "namusr_def": {"nn_nx": 12, "nn_ny": 12, "rn_dx": 40000.0, "rn_pert": 20.0},
    "namdom": {"rn_dt": 3200.0},
    "namsbc": {"rn_tau0": WIND},
}
EKI = {
    "cn_parameters": "namsbc.rn_tau0", "rn_first": 0.2, "rn_spread": 1.5, "cn_observed": ["spectrum", "ssh"], "nn_boxes": 2,
    "nn_members": 6, "nn_iterations": 2, "cn_step": "constant", "rn_days": 15.0, "rn_spinup": 5.0,
}  # fmt: skip
STATE = {"u": "vozocrtx", "v": "vomecrty", "h": "thkcello", "sst": "sosstsst"}


# --- the update: a linear model with Gaussian errors has an answer in closed form -------------------------------------


def linear(members, seed=3):
    """A prior ensemble (members, 2), a model (12, 2) and observations (12,), in units of their error."""
    rng = np.random.default_rng(seed)
    model = rng.normal(size=(12, 2))
    x = rng.normal(size=(members, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]]) + [2.0, -1.0]
    return x, model, model @ [0.5, 0.7] + rng.normal(size=12)


def kalman(x, model, y):
    """Mean and covariance of the posterior of the Gaussian of these members."""
    prior = np.linalg.inv(np.cov(x.T))
    covariance = np.linalg.inv(prior + model.T @ model)
    return covariance @ (prior @ x.mean(0) + model.T @ y), covariance


def inverted(x, model, y, method, change=lambda x, moved: moved):
    """Steps by the misfit until they sum to 1."""
    rng, done, steps = np.random.default_rng(5), 0.0, 0
    while done < 1 - 1e-12:
        g = x @ model.T
        h = update.step(update.misfit(g, y), len(y), done)
        x, done, steps = change(x, update.update(x, g, y, h, method, rng)), done + h, steps + 1
    return x, steps


@pytest.mark.parametrize(("method", "members", "error"), [("transform", 6, 1e-9), ("perturbed", 700, 0.1)])
def test_steps_that_sum_to_one_lead_to_the_kalman_answer(method, members, error):
    """Mean and covariance, however many steps there are; to round-off, or to the sampling of the perturbations."""
    x, model, y = linear(members)
    mean, covariance = kalman(x, model, y)
    found, steps = inverted(x, model, y, method)
    spread = np.sqrt(np.diag(covariance))
    assert steps > 1
    np.testing.assert_allclose((found.mean(0) - mean) / spread, 0.0, atol=error)
    np.testing.assert_allclose(
        np.cov(found.T) / np.outer(spread, spread), covariance / np.outer(spread, spread), atol=error
    )


def test_a_gain_with_the_wrong_sign_and_missing_perturbations_are_caught(monkeypatch):
    """The mean runs away; the members fall together to less than the posterior's spread."""
    x, model, y = linear(400)
    mean, covariance = kalman(x, model, y)
    right = update.gained
    monkeypatch.setattr(update, "gained", lambda *args: -right(*args))
    wrong = update.update(x, x @ model.T, y, 1.0, "transform", np.random.default_rng(5))
    assert np.linalg.norm(wrong.mean(0) - mean) > np.linalg.norm(x.mean(0) - mean)
    monkeypatch.setattr(update, "gained", right)

    class Silent:
        def standard_normal(self, shape):
            return np.zeros(shape)

    bare = update.update(x, x @ model.T, y, 1.0, "perturbed", Silent())
    assert np.trace(np.cov(bare.T)) < 0.7 * np.trace(covariance)


def test_members_that_failed_are_drawn_from_the_others():
    """Their outputs do not matter; they come back with the mean and the spread of the rest. Too few survivors: words."""
    x, model, y = linear(300)
    g = x @ model.T
    alive = np.arange(300) % 3 > 0
    moved = [
        update.with_survivors(
            x, np.where(alive[:, None], g, fill), alive, y, 1.0, "transform", np.random.default_rng(1)
        )
        for fill in (np.nan, 1e9)
    ]
    assert np.array_equal(*moved)
    mean, covariance = kalman(x[alive], model, y)
    assert np.abs((moved[0][~alive].mean(0) - mean) / np.sqrt(np.diag(covariance))).max() < 0.4
    assert np.trace(np.cov(moved[0][~alive].T)) == pytest.approx(np.trace(covariance), rel=0.3)
    with pytest.raises(HaloclineError, match="200 of 300 members failed; at least half"):
        update.with_survivors(x, g, ~alive, y, 1.0, "transform", np.random.default_rng(1))


def test_the_error_of_fewer_blocks_than_numbers_can_be_inverted():
    """Correlations are shrunk, variances are those of the blocks; unshrunk the matrix is singular."""
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 30)) + 0.3 * rng.normal(size=(9, 30))
    found = shrunk(samples)
    np.testing.assert_allclose(np.diag(found), samples.var(0, ddof=1))
    assert np.linalg.eigvalsh(found).min() > 1e-3 * np.linalg.eigvalsh(found).max()
    assert np.linalg.matrix_rank(np.cov(samples.T)) < 30


def test_blocks_are_whole_and_in_order():
    pieces = [
        Piece(np.arange(a, b), *[np.zeros((b - a, 1, 1, 1))] * 3, np.zeros((b - a, 1, 1))) for a, b in ((0, 5), (5, 11))
    ]
    found = [np.concatenate([one.seconds for one in block]).tolist() for block in _blocks(iter(pieces), 3)]
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_boxes_are_means_over_their_wet_cells():
    """Weighted by area, without land, layer by layer; a box of land alone is no number."""
    mesh = Mesh.closed(4, 6, 1000.0)
    wet = np.ones((2, 4, 6))
    wet[0, :2, :3] = 0.0
    wet[1, 3, 5] = 0.0
    mesh = replace(mesh, tmask=wet)
    maps = np.where(wet > 0, np.arange(48.0).reshape(2, 4, 6), np.nan)
    found = _layers(maps, mesh, 2)
    wanted = [
        np.nanmean(maps[k, j : j + 2, i : i + 3])
        for k in (0, 1)
        for j in (0, 2)
        for i in (0, 3)
        if (k, j, i) != (0, 0, 0)
    ]
    np.testing.assert_allclose(found, wanted)
    assert len(_layers(maps[:1], mesh, 2)) == 3 and not np.allclose(
        _layers(maps, replace(mesh, tmask=wet[:, ::-1]), 2)[:3], wanted[:3]
    )


def test_the_first_ensemble_has_the_prior():
    parameters = [Parameter("a.b", "log", 1.0, 0.5), Parameter("a.c", "none", -3.0, 2.0)]
    x = first(parameters, 200, 1)
    np.testing.assert_allclose(x.mean(0), [1.0, -3.0], atol=0.02)
    np.testing.assert_allclose(x.std(0), [0.5, 2.0], rtol=0.05)
    assert not np.array_equal(x, first(parameters, 200, 2)) and abs(np.corrcoef(x.T)[0, 1]) < 0.2


# --- the whole, with an ocean of 12 x 12 cells ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Daily states of the ocean with its wind, after a spin-up, as `halocline coarsen` writes them."""
    folder = tmp_path_factory.mktemp("truth")
    run = {"nn_itend": 27 * (SPINUP + RECORDS), "nn_write": 27}
    changes = {"namrun": run, "namdia": {"ln_mean": False}}
    ocean.run(ocean.executable("double"), folder, text(over(MODEL, changes)))
    with (
        xr.open_dataset(next(folder.glob("*inst.nc")), decode_times=False) as file,
        xr.open_dataset(folder / "mesh_mask.nc", decode_times=False) as mesh,
    ):
        states = {name: np.nan_to_num(file[called].values)[SPINUP:] for name, called in STATE.items()}
        static = {
            f"{point}mask": (("k", "y", "x"), mesh[f"{point}mask"].values.reshape(2, 14, 14).astype("f4"), {})
            for point in "tuvf"
        }
        names = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")
        static |= {name: (("y", "x"), mesh[name].values.reshape(14, 14).astype("f4"), {}) for name in names}
    static["gred"] = ("k", np.array([0.008, 0.008], "f4"), {})
    with store.Writer(folder / "truth.zarr", TIME, static, {}) as writer:
        writer.append(DAY * np.arange(SPINUP + 1, SPINUP + RECORDS + 1), states)
    return folder / "truth.zarr"


def configured(folder, truth, **changes):
    """A CFG that fits the wind of the ocean that it describes itself."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {"cn_ocean": str(folder), "cn_exe": str(ocean.executable("double")), "cn_truth": str(truth)}
    groups = over(MODEL, {"namtrain": {"cn_name": "wind", "cn_mode": "eki", "nn_seed": 5}, "nameki": EKI | places})
    (folder / "namelist_cfg").write_text(text(over(groups, changes)))
    return folder


def fitted(folder, truth, **changes):
    """The run folder of an inversion, and what it printed."""
    said = Console(file=io.StringIO(), width=400)
    out = invert(configured(folder / "cfg", truth, **changes), folder / "out", console=said)
    return out, said.file.getvalue()


def rows(out):
    return list(csv.DictReader((out / "history.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def whole(truth, tmp_path_factory):
    """An inversion whose first ensemble has a member that blows up, with a judged run beside a conventional row."""
    folder = tmp_path_factory.mktemp("whole")
    keys = [column.key for column in COLUMNS]
    row = {"row": "Smagorinsky", "scores": {**dict.fromkeys(keys, 0.0), "r_eke": 1.0, "tail": 1.0, "h1_rmse": 1e6}}
    scan = {
        "winds": {"trained": {"best": {"overall": "Smagorinsky"}, "rows": [row], "truth": dict.fromkeys(keys, 1.0)}}
    }
    (folder / "scan.json").write_text(json.dumps(scan))
    judge = {"rn_judge": 20.0, "cn_conventional": str(folder / "scan.json")}
    return fitted(folder, truth, nameki=judge, nameval={"rn_skip": 5.0})


@pytest.mark.mpi
def test_the_wind_of_the_truth_is_found(whole):
    """The misfit falls to what a perfect model has; namelist and figure are there, run folders are gone."""
    out, _ = whole
    assert ocean.read_switches(out / "fitted")["namsbc", "rn_tau0"] == pytest.approx(WIND, rel=0.05)
    misfits = [
        np.mean([float(row["misfit"]) for row in rows(out) if row["iteration"] == n and row["misfit"]]) for n in "012"
    ]
    assert misfits[2] < 2.0 < 0.1 * misfits[0]
    assert "nameki" not in (out / "fitted" / "namelist_cfg").read_text() and (out / "eki.png").stat().st_size > 5000
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "climate.npz", "eki.json", "eki.png", "fitted", "history.csv", "members", "namelist_cfg", "scores.json",
    ]  # fmt: skip


@pytest.mark.mpi
def test_a_member_that_blew_up_is_named_and_drawn_anew(whole):
    """In the log, the table and the card, by its number, values and day; it never counts as one that ran."""
    out, said = whole
    (failed,) = [row for row in rows(out) if row["status"] != "finished"]
    assert failed["iteration"] == "0" and float(failed["namsbc.rn_tau0"]) > 5 and failed["misfit"] == ""
    assert f"member {failed['member']} blew up on day {failed['day']}" in said and "5 of 6 came through" in said
    card = (out / "README.md").read_text()
    assert "17 of 18 runs were stable" in card and f"| 0 | {failed['member']} |" in card
    again = next(row for row in rows(out) if (row["iteration"], row["member"]) == ("1", failed["member"]))
    assert float(again["namsbc.rn_tau0"]) < 1 and again["status"] == "finished"


@pytest.mark.mpi
def test_the_card_says_what_is_worse_than_the_conventional_row(whole):
    card = (whole[0] / "README.md").read_text()
    worse = re.search(r"Worse than the best conventional closure, Smagorinsky: (.*) \(", card)[1]
    assert "SSH rmse" in worse and "h1 rmse" not in worse
    assert "judged against another truth" in card and "stable for 20 days" in card


@pytest.mark.mpi
def test_tensorboard_shows_each_iteration_once(whole, truth, tmp_path, monkeypatch):
    """Means over the members of the table; what a call that goes on shows again is hidden, but not by its twin."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    out = shutil.copytree(whole[0], tmp_path / "out")
    ocean_of = {"cn_ocean": str(whole[0].parent / "cfg")}
    cfg = configured(tmp_path / "cfg", truth, namtrain={"cn_log": "tensorboard"}, nameki=ocean_of)

    def shown():
        invert(cfg, out, console=Console(quiet=True))
        board = EventAccumulator(str(out / "tensorboard")).Reload()
        return {tag: [(one.step, one.value) for one in board.Scalars(tag)] for tag in board.Tags()["scalars"]}

    monkeypatch.setattr(log, "draw", lambda *args: None)
    assert len(shown()["misfit/mean"]) == 3
    found, table = shown(), rows(out)
    for tag, column, power in (("misfit/mean", "misfit", 1), ("distance/ssh", "ssh", 2)):
        each = [[float(row[column]) for row in table if row["iteration"] == n and row["misfit"]] for n in "012"]
        means = [np.mean(np.array(one) ** power) ** (1 / power) for one in each]
        assert [step for step, _ in found[tag]] == [0, 1, 2]
        np.testing.assert_allclose([value for _, value in found[tag]], means, rtol=1e-4)
    fit = ocean.read_switches(out / "fitted")["namsbc", "rn_tau0"]
    assert found["switch/namsbc.rn_tau0"][-1][1] == pytest.approx(fit, rel=1e-6)

    class Bare(history.Scalars):
        def __init__(self, folder, first):
            self._file = SummaryWriter(folder / "tensorboard")

    monkeypatch.setattr(history, "Scalars", Bare)
    assert [step for step, _ in shown()["misfit/mean"]] == [0, 1, 2, 0, 1, 2]


def test_tensorboard_that_is_not_installed_is_told(tmp_path, monkeypatch):
    """Only where it is asked for."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with log.board(tmp_path, NamTrain()) as shown:
        assert shown is None
    wanted = log.board(tmp_path, NamTrain(cn_log="tensorboard"))
    with pytest.raises(HaloclineError, match="torch.utils.tensorboard(.|\n)*cn_log(.|\n)*'csv'"), wanted:
        pass


def test_a_folder_with_other_things_is_left_alone(truth, tmp_path):
    """Also with --overwrite; one in which an inversion was killed at its begin is not such a folder."""
    cfg, letter = configured(tmp_path / "cfg", truth), tmp_path / "out" / "letter"
    letter.parent.mkdir()
    letter.touch()
    with pytest.raises(HaloclineError, match=r"no folder of an inversion \(no eki.json\)(.|\n)*--rundir"):
        invert(cfg, letter.parent, overwrite=True, console=Console(quiet=True))
    assert letter.exists()
    shutil.copy(cfg / "namelist_cfg", letter.parent)
    assert run_folder(cfg, letter.parent, True, "an inversion", "eki.json", "nameki") == letter.parent
    assert not letter.exists()


def test_a_fit_under_torchrun_is_refused(truth, tmp_path, monkeypatch):
    """Two processes would run the same members into the same folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HaloclineError, match="one process"):
        invert(configured(tmp_path / "cfg", truth), tmp_path / "out", console=Console(quiet=True))


def test_a_fit_in_doubt_says_so():
    """Steps that did not come to 1, an error that no run comes near, an end worse than before; nothing where all is well."""

    def after(*misfits, done=1.0):
        found = [Iteration(n, np.zeros((2, 1)), [], np.array(one), 0.5, done) for n, one in enumerate(misfits)]
        return " ".join(doubts(found, 4.0))

    assert after([9.0, 5.0], [1.2, np.nan], [1.1, 1.0]) == ""
    assert "sum to 0.6 of 1" in after([9.0, 5.0], [1.2, 1.0], done=0.6)
    assert "Set it to 6 or so" in after([9.0, 5.0], [2.4, 2.25])
    assert "iteration 1 had 1.1" in after([9.0, 5.0], [1.2, 1.0], [2.0, 1.0])


@pytest.mark.mpi
def test_a_killed_inversion_goes_on_to_the_same_result(whole, truth, tmp_path):
    """SIGKILL amid the second ensemble, a run still going: members that have run are kept, the rest is run."""
    cfg, out, said = configured(tmp_path / "cfg", truth), tmp_path / "out", tmp_path / "said.txt"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "coupler.cli", "train", str(cfg), "--rundir", str(out)], cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + 240
    try:
        while len(list(out.glob("members/*.json"))) < 8:
            assert process.poll() is None and time.monotonic() < until, said.read_text()
            time.sleep(0.02)
        process.kill()
        kept = {path: path.stat().st_mtime_ns for path in out.glob("members/*.json")}
        assert 8 <= len(kept) < 12
        invert(cfg, out, console=Console(file=io.StringIO()))
    finally:
        process.kill()
        end_session(process)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    same = [[{key: row[key] for key in row if key != "seconds"} for row in rows(one)] for one in (out, whole[0])]
    assert same[0] == same[1]
    values = [ocean.read_switches(one / "fitted")["namsbc", "rn_tau0"] for one in (out, whole[0])]
    assert values[0] == values[1]


@pytest.mark.mpi
def test_results_of_other_values_are_not_kept(whole, truth, tmp_path):
    """A member is what it was run with: another value or another start is another run; so is another inversion."""
    out, _ = whole
    (eki,) = load(out, NamEki)
    ensemble = Ensemble.of(eki, prior(eki), observation(eki), out)
    (row,) = [one for one in rows(out) if (one["iteration"], one["member"]) == ("1", "0")]
    path, state = row["start"].rsplit(" state ", 1)
    member = Member(1, 0, (float(row["namsbc.rn_tau0"]),), Start(Path(path), int(state) - 1))
    assert ensemble.result(member)["status"] == "finished"
    assert ensemble.result(replace(member, values=(member.values[0] * (1 + 1e-15),))) is None
    assert ensemble.result(replace(member, start=Start(Path(path), int(state)))) is None
    with pytest.raises(HaloclineError, match="rn_error: 1.0 there, 2.0 now"):
        invert(configured(tmp_path / "cfg", truth, nameki={"rn_error": 2.0}), out, console=Console(quiet=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cn_parameters": "namsbc.rn_tau"}, ("'namsbc.rn_tau' is no switch", "namsbc.rn_tau0", "cn_parameters")),
        ({"cn_parameters": "namrun.nn_itend"}, ("holds one real number",)),
        ({"cn_parameters": "namnet:closure.rn_scale"}, ("no &namnet with cn_name = 'closure'",)),
        ({"rn_first": -1.0}, ("ln of it is needed", "cn_transform = 'none'")),
        ({"rn_first": [1.0, 2.0]}, ("2 entries for 1 switches",)),
        ({"cn_observed": ["ssh", "eddies"]}, ("'eddies'", "eke_map")),
        ({"rn_spinup": 4.5}, ("no multiple of 1 days", "rn_spinup")),
        ({"rn_days": 30.0}, ("2 blocks of 25 days", "4 or more")),
        ({"cn_restart": "none.nc"}, ("no restart none.nc",)),
        ({"cn_conventional": "none.json"}, ("no best row", "cn_conventional")),
        (
            {"nn_members": 4, "cn_parameters": ["namsbc.rn_tau0", "namdyn_ldf.rn_cs4"], "rn_first": [1.0, 1.0]},
            ("Take 6",),
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(truth, tmp_path, change, words):
    with pytest.raises(HaloclineError) as error:
        invert(configured(tmp_path / "cfg", truth, nameki=change), tmp_path / "out", console=Console(quiet=True))
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not (tmp_path / "out" / "members").exists()
