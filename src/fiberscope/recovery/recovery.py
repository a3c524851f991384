"""What was recovered from features: a guess, bounds that are proved around it, and where they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from fiberscope.checker.matrices import norm_above
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.preimages.verification import Verification, verified
from fiberscope.recovery.grid import Grid
from fiberscope.recovery.other_input import has_features
from fiberscope.recovery.proof import Proof, Proved, curves_to, prove
from fiberscope.recovery.question import Known, Subject
from fiberscope.showing.shown import Picture, Shown, told
from fiberscope.showing.thumbnails import inputs_as_pictures, width_as_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Scope(StrEnum):
    """Of which inputs bounds are proved."""

    DOMAIN = "domain"
    """All inputs of the domain."""
    BALL = "ball"
    """Those within a radius of the guess."""
    NONE = "none"
    """None: the guess is all there is."""


@dataclass(frozen=True, eq=False, repr=False)
class Recovery(Shown):
    """The input behind features that are known to a precision: a guess, and what is proved.

    Attributes:
        source: the network, or the layer alone.
        layer: the number of the ReLU layer whose output the features are.
        features: (m,) y.
        within: (m,) by how much outputs may differ from y.
        domain: where inputs lie; None for all of R^n.
        grid: the step of the grid that inputs lie on, or its values; None for none.
        x: (*input_shape) the best guess; the one input that is left where ``exact``.
        low: (*input_shape) every input of the scope with these features is at least that, coordinate by coordinate.
        high: (*input_shape) and at most that.
        scope: the domain, a ball around x, or none.
        radius: of that ball (Euclid); inf for the whole domain, 0 for none.
        distance: every input of the scope with these features is within that of x; inf where that is not proved.
        exact: whether the grid leaves one input of the domain, which x is.
        contradiction: whether no input of the domain has these features, proved.
        residual: the largest distance of an output at x from what is known of it, as float64 computes it.
        other: (*input_shape) another input of the domain which is proved to have the features to their precision, as x
            is: nobody can tell them apart. Looked for where nothing else is proved; None for none.
        reason: in words, what a person should know.
        proof: what it is proved by.
    """

    source: Any
    layer: int
    features: Float64[FloatArray, " m"]
    within: Float64[FloatArray, " m"]
    domain: Domain | None
    grid: Any
    x: FloatArray
    low: FloatArray
    high: FloatArray
    scope: Scope
    radius: float
    distance: float
    exact: bool
    contradiction: bool
    residual: float
    other: FloatArray | None = None
    reason: str = ""
    proof: Proof = field(default_factory=Proof)

    def verify(self) -> Verification:
        """Prove what is claimed from the weights, the features and the proof alone.

        Returns:
            The verification; never an exception. Where nothing is claimed (scope "none"), nothing is proved.
        """
        return verified(lambda: _disproved(self))

    def _line(self) -> str:
        if self.contradiction:
            found = "no input has these features"
        elif self.exact:
            found = "exact"
        elif self.scope == Scope.NONE:
            found = "a guess"
        else:
            where = "everywhere" if self.scope == Scope.DOMAIN else f"in a ball of radius {self.radius:.3g}"
            width = float(np.median(self.high - self.low))
            found = f"within {self.distance:.3g} {where}, coordinates to {width:.3g} (median)"
        return f"{self.x.size} coordinates from layer {self.layer}: {found}; residual {self.residual:.2g}"

    def _pictures(self) -> Sequence[Picture]:
        guess = inputs_as_pictures({"the guess": self.x})
        return (*guess, *width_as_picture(self.high - self.low, self.x.shape)) if guess else ()

    def _facts(self) -> Mapping[str, str]:
        names = ("layer", "scope", "radius", "distance", "exact", "contradiction", "residual")
        said = {name: told(getattr(self, name)) for name in names}
        return said | ({"reason": self.reason} if self.reason else {})

    def plot(self, ax: Axes | None = None, *, picture: bool = False) -> Axes:
        """The bounds of every coordinate as intervals, with the guess; or their widths as a picture.

        Args:
            ax: axes of matplotlib; None for new ones.
            picture: draw the widths as a picture of the input.

        Raises:
            InputError: a picture of inputs that are no pictures.
        """
        from fiberscope.plots.intervals import intervals, uncertainty

        if picture:
            return uncertainty((self.high - self.low).ravel(), self.x.shape, ax)
        return intervals(self.low.ravel(), self.high.ravel(), middle=self.x.ravel(), ax=ax)


def _disproved(claim: Recovery) -> str:
    """Why the claim is not proved; empty where it is."""
    subject = Subject.of(claim.source, claim.layer)
    known = Known(np.array(claim.features), np.array(claim.within), claim.domain, curves_to(subject))
    m = subject.features_of.outputs
    if known.y.shape != (m,) or known.within.shape != (m,) or not (known.within >= 0).all():
        return "the features are not one number for each unit, with a precision"
    if not np.isfinite(known.y).all() or type(claim.exact) is not bool or type(claim.contradiction) is not bool:
        return "the claim is not made of numbers and truth values"
    x, low, high = (np.array(part, dtype=np.float64).ravel() for part in (claim.x, claim.low, claim.high))
    if not len(x) == len(low) == len(high) == subject.inputs:
        return "the claim has another number of coordinates than the input"
    proved = prove(subject, known, claim.proof)
    counted = None if claim.grid is None else on_grid(claim.grid, known, proved)
    empty = proved.empty or (counted is not None and counted.empty)
    if claim.contradiction or empty:
        return "" if empty and claim.contradiction else "that no input has the features is proved, or claimed, alone"
    reasons = (
        _bounds(claim, x, low, high, known, proved),
        _exactly(claim, x, counted),
        _beside(claim, subject, known, x),
    )
    for reason in reasons:
        if reason:
            return reason
    return ""


def _bounds(claim: Recovery, x: FloatArray, low: FloatArray, high: FloatArray, known: Known, proved: Proved) -> str:
    match str(claim.scope):
        case Scope.DOMAIN:
            if proved.radius < np.inf or claim.radius != np.inf:
                return "the bounds are not proved for the whole domain"
        case Scope.BALL:
            if proved.center is None or not np.array_equal(proved.center, x) or not claim.radius <= proved.radius:
                return "the bounds are not proved in that ball"
        case _:
            if claim.other is None:
                return "nothing is claimed: this is a guess"
            box = known.box(len(x))
            proved = Proved(box.low, box.high, None, np.inf, 0.0, False, np.zeros(len(x)))
            if claim.radius != 0 or claim.distance != np.inf:
                return "more is claimed than another input"
    if not ((low <= proved.low) & (high >= proved.high)).all():
        return "the bounds are narrower than what is proved"
    if claim.scope == Scope.NONE:
        return ""
    return "" if claim.distance >= distance_from(x, proved) else "the distance is smaller than what is proved"


def _exactly(claim: Recovery, x: FloatArray, counted: OnGrid | None) -> str:
    if not claim.exact:
        return ""
    if claim.scope != Scope.DOMAIN or counted is None or counted.only is None:
        return "the grid does not leave one input of the domain"
    return "" if np.array_equal(counted.only, x) else "the one input that the grid leaves is another"


def _beside(claim: Recovery, subject: Subject, known: Known, x: FloatArray) -> str:
    if claim.other is None:
        return ""
    other = np.array(claim.other, dtype=np.float64).ravel()
    if len(other) != len(x) or np.array_equal(other, x) or subject.network is None:
        return "the other input is none"
    proved = all(has_features(subject.network, subject.layer, known, each) for each in (x, other))
    return "" if proved else "an input is not proved to have the features"


def distance_from(x: FloatArray, proved: Proved) -> float:
    """How far inputs of the scope with the features are from a point."""
    with np.errstate(all="ignore"):
        corner = norm_above(np.maximum(np.abs(proved.high - x), np.abs(x - proved.low)))
    corner = corner if np.isfinite(corner) else np.inf
    if proved.center is None:
        return corner
    apart = norm_above(x - proved.center)
    return min(corner, (proved.distance + apart * (1 + 2.0**-50)) * (1 + 2.0**-50))


@dataclass(frozen=True, eq=False)
class OnGrid:
    """What a grid leaves of proved bounds.

    Attributes:
        only: (n,) the one input of the grid within them; None for several.
        empty: whether there is none.
        most: how many values the coordinate with the most has left.
    """

    only: FloatArray | None
    empty: bool
    most: int


def on_grid(grid: Any, known: Known, proved: Proved) -> OnGrid | None:
    """Count the values of a grid within bounds; None where the bounds are not those of the whole domain."""
    if proved.radius < np.inf:
        return None
    box = known.box(len(proved.low))
    values = Grid.of(grid, box.low, box.high)
    counts, first = values.counts(np.maximum(proved.low, box.low), np.minimum(proved.high, box.high))
    only = values.values[first] if bool((counts == 1).all()) else None
    return OnGrid(only, bool((counts == 0).any()), int(counts.max()))


__all__ = ["OnGrid", "Recovery", "Scope", "distance_from", "on_grid"]
