"""The standard streams: where commands print, and what happens where nothing can be printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console

_PLAIN_WIDTH = 120
"""The width of a table that does not go to a terminal, where nothing says how much fits."""


class Output(Console):
    """A console on which a broken pipe is an error like any other, not an exit with a status of its own."""

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError again."""
        raise  # is called while the error is handled


def console_on_stdout() -> Console:
    """The standard output, as wide as the terminal is, if it is one."""
    return Output(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def open_closed_streams() -> None:
    """Let standard streams that were closed before the start go nowhere: in Python they are None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - stays open


def stdout_works() -> bool:
    """Whether the standard output takes an empty line; where it does not, all that follows goes nowhere."""
    return _printed("", "stdout")


def print_error(text: str) -> None:
    """Print on the standard error, if that is possible."""
    _printed(text, "stderr")


def _printed(text: str, name: str) -> bool:
    stream: TextIO = getattr(sys, name)
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # what the stream still holds would fail again when Python ends, which then makes up a status of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


__all__ = ["Output", "console_on_stdout", "open_closed_streams", "print_error", "stdout_works"]
