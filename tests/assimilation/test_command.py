"""`halocline assimilate` as a command: which group stands in CFG decides what it does."""

import pytest
import typer
from typer.testing import CliRunner

from coupler.errors import HaloclineError
from models.assimilation.commands import assimilate
from tests.assimilation import small
from tests.data.tiny import text

ARCHIVE = {"namarchive": {"cn_increments": "inc*.nc", "cn_background": "bkg*.nc", "cn_out": "found.zarr"}}

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(assimilate)


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_an_archive_is_collected(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("models.data.archive.collect", lambda group, out, console: asked.append((group, out)) or out)
    (tmp_path / "namelist_cfg").write_text(text(ARCHIVE))
    result = call(tmp_path)
    assert result.exit_code == 0 and "found.zarr" in result.output
    assert asked[0][0].cn_increments == ["inc*.nc"] and asked[0][1].name == "found.zarr"
    assert "elsewhere.zarr" in call(tmp_path, "--out", "elsewhere.zarr").output


def test_two_ways_in_one_file_are_refused(tmp_path):
    folder = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    path = folder / "namelist_cfg"
    path.write_text(path.read_text() + text(ARCHIVE))
    result = call(folder, "--rundir", tmp_path / "run")
    assert isinstance(result.exception, HaloclineError) and "&namassim and &namarchive" in str(result.exception)


def test_a_file_without_either_is_refused(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&namrun\n/\n")
    result = call(tmp_path)
    assert isinstance(result.exception, HaloclineError) and "&namassim" in str(result.exception)


@pytest.mark.parametrize(("key", "word"), [("cn_methode", "cn_method"), ("rn_gian", "rn_gain")])
def test_a_misspelt_switch_is_named(tmp_path, key, word):
    folder = small.cfg(tmp_path / "cfg", tmp_path / "truth.zarr", namassim={key: 1})
    result = call(folder)
    assert isinstance(result.exception, HaloclineError) and word in str(result.exception)


def test_an_earlier_run_is_not_overwritten_unasked(tmp_path):
    folder = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    ocean = small.fake_ocean(tmp_path / "bin")
    words = [folder, "--rundir", tmp_path / "run", "--ocean", ocean]
    assert call(*words).exit_code == 0
    again = call(*words)
    assert isinstance(again.exception, HaloclineError) and "--overwrite" in str(again.exception)
    assert call(*words, "--overwrite").exit_code == 0


def test_what_is_no_data_set_is_not_replaced(tmp_path):
    """--out may name an older data set; a folder of other files is refused before the ocean starts, and stays."""
    folder = small.cfg(tmp_path / "cfg", small.write_truth(tmp_path / "truth.zarr"))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    words = [folder, "--ocean", small.fake_ocean(tmp_path / "bin"), "--rundir"]
    result = call(*words, tmp_path / "a", "--out", mine)
    assert isinstance(result.exception, HaloclineError) and "would be replaced" in str(result.exception)
    assert (mine / "thesis.tex").exists() and not (tmp_path / "a").exists()
    for run in "bc":
        assert call(*words, tmp_path / run, "--out", tmp_path / "i.zarr").exit_code == 0
