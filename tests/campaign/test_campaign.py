"""The comparison of closures on a tiny basin: what a row runs, when it runs again, how it ends, and how rows are judged."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import f90nml
import numpy as np
import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign import forecast, grids, judge, matrix, rows, runs, table
from models.campaign.truth import Truth, distance
from models.evaluation.climate import Climate

TINY = matrix.Grid(24, 5400.0)  # 80 km
QUIET = Console(quiet=True)
NETWORK = Path(__file__).resolve().parents[2] / "models" / "zoo" / "zb20_f4.onnx"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, repo):
    return runs.Campaign(tmp_path_factory.mktemp("campaign"), repo / "build" / "double" / "gyre.exe")


@pytest.fixture(scope="module")
def truth(campaign):
    """Two short records of the same basin: enough for a floor, not for science."""
    climates = []
    for start in (1, 2):
        row = matrix.Row(
            f"truth {start}", "truth", grid=TINY, edits={"namdyn_ldf.rn_cs4": "0.002"}, start=start, years=1
        )
        runs.run(campaign, row, QUIET)
        climates.append(rows.climate(campaign, row, (24, 24)))
    return Truth("trained", climates)


def test_a_namelist_says_what_its_row_says(tmp_path):
    """Grid, wind, length, call period of both exchanges and the hash of the network."""
    row = matrix.Row("net", "network", "unseen", TINY, artefact=NETWORK, every=3, years=2, member=4)
    runs.namelist(row, tmp_path / "namelist_cfg")
    text = f90nml.read(tmp_path / "namelist_cfg")
    assert text["namusr_def"]["nn_nx"] == 24 and text["namusr_def"]["rn_dx"] == 80000.0
    assert text["namrun"]["nn_itend"] == 3 * 360 * 16 and text["namrun"]["nn_write"] == 5 * 16
    assert text["namsbc"]["rn_tauas"] == 0.4 and text["namcpl"]["nn_member"] == 4
    assert [group.get("rn_period") for group in text["namexc"]] == [None, 16200.0, 16200.0]
    assert text["namnet"]["cn_sha256"] == runs.sha256(NETWORK)


def test_an_edit_that_finds_no_group_is_an_error(tmp_path):
    path = tmp_path / "namelist_cfg"
    runs.namelist(matrix.Row("net", "network", artefact=NETWORK), path)
    with pytest.raises(HaloclineError, match="no group &namexc:tendencies"):
        runs.fortran(path, {"namexc:tendencies.rn_period": "9600."})


@pytest.mark.mpi
def test_a_row_runs_once_and_again_when_it_has_changed(campaign):
    row = matrix.Row("once", "Smagorinsky", grid=TINY, edits={"namdyn_ldf.rn_cs4": "0.02"}, years=1)
    first = runs.run(campaign, row, QUIET)
    assert first["status"] == "finished"
    assert runs.run(campaign, row, QUIET)["when"] == first["when"]
    changed = runs.run(campaign, replace(row, edits={"namdyn_ldf.rn_cs4": "0.03"}), QUIET)
    assert changed["namelist"]["sha256"] != first["namelist"]["sha256"]


@pytest.mark.mpi
def test_a_run_that_blows_up_is_a_row_with_its_day(campaign, truth):
    """A restoring so strong that the time step cannot follow; a run that cannot start is an error and no row."""
    row = matrix.Row(
        "hot", "ZB20", grid=TINY, edits={"namzb20.ln_zb20": ".true.", "namzb20.rn_zb_kappa": "1e11"}, years=1
    )
    record = rows.scored(campaign, row, truth, QUIET)
    assert record["status"] == "blew up" and 0 <= record["day"] < 360 and record["scores"] is None
    with pytest.raises(HaloclineError):
        runs.run(runs.Campaign(campaign.folder, Path("no_such_ocean.exe")), replace(row, name="none"), QUIET)
    assert runs.record(campaign, replace(row, name="none")) is None


@pytest.mark.mpi
def test_a_run_that_was_asked_to_end_early_is_no_row(tmp_path, monkeypatch):
    """SIGTERM ends a run in order, with markers of both sides; a part of its years must not be scored as all of them."""

    def stopped(job, console):
        for side in ("ocean", "coupler"):
            marker = {"ended": True, "kt": 1200, "stopped": 1200 if side == "coupler" else 0, "why": "SIGTERM"}
            (job.rundir / f"halocline.{side}.json").write_text(json.dumps(marker))

    row = matrix.Row("net every 3", "network", artefact=tmp_path / "net.onnx")
    monkeypatch.setattr(runs, "prepared", lambda *_: SimpleNamespace(rundir=tmp_path, command=[]))
    monkeypatch.setattr(runs.launch, "run", stopped)
    with pytest.raises(HaloclineError, match="'net every 3' .* is not whole.*SIGTERM.* after step 1200"):
        runs.run(runs.Campaign(tmp_path), row, Console(quiet=True))
    assert not (tmp_path / "row.json").exists()


def test_the_table_holds_floor_scores_and_blow_ups(campaign, truth):
    row = matrix.Row("once", "Smagorinsky", grid=TINY, edits={"namdyn_ldf.rn_cs4": "0.03"}, years=1)
    lost = {"row": "lost", "family": "Leith", "wind": "trained", "status": "blew up", "day": 7, "scores": None}
    found = table.collected(truth, [rows.scored(campaign, row, truth, QUIET), lost], {}, 1)
    page = table.markdown(found)
    assert page.count("noise floor, truth") == 2 and "blew up on day 7" in page
    assert found["rows"][0]["scores"]["years"] == pytest.approx(1, abs=0.05)
    assert table.comma_separated([found]).count("\n") == 3


def _row(name, **scores):
    base = dict.fromkeys((*judge.JUDGED, "tail"), 1.0)
    return {"row": name, "family": "Smagorinsky", "scores": {**base, **scores}}


class _Known(Truth):
    values = dict.fromkeys(judge.JUDGED, 10.0)


def test_the_scan_is_judged_without_grid_noise():
    """The row with the right energy and a noisy tail is not the best; were it admitted, it would be."""
    noisy, calm = _row("noisy", eke1=10.0, tail=1.8), _row("calm", eke1=5.0)
    known = _Known("trained", [])
    assert judge.best([noisy, calm], known)["eke1"] == "calm"
    assert judge.best([{**noisy, "scores": {**noisy["scores"], "tail": 1.0}}, calm], known)["eke1"] == "noisy"


def test_seeds_are_judged_together():
    """The mean over seeds must be near; one that blew up fails whatever the others do."""
    good = {"eke1": 10.0, "eke2": 10.0, "sd_eta": 10.0, "logspec": 0.1, "eta_rmse": 1.0}
    three = [{**_row(f"net_s{n} every 3", **good, tail=1.0), "family": "network"} for n in (1, 2, 3)]
    groups = judge.seeds(three)
    assert list(groups) == ["net every 3"] and len(groups["net every 3"]["rows"]) == 3
    known = _Known("trained", [])
    assert all(holds for _, _, holds in judge.required(groups["net every 3"], known).values())
    lost = judge.seeds([*three[:2], {**three[2], "scores": None}])["net every 3"]
    assert not judge.required(lost, known)["stable"][2]
    far = judge.seeds([{**row, "scores": {**row["scores"], "eke2": 7.0}} for row in three])["net every 3"]
    assert not judge.required(far, known)["eke2"][2]


def test_distances_are_relative_where_the_truth_is_best():
    values = {"eke1": 200.0}
    assert distance("eke1", 150.0, values) == pytest.approx(0.25)
    assert distance("eta_rmse", 1.5, values) == 1.5
    assert distance("r_eke", 0.9, values) == pytest.approx(0.1)
    assert distance("tail", np.e, values) == pytest.approx(1.0)
    assert distance("sd_t", 0.0, {"sd_t": 0.0}) == 0 and distance("sd_t", 0.1, {"sd_t": 0.0}) == np.inf


def test_the_floor_is_truth_against_truth(truth):
    """Not truth against itself, which would be zero."""
    one, other = truth.floors
    assert one["eta_rmse"] == pytest.approx(other["eta_rmse"]) and one["eta_rmse"] > 0
    same = Truth("trained", [truth.records[0], replace(truth.records[0])])
    assert same.floors[0]["eta_rmse"] == 0
    assert isinstance(truth.joint, Climate) and truth.joint.years == pytest.approx(2, abs=0.1)


def test_maps_of_other_grids_are_compared_in_common_boxes(truth):
    """Means over whole cells: a field on a finer grid with the same means is no error, one that is shifted is."""
    record = truth.records[0]
    assert grids.across(record, record)["eta_rmse"] == 0 and grids.across(record, record)["r_eke"] == pytest.approx(1)
    fine = np.random.default_rng(1).normal(size=(60, 60))
    coarse = fine.reshape(12, 5, 12, 5).mean((1, 3)).repeat(3, 0).repeat(3, 1)
    assert np.allclose(grids._boxed(fine, 12), grids._boxed(coarse, 12))
    assert not np.allclose(grids._boxed(fine, 12), grids._boxed(np.roll(coarse, 1, 0), 12))
    odd = replace(record, mesh=record.mesh.closed(23, 23, 80000.0, tuple(record.mesh.gred)))
    with pytest.raises(HaloclineError, match="in common"):
        grids.across(odd, record)


def test_an_ensemble_is_reliable_when_truth_could_be_a_member():
    """Spread over error is 1 then; members that differ by half as much are overconfident."""
    noise = np.random.default_rng(2).normal(size=(11, 40, 1, 3, 8, 8))
    (line,) = forecast._leads(noise[1:], noise[0])
    assert line["eta_spread_skill"] == pytest.approx(1, abs=0.05)
    (narrow,) = forecast._leads(0.5 * noise[1:], noise[0])
    assert narrow["eta_spread_skill"] < 0.6


def test_seeds_winds_and_starts_share_one_cost():
    keys = {
        table.key_of_cost({"row": f"net_s{n} every 3{also}", "family": "network"})
        for n in (1, 2)
        for also in ("", ", start 2")
    }
    assert keys == {"net every 3"}
    assert table.key_of_cost({"row": "net_s1 every 1", "family": "network"}) not in keys
