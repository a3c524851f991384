"""Candidates: what deciding finds, before it is written down as a certificate and proved.

Rows of the mixed system are named by numbers that do not depend on the sample. For a layer with m neurons and n inputs
and a domain ``low <= x <= high, G x <= h``:

=================  ==========================================
number             row
=================  ==========================================
i < m              ``a_i x <= hi_i``, or ``= hi_i`` on P
m + j              ``-x_j <= -low_j``
m + n + j          ``x_j <= high_j``
m + 2 n + i        ``G_i x <= h_i``
m + 2 n + q + i    ``-a_i x <= -lo_i``, the lower side of a row that is no equality
=================  ==========================================

P are the rows whose two sides agree. Rows of the layer with two sides that do not agree bound the preimage on both, and
are equalities of its recession cone: there they count to P, under the number i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.certificate import Rational, Vector
from fiberscope.preimages.kind import Kind


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Weights of rows whose combination vanishes: ``sum_i values_i row_i = 0``.

    Rows of P may have any sign, or be zero; on inequality rows the weights are positive.
    """

    rows: IntArray
    values: Vector

    @classmethod
    def zero(cls, rows: IntArray) -> Multipliers:
        """Of rows of P that matter for their rank alone."""
        return cls(rows, np.zeros(len(rows)))


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction d in the null space of the rows ``equalities``, which contain P.

    The other inequality rows i satisfy ``a_i d <= 0``; a direction into the relative interior satisfies ``a_i d < 0``.
    A float d stands for the exact direction nearest to it in that null space.
    """

    equalities: IntArray
    values: Vector


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Exact linear relations between rows of the layer, independent of each other: ``D A = 0``.

    Relation k is ``sum_i values_i a_(rows_i) = 0`` over ``starts_k <= i < starts_(k+1)``. They bound ranks from above.

    Attributes:
        starts: (k + 1,) where each relation begins, and where the last one ends.
        rows: (z,) row numbers below m.
        values: (z,) the coefficients.
    """

    starts: IntArray
    rows: IntArray
    values: FloatArray


@dataclass(frozen=True)
class BoundedDomain:
    """The domain bounds every coordinate on both sides, so no preimage in it is unbounded."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Coordinates that no domain bounds, more than rows of all kinds that read one of them: they hold a line."""

    coordinates: IntArray


@dataclass(frozen=True)
class NegativeOutput:
    """Unit ``index`` gives none of the outputs that are possible there, whatever the input."""

    index: int


@dataclass(frozen=True, eq=False)
class Inconsistent:
    """Rows of P, more than the coordinates that they read, that are independent together with their right-hand sides.

    A solution x would make the right-hand sides a combination of those coordinates' columns.
    """

    rows: IntArray


@dataclass(frozen=True, eq=False)
class Candidate:
    """Why a verdict holds. Every part is optional; which are needed depends on the kind.

    Attributes:
        kind: the kind that is proved.
        dimension: the dimension that is proved; -1 for empty, None for undecided. Also None where several samples of
            different dimensions share the certificate: what is proved is then the dimension of each one's verdict.
        point: with ``y=``: a point of the preimage, strict on every inequality row outside ``implicit``.
            A float point stands for the exact solution of the equalities nearest to it.
        implicit: positive multipliers on the implicit equalities E (inequality rows that are tight on the whole
            preimage) and multipliers on P: ``A_P^T mu + A_E^T lambda = 0``; None where E is empty.
        interior: with ``x=``: a direction that is zero on P and E, and strictly negative on all other tight rows; rows
            that are not tight may hold it, too.
        recession: for bounded: multipliers with rank n, which are zeros where the equalities of the recession cone have
            that rank alone, or the bounded domain; for unbounded: a nonzero direction of that cone, or coordinates that
            hold one.
        infeasible: for empty: Farkas multipliers whose right-hand sides sum to a negative number, rows of P that no x
            satisfies together, or an output that a unit never gives.
        dependencies: relations between rows of the layer, where ranks depend on them.
        units: vectors whose entries are units of coordinates in which proofs may close.
    """

    kind: Kind
    dimension: int | None
    point: Vector | None = None
    implicit: Multipliers | None = None
    interior: Direction | None = None
    recession: Multipliers | Direction | BoundedDomain | Counted | None = None
    infeasible: Multipliers | Inconsistent | NegativeOutput | None = None
    dependencies: Dependencies | None = None
    units: tuple[FloatArray, ...] = ()

    def mapped(
        self,
        part: Callable[[Multipliers | Direction], Multipliers | Direction],
        point: Callable[[Vector], Vector],
    ) -> Candidate:
        """The same with other vectors; parts that are one object stay one."""
        done: dict[int, object] = {}

        def once(old: Any) -> Any:
            if not isinstance(old, Multipliers | Direction):
                return old
            if id(old) not in done:
                done[id(old)] = part(old)
            return done[id(old)]

        parts = {name: once(getattr(self, name)) for name in ("implicit", "interior", "recession", "infeasible")}
        units = tuple(np.asarray(point(unit)) for unit in self.units)
        return replace(self, point=None if self.point is None else point(self.point), units=units, **parts)


__all__ = [
    "BoundedDomain",
    "Candidate",
    "Counted",
    "Dependencies",
    "Direction",
    "Inconsistent",
    "Multipliers",
    "NegativeOutput",
    "Rational",
    "Vector",
]
