"""How far the work is: a bar on a terminal or in a notebook, plain lines on stderr elsewhere."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from itertools import starmap
from typing import Any, Protocol, runtime_checkable

from fiberscope.showing.notebooks import in_notebook

_LINES_PER_TASK = 20
"""Lines that a task prints where there is no bar."""

_SECONDS_BETWEEN = 0.2
"""In a notebook, where every change is sent to the browser."""


@runtime_checkable
class Progress(Protocol):
    """Is told how far the work is."""

    def show(self, task: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` steps of a task are done."""
        ...


class _Lines:
    """Prints a line whenever another twentieth of a task is done."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}
        self._started = time.monotonic()

    def show(self, task: str, done: int, total: int) -> None:
        share = _LINES_PER_TASK * done // max(total, 1)
        if self._shown.get(task) != share:
            self._shown[task] = share
            seconds = time.monotonic() - self._started
            print(f"{task}: {done} of {total} ({seconds:.0f} s)", file=sys.stderr, flush=True)


@contextmanager
def progress_on_stderr() -> Generator[Progress]:
    """Show progress for as long as the context lasts."""
    if in_notebook():
        yield _InNotebook()
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    texts = (TextColumn("{task.description}", markup=False), MofNCompleteColumn())
    columns = (texts[0], BarColumn(), texts[1], TimeElapsedColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar)


class _InNotebook:
    """A bar for each task in the output of a cell, which is replaced as the work goes on.

    The bars of rich would need ipywidgets there; this needs no more than a notebook has.
    """

    def __init__(self) -> None:
        display: Any = importlib.import_module("IPython.display")
        self._page: Any = display.HTML
        self._tasks: dict[str, tuple[int, int]] = {}
        self._output: Any = display.display(display.HTML(""), display_id=True)
        self._shown = -_SECONDS_BETWEEN

    def show(self, task: str, done: int, total: int) -> None:
        self._tasks[task] = done, total
        now = time.monotonic()
        if done >= total or now - self._shown >= _SECONDS_BETWEEN:
            self._shown = now
            self._output.update(self._page("".join(starmap(_bar, self._tasks.items()))))


def _bar(task: str, steps: tuple[int, int]) -> str:
    done, total = steps
    words = escape(f"{task}: {done} of {total}")
    return f'<div><progress value="{done}" max="{max(total, 1)}" aria-label="{words}"></progress> {words}</div>'


class _Nothing:
    """Shows nothing."""

    def show(self, task: str, done: int, total: int) -> None:
        del task, done, total


@contextmanager
def _silent() -> Generator[Progress]:
    yield _Nothing()


def shown_if(wanted: bool) -> Callable[[], AbstractContextManager[Progress]]:
    """How progress is shown where that is wanted, and where it is not."""
    return progress_on_stderr if wanted else _silent


class _Bar:
    """Moves a bar of its own for each task."""

    def __init__(self, bar: object) -> None:
        from rich.progress import Progress as RichProgress
        from rich.progress import TaskID

        assert isinstance(bar, RichProgress)
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def show(self, task: str, done: int, total: int) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bar.add_task(task, total=total)
        self._bar.update(self._tasks[task], completed=done, total=total)


__all__ = ["Progress", "progress_on_stderr", "shown_if"]
