"""A user's mistake ends the whole job within seconds: one message, a non-zero exit code, no traceback, no output files."""

import pytest

NML = "namelist_cfg"
NET = "laplacian.py"


def assert_refused(done, folder, *words, seconds=20):
    """Non-zero, soon, in words, once; the same words in halocline.abort; no end marker."""
    assert done.rc != 0, done.text
    assert done.seconds < seconds, f"took {done.seconds:.0f} s"
    assert "Traceback" not in done.text, done.text
    message = (folder / "halocline.abort").read_text()
    for word in words:
        assert word in message, f"{word!r} is not in:\n{message}\n{done.text}"
    assert done.text.count(message.splitlines()[0]) == 1, f"the message is not printed once:\n{done.text}"
    assert not (folder / "halocline.coupler.json").exists()
    assert not list(folder.glob("*.nc"))


MISTAKES = (
    ([(NML, "cn_fields = 't'", "cn_fiels = 't'")], ["unknown key 'cn_fiels'", "'cn_fields'", "line 15"]),
    ([(NML, "cn_fields = 't'", "")], ["'cn_fields' is missing in &namexc", "line 12"]),
    ([(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacien.py'")], ["'laplacien.py' was not found"]),
    ([(NML, "cn_python_allow = 'laplacian.py'", "")], ["not allowed to run", "laplacian.py"]),
    ([(NML, "cn_fields = 't'", "cn_fields = 'temp'")], ["offers no field 'temp'", "tmask, t", "line 15"]),
    ([(NML, "cn_fields = 't'", "cn_fields = 't'\n nn_halo = 0")], ["needs a halo of 1 cells, the exchange provides 0"]),
    ([(NML, "cn_fields = 't'", "cn_fields = 't'\n nn_halo = 21")], ["needs a halo of 21 cells, more than the grid of 20 x 12"]),
    ([(NML, "cn_dir    = 'to_ocean'", "cn_dir='to_ocean', nn_lag = 2")], ["nn_lag = 2 is not allowed"]),
    ([(NML, "cn_fields = 't'", "cn_fields = 't'\n nn_lag = 1")], ["nn_lag belongs to an exchange to the ocean"]),
    ([(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_inputs = 't=t(3)'")], ["levels 3 to 3"]),
    ([(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_inputs = 't:t'")], ["has the entry 't:t'"]),
    ([(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_sha256 = 'abc'")], ["another", "cn_sha256)"]),
    ([(NML, "cn_artefact = 'laplacian.py'", "cn_artefact = 'laplacian.py'\n cn_device = 'cuda'")], ["'cuda'", "cn_device)"]),
    ([(NML, "cn_dir    = 'to_ocean'", "cn_dir='to_ocean', rn_period=5000.")], ["5000 s is not a multiple", "3600 s"]),
    ([(NML, "&namcpl", "&namcpl\n nn_nx = 21")], ["nn_nx = 21 in the namelist, 20 in the ocean", "line 3"]),
    ([(NML, "&namcpl", "&namcpl\n rn_Dt = 1800.")], ["rn_Dt = 1800.0 in the namelist, 3600.0 in the ocean"]),
    ([(NML, "&namcpl", "&namcpl\n nn_steps = 9")], ["nn_steps = 9 in the namelist, 8 in the ocean"]),
    ([(NML, "&namcpl", "&namcpl\n cn_boundary = 'cyclic_ew'")], ["cn_boundary = cyclic_ew", "closed in the ocean"]),
    ([(NET, '"units": "K", "point": "T"', '"units": "degC", "point": "T"')], ["input 't'", "degC", "'K'"]),
    ([(NET, '"units": "K s-1"', '"units": "K day-1"')], ["output 'dt'", "K day-1", "K s-1", "1.15741e-05"]),
    ([(NET, '"units": "K", "point": "T"', '"units": "K", "point": "U"')], ["input 't'", "on the U point", "on the T point"]),
    ([(NET, '"point": "T", "fill"', '"point": "T", "levels": 3, "fill"')], ["input 't'", "3", "2"]),
    ([(NET, '"dtype": "f8"', '"time_level": "before", "dtype": "f8"')], ["time level 'before'", "'now'"]),
    ([(NET, "1e-6 * (east", "1e-6 / 0.0 * (east")], ["run() failed", "ZeroDivisionError"]),
    ([(NET, "1e-6 * (east", "float('nan') * (east")], ["returned nan in 'dt' at (i,j,k) = (", "step 1"]),
    ([(NML, "cn_fields = 'dt'", "cn_fields = 'dt'\n/\n&namexe")], ["unknown group &namexe, did you mean &namexc?"]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("edits", "words"),
    [pytest.param(*case, marks=() if number % 3 == 0 else pytest.mark.slow) for number, case in enumerate(MISTAKES)],
)
def test_mistakes_end_in_words(host, host_run, edits, words):
    assert_refused(host_run(host, edits), host_run.folder, *words)


@pytest.mark.slow
def test_more_coupler_ranks_than_fit(compile_host, repo, host_run):
    source = (repo / "coupler/fortran/example_host.f90").read_text().replace("ni = 10, nj = 6", "ni = 2, nj = 2")
    words = "5 coupler ranks do not fit the grid of 4 x 4 cells"
    assert_refused(host_run(compile_host(source), coupler=5), host_run.folder, words)


def test_an_ocean_without_a_coupler_says_so(host, host_run):
    words = ["no rank of the launch is a coupler", "halocline couple"]
    assert_refused(host_run(host, coupler=0), host_run.folder, *words)


@pytest.mark.slow
def test_the_client_of_another_protocol(compile_host, repo, host_run):
    client = (repo / "coupler/fortran/cpl_halocline_mpi.f90").read_text()
    old = client.replace("cpl_protocol = 2 ", "cpl_protocol = 7 ").replace("module cpl_halocline", "module cpl_old")
    source = (repo / "coupler/fortran/example_host.f90").read_text().replace("use cpl_halocline", "use cpl_old")
    assert_refused(
        host_run(compile_host(old + source), coupler=1), host_run.folder, "protocol versions differ", "7", "2"
    )


def test_a_program_that_never_says_hello(mpirun, tmp_path):
    """An I/O server in the launch: the job ends within the start-up time-out instead of hanging."""
    (tmp_path / "namelist_cfg").write_text("&namcpl rn_timeout_start = 3. /\n")
    server = "from mpi4py import MPI; import time; time.sleep(60)"
    args = ["-np", 1, "halocline", "couple", ".", ":", "-np", 1, "python", "-c", server]
    done = mpirun(args, np=None, cwd=tmp_path, timeout=50)
    assert_refused(done, tmp_path, "no hello within rn_timeout_start = 3 s from rank(s) 1")


@pytest.mark.slow
def test_a_program_without_mpi(mpirun, tmp_path):
    """MPI_Init itself never returns then; only a signal gets through."""
    (tmp_path / "namelist_cfg").write_text("&namcpl rn_timeout_start = 3. /\n")
    done = mpirun(
        ["-np", 1, "halocline", "couple", ".", ":", "-np", 1, "sleep", "60"], np=None, cwd=tmp_path, timeout=50
    )
    assert done.rc != 0 and done.seconds < 20
