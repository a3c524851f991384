"""The face of a cone in coordinates of the null space of its equalities, where these leave few.

Solutions of ``H d = 0`` may grow and fall by orders of magnitude, as those of convolutions do, so that no units suit
all of them: in the coordinates of d a program tells nothing apart. With a basis D of the null space ``d = D c`` leaves
the rows ``W D`` in the coordinates c; units of rows, and of the coordinates of d, are looked for that suit the face
(``rescaling``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.equalities import Equalities, powers_of_two
from fiberscope.preimages.rescaling import Split, split

FEW_COORDINATES, MAX_COORDINATES = 32, 640
"""Of the null space, up to which an answer takes less than half a second, and up to which it takes some seconds."""


@dataclass(frozen=True, eq=False)
class Partition:
    """What vanishes on ``{d : H d = 0, W d <= 0}``, and what is strict.

    Attributes:
        implicit: (l,) the rows of W that vanish.
        weights: (l,) of them, positive there, zero elsewhere.
        free: (p,) weights of the rows of H, with which they cancel.
        direction: (n,) zero on H and the implicit rows, strict on the others; None where the cone is {0}.
        null: the dimension of the null space of H.
        rank: the rank of the implicit rows on it.
        units: (n,) of the coordinates, powers of two that suit these vectors.
    """

    implicit: BoolArray
    weights: FloatArray
    free: FloatArray
    direction: FloatArray | None
    null: int
    rank: int
    units: FloatArray

    @property
    def exponents(self) -> IntArray:
        """(n,) those of the units."""
        return np.frexp(self.units)[1].astype(np.int64) - 1


def partition(
    H: Float64[FloatArray, "p n"], W: Float64[FloatArray, "l n"], budget: Budget, most: int = MAX_COORDINATES
) -> Partition | None:
    """Find the face of a cone of rows that are not zero; None where the null space is too large, or nothing is found.

    Raises:
        TooLargeError: the budget is spent.
    """
    n = H.shape[1]
    if len(H) + most < n or not len(H) or not len(W):
        return None
    budget.check("the null space of the equalities was looked for")
    of_rows, of_others = (powers_of_two(np.abs(rows).max(axis=1)) for rows in (H, W))
    as_given = np.ones_like(H[0])
    try:
        found = _found(_Cone(H / of_rows[:, None], W / of_others[:, None], as_given, None), budget, most)
    except LinAlgError:  # float64 does not hold numbers so far apart
        return None
    if found is None or not found.null:
        return None
    d, units = found.direction, found.units
    if d is not None:
        largest: FloatArray = powers_of_two(np.array([np.abs(d).max()]))
        own: FloatArray = np.where(d != 0, powers_of_two(np.abs(d)), units)
        d, units = d / largest, own / largest
    return replace(found, weights=found.weights / of_others, free=found.free / of_rows, direction=d, units=units)


@dataclass(frozen=True, eq=False)
class _Cone:
    """``{d : H d = 0, W d <= 0}``, of rows of size one.

    Attributes:
        H: (p, n).
        W: (l, n).
        units: (n,) of coordinates, and of rows, to begin with.
        z: (l,) or None.
    """

    H: FloatArray
    W: FloatArray
    units: FloatArray
    z: FloatArray | None


def _found(cone: _Cone, budget: Budget, most: int) -> Partition | None:
    """The face: at once, or that of what implicit rows leave."""
    H, W = cone.H, cone.W
    moving = ~(H[(H != 0).sum(axis=1) == 1] != 0).any(axis=0)
    while True:
        rows = H[:, moving]
        rows = rows[rows.any(axis=1)]
        equalities = Equalities.of(rows, cone.units[moving])
        null = len(equalities.units) - equalities.rank
        if null > most:
            return None
        basis = equalities.null_space()
        still = equalities.vanishing(np.eye(len(basis)), basis)
        if not still.any():
            break
        moving[moving] = ~still  # what vanishes on the whole space has no size in it
    live = ~equalities.vanishing(W[:, moving], basis)
    if not live.any():
        d = basis @ np.eye(null)[0] if null else None
        found = Split(np.zeros(0, dtype=np.bool_), np.zeros(0), d, 0, np.zeros(0), equalities.units)
        return _whole(cone, moving, live, null, found, budget)
    z = None if cone.z is None else cone.z[live]
    found = split(equalities, basis, W[np.ix_(live, moving)], z, budget)
    return None if found is None else _whole(cone, moving, live, null, found, budget)


def _whole(
    cone: _Cone, moving: BoolArray, live: BoolArray, null: int, found: Split, budget: Budget
) -> Partition | None:
    """The face in the coordinates of the question, when more rows that vanish have been looked for."""
    H, W, units, d = cone.H, cone.W, cone.units.copy(), None
    implicit, weights = ~live, np.where(live, 0.0, 1.0)  # what vanishes on the whole space does so with any weights
    implicit[live], weights[live], units[moving] = found.implicit, found.weights, found.units
    free = np.zeros(len(H))
    if implicit.any():
        free = Equalities.of(H, units).weights(-(weights @ W))
    if found.direction is not None:
        d = np.zeros(len(moving))
        d[moving] = found.direction
        alone = (W != 0).sum(axis=1) == 1
        d[(W[alone & implicit] != 0).any(axis=0)] = 0.0  # a coordinate that vanishes does so exactly
    if found.rank is not None:
        return Partition(implicit, weights, free, d, null, found.rank, units)
    z = np.ones(len(W))
    z[live] = found.z
    smaller = _Cone(np.concatenate([H, W[implicit]]), W[~implicit], units, z[~implicit])
    rest = _found(smaller, budget, null)
    if rest is None:
        return None
    of_H, of_implicit = rest.free[: len(H)], rest.free[len(H) :]
    # what weighs the other rows takes implicit ones with any sign: enough of their own weights makes all positive
    share = 2.0 * float(np.max(np.abs(of_implicit) / weights[implicit])) or 1.0
    weights[implicit] = of_implicit + share * weights[implicit]
    weights[~implicit], implicit[~implicit] = rest.weights, rest.implicit
    free, rank = of_H + share * free, null - rest.null + rest.rank
    return Partition(implicit, weights, free, rest.direction, null, rank, rest.units)


__all__ = ["Partition", "partition"]
