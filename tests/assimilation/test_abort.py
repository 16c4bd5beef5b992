"""An experiment that leaves with an error says so in the run folder: a coupled ocean that waits for increments ends by it."""

import signal
import subprocess
import sys
import time

import pytest

from coupler.errors import HaloclineError
from tests.assimilation import small
from tests.assimilation.test_cycle import assimilate

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
    until = time.monotonic() + 30
    while not list(tmp_path.glob("run/assim_background_state*")) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "run" / ABORT).read_text() == f"the experiment has ended: {128 + signal.SIGTERM}\n"
