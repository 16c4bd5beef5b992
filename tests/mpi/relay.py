"""One rank of a coupler: relays random fields over every kind of edge, and compares with the block cut from the whole grid."""

import itertools
import sys
import time

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError
from coupler.exchange import Exchange, make_plan
from coupler.fields import Field
from coupler.grid import BOUNDARIES, Grid, decompose, ownership
from coupler.halo import source_map
from coupler.transport.poll import allsum
from coupler.transport.relay import Relay

HALO, FILL = 3, -7.5
FIELDS = (
    Field(id=1, name="u", units="m s-1", point="U", levels=3, direction="in"),
    Field(id=2, name="v", units="m s-1", point="V", levels=3, direction="in"),
    Field(id=3, name="q", units="1", point="T", levels=1, direction="in"),
)
vectors = () if "scalars" in sys.argv else ("u", "v")
comm = MPI.COMM_WORLD
stuck = next((word[6:] for word in sys.argv if word.startswith("stuck-")), "")  # where rank 1 leaves out a call
timeout = 1.0 if stuck else 20.0


def leave_out(where):
    """Rank 1 never comes to this place."""
    if stuck == where and comm.rank == 1:
        time.sleep(60)


def wrong_bytes(boundary, dtype):
    """Bytes of this rank's padded block that are not those of the whole grid, in three steps."""
    grid = Grid(16, 11, boundary)
    boxes = decompose(grid, comm.size)
    box, owner = boxes[comm.rank], ownership(grid, boxes)
    exchange = Exchange(1, "chain", "to_coupler", FIELDS, halo=HALO)
    fills = dict.fromkeys("uvq", FILL)
    plan = make_plan(exchange, grid, owner, box, dtype=np.dtype(dtype), fill=fills, vectors=vectors)
    relay = Relay(comm, plan, timeout)
    wrong = 0
    for step in range(3):
        whole = np.random.default_rng([step, 5]).normal(size=(7, grid.ny, grid.nx)).astype(dtype)
        leave_out("update")
        relay.update(whole[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni])
        first = 0
        for field in FIELDS:
            source, sign = source_map(grid, box, HALO, field.point)
            values = whole[first : first + field.levels].reshape(field.levels, -1)[:, np.maximum(source, 0)]
            want = np.where(source < 0, dtype(FILL), values if field.name == "q" else values * sign.astype(dtype))
            wrong += int((plan.views[field.name].view("u1") != np.ascontiguousarray(want).view("u1")).sum())
            first += field.levels
    return wrong


try:
    wrong = sum(wrong_bytes(*case) for case in itertools.product(BOUNDARIES, (np.float32, np.float64)))
    leave_out("sum")
    total = allsum(comm, np.array([wrong, comm.rank, 2**40 + 1]), timeout)
except HaloclineError as error:
    print(error, flush=True)
    time.sleep(0.5)
    comm.Abort(1)
assert total[1:].tolist() == [comm.size * (comm.size - 1) // 2, comm.size * (2**40 + 1)], total
if comm.rank == 0:
    print(f"relay: {total[0]} wrong bytes")
