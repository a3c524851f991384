"""All singular values of a map that fits into memory, with error bounds that are measured, not assumed.

Of the local linear map of a network, the rows are kept in windows of the input as far as they go. Errors are measured
against these rows; where a Gram matrix is built of them, how far they are from the network itself is measured, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, assert_never

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.errors import InputError, shown
from fiberscope.memory import MATRIX_BYTES, check_size
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.scalars import as_count, as_number
from fiberscope.stability.factorizations import Method, by_gram, by_qr, by_svd, of_squares
from fiberscope.stability.gram_eigenvalues import Product, gram_eigenvalues
from fiberscope.stability.linearization import Linearization
from fiberscope.stability.measured_errors import Columns, frobenius, image, lengths
from fiberscope.stability.powers_of_two import exponent_of, times_power
from fiberscope.stability.spectrum import Spectrum
from fiberscope.stability.windowed_rows import LocalRows, gram, gram_product, outer_gram

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fiberscope.stability.linear_map import LinearMap

SMALL = 256
"""Values up to which the singular value decomposition with vectors costs next to nothing."""


def singular_values(
    J: LinearMap | Tensor | ArrayLike, method: str = "auto", *, seed: int = 0, max_bytes: int = MATRIX_BYTES
) -> Spectrum:
    """All singular values of a linear map, each with an error bound.

    Args:
        J: what ``linearize`` gives, or a matrix (m, n).
        method: "auto", "gram", "qr" or "svd", as in ``Method``.
        seed: of the random vectors that errors are measured with.
        max_bytes: how much the rows of J, or its Gram matrix, may take.

    Returns:
        min(m, n) values, descending; rank and condition number; for each value a bound on how far it is from the true
        one of exactly the numbers in J. The bounds hold together except with probability 10^-10, by the choice of
        random vectors.

    Raises:
        InputError: an unknown method; NaN or infinite numbers; a matrix that is too large; a singular value above
            1.8e308, which float64 does not hold.

    Source: Weyl's inequality for singular values; section 3.2 of the paper.
    """
    way, seed = checked_method(method), as_count(seed, "seed", 0)
    max_bytes = int(as_number(max_bytes, "max_bytes", least=0.0, below=inf))
    if not isinstance(J, Linearization):
        if hasattr(J, "relu_layers") or hasattr(J, "input_shape"):
            hint = "of a network, take fiberscope.linearize(network, x); of a layer, its weight"
            raise InputError("J", expected="a matrix or a linear map", got=shown(J), hint=hint)
        return matrix_spectrum(as_float64(J, "J", shape=(None, None)), way, seed)
    check_gram(J.shape, max_bytes)
    return local_spectrum(J, J.rows(max_bytes=max_bytes), way, seed)


def checked_method(method: str) -> Method:
    """A way to compute singular values, by its name.

    Raises:
        InputError: there is none of this name.
    """
    if method not in list(Method):
        raise InputError("method", expected=" or ".join(map(repr, map(str, Method))), got=shown(method))
    return Method(method)


def check_gram(shape: tuple[int, int], max_bytes: int) -> None:
    """InputError if the Gram matrix of a map of this shape takes more than so many bytes."""
    check_size("the Gram matrix", (min(shape), min(shape)), max_bytes)


def local_spectrum(J: Linearization, rows: LocalRows, method: Method, seed: int = 0) -> Spectrum:
    """The singular values of a local linear map from its rows.

    Args:
        J: the map (m, n).
        rows: its rows.
        method: as in ``singular_values``.
        seed: of the random vectors that errors are measured with.
    """
    rows = rows.nonzero()
    smaller = min(len(rows.units), rows.inputs)
    if method is Method.GRAM or (method is Method.AUTO and smaller > SMALL):
        found = _by_products(J, rows, np.random.default_rng(seed)).of_rank_at_most(rows.most)
        if method is Method.GRAM or found.is_resolved:
            return found
        method = Method.QR
    found = matrix_spectrum(rows.whole().cpu().numpy(), method, seed)
    return found.of_rank_at_most(rows.most).of_shape(J.shape)


def _by_products(J: Linearization, rows: LocalRows, generator: np.random.Generator) -> Spectrum:
    """From the smaller Gram matrix of the rows that are stored, or of the columns that are not zero."""
    if not len(rows.units):
        return _zero(J.shape, Method.GRAM)
    problem = _outer(J, rows) if len(rows.units) < rows.inputs else _inner(J, rows)
    squares = gram_eigenvalues(problem.square, problem.product, generator)
    return of_squares(squares, J.shape).times_power(rows.exponent()).of_shape(J.shape)


@dataclass(frozen=True, eq=False)
class _Squares:
    """A Gram matrix, and products with what it was built of."""

    square: FloatArray
    product: Product


def _outer(J: Linearization, rows: LocalRows) -> _Squares:
    exponent, units = rows.exponent(), rows.units
    whole = times_power(rows.whole().cpu().numpy(), -exponent)
    norm = frobenius(whole)

    def product(W: Columns) -> Columns:
        exact = image(whole, image(whole.T, W), norm)
        return _beside(exact, _through_network(J.adjoint, J.forward, J.shape[0], units, W, exponent))

    return _Squares(outer_gram(rows, exponent), product)


def _inner(J: Linearization, rows: LocalRows) -> _Squares:
    exponent = rows.exponent()
    square, used = gram(rows, exponent)
    square = square if used.all() else np.ascontiguousarray(square[np.ix_(used, used)])
    chosen = torch.tensor(np.flatnonzero(used), device=rows.units.device)

    def product(W: Columns) -> Columns:
        whole = np.zeros((rows.inputs, W.values.shape[1]), dtype=np.longdouble)
        whole[used] = W.values
        exact = gram_product(rows, exponent, Columns(whole, W.error))
        exact = Columns(exact.values[used], exact.error)
        return _beside(exact, _through_network(J.forward, J.adjoint, J.shape[1], chosen, W, exponent))

    return _Squares(square, product)


def _through_network(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    size: int,
    chosen: Tensor,
    W: Columns,
    exponent: int,
) -> FloatArray:
    """``J^T J W``, or ``J J^T W``, times ``4^-exponent``, by products that go through the network."""
    vectors = torch.zeros(W.values.shape[1], size, dtype=torch.float64, device=chosen.device)
    vectors[:, chosen] = torch.tensor(W.values.T.astype(np.float64), device=chosen.device)
    half = times_power(first(vectors).cpu().numpy(), -exponent)
    return times_power(second(torch.tensor(half, device=chosen.device))[:, chosen].cpu().numpy(), -exponent).T


def _beside(exact: Columns, seen: FloatArray) -> Columns:
    """The products with stored rows, as uncertain as those with the network say that the rows are."""
    return Columns(exact.values, exact.error + lengths(exact.values - seen))


def matrix_spectrum(A: Float64[FloatArray, "m n"], method: Method = Method.SVD, seed: int = 0) -> Spectrum:
    """The singular values of a matrix, which may have no rows.

    Raises:
        InputError: a value is larger than float64 can hold.
    """
    rows, columns = A.any(axis=1), A.any(axis=0)
    kept = A if rows.all() and columns.all() else A[np.ix_(rows, columns)]
    if not kept.size:
        return _zero(A.shape, _named(method))
    exponent = exponent_of(kept)
    tall = np.asfortranarray(times_power(kept if kept.shape[0] >= kept.shape[1] else kept.T, -exponent))
    return _spectrum(tall, method, np.random.default_rng(seed)).times_power(exponent).of_shape(A.shape)


def _zero(shape: tuple[int, int], method: Method) -> Spectrum:
    return Spectrum(np.zeros(0), np.zeros(0), 0.0, method, shape).of_shape(shape)


def _named(method: Method) -> Method:
    return Method.SVD if method is Method.AUTO else method


def _spectrum(A: Float64[FloatArray, "p q"], method: Method, generator: np.random.Generator) -> Spectrum:
    match method:
        case Method.AUTO:
            if A.shape[1] <= SMALL:
                return by_svd(A, generator)
            found = by_gram(A, generator)
            return found if found.is_resolved else by_qr(A, generator)
        case Method.GRAM:
            return by_gram(A, generator)
        case Method.QR:
            return by_qr(A, generator)
        case Method.SVD:
            return by_svd(A, generator)
        case _:
            assert_never(method)


__all__ = ["check_gram", "checked_method", "local_spectrum", "matrix_spectrum", "singular_values"]
