"""The free functions of pyoasis."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from coupler.oasis import component
from coupler.oasis.ending import abort_job
from coupler.oasis.exceptions import PyOasisException


def asarray(data: Any, dtype: Any = np.float64) -> np.ndarray:
    """An array in Fortran order of 32 or 64-bit floats, which put and get take without a copy (64 bits)."""
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise PyOasisException(f"asarray: dtype {dtype}; OASIS exchanges numpy.float32 and numpy.float64.")
    return np.asarray(data, dtype=dtype, order="F")


def check_types(types: Sequence[type], args: Sequence[Any]) -> None:
    """Raise PyOasisException unless each argument has its type; None passes."""
    for kind, value in zip(types, args, strict=True):
        if value is not None and not isinstance(value, kind):
            raise PyOasisException(f"the argument {value!r} is a {type(value).__name__}; {kind.__name__} is needed.")


def set_debug(level: int) -> None:
    """How much OASIS writes: 0 little, 1 every routine of the root, 2 a file per process."""
    component.current("set_debug").debug_level = level


def get_debug() -> int:
    """The level set last."""
    return component.current("get_debug").debug_level


def oasis_abort(component_id: int, routine: str, message: str, filename: str, line: int, error: int) -> NoReturn:
    """End the job with the exit code `error` (1 where it is 0)."""
    abort_job(
        f"halocline: component {component_id} calls oasis_abort in {routine} ({filename}:{line}): {message} ({error})",
        abs(error) % 256 or 1,
    )


def pyoasis_abort(exception: BaseException) -> NoReturn:
    """End the job with the message of an exception and exit code 1."""
    abort_job(f"halocline: {type(exception).__name__}: {exception}", 1)
