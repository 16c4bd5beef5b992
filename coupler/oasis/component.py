"""A component of a coupled run: this process and its sisters of the same name."""

import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from coupler.oasis.clock import Clock
from coupler.oasis.definitions import Definitions
from coupler.oasis.dialect import alias, check, own_name, translate
from coupler.oasis.ending import Ending, abort_job
from coupler.oasis.exceptions import PyOasisException
from coupler.oasis.library import load
from coupler.oasis.namcouple import read
from coupler.transport.poll import poll

LOGS = "oasis_run"
PATIENCE = 120.0  # seconds until every process of the launch has made its Component
_made: list[Callable[[], "Component | None"]] = []  # OASIS can be started once per process


def current(wanted_by: str) -> "Component":
    """The component of this process; PyOasisException where there is none (yet, or any more)."""
    component = _made[0]() if _made else None
    if component is None or not component.alive:
        raise PyOasisException(f"{wanted_by}: this process has no Component. Make it first, and keep it in a variable.")
    return component


class Component:
    """This process as part of component `name` of the run; collective over every process of the launch.

    The namcouple of the current folder decides how. With $NBMODEL it is used as it is, and components of any make can take part.
    Without, every component must use this binding: they tell each other their names and a translated copy is used.
    What OASIS writes goes to the folder oasis_run ($HALOCLINE_OASIS_LOGS names another); restart files stay here.

    localcomm: communicator of the component; couplcomm: of its processes that exchange. From here on an uncaught exception or
    sys.exit(code) of this process ends the whole job with that code.

    Raises PyOasisException for a second Component, coupled=False, a communicator other than the world, more than 9
    components, and a namcouple that is absent or that OASIS would misread.
    """

    def __init__(self, name: str, coupled: bool = True, communicator: MPI.Intracomm | None = None) -> None:
        self.alive = False
        if _made:
            raise PyOasisException(
                f"Component('{name}'): this process has made a Component already. OASIS starts once per process; start another one."
            )
        _made.append(weakref.ref(self))
        self._name = name
        self.ending = Ending(self)
        self.alive = True  # from here on a mistake ends the job
        if not name or not coupled:
            why = "the name is empty" if not name else "coupled=False needs OASIS3-MCT 4; use create_couplcomm(False)"
            raise PyOasisException(f"Component('{name}'): {why}.")
        world = MPI.COMM_WORLD
        if communicator is not None and MPI.Comm.Compare(communicator, world) not in (MPI.IDENT, MPI.CONGRUENT):
            raise PyOasisException(f"Component('{name}'): this OASIS always uses COMM_WORLD; leave `communicator` out.")
        self.library = load()
        self.patience = float(os.environ.get("HALOCLINE_OASIS_START", PATIENCE))
        self.namcouple = read()
        self.agreed = not self.namcouple.models
        self.folder = Path(os.environ.get("HALOCLINE_OASIS_LOGS", LOGS))
        text, unit = self._dialect()
        self.clock = Clock(self.namcouple.runtime, unit, self.namcouple.where)
        self.instant = all(entry.instant for entry in self.namcouple.entries)
        self._id = self._start(text)
        self.localcomm: Any = MPI.Comm.f2py(self.library.get_localcomm())
        self.couplcomm: Any = self.localcomm.Dup()
        self.definitions = Definitions(weakref.proxy(self))

    def _dialect(self) -> tuple[str, int]:
        """The namcouple that OASIS shall read, and the unit of its times; sets the name by which OASIS knows this component."""
        world = MPI.COMM_WORLD
        self.ranks: dict[str, list[int]] = {}
        if not self.agreed:
            text = Path("namcouple").read_text(encoding="utf-8", errors="replace")
            check(self.namcouple, text)
            self.aliases = {self._name: own_name(self._name, self.namcouple, world.size)}
            return text, 1
        for rank, name in enumerate(self._names()):
            self.ranks.setdefault(name, []).append(rank)
        self.aliases = alias(list(self.ranks))
        return translate(self.namcouple, list(self.aliases.values()))

    def _names(self) -> list[str]:
        """Component names of all ranks; a launch with a program that is no such component ends in words, not in a hang."""
        world = MPI.COMM_WORLD
        mine, names = np.zeros(128, np.uint8), np.zeros((world.size, 128), np.uint8)
        letters = self._name.encode()[:128]
        mine[: len(letters)] = list(letters)
        request = world.Iallgather(mine, names)
        if not poll(request.Test, self.patience):
            abort_job(
                f"halocline: not every process of the launch made its Component within {self.patience:g} s. The namcouple has no "
                "$NBMODEL, so all must use this binding. A Fortran component needs a namcouple in its own dialect: "
                "`halocline namcouple` writes one.",
                1,
            )
        return [bytes(row[row > 0].tolist()).decode() for row in names]

    def _start(self, text: str) -> int:
        """oasis_init_comp in the folder of the logs; every process writes the same namcouple there, whole or not at all."""
        rank = MPI.COMM_WORLD.rank
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f".namcouple.{rank}"
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.folder / "namcouple")
        folder = self.folder.resolve()
        for old in folder.glob("debug_notroot.*"):  # OASIS appends; it opens them after a barrier of all processes
            old.unlink(missing_ok=True)
        with self.logs(), hidden_stderr(folder / f"stderr.{rank:06d}") as stream:
            self.library.abort_logs([folder / "nout.000000"] * 3, stream)
            self.library.deadline(
                math.ceil(self.patience),
                f"halocline: not every process of the launch called oasis_init_comp within {self.patience:g} s; component "
                f"'{self._name}' waits for {', '.join(self.namcouple.models or self.ranks)}. "
                "All of them must run in this one mpirun.\n",
            )
            number = self.library.init_comp(self.aliases[self._name])
            self.library.deadline(0, "")
        files = [folder / f"{kind}.{number:02d}" for kind in ("debug_notroot", "debug.root")]
        self.library.abort_logs([folder / "nout.000000", *files], 2)
        return number

    @contextmanager
    def logs(self) -> Iterator[None]:
        """The folder of the logs as current folder: OASIS opens its files by bare names."""
        home = Path.cwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(home)

    @property
    def name(self) -> str:
        """Its name, in full."""
        return self._name

    @property
    def coupled(self) -> bool:
        """False on processes left out by create_couplcomm(False)."""
        return self.couplcomm != MPI.COMM_NULL

    @property
    def debug_level(self) -> int:
        """How much OASIS writes: 0 little, 1 every routine of the root, 2 a file per process."""
        return self.library.get_debug()

    @debug_level.setter
    def debug_level(self, level: int) -> None:
        self.library.set_debug(level)

    def create_couplcomm(self, coupled: bool) -> int:
        """Leave processes with coupled=False out of the exchanges; collective over the component. Returns 0."""
        colour = 1 if coupled else MPI.UNDEFINED
        handle, error = self.library.create_couplcomm(colour, self.localcomm.py2f())
        self.couplcomm = MPI.Comm.f2py(handle) if coupled else MPI.COMM_NULL
        return error

    def set_couplcomm(self, couplcomm: MPI.Comm) -> int:
        """Use `couplcomm` for the exchanges. Returns 0."""
        self.couplcomm = couplcomm
        return self.library.set_couplcomm(couplcomm.py2f())

    def get_intracomm(self, compname: str) -> Any:
        """A communicator over this component and `compname`; collective over both."""
        return MPI.Comm.f2py(self.library.get_intracomm(self._known(compname)))

    def get_intercomm(self, compname: str) -> Any:
        """The intercommunicator with `compname`; collective over both."""
        return MPI.Comm.f2py(self.library.get_intercomm(self._known(compname)))

    def get_multi_intracomm(self, complist: Sequence[str]) -> tuple[Any, dict[str, int]]:
        """A communicator over this component and `complist`, and the rank of each component's root in it.

        Collective over them. Needs a namcouple without $NBMODEL, where the components know each other's ranks.
        """
        if not self.agreed:
            raise PyOasisException(
                "get_multi_intracomm: a namcouple with $NBMODEL does not tell which rank is which component."
            )
        for name in complist:
            self._known(name)
        chosen = {name: ranks for name, ranks in self.ranks.items() if name in complist or name == self._name}
        members = sorted(rank for ranks in chosen.values() for rank in ranks)
        group = MPI.COMM_WORLD.Get_group().Incl(members)
        comm = MPI.COMM_WORLD.Create_group(group)
        return comm, {name: members.index(ranks[0]) for name, ranks in chosen.items()}

    def _known(self, compname: str) -> str:
        """The name by which OASIS knows another component."""
        known = list(self.aliases) if self.agreed else [model[:6] for model in self.namcouple.models]
        short = self.aliases.get(compname, compname if self.agreed else compname[:6])
        if compname not in known and short not in known:
            raise PyOasisException(f"component '{compname}' is not part of this run ({', '.join(known)}).")
        return short

    @staticmethod
    def enddef() -> None:
        """End of the definitions; collective over every process of the launch.

        Raises PyOasisException where sides or ranks disagree, and for a variable that no other component defines.
        """
        current("enddef()").definitions.close()

    def gather(self, value: Any) -> list[Any]:
        """Values of every process of the launch, all of which use this binding."""
        return MPI.COMM_WORLD.allgather(value)

    def owed(self) -> str:
        """What another component still waits for, in words; empty where nothing."""
        if not hasattr(self, "definitions"):
            return "its start was complete"
        if not self.definitions.closed:
            return "its enddef()"
        coupling = self.clock.missing()
        return f"the exchange of '{coupling.name}' at time {coupling.next()}" if coupling else ""

    def terminate(self) -> None:
        """End the coupling; waits for every component. Called when the object goes or the script ends."""
        if not self.alive:
            return
        self.alive = False
        if not hasattr(self, "definitions") and MPI.COMM_WORLD.size == 1:
            return  # a mistake in the namcouple, and nobody else to wait for this process
        if not hasattr(self, "definitions") or not self.definitions.closed:
            abort_job(f"halocline: component '{self._name}' left before {self.owed()}; the job is stopped.", 3)
        self.ending.wait(self)
        with self.logs():
            self.library.terminate()
        self.library.deadline(0, "")
        self.ending.release()

    def __del__(self) -> None:
        self.terminate()

    def __str__(self) -> str:
        return f"Component {self._name!r} (number {self._id}, process {self.localcomm.rank} of {self.localcomm.size})"


@contextmanager
def hidden_stderr(path: Path) -> Iterator[int]:
    """Send stderr, also that of Fortran, to a file; yields a stream that still reaches the terminal."""
    terminal = os.dup(2)
    sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(sink, 2)
    os.close(sink)
    try:
        yield terminal
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
