"""`halocline check` of a configuration whose ocean is stated in &namcpl: page, document, exit code; nothing is launched."""

import hashlib
import json
import os
import shutil

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from coupler import check as checking
from coupler import settings
from coupler.assembly import load
from coupler.check_document import document
from coupler.check_layout import picture, sizes
from coupler.check_page import bytes_text, seconds_text, shown
from coupler.cli import app
from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.grid import Box, Grid
from coupler.namcouple import ask
from coupler.record import artefact_hashes

STATED = """\
&namcpl
   cn_exe = 'not_here.exe'
   nn_nx = 20
   nn_ny = 12
   nn_nz = 2
   rn_Dt = 3600.
   nn_steps = 8
   cn_boundary = 'closed'
   cn_python_allow = 'laplacian.py'
/
"""


@pytest.fixture
def cfg(repo, tmp_path):
    """cfg(*(old, new)) -> a copy of namelists/host that states its ocean, edited."""

    def write(*edits):
        folder = tmp_path / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(repo / "namelists" / "host", folder)
        text = (folder / "namelist_cfg").read_text()
        text = STATED + text[text.index("&namexc") :]
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new, 1)
        (folder / "namelist_cfg").write_text(text)
        return folder

    return write


def run(folder, *options):
    done = CliRunner().invoke(app, ["check", str(folder), "--no-calibrate", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_sound_configuration(cfg):
    folder = cfg()
    before = sorted(path.name for path in folder.iterdir())
    done = run(folder, "--ocean-ranks", "4", "--coupler-ranks", "3")
    assert done.exit_code == 0 and "no errors" in done.output and "sound" in done.output
    for words in ("4 ocean ranks", "order of execution", "as &namcpl states", "&namexc tendency"):
        assert words in done.output
    assert sorted(path.name for path in folder.iterdir()) == before, "a check leaves CFG as it is"


def test_the_document_has_what_the_page_has(cfg):
    found = json.loads(run(cfg(), "--json", "--ocean-ranks", "2").output)
    assert found["ok"] and not found["errors"]
    assert [one["name"] for one in found["order"]] == ["mask", "state", "laplacian", "tendency"]
    assert [(row["name"], row["field"], row.get("needs")) for row in found["contracts"][0]["fields"]] == [
        ("t", "t", 1), ("tmask", "tmask", 1), ("dt", "dt", None)
    ]  # fmt: skip
    state = next(one for one in found["messages"]["exchanges"] if one["name"] == "state")
    # 20 x 12 cells, 2 levels, 64 bits; a header of 64 bytes in each of two messages; closed edges add nothing.
    assert state == {
        "name": "state", "direction": "to_coupler", "messages": 2, "bytes": 20 * 12 * 2 * 8 + 2 * 64,
        "bytes_per_step": 20 * 12 * 2 * 8 + 2 * 64, "halo_share": 0.0,
    }  # fmt: skip
    assert found["computing"]["networks"][0]["device"] == "cpu"
    assert "time" not in found


def test_a_halo_costs_messages(cfg):
    """Two coupler ranks: one row of 20 cells more in each direction."""
    found = json.loads(run(cfg(), "--json", "--coupler-ranks", "2").output)
    state = next(one for one in found["messages"]["exchanges"] if one["name"] == "state")
    assert state["bytes"] == (20 * 12 + 2 * 20) * 2 * 8 + 2 * 64
    assert state["halo_share"] == pytest.approx(40 / 280)


# What is changed, words of the error, and what stands in the row that it names.
ERRORS = [
    ("cn_fields = 't'", "cn_fiels = 't'", ["unknown key 'cn_fiels'", "nearest known: 'cn_fields'"], "cn_fiels"),
    ("cn_fields = 'dt'", "cn_fields = 'dt'\n rn_period = 5000.", ["not a multiple", "Set rn_period"], "rn_period"),
    ("cn_fields = 't'", "cn_fields = 't', nn_halo = 0", ["needs a halo of 1 cells", "Set nn_halo = 1"], "&namnet"),
    ("cn_python_allow = 'laplacian.py'", "", ["not allowed to run"], "cn_artefact"),
    ("cn_boundary = 'closed'", "cn_boundary = 'open'", ["cn_boundary = 'open' is not known", "fold_T"], "cn_boundary"),
    ("   nn_nz = 2\n", "", ["&namcpl lacks nn_nz"], "&namcpl"),
    (
        "   nn_steps = 8\n",
        "   nn_steps = 8\n   cn_rst_in = 'gone.nc'\n",
        ["gone.nc", "leave cn_rst_in out"],
        "cn_rst_in",
    ),
    ("= 'dt'", "= 'dt'\n nn_lag = 1, cn_first = 'restart'", ["cn_rst_in names none"], "cn_first"),
    ("/\n&namnet", "/\n&namdiag\n rn_diag = 5000. /\n&namnet", ["rn_diag = 5000 s is not a multiple"], "rn_diag"),
]


@pytest.mark.parametrize(("old", "new", "words", "row"), ERRORS, ids=[words[0] for _, _, words, _ in ERRORS])
def test_errors_come_first_with_line_and_fix(cfg, old, new, words, row):
    folder = cfg((old, new))
    done = run(folder)
    assert done.exit_code == 1
    head, _, rest = done.output.partition("\n1 error\n")
    assert head.startswith("halocline check") and "ocean\n" not in head
    assert rest.startswith(" 1. ")
    for word in words:
        assert word in " ".join(rest[:1500].split())
    (problem,) = json.loads(run(folder, "--json").output)["errors"]
    rows = (folder / "namelist_cfg").read_text().splitlines()
    assert row in rows[problem["line"] - 1], problem


def test_several_errors_are_told_apart(cfg):
    folder = cfg(
        ("cn_fields = 't'", "cn_fields = 't', rn_period = 1."),
        ("cn_fields = 'dt'", "cn_fields = 'dt', rn_period = 5000."),
    )
    found = checking.check(folder, calibrate=False)
    assert len(found.errors) == 2 and all("\n  namelist_cfg line" in text for text in found.errors)


def test_a_calibration_is_short_and_counts(cfg):
    found = document(checking.check(cfg(), coupler_ranks=2))
    (net,) = found["time"]["networks"]
    assert 0 < net["seconds"] < 1 and net["block"] == (2, 6, 20)
    assert found["time"]["share"] is None and "is not the reference ocean" in found["time"]["unknown"]
    assert found["computing"]["memory"]["total"] > 1e7


@pytest.mark.parametrize("options", [(), ("--coupler-ranks", "3", "--ocean-ranks", "6")])
def test_the_page_fits_80_columns(cfg, options, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = run(cfg(), *options).output.splitlines()
    assert max(cell_len(row) for row in rows) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    assert 80 < max(cell_len(row) for row in run(cfg(), *options).output.splitlines()) <= 120


def test_maps_show_who_owns_what():
    grid, boxes = Grid(20, 12, "closed"), [Box(0, 0, 10, 6), Box(10, 0, 10, 6), Box(0, 6, 10, 6)]
    rows = picture(grid, boxes)
    assert rows[0] == "2" * 10 + "." * 10 and rows[-1] == "0" * 10 + "1" * 10, "north is up"
    assert picture(grid, boxes * 30) == []
    assert sizes(boxes) == "10 x 6 cells each"


def test_numbers_read_well():
    assert [bytes_text(n) for n in (12, 1234, 5e7, 2e9)] == ["12 B", "1.23 kB", "50 MB", "2 GB"]
    assert [seconds_text(n) for n in (2e-5, 0.5, 90, 600, 9000)] == ["20 µs", "500 ms", "90 s", "10 min", "2.5 h"]
    assert [shown(v) for v in (True, 2.0, 1e-7, "a", ["x", "y"], [])] == [
        ".true.",
        "2.",
        "1e-07",
        "'a'",
        "'x', 'y'",
        "''",
    ]


def test_a_file_to_link_must_be_there(cfg, tmp_path):
    found = checking.check(cfg(), link=[tmp_path / "gone.nc"], calibrate=False)
    assert found.errors and "gone.nc to link" in found.errors[0]


def test_the_file_beside_the_namelist_wins_over_one_of_the_current_folder(cfg, tmp_path, monkeypatch):
    """A network of the same name and another version in the folder of the call; alone it is found there (the broken twin)."""
    case = cfg()
    name, here = "laplacian.py", tmp_path / "here"
    here.mkdir()
    (here / name).write_text((case / name).read_text().replace('"version": "1"', '"version": "2"'))
    monkeypatch.chdir(here)
    into = {"dt": Field(id=2, name="dt", units="K s-1", point="T", levels=2, grid=1, direction="in")}
    for own, version in ((True, "1"), (False, "2")):
        if not own:
            (case / name).unlink()
        switches = settings.load(case)
        assert load(switches, switches.namnet[0], into, 0).contract.version == version
        file = (case if own else here) / name
        assert artefact_hashes(switches) == {"laplacian": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_ranks_that_do_not_fit_are_called_after_their_side(cfg):
    """The ocean's subdomains are assumed by the coupler's own rule, the message is about the ocean's ranks."""
    for sides, words in (({"ocean_ranks": 241}, "241 ocean ranks"), ({"coupler_ranks": 241}, "241 coupler ranks")):
        found = checking.check(cfg(), calibrate=False, **sides)
        assert f"{words} do not fit the grid of 20 x 12 cells" in found.errors[0]


def test_the_stand_in_for_the_ocean_moves_nothing(cfg):
    """The broken twin of a check that runs: whoever sends is told."""
    found = checking.check(cfg(), calibrate=False)
    from coupler.transport.absent import AbsentTransport

    transport = AbsentTransport(found.bound.shake, 0, 1)
    with pytest.raises(HaloclineError, match="there is no ocean"):
        transport.send(found.bound.plans[0], 1, 0)


def test_what_mpirun_says_of_an_abort_does_not_hide_the_ocean(tmp_path, monkeypatch):
    """Its words come between the ocean's lines, in any order; six lines of both would lose the one with the place."""
    rule = "-" * 74
    said = [
        "gyre: error: there is no switch 'nn_stet' in group &namrun.", rule,
        "MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD", "with errorcode 1.", "",
        "NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.",
        "You may or may not see output from other processes, depending on", "exactly when Open MPI kills them.", rule,
        "   namelist_cfg line 9: nn_stet      = 27", "   namelist_ref lists every switch of the ocean.",
    ]  # fmt: skip
    mpirun = tmp_path / "mpirun"
    mpirun.write_text("#!/bin/sh\ncat >&2 <<'END'\n" + "\n".join(said) + "\nEND\nexit 1\n")
    mpirun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(HaloclineError) as caught:
        ask(tmp_path / "gyre.exe", tmp_path, {}, 1)
    shown = str(caught.value).splitlines()
    assert shown[1:] == [f"  {line}" for line in (said[0], *said[-2:])]
