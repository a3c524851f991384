"""Where commands print their tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 120
"""The width of a table that does not go to a terminal, where nothing says how much fits."""


def console_on_stdout() -> Console:
    """The standard output, as wide as the terminal is, if it is one."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


__all__ = ["console_on_stdout"]
