"""How often random directions are omnidirectional: the reference lines of figure 3."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.stats
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray


def wendel(m: Any, k: Any) -> Float64[FloatArray, "*shape"]:
    """The probability that m random symmetric directions in general position in R^k are omnidirectional.

        1 - 2^(1-m) sum_{i=0}^{k-1} C(m-1, i)

    Args:
        m: numbers of directions, any shape; 0 for none.
        k: dimensions, at least 0, of the same shape. In dimension 0 there is nothing to leave to: 1.

    Source: J. G. Wendel, A problem in geometric probability, Mathematica Scandinavica 11 (1962).
    """
    directions, dimensions = np.broadcast_arrays(np.asarray(m, np.int64), np.asarray(k, np.int64))
    binomial: Any = cast(Any, scipy.stats).binom
    # with no direction at all the distribution below does not exist
    probability = np.where(directions >= 1, binomial.sf(dimensions - 1, np.maximum(directions - 1, 0), 0.5), 0.0)
    return np.where(dimensions == 0, 1.0, probability).astype(np.float64)


def donoho_tanner(tight: Any, positives: Any, inputs: int) -> Float64[FloatArray, "*shape"]:
    """The probability that a sample is the only one with its output, in a box, for random rows.

    With t tight coordinates and p positive outputs it is Wendel's for t directions in dimension n - p.

    Args:
        tight: t, any shape.
        positives: p, of the same shape.
        inputs: n.

    Source: D. L. Donoho and J. Tanner, Counting the faces of randomly-projected hypercubes and orthants, 2008.
    """
    return wendel(tight, np.maximum(inputs - np.asarray(positives, np.int64), 0))


__all__ = ["donoho_tanner", "wendel"]
