"""The effect of removing weakly correlated rows on the smallest singular value: Lemma 9, and what is true without it.

A row a_k that is removed stretches little under the rows that stay, if it is weakly correlated with each of them:
``|D_I A a_k| <= c |a_k|`` with the c of Lemma 9. Where a_k has a part p in the row space of ``D_I A``, that part
stretches by ``|D_I A a_k| / |p|``, and no nonzero singular value is smaller than every such quotient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray, as_float64
from fiberscope.network.rows import checked_rows, dense
from fiberscope.showing.shown import Shown, told
from fiberscope.stability.factorizations import decomposition
from fiberscope.stability.index_sets import checked_index_set
from fiberscope.stability.interlacing import InterlacingBound
from fiberscope.stability.powers_of_two import exponent_of, scaled, times_power
from fiberscope.stability.singular_values import matrix_spectrum
from fiberscope.stability.spectrum import Spectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

PRODUCTS = 2_000_000
"""Inner products of removed with kept rows that are held in memory at a time: 16 MB."""

SUBSPACE = 4.0
"""How often the row space's own error bound a row may leave it by and still count as inside: rounding adds to it."""


@dataclass(frozen=True, repr=False)
class CorrelationBound(Shown):
    """Upper bounds of the smallest nonzero singular value of ``D_I A`` from one removed row k.

    Attributes:
        row: k.
        printed: the smallest c with ``|<a_j, a_k>| <= c |a_k| / sqrt(M)`` for all M kept rows j; a bound where
            ``applies``.
        applies: whether a_k is orthogonal to the null space of D_I A, as Lemma 9 asks: ``outside <= tolerance``.
        direct: ``|D_I A a_k| / |a_k|``; a bound where ``applies``, never above the printed one.
        projected: ``|D_I A p| / |p|`` with p the projection of a_k onto the row space of D_I A: a bound always. None
            where p is zero up to the tolerance.
        smallest_nonzero: the smallest nonzero singular value of D_I A, measured; None where D_I A is zero.
        outside: ``|a_k - p| / |a_k|``, in [0, 1].
        tolerance: of ``outside`` and ``|p| / |a_k|``: 4 times the measured error of the decomposition, divided by
            ``sigma_r``: by so much rounding may tilt the row space of rank r (Wedin); 0 where it is all of R^n.
        rank: r.
    """

    row: int
    printed: float
    applies: bool
    direct: float
    projected: float | None
    smallest_nonzero: float | None
    outside: float
    tolerance: float
    rank: int

    def times_power(self, exponent: int) -> CorrelationBound:
        """The bounds for the matrix times ``2^k``."""
        names = ("printed", "direct", "projected", "smallest_nonzero")
        return replace(self, **scaled({name: getattr(self, name) for name in names}, exponent))

    def _line(self) -> str:
        applies = "" if self.applies else ", which do not apply"
        value = told(self.smallest_nonzero)
        return (
            f"row {self.row}: smallest nonzero {value}, printed {self.printed:.4g}, direct {self.direct:.4g}{applies}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class CorrelationCounts(Shown):
    """The experiment of appendix A5: how many kept rows satisfy condition (3), for the best removed row.

    Attributes:
        constants: (C,) the values of c.
        counts: (C,) the largest number of kept rows j with ``|<a_j, a_k>| <= c |a_k| / sqrt(M)``, over k in I.
        rows: (C,) the first k that attains it.
        kept: M, the number of kept rows.
        zero_rows: the number of removed rows that are zero; they satisfy every condition and bound nothing, so that
            they are left out.
        best: the bounds from the row whose printed bound is smallest: the curve reaches M at ``best.printed``.
        best_direct: the bounds from the row whose direct bound is smallest.
        interlacing: the bounds of Lemma 8, beside the measured smallest and largest singular value.
    """

    constants: FloatArray
    counts: IntArray
    rows: IntArray
    kept: int
    zero_rows: int
    best: CorrelationBound
    best_direct: CorrelationBound
    interlacing: InterlacingBound

    def _line(self) -> str:
        best = f"best row {self.best.row}, printed bound {self.best.printed:.4g}"
        return f"{len(self.constants)} constants, {self.kept} kept rows; {best}"


def correlation_bound(A: Tensor | ArrayLike, kept: ArrayLike, row: int | ArrayLike) -> CorrelationBound:
    """Bound the smallest nonzero singular value of ``D_I A`` by the removed row a_k.

    ``sigma_min(D_I A) <= |D_I A a_k| / |a_k| <= c`` if a_k is orthogonal to null(D_I A) and
    ``|<a_j, a_k>| <= c |a_k| / sqrt(M)`` for all j not in I; ``sigma_min(D_I A) <= |D_I A a_k| / |P a_k|`` always, with
    P the projection onto the row space of D_I A.

    Args:
        A: (m, n), an array or a sparse matrix of scipy; it is decomposed as an array.
        kept: the M >= 1 rows not in I: distinct indices, or a boolean mask (m,).
        row: k, in I, with a_k not zero.

    Returns:
        The bounds, whether the printed one applies, and the singular value that they bound.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers, no kept row, a row that is kept or zero or not there.

    Source:
        Lemma 9; the text of the paper loses the root of M and the orthogonality.
    """
    rows, mask, exponent = _checked(A, kept)
    k = _checked_row(row, rows, mask)
    return _RowSpace.of(rows[mask]).bound(k, rows[k]).times_power(exponent)


def correlation_counts(A: Tensor | ArrayLike, kept: ArrayLike, constants: ArrayLike) -> CorrelationCounts:
    """Count the kept rows that are weakly correlated with one removed row, for the best one [appendix A5, figure 8].

    For each c: ``max over k in I of #{j not in I : |<a_j, a_k>| <= c |a_k| / sqrt(M)}``.

    Args:
        A: (m, n), an array or a sparse matrix of scipy; it is decomposed as an array.
        kept: the M >= 1 rows not in I: distinct indices, or a boolean mask (m,).
        constants: (C,) values of c, none negative.

    Returns:
        The counts, and all bounds of the smallest singular value, measured beside them.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers, no kept row, no removed row that is not zero.

    Source:
        Appendix A5, steps 1 to 5.
    """
    rows, mask, exponent = _checked(A, kept)
    values = as_float64(constants, "constants", shape=(None,))
    if (values < 0).any():
        raise InputError("constants", expected="no negative number", got=f"{values.min():g}")
    numbers = np.flatnonzero(~mask & rows.any(axis=1))
    if not len(numbers):
        raise InputError("kept", expected="a removed row that is not zero", got="none")
    remaining = rows[mask]
    counts, attained, printed, direct = _counted(rows, numbers, remaining, times_power(values, -exponent))
    space = _RowSpace.of(remaining)
    best, best_direct = (int(numbers[np.argmin(bounds)]) for bounds in (printed, direct))
    # the number that was compared with c: a product of matrices may round otherwise than one with a vector
    at_best = replace(space.bound(best, rows[best]), printed=float(printed.min()))
    return CorrelationCounts(
        values,
        counts,
        attained,
        len(remaining),
        int((~mask).sum()) - len(numbers),
        at_best.times_power(exponent),
        space.bound(best_direct, rows[best_direct]).times_power(exponent),
        InterlacingBound.of(matrix_spectrum(rows), space.spectrum, int((~mask).sum())).times_power(exponent),
    )


def _checked(A: Any, kept: Any) -> tuple[FloatArray, BoolArray, int]:
    """The rows, divided by a power of two so that their products keep within range; the kept ones; its exponent."""
    rows = dense(checked_rows(A, "A"))
    mask = checked_index_set(kept, len(rows), "kept")
    if not mask.any():
        raise InputError("kept", expected="at least one row", got="none", hint="keep a row")
    exponent = exponent_of(rows)
    return times_power(rows, -exponent), mask, exponent


def _checked_row(row: Any, rows: Float64[FloatArray, "m n"], kept: BoolArray) -> int:
    given = np.asarray(row if np.isscalar(row) else None)
    if given.dtype.kind not in "iu" or not 0 <= given < len(rows):
        raise InputError("row", expected=f"an index in 0 ... {len(rows) - 1}", got=shown(row))
    k = int(given)
    if kept[k]:
        raise InputError("row", expected="a removed row", got=f"row {k}, which is kept")
    if not rows[k].any():
        raise InputError("row", expected="a row that is not zero", got=f"row {k}, which is")
    return k


def _unit(rows: Float64[FloatArray, "k n"]) -> Float64[FloatArray, "k n"]:
    """Nonzero rows scaled to unit length; each by a power of two first, so that no square underflows."""
    rows = np.ldexp(rows, -np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _counted(
    rows: Float64[FloatArray, "m n"],
    numbers: IntArray,
    remaining: Float64[FloatArray, "M n"],
    constants: Float64[FloatArray, " c"],
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """For each constant the largest count and its row; for each removed row its printed and its direct bound."""
    counts = np.full(len(constants), -1, dtype=np.int64)
    attained = np.full(len(constants), -1, dtype=np.int64)
    printed: list[FloatArray] = []
    direct: list[FloatArray] = []
    for block, correlation in _correlations(rows, numbers, remaining):
        direct.append(np.linalg.norm(correlation, axis=1))
        needed = correlation * np.sqrt(len(remaining))  # the smallest c of every pair
        printed.append(needed.max(axis=1))
        for i, c in enumerate(constants):
            found = np.count_nonzero(needed <= c, axis=1)
            k = int(np.argmax(found))
            if found[k] > counts[i]:
                counts[i], attained[i] = found[k], block[k]
    return counts, attained, np.concatenate(printed), np.concatenate(direct)


def _correlations(
    rows: Float64[FloatArray, "m n"], numbers: IntArray, remaining: Float64[FloatArray, "M n"]
) -> Iterator[tuple[IntArray, Float64[FloatArray, "k M"]]]:
    """``|<a_j, a_k>| / |a_k|`` for all kept rows j and blocks of removed rows k."""
    size = max(1, PRODUCTS // len(remaining))
    for start in range(0, len(numbers), size):
        block = numbers[start : start + size]
        yield block, np.abs(_unit(rows[block]) @ remaining.T)


@dataclass(frozen=True, eq=False)
class _RowSpace:
    """The kept rows, decomposed; the basis is orthonormal, None where they span all of R^n."""

    remaining: FloatArray
    spectrum: Spectrum
    basis: Float64[FloatArray, "r n"] | None

    @classmethod
    def of(cls, remaining: Float64[FloatArray, "M n"]) -> _RowSpace:
        k, n = remaining.shape
        if not remaining.any():
            return cls(remaining, matrix_spectrum(remaining), np.zeros((0, n)))
        exponent = exponent_of(remaining)
        tall = times_power(remaining if k >= n else remaining.T, -exponent)
        found = decomposition(tall, np.random.default_rng(0))
        spectrum = found.spectrum.times_power(exponent)
        rows = found.right if k >= n else found.left.T
        return cls(remaining, spectrum, None if spectrum.rank == n else rows[: spectrum.rank])

    @property
    def tolerance(self) -> float:
        smallest = self.spectrum.at(self.spectrum.rank)
        return 0.0 if self.basis is None or smallest is None else SUBSPACE * self.spectrum.largest_error / smallest

    def bound(self, k: int, row: Float64[FloatArray, " n"]) -> CorrelationBound:
        unit = _unit(row[None])[0]
        correlation = np.abs(self.remaining @ unit)
        inside = unit if self.basis is None else self.basis.T @ (self.basis @ unit)
        outside = float(np.linalg.norm(unit - inside))
        return CorrelationBound(
            k,
            float(correlation.max() * np.sqrt(len(self.remaining))),
            outside <= self.tolerance,
            float(np.linalg.norm(correlation)),
            self._stretch(inside),
            self.spectrum.at(self.spectrum.rank),
            min(outside, 1.0),
            self.tolerance,
            self.spectrum.rank,
        )

    def _stretch(self, inside: Float64[FloatArray, " n"]) -> float | None:
        size = float(np.linalg.norm(inside))
        if size <= self.tolerance:
            return None
        # of a short projection too, all rounding lies in the row space: it is a combination of the basis
        return float(np.linalg.norm(self.remaining @ (inside / size)))


__all__ = ["CorrelationBound", "CorrelationCounts", "correlation_bound", "correlation_counts"]
