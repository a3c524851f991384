"""How long deciding may take: a deadline that a caller gives, or a count of work, so that verdicts repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np

from fiberscope.errors import InputError, shown

DEFAULT_EXACT_SECONDS = 30.0
"""Where no budget is given, an exact step that is estimated to take longer is not begun. The estimate counts operations
and looks at no clock, so that the same question is answered in the same way on every machine."""

SOLVE_SECONDS = 4.5e-10
"""Of an exact solution by p-adic lifting, per cube of the dimension and bit of an entry: 3 s in 400 dimensions with the
53 bits of float64 numbers, 20 s in 784."""


class TooLargeError(Exception):
    """A method ran out of its budget; never leaves the deciding part."""


@dataclass(frozen=True)
class Budget:
    """When deciding has to end.

    Attributes:
        seconds: what was given; None for no limit but the counts of work.
        until: the end, on the clock of ``perf_counter``.
        listener: told what is done, in words, as often as the clock is looked at; or None.
    """

    seconds: float | None = None
    until: float = inf
    listener: Callable[[str], None] | None = None

    @classmethod
    def of(cls, seconds: float | int | None, listener: Callable[[str], None] | None = None) -> Budget:
        """A budget that begins now.

        Raises:
            InputError: not a positive number of seconds, or no function.
        """
        known = isinstance(seconds, int | float | np.integer | np.floating) and not isinstance(seconds, bool)
        if seconds is not None and not (known and seconds > 0):
            raise InputError("seconds", expected="a positive number, or None", got=repr(seconds))
        if listener is not None and not callable(listener):
            hint = "it is called with what is being done, in words"
            raise InputError("progress", expected="a function, or None", got=shown(listener), hint=hint)
        if seconds is None:
            return cls(listener=listener)
        return cls(float(seconds), perf_counter() + float(seconds), listener)

    def left(self) -> float | None:
        """Seconds left, at least 0; None for no limit."""
        return None if self.seconds is None else max(0.0, self.until - perf_counter())

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.seconds is not None and perf_counter() > self.until

    def check(self, doing: str) -> None:
        """Tell what is done; raise TooLargeError if the time is over."""
        self._tell(doing)
        if self.is_over:
            raise TooLargeError(f"the budget of {self.seconds:g} seconds ended while {doing}")

    def check_exact(self, estimate: float, doing: str) -> None:
        """Raise TooLargeError if an exact step would take longer than is left, or than the default allows.

        Exact steps cannot be interrupted, so that they are not begun.
        """
        self._tell(doing)
        left = self.left()
        if left is None and estimate > DEFAULT_EXACT_SECONDS:
            raise TooLargeError(
                f"{doing} would take about {estimate:.0f} seconds, more than the {DEFAULT_EXACT_SECONDS:.0f} that are "
                "allowed without a budget; give seconds= to allow more"
            )
        if left is not None and estimate > left:
            raise TooLargeError(
                f"{doing} would take about {estimate:.0f} seconds, more than is left of the {self.seconds:g} given"
            )

    def _tell(self, doing: str) -> None:
        if self.listener is not None:
            self.listener(doing)


NO_LIMIT = Budget()


def solve_seconds(dimension: int, bits: int) -> float:
    """About how long an exact linear solve takes."""
    return SOLVE_SECONDS * float(dimension) ** 3 * (bits + 60)


__all__ = ["NO_LIMIT", "Budget", "TooLargeError", "solve_seconds"]
