"""An invariance example: another input with the same features [section 4, figures 6 and 11]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from jaxtyping import Float64

from fiberscope.errors import shown
from fiberscope.invariance.objective import Objective
from fiberscope.invariance.same_features import ROUNDED, Connected, is_input
from fiberscope.network.arrays import FloatArray


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class InvarianceExample(Connected):
    """The best input of the region of x that has the features of x.

    Attributes:
        target: (*input_shape) c, or None.
        asked: what it is to be best at.
        objective: what it reaches there.
        bound: what no input of the region of x reaches more of, by weak duality: the difference to ``objective`` is
            what was lost to the room that rounding needs, or what a local optimum may miss.
        is_optimal: whether the bound proves that it is the best of its region, up to what the room costs and a
            millionth of the objective's size. False for a local optimum.
        fraction: of the way to the target, for the smallest change.
        is_trivial: whether x' is x itself.
        reason: in words, what a person should know; may be empty.
    """

    target: Float64[FloatArray, "*shape"] | None
    asked: Objective
    objective: float
    bound: float
    is_optimal: bool
    fraction: float | None = None
    is_trivial: bool = False
    reason: str = ""

    @property
    def gap(self) -> float:
        """How far ``objective`` is from ``bound``."""
        return abs(self.bound - self.objective)

    @property
    def in_one_region(self) -> bool:
        """True: the inputs of one region with the same features are convex."""
        return True

    def _wrong_value(self) -> str:
        asked: Any = self.asked
        if not isinstance(asked, Objective) or (self.target is None and asked.needs_target):
            return "the objective is none, or its target is missing"
        if self.target is not None and not is_input(self.target, self.network):
            return "the target is no input of the network"
        goal = None if self.target is None else self.target.ravel()
        given = self.x.ravel(), self.source.ravel(), goal
        value, said = asked.at(*given), self.objective
        rounding = len(given[0]) * ROUNDED * asked.size_at(*given)
        if isinstance(said, Real) and abs(value - float(said)) <= rounding:
            return ""
        return f"the objective of the example is {value:.6g}, not {shown(self.objective)}"

    def _line(self) -> str:
        proved = ", optimal" if self.is_optimal else f", at best {self.bound:.4g}"
        return f"{self.asked} {self.objective:.4g}{proved}; {self.pixels_changed} pixels changed by {self.distance:.4g}"

    def _seen(self) -> Mapping[str, FloatArray]:
        target = {} if self.target is None else {"the target": self.target}
        return {**super()._seen(), **target}


__all__ = ["InvarianceExample"]
