"""Timers add up, and a trace shows what they hold: phases nest, whatever ends a run; memory is bounded; clocks of nodes agree."""

import json
import time

import pytest

from coupler.ending import rows
from coupler.timers import Timers, by_network, of_phase, write_alone
from coupler.trace import COUPLER, OCEAN, Trace, add_ocean, write


def tracks(path):
    """('coupler' or 'ocean', rank) -> its phases of a trace file."""
    found = {}
    for event in json.loads(path.read_text())["traceEvents"]:
        if event["ph"] == "X":
            found.setdefault(({COUPLER: "coupler", OCEAN: "ocean"}[event["pid"]], event["tid"] - 1), []).append(event)
    return found


def own_seconds(events):
    """Phase -> seconds in it and in no inner phase. AssertionError where two phases overlap without nesting."""
    seconds, under_way = {}, []  # name, end, length, inner [us]

    def leave(until):
        while under_way and under_way[-1][1] <= until + 1e-3:
            name, _, lasted, inner = under_way.pop()
            seconds[name] = seconds.get(name, 0.0) + (lasted - inner) * 1e-6

    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        end = event["ts"] + event["dur"]
        leave(event["ts"])
        if under_way:
            assert end <= under_way[-1][1] + 1e-3, f"{event['name']} ends after {under_way[-1][0]}, in which it began"
            under_way[-1][3] += event["dur"]
        under_way.append([event["name"], end, event["dur"], 0.0])
    leave(float("inf"))
    return seconds


def work(timers, steps=3):
    """Steps with phases in phases, and one that ends with an exception."""
    for kt in range(1, steps + 1):
        with timers.step(kt):
            with timers("wait"):
                time.sleep(1e-3)
            with pytest.raises(ValueError), timers("inference one"):
                with timers("guarding one"):
                    time.sleep(1e-3)
                raise ValueError
            with timers("inference two"):
                time.sleep(1e-3)


def traced(steps=3):
    timers = Timers()
    timers.trace = Trace()
    timers.trace.meet(0, 1)
    work(timers, steps)
    return timers


def test_phases_add_up_to_the_total():
    """An inner phase is not counted in the outer one; a twin that counts it twice does not add up."""
    timers = Timers()
    work(timers)
    total, parts = timers.total(), dict(timers.seconds)
    assert sum(parts.values()) == pytest.approx(total, rel=0.1) and sum(parts.values()) <= total
    assert of_phase(parts, "inference") == pytest.approx(sum(by_network(parts, "inference").values()))
    assert set(by_network(parts, "inference")) == {"one", "two"} and parts["guarding one"] > 3e-3
    twice = {**parts, "inference one": parts["inference one"] + parts["guarding one"]}
    assert sum(twice.values()) > total


def test_every_phase_of_a_trace_sums_to_its_timer(tmp_path):
    """To the nanosecond of each event; a twin with a phase that leaves its step is seen."""
    timers = traced()
    write([timers.trace.close()], {"model": "m"}, tmp_path / "t.json")
    (events,) = tracks(tmp_path / "t.json").values()
    assert own_seconds(events) == pytest.approx(dict(timers.seconds), abs=1e-6)
    assert sorted({event["args"]["kt"] for event in events}) == [1, 2, 3]
    assert min(event["ts"] for event in events) == 0
    late = next(event for event in events if event["name"] == "inference two")
    late["dur"] += 5e3
    with pytest.raises(AssertionError, match="ends after step"):
        own_seconds(events)


def test_a_run_that_breaks_off_leaves_a_trace(tmp_path, monkeypatch):
    """Phases that are under way end with it: a network that hangs is seen."""
    monkeypatch.chdir(tmp_path)
    timers = traced()
    timers.begin("step")
    timers.begin("inference one")
    time.sleep(2e-3)
    write_alone(timers)
    (events,) = tracks(tmp_path / "halocline.trace.json").values()
    assert own_seconds(events)["inference one"] >= timers.seconds["inference one"] + 2e-3
    assert [path.name for path in tmp_path.iterdir()] == ["halocline.trace.json"]


def test_memory_is_bounded(tmp_path):
    """What has no room is counted, what is there still nests; the timers go on."""
    timers = Timers()
    timers.trace = Trace()
    timers.trace.room = 7
    work(timers)
    write([timers.trace.close()], {}, tmp_path / "t.json")
    document = json.loads((tmp_path / "t.json").read_text())
    (events,) = tracks(tmp_path / "t.json").values()
    assert len(events) == 7 and document["otherData"]["dropped events"] == {"rank 0": 3 * 5 - 7}
    assert own_seconds(events)["wait"] < timers.seconds["wait"]
    many = Trace()
    many.meet(3, 100)
    assert many.room == 10_000


def test_clocks_of_two_nodes_are_laid_on_each_other(tmp_path):
    """The other node's clock shows 1000 s more; without the meeting its events would lie 1000 s later."""
    here, there = traced(1).trace.close(), traced(1).trace.close()
    shift = 1000 + here.met - there.met
    far = type(there)(1, "far", there.met + shift, there.names, there.number, there.kt, there.begin + shift,
                      there.end + shift, 0)  # fmt: skip
    write([here, far], {}, tmp_path / "t.json")
    starts = [min(event["ts"] for event in events) for events in tracks(tmp_path / "t.json").values()]
    assert abs(starts[1] - starts[0]) < 1e5
    write([here, type(far)(**{**vars(far), "node": here.node})], {}, tmp_path / "t.json")
    starts = [min(event["ts"] for event in events) for events in tracks(tmp_path / "t.json").values()]
    assert abs(starts[1] - starts[0]) > 9e8


def test_the_ocean_joins_with_its_sums(tmp_path, monkeypatch):
    """Lengths of its end marker, one after the other; a run without a trace stays without."""
    ocean = {"total": [4.0, 4.0], "wait": [1.0, 2.0], "pack": [0.5, 0.5], "unpack": [0.25, 0.25]}
    add_ocean(tmp_path, ocean)
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    write([traced(1).trace.close()], {})
    add_ocean(tmp_path, ocean)
    found = tracks(tmp_path / "halocline.trace.json")
    assert own_seconds(found["ocean", 1]) == pytest.approx(
        {"computing": 1.25, "waiting for the coupler": 2.0, "packing": 0.5, "unpacking": 0.25}
    )
    assert ("coupler", 0) in found and len(list(tmp_path.iterdir())) == 1


def test_rows_of_the_table_add_up():
    """Every side, every rank; a phase without a row would be missing in one that says 'loop, log'."""
    phases = (
        "wait",
        "unpack",
        "inference",
        "guarding",
        "pack",
        "relay",
        "diagnostics",
        "record",
        "restart",
        "start",
        "end",
    )
    parts = {"one": {"inference": [0.5, 0.75]}, "two": {"inference": [1.5, 1.25]}}
    coupler = {"side": "coupler", "total": [20.0, 30.0], "networks": parts} | {phase: [1.0, 1.5] for phase in phases}
    coupler["inference"] = [2.0, 2.0]
    ocean = {"side": "ocean", "total": [5.0], "wait": [1.0], "pack": [0.5], "unpack": [0.25]}
    found = rows({"ocean": ocean, "coupler": coupler})
    labels = [label for _, label, _ in found]
    assert labels[3:6] == ["inference", "  one", "  two"] and {"diagnostics", "restarts", "start", "end"} <= set(labels)
    for rank in range(2):
        own = {label: seconds[rank] for side, label, seconds in found if side == "coupler" and label[0] != " "}
        assert sum(own.values()) == pytest.approx(coupler["total"][rank])
        assert own["loop, log"] == pytest.approx(coupler["total"][rank] - 2 - 10 * (1.0, 1.5)[rank])
    assert sum(seconds[0] for side, _, seconds in found if side == "ocean") == pytest.approx(5.0)
    assert "recording" not in [label for _, label, _ in rows({"ocean": ocean, "coupler": coupler | {"record": [0, 0]}})]
