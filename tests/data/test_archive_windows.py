"""Windows: matched by date and by nothing else, holes seen, overlaps refused; analyses told from backgrounds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coupler.errors import HaloclineError
from models.data import windows
from models.data.background_check import BackgroundCheck, refuse_analysis
from models.data.windows import DAY, Clock, Source

CALENDARS = st.sampled_from(["standard", "noleap", "360_day"])
UNITS = "seconds since 1900-01-01 00:00:00"


def increments(starts, length):
    """Sources of windows that begin at these days."""
    return [
        Source((Path(f"inc_{n}.nc"),), (s + length) * DAY, s * DAY, (s + length) * DAY) for n, s in enumerate(starts)
    ]


def backgrounds(days):
    return [Source((Path(f"bkg_{n}.nc"),), day * DAY) for n, day in enumerate(days)]


@given(
    calendar=CALENDARS,
    length=st.integers(1, 15),
    present=st.lists(st.booleans(), min_size=2, max_size=40),
    at=st.sampled_from(["begin", "end"]),
    seed=st.integers(0, 99),
)
def test_windows_are_matched_by_date_in_any_order(calendar, length, present, at, seed):
    """Each window gets the background of its own date, whatever the order of the files; one shifted by a day finds none."""
    assume(any(present))
    clock = Clock(UNITS, calendar)
    starts = length * np.flatnonzero(present)
    order = np.random.default_rng(seed).permutation(len(starts))
    ours = increments(starts, length)
    theirs = backgrounds(starts + (length if at == "end" else 0))
    assert windows.length(ours, 0.0, clock, "") == length * DAY
    found, _, notes = windows.matched([ours[n] for n in order], [theirs[n] for n in order[::-1]], clock, "")
    if at == "end" or sum(present) == 1 or length > 1:
        assert len(found) <= len(starts)
    times = [window.time for window in found]
    assert times == sorted(times) and len(found) + sum("no background" in note for note in notes) == len(starts)
    for window in found:
        assert window.time in (window.increments.time, window.increments.begin)
    if length > 1:
        with pytest.raises(HaloclineError, match="no background has the date"):
            windows.matched(ours, backgrounds(starts + (length if at == "end" else 0) + 0.3), clock, "")


@given(st.integers(1, 10), st.lists(st.integers(1, 4), min_size=3, max_size=30))
def test_holes_are_counted(length, steps):
    """As many windows are reported missing as there are."""
    starts = length * np.concatenate([[0], np.cumsum(steps)])
    assume(np.median(steps) == 1)
    clock = Clock(UNITS, "360_day")
    found, _, _ = windows.matched(increments(starts, length), backgrounds(starts + length), clock, "")
    reported = sum(int(line.split()[0]) for line in windows.holes(found, clock))
    assert reported == sum(step - 1 for step in steps)


@given(st.integers(2, 10), st.integers(0, 8), st.floats(0.01, 0.99))
def test_an_overlap_of_any_size_is_refused(length, at, part):
    """Both files are named; the same windows side by side are taken."""
    starts = length * np.arange(10.0)
    clock = Clock(UNITS, "noleap")
    windows.length(increments(starts, length), 0.0, clock, "")
    starts[at + 1 :] -= part * length
    with pytest.raises(HaloclineError, match=rf"windows overlap: inc_{at}.nc .* and inc_{at + 1}.nc"):
        windows.length(increments(starts, length), 0.0, clock, "")


def test_windows_without_or_of_other_length_are_refused():
    clock = Clock(UNITS, "standard")
    with pytest.raises(HaloclineError, match="has no length"):
        windows.length(increments([0, 5, 10], 0), 0.0, clock, "")
    assert windows.length(increments([0, 5, 10], 0), 5 * DAY, clock, "") == 5 * DAY
    mixed = [*increments([0, 5, 10], 5), *increments([20], 3)]
    with pytest.raises(HaloclineError, match="different lengths"):
        windows.length(mixed, 0.0, clock, "")


def test_two_backgrounds_of_one_date_are_refused():
    with pytest.raises(HaloclineError, match=r"two backgrounds of .*bkg_1.nc and bkg_2.nc"):
        windows.matched(increments([0, 5], 5), backgrounds([5, 10, 10]), Clock(UNITS, "standard"), "")


def rotation(n, memory, gain, noise, seed, model=1.0, bias=0.0, turn=0.3):
    """A truth that turns in a plane at many points and is driven by noise; a model that turns at another speed, with a bias."""
    random = np.random.default_rng(seed)
    truth = random.standard_normal((2, 60))
    x = truth.copy()
    states, changes = [], []

    def turned(z, angle):
        c, s = np.cos(angle), np.sin(angle)
        return memory * np.array([c * z[0] - s * z[1], s * z[0] + c * z[1]])

    for _ in range(n):
        truth = turned(truth, turn) + noise * random.standard_normal(truth.shape)
        x = turned(x, model * turn) + bias
        states.append(x)
        changes.append(gain * (truth - x))
        x = x + changes[-1]
    return np.array(states), np.array(changes)


def verdict(states, changes, step=5 * DAY):
    check = BackgroundCheck(step)
    for n, (x, inc) in enumerate(zip(states, changes, strict=True)):
        check.add(n * step, {"t": x}, {"t": inc})
    return check.verdict()


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("memory", [0.99, 0.8, 0.5])
@pytest.mark.parametrize("bias", [0.0, 1.0])
@pytest.mark.parametrize(("turn", "model"), [(0.0, 1.0), (0.3, 0.8), (0.8, 0.8), (0.8, 1.2)])
def test_analyses_are_told_from_backgrounds(gain, memory, bias, turn, model):
    """On rotations and AR models, with and without a bias: never the wrong way; sure unless little is corrected or much turns."""
    states, changes = rotation(300, memory, gain, 0.3, 1, model=model, bias=bias, turn=turn)
    good, bad = verdict(states, changes), verdict(states + changes, changes)
    assert good.kind != "analysis" and bad.kind != "background"
    refuse_analysis(good, False, "")
    refuse_analysis(bad, True, "")
    if gain > 0.2 and turn * model < 0.9:
        assert (good.kind, bad.kind) == ("background", "analysis")
        with pytest.raises(HaloclineError, match="look like analyses"):
            refuse_analysis(bad, False, "")


def test_the_check_does_not_claim_what_it_cannot_know():
    """Increments that have nothing to do with the states, a constant increment, few windows: not certain, and not refused."""
    random = np.random.default_rng(0)
    nothing = verdict(random.standard_normal((40, 2, 60)).cumsum(0), 1e-3 * random.standard_normal((40, 2, 60)))
    constant = verdict(random.standard_normal((40, 2, 60)), np.ones((40, 2, 60)))
    few = verdict(*rotation(5, 0.8, 0.5, 0.3, 1))
    for each in (nothing, constant, few):
        assert each.kind == "unknown"
        refuse_analysis(each, False, "")
        assert "cannot be told" in each.text() or "not certain" in each.text()


def test_pairs_across_a_hole_do_not_count():
    states, changes = rotation(40, 0.8, 0.5, 0.3, 1)
    check = BackgroundCheck(5 * DAY)
    for n, (x, inc) in enumerate(zip(states, changes, strict=True)):
        check.add(n * 10 * DAY, {"t": x}, {"t": inc})
    assert check.verdict().pairs == 0 and verdict(states, changes).pairs == 39


def test_a_date_that_cannot_be_read_is_named_with_its_line():
    """That of cn_jumps, and not that of nn_drop, which is named where no window is left."""
    clock, where = Clock(UNITS, "360_day"), ("line 1", "line 2")
    pairs = zip(increments(range(0, 20, 5), 5), backgrounds(range(5, 25, 5)), strict=True)
    four = [windows.Window(background.time, increment, background) for increment, background in pairs]
    for drop, jumps, told in (
        (0, ["May 2004"], "'May 2004'.*\n  line 2"),
        (4, [], "no window is left of 4.\n  line 1"),
    ):
        with pytest.raises(HaloclineError, match=told):
            windows.kept(four, drop, jumps, 30.0, clock, where)
    assert len(windows.kept(four, 1, ["1900-01-11"], 3.0, clock, where)[0]) == 2
