"""Cones of layers in which branches meet, in the coordinates of the ancestor alone: what is sought there is smaller.

Around a sample the rows of such a layer are ``R_x d + R_z e``, and definitions ``A d + N e = 0`` say what e is, N
triangular with -1 on its diagonal. So ``e = T d``, ``T = -N^-1 A``, and a cone in (d, e) is one in d with the rows
``R_x + R_z T``, and those of T where e has a sign. These are rounded: what is found there is a guess, and is written in
all coordinates, whose numbers are stored ones: a direction as ``(d, T d)``, multipliers with those weights of the
definitions that make the columns of e vanish.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from scipy.sparse import linalg

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense, sparse
from fiberscope.preimages.candidate import Multipliers
from fiberscope.preimages.system import NO_ROWS, MixedSystem

MOST = 2_048
"""Coordinates of the ancestor: rows in them are dense."""

_solved: Any = cast(Any, linalg).spsolve_triangular


@dataclass(frozen=True, eq=False)
class Elimination:
    """A system in fewer coordinates, and how its answers are read.

    Attributes:
        system: the original one.
        reduced: in the n coordinates of the ancestor.
        names: for each row of the reduced system the number of the original one.
        T: (k, n) what the other coordinates are.
        defined: (k,) which they are; the others are fixed.
        N: (k, k) what the definitions read of them.
    """

    system: MixedSystem
    reduced: MixedSystem
    names: IntArray
    T: FloatArray
    defined: IntArray
    N: Any

    @classmethod
    def of(cls, system: MixedSystem) -> Elimination | None:
        """None of a system without definitions, or of a large one."""
        layer, k = system.layer, system.layer.definitions
        rows = sparse(layer.weight)
        defined = _defined(rows[np.arange(k)], system.domain)
        if not k or defined is None or int(defined[0]) > MOST:
            return None
        n = int(defined[0])
        definitions = rows[np.arange(k)]
        N: Any = cast(Any, definitions[:, defined]).tocsr()
        T = -_solved(N, dense(definitions[:, :n]), lower=True)
        smaller, names = _reduced(system, T, defined, n)
        out = cls(system, smaller, names, T, defined, N)
        parts = {name: out.numbers(getattr(system, name)) for name in ("positive", "inequalities", "tight")}
        return replace(out, reduced=replace(smaller, **parts, two_sided=NO_ROWS))

    def numbers(self, original: IntArray) -> IntArray:
        """The reduced system's numbers of some rows; without definitions, and bounds of what is fixed."""
        places = np.full(self.system.lower_side(np.array([self.system.layer.outputs]))[0], -1, dtype=np.int64)
        places[self.names] = np.arange(len(self.names))
        return places[original][places[original] >= 0]

    def direction(self, d: Float64[FloatArray, " n"]) -> FloatArray:
        """In all coordinates."""
        out = np.zeros(self.system.layer.inputs)
        out[: len(d)], out[self.defined] = d, self.T @ d
        return out

    def multipliers(self, found: Multipliers) -> Multipliers:
        """With the weights of the definitions."""
        assert isinstance(found.values, np.ndarray), "multipliers of dense rows are floats"
        named = self.names[found.rows]
        left = np.asarray(cast(Any, self.system.rows(named)).T @ found.values)[self.defined]
        weights = -_solved(self.N.T.tocsr(), left, lower=False)
        definitions = np.arange(self.system.layer.definitions)
        return Multipliers(np.concatenate([definitions, named]), np.concatenate([weights, found.values]))


def _defined(definitions: Any, domain: Polyhedron) -> IntArray | None:
    """The coordinate that each definition is about, its last one; None where that does not make them triangular."""
    if not definitions.shape[0] or (np.diff(definitions.indptr) < 1).any():
        return None
    last: IntArray = np.maximum.reduceat(definitions.indices, definitions.indptr[:-1]).astype(np.int64)
    between = np.setdiff1d(np.arange(int(last[0]), len(domain.low)), last)
    is_fixed = (domain.low[between] == domain.high[between]).all()
    return last if (np.diff(last) > 0).all() and is_fixed else None


def _reduced(system: MixedSystem, T: FloatArray, defined: IntArray, n: int) -> tuple[MixedSystem, IntArray]:
    layer, domain, k = system.layer, system.domain, system.layer.definitions
    m, wide, q = layer.outputs, layer.inputs, len(domain.h)
    rows = sparse(layer.weight)[np.arange(k, m)]
    weight = dense(rows[:, :n]) + rows[:, defined] @ T
    below, above = (np.flatnonzero(np.isfinite(side[defined])) for side in (domain.low, domain.high))
    spaces = sparse(domain.G)
    G = np.concatenate([-T[below], T[above], dense(spaces[:, :n]) + spaces[:, defined] @ T])
    places, units = np.arange(n), np.arange(k, m)
    names = np.concatenate(
        [
            units, m + places, m + wide + places,
            m + defined[below], m + wide + defined[above], m + 2 * wide + np.arange(q),
            m + 2 * wide + q + units,
        ]
    )  # fmt: skip
    smaller = ReLULayer(weight, injective=layer.injective[k:])
    box = Polyhedron(domain.low[:n], domain.high[:n], G, np.zeros(len(G)))
    reduced = replace(system, layer=smaller, domain=box, outputs=None)
    return reduced, names


__all__ = ["Elimination"]
