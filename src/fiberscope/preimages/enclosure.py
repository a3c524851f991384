"""The certified size of a preimage: along directions, from outside and from inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from fiberscope.checker import enclosures
from fiberscope.checker.enclosures import Question
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.monotone import Received
from fiberscope.checker.radius import measure
from fiberscope.checker.system import System
from fiberscope.checker.verdicts import Claim as PlainClaim
from fiberscope.errors import InputError, shown
from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.rows import dense
from fiberscope.preimages.analytic_center import Polytope
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.extent_search import Extents, extents
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.verdict import Verdict, check_not_empty, point
from fiberscope.preimages.verification import Verification
from fiberscope.preimages.verify import in_numbers
from fiberscope.scalars import as_count
from fiberscope.showing.shown import Picture, Shown, Table, told
from fiberscope.showing.thumbnails import width_as_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 8.0
"""By how many times their rounding bounds are claimed wider than they were found: other processors round otherwise."""

LARGEST = 2**28
"""Entries of a system that is searched, with rows for its coordinates: copies of it take some gigabytes."""


@dataclass(frozen=True, eq=False, repr=False)
class Enclosure(Shown):
    """``low <= directions x <= high`` for every x of a preimage, proved; and what points of it attain.

    Attributes:
        preimage: the preimage: its layer, its domain, and what is known of the output.
        directions: (k, n).
        low: (k,) proved, rounded outwards; -inf where nothing is.
        high: (k,) proved; inf where nothing is.
        reached_low: (k,) attained by a verified point: ``low <= min <= reached_low``; inf where there is no point.
        reached_high: (k,) likewise: ``reached_high <= max <= high``; -inf where there is no point.
        center: (n,) the middle of what is proved.
        radius: every point of the preimage lies within this Euclidean distance of the center; inf where none is proved.
        reason: in words, why something is not proved, or not further; may be empty.
        multipliers: two of (k, m + q), of the layer's rows and the domain's half-spaces, that prove low and high.
        points: two of (k, n), that attain reached_low and reached_high; NaN for none.
    """

    preimage: Verdict
    directions: FloatArray
    low: FloatArray
    high: FloatArray
    reached_low: FloatArray
    reached_high: FloatArray
    center: FloatArray
    radius: float
    reason: str
    multipliers: tuple[NDArray[Any], NDArray[Any]]
    points: tuple[FloatArray, FloatArray]

    def verify(self) -> Verification:
        """Prove all bounds from the multipliers, the points, the layer and what is known of the output alone.

        Returns:
            The verification; never an exception.
        """
        try:
            asked = _question(self.preimage)
            if isinstance(asked, str):
                return Verification(False, "float", asked)
            system, known, inner = asked
            directions, low, high, reached_low, reached_high, center = (
                _copied(part)
                for part in (self.directions, self.low, self.high, self.reached_low, self.reached_high, self.center)
            )
            claim = enclosures.Claim(
                directions, _pair(self.multipliers), low, high, _pair(self.points), reached_low, reached_high,
                center, float(self.radius),
            )  # fmt: skip
            reason = enclosures.prove(system, known, claim, inner)
            return Verification(reason == "", "float", reason)
        except Exception:  # a claim may be made of anything
            return Verification(False, "float", "the enclosure is malformed: a part of it cannot be read")

    def _line(self) -> str:
        widths = self.high - self.low
        middle = float(np.median(widths)) if len(widths) else 0.0
        return f"{len(widths)} directions, median width {middle:.3g}, radius {self.radius:.3g}"

    def _facts(self) -> Mapping[str, str]:
        said = {"preimage": repr(self.preimage), "directions": str(len(self.directions)), "radius": told(self.radius)}
        return said | ({"reason": self.reason} if self.reason else {})

    def _tables(self) -> Sequence[Table]:
        proved, reached = self.high - self.low, self.reached_high - self.reached_low
        rows = [
            (name, *(f"{np.quantile(widths, share):.4g}" for share in (0.0, 0.5, 1.0)))
            for name, widths in (("proved", proved), ("reached", reached))
            if len(widths) and not np.isnan(widths).any()
        ]
        return (Table(("width", "smallest", "median", "largest"), tuple(rows)),) if rows else ()

    def _pictures(self) -> Sequence[Picture]:
        if not self.is_of_coordinates:
            return ()
        return width_as_picture(self.high - self.low, self.preimage.layer.input_shape)

    @property
    def is_of_coordinates(self) -> bool:
        """Whether its directions are the coordinates of the input, in their order."""
        k, n = self.directions.shape
        return k == n and bool((self.directions.diagonal() == 1).all() and np.count_nonzero(self.directions) == n)

    def plot(self, ax: Axes | None = None, *, picture: bool = False) -> Axes:
        """The bounds as intervals, with what points of the preimage attain; or their widths as a picture.

        Args:
            ax: axes of matplotlib; None for new ones.
            picture: draw the widths as a picture of the input.

        Raises:
            InputError: a picture of directions that are not all coordinates, or of inputs that are no pictures.
        """
        from fiberscope.plots.intervals import intervals, uncertainty

        if not picture:
            return intervals(self.low, self.high, (self.reached_low, self.reached_high), ax=ax)
        if not self.is_of_coordinates:
            raise InputError("picture", expected="an enclosure of all coordinates", got="one of other directions")
        return uncertainty(self.high - self.low, self.preimage.layer.input_shape, ax)


def enclose(
    preimage: Verdict,
    directions: Any,
    seconds: float | int | None,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Enclosure:
    """Bound a preimage along directions."""
    check_not_empty(preimage, "enclosure")
    if progress is not None and not callable(progress):
        hint = "it is called with the number of bounds that are near enough so far, and how many there are"
        raise InputError("progress", expected="a function, or None", got=shown(progress), hint=hint)
    c, budget, seed = _checked(preimage, directions), Budget.of(seconds), as_count(seed, "seed", 0)
    asked = _question(preimage)
    if isinstance(asked, str):
        raise InputError("enclosure", expected="a preimage that was not changed, with sizes to prove", got=asked)
    system, known, inner = asked
    k, report = len(c), progress or _silent
    found = _search(preimage, system, known, c, budget, seed, lambda done: report(done, 2 * k))
    multipliers = found.multipliers[:k], found.multipliers[k:]
    return _claimed(preimage, system, (known, inner), c, multipliers, found)


def _search(
    preimage: Verdict,
    system: System,
    known: Question,
    directions: FloatArray,
    budget: Budget,
    seed: int,
    progress: Callable[[int], None],
) -> Extents:
    both = np.concatenate([-directions, directions])
    sides = enclosures.gaps(system, known)
    if known.reach == 0:  # a single point
        return Extents(np.zeros((len(both), len(sides.low)), dtype=np.float32), np.zeros(both.shape))
    if sum(system.shape) * system.shape[1] > LARGEST:
        reason = "the preimage has too many rows and coordinates for the search"
        return Extents(np.zeros((len(both), len(sides.low)), dtype=np.float32), np.full(both.shape, np.nan), reason)
    rows = dense(system.weight) if not len(system.h) else np.concatenate([dense(system.weight), dense(system.G)])
    below = np.maximum(system.box_low - known.anchor, -known.reach)
    above = np.minimum(system.box_high - known.anchor, known.reach)
    polytope = Polytope(rows, sides.low, sides.high, below, above)
    return extents(polytope, both, budget, progress, seed, preimage.layer.device)


def _claimed(
    preimage: Verdict,
    system: System,
    asked: tuple[Question, Question],
    directions: FloatArray,
    multipliers: tuple[NDArray[Any], NDArray[Any]],
    found: Extents,
) -> Enclosure:
    """What multipliers and points prove, a little wider."""
    known, inner = asked
    bounds = enclosures.bounds(system, known, directions, multipliers).widened(MARGIN, directions)
    low, high = enclosures.ends(system, known, directions, bounds)
    k = len(directions)
    points = (
        _placed(system, inner, known.anchor, found.points[:k]),
        _placed(system, inner, known.anchor, found.points[k:]),
    )
    reached: list[FloatArray] = []
    for place, sign in zip(points, (-1.0, 1.0), strict=True):
        value, error = enclosures.values(directions, place)
        reached.append(np.where(np.isnan(value), -sign * np.inf, value - sign * MARGIN * error))
    boxed = np.isfinite(bounds.below) & np.isfinite(bounds.above)
    center = known.anchor + sum(0.5 * np.where(boxed, side, 0.0) for side in (bounds.below, bounds.above))
    radius = enclosures.radius_of(bounds, known, center)
    if known.reach < radius:
        center, radius = known.anchor.copy(), known.reach
    reason = found.reason
    if not reason and not (np.isfinite(low) & np.isfinite(high)).all():
        reason = "the preimage is unbounded" if preimage.kind == Kind.UNBOUNDED else "some bounds are not proved"
    return Enclosure(
        preimage, directions, low, high, reached[0], reached[1], center, float(radius), reason, multipliers, points
    )


def _placed(system: System, inner: Question, anchor: FloatArray, moves: FloatArray) -> FloatArray:
    """Points in the inputs' own coordinates; in place of those that are none of the preimage, the anchor or NaN."""
    points = np.clip(anchor + moves, system.box_low, system.box_high)
    try:
        ok = enclosures.inside(system, inner, points)
        anchored = bool(enclosures.inside(system, inner, anchor[None])[0])
    except NotProvedError:
        ok, anchored = np.zeros(len(points), dtype=np.bool_), False
    return np.where(ok[:, None], points, anchor if anchored else np.nan)


def _checked(preimage: Verdict, directions: Any) -> Float64[FloatArray, "k n"]:
    n = preimage.layer.inputs
    if directions is None:
        check_matrix("enclosure", n, n)
        return np.eye(n)
    array = as_float64(directions, "directions")
    if array.ndim != 2 or array.shape[1] != n or not len(array):
        hint = "a single direction c is directions=c[None]"
        raise InputError("directions", expected=f"shape (k, {n}), k at least 1", got=f"shape {array.shape}", hint=hint)
    return array


def _question(preimage: Any) -> tuple[System, Question, Question] | str:
    """The numbers of a preimage, and how far its certificate proves that it reaches; or why there are none.

    Where ends of intervals were rounded outwards, the last is about a smaller preimage, to which points have to belong.
    """
    asked = in_numbers(preimage)
    if isinstance(asked, str):
        return asked
    system, (largest, smallest) = asked[0], (asked[1].largest, asked[1].smallest)
    if largest is None or smallest is None:
        return "the output is that of no input"
    anchor = largest.x if largest.x is not None else _copied(point(preimage))
    reach = _reach(system, asked[1], anchor) if largest.kind in (Kind.SINGLETON, Kind.BOUNDED) else np.inf
    known, inner = (_beside(said, anchor, reach) for said in (largest, smallest))
    return system, known, inner


def _beside(said: PlainClaim, anchor: FloatArray, reach: float) -> Question:
    """A claim's question, beside an anchor."""
    low, high = (None, None) if said.output is None else (said.output[0], said.output[1])
    return Question(said.x, low, high, said.within, anchor, reach)


def _reach(system: System, received: Received, anchor: FloatArray) -> float:
    """How far its certificate proves that a preimage reaches from an anchor; inf where it proves nothing."""
    for exact in (False, True):
        found = measure(system, received.to_prove, [anchor] * len(received.to_prove), exact=exact)
        if not any(reason for reason, _ in found):
            return found[0][1]  # the largest is the first
    return np.inf


def reach_from(preimage: Verdict) -> float:
    """How far the certificate of a preimage proves that it reaches from its own x; inf where it proves nothing."""
    asked = _question(preimage)
    return np.inf if isinstance(asked, str) else asked[1].reach


def _copied(array: Any) -> NDArray[Any]:
    """A copy of an array of numpy's own class, which nobody can change while it is looked at."""
    if type(array) is not np.ndarray:
        raise TypeError("is no array")
    return np.array(array)


def _pair(parts: Any) -> tuple[Any, Any]:
    first, second = cast("tuple[Any, ...]", parts)
    return _copied(first), _copied(second)


def _silent(done: int, total: int) -> None:
    """Nothing."""


__all__ = ["LARGEST", "MARGIN", "Enclosure", "enclose", "reach_from"]
