"""`halocline check` and a real start: what passes one passes the other, what one refuses the other refuses in the same words."""

import io
import re
import shutil

import pytest
from rich.cells import cell_len
from rich.console import Console

from coupler import check as checking
from coupler.check_document import document
from coupler.check_page import show
from coupler.handshake import parse
from coupler.namelist import read_groups
from tests.conftest import REPO
from tests.mpi.conftest import compile_host, host, host_run
from tests.ocean.conftest import executable

__all__ = ["compile_host", "host", "host_run"]

COUPLED = [
    folder.name
    for folder in sorted((REPO / "namelists").iterdir())
    if (folder / "namelist_cfg").is_file()
    and any(group.name == "namexc" for group in read_groups(folder / "namelist_cfg"))
]
NML, NET = "namelist_cfg", "laplacian.py"


@pytest.mark.parametrize("name", COUPLED)
def test_what_is_shipped_passes(name, repo, request):
    """On one ocean rank and on several; the page stays within 80 columns."""
    ocean = request.getfixturevalue("host") if name == "host" else None
    ranks = (3, 2) if name == "host" else (2, 3)
    found = checking.check(repo / "namelists" / name, *ranks, ocean, calibrate=False)
    assert found.errors == [] and found.ocean.described
    assert found.proofs and "not tried" not in str(document(found)["computing"])
    page = io.StringIO()
    show(document(found), Console(width=80, file=page))
    assert max(cell_len(row) for row in page.getvalue().splitlines()) <= 80


def test_the_shipped_configurations_are_found():
    assert {"gyre_closure", "gyre_zb20", "gyre_gz21", "gyre_bias", "gyre_bias_closure", "host"} <= set(COUPLED)


def test_a_network_that_is_not_there_does_not_pass(repo, tmp_path):
    shutil.copytree(repo / "namelists" / "gyre_bias", tmp_path / "case")
    path = tmp_path / "case" / NML
    path.write_text(path.read_text().replace("gyre_bias.onnx", "absent.onnx"))
    found = checking.check(tmp_path / "case", calibrate=False)
    (problem,) = document(found)["errors"]
    assert "artefact 'absent.onnx' was not found" in problem["message"] and problem["key"] == "cn_artefact"


def test_the_reference_ocean_says_what_is_wrong_with_its_own_groups(repo, tmp_path):
    shutil.copytree(repo / "namelists" / "gyre_zb20", tmp_path / "case")
    path = tmp_path / "case" / NML
    path.write_text(path.read_text().replace("nn_stat ", "nn_stet "))
    found = checking.check(tmp_path / "case", calibrate=False)
    assert len(found.errors) == 1 and "nn_stet" in found.errors[0] and "line 9" in found.errors[0], found.errors


@pytest.mark.parametrize(("written", "line"), [("ln_cpl       = .false.", "line"), ("", "&namrun")])
def test_an_ocean_that_would_run_alone_does_not_pass(repo, tmp_path, written, line):
    """The coupler would wait for it until rn_timeout_start; without an exchange it may run alone."""
    shutil.copytree(repo / "namelists" / "gyre_zb20", tmp_path / "case")
    path = tmp_path / "case" / NML
    text, count = re.subn(r"ln_cpl *= *\.true\.", written, path.read_text())
    assert count == 1
    path.write_text(text)
    (problem,) = checking.check(tmp_path / "case", calibrate=False).errors
    assert "coupled only with ln_cpl = .true." in problem and line in problem and "--coupler-ranks 0" in problem
    path.write_text(text[: text.index("&namexc")])
    (other,) = checking.check(tmp_path / "case", calibrate=False).errors
    assert "holds no exchange" in other


# --- The broken twins of a configuration: the sentence of the check is that of the start -----------------------------

REFUSED = {
    "units": [(NET, '"units": "K s-1"', '"units": "K day-1"')],
    "radius": [(NML, "cn_fields = 't'", "cn_fields = 't'\n nn_halo = 0")],
    "field": [(NML, "cn_fields = 't'", "cn_fields = 'temp'")],
    "level": [(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_inputs = 't=t(3)'")],
    "period": [(NML, "cn_dir    = 'to_ocean'", "cn_dir='to_ocean', rn_period=5000.")],
    "hash": [(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_sha256 = 'abc'")],
    "grid": [(NML, "&namcpl", "&namcpl\n nn_nx = 21")],
    "key": [(NML, "cn_fields = 't'", "cn_fiels = 't'")],
    "point": [(NET, '"units": "K", "point": "T"', '"units": "K", "point": "U"')],
    "two": [(NML, "&namcpl", "&namcpl\n nn_nx = 21"), (NML, "cn_fields = 't'", "cn_fields = 'temp'")],
    "first": [(NML, "cn_dir    = 'to_ocean'", "cn_dir='to_ocean', nn_lag = 1, cn_first = 'restart'")],
    "restart": [(NML, "&namcpl", "&namcpl\n cn_rst_in = 'gone.nc'")],
}


QUICK = ("units", "radius", "field", "level", "period", "hash", "grid")


@pytest.mark.parametrize(
    "what", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in REFUSED]
)
def test_what_a_start_refuses_a_check_refuses(what, host, host_run):
    done = host_run(host, REFUSED[what])
    assert done.rc != 0
    message = (host_run.folder / "halocline.abort").read_text().rstrip("\n")
    (host_run.folder / "halocline.abort").unlink()
    found = checking.check(host_run.folder, 3, 2, host, calibrate=False)
    assert "\n".join(found.errors) == message


def test_a_start_that_is_right_is_not_refused(host, host_run):
    """The twin that is not broken."""
    assert host_run(host).rc == 0
    assert checking.check(host_run.folder, 3, 2, host, calibrate=False).errors == []


def test_as_many_ranks_as_do_not_fit(host, host_run, repo):
    """The sentence of tests/failure/test_bad_input.py."""
    found = checking.check(repo / "namelists" / "host", 3, 500, host, calibrate=False)
    assert "500 coupler ranks do not fit the grid of 20 x 12 cells" in found.errors[0]


@pytest.mark.parametrize("name", ["gyre.exe", "gyre_oasis.exe"])
def test_a_model_with_either_client_describes_itself(name, mpirun, tmp_path):
    """Without an option of its own, where the environment asks; its twin, not asked, waits for a coupler and stops."""
    (tmp_path / NML).write_text("&namrun\n ln_cpl = .true.\n/\n")
    exe = executable("double").with_name(name)
    done = mpirun([exe], np=2, cwd=tmp_path, env={"HALOCLINE_DESCRIBE": "1"})
    assert done.rc == 0 and parse(done.stdout.strip().splitlines()[-1]).ranks == 2, done.text
    assert mpirun([exe], np=2, cwd=tmp_path, env={"HALOCLINE_TIMEOUT_START": "2"}).rc != 0


# --- OASIS and the calibration ---------------------------------------------------------------------------------------


def test_the_namcouple_of_a_run_over_oasis(repo, tmp_path):
    from coupler.oasis.namcouple import read

    shutil.copytree(repo / "namelists" / "gyre_zb20", tmp_path / "case")
    found = checking.check(tmp_path / "case", 2, 2, transport="oasis", calibrate=False)
    assert found.errors == []
    path = tmp_path / "namcouple"
    path.write_text(found.namcouple)
    assert len(read(path).entries) == 18 and not (tmp_path / "case" / "namcouple").exists()
    assert document(found)["messages"]["bits"] == 64


def test_the_share_of_time_is_estimated_with_the_reference_ocean(repo):
    part = document(checking.check(repo / "namelists" / "gyre_zb20", 1, 1))["time"]
    assert part["unknown"] == "" and 0 < part["ocean_step"] < 1
    assert part["share"] == pytest.approx(part["per_step"] / (part["per_step"] + part["ocean_step"]))
