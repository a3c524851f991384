"""Section 3.1: composing orthogonal matrices with ReLUs does not keep orthogonality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray, as_float64
from fiberscope_paper.relu_chain import LocalMap, ReLUChain, orthogonal_chain


@dataclass(frozen=True, eq=False)
class OrthogonalDepth:
    """The singular values of a chain's local linear maps by depth, and of the same chain without ReLUs.

    Attributes:
        widths: ``n, d_1, ..., d_L``.
        singular_values: for each depth l, (N, min(d_1, ..., n)) at N inputs, after the ReLU, in descending order.
        errors: (L, N) how far they may be off; those up to it count as zero.
        ranks: (L, N) the number of nonzero ones.
        conditions: (L, N) the largest over the smallest nonzero one; NaN where the map is zero.
        linear: for each depth, the singular values without ReLUs.
        linear_errors: (L,) how far these may be off.
    """

    widths: tuple[int, ...]
    singular_values: tuple[FloatArray, ...]
    errors: FloatArray
    ranks: IntArray
    conditions: FloatArray
    linear: tuple[FloatArray, ...]
    linear_errors: FloatArray

    @property
    def median_singular_values(self) -> tuple[Float64[FloatArray, " k"], ...]:
        """For each depth the median over the inputs, index by index, as in figures 5 and 7."""
        return tuple(np.median(values, axis=0) for values in self.singular_values)

    @property
    def median_conditions(self) -> Float64[FloatArray, " l"]:
        """(L,) the median condition number; NaN where every map is zero."""
        medians = [np.median(row[~np.isnan(row)]) if not np.isnan(row).all() else np.nan for row in self.conditions]
        return np.array(medians, dtype=np.float64)

    @property
    def decay(self) -> Float64[FloatArray, " l"]:
        """(L,) the geometric mean of all nonzero singular values at all inputs; NaN where every map is zero."""
        kept = [v[v > e[:, None]] for v, e in zip(self.singular_values, self.errors, strict=True)]
        return np.array([np.exp(np.log(v).mean()) if v.size else np.nan for v in kept], dtype=np.float64)

    @property
    def linear_deviation(self) -> Float64[FloatArray, " l"]:
        """(L,) ``max |sigma - 1|`` without ReLUs: rounding, if all matrices have orthonormal columns."""
        return np.array([np.abs(values - 1.0).max() for values in self.linear], dtype=np.float64)


def orthogonal_depth(widths: Sequence[int], samples: int = 20, seed: int = 0) -> OrthogonalDepth:
    """Compose random matrices with orthonormal columns and ReLUs, and measure what is left of orthogonality.

    ``J_l = D_l A_l ... D_1 A_1`` with ``A_l^T A_l = 1``, at inputs of independent standard normal numbers.

    Args:
        widths: ``n, d_1, ..., d_L``, none smaller than the one before it.
        samples: N, the number of inputs, at least 1.
        seed: of the matrices and the inputs.

    Returns:
        Singular values, ranks and condition numbers by depth, and those without ReLUs.

    Raises:
        InputError: widths that shrink or are below 1, or no samples.

    Source:
        Section 3.1, the second claim.
    """
    if samples < 1:
        raise InputError("samples", expected="at least 1", got=str(samples))
    generator = np.random.default_rng(seed)
    chain = orthogonal_chain(widths, generator)
    return depth_of_chain(chain, generator.normal(size=(samples, widths[0])))


def depth_of_chain(chain: ReLUChain, X: Any) -> OrthogonalDepth:
    """The same measurements of any chain, at the caller's inputs.

    Args:
        chain: as ``relu_chain`` makes it of matrices and biases.
        X: (N, n).

    Raises:
        InputError: another shape, NaN or infinite numbers.
    """
    inputs = as_float64(X, "X", shape=(None, chain.widths[0]))
    depths: list[list[LocalMap]] = [[] for _ in chain.weights]
    for x in inputs:
        for depth, local in zip(depths, chain.local_maps(x), strict=True):
            depth.append(local)
    linear = list(chain.linear_maps())
    return OrthogonalDepth(
        chain.widths,
        tuple(np.array([local.singular_values for local in depth]) for depth in depths),
        np.array([[local.error for local in depth] for depth in depths]),
        np.array([[local.rank for local in depth] for depth in depths], dtype=np.int64),
        np.array([[local.condition for local in depth] for depth in depths]),
        tuple(local.singular_values for local in linear),
        np.array([local.error for local in linear]),
    )


__all__ = ["OrthogonalDepth", "depth_of_chain", "orthogonal_depth"]
