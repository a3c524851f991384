"""The largest or the smallest singular values of a linear map that is known by its products only, with error bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.scalars import as_count, as_number
from fiberscope.showing.shown import Shown
from fiberscope.stability.krylov import KrylovSpace, Ritz
from fiberscope.stability.linear_map import EPS, MEMORY, NUMBER, CheckedMap, Progress, checked_map
from fiberscope.stability.powers_of_two import bounds_times_power, check_range, number_times_power, times_power

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from fiberscope.stability.linear_map import LinearMap

TOLERANCE = 1e-8
"""Relative to each value: half of float64's digits. A value without close neighbours then has nearly all of them right,
because its error is about the square of the bound, divided by the distance of the next value."""
SAFETY = 0.5
"""The share of the tolerance to which values are iterated: what is bounded in the end holds rounding, too."""
MAX_PRODUCTS = 2_000
"""Ten largest values took 70 to 900 products for spectra without large clusters, three of VGG-16 400 to 700."""
BLOCK = 2
"""Vectors per product. On spectra without multiple values blocks of 2, 4 and 10 took 1.3, 1.9 and 4 times the products
of single vectors; these missed more of multiple values before the search began anew."""
ANEW, ANEW_SHARE = 10, 0.1
"""Once all is found the search goes on with new random vectors for as many blocks, or this share of those so far.

A space that grows from one block holds at most as many copies of a multiple value as the block has vectors. With a
value of multiplicity 12 whose neighbour is 1% away copies were missed in 8 of 8 trials after 6 such blocks, in 2 of 12
after 10, and in none of 12 after the share.
"""
EXTRA = 4
"""Vectors kept beyond those wanted when the subspace shrinks: they speed up convergence of the last wanted one."""
ROOM = 40
"""Vectors, at least, by which the subspace grows before it shrinks. For smallest values it grows as far as memory goes:
what shrinking loses takes them long to find again."""
LOOKS = 16
"""The subspace is looked at whenever it has grown by this part: that costs as much as many products of a small map."""
ROUNDING = 4.0
"""The rounding of a product of length-1 vectors is taken to be at most this times ``sqrt(m + n) eps sigma_1``.

In float64 sums of k terms are off by sqrt(k) eps times their size (N. Higham & T. Mary, A new approach to probabilistic
rounding error analysis, 2019). Maps that compute in less, or through factors much larger than their product, show in
``<u, J v> - <J^T u, v>``, which is added.
"""
AT_ROUNDING = 4.0
"""Bounds up to this times the rounding cannot be improved: such values count as converged."""


class Which(StrEnum):
    """Which singular values are sought."""

    LARGEST = "largest"
    """The largest of all min(m, n)."""
    SMALLEST = "smallest"
    """The smallest that are not zero."""


@dataclass(frozen=True, eq=False, repr=False)
class ExtremeValues(Shown):
    """Approximate singular values and vectors, and how far off the values may be.

    Within ``error_bound[i]`` of ``values[i]`` lies a singular value of J. That is all that residuals prove. They do not
    prove that it is the i-th one, nor that none was missed; but up to rounding the i-th largest singular value is never
    below ``values[i]`` for the largest, and never above the corresponding one for the smallest (Cauchy interlacing),
    unless J is rank-deficient.

    Attributes:
        values: (k,) descending; k is ``count``, or less where no more were found.
        error_bound: (k,) rounding included.
        left: (m, k) orthonormal left singular vectors.
        right: (n, k) orthonormal right singular vectors.
        converged: (k,) whether the bound is within the tolerance, or cannot be improved in float64.
        rounding: the part of each bound that stands for rounding in the products. Of a map that is known by its
            products only, nothing about it can be proved: it is taken to be as large as float64 makes it.
        products: how many vectors were multiplied with J or J^T.
        reason: why not everything that was asked for is there, or converged; empty where it is.
    """

    values: FloatArray
    error_bound: FloatArray
    left: FloatArray
    right: FloatArray
    converged: BoolArray
    rounding: float
    products: int
    reason: str

    def _line(self) -> str:
        ends = f" from {self.values[0]:.4g} to {self.values[-1]:.4g}" if len(self.values) else ""
        return f"{len(self.values)} values{ends}, {int(self.converged.sum())} converged, {self.products} products"


def extreme_singular_values(
    J: LinearMap | Tensor | ArrayLike,
    count: int = 10,
    which: str = Which.LARGEST,
    *,
    tolerance: float = TOLERANCE,
    max_products: int = MAX_PRODUCTS,
    block: int = BLOCK,
    memory: float = MEMORY,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExtremeValues:
    """Approximate the largest or the smallest nonzero singular values of J from products with J and J^T.

    With unit vectors u and v, some singular value lies within ``sqrt((|J v - s u|^2 + |J^T u - s v|^2) / 2)`` of s,
    where that is below s; else one lies in ``[0, |J v|]`` (v of the smaller side).

    Smallest values converge slowly, unless J is small or well conditioned: expect ``converged`` to be False, and wide
    bounds. Values count as zero up to ``max(m, n) eps sigma_1``, and up to ``sqrt(max(m, n) eps) sigma_1`` where
    vectors of the larger side are not kept. Where the subspace can hold the whole smaller side, no value is missed.

    Args:
        J: (m, n), a ``LinearMap``: an array, a sparse array, a linearization.
        count: how many values, at most min(m, n).
        which: "largest", or "smallest" for the smallest that are not zero.
        tolerance: relative to each value, of its error bound.
        max_products: when to stop; the last few are spent on the error bounds.
        block: how many vectors are multiplied at a time. More take more products, which may cost less each.
        memory: bytes for the subspace: about ``2 count + 40`` vectors of either side, more for smallest values. Where
            these do not fit only vectors of the smaller side are kept, ``min(m, n) (2 count + 40)`` numbers at least;
            values below ``sqrt(eps) sigma_1`` are then not resolved. The result holds ``count`` vectors of either side.
        seed: of the random start. Results depend on nothing else, up to rounding.
        progress: called with the number of products so far and ``max_products``.

    Returns:
        What was found, converged or not.

    Raises:
        InputError: J is no linear map, a product is not finite, or an argument is out of range.

    Source:
        Block Lanczos bidiagonalization (Golub, Luk & Overton, 1981) with thick restarts (Wu & Simon, 2000; Baglama &
        Reichel, 2005); bounds from the matrix [0 J; J^T 0] (Jordan; Wielandt; Parlett, The symmetric eigenvalue
        problem, 1980).
    """
    end = _checked_which(which)
    tolerance, memory = as_number(tolerance, "tolerance", above=0.0, below=1.0), as_number(memory, "memory", least=0.0)
    block, seed = as_count(block, "block"), as_count(seed, "seed", 0)
    max_products = as_count(max_products, "max_products")
    A = checked_map(J)
    count = as_count(count, "count", most=A.smaller)
    space = _space(A, count, end, min(block, A.smaller), max_products, memory, np.random.default_rng(seed))
    search = _Search(space, count, end, tolerance, max_products, progress)
    ended = search.run()
    return _bounded(search, ended)


def _space(
    A: CheckedMap, count: int, which: Which, block: int, max_products: int, memory: float, rng: np.random.Generator
) -> KrylovSpace:
    """An empty subspace, as large as it is useful and fits into memory."""
    capacity = max(2 * count, count + ROOM) + EXTRA + block
    two_sided = NUMBER * (A.smaller + A.larger) * capacity <= memory
    if which is Which.SMALLEST:
        fitting = memory / (NUMBER * (A.smaller + (A.larger if two_sided else 0)))
        capacity = max(capacity, int(min(fitting, max_products // 2)))
    return KrylovSpace(
        A,
        min(capacity, A.smaller),
        block,
        two_sided=two_sided,
        null_space=count if which is Which.LARGEST else 0,
        rng=rng,
    )


def _checked_which(which: str) -> Which:
    try:
        return Which(which)
    except ValueError as error:
        raise InputError("which", expected=" or ".join(repr(str(w)) for w in Which), got=shown(which)) from error


class _Search:
    """The search: grow, look, shrink, until all is found, and then once more from new random vectors."""

    def __init__(
        self,
        space: KrylovSpace,
        count: int,
        which: Which,
        tolerance: float,
        max_products: int,
        progress: Progress | None,
    ) -> None:
        self.space, self.count, self.which, self.tolerance = space, count, which, tolerance
        self.max_products, self.progress = max_products, progress
        self.ritz: Ritz | None = None

    def run(self) -> str:
        """Search; why it ended, empty where everything was found."""
        space = self.space
        space.refresh()
        ended = self._go()
        if space.size and (self.ritz is None or len(self.ritz.values) != space.size):
            self.ritz = space.ritz()
        return ended

    def _go(self) -> str:
        space, known, blocks, anew, look_at = self.space, None, 0, 0, 1
        while space.pending:
            if space.size and self._spent + 2 * space.pending > self.max_products:
                return f"max_products = {self.max_products} was reached"
            space.extend()
            blocks += 1
            if self.progress is not None:
                self.progress(self.space.A.products, self.max_products)
            if space.everything or (space.size < look_at and not space.full):
                continue
            self.ritz = space.ritz()
            look_at = space.size + space.size // LOOKS
            if self._settled():
                if known is None or self._changed(known):
                    known = self._values
                    anew = blocks + max(ANEW, int(ANEW_SHARE * blocks))
                    self._shrink(self.count)
                    space.refresh()
                    look_at = space.size + 1
                    continue
                if blocks >= anew:
                    return ""
            if space.full:
                self._shrink(self.count + EXTRA)
                look_at = space.size + 1
        return ""

    def _shrink(self, keep: int) -> None:
        assert self.ritz is not None
        self.ritz = self.space.shrink(self.ritz, self.chosen(keep))

    @property
    def _spent(self) -> int:
        """Products so far, and those that the error bounds will need."""
        return self.space.A.products + 2 * self.count

    def chosen(self, most: int) -> IntArray:
        """The places of the values that are wanted, best first."""
        assert self.ritz is not None
        values = self.ritz.values
        match self.which:
            case Which.LARGEST:
                places = np.arange(len(values))
            case Which.SMALLEST:
                places = np.flatnonzero(values > self.space.smallest_resolved)[::-1]
            case _:
                assert_never(self.which)
        return places[:most]

    @property
    def _values(self) -> FloatArray:
        assert self.ritz is not None
        return self.ritz.values[self.chosen(self.count)]

    def _settled(self) -> bool:
        """Whether all that is wanted is there, and so accurate that its bounds will do."""
        assert self.ritz is not None
        residual = self.ritz.residual[self.chosen(self.count)]
        return len(residual) == self.count and bool((residual <= SAFETY * self._allowed()).all())

    def _changed(self, known: FloatArray) -> bool:
        """Whether a value came in between those that were known."""
        return bool((np.abs(self._values - known) > self._allowed()).any())

    def _allowed(self) -> FloatArray:
        """What is within the tolerance, or within rounding."""
        return np.maximum(self.tolerance * self._values, AT_ROUNDING * _rounding(self.space.A, self.space.norm))


def _rounding(A: CheckedMap, norm: float) -> float:
    """What a product is taken to be off by."""
    return ROUNDING * float(np.sqrt(A.smaller + A.larger)) * EPS * norm


def _bounded(search: _Search, ended: str) -> ExtremeValues:
    """The values and vectors that were found, with bounds from fresh products."""
    A, ritz = search.space.A, search.ritz
    chosen = np.zeros(0, dtype=np.int64) if ritz is None else np.sort(search.chosen(search.count))
    if ritz is None or not len(chosen):
        nothing = np.zeros(0)
        left, right = np.zeros((A.shape[0], 0)), np.zeros((A.shape[1], 0))
        reason = ended or "every singular value found counts as zero"
        return ExtremeValues(nothing, nothing, left, right, np.zeros(0, np.bool_), 0.0, A.products, reason)
    U, values, V, up = search.space.vectors(ritz, chosen)
    down = A.down(U)
    mismatch = float(np.abs((U * up).sum(axis=0) - (V * down).sum(axis=0)).max())
    norm = max(search.space.norm, float(values[0]))
    rounding = _rounding(A, norm) + float(np.sqrt(sum(A.shape))) * mismatch
    bound = _residual_bound(up, down, U, values, V, rounding)
    converged = bound <= np.maximum(search.tolerance * values, AT_ROUNDING * rounding)
    left, right = (U, V) if A.tall else (V, U)
    check_range(values, A.exponent, "singular values")
    return ExtremeValues(
        times_power(values, A.exponent),
        bounds_times_power(bound, values, A.exponent),
        left,
        right,
        converged,
        number_times_power(rounding, A.exponent),
        A.products,
        _reason(search, ended, converged),
    )


def _residual_bound(
    up: Float64[FloatArray, "q k"],
    down: Float64[FloatArray, "p k"],
    U: Float64[FloatArray, "q k"],
    values: Float64[FloatArray, " k"],
    V: Float64[FloatArray, "p k"],
    rounding: float,
) -> Float64[FloatArray, " k"]:
    """How far from each value the next singular value may be.

    (u, v) is an approximate eigenvector of [0 A; A^T 0], whose eigenvalues are plus and minus the singular values, and
    zeros for q > p. Where 0 itself is within the bound nothing is known of a singular value from that; but the smallest
    of the p singular values is at most |A v|.
    """
    above = np.linalg.norm(up - values * U, axis=0)
    below = np.linalg.norm(down - values * V, axis=0)
    bound = np.hypot(above, below) / np.sqrt(2) + rounding
    stretched = np.linalg.norm(up, axis=0) + rounding
    return np.where(bound < values, bound, np.maximum(values, stretched - values))


def _reason(search: _Search, ended: str, converged: BoolArray) -> str:
    parts: list[str] = []
    found = len(converged)
    if found < search.count:
        short = f"{found} of {search.count} values were found"
        parts.append(short if ended else f"{short}: the others count as zero")
    if not converged.all():
        late = f"{int((~converged).sum())} of {found} values have bounds above the tolerance"
        rounded = "" if search.space.U is not None else " without vectors of the larger side"
        parts.append(late if ended else f"{late}, at the limits of float64{rounded}")
    if ended and search.space.size < search.space.A.smaller and not parts:
        parts.append("the search from new random vectors, which finds more of multiple values, was cut short")
    return "; ".join([*([ended] if ended and parts else []), *parts])


__all__ = ["ExtremeValues", "Which", "extreme_singular_values"]
