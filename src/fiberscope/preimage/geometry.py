"""The shape of a preimage: points, widths, boxes, balls, samples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fiberscope.errors import InputError, NotASingleton
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import written_out
from fiberscope.network.layer import Layer, around, flat_input
from fiberscope.network.rows import beside, dense
from fiberscope.network.signs import exact_signs
from fiberscope.preimage.candidate import Rational
from fiberscope.preimage.exact_algebra import solve_exactly
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.preimage import Preimage, Recovered
from fiberscope.preimage.rounded import as_floats, nearest_float
from fiberscope.preimage.sampling import sample_uniformly
from fiberscope.preimage.shape import Shape
from fiberscope.preimage.system import MixedSystem, build_at_input, build_at_output
from fiberscope.preimage.time_limit import TimeLimit
from fiberscope.scalars import as_count


def system_of(preimage: Preimage) -> MixedSystem:
    """The mixed system of the preimage."""
    polyhedron = written_out(preimage.domain, preimage.layer.inputs)
    if preimage.x is not None:
        return build_at_input(preimage.layer, polyhedron, preimage.x)
    assert preimage.y is not None
    return build_at_output(preimage.layer, polyhedron, preimage.y)


def positive_rows(preimage: Preimage) -> IntArray:
    """The rows P."""
    if preimage.x is not None:
        layer = preimage.layer
        return np.flatnonzero((exact_signs(layer.weight, preimage.x, layer.bias) > 0) | layer.injective)
    assert preimage.y is not None
    return np.flatnonzero(preimage.y > 0)


def positive_neurons(layer: Layer, x: FloatArray) -> int:
    """The number of neurons with a positive output at x, or with an injective activation; exact."""
    local, _, point = around(layer, None, x)
    equality = (exact_signs(local.weight, point, local.bias) > 0) | local.injective
    return int(equality.sum()) - local.definitions


def contains(preimage: Preimage, x: Any) -> bool:
    """Whether x is in the preimage, exactly."""
    system = system_of(preimage)
    point = flat_input(preimage.layer, x)
    if preimage.y is not None and (preimage.y < 0).any():
        return False
    if _violates(system, point):
        return False
    rows, bias = system.layer.weight[system.positive], system.layer.bias[system.positive]
    if preimage.x is not None:  # A_P (x - x0) = 0, as one exact product with (x, -x0)
        twice = beside(rows, rows)
        return not exact_signs(twice, np.concatenate([point, -preimage.x]), np.zeros(len(bias))).any()
    assert preimage.y is not None
    extended = beside(rows, bias[:, None])
    return not exact_signs(extended, np.append(point, 1.0), -preimage.y[system.positive]).any()


def _violates(system: MixedSystem, x: FloatArray) -> bool:
    domain, layer = system.domain, system.layer
    inactive = np.setdiff1d(np.arange(layer.outputs), system.positive)
    if (x < domain.low).any() or (x > domain.high).any():
        return True
    return bool(
        (exact_signs(layer.weight[inactive], x, layer.bias[inactive]) > 0).any()
        or (exact_signs(domain.G, x, -domain.h) > 0).any()
    )


def point(preimage: Preimage) -> FloatArray:
    """A point of the preimage in float64."""
    _check_not_empty(preimage, "point")
    if preimage.x is not None:
        return preimage.x.copy()
    assert preimage.certificate.point is not None
    return as_floats(preimage.certificate.point).copy()


def width(preimage: Preimage, direction: Any, seconds: float | int | None) -> float:
    """The extent of the preimage along a direction."""
    _check_not_empty(preimage, "width")
    limit = TimeLimit.of("width", seconds)
    c = flat_input(preimage.layer, direction, "direction")
    if not c.any():
        raise InputError("direction", expected="a nonzero vector", got="zeros", hint="any length serves")
    return float(Shape.of(preimage, system_of(preimage)).reaches(np.stack([c, -c]), limit).sum())


def bounding_box(preimage: Preimage, seconds: float | int | None) -> tuple[FloatArray, FloatArray]:
    """The smallest box around the preimage."""
    _check_not_empty(preimage, "bounding_box")
    limit = TimeLimit.of("bounding_box", seconds)
    shape = Shape.of(preimage, system_of(preimage))
    units = np.eye(preimage.layer.inputs)
    down, up = np.split(shape.reaches(np.concatenate([-units, units]), limit), 2)
    return shape.origin - down, shape.origin + up


def chebyshev_center(preimage: Preimage, seconds: float | int | None) -> tuple[FloatArray, float]:
    """The center and radius of a largest ball of the affine hull inside the preimage."""
    _check_not_empty(preimage, "chebyshev_center")
    limit = TimeLimit.of("chebyshev_center", seconds)
    return Shape.of(preimage, system_of(preimage)).largest_ball(limit)


def sample(preimage: Preimage, count: int, seed: int, seconds: float | int | None) -> FloatArray:
    """Hit-and-run samples."""
    _check_not_empty(preimage, "sample")
    count, seed = as_count(count, "count"), as_count(seed, "seed", 0)
    if preimage.kind == Kind.UNBOUNDED:
        raise InputError(
            "sample", expected="a bounded preimage", got="an unbounded one", hint="intersect it with a Box domain"
        )
    limit, system = TimeLimit.of("sample", seconds), system_of(preimage)
    return sample_uniformly(Shape.of(preimage, system), system, count, np.random.default_rng(seed), limit)


def recover(preimage: Preimage) -> Recovered:
    """The input of a singleton preimage."""
    if preimage.kind != Kind.SINGLETON:
        raise NotASingleton(str(preimage.kind), preimage.dimension)
    if preimage.x is not None:
        return Recovered(preimage.x.copy(), 0.0)
    exact = preimage.certificate.point
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


_NO_POINTS = "look at its kind and reason before asking for points"


def _check_not_empty(preimage: Preimage, what: str) -> None:
    if preimage.kind in (Kind.EMPTY, Kind.UNDECIDED):
        raise InputError(what, expected="a preimage with points", got=f"one of kind {preimage.kind!s}", hint=_NO_POINTS)
