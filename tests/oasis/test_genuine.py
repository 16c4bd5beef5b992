"""Which pyoasis a script gets, and what is said when the binding is missing or made for another MPI."""

import os
import subprocess
import sys

import pytest

import coupler.oasis
from coupler.oasis.genuine import find_pyoasis, python_path, why_not
from tests.oasis.conftest import REPO


def python(code: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )


def test_importing_does_nothing():
    """No MPI, no excepthook, no library."""
    done = python(
        "import sys; hook = sys.excepthook; import coupler.oasis as p; p.OASIS.IN; p.PyOasisException; p.SerialPartition(3); "
        "print('mpi4py.MPI' in sys.modules, sys.excepthook is hook)"
    )
    assert done.stdout == "False True\n", done.stderr


def test_the_api_is_complete():
    """Every name of the genuine package that scripts use."""
    names = {
        *(
            "Component",
            "Partition",
            "SerialPartition",
            "ApplePartition",
            "BoxPartition",
            "OrangePartition",
            "Grid",
            "Var",
        ),
        *(
            "PointsPartition",
            "CubePartition",
            "OASIS",
            "OasisParameters",
            "asarray",
            "check_types",
            "set_debug",
            "get_debug",
        ),
        *("oasis_abort", "pyoasis_abort", "OasisException", "PyOasisException"),
    }
    assert names <= set(dir(coupler.oasis))
    for name in names:
        assert getattr(coupler.oasis, name).__name__
    assert str(coupler.oasis.OasisException("no", 7)) == "no (7)"
    assert str(coupler.oasis.OASIS.SENT) == "OasisParameters.OASIS_SENT"
    assert coupler.oasis.OASIS.OUT == 20
    assert coupler.oasis.OASIS.IN == 21


def test_the_provider_makes_import_pyoasis_work():
    done = python(
        "import pyoasis; from pyoasis import OASIS, Var; print(pyoasis.OASIS.IN, Var.__module__)",
        PYTHONPATH=str(python_path()),
    )
    assert done.stdout == "OasisParameters.OASIS_IN coupler.oasis.var\n", done.stderr


def test_without_another_pyoasis_ours_is_found(monkeypatch):
    assert find_pyoasis() is coupler.oasis
    monkeypatch.syspath_prepend(str(python_path()))
    assert find_pyoasis() is coupler.oasis


def package(folder, init, files=()):
    (folder / "pyoasis").mkdir()
    (folder / "pyoasis" / "__init__.py").write_text(init)
    for name in files:
        (folder / "pyoasis" / name).write_text("")


GENUINE = ("component.py", "partition.py", "var.py")


def test_the_genuine_one_is_preferred(tmp_path):
    package(tmp_path, "Component = OrangePartition = Var = OASIS = 1\nname = 'genuine'", GENUINE)
    done = python("from coupler.oasis import find_pyoasis; print(find_pyoasis().name)", PYTHONPATH=str(tmp_path))
    assert done.stdout == "genuine\n", done.stderr


def test_the_ionosphere_package_is_refused_with_a_reason(tmp_path):
    package(tmp_path, "raise SystemExit('it was imported')", ["iri.py"])
    done = python("from coupler.oasis import find_pyoasis; print(find_pyoasis().__name__)", PYTHONPATH=str(tmp_path))
    assert done.stdout == "coupler.oasis\n", done.stderr
    assert "is not OASIS3-MCT's" in done.stderr
    assert "a tool for ionosphere data" in why_not(tmp_path / "pyoasis")


@pytest.mark.parametrize(
    ("init", "words"),
    [("import no_such_library", "cannot be imported: ModuleNotFoundError"), ("", "older than OASIS3-MCT 5")],
)
def test_a_genuine_one_that_does_not_start_is_an_error(tmp_path, init, words):
    package(tmp_path, init, GENUINE)
    done = python("from coupler.oasis import find_pyoasis; find_pyoasis()", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert words in done.stderr


def test_a_missing_library_says_what_to_do(tmp_path):
    done = python(
        "from coupler.oasis.library import load; load()", HALOCLINE_OASIS_LIB=str(tmp_path / "liboasis_halocline.so")
    )
    assert done.returncode == 1
    assert "does not exist. Build it: `make fortran` (needs Debian's liboasis3-dev" in done.stderr


@pytest.mark.parametrize("content", [b"\x7fELF not really", b""])
def test_a_library_of_another_compiler_says_what_to_do(tmp_path, content):
    (tmp_path / "lib.so").write_bytes(content)
    done = python("from coupler.oasis.library import load; load()", HALOCLINE_OASIS_LIB=str(tmp_path / "lib.so"))
    assert done.returncode == 1
    assert "cannot be loaded" in done.stderr
    assert "built by another compiler" in done.stderr


def test_a_library_for_another_mpi_is_refused(tmp_path):
    from coupler.oasis import PyOasisException
    from coupler.oasis.library import check_mpi

    with pytest.raises(PyOasisException, match="was built with MPICH 4.0.2, mpi4py uses"):
        check_mpi("MPICH 4.0.2", tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"OASIS_DIR": "/nowhere"}, "OASIS_DIR=/nowhere holds no finished build"),
        ({"OASIS_DIR": "", "INCDIRS": "/nowhere"}, "apt-get install liboasis3-dev"),
    ],
)
def test_the_build_says_what_is_missing(tmp_path, change, words):
    command = [
        "make",
        "-s",
        "-C",
        REPO / "coupler" / "oasis",
        f"B={tmp_path}",
        *(f"{k}={v}" for k, v in change.items()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_module_file_of_another_compiler_is_recognised(tmp_path):
    (tmp_path / "include").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "include" / "mod_oasis.mod").write_text("GFORTRAN module version '0' created from another world\n")
    (tmp_path / "lib" / "libpsmile.MPI1.a").write_bytes(b"")
    command = ["make", "-s", "-C", REPO / "coupler" / "oasis", f"B={tmp_path / 'b'}", f"OASIS_DIR={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "OASIS3-MCT must be built by the same compiler as this coupler" in done.stderr
