"""A pool of processes on this machine.

A worker imports this module before it watches over its parent, so nothing heavy is imported here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from fiberscope.audits.pool import Here, Pool
from fiberscope.ctrl_c import ctrl_c_held_back
from fiberscope.errors import ResultsError

R = TypeVar("R")

AHEAD = 2
"""Tasks handed out ahead of each worker, so that none idles and few are held in memory."""


def local_pool(workers: int) -> Pool:
    """So many processes; 1 means this one."""
    return Here() if workers == 1 else Processes(workers)


class Processes:
    """Processes that start when the first task is handed out, and end with this process, however it ends."""

    machines = 1
    losses: tuple[type[Exception], ...] = (BrokenExecutor,)

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.ahead = AHEAD * workers
        self._executor: ProcessPoolExecutor | None = None
        self._bystanders: set[BaseProcess] = set()

    def submit(self, function: Callable[[Any], R], task: Any) -> Future[R]:
        """Hand out a task."""
        if self._executor is None:
            self._bystanders = set(multiprocessing.active_children())
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_become_worker)
        with ctrl_c_held_back():  # submitting starts processes
            return self._executor.submit(function, task)

    def renew(self) -> None:
        """Start anew unless the processes are alive."""
        with suppress(BrokenExecutor):
            self.submit(_alive, None).result()
            return
        self.close()
        try:
            self.submit(_alive, None).result()
        except BrokenExecutor as error:
            raise ResultsError(
                "worker processes end as soon as they are started; a script that starts some needs "
                'if __name__ == "__main__", and an audit is continued with --resume and --workers 1'
            ) from error

    def check(self) -> None:
        """Do nothing: tasks whose process ended break the pool."""

    def stop(self) -> None:
        """Kill the processes."""
        for child in set(multiprocessing.active_children()) - self._bystanders if self._executor else ():
            child.terminate()
        self.close()

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def _alive(_: object) -> None:
    """What a process is asked to find out whether it is there."""


def _become_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for_any([sentinel])
    os._exit(1)


__all__ = ["AHEAD", "Processes", "local_pool"]
