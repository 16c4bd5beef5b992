"""How a process leaves a coupled run: an exception, sys.exit or a finished script must end the job, never hang it."""

import atexit
import math
import os
import sys
import threading
import time
import traceback
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from coupler.oasis.component import Component

PATIENCE = 30.0  # seconds that a process which leaves early waits for the others to leave too


def abort_job(message: str, code: int) -> NoReturn:
    """One message on stderr, then MPI_Abort of every program of the launch."""
    from mpi4py import MPI

    print(message, file=sys.stderr, flush=True)
    time.sleep(0.1)  # mpirun may kill the job before it has forwarded the message
    MPI.COMM_WORLD.Abort(code)
    os._exit(code)


class Ending:
    """The guards of one component, in force from its making to its end.

    An uncaught exception: traceback, then MPI_Abort(1), as the genuine pyoasis does. sys.exit with another code than 0: MPI_Abort
    with it. Anything else: oasis_terminate, which waits for all components; a process that still owes an exchange waits
    $HALOCLINE_OASIS_PATIENCE seconds (default 30), then ends the job with code 3.
    """

    def __init__(self, component: "Component") -> None:
        self._component = weakref.ref(component)
        self._code, self._process = 0, os.getpid()
        self._hook, self._exit = sys.excepthook, sys.exit
        sys.excepthook = self._uncaught
        sys.exit = self._sys_exit
        atexit.register(self._at_exit)

    def forget_exit_code(self) -> None:
        """The script caught its own SystemExit and goes on."""
        self._code = 0

    def release(self) -> None:
        """Call the guards off: the component has ended."""
        if sys.excepthook == self._uncaught:
            sys.excepthook = self._hook
        if sys.exit == self._sys_exit:
            sys.exit = self._exit
        atexit.unregister(self._at_exit)

    def wait(self, component: "Component") -> None:
        """Set the deadline of a termination: none where nobody waits for an exchange of this component."""
        owed = component.owed()
        if owed:
            seconds = math.ceil(float(os.environ.get("HALOCLINE_OASIS_PATIENCE", PATIENCE)))
            component.library.deadline(
                seconds,
                f"halocline: component '{component.name}' left before {owed}, and the others did not end "
                f"within {seconds} s. The job is stopped. Exchange every field until $RUNTIME, or end all components together.\n",
            )

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        component = self._component()
        if component is None or not component.alive or os.getpid() != self._process:
            self._hook(kind, error, trace)
            return
        abort_job("".join(traceback.format_exception(kind, error, trace)).rstrip(), 1)

    def _sys_exit(self, status: object = None) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            self._code = status if isinstance(status, int) else 0 if status is None else 1
        if isinstance(status, str):
            print(status, file=sys.stderr, flush=True)
        self._exit(status if not isinstance(status, str) else 1)  # type: ignore[arg-type]

    def _at_exit(self) -> None:
        component = self._component()
        if component is None or not component.alive or os.getpid() != self._process:
            return  # ended already, or a forked child, which is not the component
        if self._code:
            abort_job(
                f"halocline: component '{component.name}' left with sys.exit({self._code}); the job is stopped.",
                self._code,
            )
        component.terminate()
