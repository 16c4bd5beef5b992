"""Waiting without hanging: poll, give the core away, sleep, give up at a time-out; and a sum over ranks that waits so."""

import os
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError


def poll(done: Callable[[], bool], timeout: float) -> bool:
    """Call `done` until it is true; False when `timeout` seconds pass first.

    200 tests at full speed, then the core is offered to others, after 5 ms naps of 0.1 ms.
    """
    for _ in range(200):
        if done():
            return True
    start = time.perf_counter()
    while not done():
        elapsed = time.perf_counter() - start
        if elapsed > timeout:
            return False
        if elapsed < 5e-3:
            os.sched_yield()
        else:
            time.sleep(1e-4)
    return True


def allsum(comm: MPI.Intracomm, values: np.ndarray, timeout: float) -> np.ndarray:
    """Sum of int64 arrays of one shape over all ranks, on every rank; integers have no order, so any cut gives the same.

    Collective. Raises HaloclineError for another dtype, and when a rank does not come within `timeout` seconds.
    """
    if values.dtype != np.int64:
        raise HaloclineError(
            f"a sum over coupler ranks takes int64, got {values.dtype}: sums of floats depend on the cut."
        )
    mine, total = np.ascontiguousarray(values), np.empty(values.shape, np.int64)
    request = comm.Iallreduce(mine, total, MPI.SUM)
    if not poll(request.Test, timeout):
        raise HaloclineError(
            f"a sum over the {comm.size} coupler ranks did not end within rn_timeout = {timeout:g} s: a rank is stuck or gone. "
            "Look at its own message; raise rn_timeout when a network needs longer."
        )
    return total
