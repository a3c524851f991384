"""Whether points that are claimed to have the same features lie where they are said to lie, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.checker.dyadic import Whole, Work, product
from fiberscope.checker.matrices import FloatArray, Matrix, NotProvedError
from fiberscope.checker.stored import Array


@dataclass(frozen=True, eq=False)
class Domain:
    """Where inputs lie, and which of their pixels are those of the source.

    Attributes:
        low: (n,) what they lie above; -inf for no bound.
        high: (n,) what they lie below.
        G: (g, n) rows of half-spaces ``G x <= h`` that they lie in.
        h: (g,) their right-hand sides.
        kept: (n,) the pixels that must not change.
    """

    low: FloatArray
    high: FloatArray
    G: Matrix
    h: FloatArray
    kept: Array

    def check(self, points: Whole, denominator: int, work: Work) -> None:
        """Refuse points, D times each in a column (n, k), the first of them the source, that lie elsewhere.

        Raises:
            NotProvedError: one lies outside, or a pixel that was to be kept has changed.
        """
        source, others = points[:, :1], points[:, 1:]
        if (self.kept[:, None] & ((others - source).numbers != 0)).any():
            raise NotProvedError("a pixel that was to be kept has changed")
        for some, name in ((source, "the source"), (others, "the example")):
            for bound, side in ((self.low, 1), (self.high, -1)):
                if not (side * bound < np.inf).all():
                    raise NotProvedError("there is a bound of the domain that no number meets")
                finite = np.isfinite(bound)
                limit = Whole.of(bound[finite][:, None]).times(denominator)
                if (side * (some[finite] - limit).numbers < 0).any():
                    raise NotProvedError(f"{name} lies outside of the domain")
            if len(self.h) and (self.slack(some, denominator, work).numbers < 0).any():
                raise NotProvedError(f"{name} violates a half-space of the domain")

    def slack(self, points: Whole, denominator: int, work: Work) -> Whole:
        """``h - G x``, D times it: (g, k)."""
        return Whole.of(self.h[:, None]).times(denominator) - product(self.G, points, work)


__all__ = ["Domain"]
