"""The shape of a preimage: points, widths, boxes, balls, samples."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fiberscope.errors import InputError, NotASingleton
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import as_polyhedron
from fiberscope.network.layer import flat_input
from fiberscope.network.rows import dense
from fiberscope.preimages.certificate import Rational
from fiberscope.preimages.exact_algebra import solve_exactly
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.narrowed import Narrowed, narrowed
from fiberscope.preimages.rounded import nearest_float
from fiberscope.preimages.sampling import sample_uniformly
from fiberscope.preimages.shape import Shape
from fiberscope.preimages.sides import (
    Outputs,
    Sides,
    impossible_units,
    outputs_at_input,
    outputs_between,
    sides_at_inputs,
    sides_of_outputs,
)
from fiberscope.preimages.system import MixedSystem, build_at_input, build_at_output
from fiberscope.preimages.time_limit import TimeLimit
from fiberscope.preimages.verdict import NO_POINTS, Verdict, certified_point, check_not_empty
from fiberscope.scalars import as_count


class Recovered(NamedTuple):
    """The one input of a singleton preimage.

    Attributes:
        x: (n,) the input in float64.
        error_bound: a bound on the Euclidean distance to the exact input; 0 where x is exact.
    """

    x: FloatArray
    error_bound: float

    def __repr__(self) -> str:
        return f"Recovered({len(self.x)} numbers, error at most {self.error_bound:.3g})"


def system_of(preimage: Verdict) -> MixedSystem:
    """The mixed system of the preimage, with the sides of its rows."""
    layer, outputs = preimage.layer, outputs_of(preimage)
    polyhedron = as_polyhedron(preimage.domain, layer.inputs)
    if preimage.x is None:
        return build_at_output(layer, polyhedron, outputs)
    return replace(build_at_input(layer, polyhedron, preimage.x, _within(preimage)), outputs=outputs)


def outputs_of(preimage: Verdict) -> Outputs:
    """What is known of the output."""
    m, y = preimage.layer.outputs, preimage.y
    if preimage.x is not None:
        return outputs_at_input(preimage.layer, preimage.x, _within(preimage))
    assert y is not None
    within = np.array(np.broadcast_to(preimage.within, (m,)), dtype=np.float64)
    low, high = (y.low, y.high) if isinstance(y, Interval) else (y, y)
    return outputs_between(preimage.layer, low, high, within)


def sides_of(preimage: Verdict) -> Sides:
    """Which sides the rows of the layer have."""
    if preimage.x is None:
        return sides_of_outputs(preimage.layer, outputs_of(preimage))
    return sides_at_inputs(preimage.layer, preimage.x[None], _within(preimage)[None]).of(0)


def _within(preimage: Verdict) -> FloatArray:
    """(2, m) how far the output may be from that at x, below and above."""
    return np.broadcast_to(np.asarray(preimage.within, dtype=np.float64), (2, preimage.layer.outputs))


def contains(preimage: Verdict, x: Any) -> bool:
    """Whether x is in the preimage, exactly."""
    point = flat_input(preimage.layer, x)
    narrow = narrowed(preimage)
    if narrow is not None:
        assert preimage.x is not None
        as_at_x = narrow.widened(preimage.x[narrow.columns], point)
        return bool((as_at_x == narrow.widened(preimage.x[narrow.columns], preimage.x)).all()) and contains(
            narrow.question, narrow.beside_fixed(point, 1.0)
        )
    if preimage.x is None and impossible_units(preimage.layer, outputs_of(preimage)).any():
        return False
    system = system_of(preimage)
    return not system.violated(np.union1d(system.positive, system.inequalities), point[None])[0]


def width(preimage: Verdict, direction: Any, seconds: float | int | None) -> float:
    """The extent of the preimage along a direction."""
    check_not_empty(preimage, "width")
    limit = TimeLimit.of("width", seconds)
    c = flat_input(preimage.layer, direction, "direction")
    if not c.any():
        raise InputError("direction", expected="a nonzero vector", got="zeros", hint="any length serves")
    narrow = narrowed(preimage)
    if narrow is not None:
        inside = narrow.beside_fixed(c, 0.0)
        return width(_narrow(preimage, narrow), inside, seconds) if inside.any() else 0.0
    return float(Shape.of(preimage, system_of(preimage)).reaches(np.stack([c, -c]), limit).sum())


def bounding_box(preimage: Verdict, seconds: float | int | None) -> tuple[FloatArray, FloatArray]:
    """The smallest box around the preimage."""
    check_not_empty(preimage, "bounding_box")
    limit = TimeLimit.of("bounding_box", seconds)
    narrow = narrowed(preimage)
    if narrow is not None:
        assert preimage.x is not None
        low, high = bounding_box(_narrow(preimage, narrow), seconds)
        return narrow.widened(low, preimage.x), narrow.widened(high, preimage.x)
    shape = Shape.of(preimage, system_of(preimage))
    units = np.eye(preimage.layer.inputs)
    down, up = np.split(shape.reaches(np.concatenate([-units, units]), limit), 2)
    return shape.origin - down, shape.origin + up


def chebyshev_center(preimage: Verdict, seconds: float | int | None) -> tuple[FloatArray, float]:
    """The center and radius of a largest ball of the affine hull inside the preimage."""
    check_not_empty(preimage, "chebyshev_center")
    limit = TimeLimit.of("chebyshev_center", seconds)
    narrow = narrowed(preimage)
    if narrow is not None:
        assert preimage.x is not None
        center, radius = chebyshev_center(_narrow(preimage, narrow), seconds)
        return narrow.widened(center, preimage.x), radius
    return Shape.of(preimage, system_of(preimage)).largest_ball(limit)


def sample(preimage: Verdict, count: int, seed: int, seconds: float | int | None) -> FloatArray:
    """Hit-and-run samples."""
    check_not_empty(preimage, "sample")
    count, seed = as_count(count, "count"), as_count(seed, "seed", 0)
    if preimage.kind == Kind.UNBOUNDED:
        raise InputError(
            "sample", expected="a bounded preimage", got="an unbounded one", hint="intersect it with a Box domain"
        )
    narrow = narrowed(preimage)
    if narrow is not None:
        assert preimage.x is not None
        points = sample(_narrow(preimage, narrow), count, seed, seconds)
        return np.stack([narrow.widened(p, preimage.x) for p in points])
    limit, system = TimeLimit.of("sample", seconds), system_of(preimage)
    return sample_uniformly(Shape.of(preimage, system), system, count, np.random.default_rng(seed), limit)


def recover(preimage: Verdict) -> Recovered:
    """The input of a singleton preimage."""
    if preimage.kind != Kind.SINGLETON:
        raise NotASingleton(str(preimage.kind), preimage.dimension)
    if preimage.x is not None:
        return Recovered(preimage.x.copy(), 0.0)
    exact = certified_point(preimage)
    if isinstance(exact, Rational):
        solution = [Fraction(numerator, exact.denominator) for numerator in exact.numerators]
    else:  # a float point of a singleton stands for the solution of n independent positive rows
        system = system_of(preimage)
        solution = solve_exactly(dense(system.rows(system.positive)), system.right_hand_sides(system.positive))
    x = np.array([nearest_float(value) for value in solution])
    if not np.isfinite(x).all():
        return Recovered(x, np.inf)
    squares = sum(
        ((Fraction(entry) - value) ** 2 for entry, value in zip(x.tolist(), solution, strict=True)), Fraction(0)
    )
    # one rounding up for the conversion, one for the root
    bound = np.nextafter(np.sqrt(np.nextafter(nearest_float(squares), np.inf)), np.inf)
    return Recovered(x, float(bound) if squares else 0.0)


def _narrow(preimage: Verdict, narrow: Narrowed) -> Verdict:
    """The narrow preimage with its verdict, decided again: shapes are read off its own certificate."""
    from fiberscope.preimages.decide import decide_narrow

    found = decide_narrow(narrow)
    if found.kind != preimage.kind:
        raise InputError("preimage", expected=f"one of kind {found.kind!s}", got=str(preimage.kind), hint=NO_POINTS)
    return found
