"""How a run ended, from what lies in its folder."""

import json

import pytest

from coupler.errors import HaloclineError
from models.report.folder import Folder
from tests.report.small import aged, coupled, markers, ocean

NOW = 2e9


@pytest.fixture
def run(tmp_path):
    return coupled(tmp_path / "run", states=2)


def ending(folder, now=NOW):
    return Folder(folder).ending(now)


def test_a_run_with_both_markers_ended_well_and_without_one_of_them_did_not(run):
    aged(run, 1e4, NOW)
    assert ending(run).kind == "well"
    (run / "halocline.ocean.json").unlink()
    found = ending(run)
    assert found.kind == "silent" and "marker of the ocean" in found.words


def test_an_abort_message_is_shown_whatever_else_lies_there(run):
    (run / "halocline.abort").write_text("gyre: error: the layer outcrops\n  Weaker wind.\n")
    (run / "run.log").write_text("one\ntwo\nthree\n")
    found = ending(run)
    assert found.kind == "failed" and found.message.startswith("gyre: error: the layer outcrops")
    assert found.log[-1] == "three"


def test_a_run_that_still_writes_is_going_on_and_the_same_one_later_is_not(run):
    (run / "halocline.coupler.json").unlink()
    shown = {"kt": 150, "first": 1, "last": 300, "date": "0001-01-06", "seconds": 2.0}
    (run / "halocline.progress").write_text(json.dumps(shown))
    aged(run, 30, NOW)
    found = ending(run)
    assert found.kind == "running" and "step 150 (0001-01-06), 50 %" in found.words
    assert ending(run, NOW + 3600).kind == "silent"


def test_an_early_end_that_was_asked_for_is_no_failure(run):
    markers(run, {"stopped": 135, "why": "rn_walltime"})
    found = ending(run)
    assert found.kind == "stopped" and "rn_walltime" in found.words and "step 135" in found.words


def test_a_death_without_a_message_is_a_failure_by_its_log(run):
    (run / "halocline.coupler.json").unlink()
    (run / "run.log").write_text("mpirun noticed that process rank 0 exited on signal 9 (Killed).\n")
    aged(run, 1e4, NOW)
    found = ending(run)
    assert found.kind == "failed" and "signal 9" in found.message


def test_an_ocean_alone_says_so_in_its_output(tmp_path):
    run = ocean(tmp_path / "alone", states=2)
    aged(run, 1e4, NOW)
    assert ending(run).kind == "well"
    (run / "ocean.output").write_text(" it = 27\n")
    assert ending(run).kind == "silent"


@pytest.mark.parametrize(("step", "kind"), [("240", "well"), ("120", "silent")])
def test_nemo_is_at_its_end_when_it_has_done_its_last_step(tmp_path, step, kind):
    (tmp_path / "namelist_cfg").write_text("&namrun\n nn_itend = 240\n/\n")
    (tmp_path / "time.step").write_text(f"   {step}\n")
    aged(tmp_path, 1e4, NOW)
    assert ending(tmp_path).kind == kind


def test_what_is_no_run_folder_is_refused(tmp_path):
    """Nor is a configuration: its report would lie in the folder that the next run copies."""
    (tmp_path / "namelist_cfg").touch()
    for folder, words in ((tmp_path, "holds none of"), (tmp_path / "nowhere", "no run folder")):
        with pytest.raises(HaloclineError, match=words):
            Folder(folder)
    (tmp_path / "run.log").touch()
    Folder(tmp_path)


def test_damaged_files_are_as_if_they_were_not_there(run):
    (run / "halocline.progress").write_text("{")
    (run / "halocline.ocean.json").write_text('{"ended": tr')
    folder = Folder(run)
    assert folder.progress == {} and set(folder.end) == {"coupler"}
    assert folder.event("start")["revision"] == "abc123" and len(folder.events) == 1
