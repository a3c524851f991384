"""How many threads linear algebra uses."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Generator[None]:
    """A context in which linear algebra uses one thread, whatever the machine has.

    With several, results would depend on their number in the last digits, processes would fight for cores, and matrices
    of a few hundred rows take longer: the threads spend more time waiting than computing.
    """
    import scipy.linalg  # noqa: F401  # pyright: ignore[reportUnusedImport]  # brings the BLAS that is to be limited
    from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

    torch = sys.modules.get("torch")  # it has threads of its own, but is not loaded for their sake
    before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(1):
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


__all__ = ["one_thread"]
