"""Spreading tasks over a pool of workers, whatever the pool is, and going on when a worker dies.

A worker imports this module before it watches over its parent, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

from fiberscope.errors import ResultsError

T = TypeVar("T")
R = TypeVar("R")

CHECKED_AFTER = 60.0
"""Seconds without any result after which it is checked that there still are workers."""

TRIES_ALONE = 2
"""How often a task is tried by itself after a worker died that may have died of it."""


@runtime_checkable
class Pool(Protocol):
    """Workers that compute tasks."""

    @property
    def workers(self) -> int:
        """How many there are."""
        ...

    @property
    def machines(self) -> int:
        """How many machines they are on."""
        ...

    @property
    def ahead(self) -> int:
        """How many tasks to hand out at a time: so many that no worker idles, so few that they take little memory."""
        ...

    @property
    def losses(self) -> tuple[type[Exception], ...]:
        """What a task raises whose worker died."""
        ...

    def submit(self, function: Callable[[Any], R], task: Any) -> Future[R]:
        """Hand out a task."""
        ...

    def renew(self) -> None:
        """Make the pool usable again after a worker died.

        Raises:
            ResultsError: its workers die of themselves.
        """
        ...

    def check(self) -> None:
        """See that there is somebody who works, without waiting for them.

        Raises:
            ResultsError: there is nobody.
        """
        ...

    def stop(self) -> None:
        """End all work at once."""
        ...

    def close(self) -> None:
        """Give back what the pool holds."""
        ...


class Here:
    """This process, as a pool of one worker: a task is computed when it is handed out."""

    workers = 1
    machines = 1
    ahead = 1
    losses: tuple[type[Exception], ...] = ()

    def submit(self, function: Callable[[Any], R], task: Any) -> Future[R]:
        """Compute a task."""
        future: Future[R] = Future()
        try:
            future.set_result(function(task))
        except Exception as error:
            future.set_exception(error)
        return future

    def renew(self) -> None:
        """Do nothing: this process is alive."""

    def check(self) -> None:
        """Do nothing: this process is alive."""

    def stop(self) -> None:
        """Do nothing: no task is ever left."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def spread(
    function: Callable[[Any], R],
    tasks: Iterable[T],
    pool: Pool,
    *,
    at_once: int | None = None,
    instead: Callable[[T, str], R] | None = None,
) -> Generator[tuple[T, R]]:
    """Call a function on many tasks.

    Of the tasks that were handed out when a worker died, each is tried again alone, so that it is known of which one
    workers die. The others lose nothing by it.

    Args:
        function: what to do; in other processes, something that can be pickled.
        tasks: its arguments.
        pool: who does it.
        at_once: how many tasks may be under way at a time; None for as many as the pool likes.
        instead: what stands in the place of the result of a task of which workers die, given the task and the cause.

    Yields:
        Each task with its result, in the order in which they are finished.

    Raises:
        ResultsError: workers die of a task, and nothing can stand in its place; or the workers cannot be reached.
    """
    ahead = pool.ahead if at_once is None or at_once >= pool.workers else at_once
    try:
        yield from _spread(function, iter(tasks), pool, ahead, instead)
    except CancelledError as error:
        pool.stop()
        raise ResultsError("the workers can no longer be reached; an audit is continued with --resume") from error
    except BaseException:
        pool.stop()  # a task can take minutes, and whoever interrupts wants to stop now
        raise


def _spread(
    function: Callable[[Any], R],
    tasks: Iterator[T],
    pool: Pool,
    ahead: int,
    instead: Callable[[T, str], R] | None,
) -> Iterator[tuple[T, R]]:
    waiting: dict[Future[R], T] = {}
    while True:
        for task in islice(tasks, ahead - len(waiting)):
            waiting[_submitted(pool, function, task)] = task
        if not waiting:
            return
        finished, _ = wait(waiting, timeout=CHECKED_AFTER, return_when=FIRST_COMPLETED)
        if not finished:
            pool.check()
        if any(isinstance(future.exception(), BrokenExecutor) for future in finished):
            finished = set(waiting)  # all others have broken with it, or are finished
        suspects: list[T] = []
        for future in finished:
            task = waiting.pop(future)
            try:
                result = future.result()
            except pool.losses:
                suspects.append(task)
            else:
                yield task, result
        for task in suspects:
            yield task, _alone(function, task, pool, instead)


def _submitted(pool: Pool, function: Callable[[Any], R], task: Any) -> Future[R]:
    """Hand out a task; to a pool that broke meanwhile, as if the task had been under way."""
    try:
        return pool.submit(function, task)
    except BrokenExecutor as error:
        future: Future[R] = Future()
        future.set_exception(error)
        return future


def _alone(function: Callable[[Any], R], task: T, pool: Pool, instead: Callable[[T, str], R] | None) -> R:
    for _ in range(TRIES_ALONE):
        pool.renew()
        try:
            return _submitted(pool, function, task).result()
        except pool.losses:
            continue
    pool.renew()
    died = f"the process that computed it ended unexpectedly, {TRIES_ALONE + 1} times, perhaps for lack of memory"
    if instead is None:
        raise ResultsError(f"{died}; try it again, perhaps with fewer --workers")
    return instead(task, died)


__all__ = ["TRIES_ALONE", "Here", "Pool", "spread"]
