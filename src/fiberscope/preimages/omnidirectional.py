"""Omnidirectionality [Definition 1, Corollary 2, Theorem 5] and unique solutions of inequality systems [Theorem 12]."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray, as_float64
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, checked_rows
from fiberscope.network.signs import exact_signs, row_entries
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.decide import decide_at_input
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import Preimage
from fiberscope.showing.shown import Shown, answer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Omnidirectionality(Shown):
    """Whether ``A x <= 0`` implies ``x = 0``.

    Attributes:
        holds: True, False, or None where it is not settled.
        certificate: proves the kind of ``{x : A x <= 0}`` at 0: a singleton iff A is omnidirectional. Its tangent face
            then has the positive multipliers of Stiemke's theorem; otherwise its recession face has a direction.
        margin: how far from the opposite answer, in [0, 1]; see ``fiberscope.preimages.margin``.
        reason: in words, where it does not hold or is not settled.
        cone: the preimage that the certificate is about; ``fiberscope.verify(cone)`` re-checks it.
    """

    holds: bool | None
    certificate: Certificate
    margin: float
    reason: str
    cone: Preimage

    def __bool__(self) -> bool:
        return self.holds is True

    def _line(self) -> str:
        return answer(self.holds, self.margin, self.reason)


@dataclass(frozen=True, eq=False, repr=False)
class UniqueSolution(Shown):
    """Whether x0 is the only solution of ``A x + b <= 0``.

    Attributes:
        holds: True, False, or None where it is not settled.
        active_rows: the rows I with ``a_i x0 + b_i = 0``, exactly.
        certificate: as in ``Omnidirectionality``, for the active rows.
        margin: how far from the opposite answer, in [0, 1].
        reason: in words, where it is not settled.
        solutions: the set of solutions as a preimage; ``fiberscope.verify(solutions)`` re-checks the answer.
    """

    holds: bool | None
    active_rows: IntArray
    certificate: Certificate
    margin: float
    reason: str
    solutions: Preimage

    def __bool__(self) -> bool:
        return self.holds is True

    def _line(self) -> str:
        return answer(self.holds, self.margin, self.reason)


def omnidirectional(
    A: Tensor | ArrayLike, b: Tensor | ArrayLike | None = None, p: Tensor | ArrayLike | None = None
) -> Omnidirectionality:
    """Decide whether A, or the tuple (A, b) for the point p, is omnidirectional [Definition 1].

    A is omnidirectional iff ``A x <= 0`` implies ``x = 0``; equivalently (Stiemke) rank A = n and ``A^T lambda = 0``
    for some ``lambda > 0``. (A, b) is omnidirectional for p iff A is and ``b = -A p``, exactly.

    Args:
        A: (m, n).
        b: (m,), together with p.
        p: (n,), together with b.

    Returns:
        Whether it is, with the certificate that proves the answer.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers, or only one of b and p.
    """
    if (b is None) != (p is None):
        raise InputError("omnidirectional", expected="both b and p, or neither", got="only one of them")
    layer = ReLULayer(checked_rows(A, "A"))
    m, n = layer.outputs, layer.inputs
    cone = Preimage.of(decide_at_input(layer, None, np.zeros(n)))
    holds = None if cone.kind == Kind.UNDECIDED else cone.kind == Kind.SINGLETON
    reason = (
        cone.reason
        if holds is not False
        else f"a nonzero x satisfies A x <= 0: these x form a cone of dimension {cone.dimension}"
    )
    if b is not None:
        offsets, point = as_float64(b, "b", shape=(m,)), as_float64(p, "p", shape=(n,))
        missed = np.flatnonzero(exact_signs(layer.weight, point, offsets))
        if len(missed):
            holds, reason = False, _missed(layer.weight, point, offsets, missed)
    return Omnidirectionality(holds, cone.certificate, cone.margin, reason, cone)


def unique_solution(A: Tensor | ArrayLike, b: Tensor | ArrayLike, x0: Tensor | ArrayLike) -> UniqueSolution:
    """Decide whether x0 is the only solution of ``A x + b <= 0`` [Theorem 12].

    It is iff the rows I that are active at x0 make (A_I, b_I) omnidirectional for x0.

    Args:
        A: (m, n).
        b: (m,).
        x0: (n,), a solution.

    Returns:
        Whether it is the only one, with what proves the answer.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers, or x0 is no solution.
    """
    layer = ReLULayer(A, b)
    point = as_float64(x0, "x0", shape=(layer.inputs,))
    signs = exact_signs(layer.weight, point, layer.bias)
    if (signs > 0).any():
        raise InputError(
            "x0", expected="a solution of A x + b <= 0", got=f"one that violates row {int(np.argmax(signs > 0))}"
        )
    solutions = Preimage.of(decide_at_input(layer, None, point))
    holds = None if solutions.kind == Kind.UNDECIDED else solutions.kind == Kind.SINGLETON
    return UniqueSolution(
        holds, np.flatnonzero(signs == 0), solutions.certificate, solutions.margin, solutions.reason, solutions
    )


def _missed(A: Rows, p: FloatArray, b: FloatArray, rows: IntArray) -> str:
    i = int(rows[0])
    columns, entries = row_entries(A, i)
    terms = zip(entries.tolist(), p[columns].tolist(), strict=True)
    offset = sum((Fraction(a) * Fraction(v) for a, v in terms), Fraction(float(b[i])))
    return (
        f"b is not -A p: {len(rows)} hyperplanes do not pass through p; a_i p + b_i = {float(offset):.3g} for i = {i}"
    )


__all__ = ["Omnidirectionality", "UniqueSolution", "omnidirectional", "unique_solution"]
