"""The rows of the mixed system: a layer and a domain, without any question about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.sparse_rows import SparseRows
from old_checker.matrices import Matrix, as_dense, row_maxima, stacked
from old_checker.rounding import row_norms_above


@dataclass(frozen=True, eq=False)
class System:
    """A layer and a domain, read strictly.

    The rows of the mixed system are numbered as in ``fiberscope.preimages.candidate``.
    """

    A: Matrix
    b: FloatArray
    injective: BoolArray
    domain: Polyhedron

    @property
    def m(self) -> int:
        """The number of neurons."""
        return self.A.shape[0]

    @property
    def n(self) -> int:
        """The number of input coordinates."""
        return self.A.shape[1]

    def domain_rows(self) -> Int64[IntArray, " _"]:
        """The numbers of all rows that the domain has."""
        m, n = self.m, self.n
        return np.concatenate(
            [
                m + np.flatnonzero(np.isfinite(self.domain.low)),
                m + n + np.flatnonzero(np.isfinite(self.domain.high)),
                m + 2 * n + np.arange(len(self.domain.h)),
            ]
        )

    def inequalities(self, positive: Int64[IntArray, " p"]) -> Int64[IntArray, " _"]:
        """The numbers of all inequality rows, given P."""
        return np.concatenate([np.setdiff1d(np.arange(self.m), positive), self.domain_rows()])

    def nonzero_rows(self, numbers: Int64[IntArray, " q"]) -> Int64[IntArray, " _"]:
        """Those of the rows that are not zero; a zero row says nothing about directions."""
        m, n = self.m, self.n
        nonzero = np.ones(len(numbers), dtype=np.bool_)
        layer, half = numbers < m, numbers >= m + 2 * n
        nonzero[layer] = row_maxima(self.A[numbers[layer]]) > 0
        nonzero[half] = row_maxima(self.domain.G[numbers[half] - m - 2 * n]) > 0
        return numbers[nonzero]

    @property
    def is_sparse(self) -> bool:
        """Whether rows are given in sparse form."""
        return not (isinstance(self.A, np.ndarray) and isinstance(self.domain.G, np.ndarray))

    def rows(self, numbers: Int64[IntArray, " q"]) -> Matrix:
        """The coefficient rows with these numbers, shape (len(numbers), n); sparse if the layer or the domain is."""
        m, n = self.m, self.n
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self.blocks()),
        )
        parts = {"layer": self.A[numbers[layer]], "half": self.domain.G[numbers[half] - m - 2 * n]}
        if self.is_sparse:
            bounds = np.flatnonzero(low | high)
            unit = SparseRows(
                (np.where(low[bounds], -1.0, 1.0), (np.arange(len(bounds)), (numbers[bounds] - m) % n)),
                shape=(len(bounds), n),
            )
            order = np.concatenate([np.flatnonzero(layer), bounds, np.flatnonzero(half)])
            return stacked([parts["layer"], unit, parts["half"]])[np.argsort(order)]
        out = np.zeros((len(numbers), n))
        out[layer] = as_dense(parts["layer"])
        out[low, numbers[low] - m] = -1.0
        out[high, numbers[high] - m - n] = 1.0
        out[half] = as_dense(parts["half"])
        return out

    def products(
        self, numbers: Int64[IntArray, " q"], v: Float64[FloatArray, " n"]
    ) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"], Bool[BoolArray, " q"]]:
        """``a_i v`` in float64, upper bounds on ``|a_i|`` (0 for zero rows), and where the product is exact."""
        m, n = self.m, self.n
        value, norms, exact = np.zeros(len(numbers)), np.ones(len(numbers)), np.ones(len(numbers), dtype=np.bool_)
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self.blocks()),
        )
        value[low] = -v[numbers[low] - m]
        value[high] = v[numbers[high] - m - n]
        for block, rows in ((layer, self.A[numbers[layer]]), (half, self.domain.G[numbers[half] - m - 2 * n])):
            nonzero = row_maxima(rows) > 0
            value[block] = rows @ v
            norms[block] = np.where(nonzero, row_norms_above(rows), 0.0)
            exact[block] = ~nonzero
        return value, norms, exact

    def blocks(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """The first number, and the one behind the last, of the lower bounds, the upper bounds, and the half-spaces."""
        m, n = self.m, self.n
        return (m, m + n), (m + n, m + 2 * n), (m + 2 * n, m + 2 * n + len(self.domain.h))
