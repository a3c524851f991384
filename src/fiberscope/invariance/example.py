"""An invariance example: another input with the same features [section 4, figures 6 and 11]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.invariance.objective import Norm, Objective
from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.original import Original
from fiberscope.preimage.checker import Verification

CHANGED = 1e-6
"""By how much a pixel differs that counts as changed, relative to the largest change: less is what room for rounding,
and the solver's tolerance, may move it by."""


@dataclass(frozen=True, eq=False)
class InvarianceExample:
    """An input x' with the features of another input x, the source.

    Attributes:
        network: the network.
        stage: the number of the stage that gives the features.
        source: (*input_shape) x.
        target: (*input_shape) c, or None.
        x: (*input_shape) x'; satisfies the equations of the features up to rounding in float64.
        asked: what it is to be best at.
        objective: what it reaches there.
        bound: what no input of the region of x reaches more of, by weak duality: the difference to ``objective`` is
            what was lost to the room that rounding needs, or what a local optimum may miss.
        is_optimal: whether it is the best of its region up to that; False for a local optimum.
        fraction: of the way to the target, for the smallest change.
        domain: where inputs lie; None for all of R^n.
        kept: the numbers of the pixels that were to stay as they are.
        is_trivial: whether x' is x itself.
        reason: in words, what a person should know; may be empty.
    """

    network: Network
    stage: int
    source: Float64[FloatArray, "*shape"]
    target: Float64[FloatArray, "*shape"] | None
    x: Float64[FloatArray, "*shape"]
    asked: Objective
    objective: float
    bound: float
    is_optimal: bool
    fraction: float | None = None
    domain: Domain | None = None
    kept: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    is_trivial: bool = False
    reason: str = ""

    @property
    def gap(self) -> float:
        """How far ``objective`` is from ``bound``."""
        return abs(self.bound - self.objective)

    @property
    def distance(self) -> float:
        """``|x' - x|_2``."""
        return self.distance_in(Norm.L2)

    def distance_in(self, norm: Norm | str) -> float:
        """``|x' - x|`` in a norm: l1, l2 or linf."""
        try:
            return Norm(norm).of((self.x - self.source).ravel())
        except ValueError:
            raise InputError("norm", expected="'l1', 'l2' or 'linf'", got=repr(norm)) from None

    @property
    def pixels_changed(self) -> int:
        """How many pixels differ by more than a millionth of the largest difference."""
        return pixels_changed(self.source, self.x)

    @property
    def features(self) -> Float64[FloatArray, " m"]:
        """The features of x, evaluated in float64."""
        return rounding_bound(self.network, self.source.reshape(1, -1), self.stage, "float64")[0][0]

    @property
    def feature_residual(self) -> float:
        """The largest difference between the features of x and x', both evaluated in float64."""
        values, _ = rounding_bound(self.network, self._both(), self.stage, "float64")
        return float(np.abs(values[1] - values[0]).max(initial=0.0))

    @property
    def feature_units(self) -> float:
        """The largest such difference as a multiple of what rounding explains: at most 1, unless features differ.

        Rounding explains ``gamma_k (|A| |x| + |b|)`` at each stage, and what earlier ones carry on.
        """
        values, allowed = rounding_bound(self.network, self._both(), self.stage, "float64")
        return float((np.abs(values[1] - values[0]) / (allowed[0] + allowed[1])).max(initial=0.0))

    def path(self, steps: int) -> Float64[FloatArray, "steps ..."]:
        """Points from x to x', both included: (steps, *input_shape). All have the same features.

        Raises:
            InputError: fewer than two steps.
        """
        if steps < 2:
            raise InputError("steps", expected="at least 2", got=str(steps))
        return self.between(np.linspace(0.0, 1.0, steps))

    def between(self, shares: Float64[FloatArray, " s"]) -> Float64[FloatArray, "s ..."]:
        """The points at some shares of the way from x to x'."""
        t = shares.reshape(-1, *(1 for _ in self.source.shape))
        points = (1.0 - t) * self.source + t * self.x
        # rounding may leave the segment, and with it the domain
        return np.clip(points, np.minimum(self.source, self.x), np.maximum(self.source, self.x))

    def verify(
        self, original: Original | Callable[[FloatArray], Any] | None = None, *, points: int = 50, seed: int = 0
    ) -> Verification:
        """Run the original model on x' and on the path, and prove that the features are the same.

        The features of x' and of random points of the path, computed by the network in float64 and by the original in
        its own arithmetic, must be those of x up to rounding. The proof is about exact real arithmetic: within a tiny
        distance of x' there is an input with exactly the features of x, and so has the segment between them; see
        ``fiberscope.invariance.proof``.

        Args:
            original: what runs the model, or a function that gives the features of a batch (N, *input_shape) in the
                model's arithmetic; None for what the network was read from, if it still is in this process.
            points: how many random points of the path are looked at.
            seed: of these points.

        Returns:
            The verification; truthy iff everything held. If there was no original to run, its reason says so.
        """
        from fiberscope.invariance.verifying import verify_example

        return verify_example(self, original, points=points, seed=seed)

    def _both(self) -> FloatArray:
        return np.stack([self.source.ravel(), self.x.ravel()])


def pixels_changed(source: FloatArray, x: FloatArray) -> int:
    """How many pixels differ by more than a millionth of the largest difference."""
    difference = np.abs(x - source)
    return int((difference > CHANGED * difference.max(initial=0.0)).sum())


__all__ = ["InvarianceExample", "pixels_changed"]
