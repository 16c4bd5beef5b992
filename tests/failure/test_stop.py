"""rn_walltime: a run ends early enough before its limit, whatever its steps and restarts take; on a clock of our own."""

import signal
from types import SimpleNamespace

import pytest

from coupler import stop

LATE = 4  # steps from the wish to the end, with a lag


def ended_at(monkeypatch, limit, step, restart, stock=20):
    """Seconds at which a run is over that would go on for ever; restart: seconds that both sides take to write one."""
    clock = SimpleNamespace(now=2.0)
    monkeypatch.setattr(stop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(stop, "age", lambda: clock.now)
    wish, kt, last = stop.Stop(limit), 0, 0
    monkeypatch.setattr(wish, "_lead", True)
    while kt != last or not kt:
        kt += 1
        clock.now += step
        if not last and wish.wanted():
            last = kt + LATE - 1
        due = kt % stock == 0 or kt == last
        clock.now += restart / 2 if due else 0.0  # ours; the ocean's is waited for in the step that follows
        wish.step(due)
        clock.now += restart / 2 if due else 0.0
        assert clock.now < 3 * limit
    return clock.now + 2.0


@pytest.mark.parametrize(("step", "restart"), [(0.01, 0.1), (0.5, 2.0), (5.0, 40.0), (20.0, 5.0)])
def test_a_run_ends_before_its_limit(monkeypatch, step, restart):
    end = ended_at(monkeypatch, 600.0, step, restart)
    assert 600 - 6 * step - 3 * restart - 2 * 30 - 10 < end <= 600


def test_without_what_was_measured_it_ends_too_late(monkeypatch):
    """The broken twin: nothing is kept for steps, restarts and files."""
    monkeypatch.setattr(stop.Stop, "reserve", lambda self: 0.0)
    assert ended_at(monkeypatch, 600.0, 5.0, 40.0) > 600


def test_a_restart_is_guessed_before_one_was_written(monkeypatch):
    wish = stop.Stop(1000.0)
    assert wish.reserve() == stop.FINISH + 2 * 50
    assert stop.Stop(86400.0).reserve() == stop.FINISH + 2 * 60


def test_no_limit_no_file_no_wish(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wish = stop.Stop()
    monkeypatch.setattr(wish, "_lead", True)
    assert not wish.wanted()


def test_a_rank_that_may_not_speak_leaves_the_file(tmp_path, monkeypatch):
    """Over OASIS the leading rank tells the ocean; SIGTERM to another one reaches it."""
    monkeypatch.chdir(tmp_path)
    other, lead = stop.Stop(), stop.Stop()
    previous = signal.getsignal(signal.SIGTERM)
    try:
        other._catch(signal.SIGTERM, None)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert other.wanted() and stop.STOP_FILE.exists()
    monkeypatch.setattr(lead, "_lead", True)
    assert lead.wanted() and lead.reason == "halocline.stop"


def test_the_age_of_a_process_counts_from_its_start():
    assert 0.0 < stop.age() < 86400.0
