"""The log of a run: nothing is lost, before the namelist and after a crash; progress is one for file, line and event."""

import io
import json
import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from coupler import log, progress, screen
from coupler.errors import HaloclineError
from coupler.handshake import PROTOCOL, GridPart, Handshake, TimePart
from coupler.log import Log, close_log, read_log
from coupler.progress import Count, Progress
from coupler.settings import NamLog
from coupler.timers import Timers

LATER = 3600
SHAKE = Handshake(
    protocol=PROTOCOL,
    transport="mpi",
    model="ocean",
    time=TimePart(rn_Dt=3600.0, nn_it000=1, nn_itend=100, date0=20000101, calendar="360_day", level="now"),
    fields=[],
    declared=[0],
    grids=[GridPart(name="", nx=4, ny=4, boundary="closed", domains=[(0, 0, 4, 4)])],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events(name="coupler.log.jsonl"):
    return [event["event"] for event in read_log(log.LOG_FILE.with_name(name))]


def opened(rank=0, size=1, **switches):
    made = Log()
    made.open(NamLog(**switches), rank, size)
    return made


def test_what_comes_before_the_namelist_is_kept():
    """In its order and with its time; without the wait it would be gone."""
    made = Log()
    made("early", number=1)
    time.sleep(2e-3)
    made.open(NamLog(cn_verbosity="debug"), 0, 1)
    made("late", "warning")
    first, early, late = read_log(log.LOG_FILE)
    assert [e["event"] for e in (first, early, late)] == ["launch", "early", "late"]
    assert early["number"] == 1 and early["time"] < late["time"] and late["time"].endswith("Z")
    assert (early["level"], late["level"], late["rank"]) == ("info", "warning", 0)


def test_every_event_is_in_the_file_at_once():
    """Nothing waits in a buffer: a process that dies now has said it. The twin with a buffer has an empty file."""
    made = opened()
    made("one")
    assert events() == ["one"]
    with open("buffered", "w") as out:
        out.write(json.dumps({"event": "one"}) + "\n")
        assert read_log(log.LOG_FILE.with_name("buffered")) == []


def test_a_fact_cannot_hide_what_every_event_has():
    made = opened()
    made("start", time="later", rank=7)
    (event,) = read_log(log.LOG_FILE)
    assert event["rank"] == 0 and event["time"].endswith("Z")


@pytest.mark.parametrize(("wanted", "files"), [(0, {0}), (2, {0, 2}), (-1, {0, 1, 2})])
def test_ranks_that_have_a_log(wanted, files):
    for rank in range(3):
        opened(rank, 3, nn_log_rank=wanted)("here")
    names = {"coupler.log.jsonl": 0, "coupler.log.0001.jsonl": 1, "coupler.log.0002.jsonl": 2}
    assert {names[path.name] for path in log.Path().glob("coupler.log*")} == files
    with pytest.raises(HaloclineError, match=r"nn_log_rank = 3, and the coupler has 3 ranks(.|\n)*0 to 2, or -1"):
        opened(1, 3, nn_log_rank=3)


def test_verbosity_of_the_log():
    opened(cn_verbosity="normal")("detail", "debug")
    assert events() == []
    opened(cn_verbosity="debug")("detail", "debug")
    assert events() == ["launch", "detail"]


def test_an_earlier_job_s_log_is_replaced(monkeypatch):
    """One of this job is not: another rank may have written to it first."""
    opened()("first")
    opened()("second")
    assert events() == ["first", "second"]
    monkeypatch.setattr(log, "STARTED", time.time() + LATER)
    opened()("third")
    assert events() == ["third"]


@pytest.mark.parametrize("before", [True, False])
def test_the_last_event_is_the_error(before):
    """Before the log is open too; the first rank's words stand, and every rank says the same."""
    ranks = [Log(), Log()] if before else [opened(rank, 2) for rank in range(2)]
    assert ranks[1].last_words("one is wrong") == "one is wrong"
    assert ranks[0].last_words("zero is wrong") == "one is wrong"
    found = read_log(log.LOG_FILE)
    assert found[-1]["level"] == "error" and found[-1]["message"] == "one is wrong" and found[-1]["rank"] in (0, 1)
    assert [event["event"] for event in found].count("error") == 1


def test_nothing_comes_after_the_error_of_another_rank():
    """Rank 0 goes on for a moment, until the job is ended."""
    zero, one = opened(0, 2), opened(1, 2)
    zero("progress")
    one.last_words("one is wrong")
    zero("progress")
    assert events() == ["progress", "error"]


def test_a_launcher_closes_the_log_of_a_coupler_that_could_not(tmp_path):
    """A killed coupler: in the words of halocline.abort where a side left some. Its own last words are not repeated."""
    opened()("progress", kt=3)
    close_log(tmp_path, "rank 0 of the coupler was ended by signal 9")
    assert events() == ["progress", "error"] and read_log(log.LOG_FILE)[-1]["rank"] is None
    close_log(tmp_path, "again")
    assert events() == ["progress", "error"]
    log.LOG_FILE.unlink()
    (tmp_path / "halocline.abort").write_text("the ocean says why\n")
    close_log(tmp_path, "something")
    assert read_log(log.LOG_FILE)[-1]["message"] == "the ocean says why"


def test_a_line_that_was_cut_is_left_out():
    opened()("one")
    with open(log.LOG_FILE, "a") as out:
        out.write('{"event": "tw')
    assert events() == ["one"]


def test_a_full_disk_does_not_silence_the_error(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    made = opened()
    monkeypatch.setattr(os, "write", full)
    assert made.last_words("the disk is full") == "the disk is full"


def network(counts, name="net"):
    """A network whose guards have acted so often on one rank."""
    stages = SimpleNamespace(guard=object(), outlets={"du": None}, counters=lambda: dict(counts))
    return SimpleNamespace(name=name, stages=stages)


class Pair:
    """Two ranks in step: allsum waits for the other, and knows at which step each was."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=10)
        self.put = {}

    def transport(self, rank):
        def allsum(values):
            self.put[rank] = values
            self.barrier.wait()
            total = self.put[0] + self.put[1]
            self.barrier.wait()
            return total

        return SimpleNamespace(rank=rank, size=2, allsum=allsum)


def test_ranks_add_up_their_guards_at_the_same_steps():
    """Only rank 0 looks at the clock, and tells the other when; one that chose by itself would wait for ever."""
    pair, seen = Pair(), {}

    def run(rank):
        transport, steps = pair.transport(rank), []
        allsum = transport.allsum
        count = Count([network({"du.range": 3 + rank})], transport, Timers())
        for kt in range(1, 400):
            transport.allsum = lambda values, kt=kt: (steps.append(kt), allsum(values))[1]
            count.look(kt, 50.0 if rank == 0 and kt > 100 else 0.0)
        seen[rank] = steps, count.seen

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen[0] == seen[1] and seen[0][1] == {"net": {"du.range": 7}}
    gaps = np.diff(seen[0][0])
    assert len(gaps) < 20 and set(gaps[-4:]) == {50}


def shown(capsys, switches, steps=(1, 2, 3), counts=(), wait=0.0):
    """What a run of these steps says: stdout and events."""
    acted = {}
    one = Progress(
        switches, SHAKE, SimpleNamespace(rank=0, size=1), [network(acted)], opened(**switches.model_dump()), Timers()
    )
    one.begin()
    for kt in steps:
        acted.update(dict(counts).get(kt, {}))
        time.sleep(wait)
        one.show(kt, 100)
    one.end(steps[-1], 100)
    return capsys.readouterr().out, read_log(log.LOG_FILE)


def test_a_batch_log_gets_a_line_from_time_to_time(capsys, monkeypatch):
    """Every rn_log seconds, none with 0, none when quiet; the file for the terminal is there in any case."""
    monkeypatch.setattr(progress, "LOOK", 0.0)
    out, found = shown(capsys, NamLog(rn_log=1e-3), wait=5e-3)
    lines = out.splitlines()
    assert len(lines) == 3 and lines[1].startswith("halocline: step 2 to 100, 2 %, date 2000-01-01 01:00:00, ")
    assert "steps/s, 0:00:0" in lines[1] and lines[1].endswith(" to go")
    assert [event["kt"] for event in found if event["event"] == "progress"] == [1, 2, 3, 3]
    assert json.loads(progress.PROGRESS_FILE.read_text())["kt"] == 3
    for switches in (NamLog(rn_log=0), NamLog(rn_log=1e-3, cn_verbosity="quiet"), NamLog(rn_log=60)):
        assert shown(capsys, switches, wait=5e-3)[0] == ""


def test_steps_are_not_logged_one_by_one(capsys):
    """A thousand quick steps leave two events and no line."""
    out, found = shown(capsys, NamLog(), steps=range(1, 1001))
    assert out == "" and [event["event"] for event in found] == ["progress", "progress"]


def test_a_guard_that_acts_is_an_event_at_once(capsys, monkeypatch):
    """Then with the lines of progress: a guard that acts at every step does not fill the log."""
    monkeypatch.setattr(progress, "LOOK", 0.0)
    counts = {kt: {"du.range": kt} for kt in range(2, 50)} | {9: {"du.range": 9, "du.finite": 1}}
    found = shown(capsys, NamLog(rn_log=60), steps=range(1, 50), counts=counts)[1]
    warned = [event for event in found if event["event"] == "guard"]
    assert [event["kt"] for event in warned] == [2, 9] and {event["level"] for event in warned} == {"warning"}
    assert warned[1]["new"] == {"du.range": 7, "du.finite": 1} and warned[1]["total"] == {"du.range": 9, "du.finite": 1}
    assert found[-1]["guards"] == {"net": {"du.range": 49, "du.finite": 1}}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_bar_and_a_batch_log_lines(tmp_path, terminal):
    """With date, speed, time to go and guards; quiet: neither."""
    text = {
        "kt": 30, "date": "2000-01-02 05:00:00", "first": 1, "last": 100, "seconds": 3.0, "steps_per_second": 12.5,
        "seconds_to_go": 3725.0, "guards": {"net": {"du.range": 3, "dv.rate": 4}},
    }  # fmt: skip
    (tmp_path / "halocline.progress").write_text(json.dumps(text))

    def watched(switches):
        ends = iter([None, None, None, 0])
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=120)
        screen.watch(tmp_path, switches, SimpleNamespace(poll=lambda: next(ends)), console)
        return out.getvalue()

    said = watched(NamLog(rn_log=0.1))
    for words in ("2000-01-02", "30 %", "12.5 steps/s", "1:02:05 to go", "guards 7"):
        assert words in said
    assert ("\x1b[" in said) == terminal and (terminal or said.count("to go") == 1)
    quiet = watched(NamLog(rn_log=0.1, cn_verbosity="quiet"))
    assert "steps/s" not in quiet and "step" not in quiet
