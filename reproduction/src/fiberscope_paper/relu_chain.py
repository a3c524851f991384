"""A chain of matrices with a ReLU after each, and its local linear maps, for the experiments of section 3.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, as_float64

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class LocalMap:
    """``J = D_l A_l ... D_1 A_1`` after one layer of the chain, or ``A_l ... A_1`` without ReLUs.

    Attributes:
        matrix: J, (d_l, n).
        singular_values: (min(d_l, n),) of J, in descending order.
        error: how far they may be off, to first order: what the products round, ``max(d, n) eps |A| |J|`` per layer and
            multiplied by ``|A|`` of the later ones, and ``max(d, n) eps sigma_1`` of the SVD. Up to it they count as 0.
        active: (d_l,) the neurons with a positive pre-activation, as float64 computes it; all of them without ReLUs.
    """

    matrix: FloatArray
    singular_values: FloatArray
    error: float
    active: BoolArray

    @property
    def rank(self) -> int:
        """The number of singular values that count as nonzero."""
        return int((self.singular_values > self.error).sum())

    @property
    def condition(self) -> float:
        """The largest singular value over the smallest nonzero one; NaN for a zero map."""
        values = self.singular_values
        return float(values[0] / values[self.rank - 1]) if self.rank else float("nan")


@dataclass(frozen=True, eq=False)
class ReLUChain:
    """``x -> ReLU(A_L ... ReLU(A_1 x + b_1) ... + b_L)``.

    Attributes:
        weights: A_1 (d_1, n), A_2 (d_2, d_1), ...
        biases: b_1 (d_1,), b_2 (d_2,), ...
        norms: ``|A_1|, |A_2|, ...``, the largest singular values.
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    norms: tuple[float, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """``n, d_1, ..., d_L``."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    def local_maps(self, x: Float64[FloatArray, " n"]) -> Iterator[LocalMap]:
        """The local linear map at x after each ReLU."""
        previous: LocalMap | None = None
        for weight, bias, norm in zip(self.weights, self.biases, self.norms, strict=True):
            before = weight @ x + bias
            x = np.maximum(before, 0.0)
            previous = _composed(weight, norm, previous, before > 0)
            yield previous

    def linear_maps(self) -> Iterator[LocalMap]:
        """The same products with every ReLU left out."""
        previous: LocalMap | None = None
        for weight, norm in zip(self.weights, self.norms, strict=True):
            previous = _composed(weight, norm, previous, np.ones(len(weight), dtype=np.bool_))
            yield previous


def relu_chain(weights: Sequence[Any], biases: Sequence[Any] | None = None) -> ReLUChain:
    """A chain of the caller's matrices.

    Args:
        weights: A_1 (d_1, n), A_2 (d_2, d_1), ..., at least one.
        biases: b_1 (d_1,), ...; None for zeros.

    Raises:
        InputError: no matrix, shapes that do not fit, NaN or infinite numbers.
    """
    matrices = tuple(as_float64(weight, f"weights[{i}]", shape=(None, None)) for i, weight in enumerate(weights))
    if not matrices:
        raise InputError("weights", expected="at least one matrix", got="none")
    for i, (inner, outer) in enumerate(pairwise(matrices), start=1):
        if outer.shape[1] != inner.shape[0]:
            raise InputError(f"weights[{i}]", expected=f"{inner.shape[0]} columns", got=f"shape {outer.shape}")
    given = [np.zeros(len(matrix)) for matrix in matrices] if biases is None else list(biases)
    if len(given) != len(matrices):
        raise InputError("biases", expected=f"{len(matrices)} vectors, one per matrix", got=str(len(given)))
    offsets = (
        as_float64(bias, f"biases[{i}]", shape=(len(matrix),))
        for i, (bias, matrix) in enumerate(zip(given, matrices, strict=True))
    )
    norms = tuple(float(np.linalg.norm(matrix, 2)) for matrix in matrices)
    return ReLUChain(matrices, tuple(offsets), norms)


def orthogonal_chain(widths: Sequence[int], generator: np.random.Generator) -> ReLUChain:
    """Random matrices with orthonormal columns, uniformly distributed among them, and zero biases.

    Args:
        widths: ``n, d_1, ..., d_L``, none smaller than the one before it.
        generator: of the numbers.

    Raises:
        InputError: fewer than two widths, one below 1, or one that is smaller than the one before it.
    """
    _check_widths(widths)
    if any(after < before for before, after in pairwise(widths)):
        raise InputError(
            "widths", expected="none smaller than the one before it", got=str(tuple(widths)), hint="use relu_chain"
        )
    return relu_chain([_orthonormal_columns(after, before, generator) for before, after in pairwise(widths)])


def gaussian_chain(widths: Sequence[int], generator: np.random.Generator) -> ReLUChain:
    """Random matrices with independent normal entries of variance ``2 / d_{l-1}``, and zero biases.

    Raises:
        InputError: fewer than two widths, or one below 1.
    """
    _check_widths(widths)
    return relu_chain(
        [np.sqrt(2.0 / before) * generator.normal(size=(after, before)) for before, after in pairwise(widths)]
    )


def _check_widths(widths: Sequence[int]) -> None:
    """InputError unless these are at least two widths of at least 1."""
    if len(widths) < 2 or any(width < 1 for width in widths):
        raise InputError("widths", expected="at least two widths of at least 1", got=str(tuple(widths)))


def _orthonormal_columns(rows: int, columns: int, generator: np.random.Generator) -> Float64[FloatArray, "d k"]:
    Q, R = np.linalg.qr(generator.normal(size=(rows, columns)))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)  # with a positive diagonal of R the distribution is uniform


def _composed(
    weight: Float64[FloatArray, "d k"], norm: float, inner: LocalMap | None, active: Bool[BoolArray, " d"]
) -> LocalMap:
    """``D A J`` with its singular values, from A, ``|A|`` and the map J before it; None for the identity."""
    matrix = np.where(active[:, None], weight if inner is None else weight @ inner.matrix, 0.0)
    values = np.linalg.svd(matrix, compute_uv=False)
    size = max(*weight.shape, matrix.shape[1]) * EPSILON
    error = size * float(values[0])
    if inner is not None:
        error += norm * (inner.error + size * float(inner.singular_values[0]))
    return LocalMap(matrix, values, error, active)


__all__ = ["LocalMap", "ReLUChain", "gaussian_chain", "orthogonal_chain", "relu_chain"]
