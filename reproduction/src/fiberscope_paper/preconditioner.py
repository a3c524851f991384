"""Section 3.1: a pre-conditioner that is fitted to one linear region does not serve another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray, as_float64
from fiberscope_paper.relu_chain import EPSILON, LocalMap, ReLUChain, gaussian_chain


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One local linear map J of the chain, and the product of the pre-conditioner with it.

    Attributes:
        differing: the number of neurons of the whole chain that are active here and not at x0, or the other way round.
        rank_before: of J.
        before: the condition number of J, its largest singular value over its smallest nonzero one; NaN where J is 0.
        rank_after: of the product.
        after: the condition number of the product; NaN where it is 0.
        error: how far the product's singular values may be off, to first order; those up to it count as zero.
    """

    differing: int
    rank_before: int
    before: float
    rank_after: int
    after: float
    error: float


@dataclass(frozen=True, eq=False)
class Preconditioning:
    """A pre-conditioner and what it does at x0, to which it was fitted, and elsewhere.

    Attributes:
        matrix: (n, d_L) the pre-conditioner ``A = J(x0)^+``.
        fitted: at x0.
        elsewhere: at the other inputs.
    """

    matrix: FloatArray
    fitted: Conditioning
    elsewhere: tuple[Conditioning, ...]

    @property
    def before(self) -> FloatArray:
        """(N,) the condition numbers of the other local maps."""
        return np.array([sample.before for sample in self.elsewhere])

    @property
    def after(self) -> FloatArray:
        """(N,) the condition numbers of the products with them."""
        return np.array([sample.after for sample in self.elsewhere])

    @property
    def differing(self) -> IntArray:
        """(N,) the numbers of neurons in another state than at x0."""
        return np.array([sample.differing for sample in self.elsewhere], dtype=np.int64)

    @property
    def worsened(self) -> float:
        """The share of the other inputs at which the product is worse conditioned than the map alone.

        A product may also lose rank, which a condition number does not show: see ``rank_after``.
        """
        return float((self.after > self.before).mean())


def precondition(chain: ReLUChain, x0: Any, X: Any) -> Preconditioning:
    """Fit a pre-conditioner to the local linear map at one input, and apply it to those at others.

    ``A = J(x0)^+`` makes ``A J(x0)`` the projection onto the row space of J(x0): all its nonzero singular values are
    1. At another x the product ``A J(x)`` is what the network has after such a layer.

    Args:
        chain: as ``relu_chain`` makes it of matrices and biases.
        x0: (n,).
        X: (N, n).

    Returns:
        The pre-conditioner, and condition numbers before and after it.

    Raises:
        InputError: another shape, NaN or infinite numbers, or a local map at x0 that is zero.

    Source:
        Section 3.1, the first claim.
    """
    n = chain.widths[0]
    first = as_float64(x0, "x0", shape=(n,))
    inputs = as_float64(X, "X", shape=(None, n))
    maps = list(chain.local_maps(first))
    rank = maps[-1].rank
    if not rank:
        raise InputError("x0", expected="an input with a local map that is not zero", got="one at which it is")
    U, values, V = np.linalg.svd(maps[-1].matrix, full_matrices=False)
    matrix = (V[:rank].T / values[:rank]) @ U[:, :rank].T
    fitted = _conditioning(matrix, maps[-1].condition, maps, maps)
    elsewhere = (_conditioning(matrix, maps[-1].condition, maps, list(chain.local_maps(x))) for x in inputs)
    return Preconditioning(matrix, fitted, tuple(elsewhere))


def random_precondition(widths: Sequence[int], samples: int = 20, seed: int = 0) -> Preconditioning:
    """The experiment with normal matrices of variance ``2 / d_{l-1}``, zero biases, and standard normal inputs.

    Args:
        widths: ``n, d_1, ..., d_L``.
        samples: N, the number of inputs beside x0, at least 1.
        seed: of the matrices and the inputs.

    Raises:
        InputError: fewer than two widths, one below 1, no samples, or a local map at x0 that is zero.
    """
    if samples < 1:
        raise InputError("samples", expected="at least 1", got=str(samples))
    generator = np.random.default_rng(seed)
    chain = gaussian_chain(widths, generator)
    inputs = generator.normal(size=(samples + 1, widths[0]))
    return precondition(chain, inputs[0], inputs[1:])


def _conditioning(
    matrix: FloatArray, condition: float, fitted: Sequence[LocalMap], maps: Sequence[LocalMap]
) -> Conditioning:
    """What the pre-conditioner does; its own relative error is the condition number times what the SVD rounds."""
    last = maps[-1]
    values = np.linalg.svd(matrix @ last.matrix, compute_uv=False)
    size, largest = float(np.linalg.norm(matrix, 2)), float(last.singular_values[0])
    error = size * (last.error + (1.0 + condition) * max(matrix.shape) * EPSILON * largest)
    rank = int((values > error).sum())
    differing = sum(int((here.active != there.active).sum()) for here, there in zip(maps, fitted, strict=True))
    after = float(values[0] / values[rank - 1]) if rank else float("nan")
    return Conditioning(differing, last.rank, last.condition, rank, after, error)


__all__ = ["Conditioning", "Preconditioning", "precondition", "random_precondition"]
