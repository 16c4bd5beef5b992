"""What is done to whom and when, and how the job is to end: one row each."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.failure.case import ocean_restart, our_restart
from tests.failure.processes import launcher, ranks, tell, wait_for

BOTH = ("mpi", "oasis")
RANK = {
    "ocean": 1,
    "coupler": 3,
    "ocean root": 0,
    "coupler root": 2,
}  # of the launch: two of the ocean, then two of the coupler
FIRST = {
    "ocean": ocean_restart(8),
    "coupler": our_restart(8),
}  # what happens after it is there happens between steps 9 and 17
DEFINED = "halocline_diag.nc.part"  # is there once the coupler knows the ocean, and has not answered yet


@dataclass(frozen=True)
class Row:
    """One failure.

    ends: 'dies' (non-zero, one message with the words), 'stops' (exit code 0, restarts to go on with), 'goes on' (exit code 0
    after all steps, the same bits). fault: for fault.c, by transport; faults: Python run in the network; restarts: steps whose
    restarts must be there, whole; within: seconds. quick: in `make test` over this transport. changes: of the namelist; after:
    begin from the restarts of this step; prepare(folder): done to the configuration before; meanwhile(folder, process): done
    during the run; wrap: command before `halocline run`; before: a line of the shell that each rank of the ocean does first;
    disk: size of a file system for the run folder; walltime: rn_walltime, within which the coupler must have ended.
    """

    name: str
    ends: str
    words: tuple[str, ...] = ()
    fault: dict[str, str] | None = None
    faults: str = ""
    transports: tuple[str, ...] = BOTH
    restarts: tuple[int, ...] = ()
    within: float = 10.0
    quick: str = ""
    changes: tuple[dict, ...] = ()
    after: int = 0
    prepare: Callable[[Path], None] | None = None
    meanwhile: Callable[[Path, Popen], None] | None = None
    wrap: tuple[str, ...] = ()
    before: str = ""
    disk: str = ""
    walltime: float = 0.0


def both(fault):
    return dict.fromkeys(BOTH, fault)


# Moment -> the call in which the signal comes: rank, function, count, file that must be there; and the restarts that must be left.
MOMENTS = {
    "ocean": {
        "before the handshake": (both(("ocean", "mpi_init_", 1, "-")), ()),
        "in the handshake": (both(("ocean root", "mpi_iprobe_", 1, "-")), ()),
        "after the handshake": (
            {"mpi": ("ocean root", "mpi_send_init_", 1, "-"), "oasis": ("ocean root", "mpi_bcast_", 1, DEFINED)},
            (),
        ),
        "in a send": (
            {
                "mpi": ("ocean", "mpi_startall_", 2, FIRST["ocean"]),
                "oasis": ("ocean", "mpi_isend_", 8, FIRST["ocean"]),
            },
            (8,),
        ),
        "writing a restart": (both(("ocean root", "pwrite", 4, FIRST["ocean"])), (8,)),
        "renaming a restart": (both(("ocean root", "rename", 1, FIRST["ocean"])), (8,)),
    },
    "coupler": {
        "before the handshake": (both(("coupler", "MPI_Init_thread", 1, "-")), ()),
        "in the handshake": (both(("coupler root", "MPI_Iprobe", 1, "-")), ()),
        "after the handshake": (
            {"mpi": ("coupler root", "MPI_Isend", 1, DEFINED), "oasis": ("coupler root", "MPI_Send", 1, DEFINED)},
            (),
        ),
        "in a send": (
            {
                "mpi": ("coupler", "MPI_Startall", 2, FIRST["coupler"]),
                "oasis": ("coupler", "mpi_isend_", 3, FIRST["coupler"]),
            },
            (8,),
        ),
        "writing a restart": (both(("coupler root", "pwrite", 4, FIRST["coupler"])), (8,)),
        "renaming a restart": (both(("coupler root", "rename", 1, FIRST["coupler"])), (8,)),
    },
}
SLOWER = "import time\nif call > 9:\n    time.sleep(2)\n"  # longer than mpirun waits between SIGTERM and SIGKILL
SLOWLY = "import time\nif call > 8:\n    time.sleep(0.1)\n"  # time to hear what is asked
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGSEGV": signal.SIGSEGV}
# In `make test`: one death of each kind of moment, over the transport that is named.
QUICK = {
    ("ocean", "before the handshake", "SIGKILL"): "mpi",
    ("coupler", "in a send", "SIGSEGV"): "mpi",
    ("ocean", "writing a restart", "SIGKILL"): "mpi",
}


def in_call(number, rank, what):
    """Python that the network runs: `what` at the given call on a rank of the launch."""
    return f"import os, signal, time\nif call == {number} and os.environ['OMPI_COMM_WORLD_RANK'] == '{rank}':\n    {what}\n"


def deaths():
    """SIGKILL, SIGTERM and SIGSEGV of a rank at every moment; in the time loop SIGTERM is a wish to end."""
    for side, moments in MOMENTS.items():
        for moment, (calls, restarts) in moments.items():
            for name, number in SIGNALS.items():
                fault = {
                    transport: f"{RANK[who]} {function} {count} {int(number)} {file}"
                    for transport, (who, function, count, file) in calls.items()
                }
                asked = name == "SIGTERM" and bool(restarts)
                rank = RANK[calls["mpi"][0]]
                words = (f"signal {int(number)} ({name})",)
                if moment != "before the handshake":  # mpirun names nobody when MPI had not started
                    words += (f"rank {rank % 2} of the {side}",)
                yield Row(
                    f"{name} of the {side} {moment}",
                    "stops" if asked else "dies",
                    ("ended after step",) if asked else words,
                    fault,
                    SLOWLY if asked else "",
                    restarts=restarts,
                    quick=QUICK.get((side, moment, name), ""),
                )
    for name, number in SIGNALS.items():
        asked = name == "SIGTERM"
        kill = in_call(12, 3, f"os.kill(os.getpid(), {int(number)})") + (SLOWLY if asked else "")
        words = ("ended after step",) if asked else ("rank 1 of the coupler", f"signal {int(number)} ({name})")
        yield Row(
            f"{name} of the coupler in an inference", "stops" if asked else "dies", words, faults=kill, restarts=(8,),
        )  # fmt: skip


def spoil(name, how):
    """prepare: a file of the configuration cut, filled with something else, or taken away."""

    def change(folder):
        path = folder / name
        data = path.read_bytes()
        if how == "not there":
            path.unlink()
            return
        path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "garbage": bytes(range(256)) * 100}[how])

    return change


def after_restart(act):
    """meanwhile: act(folder, process) once there are restarts of both sides."""

    def later(folder, process):
        for name in (our_restart(8), ocean_restart(8)):
            wait_for(folder / name, process)
        act(folder, process)

    return later


def ask(count):
    """meanwhile: SIGTERM to `halocline run`, `count` times."""

    def send(folder, process):
        for _ in range(count):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)

    return after_restart(send)


TOUCH = after_restart(lambda folder, process: (folder / "halocline.stop").touch())
INTERRUPT = after_restart(lambda folder, process: process.send_signal(signal.SIGINT))
HANG_UP = after_restart(lambda folder, process: process.send_signal(signal.SIGHUP))


def to_ranks(number):
    """meanwhile: a signal to every rank, as Slurm sends it."""
    return after_restart(lambda folder, process: tell(ranks(folder), number))


def to_launcher(number):
    """meanwhile: a signal to mpirun."""
    return after_restart(lambda folder, process: tell(launcher(folder), number))


REPLACE = """
import os, pathlib
if call == 12 and os.environ["OMPI_COMM_WORLD_RANK"] == "3":
    new = pathlib.Path("friction.py").read_text().replace("1e-6", "1e-5")
    pathlib.Path("new.py").write_text(new)
    pathlib.Path("friction.py").%s
"""


def late(seconds):
    """before: rank 1 sleeps first."""
    return f'[ "$OMPI_COMM_WORLD_RANK" = 1 ] && sleep {seconds}'


def stopped(transport):
    """SIGSTOP in a send: coupler rank, ocean rank."""
    calls = {"mpi": ("MPI_Startall 2", "mpi_startall_ 2"), "oasis": ("mpi_isend_ 3", "mpi_isend_ 8")}[transport]
    number = int(signal.SIGSTOP)
    return f"3 {calls[0]} {number} {our_restart(8)}", f"1 {calls[1]} {number} {ocean_restart(8)}"


# rn_timeout is 4 s in the case, three more for the side that only waits; a death ends the job within 10 s.
ROWS = (
    *deaths(),
    # --- who hangs
    Row(
        "a network that hangs", "dies", ("network 'friction' (step 12", "did not return within rn_timeout = 4 s"),
        faults=in_call(12, 3, "time.sleep(100)"), restarts=(8,), within=15, quick="oasis",
    ),
    Row(
        "a coupler that is stopped in a send", "dies", ("rn_timeout = 4",),
        {transport: stopped(transport)[0] for transport in BOTH}, restarts=(8,), within=20,
    ),
    Row(
        "an ocean that is stopped in a send", "dies", ("rn_timeout = 4",),
        {transport: stopped(transport)[1] for transport in BOTH}, restarts=(8,), within=20,
    ),
    Row(
        "a network that raises", "dies", ("friction.py", "ValueError: no more"),
        faults=in_call(12, 3, "raise ValueError('no more')"), restarts=(8,),
    ),
    Row(
        "a network that hangs and locks the interpreter", "dies", ("no answer from the coupler for field du", "(step 13)"),
        faults=in_call(12, 3, "import re; re.match('(a+)+b', 'a' * 60)"), restarts=(8,), within=20,
    ),
    Row(
        "a network that leaves", "dies", ("rank 1 of the coupler",), faults=in_call(12, 3, "os._exit(0)"),
        restarts=(8,),
    ),
    # --- who is asked to end
    Row("SIGTERM to halocline run", "stops", ("asked to write restarts", "ended after step"), faults=SLOWLY, meanwhile=ask(1),
        restarts=(8,), quick="mpi", within=15),
    Row("SIGTERM to halocline run, twice", "dies", ("ended by signal 15 (SIGTERM)",), faults=SLOWER, meanwhile=ask(2),
        restarts=(8,)),
    Row("the file halocline.stop", "stops", ("ended after step",), faults=SLOWLY, meanwhile=TOUCH, restarts=(8,)),
    Row("SIGTERM to every rank", "stops", ("ended after step",), faults=SLOWLY, meanwhile=to_ranks(signal.SIGTERM), restarts=(8,)),
    Row("SIGTERM to mpirun", "dies", ("SIGTERM",), faults=SLOWER, meanwhile=to_launcher(signal.SIGTERM), restarts=(8,)),
    Row("SIGKILL of mpirun", "dies", ("SIGKILL",), faults=SLOWER, meanwhile=to_launcher(signal.SIGKILL), restarts=(8,)),
    Row("Ctrl-C", "dies", ("SIGINT",), faults=SLOWER, meanwhile=INTERRUPT, restarts=(8,)),
    Row("a terminal that is closed", "dies", ("SIGHUP",), faults=SLOWER, meanwhile=HANG_UP, restarts=(8,)),
    Row("the wall-clock limit", "stops", ("rn_walltime = 12 s", "ended after step"), faults="import time\ntime.sleep(0.3)\n",
        walltime=12.0, within=12, quick="oasis"),
    # --- who is late, or has no reader
    Row("a rank that starts late", "goes on", before=late(3), changes=({"namcpl": {"rn_timeout": 2.0}},), quick="mpi"),
    Row("a rank that starts 30 s late", "goes on", before=late(30), within=45),
    Row("a rank that starts too late", "dies", ("rn_timeout_start",), before=late(60),
        changes=({"namcpl": {"rn_timeout_start": 8.0}},), within=20),
    Row("stdout closed", "goes on", wrap=("sh", "-c", 'exec "$@" >&-', "sh"), quick="oasis"),
    Row("stdout without a reader", "goes on", wrap=("bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "bash")),
    # --- files
    *(
        Row(
            f"a restart of the {side} that is {how}", "dies", (name,), after=8, prepare=spoil(name, how), within=15,
            quick="mpi" if (side, how) == ("coupler", "truncated") else "",
        )
        for side, name in (("ocean", ocean_restart(8)), ("coupler", our_restart(8)))
        for how in ("truncated", "empty", "garbage", "not there")
    ),
    Row("an artefact replaced by another file", "goes on", faults=REPLACE % 'unlink(); os.rename("new.py", "friction.py")'),
    Row("an artefact overwritten in place", "goes on", faults=REPLACE % "resolve().write_text(new)", quick="mpi"),
    Row("a full disk", "dies", ("disk",), disk="640k", restarts=(8,), within=20, quick="mpi"),
    Row("a limit of the size of files", "dies", ("SIGXFSZ",), before="ulimit -f 120", within=20),
)  # fmt: skip
