"""The preimage of a layer's output: its kind, its dimension, and the certificate that proves both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.layer import Layer
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.verdict import Verdict, point
from fiberscope.showing.shown import Picture, Shown
from fiberscope.showing.thumbnails import inputs_as_pictures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from fiberscope.preimages.enclosure import Enclosure
    from fiberscope.preimages.geometry import Recovered
    from fiberscope.preimages.precision import Precision


@dataclass(frozen=True, eq=False, repr=False)
class Preimage(Verdict, Shown):
    """``{x in domain : clip(A x + b) = y}`` [Theorem 4], given by x or by y, with a proved verdict.

    Where y is known up to ``within``, or to intervals, all x whose output agrees with that.

    Attributes:
        layer: the layer.
        domain: the domain; None for all of R^n.
        x: (n,) the input whose output is meant, or None.
        y: (m,) the output, or the intervals in which it lies, or None.
        kind: empty, singleton, bounded, unbounded, or undecided.
        dimension: of the affine hull; -1 for empty, None for undecided.
        margin: how far from the opposite verdict, in [0, 1]; defined in ``fiberscope.preimages.margin``.
        certificate: what proves kind and dimension, of the same kind; an undecided one proves nothing.
        reason: in words, what a person should know about the verdict; may be empty.
        within: by how much each output may differ from that at x, or from y: a number, (m,), or (2, m), where it may
            differ by less below than above.
        dimension_bounds: proved bounds on the dimension, where it is not known; None elsewhere.
    """

    @classmethod
    def of(cls, verdict: Verdict) -> Preimage:
        """The preimage that a verdict is about."""
        return cls(**{each.name: getattr(verdict, each.name) for each in fields(Verdict)})

    @property
    def positives(self) -> int:
        """The number of outputs above their smallest value, for certain; exact.

        Of a strictly monotone activation, the number of all outputs.
        """
        from fiberscope.preimages.geometry import sides_of

        return int(sides_of(self).positive.sum()) - self.layer.definitions

    @property
    def saturated(self) -> int:
        """The number of outputs that are, or may be, at the upper end of a clip; exact."""
        from fiberscope.preimages.geometry import sides_of

        return int(sides_of(self).saturated(self.layer).sum())

    @property
    def radius(self) -> float:
        """Every point of the preimage lies within this Euclidean distance of ``point()``; inf where none is proved.

        Proved by the certificate alone: 0 for a singleton given by x, finite for a bounded preimage (see
        ``fiberscope.checker.radius``), inf for an unbounded one.
        """
        from fiberscope.preimages.verify import radii

        if self.kind not in (Kind.SINGLETON, Kind.BOUNDED):
            return float("inf")
        return float(radii([self], [self.point()])[0])

    def contains(self, x: Tensor | ArrayLike) -> bool:
        """Whether ``clip(A x + b)`` agrees with what is known of the output, and x lies in the domain.

        Exact for any float input (n,).
        """
        from fiberscope.preimages.geometry import contains

        return contains(self, x)

    def point(self) -> Float64[FloatArray, " n"]:
        """A point (n,) of the preimage: x itself, or the certificate's point rounded to float64.

        Raises:
            InputError: the preimage is empty or undecided.
        """
        return point(self)

    def width(self, direction: Tensor | ArrayLike, *, seconds: float | int | None = None) -> float:
        """``max <c, x> - min <c, x>`` over the preimage, by two linear programs; inf where it is unbounded.

        Args:
            direction: c, shape (n,), any length.
            seconds: after which to give up; None for a minute.

        Raises:
            InputError: c has another shape or is zero, the preimage is empty or undecided, or seconds is no positive
                number.
            SolverError: no optimum was found that its dual confirms, or the time is over.
        """
        from fiberscope.preimages.geometry import width

        return width(self, direction, seconds)

    def bounding_box(
        self, *, seconds: float | int | None = None
    ) -> tuple[Float64[FloatArray, " n"], Float64[FloatArray, " n"]]:
        """The smallest box ``low <= x <= high`` that holds the preimage, by 2 n linear programs.

        Infinite where it is unbounded.

        Args:
            seconds: after which to give up; None for a minute.

        Raises:
            InputError: the preimage is empty or undecided, or seconds is no positive number.
            SolverError: no optimum was found that its dual confirms, or the time is over.
        """
        from fiberscope.preimages.geometry import bounding_box

        return bounding_box(self, seconds)

    def enclosure(
        self,
        directions: Tensor | ArrayLike | None = None,
        seconds: float | int | None = None,
        seed: int = 0,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Enclosure:
        """``low <= c x <= high`` over the preimage for many directions c, proved, and what points of it attain.

        By weak duality [theory of linear programs]: every w with the signs of the sides that rows
        ``lo <= R x <= hi`` have gives ``c x <= sum_i (w_i > 0 ? hi_i : lo_i) w_i + sum_j max(r_j low_j, r_j high_j)``
        in the box of the domain, with ``r = c - R^T w``. One batched first-order method searches for w for all
        directions; linear programs do where the system is small.

        Args:
            directions: (k, n) in the inputs' coordinates; None for all n coordinates.
            seconds: how long to search at most, then as near as possible; None for a fixed number of steps, after which
                bounds are as a rule within some percent.
            seed: of random directions that help to find points inside.
            progress: called with the number of bounds that are near enough, and how many there are.

        Raises:
            InputError: the preimage is empty or undecided, directions have another shape, or seconds is no positive
                number.
            MemoryLimitError: there are too many coordinates to ask about all of them.
        """
        from fiberscope.preimages.enclosure import enclose

        return enclose(self, directions, seconds, seed, progress)

    def chebyshev_center(self, *, seconds: float | int | None = None) -> tuple[Float64[FloatArray, " n"], float]:
        """The center (n,) and the radius of a largest ball inside the preimage, within its affine hull.

        Radius inf where there is no largest.

        Args:
            seconds: after which to give up; None for a minute.

        Raises:
            InputError: the preimage is empty or undecided, or seconds is no positive number.
            SolverError: no optimum was found that its dual confirms, or the time is over.
        """
        from fiberscope.preimages.geometry import chebyshev_center

        return chebyshev_center(self, seconds)

    def sample(self, count: int, seed: int, *, seconds: float | int | None = None) -> Float64[FloatArray, "count n"]:
        """``count`` points (count, n) of a bounded preimage by hit-and-run inside its affine hull.

        The same seed gives the same points; they satisfy the equalities up to rounding.

        Args:
            count: of points.
            seed: of the random numbers.
            seconds: after which to give up; None for a minute.

        Raises:
            InputError: count < 1, the preimage is empty, unbounded or undecided, or seconds is no positive number.
            SolverError: float64 does not resolve the preimage, or the time is over.
        """
        from fiberscope.preimages.geometry import sample

        return sample(self, count, seed, seconds)

    def recover(self) -> Recovered:
        """The one input of a singleton preimage, and a bound on its Euclidean error.

        Raises:
            NotASingleton: the preimage is of another kind.
        """
        from fiberscope.preimages.geometry import recover

        return recover(self)

    def _line(self) -> str:
        n, bounds = self.layer.inputs, self.dimension_bounds
        dimension = f"{bounds[0]} to {bounds[1]}" if self.dimension is None and bounds else self.dimension
        says = str(self.kind) if dimension is None else f"{self.kind}, dimension {dimension} of {n}"
        return f"{says}: {self.reason}" if self.reason else says

    def _pictures(self) -> Sequence[Picture]:
        return () if self.x is None else inputs_as_pictures({"the input": self.x}, self.layer.input_shape)


def preimage(
    layer: Layer,
    x: Tensor | ArrayLike | None = None,
    y: Interval | Tensor | ArrayLike | None = None,
    domain: Domain | None = None,
    *,
    within: Precision | Tensor | ArrayLike = 0.0,
    window: Any = None,
    seconds: float | int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Preimage:
    """Decide and prove what the preimage of a layer's output is [Theorem 4, Theorem 12].

    ``preimage(y) = {x : A_P x + b_P = y_P, A_N x + b_N <= 0}`` with ``P = {y > 0}``, intersected with the domain. Of a
    clip, saturated units turn their inequality round. An output that is known to lie in [u, v] bounds its row on both
    sides.

    Args:
        layer: the layer, m neurons and n inputs.
        x: (n,) or layer.input_shape, an input; the preimage of its exact output is meant.
        y: (m,) or layer.output_shape, an output, or the ``Interval`` in which it lies. Exactly one of x and y is given.
        domain: where inputs lie; None for all of R^n.
        within: by how much every output may differ from y, or from that at x: a number or (m,), in the outputs' units;
            0 for exactly that output. For units that are ReLUs, clips, leaky ReLUs, tanh or sigmoids. Beside x also a
            ``Precision``, or its name: "float32", "float16" or "int8", for ReLUs and clips.
        window: beside x, the coordinates that may change, by a slice or a number for each axis of layer.input_shape, as
            ``np.s_[:, 8:24, 8:24]``; all others stay as they are at x, as its domain then says. None for all.
        seconds: a budget; past it the verdict is undecided, with the reason. None for no limit but the default one on
            exact arithmetic, which counts work and looks at no clock.
        progress: called with what is being done, in words, step by step, from the calling thread.

    Returns:
        The preimage; its certificate has been checked.

    Raises:
        InputError: wrong shape, NaN or infinite numbers, x outside the domain, not exactly one of x and y, a precision
            that is negative, not known, beside intervals or of other activations, a window that does not fit or is
            empty or beside y, or a budget that is no positive number.
        MemoryLimitError: the layer is too large for the memory of this machine; nothing was computed.
    """
    from fiberscope.preimages.decide import decide

    return Preimage.of(decide(layer, x, y, domain, within, window, seconds, progress))


__all__ = ["Preimage", "preimage"]
