"""Work side by side: the order of the results, cores, errors; and commands as processes."""

import threading
import time

import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign.command import command
from models.campaign.schedule import side_by_side

QUIET = Console(quiet=True)


def test_results_come_in_the_order_of_the_tasks():
    """Not in that in which they end; and no more at once than was asked for."""
    running, most, lock = [0], [0], threading.Lock()

    def work(task, core):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02 * (4 - task))
        with lock:
            running[0] -= 1
        return task, core

    found = side_by_side([0, 1, 2, 3], work, 2, QUIET)
    assert found == [(task, None) for task in range(4)] and most[0] == 2


def test_what_follows_is_done_by_the_caller():
    """NetCDF files are read there: threads of the pool would not be the caller's."""
    threads = []
    side_by_side(range(3), lambda task, core: None, 2, QUIET, then=lambda task: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()] * 3


def test_each_piece_has_a_core():
    found = side_by_side(range(3), lambda task, core: core, 1, QUIET, one_core=True)
    assert all(core is not None for core in found)


def test_the_first_error_ends_the_rest():
    done = []

    def work(task, core):
        if task == 1:
            raise HaloclineError("broken")
        time.sleep(0.01)
        done.append(task)

    with pytest.raises(HaloclineError, match="broken"):
        side_by_side(range(50), work, 1, QUIET)
    assert len(done) < 49


def test_a_command_that_fails_says_its_last_words(tmp_path):
    """Exit code, what it printed, where the rest is; one that ends well says nothing."""
    command(["--help"], tmp_path / "help.log")
    assert "train" in (tmp_path / "help.log").read_text()
    with pytest.raises(HaloclineError, match="no_such_file cannot be read") as error:
        command(["inspect", "no_such_file"], tmp_path / "inspect.log")
    assert "exit code" in str(error.value) and "inspect.log" in str(error.value)
