"""Log and trace of coupled runs: every rank, the guards of all of them, an early end, an error, a start that fails."""

import json
import subprocess

import pytest

from coupler.log import read_log
from coupler.trace import add_ocean
from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP
from tests.unit.test_trace import own_seconds, tracks

FAILS = SPINUP + 1
STEPS = 40
LOG = {"cn_verbosity": "debug", "rn_log": 0.02, "nn_log_rank": -1, "ln_trace": True}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    return nets.write(folder, failing=nets.failing(FAILS), filter=nets.FILTER, friction=nets.FRICTION)


def failing(policy, **more):
    groups = nets.groups({"cn_name": "failing", "cn_policy": policy})
    return groups | {"namlog": LOG, **more}


@pytest.fixture(scope="module")
def ended_early(zb20_run, files, tmp_path_factory):
    """Three coupler ranks, guards that act on each, and a wish to end that is there from the start."""
    stop = tmp_path_factory.mktemp("stop") / "halocline.stop"
    stop.touch()
    groups = failing("zero")
    groups["namcpl"]["ln_record"] = True
    return zb20_run(groups, steps=STEPS, ocean=2, coupler=3, link=(*files, stop)).folder


def document(folder, side):
    return json.loads((folder / f"halocline.{side}.json").read_text())


def test_every_rank_says_what_happened(ended_early):
    """From the start to the end, in its own log; guards are counted over all ranks on rank 0, on its own elsewhere."""
    logs = [
        read_log(ended_early / name)
        for name in ("coupler.log.jsonl", "coupler.log.0001.jsonl", "coupler.log.0002.jsonl")
    ]
    last = document(ended_early, "coupler")["kt"]
    assert SPINUP < last < SPINUP + STEPS
    for rank, found in enumerate(logs):
        names = [event["event"] for event in found]
        assert names[:2] == ["launch", "start"] and names[-1] == "end"
        assert {"progress", "phases", "restart", "stop"} <= set(names)
        assert all(event["rank"] == rank and event["time"] and event["level"] for event in found)
        assert found[-1]["kt"] == last
    start, end = logs[0][1], logs[0][-1]
    (net,) = start["networks"]
    assert (net["name"], net["policy"], net["device"]) == ("failing", "zero", "cpu") and len(net["sha256"]) == 64
    assert start["coupler"]["ranks"] == 3 and start["ocean"]["ranks"] == 2 and start["revision"]
    assert [exchange["name"] for exchange in start["exchanges"]] == ["geometry", "state", "tendency"]
    cells = sum(len(path.read_text().splitlines()) for path in ended_early.glob("halocline.guard.*.jsonl"))
    assert end["guards"] == document(ended_early, "coupler")["guards"] == {"failing": {"du.finite": cells}}
    assert 0 < logs[1][-1]["guards"]["failing"]["du.finite"] < cells
    (warned,) = [event for event in logs[0] if event["event"] == "guard"]
    assert warned["kt"] == FAILS and warned["total"] == {"du.finite": cells}
    assert end["seconds"]["total"] == document(ended_early, "coupler")["total"] and len(end["seconds"]["wait"]) == 3


def test_the_trace_of_a_run_that_ends_early(ended_early):
    """One track for every rank; phases nest, and each sums to its timer in the end marker. One phase less does not."""
    marker = document(ended_early, "coupler")
    add_ocean(ended_early, document(ended_early, "ocean"))
    found = tracks(ended_early / "halocline.trace.json")
    assert set(found) == {("coupler", 0), ("coupler", 1), ("coupler", 2), ("ocean", 0), ("ocean", 1)}
    phases = ("wait", "unpack", "pack", "diagnostics", "record", "restart", "start", "end")

    def compare(rank, events):
        seconds = own_seconds(events)
        assert {name: seconds[name] for name in phases} == pytest.approx({n: marker[n][rank] for n in phases}, abs=1e-5)
        net = marker["networks"]["failing"]
        assert seconds["inference failing"] == pytest.approx(net["inference"][rank], abs=1e-5)
        assert seconds["guarding failing"] == pytest.approx(net["guarding"][rank], abs=1e-5)
        assert sum(seconds.values()) == pytest.approx(marker["total"][rank], abs=0.05)

    for rank in range(3):
        compare(rank, found["coupler", rank])
        longest = max((event for event in found["coupler", rank] if event["name"] == "unpack"), key=lambda e: e["dur"])
        with pytest.raises(AssertionError):
            compare(rank, [event for event in found["coupler", rank] if event is not longest])
    assert sum(own_seconds(found["ocean", 1]).values()) == pytest.approx(document(ended_early, "ocean")["total"][1])


def test_a_replay_has_a_log_and_a_trace(ended_early):
    """Beside its answers, from one rank; without --trace there is none, whatever the recorded namelist says."""

    def replay(*more):
        done = subprocess.run(
            ["halocline", "replay", "halocline_record.nc", *more],
            cwd=ended_early,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    replay("--out", "plain.nc")
    assert not (ended_early / "plain_trace.json").exists()
    replay("--trace")
    found = read_log(ended_early / "halocline_replay_coupler.log.jsonl")
    assert [event["event"] for event in found][:2] == ["launch", "start"] and found[-1]["event"] == "end"
    seconds = own_seconds(tracks(ended_early / "halocline_replay_trace.json")["coupler", 0])
    assert seconds["unpack"] == pytest.approx(found[-1]["seconds"]["unpack"][0], abs=1e-5)
    assert "wait" not in seconds and seconds["inference failing"] > 0


def test_an_error_is_the_last_event(zb20_run, files):
    """With the words of halocline.abort; the trace of the rank that saw it is whole, up to there."""
    done = zb20_run(failing("stop"), link=files, coupler=2, ok=False).folder
    found = read_log(done / "coupler.log.jsonl")
    assert found[-1]["event"] == "error" and "guard 'finite'" in found[-1]["message"]
    assert found[-1]["message"] == (done / "halocline.abort").read_text().strip()
    assert "start" in [event["event"] for event in found]
    ((_, events),) = tracks(done / "halocline.trace.json").items()
    seconds = own_seconds(events)
    assert seconds["inference failing"] > 0 and max(event["args"]["kt"] for event in events) == FAILS
    assert not list(done.glob("*trace*.part"))


def test_a_start_that_fails_has_a_log(mpirun, tmp_path):
    """Before the namelist could be read."""
    (tmp_path / "namelist_cfg").write_text("&namcpl rn_timeot = 3. /\n")
    done = mpirun(["halocline", "couple", "."], np=2, cwd=tmp_path)
    assert done.rc != 0
    launched, error = read_log(tmp_path / "coupler.log.jsonl")
    assert launched["event"] == "launch" and "nearest known: 'rn_timeout'" in error["message"]
    assert error["message"] == (tmp_path / "halocline.abort").read_text().strip()
