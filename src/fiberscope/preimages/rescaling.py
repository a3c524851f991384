"""The face of a narrow cone ``{d : H d = 0, W d <= 0}``, by changing the units of its rows.

With a basis D of the null space of H, ``d = D c`` leaves the rows ``W D`` in the coordinates c. In units z of the rows,
the vector of all ones is projected onto what the space reaches of it: ``p = F F^+ 1`` with ``F = -diag(1 / z) W D``.
Where p is large, rows are strict; where it is small, ``1 - p`` weighs rows whose combination vanishes. If the rows of
the second sort alone have such weights, and what they leave of the space is strict on the first, that is the face.
Otherwise units shrink or grow by p, by no more than a factor in one step: those of strict rows until they fit a vector
of the space, those of the others for ever. A cone as narrow as 1e-25 takes about 50 steps (R. Hoberg & T. Rothvoss, An
improved deterministic rescaling for linear programming algorithms, 2017, say why units have to change).

The coordinates c change with the units, so that F keeps orthonormal columns, and float64 suffices for p. It suffices
for D, too, although its rows grow and fall by orders of magnitude: what the equalities leave of D is taken away in
units of the coordinates of d that are the sizes of these rows. So small rows are corrected by small numbers, and every
time units have changed by some digits, as many more are known of what is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.equalities import Equalities, sizes, solved_transposed
from fiberscope.preimages.modular import modular_rank

MAX_STEPS = 120
SHRINK = 0.2
"""The factor by which units change in one step, at most."""
ROOM = 0.1
"""What a direction must leave of each row's unit, and weights of one."""
CLEAR, VANISHING = 1e-5, 1e-10
"""Singular values of rows in units that fit them above which, and below which, they are told apart."""
WORN = 1e5
"""Condition of a change of coordinates beyond which F is computed anew: it loses as many digits of what is small."""
ROUNDS = 40
"""Of rows that get no weights."""
SEEN = 1e-7
"""Singular values that are seen in squares."""
CANCELLED = 2.0**-40
"""What rounding leaves of entries that cancel, of the sizes of what is summed."""


@dataclass(frozen=True, eq=False)
class Split:
    """The face of a cone, or rows that are implicit, and perhaps others.

    Attributes:
        implicit: (l,) the rows that vanish on it.
        weights: (l,) positive on these, zero elsewhere: ``W^T weights`` is a combination of the rows of H.
        direction: (n,) strict on the other rows, and zeros where what was summed cancels; None where the cone is {0},
            or more rows may vanish on it.
        rank: of the implicit rows on the null space; None where more rows may vanish.
        z: (l,) units of the rows.
        units: (n,) of the coordinates, powers of two, of the sizes that these have in the cone.
    """

    implicit: BoolArray
    weights: FloatArray
    direction: FloatArray | None
    rank: int | None
    z: FloatArray
    units: FloatArray


def split(
    equalities: Equalities,
    basis: Float64[FloatArray, "n k"],
    W: Float64[FloatArray, "l n"],
    z: Float64[FloatArray, " l"] | None,
    budget: Budget,
) -> Split | None:
    """Find the face, no row of W zero on the null space; None where too many steps did not, or W leaves a line.

    Args:
        equalities: H.
        basis: of its null space.
        W: the rows.
        z: units of theirs to begin with; None for their lengths on the basis.
        budget: that it keeps to.

    Raises:
        TooLargeError: the budget is spent.
    """
    if len(W) < basis.shape[1]:
        return None
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked for, or shows nothing
            return _followed(_Path(equalities, basis, W, z), budget)
    except LinAlgError:  # units cannot hold coordinates that no row reads
        return None


def _followed(path: _Path, budget: Budget) -> Split | None:
    for _ in range(MAX_STEPS):
        budget.check("the face of a narrow cone was looked for")
        found = path.found()
        if found is not None and not path.is_fresh:
            path.refresh()
            found = path.found()
        if found is None and path.is_corrected:
            found = path.part()
        if found is not None:
            return found
        path.step()
    return None


class _Path:
    """Units, and coordinates, on their way.

    Attributes:
        equalities: H, in units that suited D when F was computed last.
        W: (l, n) the rows.
        basis: D, (n, k), as it was then.
        change: (k, k) what has changed the coordinates since, and its inverse.
        scaled: F, (l, k), of orthonormal columns, up to what float64 has lost of it.
        z: (l,) the units.
        is_corrected: whether the units are those in which F was computed.
    """

    def __init__(self, equalities: Equalities, basis: FloatArray, W: FloatArray, z: FloatArray | None) -> None:
        self.equalities, self.W, self.basis = equalities, W, basis
        self.scaled: FloatArray = np.zeros((len(W), basis.shape[1]))
        self.change: FloatArray = np.eye(basis.shape[1])
        self.inverse: FloatArray = np.eye(basis.shape[1])
        self.strict = np.zeros(0, dtype=np.bool_)
        self.z = np.linalg.norm(W @ basis, axis=1) if z is None else z
        self.refresh()

    @property
    def condition(self) -> float:
        """An upper bound on that of the change."""
        return float(np.linalg.norm(self.change) * np.linalg.norm(self.inverse)) / len(self.change)

    @property
    def is_fresh(self) -> bool:
        """Whether the coordinates are those in which F was computed, but for one change."""
        return self.condition < 1.0 / SHRINK

    def refresh(self) -> None:
        """Correct D, and compute F from it."""
        D = self.basis @ self.change
        self.equalities = self.equalities.in_units(sizes(D))
        if not self.equalities.is_clear:
            raise LinAlgError("what is small is beyond the digits of what is large beside it")
        self.basis = self.equalities.without(D)
        F = -(self.W @ self.basis) / self.z[:, None]
        self.change = self.inverse = np.eye(len(self.change))
        if not np.isfinite(F).all():
            raise LinAlgError("float64 does not hold numbers so far apart")
        self.scaled, R = np.linalg.qr(F)
        self._changed(R)
        self.is_corrected = True

    def step(self) -> None:
        """Change the units by what they reach."""
        self.is_corrected = False
        factor = np.clip(self._reached(), SHRINK, 1.0 / SHRINK)
        self.z = self.z * factor
        self.z /= self.z.max()
        self.scaled = self.scaled / factor[:, None]
        R = np.linalg.cholesky(self.scaled.T @ self.scaled).T  # columns were orthonormal a factor ago
        self.scaled = solved_transposed(R, self.scaled.T).T
        self._changed(R)
        if not self.condition < WORN:
            self.refresh()

    def _changed(self, R: NDArray[np.floating[Any]]) -> None:
        """Note a change of coordinates by ``R^-1``, (k, k)."""
        self.change = solved_transposed(R, self.change.T).T
        self.inverse = R @ self.inverse

    def _reached(self) -> Float64[FloatArray, " l"]:
        """p, what the space reaches of the vector of all ones."""
        return self.scaled @ self.scaled.sum(axis=0)

    def found(self) -> Split | None:
        """The whole face, where the units tell it: no row may have changed sides in the last step."""
        before, self.strict = self.strict, self._reached() > 0.5
        strict = self.strict
        if not strict.all() and not np.array_equal(before, strict):
            return None
        k, E, B = self.scaled.shape[1], self.scaled[~strict], self.scaled[strict]
        _, values, vectors = np.linalg.svd(np.linalg.qr(E, mode="r") if len(E) > k else E)
        rank = int((values > CLEAR).sum())
        if (values[rank:] > VANISHING).any():
            return None
        span, kernel = np.linalg.qr(E @ vectors[:rank].T)[0], vectors[rank:].T
        weights = np.zeros(len(self.scaled))
        weights[~strict] = 1.0 - span @ span.sum(axis=0)
        if not (weights[~strict] > ROOM).all() or (rank == k and strict.any()):
            return None
        direction = None
        if rank < k:
            inner: FloatArray = (
                (B @ kernel).sum(axis=0) if len(B) else np.eye(k - rank)[0]
            )  # there B is orthonormal, as F is
            c = np.asarray(kernel @ inner, dtype=np.float64)
            if not (B @ c > ROOM).all():
                return None
            direction = self._direction(self.change @ c)
        return self._split(~strict, weights, direction, rank)

    def part(self) -> Split | None:
        """Rows that are implicit by themselves, where what is small tells some: the others may be decided without them.

        Of rows where p is small those go that get no weights from the others, until all of them have some.
        """
        chosen, spans = ~self.strict, _span_by_squares
        for _ in range(ROUNDS):
            E = self.scaled[chosen]
            span = spans(E)
            if not span.size:
                return None
            reached = span @ span.sum(axis=0)
            if (reached < 1.0 - ROOM).all():
                if self._has_rank(chosen, span.shape[1]):
                    weights = np.zeros(len(chosen))
                    weights[chosen] = 1.0 - reached
                    return self._split(chosen, weights, None, None)
                if spans is _span:
                    return None
                spans = _span
            else:
                chosen[chosen] = reached < 1.0 - ROOM
        return None

    def _has_rank(self, chosen: BoolArray, rank: int) -> bool:
        """Whether some rows have that rank on the null space modulo a prime: that small values are zeros."""
        together = np.concatenate([self.equalities.given, self.W[chosen]])
        return modular_rank(together) == self.equalities.rank + rank

    def _split(self, implicit: BoolArray, weights: FloatArray, direction: FloatArray | None, rank: int | None) -> Split:
        return Split(implicit, weights / self.z, direction, rank, self.z, self.equalities.units)

    def _direction(self, c: Float64[FloatArray, " k"]) -> Float64[FloatArray, " n"]:
        terms = np.abs(self.basis) @ np.abs(c)
        d = self.basis @ c
        return np.where(np.abs(d) > CANCELLED * terms, d, 0.0)


def _span(E: Float64[FloatArray, "q k"]) -> Float64[FloatArray, "q r"]:
    """An orthonormal basis of what the columns span."""
    Q, values, _ = np.linalg.svd(E, full_matrices=False)
    return Q[:, values > VANISHING]


def _span_by_squares(E: Float64[FloatArray, "q k"]) -> Float64[FloatArray, "q r"]:
    """The same, but for small values, by what is found faster."""
    values, vectors = np.linalg.eigh(E.T @ E)
    large = values > SEEN**2
    return E @ (vectors[:, large] / np.sqrt(values[large]))


__all__ = ["Split", "split"]
