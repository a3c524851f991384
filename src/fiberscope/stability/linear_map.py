"""Linear maps that are known by their products only, and the door through which they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope.stability.powers_of_two import exponent_of, times_power

EPS = float(np.finfo(np.float64).eps)
NUMBER = 8.0
"""Bytes of a number."""
MEMORY = 1e9
"""Bytes that the vectors of a method may take unless the caller says otherwise."""
ADJOINT = 1e-3
"""How far ``<u, J v>`` and ``<J^T u, v>`` may lie apart, relative to their usual size for random u and v.

Of products in float32, rounding leaves 1e-7; of a wrong adjoint, they have nothing to do with each other.
"""

LIFT = 1000
"""Maps below 2^(-LIFT / 2) are multiplied with vectors of length 2^LIFT, so that no product is a subnormal number."""
LIFT_OF_ZERO = 100
"""The same for maps of which nothing is seen yet: within the range of float32, too."""


@runtime_checkable
class LinearMap(Protocol):
    """A linear map ``J : R^n -> R^m`` that gives products: an array, a sparse array of scipy, a linearization."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)``."""
        ...

    @property
    def T(self) -> Any:  # noqa: N802  # as of an array
        """The adjoint, of shape (n, m), which gives products in the same way."""
        ...

    def __matmul__(self, v: Any, /) -> Any:
        """``J v``: (n,) -> (m,), or of each column of a batch: (n, k) -> (m, k)."""
        ...


class CheckedMap:
    """The products of a linear map between its smaller side, of dimension p, and its larger side, of dimension q.

    ``A = J`` if m >= n, else ``A = J^T``: so A is (q, p) with p <= q, and has the singular values of J. Every product
    is tested: its shape, its type, and whether it is finite. All are divided by 2^k, so that squares of them
    neither overflow nor vanish.

    Attributes:
        shape: (m, n), of J.
        products: how many vectors were multiplied with J or J^T so far.
        exponent: k, with 2^k near the size of J's products; set by ``checked_map``.
        lift: vectors are multiplied by 2^lift before they go through J, and products divided by it.
    """

    def __init__(self, J: LinearMap, what: str) -> None:
        self._J, self._adjoint, self._what = J, J.T, what
        self.shape = int(J.shape[0]), int(J.shape[1])
        self.products = 0
        self.exponent = self.lift = 0

    @property
    def tall(self) -> bool:
        """Whether A is J itself, so that the smaller side is that of the inputs."""
        return self.shape[0] >= self.shape[1]

    @property
    def smaller(self) -> int:
        """``p = min(m, n)``: the number of singular values."""
        return min(self.shape)

    @property
    def larger(self) -> int:
        """``q = max(m, n)``."""
        return max(self.shape)

    def up(self, V: Float64[FloatArray, "p k"]) -> Float64[FloatArray, "q k"]:
        """``A V``."""
        return self.apply(V) if self.tall else self.adjoint(V)

    def down(self, U: Float64[FloatArray, "q k"]) -> Float64[FloatArray, "p k"]:
        """``A^T U``."""
        return self.adjoint(U) if self.tall else self.apply(U)

    def apply(self, V: Float64[FloatArray, "n k"]) -> Float64[FloatArray, "m k"]:
        """``J V``."""
        return self._product(self._J, V, f"{self._what} @ v", self.shape[0])

    def adjoint(self, U: Float64[FloatArray, "m k"]) -> Float64[FloatArray, "n k"]:
        """``J^T U``."""
        return self._product(self._adjoint, U, f"{self._what}.T @ u", self.shape[1])

    def _product(self, J: Any, V: Float64[FloatArray, "d k"], what: str, rows: int) -> Float64[FloatArray, "r k"]:
        self.products += V.shape[1]
        shape = (rows, V.shape[1])
        try:
            result: NDArray[Any] = np.asarray(J @ (times_power(V, self.lift) if self.lift else V))
        except (TypeError, ValueError) as error:
            raise InputError(
                what,
                expected=f"a product with an array of shape {V.shape}",
                got=f"{type(error).__name__}: {error}",
                hint="wrap the map so that J @ v takes and gives numpy arrays, also for (n, k) batches",
            ) from error
        if result.shape != shape or result.dtype.kind not in "biuf":
            raise InputError(
                what,
                expected=f"real numbers of shape {shape}",
                got=f"an array of type {result.dtype} and shape {result.shape}",
            )
        product = times_power(result.astype(np.float64), -self.exponent - self.lift)
        if not np.isfinite(product).all():
            bad = result[~np.isfinite(product)].flat[0]
            raise InputError(
                what, expected="finite numbers", got=str(bad), hint="the map has NaN or infinite entries, or overflows"
            )
        return product


def checked_map(J: Any, what: str = "J") -> CheckedMap:
    """Test a linear map at the door: ``<u, J v> = <J^T u, v>`` for one random u and v.

    Args:
        J: (m, n), a ``LinearMap``.
        what: the argument's name, for the error message.

    Returns:
        The map, with every product tested and counted, those of this test included.

    Raises:
        InputError: J has no shape, adjoint or products, a shape is wrong, a product is not finite, or J.T is not the
            adjoint of J.

    Source:
        The test is that of J. Claerbout, Earth Soundings Analysis, 1992 (dot-product test).
    """
    if not isinstance(J, LinearMap):
        raise InputError(
            what,
            expected="a linear map, with a shape, an adjoint T and products J @ v",
            got=type(J).__name__,
            hint="arrays, sparse arrays of scipy and fiberscope.linearize(...) are linear maps",
        )
    _check_shape(J, what)
    checked = CheckedMap(J, what)
    m, n = checked.shape
    rng = np.random.default_rng(0)
    v, u = rng.standard_normal((n, 1)), rng.standard_normal((m, 1))
    Jv, Ju = checked.apply(v), checked.adjoint(u)
    if not (Jv.any() or Ju.any()):  # a map of subnormal numbers may round to zero what it does to small vectors
        checked.lift, checked.exponent = LIFT_OF_ZERO, -LIFT_OF_ZERO
        Jv, Ju = checked.apply(v), checked.adjoint(u)
    checked.exponent += max((exponent_of(product) for product in (Jv, Ju) if product.any()), default=-checked.exponent)
    checked.lift = LIFT if checked.exponent < -LIFT // 2 else 0
    if checked.lift:
        Jv, Ju = checked.apply(v), checked.adjoint(u)
    else:
        Jv, Ju = times_power(Jv, -checked.exponent), times_power(Ju, -checked.exponent)
    gap = abs(float((u * Jv).sum()) - float((Ju * v).sum()))
    usual = max(
        np.linalg.norm(u) * np.linalg.norm(Jv) / np.sqrt(m), np.linalg.norm(v) * np.linalg.norm(Ju) / np.sqrt(n)
    )
    if gap > ADJOINT * usual:
        raise InputError(
            f"{what}.T",
            expected=f"the adjoint of {what}: <u, J v> = <J^T u, v>",
            got=f"a difference of {gap / float(usual):.1g} times its usual size, for random u and v",
        )
    return checked


def _check_shape(J: LinearMap, what: str) -> None:
    shapes: list[tuple[Any, ...]] = []
    for part, name in ((J, what), (J.T, f"{what}.T")):
        try:
            shape: tuple[Any, ...] = tuple(part.shape)
        except (AttributeError, TypeError) as error:
            raise InputError(f"{name}.shape", expected="(m, n)", got=str(error)) from error
        if len(shape) != 2 or not all(isinstance(d, int | np.integer) and d > 0 for d in shape):
            raise InputError(f"{name}.shape", expected="(m, n), both at least 1", got=str(shape))
        shapes.append(shape)
    if shapes[0] != shapes[1][::-1]:
        raise InputError(f"{what}.T.shape", expected=str(shapes[0][::-1]), got=str(shapes[1]))


Progress = Callable[[int, int], None]
"""Called with the number of products so far and the most that there may be."""

__all__ = ["EPS", "MEMORY", "NUMBER", "CheckedMap", "LinearMap", "Progress", "checked_map"]
