"""Coordinates that rows fix at zero, and the rows that do: what the pattern of zeros says about a rank.

Let J be coordinates, and F the rows that vanish outside J. Where the columns J of F are independent, ``F d = 0`` says
``d_J = 0``: every unit vector of J is a combination of F. Then all rows B have the row space of these unit vectors and
of the other rows K without the columns J, so that

    rank(B) = |J| + rank(K without the columns J),

and F may have more rows than J has coordinates. Convolutions seen through pixels that are known to be zero are of this
sort, and no set of their rows is independent as a whole.

J is read off a maximum matching of rows and coordinates [A. L. Dulmage and N. S. Mendelsohn, Coverings of bipartite
graphs, 1958]: the coordinates that no alternating path reaches from an unmatched one. That is a guess, which is right
for generic entries; what it says is proved by singular values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.sparse import csgraph

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.network.sparse_rows import SparseRows
from old_checker.matrices import Matrix, columns, entries_of


@dataclass(frozen=True, eq=False)
class FixedPart:
    """Rows and columns of a matrix in two blocks: the rows F vanish outside the columns J.

    Attributes:
        fixing: the rows F.
        fixed: the columns J.
        others: the rows K, all that are not in F.
        free: the columns outside J.
    """

    fixing: IntArray
    fixed: IntArray
    others: IntArray
    free: IntArray

    @classmethod
    def of(cls, matrix: Matrix) -> FixedPart:
        """The blocks of a matrix without zero rows and zero columns."""
        q, n = matrix.shape
        if np.count_nonzero(entries_of(matrix)) == q * n:  # no pattern: whichever side is longer
            fixed = np.full(n, q >= n)
            return cls._from_flags(np.full(q, q >= n), fixed)
        pattern = _pattern(matrix)
        reached = _reached(pattern, q, n)
        touched = np.zeros(q, dtype=np.bool_)
        row, column = pattern.nonzero()
        touched[row[reached[column]]] = True
        return cls._from_flags(~touched, ~reached)

    @classmethod
    def nothing(cls, matrix: Matrix) -> FixedPart:
        """No coordinate is fixed."""
        q, n = matrix.shape
        return cls._from_flags(np.zeros(q, dtype=np.bool_), np.zeros(n, dtype=np.bool_))

    @classmethod
    def _from_flags(cls, fixing: BoolArray, fixed: BoolArray) -> FixedPart:
        return cls(*(np.flatnonzero(flags) for flags in (fixing, fixed, ~fixing, ~fixed)))

    def fixing_rows(self, matrix: Matrix) -> Matrix:
        """F in the columns J."""
        return columns(matrix[self.fixing], self.fixed)

    def other_rows(self, matrix: Matrix) -> Matrix:
        """K without the columns J."""
        return columns(matrix[self.others], self.free)


def _pattern(matrix: Matrix) -> Any:
    pattern = cast(Any, SparseRows(matrix, dtype=np.bool_))
    pattern.eliminate_zeros()
    return pattern


def _reached(pattern: Any, q: int, n: int) -> BoolArray:
    """The columns that alternating paths reach from those that a maximum matching leaves out."""
    partner = cast(IntArray, cast(Any, csgraph).maximum_bipartite_matching(pattern, perm_type="column"))
    by_column = pattern.tocsc()
    reached = np.ones(n, dtype=np.bool_)
    reached[partner[partner >= 0]] = False
    seen = np.zeros(q, dtype=np.bool_)
    front = np.flatnonzero(reached)
    while len(front):
        rows = np.unique(by_column[:, front].indices)
        rows = rows[~seen[rows]]
        seen[rows] = True
        front = partner[rows]  # each has one: else the matching could be made larger
        front = front[front >= 0]
        front = front[~reached[front]]
        reached[front] = True
    return reached
