"""Waiting without hanging: poll, give the core away, sleep, give up at a time-out."""

import os
import time
from collections.abc import Callable


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
