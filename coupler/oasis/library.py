"""liboasis_halocline.so, loaded with ctypes; every call releases Python's lock."""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from coupler.oasis.exceptions import OasisException, PyOasisException

NAME = "liboasis_halocline.so"
HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "oasis"
DEBIAN_LIMITS = {"name": 6, "components": 9, "field": 128, "partitions": 100, "line": 1000, "digits": 8, "restart": 8}


def find() -> Path | None:
    """The library that would be loaded: $HALOCLINE_OASIS_LIB, beside this file, or where `make fortran` puts it."""
    named = os.environ.get("HALOCLINE_OASIS_LIB")
    places = [Path(named)] if named else [HERE / NAME, BUILD / NAME]
    return next((path for path in places if path.is_file()), None)


@cache
def load() -> "Library":
    """The library, loaded once per process.

    Raises PyOasisException when it is not built, cannot be loaded, or was built with another MPI than mpi4py's.
    """
    path = find()
    if path is None:
        named = os.environ.get("HALOCLINE_OASIS_LIB")
        raise PyOasisException(
            f"the OASIS binding {named or BUILD / NAME} does not exist. Build it: `make fortran` (needs Debian's "
            "liboasis3-dev; `make fortran OASIS_DIR=/path` takes another OASIS3-MCT installation)."
        )
    try:
        dll = ctypes.CDLL(str(path))
        built_with = dll.halocline_built_with
    except (OSError, AttributeError) as error:
        raise PyOasisException(
            f"the OASIS binding {path} cannot be loaded: {error}. It was built by another compiler or for other libraries: "
            "remove it and build it here, `make fortran`."
        ) from None
    built_with.restype = ctypes.c_char_p
    check_mpi(built_with().decode(), path)
    return Library(dll)


def check_mpi(built_with: str, path: Path) -> None:
    """Refuse a library whose MPI is not the one that mpi4py uses: two MPIs in one process cannot meet."""
    from mpi4py import MPI

    vendor, release = MPI.get_vendor()
    ours = f"{vendor} {release[0]}" if vendor == "Open MPI" else vendor
    if built_with != "unknown" and not built_with.startswith(ours):
        raise PyOasisException(
            f"the OASIS binding {path} was built with {built_with}, mpi4py uses {vendor} {'.'.join(map(str, release))}. "
            "Put the mpif90 and mpicc of mpi4py's MPI first on PATH, remove the library and build it again: `make fortran`."
        )


class Library:
    """The routines of OASIS with Python's types. An OASIS error ends the job inside the call (exit code 1)."""

    def __init__(self, dll: ctypes.CDLL) -> None:
        self._dll = dll
        for name in ("hal_put", "hal_get"):
            getattr(dll, name).argtypes = [*[ctypes.c_int] * 3, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
        dll.halocline_abort_logs.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_int]
        dll.halocline_deadline.argtypes = [ctypes.c_uint, ctypes.c_char_p]

    def _call(self, name: str, *args: Any, results: int) -> list[int]:
        """Call a routine whose last arguments are integers that it returns."""
        out = [ctypes.c_int(0) for _ in range(results)]
        getattr(self._dll, f"hal_{name}")(*args, *(ctypes.byref(value) for value in out))
        return [value.value for value in out]

    def _checked(self, name: str, *args: Any, results: int = 1) -> int:
        """The same; the last returned integer is an error code. Returns the first."""
        values = self._call(name, *args, results=results)
        if values[-1] != 0:
            raise OasisException(f"error in oasis_{name}", values[-1])
        return values[0]

    def init_comp(self, name: str) -> int:
        """Id of the component `name`; collective over all ranks of the launch."""
        return self._checked("init_comp", name.encode(), results=2)

    def terminate(self) -> None:
        """End of OASIS; waits for all ranks of the launch."""
        self._checked("terminate")

    def enddef(self) -> None:
        """End of the definitions; collective over all ranks of the launch."""
        self._checked("enddef")

    def abort(self, component: int, routine: str, message: str) -> None:
        """End the job through oasis_abort."""
        self._dll.hal_abort(component, routine.encode(), message.encode())

    def get_localcomm(self) -> int:
        """Fortran handle of the component's communicator."""
        return self._call("get_localcomm", results=1)[0]

    def create_couplcomm(self, colour: int, comm: int) -> tuple[int, int]:
        """Split `comm`; (Fortran handle, error code)."""
        handle, error = self._call("create_couplcomm", colour, comm, results=2)
        return handle, error

    def set_couplcomm(self, comm: int) -> int:
        """Use `comm` for the coupling; error code."""
        return self._call("set_couplcomm", comm, results=1)[0]

    def get_intracomm(self, name: str) -> int:
        """Fortran handle of a communicator over this component and `name`."""
        return self._checked("get_intracomm", name.encode(), results=2)

    def get_intercomm(self, name: str) -> int:
        """Fortran handle of the intercommunicator with component `name`."""
        return self._checked("get_intercomm", name.encode(), results=2)

    def def_partition(self, parallel: np.ndarray, gsize: int) -> int:
        """Id of a partition; parallel: int32 description, gsize: points of the index space. Collective."""
        pointer = parallel.ctypes.data_as(ctypes.c_void_p)
        return self._checked("def_partition", parallel.size, pointer, gsize, results=2)

    def set_shape(self, partition: int, nx: int, ny: int) -> None:
        """Sizes of the whole field in files, instead of those of the namcouple; between def_partition and enddef."""
        self._call("set_shape", partition, nx, ny, results=0)

    def def_var(self, name: str, partition: int, points: int, inout: int) -> int:
        """Id of a variable of doubles."""
        return self._checked("def_var", name.encode(), partition, points, inout, results=2)

    def get_ncpl(self, variable: int) -> int:
        """Number of couplings that a variable takes part in."""
        return self._checked("get_ncpl", variable, results=2)

    def coverage(self, variable: int, points: int) -> np.ndarray:
        """Number of ranks that send each local point (points,), int32; -1 where OASIS interpolates."""
        senders = np.zeros(points, np.int32)
        self._dll.hal_coverage(variable, points, senders.ctypes.data_as(ctypes.c_void_p))
        return senders

    def put(self, variable: int, time: int, field: np.ndarray) -> int:
        """Send contiguous doubles (points,); what happened, as in OasisParameters."""
        return self._call("put", variable, time, field.size, field.ctypes.data, results=1)[0]

    def get(self, variable: int, time: int, field: np.ndarray) -> int:
        """Receive into contiguous doubles (points,); what happened, as in OasisParameters."""
        return self._call("get", variable, time, field.size, field.ctypes.data, results=1)[0]

    def put_inquire(self, variable: int, time: int) -> int:
        """What a put at this time would do."""
        return self._call("put_inquire", variable, time, results=1)[0]

    def get_debug(self) -> int:
        """Debug level of OASIS on this rank."""
        return self._checked("get_debug", results=2)

    def set_debug(self, level: int) -> None:
        """Set it."""
        self._checked("set_debug", level)

    def write_grid_field(self, routine: str, name: str, shape: tuple[int, ...], *fields: np.ndarray) -> None:
        """One of the routines write_grid, write_corner, write_mask, write_area, write_angle; whole fields, Fortran order."""
        pointers = [field.ctypes.data_as(ctypes.c_void_p) for field in fields]
        getattr(self._dll, f"hal_{routine}")(name.encode(), *shape, *pointers)

    def start_grids(self) -> None:
        """Begin grid writing; root of the component only."""
        self._call("start_grids", results=1)

    def terminate_grids(self) -> None:
        """End grid writing; root of the component only."""
        self._dll.hal_terminate_grids()

    def abort_logs(self, paths: list[Path], stream: int) -> None:
        """Three files in which OASIS may explain an abort, newest last, and the stream to copy their end to."""
        self._dll.halocline_abort_logs(*(str(path).encode() for path in paths), stream)

    def deadline(self, seconds: int, message: str) -> None:
        """End this process with `message` and code 3 after `seconds`; 0 calls it off. Works while Python shuts down."""
        self._dll.halocline_deadline(seconds, message.encode())
