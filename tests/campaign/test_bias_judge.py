"""How bias corrections are judged: against the free model, the climatology, the first increments, the closure."""

from dataclasses import replace

import pytest

from coupler.errors import HaloclineError
from models.campaign import bias_increments, bias_judge, bias_rows, bias_table
from models.campaign.truth import Truth
from models.evaluation.scores import COLUMNS, KEYS

BEST = {column.key: 10.0 if column.best in ("truth", "") else float(column.best) for column in COLUMNS}
FREE = {**BEST, **dict.fromkeys(bias_judge.MEANS, 3.0)} | {
    key: 2.0 for key in bias_judge.MOMENTS if BEST[key] == 10.0
} | {"sd_rmse": 6.0, "sd_t_rmse": 0.6, "r_eke": 0.4, "logspec": 0.7, "tail": 0.3}  # fmt: skip
CLIMATOLOGY = {**FREE, **dict.fromkeys(bias_judge.MEANS, 1.6)}
GOOD = {**BEST, **dict.fromkeys(bias_judge.MEANS, 1.0), "sd_rmse": 1.0, "sd_t_rmse": 0.1, "r_eke": 0.98, "logspec": 0.1}


class _Known(Truth):
    values = BEST
    floors = ()

    def expected(self, years):
        return dict.fromkeys(KEYS[1:], 1.2)


TRUTH = _Known("asis", [])


def row(name="insert network s1", scores=GOOD, **facts):
    return {"row": name, "family": "network", "wind": "asis", "status": "finished", "scores": scores, **facts}


def network(seed, scores=GOOD, **facts):
    correction = bias_rows.Correction("asis", "insert", False, "network", seed)
    return row(correction.name, scores, **vars(correction), design=correction.design, **facts)


def test_a_good_network_passes_and_each_fault_fails():
    """One seed that blew up, an error that is not cut, a second moment no better than the climatology's: each is a failure."""
    seeds = [network(seed) for seed in (1, 2, 3)]
    assert all(one.holds for one in bias_judge.required(seeds, FREE, CLIMATOLOGY, TRUTH))
    lost = [*seeds[:2], {**seeds[2], "scores": None, "status": "blew up", "day": 400}]
    assert not bias_judge.required(lost, FREE, CLIMATOLOGY, TRUTH)[0].holds
    warm = [{**one, "scores": {**GOOD, "t_rmse": 1.5}} for one in seeds]
    failed = [one.what for one in bias_judge.required(warm, FREE, CLIMATOLOGY, TRUTH) if not one.holds]
    assert len(failed) == 2 and all(what.startswith("t_rmse") for what in failed)
    calm = [{**one, "scores": {**GOOD, "sd_t": FREE["sd_t"]}} for one in seeds]
    assert [one.what[:5] for one in bias_judge.required(calm, FREE, CLIMATOLOGY, TRUTH) if not one.holds] == ["sd_t:"]


def test_a_climatology_is_no_network():
    """The climatological increment itself, called a network, fails in T and in every second moment."""
    verdicts = bias_judge.required([network(1, CLIMATOLOGY)], FREE, CLIMATOLOGY, TRUTH)
    assert {one.what.split(":")[0] for one in verdicts if not one.holds} >= {"t_rmse", *bias_judge.MOMENTS}


def test_closure_and_correction_must_beat_the_better_alone():
    verdicts = bias_judge.together([network(1)], [network(1, {**GOOD, "h1_rmse": 1.4})], FREE, TRUTH)
    assert all(one.holds for one in verdicts)
    worse = bias_judge.together([network(1, {**GOOD, "h1_rmse": 1.5})], [network(1)], FREE, TRUTH)
    assert [one.what.split(":")[0] for one in worse if not one.holds] == ["h1_rmse"]


def test_sparse_observations_are_compared_with_insertion():
    assert all(one.holds for one in bias_judge.sparse([network(1, {**GOOD, "t_rmse": 1.19})], [network(1)]))
    assert not all(one.holds for one in bias_judge.sparse([network(1, {**GOOD, "t_rmse": 1.21})], [network(1)]))


def test_increments_are_compared_field_by_field():
    """Half of one field and nine tenths of the other: the root mean square, not the mean of what is large in its units."""
    before, after = {"h1": 8.0, "sst": 0.2}, {"h1": 7.2, "sst": 0.1}
    found = bias_increments.compared(before, after)
    assert found["ratio"] == pytest.approx({"h1": 0.9, "sst": 0.5})
    assert found["total"] == pytest.approx((0.5 * (0.81 + 0.25)) ** 0.5)
    assert bias_judge.smaller(found)[0].holds and not bias_judge.smaller({"total": 0.9})[0].holds
    with pytest.raises(HaloclineError, match="cannot be compared"):
        bias_increments.compared(before, {"h1": 7.2})


def test_a_run_that_does_harm_is_flagged():
    assert not bias_judge.harmful(row(), FREE, TRUTH)
    assert bias_judge.harmful(row(scores={**GOOD, "h2_rmse": 3.1}), FREE, TRUTH) == ["h2_rmse 3.1, free 3"]
    lost = {**row(scores=None), "day": 3, "message": "the run blew up"}
    assert bias_judge.harmful(lost, FREE, TRUTH) == ["blew up on day 3: the run blew up"]


def test_the_table_leaves_no_run_out():
    """Truth, floor, every seed and the one that blew up, in page and CSV; the design of two seeds has its mean."""
    twin = bias_rows.TWINS["asis"]
    lost = {**network(3, None), "status": "blew up", "day": 77}
    climatology = {**row("insert climatology", CLIMATOLOGY), "family": "climatology"}
    alone = {**row("free", FREE), "family": "free"}
    found = bias_table.collected(twin, TRUTH, [alone, climatology, network(1), network(2)], {}, 20)
    assert found["means"]["insert network"] == pytest.approx(GOOD)
    assert found["ratios"]["insert network"]["t_rmse"] == pytest.approx(3.0)
    assert all(one["holds"] for one in found["verdicts"]["insert network"] if one["must"])
    page = bias_table.markdown(found)
    assert "mean of 2: insert network" in page and "16 of 16 musts hold" in page
    assert bias_table.summary(found) == ["asis: insert network: 16 of 16 musts hold, 3 of 3 aims hold"]
    assert "Worse than the free model" not in page
    broken = bias_table.collected(twin, TRUTH, [alone, climatology, network(1), network(2), lost], {}, 20)
    assert broken["means"]["insert network"] is None
    assert "blew up on day 77" in (page := bias_table.markdown(broken)) and "- insert network s3: blew up" in page
    assert bias_table.comma_separated([broken]).count("\n") == 2 + 5


def test_the_rows_of_a_plan_are_what_was_asked_for():
    """One climatology and three seeds for each method, with and without the closure; names are unique, so are their folders."""
    twin = bias_rows.TWINS["wind"]
    planned = list(bias_rows.corrections(twin, ["insert", "enoi"], [False, True], 3, ["climatology", "network"]))
    assert len(planned) == 2 * 2 * (1 + 3)
    assert len({one.name for one in planned}) == len({one.label for one in planned}) == len(planned)
    first = planned[1]
    assert first.name == "insert network s1" and replace(first, closure=True).name == "insert network on closure s1"
