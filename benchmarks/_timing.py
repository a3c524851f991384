"""Times, for several benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable


def least(work: Callable[[], object]) -> float:
    """The least processor time of three runs."""
    took: list[float] = []
    for _ in range(3):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)
