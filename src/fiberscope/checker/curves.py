"""What units compute: clips, or strictly monotone functions, of which equal outputs mean equal inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, NotProvedError

OTHER, CLIP, LEAKY_RELU, ELU, SOFTPLUS, TANH, SIGMOID = range(-1, 6)
"""Of a strictly monotone unit nothing else is known; it is a clip, or one of these."""

CURVES = {"leaky_relu": LEAKY_RELU, "elu": ELU, "softplus": SOFTPLUS, "tanh": TANH, "sigmoid": SIGMOID}
"""As files call them."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What m units compute.

    Attributes:
        curve: (m,) one of the numbers above.
        alpha: (m,) the slope of a leaky ReLU for negative numbers; the scale of the negative part of an ELU.
        beta: (m,) the width of the negative part of an ELU; the sharpness of a softplus.
    """

    curve: IntArray
    alpha: FloatArray
    beta: FloatArray

    @classmethod
    def unknown(cls, monotone: BoolArray) -> Curves:
        """Strictly monotone units of which nothing else is known, and clips."""
        ones = np.ones(len(monotone))
        return cls(np.where(monotone, OTHER, CLIP), ones, ones)

    def of(self, units: IntArray) -> Curves:
        """Those of some units."""
        return Curves(self.curve[units], self.alpha[units], self.beta[units])

    def behind(self, definitions: int) -> Curves:
        """With rows in front that define coordinates."""
        ones = np.ones(definitions)
        curve = np.concatenate([np.full(definitions, OTHER), self.curve])
        return Curves(curve, np.concatenate([ones, self.alpha]), np.concatenate([ones, self.beta]))

    @property
    def monotone(self) -> BoolArray:
        """(m,) which units are strictly monotone, and no clips."""
        return self.curve != CLIP

    def units(self, numbers: IntArray) -> list[tuple[int, tuple[int, float, float]]]:
        """Some units by their numbers: the curve of each, alpha and beta."""
        given = self.of(numbers)
        parts = (numbers.tolist(), given.curve.tolist(), given.alpha.tolist(), given.beta.tolist())
        return [(number, (curve, alpha, beta)) for number, curve, alpha, beta in zip(*parts, strict=True)]

    def check(self, units: IntArray) -> None:
        """NotProvedError unless the inverses of some strictly monotone units are known."""
        parts = ((self.curve, np.int64), (self.alpha, np.float64), (self.beta, np.float64))
        if not all(part.dtype == dtype and part.shape == self.curve.shape for part, dtype in parts):
            raise NotProvedError("the units' activations are not given")
        given = self.of(units)
        if not ((given.curve >= LEAKY_RELU) & (given.curve <= SIGMOID)).all():
            raise NotProvedError("outputs of strictly monotone activations that are not known must be known exactly")
        if not all(((part > 0) & (part < np.inf)).all() for part in (given.alpha, given.beta)):
            raise NotProvedError("an activation does not rise everywhere")


__all__ = ["CLIP", "CURVES", "ELU", "LEAKY_RELU", "OTHER", "SIGMOID", "SOFTPLUS", "TANH", "Curves"]
