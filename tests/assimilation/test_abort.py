"""An experiment that leaves with an error says so in the run folder: a coupled ocean that waits for increments ends by it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from coupler.errors import HaloclineError
from tests.assimilation import small
from tests.assimilation.test_cycle import assimilate, left

ABORT = "halocline.abort"


def test_an_error_is_left_for_the_ocean(tmp_path, monkeypatch):
    """The words of the error; an experiment that ends well leaves none."""
    assimilate(tmp_path)
    assert not (tmp_path / "run" / ABORT).exists()

    def fail(*_):
        raise HaloclineError("no analysis today")

    monkeypatch.setattr("models.assimilation.analysis.Insertion.increments", fail)
    with pytest.raises(HaloclineError):
        assimilate(tmp_path)
    assert (tmp_path / "run" / ABORT).read_text() == "the experiment has ended: no analysis today\n"


def test_what_a_side_has_left_is_kept(tmp_path, monkeypatch):
    """The cause that the ocean or the coupler wrote is the first one."""

    def fail(*_):
        (tmp_path / "run" / ABORT).write_text("the coupler died\n")
        raise HaloclineError("no background")

    monkeypatch.setattr("models.assimilation.analysis.Insertion.increments", fail)
    with pytest.raises(HaloclineError):
        assimilate(tmp_path)
    assert (tmp_path / "run" / ABORT).read_text() == "the coupler died\n"


def test_sigterm_is_left_for_the_ocean(tmp_path):
    cfg = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    ocean = small.fake_ocean(tmp_path / "bin", hang=1)
    words = ["assimilate", str(cfg), "--rundir", str(tmp_path / "run"), "--ocean", str(ocean)]
    process = subprocess.Popen([sys.executable, "-m", "coupler.cli", *words], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "hangs").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "run" / ABORT).read_text() == f"the experiment has ended: {128 + signal.SIGTERM}\n"


@pytest.mark.parametrize("watched", [True, False])
def test_nothing_runs_on_when_the_experiment_is_killed(tmp_path, watched):
    """kill -9 of `halocline assimilate`: the ocean ends at once; where the child does not look after its parent, it waits on."""
    cfg = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    ocean = small.fake_ocean(tmp_path / "bin", hang=1)
    words = ["assimilate", str(cfg), "--rundir", str(tmp_path / "run"), "--ocean", str(ocean)]
    start = [sys.executable, "-m", "coupler.cli", *words]
    if not watched:  # the child imports this module, too
        (tmp_path / "sitecustomize.py").write_text(UNWATCHED)
    process = subprocess.Popen(
        start, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    )
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "hangs").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.kill()
    process.wait(10)
    found = left(tmp_path, 20.0 if watched else 3.0)
    for pid in found:
        os.kill(int(pid), signal.SIGKILL)
    assert bool(found) != watched


UNWATCHED = """
import multiprocessing
multiprocessing.parent_process = lambda: None
"""
