"""A shadow is compared with the active network over the whole domain and run, and its numbers are those of numpy."""

import json
from pathlib import Path

import numpy as np
import pytest

from coupler.grid import Grid, decompose
from coupler.guards.shadow import LOG, Shadow
from tests.unit.together import cut, together

pytestmark = pytest.mark.filterwarnings("error")
GRID = Grid(9, 7)
STEPS = 4


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def case():
    rng = np.random.default_rng(3)
    shape = (STEPS, 2, GRID.ny, GRID.nx)
    active = rng.normal(size=shape) * 1e-6
    shadow = 0.8 * active + 2e-7 * rng.normal(size=shape) + 1e-7
    mask = (rng.random((1, GRID.ny, GRID.nx)) > 0.3).astype("f8")
    return active * mask, shadow * mask, rng.normal(size=shape), rng.random((1, GRID.ny, GRID.nx)) + 1.0, mask


def wanted(active, shadow, u, w, mask):
    """The same by numpy, on the wet cells of all steps."""
    wet = np.broadcast_to(mask != 0, active.shape)
    a, s, uw = active[wet], shadow[wet], (u * w)[wet]
    return {
        "n": a.size,
        "correlation": np.corrcoef(a, s)[0, 1],
        "rms_active": np.sqrt(np.mean(a**2)),
        "rms_shadow": np.sqrt(np.mean(s**2)),
        "rms_difference": np.sqrt(np.mean((s - a) ** 2)),
        "bias": np.mean(s - a),
        "energy_active": np.sum(uw * a),
        "energy_shadow": np.sum(uw * s),
    }


def compared(ranks, swap=False, masked=True):
    """The score of all steps in one record."""
    active, shadow, u, w, mask = case()
    boxes = decompose(GRID, ranks)

    def rank(number, allsum):
        box = boxes[number]
        beside = Shadow("new", "old", ["du"], number, allsum)
        for kt in range(STEPS):
            pair = [{"du": cut(x[kt], box)} for x in ((shadow, active) if swap else (active, shadow))]
            masks = {"du": cut(mask, box)} if masked else {}
            beside.add(kt + 1, *pair, masks, {"du": (cut(u[kt], box), cut(w, box))})
        return beside.record(STEPS)

    documents = together([lambda s, n=n: rank(n, s) for n in range(ranks)])
    assert all(document == documents[0] for document in documents)
    return documents[0]["fields"]["du"]


@pytest.mark.parametrize("ranks", [1, 2, 6])
def test_scores_are_those_of_numpy_in_any_layout(ranks):
    assert compared(ranks) == pytest.approx(wanted(*case()), rel=1e-11)
    assert len(Path(LOG).read_text().splitlines()) == 1  # rank 0 writes, once


@pytest.mark.parametrize("twin", [{"swap": True}, {"masked": False}])
def test_swapped_networks_and_land_are_caught(twin):
    with pytest.raises(AssertionError):
        assert compared(2, **twin) == pytest.approx(wanted(*case()), rel=1e-11)


def test_records_are_intervals_and_the_report_is_the_run():
    active, shadow, u, w, mask = case()
    beside = Shadow("new", "old", ["du"], 0, lambda a: a, {"du": "m s-2"})
    for kt in range(STEPS):
        beside.add(kt + 1, {"du": active[kt]}, {"du": shadow[kt]}, {"du": mask}, {"du": (u[kt], w)})
        if kt == 1:
            beside.record(2)
            assert beside.record(2) is None
    (line,) = beside.report(STEPS)
    rows = [json.loads(row) for row in Path(LOG).read_text().splitlines()]
    assert [(row["first_step"], row["last_step"], row["calls"]) for row in rows] == [(1, 2, 2), (3, 4, 2)]
    assert rows[1]["fields"]["du"] == pytest.approx(wanted(active[2:], shadow[2:], u[2:], w, mask), rel=1e-11)
    right = wanted(active, shadow, u, w, mask)
    assert line == (
        f"shadow 'new' of 'old', du: correlation {right['correlation']:.4f}, rms {right['rms_shadow']:.3e} "
        f"({right['rms_active']:.3e}), difference {right['rms_difference']:.3e}, bias {right['bias']:.3e} m s-2, "
        f"energy input {right['energy_shadow']:.3e} ({right['energy_active']:.3e})"
    )


def test_a_shadow_that_returns_nonsense_is_compared_where_it_does_not():
    a = np.arange(8.0).reshape(2, 2, 2)
    s = a.copy()
    s[0, 0, 0], s[1, 1, 1], s[0, 1, 1] = np.nan, np.inf, 1e200  # its square would be infinite
    beside = Shadow("new", "old", ["du"], 0, lambda x: x)
    beside.add(1, {"du": a}, {"du": s}, {})
    score = beside.record(1)["fields"]["du"]
    assert (score["n"], score["rms_difference"], score["bias"]) == (5, 0.0, 0.0)
    assert score["correlation"] == pytest.approx(1.0)
    assert np.isnan(s[0, 0, 0])  # the arrays are left alone


def test_a_constant_has_no_correlation_and_an_empty_run_no_score():
    beside = Shadow("new", "old", ["du"], 0, lambda x: x)
    assert beside.report(1) == ["shadow 'new' of 'old', du: no cell to compare"]
    beside.add(1, {"du": np.full((1, 2, 2), 3.0)}, {"du": np.full((1, 2, 2), 4.0)}, {})
    assert beside.record(1)["fields"]["du"]["correlation"] is None
    assert "correlation undefined" in beside.report(2)[0]
