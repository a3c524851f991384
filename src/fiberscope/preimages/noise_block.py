"""Faces of cones whose equalities are a product of thinner matrices, but for how that was rounded.

Such rows H have r large singular values, and others of the size of the roundings of their entries; what a preimage is
hangs on these. r of the rows and r columns are eliminated, to hundreds of bits: with B the block where they meet,
``d_c = -B^-1 C d_o`` leaves ``N d_o = 0`` and ``N' d_o <= 0`` of the other rows, N = E - D B^-1 C. What rounding has
left is the whole of N, so that it is as well conditioned as other matrices, and its face is found as theirs are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import scipy.linalg
from flint import arb_mat, ctx
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.budget import Budget, TooLargeError
from fiberscope.preimages.candidate import Multipliers
from fiberscope.preimages.dense import RESOLVED, numerical_rank
from fiberscope.preimages.face import Face, find_face
from fiberscope.preimages.modular import modular_rank
from fiberscope.preimages.system import NO_ROWS, MixedSystem, build_at_input

MAX_ENTRIES = 4_000_000
"""Of all rows: their copies in many bits take a gigabyte."""
PRODUCT_SECONDS = 2e-8
"""Of two numbers of these bits."""
BITS = 300
"""Differences lose some sixty: of entries of size one they leave roundings."""


def face_of_noise(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face of a cone whose equalities have a smaller rank but for roundings; None of others.

    Raises:
        TooLargeError: the budget is spent, or nothing finds the face of what is left.
    """
    n = system.layer.inputs
    if not len(equalities) or (len(equalities) + len(inequalities)) * n > MAX_ENTRIES:
        return None
    H, W = dense(system.rows(equalities)), dense(system.rows(inequalities))
    seen, rank = numerical_rank(H, RESOLVED), modular_rank(H)
    if not 0 < seen < rank:
        return None
    if rank == n or not len(inequalities):
        return Face(equalities, NO_ROWS, None, None, rank, rank, spans=rank == n)
    seconds = PRODUCT_SECONDS * seen * (len(H) + len(W)) * n
    system.budget.check_exact(seconds, f"an elimination of {seen} rows")
    block = _Block.of(H, W, seen)
    reduced = find_face(*_as_cone(block.left, len(H) - seen, system.budget))
    numbers = np.concatenate([np.delete(equalities, block.rows), inequalities])
    multipliers = None
    if reduced.multipliers is not None:
        assert isinstance(reduced.multipliers.values, np.ndarray)
        weights, pivots = block.weights(reduced.multipliers.rows, reduced.multipliers.values)
        named = np.concatenate([numbers[reduced.multipliers.rows], equalities[block.rows]])
        multipliers = Multipliers(named, np.concatenate([weights, pivots]))
    d = reduced.direction
    direction = block.direction(d) if isinstance(d, np.ndarray) else None
    whole = rank + reduced.rank - reduced.equality_rank
    return Face(equalities, numbers[reduced.implicit], multipliers, direction, rank, whole, spans=whole == n)


def _as_cone(rows: FloatArray, count: int, budget: Budget) -> tuple[MixedSystem, IntArray, IntArray]:
    """The first rows as equalities and the others as inequalities, at infinity of a layer that has them."""
    n, bias = int(rows.shape[1]), np.ones(len(rows))
    bias[count:] = -1.0
    here = build_at_input(ReLULayer(rows, bias), as_polyhedron(None, n), np.zeros(n))
    system = replace(here, budget=budget).at_infinity
    return system, system.positive, system.inequalities


class _Block:
    """What elimination leaves.

    Attributes:
        rows: (r,) places of the equalities that are eliminated.
        columns: (r,) and of the columns.
        left: (q, n - r) the other rows, of size one, without them.
        by_row: (q,) exponents: rows are ``2**by_row left``.
    """

    def __init__(self, H: FloatArray, W: FloatArray, rows: IntArray, columns: IntArray) -> None:
        self.rows, self.columns = rows, columns
        others = np.vstack([np.delete(H, rows, axis=0), W])
        self._beside, self._pivots = others[:, columns], H[np.ix_(rows, columns)]
        precision, ctx.prec = ctx.prec, BITS
        try:
            solved = _exact(self._pivots).solve(_exact(np.delete(H[rows], columns, axis=1)))
            left = _exact(np.delete(others, columns, axis=1)) - _exact(self._beside) * solved
            self._solved, N = (_floats(part) for part in (solved, left))
        except ZeroDivisionError:
            raise TooLargeError("the rows that were to be eliminated depend on each other") from None
        finally:
            ctx.prec = precision
        self.by_row = np.frexp(np.abs(N).max(axis=1))[1].astype(np.int64)
        self.left = np.ldexp(N, -self.by_row[:, None])

    @classmethod
    def of(cls, H: Float64[FloatArray, "p n"], W: Float64[FloatArray, "l n"], rank: int) -> _Block:
        """On rows and columns with large pivots."""
        qr = cast(Any, scipy.linalg).qr
        rows = np.sort(qr(H.T, mode="r", pivoting=True)[1][:rank])
        columns = np.sort(qr(H[rows], mode="r", pivoting=True)[1][:rank])
        return cls(H, W, rows, columns)

    def weights(self, places: IntArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of rows as they were, and of the eliminated ones, with which all of them cancel."""
        weights = np.ldexp(values, -self.by_row[places])
        pivots = np.linalg.solve(self._pivots.T, self._beside[places].T @ weights)
        return weights, np.asarray(-pivots, dtype=np.float64)

    def direction(self, d: Float64[FloatArray, " k"]) -> FloatArray:
        """With the coordinates that were eliminated."""
        out = np.zeros(len(d) + len(self.columns))
        out[np.delete(np.arange(len(out)), self.columns)] = d
        out[self.columns] = -self._solved @ d
        return out


def _exact(M: FloatArray) -> arb_mat:
    return arb_mat(M.shape[0], M.shape[1], M.ravel().tolist())


def _floats(M: arb_mat) -> FloatArray:
    values = np.array([float(value.mid()) for value in M.entries()], dtype=np.float64)
    return values.reshape(M.nrows(), M.ncols())


__all__ = ["face_of_noise"]
