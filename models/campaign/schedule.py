"""Work side by side, each piece on a core of its own where that is asked for."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import cycle
from queue import Queue
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(
    tasks: Sequence[Task],
    work: Callable[[Task, int | None], Result],
    jobs: int,
    console: Console,
    one_core: bool = False,
    name: Callable[[Task], str] = str,
    then: Callable[[Task], None] = lambda task: None,
) -> list[Result]:
    """`work(task, core)` for every task, `jobs` at a time; the results in the order of the tasks.

    core: a core for this piece alone with one_core, else None. then: called in the caller's thread as each task ends; what reads
    NetCDF belongs there, as its library is not made for threads. The first error ends the rest that has not begun, and is raised.
    """
    cores: Queue[int | None] = Queue()
    for _, core in zip(range(jobs), cycle(sorted(os.sched_getaffinity(0)) if one_core else [None]), strict=False):
        cores.put(core)

    def done(task: Task) -> Result:
        core = cores.get()
        try:
            return work(task, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(done, task): task for task in tasks}
        try:
            for future in _watched(waiting, console, name):
                future.result()
                then(waiting[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in waiting]


def _watched(
    waiting: dict["Future[Result]", Task], console: Console, name: Callable[[Task], str]
) -> "Iterator[Future[Result]]":
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        number = bar.add_task("runs", total=len(waiting))
        for future in as_completed(waiting):
            yield future
            bar.update(number, advance=1, description=name(waiting[future]))
