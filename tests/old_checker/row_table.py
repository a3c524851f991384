"""The rows of a system, read for many proofs at once: parallel ones grouped, and one of each group scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from old_checker.asking import NotProvedError
from old_checker.independence import group_rows, row_exponents
from old_checker.rounding import SMALLEST_NORMAL, row_norms_above
from old_checker.system import System

LARGEST = 2**27
"""Entries of a table: a gigabyte."""


@dataclass(frozen=True, eq=False)
class RowTable:
    """K rows of which no two are parallel in an obvious way, and what each of the M numbered rows is of them.

    Attributes:
        exists: (M,) whether the layer or the domain has the row.
        group: (M,) the row of the table that it is a multiple of; -1 for zero rows and those that do not exist.
        factor: (M,) ``row_i = factor_i * rows[group_i]``, exactly, with a signed power of two; 0 where there is none.
        rows: (K, n) rows scaled by powers of two, exactly, to norms near one where that does not round.
        norms: (K,) upper bounds on their norms.
        order: (L,) the numbers of all rows in groups, group by group.
        starts: (K,) where in ``order`` each group starts.
    """

    exists: BoolArray
    group: IntArray
    factor: FloatArray
    rows: FloatArray
    norms: FloatArray
    order: IntArray
    starts: IntArray

    @property
    def n(self) -> int:
        """The number of input coordinates."""
        return self.rows.shape[1]

    @property
    def nonzero(self) -> Bool[BoolArray, " M"]:
        """Which rows exist and are not zero."""
        return self.group >= 0

    def groups_of(self, marked: Bool[BoolArray, "u M"]) -> Bool[BoolArray, "u K"]:
        """The groups that hold a marked row."""
        if not len(self.starts):
            return np.zeros((len(marked), 0), dtype=np.bool_)
        return np.logical_or.reduceat(marked[:, self.order], self.starts, axis=1)


def build_table(system: System) -> RowTable:
    """Read the rows of a dense system.

    Raises:
        NotProvedError: the table would be too large, or the rows' sizes too different for float64.
    """
    rows, place, sign = _rows_and_places(system)
    grouping = group_rows(rows)
    chosen = rows[grouping.representative]
    exponents = row_exponents(chosen)
    group = np.where(place >= 0, grouping.group[place], -1)
    nonzero = group >= 0
    factor = np.where(nonzero, sign * grouping.factor[place], 0.0)
    factor[nonzero] = np.ldexp(factor[nonzero], exponents[group[nonzero]])
    scaled = np.ldexp(chosen, -exponents[:, None])
    norms = row_norms_above(scaled)
    size = np.abs(factor[nonzero])
    if not (np.isfinite(norms).all() and np.isfinite(size).all() and (size >= SMALLEST_NORMAL).all()):
        raise NotProvedError("rows of these sizes are proved one by one")
    order = np.flatnonzero(nonzero)
    order = order[np.argsort(group[order], kind="stable")]
    starts = np.searchsorted(group[order], np.arange(len(chosen))).astype(np.int64)
    return RowTable(place >= 0, group, factor, scaled, norms, order, starts)


def _rows_and_places(
    system: System,
) -> tuple[Float64[FloatArray, "q n"], Int64[IntArray, " M"], Float64[FloatArray, " M"]]:
    """The rows of the layer, a unit row for each bounded coordinate, and the half-spaces; which of these each row is.

    The place is -1 where there is no such row; the sign is -1 for lower bounds.
    """
    m, n, domain = system.m, system.n, system.domain
    if not (isinstance(system.A, np.ndarray) and isinstance(domain.G, np.ndarray)):
        raise NotProvedError("sparse rows are proved one by one")
    g = len(domain.h)
    low, high = np.isfinite(domain.low), np.isfinite(domain.high)
    bounded = np.flatnonzero(low | high)
    if (m + len(bounded) + g) * n > LARGEST:
        raise NotProvedError("so many rows are proved one by one")
    unit = np.zeros((len(bounded), n))
    unit[np.arange(len(bounded)), bounded] = 1.0
    bound = np.full(n, -1)
    bound[bounded] = m + np.arange(len(bounded))
    place = np.concatenate(
        [np.arange(m), np.where(low, bound, -1), np.where(high, bound, -1), m + len(bounded) + np.arange(g)]
    )
    sign = np.concatenate([np.ones(m), -np.ones(n), np.ones(n + g)])
    return np.concatenate([system.A, unit, domain.G]), place, sign
