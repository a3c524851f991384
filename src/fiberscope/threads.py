"""How many threads linear algebra uses, and work that is spread over threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from fiberscope.scalars import as_count

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_threads(threads: int | None) -> int:
    """A number of threads that a caller asks for; None stands for one per core.

    Raises:
        InputError: fewer than one.
    """
    return cores() if threads is None else as_count(threads, "threads", hint="leave it out for one per core")


def one_thread() -> AbstractContextManager[None]:
    """A context in which linear algebra uses one thread, whatever the machine has.

    With several, results would depend on their number in the last digits, processes would fight for cores, and matrices
    of a few hundred rows take longer: the threads spend more time waiting than computing.
    """
    return limited_threads(1)


@contextmanager
def limited_threads(count: int) -> Generator[None]:
    """A context in which linear algebra uses so many threads, whatever the machine has and the environment says."""
    import scipy.linalg  # noqa: F401  # pyright: ignore[reportUnusedImport]  # brings the BLAS that is to be limited

    torch = sys.modules.get("torch")  # it has threads of its own, but is not loaded for their sake
    before = None if torch is None else torch.get_num_threads()
    with _libraries(len(sys.modules)).limit(limits=count):
        if torch is not None:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries with threads of their own, looked for again when more modules are imported, which may bring some.

    To go through all libraries of a process takes as long as the verdict about a small layer.
    """
    from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

    return ThreadpoolController()


def in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Call a function on independent items, several at a time, each with linear algebra on one thread.

    Results come in the order of the items and do not depend on the number of threads. To be used within ``one_thread``.
    An exception, Ctrl-C included, drops what has not begun.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads, initializer=_limit_torch) as pool:
        futures: list[Future[R]] = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _limit_torch() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # a setting of each thread


__all__ = ["checked_threads", "cores", "in_threads", "limited_threads", "one_thread"]
