"""No bad number reaches the ocean unseen: every guard under every policy, counted, located, the same in any layout."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler.contract import OutputSpec
from coupler.errors import HaloclineError
from coupler.grid import Box, Grid, decompose
from coupler.guards.guard import Gauge, Guard, Limits, limits_of
from coupler.guards.interventions import LISTED
from coupler.settings import NamNet
from tests.unit.together import cut, joined, together

pytestmark = pytest.mark.filterwarnings("error")
BOX = Box(3, 5, 6, 4)
CELL = (1, 2, 4)  # k, j, i of the fault: (8, 8, 2) in the global grid, from 1
LIMITS = Limits(-10.0, 10.0, 2.0)
FAULTS = {"finite": np.nan, "infinite": np.inf, "range": 20.0, "rate": 5.0, "novelty": 1.5}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def alone(array):
    return array


def guard(policy, limits=LIMITS, box=BOX, rank=0, allsum=alone, masks=None, **switches):
    group = NamNet(cn_name="net", cn_policy=policy, **switches)
    return Guard("net", group, {"du": limits}, {"du": "utend"}, box, rank, allsum, masks)


def field(value=1.0, dtype="f8"):
    return np.full((2, 4, 6), value, dtype)


def spare():
    return {"du": field(7.0)}


def lines(rank=0):
    with open(f"halocline.guard.{rank:04d}.jsonl") as log:
        return [json.loads(line, parse_constant=pytest.fail) for line in log]


def assert_guarded(policy, fault, expected, fallback=None, dtype="f8"):
    """One bad cell after a good call becomes `expected`; all others keep their bits; it is counted, located, flagged."""
    watch = guard(policy)
    assert watch.check(1, {"du": field(dtype=dtype)}, fallback, False) == {"du": None}
    values = {"du": field(1.5, dtype)}
    values["du"][CELL] = FAULTS[fault]
    left = watch.check(2, values, fallback, novel=False)["du"]
    wanted = field(1.5, dtype)
    wanted[CELL] = expected
    np.testing.assert_array_equal(values["du"], wanted)
    name = "finite" if fault == "infinite" else fault
    assert watch.counters() == {f"du.{name}": 1}
    assert np.argwhere(watch.cells["du"]).tolist() == [list(CELL)]
    assert np.isfinite(values["du"]).all()
    (row,) = lines()
    got = FAULTS[fault]
    assert row == {
        "network": "net", "output": "du", "field": "utend", "policy": policy, "guard": name, "step": 2,
        "i": 8, "j": 8, "k": 2, "value": got if np.isfinite(got) else str(got), "used": expected,
    }  # fmt: skip
    if policy == "fallback" and fallback is None:
        assert np.argwhere(left).tolist() == [list(CELL)]
    else:
        assert left is None


CASES = [
    ("clip", "finite", 0.0, None),  # NaN to 0, which is within 1 +- 2
    ("clip", "infinite", 3.0, None),  # to the bound, then to 1 + 2
    ("clip", "range", 3.0, None),
    ("clip", "rate", 3.0, None),
    *(("zero", fault, 0.0, None) for fault in ("finite", "infinite", "range", "rate")),
    *(("hold", fault, 1.0, None) for fault in ("finite", "infinite", "range", "rate")),
    *(("fallback", fault, 7.0, spare) for fault in ("finite", "infinite", "range", "rate")),
    *(("fallback", fault, 0.0, None) for fault in ("finite", "infinite", "range", "rate")),
]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("policy", "fault", "expected", "fallback"), CASES)
def test_every_policy_meets_every_fault(policy, fault, expected, fallback, dtype):
    assert_guarded(policy, fault, expected, fallback, dtype)


@pytest.mark.parametrize(("policy", "fault", "expected", "fallback"), CASES)
def test_a_blind_guard_is_caught(policy, fault, expected, fallback, monkeypatch):
    monkeypatch.setattr(Gauge, "passes", lambda self, value: True)
    with pytest.raises(AssertionError):
        assert_guarded(policy, fault, expected, fallback)


def test_a_min_max_pass_that_skips_nan_is_caught(monkeypatch):
    monkeypatch.setattr(
        Gauge, "passes", lambda self, value: bool(self.low <= np.nanmin(value) and np.nanmax(value) <= self.high)
    )
    with pytest.raises(AssertionError):
        assert_guarded("zero", "finite", 0.0)


@pytest.mark.parametrize(("policy", "expected"), [("zero", 0.0), ("hold", 1.0), ("fallback", 7.0)])
def test_novel_inputs_make_the_policy_act_on_every_wet_cell(policy, expected):
    mask = np.ones((1, 4, 6))
    mask[0, 0, 0] = 0.0
    watch = guard(policy, masks={"du": mask}, rn_novelty=0.1)
    first = field() * mask
    watch.check(1, {"du": first}, spare, False)
    values = {"du": field(1.5) * mask}
    watch.check(2, values, spare, novel=True)
    np.testing.assert_array_equal(values["du"], field(expected) * mask)
    assert watch.counters() == {"du.novelty": 46}
    assert lines()[0]["cells"] == 46
    with pytest.raises(AssertionError):  # without the mask, land is taken for a wet cell
        twin = guard(policy, rn_novelty=0.1)
        twin.check(2, {"du": field(1.5) * mask}, spare, novel=True)
        assert twin.counters() == {"du.novelty": 46}


def test_land_is_never_guarded():
    """A range without 0, as of 1/std, does not find fault with land."""
    mask = np.ones((1, 4, 6))
    mask[0, 1, 1] = 0.0
    watch = guard("stop", Limits(0.5, 2.0), masks={"du": mask})
    watch.check(1, {"du": field() * mask}, None, False)
    with pytest.raises(HaloclineError, match="allowed are 0.5 to 2"):
        guard("stop", Limits(0.5, 2.0)).check(1, {"du": field() * mask}, None, False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("finite", ["returned nan in 'du' at (i,j,k) = (8,8,2), step 2, rank 0", "'finite'", "only finite numbers"]),
        ("infinite", ["returned inf in 'du' at (i,j,k) = (8,8,2)", "'finite'"]),
        ("range", ["returned 20.0 in 'du'", "'range'", "allowed are -10 to 10", "rn_clip"]),
        ("rate", ["returned 5.0 in 'du'", "'rate'", "it was 1, the largest change is 2", "rn_rate"]),
    ],
)
def test_stop_says_what_where_and_what_to_do(fault, words):
    watch = guard("stop")
    watch.check(1, {"du": field()}, None, False)
    values = {"du": field()}
    values["du"][CELL] = FAULTS[fault]
    with pytest.raises(HaloclineError) as error:
        watch.check(2, values, None, False)
    for word in [*words, "network 'net'", "field 'utend'", "1 of the 48 cells", "cn_policy", "'hold'", "cn_diag"]:
        assert word in str(error.value)
    assert lines()[0]["used"] is None


def test_stop_at_novel_inputs_names_the_switch():
    with pytest.raises(HaloclineError, match=r"not trained on.*rn_novelty = 0.25, step 3"):
        guard("stop", rn_novelty=0.25).check(3, {"du": field()}, None, novel=True)


def test_the_gravest_fault_is_the_one_that_stops():
    values = {"du": field()}
    values["du"][0, 0, 0], values["du"][CELL] = 99.0, np.nan
    with pytest.raises(HaloclineError, match=r"returned nan in 'du' at \(i,j,k\) = \(8,8,2\)"):
        guard("stop").check(1, values, None, False)


def test_clip_without_bounds_makes_numbers_finite():
    values = {"du": field()}
    values["du"][0, 0, :3] = np.nan, np.inf, -np.inf
    guard("clip", Limits()).check(1, values, None, False)
    assert values["du"][0, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    values["du"][0, 0, :3] = np.nan, np.inf, -np.inf
    guard("clip", Limits(-4.0, 5.0)).check(1, values, None, False)
    assert values["du"][0, 0].tolist() == [0.0, 5.0, -4.0, 1.0, 1.0, 1.0]


def test_hold_gives_zero_before_there_is_a_good_value_and_then_the_last_one():
    watch = guard("hold", Limits(-10, 10))
    seen = []
    for kt, value in enumerate([np.nan, 4.0, np.nan, 5.0, 30.0, -np.inf], start=1):
        values = {"du": field(value)}
        watch.check(kt, values, None, False)
        seen.append(values["du"][CELL])
    assert seen == [0.0, 4.0, 4.0, 5.0, 5.0, 5.0]
    assert seen != [0.0, 4.0, np.nan, 5.0, 30.0, -np.inf]


def test_a_zeroed_cell_is_not_locked_out_by_the_rate_guard():
    """After a fault the network returns; 0, which the guard delivered, is no value to measure its change from."""
    watch = guard("zero", Limits(-100.0, 100.0, 2.0))
    for kt, value in enumerate([50.0, np.nan, 50.0], start=1):
        values = {"du": field(value)}
        watch.check(kt, values, None, False)
    assert values["du"][CELL] == 50.0
    twin = guard("zero", Limits(-100.0, 100.0, 2.0))  # the state of a guard that took the 0 for a value
    twin.restore({"du": field(0.0)}, {})
    twin.check(1, values, None, False)
    assert values["du"][CELL] == 0.0


def test_fallback_is_asked_once_and_only_when_needed():
    calls = []

    def standby():
        calls.append(1)
        return {"a": field(2.0), "b": field(3.0)}

    group = NamNet(cn_name="net", cn_policy="fallback")
    watch = Guard("net", group, dict.fromkeys("ab", LIMITS), {"a": "a", "b": "b"}, BOX, 0, alone)
    watch.check(1, {"a": field(), "b": field()}, standby, False)
    assert not calls
    values = {"a": field(), "b": field()}
    values["a"][CELL] = values["b"][CELL] = np.nan
    assert watch.check(2, values, standby, False) == {"a": None, "b": None}
    assert len(calls) == 1
    assert (values["a"][CELL], values["b"][CELL]) == (2.0, 3.0)


@pytest.mark.parametrize("bad", [np.nan, 11.0])
def test_a_standby_that_fails_too_leaves_the_cell_to_the_ocean(bad):
    watch = guard("fallback")
    values = {"du": field()}
    values["du"][CELL] = values["du"][0, 0, 0] = np.nan
    substitute = field(7.0)
    substitute[CELL] = bad
    left = watch.check(1, values, lambda: {"du": substitute}, False)["du"]
    assert np.argwhere(left).tolist() == [list(CELL)]
    assert (values["du"][CELL], values["du"][0, 0, 0]) == (0.0, 7.0)


def test_the_log_is_bounded_and_says_how_much_it_left_out():
    watch = guard("zero", box=Box(0, 0, 30, 20))
    values = {"du": np.full((1, 20, 30), np.nan)}
    watch.check(5, values, None, False)
    rows = lines()
    assert len(rows) == LISTED + 1
    assert rows[-1] == {"network": "net", "step": 5, "not_listed": 600 - LISTED}
    values["du"][0, 0, :2] = np.nan
    watch.check(6, values, None, False)
    assert len(lines()) == LISTED + 3  # the allowance is per check


def test_no_file_without_an_intervention(folder):
    guard("zero").check(1, {"du": field()}, None, False)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("ranks", "stops"), [(2, True), (1, False)])
def test_guard_stop_counts_over_all_ranks(ranks, stops):
    """Three interventions on each rank are more than five on two ranks, and not on one."""

    def rank(allsum):
        watch = guard("zero", allsum=allsum, nn_guard_stop=5)
        watch.restore(None, {"du.range": 1000})  # those of an earlier run do not count
        values = {"du": field()}
        values["du"][0, 0, :3] = np.nan
        try:
            watch.check(4, values, None, False)
        except HaloclineError as error:
            return str(error)
        return ""

    for message in together([rank] * ranks):
        assert bool(message) == stops
        if stops:
            assert "acted on 6 cells" in message and "nn_guard_stop = 5; step 4: 'du' finite 6" in message


def faulty(seed, steps, shape):
    """Random walks with faults of every kind."""
    rng = np.random.default_rng(seed)
    fields = np.cumsum(rng.normal(size=(steps, *shape)), axis=0)
    for value in (np.nan, np.inf, -np.inf, 50.0, -50.0):
        fields[rng.random(fields.shape) < 0.02] = value
    return fields


def run(fields, policy, box, novel=(), allsum=alone, state=None, counters=None, first=1, rank=0):
    watch = guard(policy, Limits(-4.0, 3.0, 1.0), box, rank, allsum, nn_guard_stop=10**9)
    watch.restore(state, counters or {})
    seen, flags = [], []
    for kt, part in enumerate(fields, start=first):
        values = {"du": cut(part, box)}
        left = watch.check(kt, values, None, kt in novel)["du"]
        seen.append(values["du"])
        flags.append(np.zeros(seen[-1].shape, bool) if left is None else left)
    return watch, np.stack(seen), np.stack(flags)


@given(
    st.integers(0, 99),
    st.sampled_from(["clip", "zero", "hold", "fallback"]),
    st.tuples(st.integers(1, 9), st.integers(1, 7)),
    st.sampled_from([2, 3, 4, 6]),
)
def test_any_layout_gives_the_same_bits(tmp_path_factory, seed, policy, size, ranks):
    grid = Grid(size[0] + 5, size[1] + 5)
    whole = Box(0, 0, grid.nx, grid.ny)
    fields = faulty(seed, 4, (2, grid.ny, grid.nx))
    novel = () if policy == "clip" else (3,)
    one, values, flags = run(fields, policy, whole, novel)
    boxes = decompose(grid, ranks)
    parts = together([lambda s, b=box: run(fields, policy, b, novel, s) for box in boxes])
    np.testing.assert_array_equal(joined([p[1] for p in parts], boxes, grid), values)
    np.testing.assert_array_equal(joined([p[2] for p in parts], boxes, grid), flags)
    np.testing.assert_array_equal(joined([p[0].cells["du"] for p in parts], boxes, grid), one.cells["du"])
    totals = {key: sum(p[0].counters().get(key, 0) for p in parts) for key in one.counters()}
    assert totals == one.counters()
    assert np.isfinite(values).all()


def test_a_limit_that_a_rank_takes_from_its_own_cells_is_caught(monkeypatch):
    def outside(self, value):
        return ~(abs(value) <= 2 * np.nanstd(value, where=np.isfinite(value)))

    monkeypatch.setattr(Gauge, "outside", outside)
    grid = Grid(9, 8)
    fields = faulty(1, 3, (2, 8, 9))
    boxes = decompose(grid, 4)
    parts = together([lambda s, b=box: run(fields, "zero", b, (), s) for box in boxes])
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(
            joined([p[1] for p in parts], boxes, grid), run(fields, "zero", Box(0, 0, 9, 8))[1]
        )


@pytest.mark.parametrize("policy", ["clip", "zero", "hold", "fallback"])
def test_a_restart_continues_bit_for_bit_on_other_ranks(policy):
    """Six steps on one rank = three on one, then three on four that read its state; counters continue."""
    grid = Grid(9, 8)
    whole = Box(0, 0, 9, 8)
    fields = faulty(1, 6, (2, 8, 9))
    straight, values, flags = run(fields, policy, whole)
    half, _, _ = run(fields[:3], policy, whole)
    state = half.state()["du"]
    boxes = decompose(grid, 4)

    def second(number, state, allsum):
        box = boxes[number]
        return run(fields[3:], policy, box, (), allsum, {"du": cut(state, box)}, half.counters(), 4, number)

    def resumed(state):
        return together([lambda s, n=n: second(n, state, s) for n in range(4)])

    parts = resumed(state)
    np.testing.assert_array_equal(joined([p[1] for p in parts], boxes, grid), values[3:])
    np.testing.assert_array_equal(joined([p[2] for p in parts], boxes, grid), flags[3:])
    totals = {key: sum(p[0].counters().get(key, 0) for p in parts) for key in straight.counters()}
    assert totals == straight.counters()
    np.testing.assert_array_equal(
        joined([p[0].state()["du"] for p in parts], boxes, grid), straight.state()["du"]
    )  # NaN, for 'there is none', included
    with pytest.raises(AssertionError):  # the restart without its state
        lost = resumed(np.full_like(state, np.nan))
        np.testing.assert_array_equal(joined([p[1] for p in lost], boxes, grid), values[3:])


def test_a_state_of_another_shape_is_refused():
    watch = guard("hold")
    watch.restore({"du": np.zeros((1, 4, 6))}, {})
    with pytest.raises(HaloclineError, match=r"has shape \(1, 4, 6\), the output \(2, 4, 6\)"):
        watch.check(1, {"du": field()}, None, False)


def test_state_is_there_before_the_first_check():
    watch = guard("hold")
    watch.restore({"du": field(3.0)}, {})
    np.testing.assert_array_equal(watch.state()["du"], field(3.0))


def test_state_is_kept_only_where_it_is_needed():
    for policy, limits, kept in [("zero", Limits(-1, 9), []), ("zero", LIMITS, ["du"]), ("hold", Limits(), ["du"])]:
        watch = guard(policy, limits)
        watch.check(1, {"du": field()}, None, False)
        assert list(watch.state()) == kept


def test_limits_come_from_contract_and_namelist():
    spec = OutputSpec(name="du", units="m s-2", point="U", bounds=(-4.0, 1.0), max_rate=0.5)
    assert limits_of(spec, NamNet(cn_name="n"), 10.0) == Limits(-4.0, 1.0, 5.0)
    assert limits_of(spec, NamNet(cn_name="n", rn_clip=2.0, rn_rate=0.1), 10.0) == Limits(-2.0, 1.0, 1.0)
    free = OutputSpec(name="du", units="m s-2", point="U")
    assert limits_of(free, NamNet(cn_name="n"), 10.0) == Limits()
    with pytest.raises(HaloclineError, match="rn_clip = 0.5 m s-2 lies outside the bounds"):
        positive = OutputSpec(name="p", units="m s-2", point="U", bounds=(1.0, 2.0))
        limits_of(positive, NamNet(cn_name="n", rn_clip=0.5), 10.0)


def test_clip_cannot_answer_novelty():
    with pytest.raises(HaloclineError, match="nothing to clip to"):
        guard("clip", rn_novelty=0.5)


def test_report_is_one_line_for_all_ranks():
    def rank(allsum):
        watch = guard("zero", allsum=allsum)
        watch.check(1, {"du": field(np.nan)}, None, False)
        return watch.report()

    assert together([rank] * 2) == ["guards of network 'net' (zero): 'du' finite 96"] * 2
    assert guard("zero").report() == ""
