"""More than one point, by counting: fewer rows than coordinates that they read leave one coordinate free at least.

If k rows are not zero on a set U of more than k coordinates, some d != 0 supported on U vanishes on all of them, and on
all others. The largest such difference is the number of coordinates that a maximum matching of coordinates to rows
that read them leaves out; U are those from which alternating paths lead there (Dulmage & Mendelsohn, 1958). No
arithmetic is in it, and no rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching  # pyright: ignore[reportUnknownVariableType]

from fiberscope.network.arrays import IntArray
from fiberscope.network.rows import Rows, sparse


def undetermined(rows: Rows, coordinates: Int64[IntArray, " k"]) -> tuple[IntArray, int]:
    """Coordinates U, of the given ones, on which fewer rows are not zero than U has coordinates; and how many fewer.

    Of no coordinates, where there are none.
    """
    entries = sparse(rows)
    ones = np.ones(len(entries.data), dtype=np.int8)
    pattern: Any = csr_array((ones, entries.indices, entries.indptr), shape=entries.shape)
    reads: Any = csr_array(pattern[:, coordinates].T)  # coordinates by rows
    partner: IntArray = np.asarray(maximum_bipartite_matching(reads, perm_type="column"), dtype=np.int64)
    reached = partner < 0  # no row is the coordinate's own
    if not reached.any():
        return coordinates[:0], 0
    coordinate_of = np.full(rows.shape[0], -1, dtype=np.int64)
    coordinate_of[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
    frontier = np.flatnonzero(reached)
    while len(frontier):
        through = coordinate_of[np.unique(reads[frontier].indices)]
        frontier = through[~reached[through]]
        reached[frontier] = True
    return coordinates[reached], int((partner < 0).sum())


__all__ = ["undetermined"]
