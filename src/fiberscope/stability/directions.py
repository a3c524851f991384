"""Input directions of a linear map, and how well each of them is determined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.showing.shown import Picture, Shown
from fiberscope.showing.thumbnails import directions_as_pictures
from fiberscope.stability.measured_errors import UPWARDS, VANISHED, Columns, image, stretched
from fiberscope.stability.powers_of_two import bounds_times_power, times_power
from fiberscope.stability.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 4
"""Values that a line names."""


@dataclass(frozen=True, eq=False, repr=False)
class InputDirections(Shown):
    """Orthonormal directions in the input, how far a map J stretches each, and how well each is determined.

    For a singular pair, unit vectors v and u with ``J v`` close to ``s u`` and ``J^T u`` close to ``s v``, the residual
    is ``sqrt((|J v - s u|^2 + |J^T u - s v|^2) / 2)``, and within it of s lies a singular value of J. For an invariant
    direction it is ``|J v|``. What rounding may hide is included.

    Where singular values lie close together, no single one of their vectors is determined, and its angle is bounded by
    1, that is, not at all; but all of them together may be: see ``span_angle``.

    Attributes:
        vectors: (k, *input_shape) of length 1 and orthogonal to each other.
        values: (k,) ``|J v|``: how far features move when the input moves by 1 along v.
        residual: (k,) as above.
        angle: (k,) a bound on the sine of the angle between v and the true singular vector, or the true null space.
        span_angle: a bound on the sine of the largest angle between the span of all k and the true one.

    Source:
        C. Davis & W. Kahan, The rotation of eigenvectors by a perturbation III, 1970, for ``[0 J; J^T 0]``.
    """

    vectors: FloatArray
    values: FloatArray
    residual: FloatArray
    angle: FloatArray
    span_angle: float

    def times_power(self, exponent: int) -> InputDirections:
        """The directions of the map times ``2^k``."""
        residual = bounds_times_power(self.residual, self.values, exponent)
        return replace(self, values=times_power(self.values, exponent), residual=residual)

    def __len__(self) -> int:
        return len(self.values)

    def _line(self) -> str:
        return f"{len(self)}, |J v| = {', '.join(f'{value:.3g}' for value in self.values[:_FEW])}"

    def _pictures(self) -> Sequence[Picture]:
        return directions_as_pictures([f"|J v| = {value:.3g}" for value in self.values], self.vectors)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The directions as pictures: below 0 blue, above 0 red, each on a scale of its own.

        Args:
            ax: axes of matplotlib; None for new ones.

        Raises:
            InputError: there are none, or inputs are no pictures.
        """
        from fiberscope.plots.montage import directions_as_pixels, montage

        captions = [f"|J v| = {value:.3g}" for value in self.values]
        return montage(captions, directions_as_pixels(self.vectors), ax)


def singular_directions(
    A: Float64[FloatArray, "m n"],
    basis: Float64[FloatArray, "k n"],
    places: Int64[IntArray, " k"],
    spectrum: Spectrum,
    shape: tuple[int, ...],
) -> InputDirections:
    """The singular vectors at some places of the spectrum, from an orthonormal basis of their span.

    Args:
        A: the map, scaled so that its largest entry is about 1.
        basis: approximate right singular vectors, as rows.
        places: which of the singular values, in ascending order; neighbours of each other.
        spectrum: of the map.
        shape: of the vectors.
    """
    if not len(places):
        return no_directions(shape)
    left, values, rotation = np.linalg.svd(A @ basis.T, full_matrices=False)
    right = basis.T @ rotation.T
    above, below = _missed(A, right, values, left), _missed(A.T, left, values, right)
    residual = np.hypot(above, below) / np.sqrt(2) * UPWARDS
    angle, span_angle = _angles(values, residual, places, spectrum.values, spectrum.error_bound)
    return InputDirections(as_samples(right, shape), values, residual, angle, span_angle)


def found_directions(
    right: Float64[FloatArray, "n k"],
    values: Float64[FloatArray, " k"],
    error_bound: Float64[FloatArray, " k"],
    count: int,
    shape: tuple[int, ...],
) -> InputDirections:
    """The first singular vectors of those that a search has found; the values of the others tell how clear they are.

    With no further value known nothing is known of the angles.
    """
    chosen = np.arange(min(count, len(values)))
    angle, span_angle = _angles(values[chosen], error_bound[chosen], chosen, values, error_bound)
    if len(values) <= count:
        angle, span_angle = np.ones(len(chosen)), 1.0
    return InputDirections(as_samples(right[:, chosen], shape), values[chosen], error_bound[chosen], angle, span_angle)


def invariant_directions(
    A: Float64[FloatArray, "m n"],
    row_space: Float64[FloatArray, "r n"],
    spectrum: Spectrum,
    count: int,
    shape: tuple[int, ...],
) -> InputDirections:
    """Some orthonormal directions of the null space: those of the coordinates whose change is hidden most easily.

    With the projection P onto the null space, the first is that of ``P e_j`` for the coordinate j with the longest one;
    the others are found in the same way in what is left of the null space.

    Args:
        A: the map, scaled so that its largest entry is about 1.
        row_space: an orthonormal basis of the other singular vectors, as rows.
        spectrum: of the map.
        count: how many, at most the dimension of the null space.
        shape: of the vectors.
    """
    if not count:
        return no_directions(shape)
    others, left_over = row_space, 1.0 - np.square(row_space).sum(axis=0)
    for _ in range(count):
        coordinate = np.zeros(A.shape[1])
        coordinate[int(left_over.argmax())] = 1.0
        vector = without(others, coordinate)
        vector /= np.linalg.norm(vector)
        others, left_over = np.vstack([others, vector]), left_over - np.square(vector)
    vectors = others[len(row_space) :].T
    images = image(A, _exact(vectors))
    values = images.lengths()
    residual = (values + images.error + VANISHED) * UPWARDS
    if not spectrum.rank:
        return InputDirections(as_samples(vectors, shape), values, residual, np.zeros(count), 0.0)
    last = spectrum.rank - 1
    seen = max(float(spectrum.values[last] - spectrum.error_bound[last]), 0.0)
    angle, span_angle = np.array([_sine(part, seen) for part in residual]), _sine(float(np.linalg.norm(residual)), seen)
    return InputDirections(as_samples(vectors, shape), values, residual, angle, span_angle)


def without(basis: Float64[FloatArray, "r n"], V: Float64[FloatArray, "*k n"]) -> Float64[FloatArray, "*k n"]:
    """What is left of each row of V without its part in the span of an orthonormal basis; subtracted twice.

    The second time removes what rounding left of that part the first time.
    """
    left = V - (V @ basis.T) @ basis
    return left - (left @ basis.T) @ basis


def no_directions(shape: tuple[int, ...]) -> InputDirections:
    """An empty set of directions."""
    nothing = np.zeros(0)
    return InputDirections(np.zeros((0, *shape)), nothing, nothing, nothing, 0.0)


def _missed(
    A: Float64[FloatArray, "p q"],
    vectors: Float64[FloatArray, "q k"],
    values: Float64[FloatArray, " k"],
    images: Float64[FloatArray, "p k"],
) -> Float64[FloatArray, " k"]:
    """``|A v - s u|`` for each vector v, value s and image u, with what rounding may hide of it."""
    scaled = stretched(values, _exact(images.T))
    product = Columns(scaled.values.T, np.full(len(values), float(np.linalg.norm(scaled.error))))
    left = image(A, _exact(vectors)).minus(product)
    return left.lengths() + left.error + VANISHED


def _exact(vectors: Float64[FloatArray, "d k"]) -> Columns:
    return Columns(vectors.astype(np.longdouble), np.zeros(len(vectors.T)))


def as_samples(vectors: Float64[FloatArray, "n k"], shape: tuple[int, ...]) -> FloatArray:
    """Columns as arrays of the shape of a sample, each with its largest number positive."""
    rows = vectors.T
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return (rows * np.where(largest < 0, -1.0, 1.0)[:, None]).reshape(len(rows), *shape)


def _angles(
    values: Float64[FloatArray, " k"],
    residual: Float64[FloatArray, " k"],
    places: Int64[IntArray, " k"],
    known: Float64[FloatArray, " q"],
    known_error: Float64[FloatArray, " q"],
) -> tuple[Float64[FloatArray, " k"], float]:
    """Bounds on the sine of the angle of each vector and of their span, ``sqrt(2) residual / gap``.

    The gap is the distance to the other singular values and to 0, which [0 J; J^T 0] has as eigenvalues. Its
    eigenvectors are ``(v, u) / sqrt(2)``, hence the factor.
    """
    apart = np.abs(values[:, None] - known) - known_error
    inside = np.zeros(len(known), np.bool_)
    inside[places] = True
    to_outside = float(np.minimum(values, apart[:, ~inside].min(axis=1, initial=np.inf)).min(initial=np.inf))
    apart[np.arange(len(places)), places] = np.inf
    to_any, turned = np.minimum(values, apart.min(axis=1, initial=np.inf)), np.sqrt(2) * residual
    angle = np.array([_sine(part, gap) for part, gap in zip(turned, to_any, strict=True)], dtype=np.float64)
    return angle, _sine(float(np.linalg.norm(turned)), to_outside)


def _sine(part: float, whole: float) -> float:
    """``part / whole``, at most 1, and 1 where the whole is not positive."""
    return min(1.0, part / whole) if whole > 0 else 1.0


__all__ = [
    "InputDirections",
    "as_samples",
    "found_directions",
    "invariant_directions",
    "no_directions",
    "singular_directions",
    "without",
]
