"""The face of a narrow cone ``{c : U c <= 0}`` in few coordinates, by changing the units of its rows.

In units z of the rows, the vector of all ones is projected onto what the space reaches of it: ``p = F F^+ 1`` with
``F = -diag(1 / z) U``. Where p is large, rows are strict; where it is small, ``1 - p`` weighs rows whose combination
vanishes. If the rows of the second sort alone have such weights, and what they leave of the space is strict on the
first, that is the face. Otherwise units shrink or grow by p, by no more than a factor in one step: those of strict rows
until they fit a vector of the space, those of the others for ever. A cone as narrow as 1e-25 takes about 50 steps
(R. Hoberg & T. Rothvoss, An improved deterministic rescaling for linear programming algorithms, 2017, say why units
have to change).

The coordinates change with the units, so that F keeps orthonormal columns, and float64 suffices for p. Every few steps
F is computed anew from U in integers: its rows are differences that no float64 in the first coordinates holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.fixed_point import FixedPoint

MAX_STEPS = 120
SHRINK = 0.2
"""The factor by which units change in one step, at most."""
ROOM = 0.1
"""What a direction must leave of each row's unit, and weights of one."""
CLEAR, VANISHING = 1e-5, 1e-10
"""Singular values of rows in units that fit them above which, and below which, they are told apart."""
NEEDED = 60
"""Bits that the smallest rows must have left, for a vector that float64 rounds and nothing else."""
WORN = 1e8
"""Condition of a change of coordinates beyond which F is computed anew."""


@dataclass(frozen=True, eq=False)
class Split:
    """The face of a cone.

    Attributes:
        implicit: (l,) the rows that vanish on it.
        weights: (l,) positive on these, zero elsewhere: ``U^T weights = 0``; and their exponents, apart.
        exponents: (l,) the weights are ``2**exponents weights``.
        change: (k, k) coordinates T in which there is a vector strict on the other rows; None where the cone is {0}.
        vector: (k,) that vector c: ``T c`` is strict.
        rank: of the implicit rows.
    """

    implicit: BoolArray
    weights: FloatArray
    exponents: IntArray
    change: FixedPoint | None
    vector: FloatArray
    rank: int


def split(rows: FixedPoint, budget: Budget) -> Split | None:
    """Find the face of the cone of rows U, none of them zero; None where too many steps did not, or U leaves a line.

    Raises:
        TooLargeError: the budget is spent.
    """
    try:
        return _followed(_Path(rows), budget)
    except LinAlgError:  # units cannot hold coordinates that no row reads
        return None


def _followed(path: _Path, budget: Budget) -> Split | None:
    for _ in range(MAX_STEPS):
        budget.check("the face of a narrow cone was looked for")
        found = path.found()
        if found is not None and not path.is_fresh:
            path.refresh()
            found = path.found()
        if found is not None:
            return found
        path.step()
    return None


class _Path:
    """Units, and coordinates, on their way.

    Attributes:
        scaled: F, (l, k) ``-diag(1 / z) U T``, of orthonormal columns, up to what float64 has lost of it.
        z: (l,) the units, over ``2**exponents``.
        exact: ``U T``, as it was when F was computed last.
        total: T, as it was then.
        change: what has changed T since.
    """

    def __init__(self, rows: FixedPoint) -> None:
        count, k = rows.whole.nrows(), rows.whole.ncols()
        self.exact, self.bits = rows, -rows.scale
        self.total, self.change = FixedPoint.of(np.eye(k)).at(self.bits), np.eye(k)
        self.z, self.exponents = np.ones(count), rows.row_exponents()
        self.scaled = np.zeros((count, k))
        self.refresh()
        self.z = np.linalg.norm(self.scaled, axis=1)
        self.scaled /= self.z[:, None]
        self._orthonormalise()

    @property
    def is_fresh(self) -> bool:
        """Whether the coordinates are those in which F was computed, but for one change."""
        return float(np.linalg.cond(self.change)) < 1.0 / SHRINK

    def refresh(self) -> None:
        """Compute F from the integers."""
        change = FixedPoint.of(self.change)
        self.total = self.total.times(change).at(self.bits)
        self.exact = self.exact.times(change).at(self.bits)
        self.change = np.eye(len(self.change))
        lost = self.total.exponent - self.bits
        if lost > (self.exponents + np.frexp(self.z)[1]).min() - NEEDED:
            raise LinAlgError("the smallest rows have too few bits left")
        self.scaled = -self.exact.floats((-self.exponents).tolist()) / self.z[:, None]
        self._orthonormalise()

    def _orthonormalise(self) -> None:
        Q, R = np.linalg.qr(self.scaled)
        self.scaled, self.change = Q, np.asarray(np.linalg.solve(R.T, self.change.T).T, dtype=np.float64)

    def step(self) -> None:
        """Change the units by what they reach."""
        factor = np.clip(self.scaled @ self.scaled.sum(axis=0), SHRINK, 1.0 / SHRINK)
        self.z, shift = np.frexp(self.z * factor)
        self.exponents = self.exponents + shift
        self.exponents -= self.exponents.max()
        self.scaled = self.scaled / factor[:, None]
        self._orthonormalise()
        if not np.linalg.cond(self.change) < WORN:
            self.refresh()

    def found(self) -> Split | None:
        """The face, where the units tell it."""
        k = self.scaled.shape[1]
        strict = self.scaled @ self.scaled.sum(axis=0) > 0.5
        E, B = self.scaled[~strict], self.scaled[strict]
        _, values, vectors = np.linalg.svd(np.linalg.qr(E, mode="r") if len(E) > k else E)
        rank = int((values > CLEAR).sum())
        if (values[rank:] > VANISHING).any():
            return None
        span, kernel = vectors[:rank].T, vectors[rank:].T
        weights = np.zeros(len(self.scaled))
        weights[~strict] = 1.0 - _projected(E @ span)
        if not (weights[~strict] > ROOM).all() or (rank == k and strict.any()):
            return None
        c: FloatArray = np.zeros(k)
        if rank < k:
            inner = np.linalg.lstsq(B @ kernel, np.ones(len(B)), rcond=None)[0] if len(B) else np.eye(k - rank)[0]
            c = np.asarray(kernel @ inner, dtype=np.float64)
            if not (B @ c > ROOM).all():
                return None
        change = self.total.times(FixedPoint.of(self.change)).at(self.bits) if rank < k else None
        return Split(~strict, weights / self.z, -self.exponents, change, c, rank)


def _projected(E: Float64[FloatArray, "q r"]) -> Float64[FloatArray, " q"]:
    """What a space reaches of the vector of all ones."""
    Q = np.linalg.qr(E)[0]
    return Q @ Q.sum(axis=0)


__all__ = ["Split", "split"]
