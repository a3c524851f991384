"""Functions that worker processes import to be tested with."""

from __future__ import annotations

import os
import time
from pathlib import Path


def number_or_end(task: str) -> int:
    """The number that the task says; the process ends at "end", and at "end once FILE" unless the file exists."""
    words = task.split(maxsplit=2)
    if words[0] == "end" and not (len(words) == 3 and Path(words[2]).exists()):
        if len(words) == 3:
            Path(words[2]).touch()
        os._exit(3)
    return int(words[0]) if words[0].isdigit() else 0


def in_company(folder: Path) -> int:
    """How many calls of this have begun; none returns before two have, unless no other comes for a minute."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while (begun := len(list(folder.iterdir()))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return begun


def under_way(folder: Path) -> int:
    """How many calls of this are under way in all processes."""
    own = folder / str(os.getpid())
    own.touch()
    time.sleep(0.05)  # so that the others would be seen
    count = len(list(folder.iterdir()))
    own.unlink()
    return count
