"""Independent rows that equality rows are replaced by, and what is proved of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import fsum

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from old_checker.asking import NotProvedError
from old_checker.dependencies import Relations
from old_checker.fixed_part import FixedPart
from old_checker.independence import Grouping, group_rows, row_exponents, singular_values_exceed
from old_checker.matrices import Matrix, columns, nonzero_columns, scaled_rows
from old_checker.rounding import norm_above, product_error, row_norms_above
from old_checker.statement import Statement


@dataclass(frozen=True, eq=False)
class Basis:
    """Rows scaled to norms near one, one of each group of parallel rows; zero rows and zero columns are left out.

    Coordinates whose column is zero are free: no correction ever moves them, and the rank is that of the others.

    Args:
        rows: the rows, on all coordinates or on some.
        grouping: which of them are parallel.
        coordinates: the numbers of the coordinates that the columns stand for; None for all.
        numbers: of the rows, in the statement; None where relations are of no use.
        relations: between rows of the layer.
    """

    rows: Matrix
    columns: IntArray
    grouping: Grouping
    exponents: IntArray
    numbers: IntArray | None
    relations: Relations | None

    def __init__(
        self,
        rows: Matrix,
        grouping: Grouping,
        coordinates: IntArray | None = None,
        numbers: IntArray | None = None,
        relations: Relations | None = None,
    ) -> None:
        chosen = rows[grouping.representative]
        exponents = row_exponents(chosen)
        live = nonzero_columns(chosen)
        object.__setattr__(self, "rows", scaled_rows(columns(chosen, live), -exponents))
        object.__setattr__(self, "columns", live if coordinates is None else coordinates[live])
        object.__setattr__(self, "grouping", grouping)
        object.__setattr__(self, "exponents", exponents)
        object.__setattr__(self, "numbers", None if numbers is None else numbers[grouping.representative])
        object.__setattr__(self, "relations", relations)

    @classmethod
    def of(
        cls,
        statement: Statement,
        numbers: IntArray,
        relations: Relations | None = None,
        coordinates: IntArray | None = None,
    ) -> Basis:
        """Of the rows with these numbers, on these coordinates; None for all."""
        rows = statement.rows(numbers)
        rows = rows if coordinates is None else columns(rows, coordinates)
        return cls(rows, group_rows(rows), coordinates, numbers, relations)

    @property
    def live(self) -> int:
        """The number of coordinates whose column is not zero."""
        return len(self.columns)

    @cached_property
    def part(self) -> FixedPart:
        """What the rows fix at zero, as their zeros suggest.

        Nothing is proved by it; but where rows depend on each other in other ways as well, it is of no use.
        """
        part = FixedPart.of(self.rows)
        if self.relations is None or not len(part.fixed):
            return part
        return part if singular_values_exceed(part.fixing_rows(self.rows), 0.0) else FixedPart.nothing(self.rows)

    def admitted(self, d: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
        """A vector without the entries that the rows fix at zero, as long as ``proved_rank`` holds."""
        out = d.copy()
        out[self.columns[self.part.fixed]] = 0.0
        return out

    def proved_rank(self, s: float, of_fixing: float = 0.0) -> int:
        """The rank, proved together with singular values of its two blocks.

        Args:
            s: what those of the other rows, in free coordinates, exceed.
            of_fixing: what those of the fixing rows, in fixed coordinates, exceed.
        """
        part = self.part
        self._check_singular_values(part.fixing_rows(self.rows), len(part.fixed), of_fixing)
        block, rank = part.other_rows(self.rows), len(part.others)
        if self.relations is None or self.numbers is None:
            self._check_singular_values(block, rank, s)
        elif not _exceed(block, rank, s):
            rank = self.relations.proved_rank(block, self.numbers[part.others], self.columns[part.free], s)
        return len(part.fixed) + rank

    def check_independent(self, s: float) -> None:
        """Prove that the rows are independent, with singular values above s."""
        self._check_singular_values(self.rows, self.rows.shape[0], s)

    def _check_singular_values(self, block: Matrix, rank: int, s: float) -> None:
        if not _exceed(block, rank, s):
            raise NotProvedError(
                f"{block.shape[0]} equality rows in {block.shape[1]} coordinates are not proved to have rank {rank} "
                f"with smallest singular value above {s:.3g}"
            )

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


def _exceed(block: Matrix, rank: int, s: float) -> bool:
    """Whether a block is proved to have this full rank, with singular values above s."""
    return not rank or (min(block.shape) == rank and singular_values_exceed(block, s))
