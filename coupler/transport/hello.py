"""The first meeting of all ranks of a launch: who is ocean, who is coupler, and do they speak the same protocol."""

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError
from coupler.handshake import PROTOCOL
from coupler.transport.poll import poll

MAGIC = 5207096
OCEAN, COUPLER, COUPLER_OASIS = 1, 2, 4
OVER_OASIS = -1  # first word of the table that the OASIS client of an ocean sends
WORDS = 64  # integers of a hello: magic, protocol, side, name
TAG_HELLO, TAG_TABLE = 31001, 31002


@dataclass(frozen=True)
class Launch:
    """The ranks of the parent communicator by side, and the two communicators made from it."""

    ocean: list[int]
    coupler: list[int]
    local: MPI.Intracomm
    coupling: MPI.Intracomm


def hello(parent: MPI.Intracomm, timeout: float) -> Launch:
    """Exchange names with every rank of `parent` and split it by program.

    Raises HaloclineError within `timeout` seconds when a rank stays silent, speaks another protocol, or when the
    launch does not hold one ocean and one coupler.
    """
    table = _as_root(parent, timeout) if parent.rank == 0 else _as_member(parent, timeout)
    sides = table[:, 0].tolist()
    local = MPI.Intracomm(parent.Split(int(table[parent.rank, 1]), parent.rank))
    coupling = parent.Dup()
    ocean = [rank for rank, side in enumerate(sides) if side == OCEAN]
    return Launch(ocean, [rank for rank, side in enumerate(sides) if side == COUPLER], local, coupling)


def send_hello_over_oasis(world: MPI.Intracomm) -> None:
    """Tell an ocean that is linked with the MPI client that this coupler speaks OASIS; nobody else reads it."""
    if world.rank > 0:
        world.Isend(_words(COUPLER_OASIS, "halocline couple"), 0, TAG_HELLO).Free()


def _words(side: int, name: str) -> np.ndarray:
    """A hello as integers."""
    words = np.zeros(WORDS, np.int32)
    words[:3] = MAGIC, PROTOCOL, side
    letters = name.encode("ascii", "replace")[: WORDS - 4]
    words[3 : 3 + len(letters)] = list(letters)
    return words


def _name(words: np.ndarray) -> str:
    """The program name in a hello."""
    return "".join(chr(letter) for letter in words[3:] if letter)


def _as_member(parent: MPI.Intracomm, timeout: float) -> np.ndarray:
    """Say hello to rank 0 and take the table (rank, [side, first rank of the program])."""
    table = np.zeros((parent.size, 2), np.int32)
    requests = [
        parent.Isend(_words(COUPLER, "halocline couple"), 0, TAG_HELLO),
        parent.Irecv(table, 0, TAG_TABLE),
    ]
    if not poll(lambda: MPI.Request.Testall(requests), timeout):
        raise HaloclineError(
            f"no answer from rank 0 of the launch within rn_timeout_start = {timeout:g} s: the ocean never called cpl_init, "
            "or rank 0 is a program that knows nothing of the coupling (an I/O server, an atmosphere). Launch the ocean "
            "(with ln_cpl = .true.) and `halocline couple` alone, or pass their common communicator to cpl_init."
        )
    if table[0, 0] == OVER_OASIS:
        raise HaloclineError(
            "cn_transport = 'mpi', but the ocean is linked with the OASIS client. Start the executable that is linked with "
            "cpl_halocline_mpi.f90, or set cn_transport = 'oasis' and write a namcouple (halocline namcouple)."
        )
    return table


def _as_root(parent: MPI.Intracomm, timeout: float) -> np.ndarray:
    """Collect the hellos, check them, and answer with the table."""
    words = np.zeros((parent.size, WORDS), np.int32)
    words[0] = _words(COUPLER, "halocline couple")
    requests = [parent.Irecv(words[rank], rank, TAG_HELLO) for rank in range(1, parent.size)]
    if not poll(lambda: MPI.Request.Testall(requests), timeout):
        silent = [rank for rank in range(parent.size) if words[rank, 0] == 0]
        raise HaloclineError(
            f"no hello within rn_timeout_start = {timeout:g} s from rank(s) {', '.join(map(str, silent[:8]))}"
            f"{' ...' if len(silent) > 8 else ''} of the launch: the ocean never called cpl_init (ln_cpl = .false.?), or it "
            "is another program. Launch the ocean and `halocline couple` alone, or pass their common communicator to cpl_init."
        )
    table = _table(words)
    answers = [parent.Isend(table, rank, TAG_TABLE) for rank in range(1, parent.size)]
    poll(lambda: MPI.Request.Testall(answers), timeout)
    return table


def _table(words: np.ndarray) -> np.ndarray:
    """(side, first rank of the same program) of every rank."""
    for rank, row in enumerate(words):
        if row[0] != MAGIC or row[1] != PROTOCOL:
            raise HaloclineError(
                f"protocol versions differ: {row[1]} on rank {rank} ('{_name(row)}'), {PROTOCOL} in this coupler. "
                "Compile the client that ships with the installed coupler: `halocline client --path` prints its folder."
            )
    oceans = {_name(row) for row in words if row[2] == OCEAN}
    if len(oceans) != 1:
        raise HaloclineError(
            f"one coupler serves one model, this launch has {len(oceans)}{': ' if oceans else ''}{', '.join(sorted(oceans))}. "
            "Launch: mpirun -np N model.exe : -np M halocline couple CFG"
        )
    same = (words[:, None, 2:] == words[None, :, 2:]).all(axis=2)
    return np.stack([words[:, 2], same.argmax(axis=1)], axis=1).astype(np.int32)
