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

from fiberscope.network.arrays import IntArray
from fiberscope.network.rows import Rows, sparse
from fiberscope.preimages.independent_rows import reached_columns


def undetermined(rows: Rows, coordinates: Int64[IntArray, " k"]) -> tuple[IntArray, int]:
    """Coordinates U, of the given ones, on which fewer rows are not zero than U has coordinates; and how many fewer.

    Of no coordinates, where there are none.
    """
    entries = sparse(rows)
    ones = np.ones(len(entries.data), dtype=np.int8)
    pattern: Any = csr_array((ones, entries.indices, entries.indptr), shape=entries.shape)
    reached, matched = reached_columns(csr_array(pattern[:, coordinates]))
    return coordinates[reached], len(coordinates) - matched


__all__ = ["undetermined"]
