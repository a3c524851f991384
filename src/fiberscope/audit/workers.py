"""Spreading work over several processes.

A worker imports this module before it watches over its parent, so nothing heavy is imported here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait as wait_for_any
from typing import Any, TypeVar

from fiberscope.errors import ResultsError

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_WORKER = 2
"""Tasks handed out ahead of each worker, so that none idles and few are held in memory."""


def spread(function: Callable[[Any], R], tasks: Iterable[T], workers: int) -> Generator[tuple[T, R]]:
    """Call a function on many tasks, in this process or in several.

    Args:
        function: what to do; with several processes, something that can be pickled.
        tasks: its arguments.
        workers: the number of processes; 1 means this one.

    Yields:
        Each task with its result, in the order in which they are finished.

    Raises:
        ResultsError: a process died.
    """
    if workers == 1:
        for task in tasks:
            yield task, function(task)
        return
    bystanders = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_become_worker)
    try:
        yield from _bounded(pool, function, iter(tasks), ahead=_WAITING_PER_WORKER * workers)
    except BrokenProcessPool as error:
        raise ResultsError(
            "a worker process ended unexpectedly, perhaps for lack of memory; an audit is continued with --resume, "
            "perhaps with fewer --workers"
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - bystanders:
            child.terminate()  # a task can take minutes, and whoever interrupts wants to stop now
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _bounded(
    pool: ProcessPoolExecutor, function: Callable[[Any], R], tasks: Iterator[T], ahead: int
) -> Iterator[tuple[T, R]]:
    waiting: dict[Future[R], T] = {}
    while True:
        for task in islice(tasks, ahead - len(waiting)):
            with _ctrl_c_held_back():  # submitting starts processes
                waiting[pool.submit(function, task)] = task
        if not waiting:
            return
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in finished:
            yield waiting.pop(future), future.result()


@contextmanager
def _ctrl_c_held_back() -> Generator[None]:
    """Hold Ctrl-C back for the parent and, for good, for processes started meanwhile: they inherit it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for_any([sentinel])
    os._exit(1)


__all__ = ["spread"]
