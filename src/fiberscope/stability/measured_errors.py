"""Measuring how far the factors of a matrix are from it, and proving what rounding does to the measurement.

The norm of a matrix E follows from its products with Gaussian vectors w: ``|E| <= c max_i |E w_i|`` with
``c = 12 sqrt(2 / pi)``, except with probability 12^-10 (Halko, Martinsson & Tropp, SIAM Review 2011, lemma 4.1). Up to
six norms are measured for one spectrum, so that all hold except with probability 10^-10.

The products are computed in numpy's longest type of numbers. A sum of k products in a unit of rounding u is off by at
most ``gamma_k = k u / (1 - k u)`` times the sum of their sizes (Higham, Accuracy and stability of numerical algorithms,
2002, section 3.1), and so ``|fl(A x) - A x| <= gamma_k |A|_F |x|``. These errors are carried along and added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.network.arrays import FloatArray

PROBES = 10
"""Random vectors that an error is measured with."""

CONFIDENCE = 12.0
"""A measured norm is wrong with probability CONFIDENCE^-PROBES: six of them together with less than 10^-10."""

BLOCK = 64
"""Products that are summed at a time: a sum of n goes through ``BLOCK + n / BLOCK`` additions at most, not n."""

UNIT = float(np.finfo(np.longdouble).eps) / 2.0
"""The unit of rounding of numpy's longest type: 2^-64 on processors with 80-bit numbers, 2^-53 at worst."""

UPWARDS = 1.0 + 2.0**-10
"""Numbers that are not negative, added and multiplied in float64 in up to 2^40 steps, are right to 2^-12."""

VANISHED = 2.0**-500
"""For matrices scaled to about 1: what rounds to zero takes at most 2^-1074 from a sum of squares or products, with
fewer than 2^64 of them at most 2^-505 from its root."""

_FACTOR = CONFIDENCE * float(np.sqrt(2.0 / np.pi))


@dataclass(frozen=True, eq=False)
class Columns:
    """Vectors in numpy's longest type, and how far each may be from what it stands for.

    Attributes:
        values: (k, r) the vectors, as columns.
        error: (r,) bounds on the Euclidean lengths of their errors.
    """

    values: Any
    error: FloatArray

    def lengths(self) -> FloatArray:
        """The lengths of the vectors as they are stored."""
        return lengths(self.values)

    def minus(self, others: Columns) -> Columns:
        """The difference of two sets of vectors."""
        left = self.values - others.values
        return Columns(left, self.error + others.error + UNIT * lengths(left))


def random_columns(size: int, generator: np.random.Generator) -> Columns:
    """Gaussian vectors, exact as they are."""
    return Columns(generator.standard_normal((size, PROBES)).astype(np.longdouble), np.zeros(PROBES))


def image(A: FloatArray, X: Columns, norm: float | None = None) -> Columns:
    """``A X``.

    Args:
        A: the matrix.
        X: (n, r) vectors.
        norm: at least the norm of A; None for the root of the sum of its squares.
    """
    size, x = frobenius(A), X.values
    total: Any = A[:, :BLOCK].astype(np.longdouble) @ x[:BLOCK]
    for start in range(BLOCK, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        total += A[:, part].astype(np.longdouble) @ x[part]
    return Columns(total, (size if norm is None else norm) * X.error + gamma(len(x)) * size * X.lengths())


def stretched(factors: FloatArray, X: Columns) -> Columns:
    """Row i of X times factor i."""
    values = factors.astype(np.longdouble)[:, None] * X.values
    return Columns(values, float(np.abs(factors).max(initial=0.0)) * X.error + UNIT * lengths(values))


def norm_bound(E: Columns) -> float:
    """A bound on the norm of E from ``E w`` for Gaussian vectors w."""
    return float((_FACTOR * (E.lengths() + E.error).max(initial=0.0) + VANISHED) * UPWARDS)


def defect(Q: FloatArray, probes: Columns) -> tuple[float, Columns]:
    """A bound d on ``|Q^T Q - I|``, so that every singular value of Q lies in [sqrt(1 - d), sqrt(1 + d)]; and Q probes.

    With e the error of ``Q w``, ``d <= c (|Q^T fl(Q w) - w| + |Q| e)``, and ``|Q| <= sqrt(1 + d) <= 1 + d / 2``, which
    is solved for d.
    """
    through = image(Q, probes, norm=0.0)  # probes are exact
    left = image(Q.T, Columns(through.values, np.zeros(PROBES))).minus(probes)
    carried = _FACTOR * float(through.error.max()) * UPWARDS
    return (norm_bound(left) + carried) / (1.0 - carried / 2.0) * UPWARDS if carried < 1.0 else np.inf, through


def gamma(terms: int) -> float:
    """How far a sum of products may be off, in blocks, relative to the sum of their sizes: ``k u / (1 - k u)``."""
    steps = BLOCK + -(-terms // BLOCK) + 1
    return steps * UNIT / (1.0 - steps * UNIT)


def frobenius(A: FloatArray) -> float:
    """The root of the sum of all squares, rounded upwards."""
    return float(np.linalg.norm(A)) * UPWARDS + VANISHED


def lengths(values: Any) -> FloatArray:
    """The lengths of columns, as float64."""
    return np.sqrt(np.einsum("ij,ij->j", values, values)).astype(np.float64)


__all__ = [
    "PROBES",
    "UNIT",
    "UPWARDS",
    "VANISHED",
    "Columns",
    "defect",
    "frobenius",
    "gamma",
    "image",
    "lengths",
    "norm_bound",
    "random_columns",
    "stretched",
]
