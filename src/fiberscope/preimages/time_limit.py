"""How long a number of a preimage may take: what a caller gives, or a default, and what was done by then."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from fiberscope.errors import SolverError
from fiberscope.preimages.budget import Budget

DEFAULT_SECONDS = 60.0
"""Without a limit of the caller: no answer takes minutes unasked."""


@dataclass(eq=False)
class TimeLimit:
    """The end of a piece of work of so many steps, and how many of these are done.

    Attributes:
        doing: what is asked, in words.
        budget: when it ends.
        begun: when these steps began, on the clock of ``perf_counter``.
        steps: the plural of what it takes.
        total: steps that it takes.
        done: of these.
    """

    doing: str
    budget: Budget
    begun: float
    steps: str = ""
    total: int = 0
    done: int = 0

    @classmethod
    def of(cls, doing: str, seconds: float | int | None) -> TimeLimit:
        """A limit that begins now.

        Raises:
            InputError: not a positive number of seconds.
        """
        return cls(doing, Budget.of(DEFAULT_SECONDS if seconds is None else seconds), perf_counter())

    def begin(self, steps: str, total: int) -> None:
        """Begin another part of the work."""
        self.steps, self.total, self.done, self.begun = steps, total, 0, perf_counter()

    def left(self) -> float | None:
        """Seconds left."""
        return self.budget.left()

    def check(self, ended: bool = False) -> None:
        """Raise SolverError if the time is over, or a solver ended for want of it."""
        if not (ended or self.budget.is_over):
            return
        took = (perf_counter() - self.begun) / max(1, self.done)
        pace = f"one takes about {took:.2g} seconds" if self.done else f"one takes more than {took:.2g} seconds"
        raise SolverError(
            f"{self.doing}: the limit of {self.budget.seconds:g} seconds ended with {self.done} of {self.total} "
            f"{self.steps} done and {self.total - self.done} left, and {pace}; pass seconds=... for more. "
            "The verdict does not depend on it"
        )


__all__ = ["TimeLimit"]
