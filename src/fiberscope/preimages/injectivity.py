"""Whether one layer tells all inputs of a domain apart, and by how much [beyond section 2: a whole domain at once]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from time import perf_counter
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.checker.curves import Curves
from fiberscope.checker.injectivity import Node, Question, Window, least_of_windows, least_sigma, modulus_below
from fiberscope.checker.modulus import attained
from fiberscope.checker.reading import LayerRows
from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import absolute, dense
from fiberscope.preimages.classify import classify
from fiberscope.preimages.cover_search import CoverSearch
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import Preimage, preimage
from fiberscope.preimages.verification import Verification, verified
from fiberscope.preimages.verify import verify
from fiberscope.preimages.windows import covering_windows
from fiberscope.scalars import as_number
from fiberscope.showing.shown import Shown

_linalg: Any = cast(Any, scipy.linalg)

SMALL = 2.0**-30
"""Relative to its row, or to x, what is taken for nothing while a second input is looked for."""

SAMPLES = 32
"""Points of the domain that are asked for a second input with the same output, before a proof is tried."""

MAX_ENTRIES = 2**24
"""Of the matrix of a layer whose tree is searched for: rows are kept in rational numbers, too."""

CLOSE = 1.0 - 2.0**-10
"""The search ends where sigma of the tree is that near to the smallest one that was met."""

ROUNDS_OTHERWISE = 2.0**-40
"""By which share more is claimed than was found: other processors round otherwise."""


@dataclass(frozen=True, eq=False, repr=False)
class Injectivity(Shown):
    """Whether ``x -> relu(A x + b)`` is injective on a domain, and its modulus there.

    The modulus is the largest kappa with ``|F(x') - F(x'')| >= kappa |x' - x''|`` for all x', x'' of the domain.

    Attributes:
        layer: the layer.
        domain: the domain; None for all of R^n.
        holds: True or False, proved; None where neither is.
        lower: the modulus is at least that, proved; 0 where nothing is.
        upper: and at most that; inf where nothing is proved.
        witness: (x, x') with equal outputs, up to rounding; the preimage of the exact output at x is proved to have
            more points than x. None unless ``holds`` is False.
        nodes: of the tree that was searched.
        tree: the proof of ``lower``.
        preimage: the proof of the witness.
        point: (n,) where ``upper`` is attained.
        direction: (n,) along which.
        reason: why neither is proved; empty where one is.
        windows: the proof of ``lower`` where rows see windows of the input, as in convolutions; then there is no tree.
    """

    layer: ReLULayer = field(repr=False)
    domain: Domain | None
    holds: bool | None
    lower: float
    upper: float
    witness: tuple[FloatArray, FloatArray] | None
    nodes: int
    tree: tuple[Node, ...] = field(default=(), repr=False)
    preimage: Preimage | None = field(default=None, repr=False)
    point: Float64[FloatArray, " n"] | None = field(default=None, repr=False)
    direction: Float64[FloatArray, " n"] | None = field(default=None, repr=False)
    reason: str = ""
    windows: tuple[Window, ...] = field(default=(), repr=False)

    def verify(self) -> Verification:
        """Prove what is claimed from the layer, the domain and the proofs alone; never raises."""
        return verified(lambda: _disproved(self), "exact" if self.holds is True else "float")

    def _line(self) -> str:
        says = {"True": "injective", "False": "not injective"}.get(str(self.holds), "undecided")
        return f"{says}; {self.lower:.4g} <= modulus <= {self.upper:.4g}; {self.nodes} nodes"


def injectivity(
    layer: ReLULayer,
    domain: Domain | None = None,
    seconds: float | int = 60,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Injectivity:
    """Decide and prove whether a ReLU layer is injective on a domain, with bounds on the modulus of its inverse.

    First points of the domain are asked whether another input has their output. Then a tree covers the domain by
    pieces: on each, rows are known to be on; where they have full rank, their smallest singular value counts, and the
    modulus is at least the smallest of them over sqrt(2). A linear program finds rows one of which is on everywhere on
    a piece, and the tree branches over these; where there are none, its point is asked for another input. The question
    is coNP-complete: with many inputs expect None.

    Args:
        layer: m ReLUs of n inputs.
        domain: a convex domain; None for all of R^n.
        seconds: a budget; both bounds become tighter until it is over, or they cannot.
        seed: of the points.
        progress: called with what is being done, in words.

    Returns:
        The answer with its proof, which has been checked.

    Raises:
        InputError: the layer has other units than ReLUs, the domain does not fit or has no points.
        MemoryLimitError: the layer's sparse rows take too much as an array.

    Source: docs/injectivity.md has the proofs; Puthawala et al. (2022) for layers of R^n, Freeman & Haider (2025) for
    sqrt(2).
    """
    if not isinstance(layer, ReLULayer) or not layer.is_relu:  # pyright: ignore[reportUnnecessaryIsInstance]
        got = "one with other units" if isinstance(layer, ReLULayer) else shown(layer)  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("layer", expected="a ReLULayer whose units are all ReLUs", got=got)
    seconds = as_number(seconds, "seconds", above=0.0, below=inf)
    until, tell = perf_counter() + seconds, progress or _silence
    question = _question(layer, domain)
    if (question.low == question.high).all():
        return Injectivity(layer, domain, True, inf, inf, None, 0, (), reason="the domain is one point")
    points = _points(question, np.random.default_rng(seed))
    points = points if len(points) else _middle(layer, domain)
    tell(f"looking for a second input at {len(points)} points")
    found = _witness(layer, domain, question, points, until)
    if found is not None:
        return found
    windows = covering_windows(question, perf_counter() + 0.5 * (until - perf_counter()))
    if windows:
        lower = modulus_below(least_of_windows(question, windows)) * (1.0 - ROUNDS_OTHERWISE)
        met = _weakest_met(question, points)
        nodes = sum(len(tree) for tree in {id(w.tree): w.tree for w in windows}.values())
        return Injectivity(
            layer, domain, True, lower, met.stretch, None, nodes, (), None, met.point, met.direction, windows=windows
        )
    if layer.outputs * layer.inputs > MAX_ENTRIES:
        met, size = _weakest_met(question, points), f"{layer.outputs} x {layer.inputs}"
        reason = f"no point of {len(points)} has a second input; a layer of {size} is too large for a tree"
        return Injectivity(layer, domain, None, 0.0, met.stretch, None, 0, (), None, met.point, met.direction, reason)
    return _by_tree(layer, domain, question, points, until, tell)


def _silence(doing: str) -> None:
    """Where nobody asks for progress."""
    del doing


def _by_tree(
    layer: ReLULayer,
    domain: Domain | None,
    question: Question,
    points: FloatArray,
    until: float,
    tell: Callable[[str], None],
) -> Injectivity:
    search, seen = CoverSearch(question), 0
    met, lower, tree, reason = _weakest_met(question, points), 0.0, (), ""
    for piece in search.grow(until):
        fresh, seen = search.points[seen:], len(search.points)
        met = min([met, *(_weakest_met(question, x[None]) for x in fresh)], key=lambda each: each.stretch)
        if piece.is_final and piece.sigma == 0:
            found = _witness(layer, domain, question, np.array(fresh), until)
            if found is not None:
                return replace(found, nodes=search.count)
            reason = "a piece of the domain has no cover, and no second input was found in it"
        if search.count % 100 < 2:
            tell(f"{search.count} nodes, smallest singular value {search.smallest:.4g}")
        if search.smallest >= CLOSE * met.stretch:
            break
    if search.smallest > 0:
        tree = search.certificate()
        lower = modulus_below(least_sigma(question, tree)) * (1.0 - ROUNDS_OTHERWISE)
    elif not reason:
        reason = f"the time was over at {search.count} nodes"
    holds = True if lower > 0 else None
    at, along = met.point, met.direction
    return Injectivity(layer, domain, holds, lower, met.stretch, None, search.count, tree, None, at, along, reason)


def _question(layer: ReLULayer, domain: Domain | None) -> Question:
    polyhedron = as_polyhedron(domain, layer.inputs)
    weight, G = dense(layer.weight), dense(polyhedron.G)
    return Question(weight, layer.bias, polyhedron.low, polyhedron.high, G, polyhedron.h)


def _points(question: Question, generator: np.random.Generator) -> FloatArray:
    """Points of the domain, or none: uniform between finite bounds, else of the size of the layer's own numbers."""
    low, high, norms = question.low, question.high, np.linalg.norm(question.weight, axis=1)
    scale = float(np.median(np.abs(question.bias[norms > 0] / norms[norms > 0]))) if (norms > 0).any() else 1.0
    normal = (2.0 * scale or 1.0) * generator.standard_normal((SAMPLES, len(low)))
    both, below = np.isfinite(low) & np.isfinite(high), np.isfinite(low)
    uniform = np.where(both, low, 0.0) + generator.random(normal.shape) * np.where(both, high - low, 0.0)
    above = np.where(np.isfinite(high), high - np.abs(normal), normal)
    points = np.clip(np.where(both, uniform, np.where(below, low + np.abs(normal), above)), low, high)
    return points[(points @ question.G.T <= question.h).all(axis=1)]


def _middle(layer: ReLULayer, domain: Domain | None) -> FloatArray:
    """A point of a domain with half-spaces; InputError where it has none."""
    blind = ReLULayer(np.zeros((1, layer.inputs)), [-1.0])
    whole = preimage(blind, y=[0.0], domain=domain)
    if whole.kind == Kind.EMPTY:
        raise InputError("domain", expected="a domain with points", got="none: its half-spaces contradict each other")
    return whole.point()[None]


def _witness(
    layer: ReLULayer, domain: Domain | None, question: Question, X: FloatArray, until: float
) -> Injectivity | None:
    """A point of X that has a second input with its output, proved."""
    if not len(X) or perf_counter() > until:
        return None
    decided = classify(layer, X, domain=domain)
    for number in np.flatnonzero(np.isin(decided.kind, [Kind.BOUNDED, Kind.UNBOUNDED])):
        claim = decided[int(number)]
        second = _second(question, X[number])
        if second is not None and verify(claim):
            x = np.array(X[number])
            return Injectivity(layer, domain, False, 0.0, 0.0, (x, second), 0, (), claim)
    return None


def _second(question: Question, x: FloatArray) -> FloatArray | None:
    """Another input with the output of x, up to rounding; not far from it. None where floats find none.

    Half as far as one can go along a direction that no unit that is on sees, before another one turns on.
    """
    A, free = question.weight, question.low < question.high
    z = A @ x + question.bias
    seen = A[z > 0][:, free]
    null: FloatArray = np.asarray(_linalg.null_space(seen) if len(seen) else np.eye(int(free.sum())), dtype=np.float64)
    rows = np.concatenate([A[z <= 0], question.G, np.eye(len(x)), -np.eye(len(x))])
    sides = [-z[z <= 0], question.h - question.G @ x, question.high - x, x - question.low]
    room, reach = np.maximum(np.concatenate(sides), 0.0), 1.0 + float(np.abs(x).max(initial=0.0))
    far, best = 0.0, None
    for direction in (*null.T, *-null.T):
        d = np.zeros(len(x))
        d[free] = direction
        speed = rows @ d
        meets = speed > SMALL * np.linalg.norm(rows, axis=1)
        step = min(reach, float((room[meets] / speed[meets]).min(initial=inf)))
        if step > far:
            far, best = step, np.clip(x + 0.5 * step * d, question.low, question.high)
    return best if far > SMALL * reach else None


class _Met(NamedTuple):
    """A linear region that was met: by how much it stretches a direction, and its point; inf of none."""

    stretch: float
    point: FloatArray | None
    direction: FloatArray | None


def _weakest_met(question: Question, X: FloatArray) -> _Met:
    """The smallest stretch of the linear regions at some points of the domain."""
    free = question.low < question.high
    best = _Met(inf, None, None)
    if not len(X) or not _has_interior(question, X[0]):
        return best
    for x in X:
        J = question.weight[question.weight @ x + question.bias > 0][:, free]
        direction = np.zeros(len(x))
        direction[free] = np.linalg.svd(J)[2][-1] if len(J) >= free.sum() else 1.0
        stretch = _stretch(question, x, direction)
        if stretch < best.stretch:
            best = _Met(stretch, np.array(x), direction)
    return best


def _has_interior(question: Question, x: FloatArray) -> bool:
    """Whether a point lies inside all half-spaces, strictly, with a float's rounding to spare."""
    spare = 2.0**-40 * (np.abs(question.G) @ np.abs(x) + np.abs(question.h)) + 2.0**-1000
    return bool((question.G @ x + spare < question.h).all())


def _is_inside(question: Question, x: FloatArray) -> bool:
    """Whether a point lies in the domain, its half-spaces up to a float's rounding; x is known up to rounding, too."""
    if x.shape != question.low.shape or not np.isfinite(x).all():
        return False
    spare = 2.0**-40 * (np.abs(question.G) @ np.abs(x) + np.abs(question.h))
    between = (question.low <= x) & (x <= question.high)
    return bool(between.all() and (question.G @ x <= question.h + spare).all())


def _stretch(question: Question, x: FloatArray, direction: FloatArray) -> float:
    """What the checker proves of the region at a point, along a direction."""
    low, high = np.zeros(len(question.bias)), np.full(len(question.bias), inf)
    rows = LayerRows(question.weight, question.bias, low, high, Curves.unknown(low > high))
    value = attained((rows,), x, direction) if direction.any() else inf
    return value * (1.0 + ROUNDS_OTHERWISE)


def _disproved(claim: Injectivity) -> str:
    """Why the claim is not proved; empty where it is."""
    lower, upper = float(claim.lower), float(claim.upper)
    if not 0.0 <= lower <= upper or type(claim.layer) is not ReLULayer or not claim.layer.is_relu:
        return "the claim is not made of a layer of ReLUs and two bounds in order"
    if claim.holds is False:
        return _no_witness(claim)
    if claim.holds is None and lower == 0:
        return "nothing is claimed"
    if not claim.holds or not lower > 0:
        return "a modulus is claimed and injectivity is not, or the other way round"
    question = _question(claim.layer, claim.domain)
    least = least_of_windows(question, claim.windows) if claim.windows else least_sigma(question, claim.tree)
    if not lower <= modulus_below(least):
        return "the modulus is larger than what the trees prove"
    return _upper_not_attained(claim, question, upper) if isfinite(upper) else ""


def _upper_not_attained(claim: Injectivity, question: Question, upper: float) -> str:
    if claim.point is None or claim.direction is None:
        return "the upper bound has no point and direction"
    x, v = (np.array(part, dtype=np.float64) for part in (claim.point, claim.direction))
    inside = (question.low <= x) & (x <= question.high) & ((question.low < question.high) | (v == 0))
    if not inside.all() or not _has_interior(question, x):
        return "the point or the direction of the upper bound leaves the domain"
    return "" if _stretch(question, x, v) <= upper else "the region at the point attains more"


def _no_witness(claim: Injectivity) -> str:
    """Why a witness is none; empty where it is one."""
    if claim.preimage is None or claim.witness is None or claim.lower != 0 or claim.upper != 0:
        return "there is no witness, or a modulus above 0"
    x, second = (np.array(part, dtype=np.float64) for part in claim.witness)
    proof = replace(claim.preimage, layer=claim.layer, domain=claim.domain)
    if proof.x is None or not np.array_equal(np.array(proof.x), x) or proof.kind not in (Kind.BOUNDED, Kind.UNBOUNDED):
        return "the proof is about another input, or says nothing of a second one"
    if not verify(proof):
        return "that x has a second input with its output is not proved"
    question = _question(claim.layer, claim.domain)
    if not (_is_inside(question, x) and _is_inside(question, second)):
        return "an input of the witness lies outside the domain"
    size = absolute(claim.layer.weight) @ np.maximum(np.abs(x), np.abs(second)) + np.abs(claim.layer.bias)
    apart = np.abs(claim.layer(x) - claim.layer(second)) > 2.0**-20 * size
    return "the two inputs are equal, or their outputs differ" if apart.any() or np.array_equal(x, second) else ""


__all__ = ["Injectivity", "injectivity"]
