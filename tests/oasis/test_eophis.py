"""Scripts written for the genuine pyoasis: the calls that Eophis 1.0.2 makes, unmodified, against Python and Fortran oceans.

Eophis itself is on no package registry; its calls are in this project's notes on OASIS: a namcouple without $NBMODEL,
Component with a communicator, orange partitions of halo'd blocks, Var with bundle_size, is_active, cpl_freqs, put and get
in seconds, a static field whose period is the length of the run.
"""

import subprocess
import sys

import pytest

from coupler.oasis.genuine import python_path
from tests.oasis.conftest import REPO, entry, namcouple

EOPHIS = """
import numpy as np
import pyoasis
from mpi4py import MPI
from pyoasis import OASIS

comp = pyoasis.Component("eophis", True, MPI.COMM_WORLD)
comm = comp.localcomm
nx, ny, nz, halo = 12, 10, 3, 1
cut = [ny * k // comm.size for k in range(comm.size + 1)]
j0, j1 = cut[comm.rank], cut[comm.rank + 1]

# rows with a halo, cyclic in x, closed in y; segments in the order of the block, not of the grid
rows = [j for j in range(j0 - halo, j1 + halo) if 0 <= j < ny]
offsets, sizes, order = [], [], []
for j in rows:
    for start, length in ((nx - halo, halo), (0, nx), (0, halo)):
        offsets.append(j * nx + start)
        sizes.append(length)
        order += list(range(j * nx + start, j * nx + start + length))
index = np.array(order, float)

wide = pyoasis.OrangePartition(offsets, sizes, nx * ny, "wide")
inner = pyoasis.BoxPartition(j0 * nx, nx, j1 - j0, nx, nx * ny)
sst = pyoasis.Var("E_SST", wide, OASIS.IN, bundle_size=1)
temp = pyoasis.Var("E_TEMP", wide, OASIS.IN, bundle_size=nz)
dsst = pyoasis.Var("E_DSST", inner, pyoasis.OasisParameters.OASIS_OUT)
absent = pyoasis.Var("E_ABSENT", inner, OASIS.OUT)
comp.enddef()
assert [sst.is_active, temp.is_active, absent.is_active] == [True, True, False]
assert sst.cpl_freqs[0] == 10 and sst.name == "E_SST" and sst.bundle_size == 1

for time in range(0, 40, 5):
    flat, deep = pyoasis.asarray(np.zeros((len(order), 1))), pyoasis.asarray(np.zeros((len(order), nz)))
    info = sst.get(time, flat)
    temp.get(time, deep)
    if time % 10 == 0:
        assert info == OASIS.RECVD == pyoasis.OasisParameters.OASIS_RECVD
        assert (flat[:, 0] == index + 1000 * time).all()
        for k in range(nz):
            assert (deep[:, k] == index + 1000 * time + 1e6 * k).all()
    else:
        assert info == OASIS.OK and not flat.any() and not deep.any()
    mine = np.arange(j0 * nx, j1 * nx) + 1000.0 * time
    dsst.put(time, pyoasis.asarray(2 * mine.reshape((nx, -1), order="F")))
print(f"eophis right {comm.rank}", flush=True)
del comp
"""

EARTH = """
c = pyoasis.Component("toy_earth")
n, r = c.localcomm.size, c.localcomm.rank
cut = [10 * k // n for k in range(n + 1)]
index = np.arange(12 * cut[r], 12 * cut[r + 1], dtype=float)
box = pyoasis.ApplePartition(12 * cut[r], len(index), 120)
sst, temp = Var("O_SST", box, OASIS.OUT), Var("O_TEMP", box, OASIS.OUT, 3)
dsst = Var("O_DSST", box, OASIS.IN)
c.enddef()
for t in (0, 10, 20, 30):
    field = index + 1000 * t
    sst.put(t, field)
    temp.put(t, np.stack([field + 1e6 * k for k in range(3)], axis=1))
    back = np.zeros(len(index))
    dsst.get(t, back)
    assert (back == 2 * field).all()
say("ocean right", r)
"""


def fields() -> str:
    size = "12 10 12 10 to to LAG=0"
    return namcouple(
        *(entry(*pair, line2=size) for pair in (("O_SST", "E_SST"), ("O_TEMP", "E_TEMP"), ("E_DSST", "O_DSST")))
    )


@pytest.fixture(scope="session")
def ocean(oasis_library, tmp_path_factory):
    """The Fortran program, linked to Debian's library and to oasis_abort.o; plain.exe beside it without the latter."""
    folder = tmp_path_factory.mktemp("ocean")
    flags = subprocess.run(
        ["make", "-s", "-C", REPO / "coupler" / "oasis", "flags"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    source = REPO / "tests" / "oasis" / "ocean.f90"
    for name, link in (("ocean.exe", flags[1].split()), ("plain.exe", flags[1].split()[1:])):
        command = ["mpif90", *flags[0].split(), source, *link, "-o", folder / name]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    return folder / "ocean.exe"


@pytest.fixture
def eophis(tmp_path):
    """The script as a program of a launch, and the PYTHONPATH that makes `import pyoasis` work."""
    (tmp_path / "main.py").write_text(EOPHIS)
    return [sys.executable, tmp_path / "main.py"], {"PYTHONPATH": str(python_path())}


@pytest.mark.parametrize("ranks", [(1, 1), (2, 3)], ids="{0[0]}x{0[1]}".format)
def test_the_calls_of_eophis_against_python(job, eophis, ranks):
    script, env = eophis
    done = job(fields(), (ranks[0], EARTH), (ranks[1], script), env=env)
    assert done.rc == 0, done.text
    assert done.stdout.count("ocean right") == ranks[0]
    assert done.stdout.count("eophis right") == ranks[1]


@pytest.mark.parametrize("ranks", [(1, 1), (2, 3)], ids="{0[0]}x{0[1]}".format)
def test_the_calls_of_eophis_against_fortran(job, eophis, ocean, ranks, tmp_path):
    """The Fortran side reads ./namcouple itself, so the file is translated where it lies."""
    from coupler.oasis.dialect import translate_file

    script, env = eophis
    (tmp_path / "original").write_text(fields())
    text = translate_file(tmp_path / "original", ["oceanx", "eophis"])
    done = job(text, (ranks[0], [ocean]), (ranks[1], script), env=env)
    assert done.rc == 0, done.text
    assert done.stdout.count("ocean right") == ranks[0]
    assert done.stdout.count("eophis right") == ranks[1]


def test_an_abort_of_a_fortran_program_does_not_report_success(job, eophis, ocean, tmp_path):
    """oasis_abort.o in its link line turns MPI_Abort(comm, 0) into 1."""
    from coupler.oasis.dialect import translate_file

    script, env = eophis
    (tmp_path / "original").write_text(fields())
    text = translate_file(tmp_path / "original", ["oceanx", "eophis"])
    done = job(text, (1, [ocean, "fail"]), (1, script), env=env, timeout=20)
    assert done.rc == 1, done.text
    broken = job(text, (1, [ocean.with_name("plain.exe"), "fail"]), (1, script), env=env, timeout=20)
    assert broken.rc == 0, broken.text


def test_a_fortran_program_that_never_comes_is_found_out(job, eophis, tmp_path):
    from coupler.oasis.dialect import translate_file

    script, env = eophis
    (tmp_path / "original").write_text(fields())
    text = translate_file(tmp_path / "original", ["oceanx", "eophis"])
    done = job(text, (1, "from mpi4py import MPI; time.sleep(60)"), (1, script), env=env, timeout=20)
    assert done.rc == 3, done.text
    assert "not every process of the launch called oasis_init_comp within 2 s" in done.stderr
