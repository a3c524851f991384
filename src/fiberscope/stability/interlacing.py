"""The effect of removing rows on singular values: Lemma 8, and Cauchy interlacing, which sharpens it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fiberscope.network.rows import checked_rows, dense
from fiberscope.showing.shown import Shown, told
from fiberscope.stability.index_sets import checked_index_set
from fiberscope.stability.powers_of_two import bounds_times_power, scaled
from fiberscope.stability.singular_values import matrix_spectrum
from fiberscope.stability.spectrum import Spectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor


@dataclass(frozen=True, repr=False)
class InterlacingBound(Shown):
    """Upper bounds of the singular values of ``D_I A``, beside the singular values themselves.

    Attributes:
        printed: ``sigma_{N-|I|}(A)``, the bound of the smallest nonzero one that Lemma 8 states; None where
            ``N - |I| < 1``, where it states none.
        sharpened: ``sigma_r(A)`` with ``r = rank(D_I A) >= N - |I|``, never above the printed one; None where D_I A is
            zero.
        largest: ``sigma_1(A)``, the bound of the largest one.
        smallest_nonzero: the smallest nonzero singular value of D_I A, measured; None where D_I A is zero.
        largest_measured: the largest one, measured.
        rank: ``r``, of D_I A.
        rank_before: ``N``, of A.
        removed: ``|I|``.
        tolerance: how far a value and its bound together may be off, by the errors that were measured of the two
            decompositions. Singular values of a matrix count as nonzero above the error of its own.
    """

    printed: float | None
    sharpened: float | None
    largest: float
    smallest_nonzero: float | None
    largest_measured: float
    rank: int
    rank_before: int
    removed: int
    tolerance: float

    @classmethod
    def of(cls, before: Spectrum, after: Spectrum, removed: int) -> InterlacingBound:
        """The bounds from the spectra of A and of D_I A, and ``|I|``."""
        return cls(
            before.at(before.rank - removed),
            before.at(after.rank),
            before.largest,
            after.at(after.rank),
            after.largest,
            after.rank,
            before.rank,
            removed,
            before.largest_error + after.largest_error,
        )

    def times_power(self, exponent: int) -> InterlacingBound:
        """The bounds for the matrices times ``2^k``."""
        names = ("printed", "sharpened", "largest", "smallest_nonzero", "largest_measured")
        numbers = {name: getattr(self, name) for name in names}
        known = np.array([number for number in numbers.values() if number is not None])
        # of a value and its bound, both may be rounded where they are subnormal
        tolerance = 2.0 * bounds_times_power(np.full(len(known), self.tolerance / 2.0), known, exponent)
        return replace(self, **scaled(numbers, exponent), tolerance=float(tolerance.max()))

    @property
    def holds(self) -> bool:
        """Whether no measured value is above one of its bounds by more than the tolerance."""
        pairs = [(self.smallest_nonzero, self.printed), (self.smallest_nonzero, self.sharpened)]
        return all(
            value is None or bound is None or value <= bound + self.tolerance
            for value, bound in [*pairs, (self.largest_measured, self.largest)]
        )

    def _line(self) -> str:
        bounds = f"printed {told(self.printed)}, sharpened {told(self.sharpened)}"
        return f"{self.removed} rows removed: smallest nonzero {told(self.smallest_nonzero)}, {bounds}"


def interlacing_bound(A: Tensor | ArrayLike, kept: ArrayLike) -> InterlacingBound:
    """Bound the singular values of ``D_I A``, which is A with the rows in I set to zero.

    With N nonzero singular values of A, ``sigma_min(D_I A) <= sigma_r(A) <= sigma_{N-|I|}(A)`` for the smallest nonzero
    one, ``r = rank(D_I A)``, and ``sigma_1(D_I A) <= sigma_1(A)``.

    Args:
        A: (m, n), an array or a sparse matrix of scipy; it is decomposed as an array.
        kept: the rows not in I: distinct indices, or a boolean mask (m,). With none, D_I A is zero, and only its
            largest singular value, 0, is bounded.

    Returns:
        The bounds and what they bound.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers, an index out of range or one that comes twice.

    Source:
        Lemma 8. Its printed proof takes vectors that are not orthogonal to the null space of D_I A for elements of it;
        Cauchy's interlacing, of the Gram matrix of all rows with that of some, proves it and the sharper bound.
    """
    rows = checked_rows(A, "A")
    m = rows.shape[0]
    mask = checked_index_set(kept, m, "kept")
    before, after = matrix_spectrum(dense(rows)), matrix_spectrum(dense(rows[mask]))
    return InterlacingBound.of(before, after, int(m - mask.sum()))


__all__ = ["InterlacingBound", "interlacing_bound"]
