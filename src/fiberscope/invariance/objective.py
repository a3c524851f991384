"""What an invariance example is to be best at [appendix A7, and variants]."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray


class Norm(StrEnum):
    """How the distance of two inputs is measured."""

    L1 = "l1"
    L2 = "l2"
    LINF = "linf"

    def of(self, difference: Float64[FloatArray, " n"]) -> float:
        """The norm of a difference."""
        match self:
            case Norm.L1:
                return float(np.abs(difference).sum())
            case Norm.L2:
                return float(np.linalg.norm(difference))
            case Norm.LINF:
                return float(np.abs(difference).max(initial=0.0))
            case _:
                assert_never(self)


class Goal(StrEnum):
    """The sort of an objective."""

    LINEAR = "linear"
    NEAREST = "nearest"
    FARTHEST = "farthest"
    SMALLEST_CHANGE = "smallest change"


class Objective(StrEnum):
    """What is asked of the example x' for the source x and the target c."""

    INNER_PRODUCT = "inner_product"
    """``max <c, x'>``, the paper's linear program."""
    TOWARDS = "towards"
    """``max <c - x, x' - x>``: the largest change towards the target."""
    NEAREST_L1 = "nearest_l1"
    """``min |x' - c|_1``."""
    NEAREST_L2 = "nearest_l2"
    """``min |x' - c|_2``."""
    NEAREST_LINF = "nearest_linf"
    """``min |x' - c|_inf``."""
    FARTHEST_L1 = "farthest_l1"
    """``max |x' - x|_1``, a local maximum with an upper bound; needs no target."""
    FARTHEST_L2 = "farthest_l2"
    """``max |x' - x|_2``, a local maximum with an upper bound; needs no target."""
    FARTHEST_LINF = "farthest_linf"
    """``max |x' - x|_inf``; needs no target."""
    SMALLEST_CHANGE_L1 = "smallest_change_l1"
    """``min |x' - x|_1`` with ``<c - x, x' - x> >= fraction |c - x|_2^2``."""
    SMALLEST_CHANGE_L2 = "smallest_change_l2"
    """``min |x' - x|_2`` with the same."""
    SMALLEST_CHANGE_LINF = "smallest_change_linf"
    """``min |x' - x|_inf`` with the same."""

    @property
    def goal(self) -> Goal:
        """The sort of the objective."""
        if self in (Objective.INNER_PRODUCT, Objective.TOWARDS):
            return Goal.LINEAR
        return next(goal for goal in Goal if self.startswith(goal.replace(" ", "_")))

    @property
    def norm(self) -> Norm:
        """The norm that it is about; of a linear objective L2, which is not used."""
        return next((norm for norm in Norm if self.endswith("_" + norm)), Norm.L2)

    @property
    def is_maximum(self) -> bool:
        """Whether larger values are better."""
        return self.goal in (Goal.LINEAR, Goal.FARTHEST)

    @property
    def needs_target(self) -> bool:
        """Whether it is about a target."""
        return self.goal is not Goal.FARTHEST

    def at(
        self, x: Float64[FloatArray, " n"], source: Float64[FloatArray, " n"], target: Float64[FloatArray, " n"] | None
    ) -> float:
        """What it is at x."""
        if self.goal in (Goal.FARTHEST, Goal.SMALLEST_CHANGE):
            return self.norm.of(x - source)
        assert target is not None, "the others have a target"
        if self is Objective.INNER_PRODUCT:
            return float(target @ x)
        if self is Objective.TOWARDS:
            return float((target - source) @ (x - source))
        return self.norm.of(x - target)

    def size_at(
        self, x: Float64[FloatArray, " n"], source: Float64[FloatArray, " n"], target: Float64[FloatArray, " n"] | None
    ) -> float:
        """The sum of the sizes of what ``at`` adds up, which bounds what rounding does to it."""
        if self.goal is not Goal.LINEAR:
            return self.at(x, source, target)
        assert target is not None, "a linear objective has a target"
        factors = (target, x) if self is Objective.INNER_PRODUCT else (target - source, x - source)
        return float(np.abs(factors[0]) @ np.abs(factors[1]))


def checked_objective(value: Objective | str) -> Objective:
    """The objective of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return Objective(value)
    except ValueError:
        names = ", ".join(repr(str(name)) for name in Objective)
        raise InputError("objective", expected=f"one of {names}", got=shown(value)) from None


__all__ = ["Goal", "Norm", "Objective", "checked_objective"]
