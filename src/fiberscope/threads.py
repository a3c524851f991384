"""How many threads linear algebra uses."""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[object]:
    """A context in which linear algebra uses one thread, whatever the machine has.

    With several, results would depend on their number in the last digits, processes would fight for cores, and matrices
    of a few hundred rows take longer: the threads spend more time waiting than computing.
    """
    import scipy.linalg  # noqa: F401  # pyright: ignore[reportUnusedImport]  # brings the BLAS that is to be limited
    from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


__all__ = ["one_thread"]
