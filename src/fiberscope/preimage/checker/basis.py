"""Independent rows that equality rows are replaced by, and what is proved of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimage.checker.asking import NotProvedError
from fiberscope.preimage.checker.independence import Grouping, group_rows, row_exponents, singular_values_exceed
from fiberscope.preimage.checker.matrices import Matrix, columns, nonzero_columns, scaled_rows
from fiberscope.preimage.checker.rounding import norm_above, product_error, row_norms_above
from fiberscope.preimage.checker.statement import Statement


@dataclass(frozen=True, eq=False)
class Basis:
    """Rows scaled to norms near one, one of each group of parallel rows; zero rows and zero columns are left out.

    Coordinates whose column is zero are free: no correction ever moves them, and the rank is that of the others.

    Args:
        rows: the rows, on all coordinates or on some.
        grouping: which of them are parallel.
        coordinates: the numbers of the coordinates that the columns stand for; None for all.
    """

    rows: Matrix
    columns: IntArray
    grouping: Grouping
    exponents: IntArray

    def __init__(self, rows: Matrix, grouping: Grouping, coordinates: IntArray | None = None) -> None:
        chosen = rows[grouping.representative]
        exponents = row_exponents(chosen)
        live = nonzero_columns(chosen)
        object.__setattr__(self, "rows", scaled_rows(columns(chosen, live), -exponents))
        object.__setattr__(self, "columns", live if coordinates is None else coordinates[live])
        object.__setattr__(self, "grouping", grouping)
        object.__setattr__(self, "exponents", exponents)

    @classmethod
    def of(cls, statement: Statement, numbers: IntArray) -> Basis:
        """Of the rows with these numbers."""
        rows = statement.rows(numbers)
        return cls(rows, group_rows(rows))

    @property
    def live(self) -> int:
        """The number of coordinates whose column is not zero."""
        return len(self.columns)

    def proved_rank(self, s: float) -> int:
        """The rank min(q, live coordinates), proved together with ``sigma_min > s`` on these coordinates."""
        if self.rows.shape[0] and not singular_values_exceed(self.rows, s):
            raise NotProvedError(
                f"the {self.rows.shape[0]} equality rows are not proved to have rank {min(self.rows.shape)} "
                f"with smallest singular value above {s:.3g}"
            )
        return min(self.rows.shape)

    def scaled_norm(self, values: Float64[FloatArray, " q"]) -> float:
        """An upper bound on the norm of row values, scaled as the rows are."""
        return norm_above(np.ldexp(values, -self.exponents))

    def residual(self, d: Float64[FloatArray, " n"]) -> float:
        """An upper bound on ``|B d|``; exactly 0 where every product is 0."""
        moved = d[self.columns]
        if not len(nonzero_columns(columns(self.rows, np.flatnonzero(moved)))):
            return 0.0
        error = product_error(row_norms_above(self.rows), norm_above(moved), self.live)
        return norm_above(self.rows @ moved) + norm_above(error)

    def net_weights(self, weights: Float64[FloatArray, " q"]) -> Float64[FloatArray, " groups"]:
        """The total weight of each group on its representative, correctly rounded.

        It is 0 only where the exact total is 0.
        """
        net = weights[self.grouping.representative]
        shared = np.flatnonzero(np.bincount(self.grouping.group[self.grouping.group >= 0], minlength=len(net)) > 1)
        for g in shared:
            members = np.flatnonzero(self.grouping.group == g)
            factor = self.grouping.factor[members]
            with np.errstate(all="ignore"):
                terms = weights[members] * factor
                exact = (terms / factor == weights[members]).all()
            if not exact:
                raise NotProvedError("multipliers of parallel rows differ too much in size to be added exactly")
            net[g] = fsum(terms)
        return net
