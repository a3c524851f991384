"""A sample from which it is asked how far invariance reaches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class SurveyedSample:
    """A sample x, and the samples to go towards from it.

    Attributes:
        number: the position of x in the data.
        label: its class; None if it is not known.
        x: (n,).
        targets: the positions of the targets.
        target_labels: their classes; None where they are not known.
        goals: (k, n) the targets.
    """

    number: int
    label: int | None
    x: Float64[FloatArray, " n"]
    targets: tuple[int, ...]
    target_labels: tuple[int | None, ...]
    goals: Float64[FloatArray, "k n"]

    def towards(self, count: int | None) -> SurveyedSample:
        """The same with the first so many targets; None for all."""
        few = slice(count)
        return replace(self, targets=self.targets[few], target_labels=self.target_labels[few], goals=self.goals[few])


__all__ = ["SurveyedSample"]
