"""Bounds for nothing: multipliers of all coordinates at once, from those that prove that inputs are bounded.

Let d lead from the guess to an input with the features, ``low_i <= R_i d <= high_i`` on the layer's rows and the
domain's half-spaces. Sides of the domain that the guess lies on hold ``d_j >= 0`` or ``d_j <= 0``. Where these and the
rows with two sides leave nothing but d = 0 if the features are known exactly, a certificate has multipliers mu, of the
right signs on half-spaces, with ``R^T mu + nu = 0`` and nu of the right signs on held coordinates H, 0 on the others F.
With a left inverse L of the rows on F, every row w of it solves ``R^T w = e_j`` on F, but may have wrong signs;
``w + t mu`` has them right for the least t that is large enough, and bounds ``d_j`` by weak duality. No program is
solved, and no coordinate by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Box, Domain, HalfSpaces, Polyhedron, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.certificate import Rational
from fiberscope.preimages.enclosure import LARGEST
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import Preimage, preimage
from fiberscope.recovery.question import Known

RESOLVED = 2.0**-36
"""The share of the largest below which a diagonal of a triangular factor says that a rank is not full."""

EXACT = 2.0**-40
"""The share of what a row gives at the guess that counts as the width of an interval that has none."""


BESIDE = 2.0**-10
"""Of the domain's width, a quarter of a grey level: a guess that near to a side may be meant to lie on it."""


@dataclass(frozen=True, eq=False)
class Duals:
    """What bounds all coordinates: multipliers of the layer's rows and of half-spaces.

    Attributes:
        anchor: (n,) the point beside which they are evaluated: any.
        multipliers: two of (n, m + q), for the lower and the upper bound of each coordinate.
    """

    anchor: Float64[FloatArray, " n"]
    multipliers: tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Rows:
    """``low <= R d <= high`` beside a guess, of d that leads to an input with the features, and held coordinates.

    Attributes:
        stack: (M, n) R, of the layer and of half-spaces.
        low: (M,) -inf for no side.
        high: (M,) inf for no side.
        held: (n,) 1 for coordinates on their lower end, -1 on their upper one, 0 elsewhere.
    """

    stack: FloatArray
    low: FloatArray
    high: FloatArray
    held: FloatArray

    @classmethod
    def beside(cls, layer: ReLULayer, known: Known, box: Polyhedron, x: FloatArray) -> Rows:
        """Those of a layer's features."""
        stack = np.concatenate([dense(layer.weight), dense(box.G)]) if len(box.h) else dense(layer.weight)
        z = stack @ x
        low = np.where(known.low > layer.low, known.low - layer.bias, -np.inf)
        high = np.where(known.high < layer.high, known.high - layer.bias, np.inf)
        low, high = np.append(low, np.full(len(box.h), -np.inf)) - z, np.append(high, box.h) - z
        held = (x <= box.low) * 1.0 - (x >= box.high) * 1.0
        return cls(stack, low, high, held)

    @property
    def told(self) -> BoolArray:
        """(M,) which rows have two sides."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    def widths(self, x: FloatArray, mu: FloatArray) -> FloatArray:
        """(M,) of the intervals, at least what float64 resolves; of rows with one side, what mu proves of the other."""
        size = np.abs(self.stack) @ np.abs(x) + np.abs(self.stack).max(axis=1, initial=0.0) * EXACT
        told = self.told
        apart = np.where(told, self.high, 0.0) - np.where(told, self.low, 0.0)
        apart = np.maximum(apart, EXACT * np.where(size > 0, size, 1.0))
        away = float((np.abs(mu) * apart)[told].sum())
        return np.where(told | (mu == 0), apart, away / np.where(mu == 0, 1.0, np.abs(mu)))

    @property
    def determined(self) -> int:
        """How many dimensions told rows, and sides that the guess lies on, determine at most."""
        return int((self.told | (self.high <= 0)).sum()) + int((self.held != 0).sum())


def free_duals(layer: ReLULayer, known: Known, x: Float64[FloatArray, " n"]) -> Duals | None:
    """Multipliers for nothing; None where the sides that the guess lies on, or nearly so, do not bound the inputs."""
    box = known.box(len(x))
    if layer.outputs * len(x) > LARGEST:
        return None
    found = _beside(layer, known, box, x)
    if found is not None or not box.is_box_bounded:
        return found
    room = BESIDE * (box.high - box.low)
    moved = np.where(x - box.low <= room, box.low, np.where(box.high - x <= room, box.high, x))
    return None if np.array_equal(moved, x) else _beside(layer, known, box, moved)


def _beside(layer: ReLULayer, known: Known, box: Polyhedron, x: FloatArray) -> Duals | None:
    """Multipliers that hold the sides that a point lies on."""
    rows = Rows.beside(layer, known, box, x)
    if rows.determined < len(x):
        return None
    told = np.flatnonzero(rows.told[: layer.outputs])
    near = preimage(_told_alone(rows.stack[told], x), x=x, domain=_held_sides(box, rows.held))
    mu = _multipliers(rows, near, told) if near.kind is Kind.SINGLETON else None
    return None if mu is None else _combined(rows, mu, x)


def _told_alone(A: FloatArray, x: FloatArray) -> ReLULayer:
    """A layer of some rows, all of whose units are on at x: its preimage there is a cone with x as its apex."""
    size = np.abs(A) @ np.abs(x)
    return ReLULayer(A, np.where(size > 0, size, 1.0) - A @ x)


def _held_sides(box: Polyhedron, held: FloatArray) -> Domain:
    """The domain without the sides that the guess does not lie on."""
    sides = Box(np.where(held > 0, box.low, -np.inf), np.where(held < 0, box.high, np.inf))
    return sides & HalfSpaces(box.G, box.h) if len(box.h) else sides


def _multipliers(rows: Rows, near: Preimage, told: IntArray) -> FloatArray | None:
    """(M,) the rows' part of a combination that vanishes, as a certificate has it; None where it has none."""
    face, mu = near.certificate.tangent, np.zeros(len(rows.stack))
    part = None if face is None else face.multipliers
    if part is None:  # told rows alone determine the input
        return mu
    if part.values is None:
        return None
    values, m, n = part.values, len(told), len(rows.held)
    if isinstance(values, Rational):
        values = np.array([float(Fraction(number, values.denominator)) for number in values.numerators])
    own = (part.rows < m) | (part.rows >= m + n)
    places = np.where(part.rows < m, part.rows, part.rows - n)[own]
    places_of = np.append(told, np.arange(len(rows.low) - len(as_polyhedron(near.domain, n).h), len(mu)))
    mu[places_of[places]] = values[own]
    return mu


def _combined(rows: Rows, mu: FloatArray, x: FloatArray) -> Duals | None:
    """A left inverse on the coordinates that mu leaves, with as much of mu as its signs need."""
    used = np.flatnonzero(rows.told | (mu != 0))
    R, part, n = rows.stack[used], mu[used], len(x)
    nu, size = -part @ R, np.abs(part) @ np.abs(R)
    held = np.flatnonzero((rows.held != 0) & (np.abs(nu) > EXACT * size))
    inverse = _left_inverse(R, rows.widths(x, mu)[used], np.setdiff1d(np.arange(n), held))
    if inverse is None:
        return None
    none = ~np.isfinite(rows.low[used]), ~np.isfinite(rows.high[used])
    one_sided = np.flatnonzero((none[0] | none[1]) & (part != 0))
    out: list[FloatArray] = []
    left = np.eye(n) - inverse @ R
    for sign in (-1.0, 1.0):
        w, least = sign * inverse, np.zeros(n)
        if len(held):  # what is left of d_j >= 0 must not be positive
            least = np.maximum(least, (sign * left[:, held] / np.abs(nu[held]) * rows.held[held]).max(axis=1))
        if len(one_sided):
            least = np.maximum(least, (-w[:, one_sided] / part[one_sided]).max(axis=1))
        w += least[:, None] * (1.0 + EXACT) * part
        w[:, none[0]], w[:, none[1]] = np.maximum(w[:, none[0]], 0.0), np.minimum(w[:, none[1]], 0.0)
        out.append(np.zeros((n, len(mu))))
        out[-1][:, used] = w
    return Duals(x, (out[0], out[1]))


def _left_inverse(R: FloatArray, widths: FloatArray, free: IntArray) -> FloatArray | None:
    """(n, k) L with ``L R = 1`` on the free coordinates, whose rows weigh intervals by their widths; 0 for others.

    None where rows do not determine these coordinates.
    """
    out = np.zeros((R.shape[1], len(R)))
    if len(free) > len(R):
        return None
    if not len(free):
        return out
    weighted = R[:, free] / widths[:, None]
    lengths = np.linalg.norm(weighted, axis=0)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        return None
    Q, upper = np.linalg.qr(weighted / lengths)
    diagonal = np.abs(np.diag(upper))
    if not diagonal.min() > RESOLVED * diagonal.max():
        return None
    solved = cast(FloatArray, cast(Any, scipy.linalg).solve_triangular(upper, Q.T))
    out[free] = solved / lengths[:, None] / widths
    return out


__all__ = ["Duals", "Rows", "free_duals"]
