"""How stable the inverse of a network is around a sample, and along which input directions [section 3]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.memory import MATRIX_BYTES
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.network import Network
from fiberscope.scalars import as_count, as_flag, as_number
from fiberscope.showing.shown import Picture, Shown, told
from fiberscope.showing.thumbnails import directions_as_pictures, inputs_as_pictures
from fiberscope.stability.directions import (
    InputDirections,
    found_directions,
    invariant_directions,
    singular_directions,
    without,
)
from fiberscope.stability.extreme import extreme_singular_values
from fiberscope.stability.linearization import Linearization, linearize
from fiberscope.stability.powers_of_two import exponent_of, times_power
from fiberscope.stability.region import RegionBoundary
from fiberscope.stability.singular_values import singular_values
from fiberscope.stability.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from torch import Tensor

DENSE_SIDE = 4096
"""The smaller side of a matrix up to which it is decomposed: 3072 x 3072 numbers take 12 seconds on two cores."""

BOUNDARY_INPUTS = 4096
"""Inputs up to which the end of the region is looked for unless the caller asks: of a large network it takes
a product for each."""


@dataclass(frozen=True, eq=False, repr=False)
class InverseStability(Shown):
    """The local linear map J of a network at a sample: how much it hides, and how much it shrinks and stretches.

    With r the rank of J, for x' in the activation region of x with ``x - x'`` orthogonal to null(J):

        sigma_r |x - x'| <= |F(x) - F(x')| <= sigma_1 |x - x'|,

    and F(x') = F(x) for x' in the region with ``x - x'`` in null(J). Every x' within ``region_distance`` of x is in the
    region. Smooth activations (tanh, sigmoid, ELU, softplus) have no regions: the distance is then 0, and the statement
    is about the derivative at x only.

    All numbers are about J as floating point gives it, and null(J) holds the directions whose singular value cannot be
    told from zero: along them features move by at most ``2 spectrum.tolerance |x - x'|``. What is not computed is None,
    and ``reason`` says why.

    Attributes:
        x: the sample, of the network's input shape.
        J: the local linear map (m, n).
        spectrum: all min(m, n) singular values with their error bounds.
        largest: ``sigma_1``, the Lipschitz constant on the region; 0 for the zero map.
        largest_error: how far off it may be.
        boundary: the neuron at whose kink the region ends nearest to x; None also where nothing bends.
        region_distance: the distance of x to that end; infinite where nothing bends.
        strongest: the right singular vectors of the largest singular values, in descending order.
        weakest: those of the smallest nonzero ones, in descending order as well.
        invariant: some orthonormal directions of null(J), in which the features do not change: those of the input
            coordinates whose change is hidden most easily.
        row_space: (r, n) an orthonormal basis of the complement of null(J).
        reason: why something is not there; empty where everything is.
    """

    x: FloatArray
    J: Linearization
    spectrum: Spectrum | None
    largest: float
    largest_error: float
    boundary: RegionBoundary | None
    region_distance: float | None
    strongest: InputDirections
    weakest: InputDirections | None
    invariant: InputDirections | None
    row_space: Float64[FloatArray, "r n"] | None = field(repr=False)
    reason: str

    @property
    def rank(self) -> int | None:
        """r, the number of singular values that are certainly not zero."""
        return None if self.spectrum is None else self.spectrum.rank

    @property
    def invariant_dimension(self) -> int | None:
        """``n - r``, the dimension of null(J)."""
        return None if self.spectrum is None else self.J.shape[1] - self.spectrum.rank

    @property
    def smallest_nonzero(self) -> float | None:
        """``sigma_r``, the inverse Lipschitz constant on the region; NaN for the zero map."""
        return None if self.spectrum is None else self.spectrum.smallest_nonzero

    @property
    def smallest_error(self) -> float | None:
        """How far off ``smallest_nonzero`` may be; NaN for the zero map."""
        if self.spectrum is None:
            return None
        return float(self.spectrum.error_bound[self.spectrum.rank - 1]) if self.spectrum.rank else float("nan")

    @property
    def condition_number(self) -> float | None:
        """``sigma_1 / sigma_r``; NaN for the zero map."""
        return None if self.spectrum is None else self.spectrum.condition_number

    def invariant_part(self, direction: Tensor | ArrayLike) -> FloatArray:
        """The projection of a direction onto null(J): the nearest one in which the features do not change.

        Args:
            direction: of the network's input shape or flat, such as the difference of two images; or (k, ...) many.

        Returns:
            The projection, in the shape of the argument; exactly 0 where null(J) is {0}.

        Raises:
            InputError: it does not fit, is not finite, or null(J) is not known.
        """
        if self.row_space is None:
            raise InputError("invariant_part", expected="a decomposed map", got="none", hint=self.reason)
        values, n = as_float64(direction, "direction"), self.J.shape[1]
        shapes = self.x.shape, (n,)
        if values.shape not in shapes and values.shape[1:] not in shapes:
            expected = f"shape {self.x.shape} or (k, ...)"
            hint = "pass it in the shape of the network's input, or flat"
            raise InputError("direction", expected=expected, got=f"shape {values.shape}", hint=hint)
        if len(self.row_space) == n:
            return np.zeros(values.shape)
        return without(self.row_space, values.reshape(-1, n)).reshape(values.shape)

    def _line(self) -> str:
        m, n = self.J.shape
        if self.spectrum is None:
            return f"{n} -> {m}, largest {self.largest:.4g}, not all computed: {self.reason}"
        end = "end not looked for" if self.region_distance is None else f"up to distance {self.region_distance:.3g}"
        return (
            f"{n} -> {m}, values {self.smallest_nonzero:.4g} to {self.largest:.4g}, "
            f"{self.invariant_dimension} invariant dimensions, {end}"
        )

    def _facts(self) -> Mapping[str, str]:
        numbers = ("rank", "invariant_dimension", "largest", "smallest_nonzero", "condition_number", "region_distance")
        known = {name: told(getattr(self, name)) for name in numbers if getattr(self, name) is not None}
        return known | ({"reason": self.reason} if self.reason else {})

    def _pictures(self) -> Sequence[Picture]:
        pictures = list(inputs_as_pictures({"the input": self.x}))
        for name in ("strongest", "weakest", "invariant"):
            directions: InputDirections | None = getattr(self, name)
            if directions is not None:
                captions = [f"{name}: |J v| = {value:.3g}" for value in directions.values]
                pictures += directions_as_pictures(captions, directions.vectors)
        return pictures

    def plot(self, ax: Axes | None = None) -> Axes:
        """The sample and the directions at it as pictures: strongest, weakest and invariant ones.

        Args:
            ax: axes of matplotlib; None for new ones.

        Raises:
            InputError: inputs are no pictures.
        """
        from fiberscope.plots.montage import directions_as_pixels, inputs_as_pixels, montage

        captions, pictures = ["the input\n"], inputs_as_pixels(self.x[None])
        for name in ("strongest", "weakest", "invariant"):
            directions: InputDirections | None = getattr(self, name)
            if directions is not None and len(directions):
                captions += [f"{name}\n|J v| = {value:.2g}" for value in directions.values]
                pictures += directions_as_pixels(directions.vectors)
        return montage(captions, pictures, ax)


def inverse_stability(
    network: Network,
    x: Tensor | ArrayLike,
    stage: int | None = None,
    *,
    count: int = 3,
    boundary: bool | None = None,
    max_bytes: int = MATRIX_BYTES,
    seed: int = 0,
    device: str = "cpu",
) -> InverseStability:
    """How stable the inverse of a network is around x, and along which input directions.

    ``sigma_r |x - x'| <= |F(x) - F(x')|`` for x' in the region of x with ``x - x'`` orthogonal to null(J).

    J is written out and decomposed where it fits into ``max_bytes`` and its smaller side is at most 4096. Of larger
    maps only the largest singular values and their directions are computed, from products; these are then without proof
    that none was missed, and so are the angles.

    Args:
        network: the network.
        x: one sample, of the network's input shape or flat.
        stage: the number of the stage up to which and with which; negative numbers count from the end, None is the
            last.
        count: how many directions of each sort, where there are as many.
        boundary: whether to look for the end of the region, which may take n products; None for up to 4096 inputs.
        max_bytes: the largest matrix to write out.
        seed: of the random vectors with which errors are measured, and of the search in large maps.
        device: where products are computed.

    Returns:
        The constants with error bounds, the directions with residuals, and how far all this holds.

    Raises:
        InputError: there is no such stage, x does not fit or is not finite, or an argument is out of range.

    Source:
        Section 3 of the paper.
    """
    count, seed = as_count(count, "count"), as_count(seed, "seed", 0)
    max_bytes = int(as_number(max_bytes, "max_bytes", least=0.0, below=inf))
    boundary = None if boundary is None else as_flag(boundary, "boundary")
    J = linearize(network, x, stage, device=device)
    m, n = J.shape
    end = _end_of_region(J, n <= BOUNDARY_INPUTS if boundary is None else boundary)
    if 8 * m * n <= max_bytes and min(m, n) <= DENSE_SIDE:
        return _decomposed(J, J.matrix(max_bytes=max_bytes), end, count, seed)
    return _from_products(J, end, count, seed)


@dataclass(frozen=True)
class _End:
    """Where the region ends; a reason where that was not looked for."""

    boundary: RegionBoundary | None
    distance: float | None
    reason: str


def _end_of_region(J: Linearization, wanted: bool) -> _End:
    if not wanted:
        return _End(None, None, f"the end of the region takes {J.shape[1]} products: ask for it with boundary=True")
    nearest = J.nearest_boundary
    return _End(nearest, float("inf") if nearest is None else nearest.distance, "")


def _decomposed(
    J: Linearization, matrix: Float64[FloatArray, "m n"], end: _End, count: int, seed: int
) -> InverseStability:
    exponent = exponent_of(matrix)
    A = times_power(matrix, -exponent)
    scaled, V = singular_values(A, seed=seed), _right_singular_vectors(A)
    spectrum = scaled.times_power(exponent)
    x, r = _sample(J), spectrum.rank
    most, hidden = min(count, r), min(count, A.shape[1] - r)
    first, last = np.arange(most), np.arange(r - most, r)
    return InverseStability(
        x=x,
        J=J,
        spectrum=spectrum,
        largest=spectrum.largest,
        largest_error=float(spectrum.error_bound[0]),
        boundary=end.boundary,
        region_distance=end.distance,
        strongest=singular_directions(A, V[first], first, scaled, x.shape).times_power(exponent),
        weakest=singular_directions(A, V[last], last, scaled, x.shape).times_power(exponent),
        invariant=invariant_directions(A, V[:r], scaled, hidden, x.shape).times_power(exponent),
        row_space=V[:r].copy(),
        reason=end.reason,
    )


def _right_singular_vectors(A: Float64[FloatArray, "m n"]) -> Float64[FloatArray, "q n"]:
    """As rows; without the zero rows of A, and through the triangular factor where A is tall."""
    rows = A[A.any(axis=1)]
    m, n = rows.shape
    if not m:
        return rows
    linalg = cast(Any, scipy.linalg)
    return linalg.svd(linalg.qr(rows, mode="r")[0][:n] if m > n else rows, full_matrices=False)[2]


def _from_products(J: Linearization, end: _End, count: int, seed: int) -> InverseStability:
    """What products give; one value more than asked for tells how far apart the last ones are."""
    m, n = J.shape
    found, x = extreme_singular_values(J, min(count + 1, m, n), seed=seed), _sample(J)
    reason = (
        f"J is {m} x {n} and was not written out: its smallest nonzero value, its rank and null(J) are not known; "
        "extreme_singular_values and spectral_density estimate some of it from products"
    )
    return InverseStability(
        x=x,
        J=J,
        spectrum=None,
        largest=float(found.values[0]) if len(found.values) else 0.0,
        largest_error=float(found.error_bound[0]) if len(found.values) else found.rounding,
        boundary=end.boundary,
        region_distance=end.distance,
        strongest=found_directions(found.right, found.values, found.error_bound, count, x.shape),
        weakest=None,
        invariant=None,
        row_space=None,
        reason="; ".join(filter(None, [end.reason, reason, found.reason])),
    )


def _sample(J: Linearization) -> FloatArray:
    return J.local.x.cpu().numpy().reshape(J.local.network.input_shape)


__all__ = ["BOUNDARY_INPUTS", "DENSE_SIDE", "InverseStability", "inverse_stability"]
