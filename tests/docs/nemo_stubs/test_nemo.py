"""The files for MY_SRC compile against stand-ins of NEMO's modules, run coupled, and docs/pages/nemo.md shows their calls."""

import re
import subprocess

import pytest

from coupler import settings
from coupler.ending import read_end
from tests.conftest import REPO

HERE = REPO / "tests/docs/nemo_stubs"
MY_SRC = REPO / "namelists/nemo_my_src"
NETWORK = '''"""A damping of u and a growth of t, exact in double precision."""

CONTRACT = {
    "name": "damping", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f8",
    "inputs": [
        {"name": "u", "units": "m s-1", "point": "U", "fill": 0.0},
        {"name": "t", "units": "degC", "point": "T", "fill": 0.0},
    ],
    "outputs": [
        {"name": "du", "units": "m s-2", "point": "U", "kind": "tendency"},
        {"name": "dt", "units": "degC s-1", "point": "T", "kind": "tendency"},
    ],
    "decomposition": "bitwise",
}


def run(inputs):
    return {"du": -1e-6 * inputs["u"], "dt": 1e-7 * inputs["t"]}
'''
NAMELIST = """
&namcpl  cn_python_allow = 'damping.py'  /
&namexc  cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 't'  /
&namexc  cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dt'  /
&namnet  cn_name = 'damping', cn_artefact = 'damping.py'  /
"""
STRICT = ["-O1", "-g", "-Wall", "-Werror", "-fcheck=all", "-ffpe-trap=invalid,zero,overflow"]
FLAGS = {"5.0": ["-cpp", "-fdefault-real-8"], "plain": []}  # as NEMO's arch files compile


def build(folder, source=None, flags=()):
    """The stand-in for NEMO with the client and MY_SRC, from hal_nemo as it is or as `source`."""
    (folder / "hal_nemo.f90").write_text(source or (MY_SRC / "hal_nemo.f90").read_text())
    files = [
        REPO / "coupler/fortran/cpl_halocline_mpi.f90",
        HERE / "nemo_stubs.f90",
        "hal_nemo.f90",
        HERE / "nemo_toy.f90",
    ]
    command = ["mpif90", *STRICT, *flags, *map(str, files), "-o", "nemo.exe"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (folder / "namelist_cfg").write_text(NAMELIST)
    (folder / "damping.py").write_text(NETWORK)
    return folder


def run(mpirun, folder, *arguments):
    return mpirun(["-np", 2, "./nemo.exe", *arguments, ":", "-np", 1, "halocline", "couple", "."], np=None, cwd=folder)


def wrong(done):
    """Wrong values on each of the two ranks."""
    assert done.rc == 0, done.text
    return [int(number) for number in re.findall(r"has (\d+) wrong values", done.text)]


@pytest.fixture(scope="module")
def nemo(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nemo"), flags=FLAGS["5.0"])


@pytest.mark.mpi
def test_each_stage_and_tile_gets_the_tendency_once(nemo, mpirun):
    """Also the restart of the coupler appears where NEMO writes its own."""
    assert wrong(run(mpirun, nemo, "tiles")) == [0, 0]
    assert read_end(nemo)["coupler"]["kt"] == 6 and (nemo / "halocline_00000006_restart.nc").exists()


@pytest.mark.mpi
@pytest.mark.slow
def test_tendencies_of_the_whole_subdomain_on_each_tile_are_caught(tmp_path, mpirun):
    """The broken twin: bounds of the subdomain where those of the tile belong."""
    source = (MY_SRC / "hal_nemo.f90").read_text()
    broken = source.replace("ntsj, ntej", "Njs0, Nje0").replace("ntsi, ntei", "Nis0, Nie0")
    assert broken != source
    folder = build(tmp_path, broken)
    assert wrong(run(mpirun, folder)) == [0, 0]
    assert min(wrong(run(mpirun, folder, "tiles"))) > 0


@pytest.mark.mpi
@pytest.mark.slow
def test_a_wish_to_end_ends_nemo_with_a_restart(tmp_path, mpirun):
    """nitend and nitrst follow: the last step of the run is the step of the coupler's restart."""
    folder = build(tmp_path, flags=FLAGS["plain"])
    toy = (HERE / "nemo_toy.f90").read_text()
    long = folder / "long.f90"
    long.write_text(
        toy.replace("nitend = 6", "nitend = 1000000").replace("call hal_snd", "call pause()\n      call hal_snd")
    )
    long.write_text(
        long.read_text().replace(
            "   subroutine dom_tile",
            "   subroutine pause()\n      if (istp == 50) call execute_command_line('touch halocline.stop')\n"
            "   end subroutine pause\n\n   subroutine dom_tile",
            1,
        )
    )
    objects = [REPO / "coupler/fortran/cpl_halocline_mpi.f90", HERE / "nemo_stubs.f90", "hal_nemo.f90", long]
    subprocess.run(["mpif90", *map(str, objects), "-o", "nemo.exe"], cwd=folder, check=True, timeout=120)
    done = run(mpirun, folder)
    assert wrong(done) == [0, 0]
    last = int(re.search(r"last step (\d+)", done.text)[1])
    assert 50 < last < 1000000 and (folder / f"halocline_{last:08d}_restart.nc").exists()


@pytest.mark.parametrize("flags", FLAGS)
def test_my_src_compiles_as_nemo_compiles_it(tmp_path, flags):
    """Standard Fortran 2008 with either default real; a misspelt name of NEMO does not compile."""
    command = ["mpif90", "-std=f2008", "-Wall", "-Werror", *FLAGS[flags], "-c"]
    files = [REPO / "coupler/fortran/cpl_halocline_mpi.f90", HERE / "nemo_stubs.f90"]
    subprocess.run([*command, *map(str, files)], cwd=tmp_path, check=True, timeout=120)
    source = tmp_path / "hal_nemo.f90"
    for text, code in ((MY_SRC / "hal_nemo.f90").read_text(), 0), (None, 1):
        source.write_text(text or source.read_text().replace("nimpp", "nimp"))
        done = subprocess.run([*command, "hal_nemo.f90"], cwd=tmp_path, capture_output=True, timeout=120)
        assert done.returncode == code, done.stderr


def test_the_file_is_plain_ascii_and_narrow():
    """A traditional preprocessor stumbles over quotes and // in comments."""
    text = (MY_SRC / "hal_nemo.f90").read_text(encoding="ascii")
    assert max(map(len, text.splitlines())) <= 132
    comments = [line.partition("!")[2] for line in text.splitlines() if line.lstrip().startswith("!")]
    assert not [line for line in comments if "'" in line or '"' in line or "//" in line]


def test_the_appended_groups_are_read(tmp_path):
    (tmp_path / "namelist_cfg").write_text((MY_SRC / "namelist_halocline").read_text())
    read = settings.load(tmp_path)
    assert [exchange.cn_name for exchange in read.namexc] == ["masks", "state", "tendency"]


def test_the_calls_of_the_page_exist():
    """Every hal_ call that docs/pages/nemo.md shows has the arguments of the file; a call that does not exist is seen."""
    page = (REPO / "docs/pages/nemo.md").read_text(encoding="utf-8")
    source = (MY_SRC / "hal_nemo.f90").read_text()
    assert not strangers(page, source)
    assert strangers(page + "CALL hal_recv( kstp )", source) == ["hal_recv(1)"]
    public = re.search(r"public :: (.*)", source)[1].split(", ")
    assert not [name for name in public if not re.search(rf"(?i)call {name}\b", page)]


def strangers(page, source):
    """Calls with a name or a number of arguments that no subroutine of the source has."""
    known = {
        f"{name}({len(arguments.split(',')) if arguments else 0})"
        for name, arguments in re.findall(r"subroutine (hal_\w+)\((.*?)\)", source)
    }
    calls = [
        f"{name.lower()}({len(arguments.split(',')) if arguments and arguments.strip() else 0})"
        for name, arguments in re.findall(r"(?i)call (hal_\w+)(?:\((.*?)\))?", page)
    ]
    return [call for call in calls if call not in known]
