"""What Ctrl-C does to this process and to those that it starts."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class CtrlC(KeyboardInterrupt):
    """Ctrl-C was pressed.

    ``python -m`` ends with the signal, even if the interrupt was caught, after a plain KeyboardInterrupt in code that
    is executed from a string, as it is where dataclasses are made. After a subclass, whoever catches it has the last
    word.
    """


def raise_ctrl_c() -> None:
    """From now on Ctrl-C raises CtrlC in the main thread, unless this process was told to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)


def _raise(_number: int, _frame: FrameType | None) -> NoReturn:
    raise CtrlC


@contextmanager
def ctrl_c_held_back() -> Generator[None]:
    """Hold Ctrl-C back until the end; processes started meanwhile never heed it.

    They inherit that the signal is blocked. In this process a thread that blocks nothing may receive it all the same,
    and then it is the handler that waits.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_resource_tracker()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _handler_waits():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_resource_tracker() -> None:
    """Python starts it with the first process, and lets Ctrl-C through to that one when it does."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


@contextmanager
def _handler_waits() -> Generator[None]:
    """Note a Ctrl-C, and let its handler have it at the end. Handlers belong to the main thread."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if noted:
            signal.raise_signal(signal.SIGINT)


__all__ = ["CtrlC", "ctrl_c_held_back", "raise_ctrl_c"]
