"""What an installation is made of: said quickly, and without waking what it names."""

import subprocess
import sys

from coupler import versions


def test_every_library_is_named_with_its_version():
    found = versions.versions()
    for name in ("python", "numpy", "torch", "onnxruntime", "mpi4py", "netCDF4", "f90nml", "pydantic", "xarray"):
        assert found[name][0].isdigit(), name
    assert found["libnetcdf"][0].isdigit() and found["HDF5"][0].isdigit() and "revision" in found["halocline"]
    assert any(word in found["MPI library"] for word in ("Open MPI", "MPICH", "Intel"))
    assert next(iter(found)) == "halocline" and "OASIS3-MCT" in found


def test_a_library_that_is_not_there_is_said_to_be_missing():
    assert versions.installed("no-such-distribution") == versions.ABSENT
    assert versions._said("no-such-program") == "" and versions._said("false") == ""


def test_the_command_imports_no_engine_and_starts_no_mpi():
    code = (
        "import sys; from coupler import versions; print(versions.text());"
        "sys.exit(' '.join({'torch', 'onnxruntime', 'mpi4py.MPI', 'matplotlib'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(versions.versions())
    twin = subprocess.run(
        [sys.executable, "-c", f"import mpi4py.MPI; {code}"], capture_output=True, text=True, timeout=60
    )
    assert "mpi4py.MPI" in twin.stderr
