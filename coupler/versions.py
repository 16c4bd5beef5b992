"""What this installation is made of: `halocline --version`. No engine is imported, MPI is not started."""

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "numpy", "torch", "onnxruntime", "onnx", "mpi4py", "netCDF4", "xarray", "f90nml", "pydantic", "scipy", "matplotlib",
    "cmocean", "zarr", "lightning", "typer", "rich", "Jinja2",
)  # fmt: skip
ABSENT = "not installed"


def versions() -> dict[str, str]:
    """Name -> version of Halocline, Python and every library that it uses; 'not installed' for what is not there."""
    found = {"halocline": _halocline(), "python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = installed(name)
        if name == "mpi4py":
            found["MPI library"] = mpi_library()
        elif name == "netCDF4":
            found |= _netcdf()
    return found | {"OASIS3-MCT": oasis()}


def text() -> str:
    """One line for each, names aligned."""
    found = versions()
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {version}" for name, version in found.items())


def installed(name: str) -> str:
    """The version of an installed distribution."""
    for distribution in (name, f"{name}-gpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return ABSENT


def revision() -> str:
    """The git revision of the code, '-dirty' with changes that are in none; HALOCLINE_REVISION in an image; '' elsewhere."""
    return os.environ.get("HALOCLINE_REVISION") or _said(
        "git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"
    )


def _halocline() -> str:
    code = revision()
    return f"{installed('halocline')} ({f'revision {code}' if code else 'not a git check-out'})"


def mpi_library() -> str:
    """What MPI_Get_library_version says, which may be asked before MPI_Init, of the library that mpi4py is linked with.

    mpi4py's extension is opened as a plain library: importing it would start MPI.
    """
    try:
        files = metadata.files("mpi4py") or []
    except metadata.PackageNotFoundError:
        return ABSENT
    for file in files:
        if not (file.name.startswith("MPI.") and file.suffix == ".so"):
            continue
        try:
            ask = ctypes.CDLL(str(file.locate())).MPI_Get_library_version
        except (OSError, AttributeError):
            continue  # built for an MPI that is not here
        words, length = ctypes.create_string_buffer(8192), ctypes.c_int()
        ask(words, ctypes.byref(length))
        return words.value.decode(errors="replace").split("\n")[0].split(", package")[0]
    return "none that mpi4py could load"


def _netcdf() -> dict[str, str]:
    try:
        import netCDF4
    except ImportError:
        return {"libnetcdf": ABSENT, "HDF5": ABSENT}
    return {"libnetcdf": netCDF4.__netcdf4libversion__, "HDF5": netCDF4.__hdf5libversion__}


def oasis() -> str:
    """The version of Debian's OASIS3-MCT, and whether this project's binding to it is built."""
    from coupler.oasis.library import find

    version = _said("dpkg-query", "-W", "-f=${Version}", "liboasis3-dev")
    binding = find()
    if binding is None:
        return f"{version}, binding not built" if version else ABSENT
    return f"{version or 'version unknown'}, binding {binding.name}"


def _said(*command: str) -> str:
    """The first line that a program prints; '' where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""
