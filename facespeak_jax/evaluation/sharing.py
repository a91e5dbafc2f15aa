"""The cases of an evaluation among several processes, which keep what they find on disk.

A case needs nothing of another, and whatever is found of one is kept: whoever goes through all of
them afterwards finds it there. What fails in a process is met, and noted, then.
"""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

Look = Callable[[int], None]

_look: Look  # of a process that shares the work


def share(begin: Callable[[], Look], cases: int, workers: int) -> Iterator[int]:
    """Has every case from 0 to `cases` looked at by one of `workers` processes, and tells its
    number when that is done.

    Each process begins once, with its share of the cores; `begin` travels there by pickle. Raises
    BrokenProcessPool if one of them dies, and what `begin` or a look raises.
    """
    context = multiprocessing.get_context("spawn")  # what jax runs does not survive a fork
    cores: Any = context.SimpleQueue()
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for worker in range(workers):
        cores.put(mine[worker::workers])
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _begin, (begin, cores))
    try:
        looking = {pool.submit(_case, case): case for case in range(cases)}
        for done in concurrent.futures.as_completed(looking):
            done.result()
            yield looking[done]
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[[], Look], cores: Any) -> None:
    if mine := cores.get():
        os.sched_setaffinity(0, mine)  # before jax counts them
    global _look
    _look = begin()


def _case(case: int) -> None:
    _look(case)
