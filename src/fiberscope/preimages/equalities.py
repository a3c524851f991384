"""Rows that hold a cone, in units of coordinates, and their null space: what they leave of vectors is taken away.

A vector ``d = diag(u) v`` is corrected by the least v with ``H diag(u) v`` equal to what the rows leave of it. In units
u of the sizes of its entries, all of them are corrected to about as many digits, however far they are apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from flint import nmod_mat
from jaxtyping import Bool, Float64
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.modular import PRIME, modular_rank, residues

INDEPENDENT = 1e-10
"""Eigenvalues of a Gram matrix, relative to the largest, that are none of zeros: what rounding leaves of these is below
a unit of the last place for each coordinate. Between both a prime tells."""
CORRECTIONS = 2
"""Each leaves a share of the residual, by the condition of the rows in their units."""
NEARLY = 1e-6
"""Rows of less than this share of their size on the null space are asked modulo a prime whether they vanish there."""


@dataclass(frozen=True, eq=False)
class Equalities:
    """Rows H, (p, n), of some rank r.

    Attributes:
        given: (p, n) the rows, of size one.
        of_given: (p,) what they were divided by, powers of two.
        rank: theirs.
        units: (n,) of coordinates, powers of two.
        rows: (r, n) independent ones in these units, of size one: ``given[chosen] units / lengths``.
        chosen: (r,) which they are.
        lengths: (r,) powers of two.
        Q: (n, r) orthonormal, and R, (r, r): ``rows^T = Q R``.
    """

    given: FloatArray
    of_given: FloatArray
    rank: int
    units: FloatArray
    rows: FloatArray
    chosen: IntArray
    lengths: FloatArray
    Q: FloatArray
    R: FloatArray

    @classmethod
    def of(cls, H: Float64[FloatArray, "p n"], units: Float64[FloatArray, " n"]) -> Equalities:
        """In units of the coordinates; none of the rows is zero. LinAlgError where float64 does not hold them."""
        of_row = powers_of_two(np.abs(H).max(axis=1, initial=0.0))
        return _factored(H / of_row[:, None], of_row, rank_of(H), units)

    @property
    def is_clear(self) -> bool:
        """Whether float64 sees that the chosen rows are independent in these units."""
        return bool((np.abs(np.diag(self.R)) > len(self.units) * np.finfo(np.float64).eps).all())

    def in_units(self, units: Float64[FloatArray, " n"]) -> Equalities:
        """The same rows in other units."""
        return _factored(self.given, self.of_given, self.rank, units)

    def null_space(self) -> Float64[FloatArray, "n k"]:
        """A basis, orthonormal in these units."""
        every = np.linalg.qr(self.rows.T, mode="complete")[0] if self.rank else np.eye(len(self.units))
        return self.without(self.units[:, None] * every[:, self.rank :])

    def without(self, D: Float64[FloatArray, "n k"]) -> Float64[FloatArray, "n k"]:
        """Vectors less what the rows leave of them."""
        scaled = D / self.units[:, None]
        for _ in range(CORRECTIONS):
            scaled = scaled - self.Q @ solved_transposed(self.R, self.rows @ scaled)
        return scaled * self.units[:, None]

    def weights(self, total: Float64[FloatArray, " n"]) -> Float64[FloatArray, " p"]:
        """Weights mu of the rows, those of ``given``, with ``mu H = total``."""
        scaled = total * self.units
        mu = np.zeros(self.rank)
        for _ in range(1 + CORRECTIONS if self.rank else 0):
            left = scaled - mu @ self.rows
            mu = mu + np.asarray(cast(Any, scipy.linalg).solve_triangular(self.R, left @ self.Q, check_finite=False))
        out = np.zeros(len(self.given))
        out[self.chosen] = mu / self.lengths
        return out

    def vanishing(self, W: Float64[FloatArray, "l n"], basis: Float64[FloatArray, "n k"]) -> Bool[BoolArray, " l"]:
        """Which rows are zero on the null space, exactly: modulo a prime, of those that are nearly so on its basis."""
        nearly = np.flatnonzero(np.linalg.norm(W @ basis, axis=1) <= NEARLY * np.linalg.norm(W * self.units, axis=1))
        out = np.zeros(len(W), dtype=np.bool_)
        if len(nearly):
            p, n = self.given.shape
            exact = nmod_mat(p, n, residues(self.given).ravel().tolist(), PRIME).nullspace()[0]
            left = nmod_mat(len(nearly), n, residues(W[nearly]).ravel().tolist(), PRIME) * exact
            out[nearly] = [not any(int(value) for value in row) for row in left.tolist()]
        return out


def _factored(given: FloatArray, of_given: FloatArray, rank: int, units: FloatArray) -> Equalities:
    rows = given * units
    lengths = powers_of_two(np.linalg.norm(rows, axis=1))
    rows = rows / lengths[:, None]
    if not np.isfinite(rows).all():
        raise LinAlgError("float64 does not hold numbers so far apart")
    chosen = np.arange(len(rows))
    if rank < len(rows):
        chosen = cast(IntArray, cast(Any, scipy.linalg).qr(rows.T, mode="r", pivoting=True)[1][:rank])
    Q, R = np.linalg.qr(rows[chosen].T)
    return Equalities(given, of_given, rank, units, rows[chosen], chosen, lengths[chosen], Q, R)


def rank_of(H: Float64[FloatArray, "p n"]) -> int:
    """The rank, as float64 sees it where that is clear; else modulo a prime."""
    rows = H / powers_of_two(np.linalg.norm(H, axis=1))[:, None]
    if not rows.size:
        return 0
    share = np.linalg.eigvalsh(rows @ rows.T if len(H) < H.shape[1] else rows.T @ rows)
    share = share / share[-1]
    rank = int((share > INDEPENDENT).sum())
    rounding = max(H.shape) * np.finfo(np.float64).eps
    return modular_rank(H) if (share[: len(share) - rank] > rounding).any() else rank


def solved_transposed(R: NDArray[np.floating[Any]], sides: Float64[FloatArray, "r k"]) -> Float64[FloatArray, "r k"]:
    """``R^-T sides`` of an upper triangle, (r, r)."""
    if not sides.size:
        return sides
    return np.asarray(cast(Any, scipy.linalg).solve_triangular(R, sides, trans="T", check_finite=False))


def sizes(D: Float64[FloatArray, "n k"]) -> Float64[FloatArray, " n"]:
    """Of the rows of a matrix, powers of two; 1 of those of zeros."""
    return powers_of_two(np.linalg.norm(D, axis=1))


def powers_of_two(lengths: Float64[FloatArray, " q"]) -> Float64[FloatArray, " q"]:
    """The next ones; 1 for 0."""
    return np.where(lengths > 0, np.ldexp(1.0, np.frexp(lengths)[1]), 1.0)


__all__ = ["Equalities", "powers_of_two", "sizes", "solved_transposed"]
