"""The face of a cone in coordinates of the null space of its equalities, where these leave few.

Solutions of ``H d = 0`` may grow and fall by orders of magnitude, as those of convolutions do, so that no units suit
all of them: in the coordinates of d a program tells nothing apart. With a basis N of the null space ``d = N c`` leaves
the rows ``W N`` in the few coordinates c. float64 does not hold their differences, and N is refined with exact
residuals, to hundreds of bits; then units of rows and coordinates are looked for that suit the face (``rescaling``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.fixed_point import FixedPoint
from fiberscope.preimages.rescaling import Split, split

FEW_COORDINATES, MAX_COORDINATES = 32, 256
"""Of the null space, up to which an answer takes less than a second, and up to which it takes some seconds."""
INDEPENDENT, DEPENDENT = 1e-10, 1e-12
"""Eigenvalues of a Gram matrix, relative to the largest, above which and below which they are told apart."""
BITS, GUARD = (160, 320), 40
"""Of a refined basis, as many as are enough: its entries may fall by 80 orders of magnitude; and what rounding leaves
of the last ones."""
MAX_REFINEMENTS, DIGITS = 30, 50
"""Each gains some ten digits, and these bits hold all of them."""


@dataclass(frozen=True, eq=False)
class NullSpace:
    """The null space of the equalities, in units of coordinates.

    Attributes:
        rows: (p, n) the equalities in these units, of one size.
        by_row: (p,) their exponents: ``2**-by_row_i H_i 2**e``.
        basis: (n, k) orthonormal.
        values: (r,) the eigenvalues of the rows' Gram matrix that are not zero.
        vectors: (n, r) its eigenvectors.
    """

    rows: FloatArray
    by_row: IntArray
    basis: FloatArray
    values: FloatArray
    vectors: FloatArray

    @classmethod
    def of(cls, H: Float64[FloatArray, "p n"], exponents: IntArray) -> NullSpace | None:
        """In the units ``2**exponents``; None where its dimension is not clear."""
        by_row = np.frexp(np.abs(np.ldexp(H, exponents)).max(axis=1))[1].astype(np.int64)
        rows = np.ldexp(H, exponents - by_row[:, None])
        values, vectors = cast(Any, scipy.linalg).eigh(rows.T @ rows)
        share = values / max(values[-1], np.finfo(np.float64).tiny)
        k = int((share < INDEPENDENT).sum())
        if (share[:k] > DEPENDENT).any():
            return None
        found = cls(rows, by_row, vectors[:, :k], values[k:], vectors[:, k:])
        basis = found.basis - found.solved(rows @ found.basis)
        return replace(found, basis=np.linalg.qr(basis)[0])

    def solved(self, residual: FloatArray) -> FloatArray:
        """The least solution of ``rows d = residual``."""
        return self.vectors @ ((self.vectors.T @ (self.rows.T @ residual)) / self.values[:, None])

    def weights(self, total: FloatArray) -> FloatArray:
        """Weights mu of the rows with ``rows^T mu = total``, refined."""
        mu = np.zeros(len(self.rows))
        for _ in range(3):
            left = total - self.rows.T @ mu
            mu = mu + self.rows @ (self.vectors @ ((self.vectors.T @ left) / self.values))
        return mu

    def refined(self, bits: int, budget: Budget) -> FixedPoint | None:
        """The basis to some bits: what the equalities leave of it, exactly, is taken away.

        None where that cannot be, because rows that seemed to depend on others do not.
        """
        rows, basis = FixedPoint.of(self.rows), FixedPoint.of(self.basis)
        residual = rows.times(basis)
        for _ in range(MAX_REFINEMENTS):
            budget.check("the null space of the equalities was refined")
            exponent = residual.exponent
            if exponent < GUARD - bits:
                return basis.at(bits)
            correction = np.asarray(self.solved(residual.floats(-exponent)))
            size = int(np.frexp(np.abs(correction).max())[1])
            digits = FixedPoint.rounded(np.ldexp(correction, -size), DIGITS).times_power(exponent + size)
            basis, residual = basis.minus(digits), residual.minus(rows.times(digits))
        return None


@dataclass(frozen=True, eq=False)
class Partition:
    """What vanishes on ``{d : H d = 0, W d <= 0}``, and what is strict.

    Attributes:
        implicit: (l,) the rows of W that vanish.
        weights: (l,) of them, positive there, zero elsewhere.
        free: (p,) weights of the rows of H, with which they cancel.
        direction: (n,) zero on H and the implicit rows, strict on the others; None where the cone is {0}.
        null: the dimension of the null space of H.
        rank: the rank of the implicit rows on it.
        exponents: (n,) of units of the coordinates that suit these vectors.
    """

    implicit: BoolArray
    weights: FloatArray
    free: FloatArray
    direction: FloatArray | None
    null: int
    rank: int
    exponents: IntArray


def partition(
    H: Float64[FloatArray, "p n"], W: Float64[FloatArray, "l n"], budget: Budget, most: int = MAX_COORDINATES
) -> Partition | None:
    """Find the face of a cone of rows that are not zero; None where the null space is too large, or nothing is found.

    Raises:
        TooLargeError: the budget is spent.
    """
    if len(H) + most < H.shape[1] or not len(H):
        return None
    budget.check("the null space of the equalities was looked for")
    as_given = np.zeros(H.shape[1], dtype=np.int64)
    space = NullSpace.of(H, as_given) if len(W) else None
    if space is None or not 0 < space.basis.shape[1] <= most:
        return None
    by_row = np.frexp(np.abs(W).max(axis=1))[1].astype(np.int64)
    rows = np.ldexp(W, -by_row[:, None])
    for bits in BITS:
        basis = space.refined(bits, budget)
        if basis is None:
            return None
        slopes = FixedPoint.of(rows).times(basis).at(bits)
        live = slopes.row_exponents() > 2 * GUARD - bits
        clear = live.all() or bits == BITS[-1]  # what fewer bits take for zero may be small
        found = split(slopes.chosen(live), budget) if clear and live.any() else None
        if found is not None:
            return _written(H, basis, rows, by_row, live, found)
    return None


def _written(
    H: FloatArray, basis: FixedPoint, rows: FloatArray, by_row: IntArray, live: BoolArray, found: Split
) -> Partition | None:
    """The face in the coordinates of the question; None where no weights of the equalities are found."""
    implicit, weights = ~live, np.where(live, 0.0, 1.0)  # what vanishes on the whole space does so with any weights
    implicit[live], weights[live] = found.implicit, np.ldexp(found.weights, found.exponents)
    units: IntArray = basis.row_exponents()
    units[units < 2 * GUARD + basis.scale] = 0
    space, free = NullSpace.of(H, units) if implicit.any() else None, np.zeros(len(H))
    if space is not None:
        free = np.ldexp(space.weights(-np.ldexp(rows.T @ weights, units)), -space.by_row)
    elif implicit.any():
        return None
    d, k = None, basis.whole.ncols()
    if found.change is not None:
        parts = basis.times(found.change)
        d, exponents = parts.times(FixedPoint.of(found.vector[:, None])).vector()
        alone = (rows != 0).sum(axis=1) == 1
        d[(rows[alone & implicit] != 0).any(axis=0)] = 0.0  # a coordinate that vanishes does so exactly
        strict = (rows[alone & ~implicit] != 0).any(axis=0)
        d[~strict & parts.cancels(found.vector, exponents)] = 0.0
        exponents -= int(exponents.max(initial=-(2**20), where=d != 0))
        units, d = np.where(d != 0, exponents, units), np.ldexp(d, np.where(d != 0, exponents, 0))
    return Partition(implicit, np.ldexp(weights, -by_row), free, d, k, found.rank, units)


__all__ = ["Partition", "partition"]
