"""Coupler ranks as threads: what runs between collective sums, on boxes that cut a grid."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def together(tasks):
    """Results of task(allsum) for each task, run side by side; allsum adds integer arrays over the tasks."""
    barrier = threading.Barrier(len(tasks), timeout=20)
    given = [None] * len(tasks)

    def rank(number):
        def allsum(array):
            assert array.dtype == np.int64
            given[number] = array.copy()
            barrier.wait()
            result = sum(given[1:], start=given[0].copy())
            barrier.wait()
            return result

        try:
            return tasks[number](allsum)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(rank, range(len(tasks))))


def cut(array, box):
    """The part of (..., j, i) that a box owns: a copy, which the task may change."""
    return array[..., box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni].copy()


def joined(parts, boxes, grid):
    """The inverse of `cut`."""
    whole = np.empty((*parts[0].shape[:-2], grid.ny, grid.nx), parts[0].dtype)
    for part, box in zip(parts, boxes, strict=True):
        whole[..., box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = part
    return whole
