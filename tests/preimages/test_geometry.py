"""Widths, boxes, centres, samples and recovered points, against the vertices and against another LP solver."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import fiberscope as fs
import oracles
from cases import CASES, Case
from random_layers import RandomLayer, random_layers

NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)

TOLERANCE = 1e-7
"""HiGHS keeps constraints to 1e-7; the numbers of these layers are of order 1."""


def _asked(layer: RandomLayer | Case) -> tuple[fs.Preimage, oracles.System]:
    system = oracles.mixed_system(layer.weight, layer.bias, x=layer.x, y=layer.y, domain=layer.domain)
    return fs.preimage(fs.ReLULayer(layer.weight, layer.bias), **layer.question), system


def _random(kind: str, count: int, seed: int) -> list[tuple[fs.Preimage, oracles.System]]:
    asked = (_asked(layer) for layer in random_layers(count, seed, inputs=4, outputs=9))
    return [(p, system) for p, system in asked if p.kind == kind]


def _violation(system: oracles.System, x: np.ndarray) -> float:
    """By how much x misses the system, row by row."""
    misses = [
        abs(sum(float(a) * v for a, v in zip(row, x, strict=True)) - float(value)) for row, value in system.equalities
    ]
    misses += [
        sum(float(a) * v for a, v in zip(row, x, strict=True)) - float(value) for row, value in system.inequalities
    ]
    return max([0.0, *misses])


@NEEDS_CDD
def test_bounding_box_and_width_are_those_of_the_vertices() -> None:
    generator = np.random.default_rng(0)
    found = _random("bounded", 120, seed=21)
    assert len(found) >= 10
    for p, system in found:
        vertices = np.array([[float(v) for v in vertex] for vertex in oracles.cdd_answer(system).vertices])
        low, high = p.bounding_box()
        assert np.allclose(low, vertices.min(axis=0), atol=TOLERANCE)
        assert np.allclose(high, vertices.max(axis=0), atol=TOLERANCE)
        direction = generator.normal(size=p.layer.inputs)
        direction /= np.linalg.norm(direction)
        assert p.width(direction) == pytest.approx(np.ptp(vertices @ direction), abs=10 * TOLERANCE)


def test_width_and_bounding_box_agree_with_another_solver() -> None:
    generator = np.random.default_rng(1)
    for p, system in _random("unbounded", 60, seed=22):
        direction = generator.normal(size=p.layer.inputs)
        direction /= np.linalg.norm(direction)
        low, high = oracles.linprog_range(system, direction)
        width = p.width(direction)
        assert width == np.inf if np.isinf(high - low) else width == pytest.approx(high - low, abs=TOLERANCE)
        box = p.bounding_box()
        assert np.isinf(box[0]).any() or np.isinf(box[1]).any(), "a polyhedron with a ray leaves every box"
        for j in range(p.layer.inputs):
            ends = oracles.linprog_range(system, np.eye(p.layer.inputs)[j])
            assert np.allclose((box[0][j], box[1][j]), ends, atol=TOLERANCE)


def test_chebyshev_center_of_a_full_dimensional_preimage() -> None:
    found = [pair for pair in _random("bounded", 120, seed=23) if pair[0].dimension == pair[0].layer.inputs]
    assert len(found) >= 5
    for p, system in found:
        center, radius = p.chebyshev_center()
        assert radius == pytest.approx(oracles.linprog_chebyshev_radius(system), abs=TOLERANCE)
        assert _violation(system, center) <= TOLERANCE
        for row, value in system.inequalities:
            length = np.linalg.norm([float(v) for v in row])
            assert float(oracles.dot(row, oracles.exact_vector(center))) + radius * length <= float(value) + TOLERANCE


def test_chebyshev_center_of_a_flat_preimage_lies_in_it() -> None:
    """Inside its affine hull a preimage holds a ball of positive radius: a segment's centre is its middle."""
    layer = fs.ReLULayer([[1.0, 1.0]], [0.0])
    center, radius = fs.preimage(layer, x=[0.5, 0.5], domain=fs.Box(0, 1)).chebyshev_center()
    assert np.allclose(center, [0.5, 0.5], atol=TOLERANCE)
    assert radius == pytest.approx(np.sqrt(0.5), abs=TOLERANCE)
    for p, system in _random("bounded", 60, seed=24):
        center, radius = p.chebyshev_center()
        assert _violation(system, center) <= TOLERANCE
        assert radius > 0


@NEEDS_CDD
def test_point_lies_in_the_preimage() -> None:
    for layer in random_layers(100, seed=25, inputs=4, outputs=9):
        p, system = _asked(layer)
        if p.kind != "empty":
            assert _violation(system, p.point()) <= 1e-12
            if layer.x is not None:
                assert np.array_equal(p.point(), layer.x)


def test_contains_what_has_the_same_output_and_nothing_else() -> None:
    layer = fs.ReLULayer([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [0.0, 0, 0])
    p = fs.preimage(layer, x=[1.0, -1, -2], domain=fs.Box(-3, 3))
    assert p.contains([1.0, -1, -2])
    assert p.contains([1.0, 0, 0])
    assert p.contains([1.0, -3, 0])
    assert not p.contains([1.5, -1, -2])
    assert not p.contains([1.0, 0.5, -2])
    assert not p.contains([1.0, -4, -2])


def test_contains_is_exact() -> None:
    """Membership is a statement about the exact numbers, so it is the oracle's for every float point."""
    generator = np.random.default_rng(2)
    inside = 0
    for layer in random_layers(80, seed=26, inputs=3, outputs=6):
        p, system = _asked(layer)
        near = layer.x if layer.x is not None else np.zeros(p.layer.inputs)
        points = near + generator.integers(-2, 3, (12, p.layer.inputs)) * generator.choice(
            [0.0, 2.0**-52, 0.5, 1.0], (12, 1)
        )
        answers = [p.contains(x) for x in points]
        assert answers == [system.holds(x) for x in points]
        inside += sum(answers)
    assert 50 < inside < 800


def test_contains_sees_one_rounding() -> None:
    p = fs.preimage(fs.ReLULayer([[3.0]], [0.0]), y=[0.3])
    assert not p.contains([0.1]), "3 * 0.1 is above the stored 0.3"
    assert fs.preimage(fs.ReLULayer([[3.0]], [0.0]), x=[0.1]).contains([0.1])


def test_samples_lie_in_the_preimage_and_follow_the_seed() -> None:
    for kind in ("bounded", "singleton"):
        for p, system in _random(kind, 40, seed=27):
            samples = p.sample(20, 3)
            assert samples.shape == (20, p.layer.inputs)
            assert np.array_equal(samples, p.sample(20, 3))
            assert max(_violation(system, x) for x in samples) <= TOLERANCE * (1 + np.abs(samples).max())
            spread = np.linalg.matrix_rank(samples - samples[0], tol=1e-6)
            assert spread == p.dimension, "samples fill the affine hull"


def test_an_unbounded_preimage_has_no_uniform_samples() -> None:
    p = fs.preimage(fs.ReLULayer([[1.0]], [0.0]), x=[-1.0])
    with pytest.raises(fs.InputError, match="Box"):
        p.sample(3, 0)


def test_samples_do_not_stay_near_where_they_began() -> None:
    layer = fs.ReLULayer([[-1.0, 0], [0, -1]], [0.0, 0])
    samples = fs.preimage(layer, x=[0.001, 0.001], domain=fs.Box(0, 1)).sample(400, 0)
    assert (np.histogram(samples[:, 0], bins=4, range=(0, 1))[0] >= 40).all()
    assert (np.histogram(samples[:, 1], bins=4, range=(0, 1))[0] >= 40).all()


@NEEDS_CDD
def test_recover_is_within_its_error_bound() -> None:
    found = _random("singleton", 80, seed=28)
    assert len(found) >= 20
    for p, system in found:
        x, error_bound = p.recover()
        (vertex,) = oracles.cdd_answer(system).vertices
        square = sum((v - w) ** 2 for v, w in zip(oracles.exact_vector(x), vertex, strict=True))
        assert square <= Fraction(error_bound) ** 2
        assert error_bound <= 1e-15 * (1 + np.abs(x).max())


def test_recover_at_thirds() -> None:
    """1/3 is no float: the error bound must not be 0."""
    p = fs.preimage(fs.ReLULayer([[3.0, 0], [0, 7]], [0.0, 0]), y=[1.0, 1.0])
    x, error_bound = p.recover()
    assert np.allclose(x, [1 / 3, 1 / 7], rtol=1e-15)
    assert 0 < error_bound < 1e-14


def test_recover_beyond_the_floats_bounds_its_error_by_infinity() -> None:
    x, error_bound = fs.preimage(fs.ReLULayer([[5e-324]], [0.0]), y=[1.0]).recover()
    assert x.shape == (1,)
    assert error_bound == np.inf, "no float is near 2^1074"


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind != "singleton" and not case.is_large], ids=lambda case: case.name
)
def test_recover_refuses_what_is_no_singleton(case: Case) -> None:
    p, _ = _asked(case)
    with pytest.raises(fs.NotASingleton) as caught:
        p.recover()
    assert caught.value.kind == case.kind


@pytest.mark.parametrize("ask", ["point", "bounding_box", "chebyshev_center", "sample", "width"])
def test_an_empty_preimage_has_no_geometry(ask: str) -> None:
    p = fs.preimage(fs.ReLULayer([[1.0, 0], [0, 1]], [0.0, 0]), y=[-1.0, 1.0])
    arguments = {"sample": (3, 0), "width": ([1.0, 0.0],)}.get(ask, ())
    with pytest.raises(fs.FiberscopeError):
        getattr(p, ask)(*arguments)
    assert not p.contains([0.0, 0.0])


# ---- size does not depend on units, nor on what else uses HiGHS

TRIANGLE = np.array([[1.0, 0], [0, 1], [-1, -1]])
OTHER_HIGHS = """
import sys
import highspy
import numpy as np
import fiberscope as fs

def optimum(highs):
    assert highs.run() == highspy.HighsStatus.kOk
    return highs.getModelStatus() == highspy.HighsModelStatus.kOptimal

highs = highspy.Highs()
highs.setOptionValue("output_flag", False)
highs.setOptionValue("threads", int(sys.argv[1]))
highs.addVariable(0, 1)
assert optimum(highs)
triangle = fs.preimage(fs.ReLULayer([[1.0, 0], [0, 1], [-1, -1]], [-1.0, -1, -1]), x=[0, 0])
half = fs.preimage(fs.ReLULayer([[1.0, 0], [0, 1]], [0.0, -1]), x=[-1, 0.5])
assert np.allclose(triangle.bounding_box(), ([-2, -2], [1, 1])), triangle.bounding_box()
assert np.isclose(triangle.width([1, 0]), 3)
assert np.isclose(triangle.chebyshev_center()[1], 3 / (2 + 2**0.5))
assert half.bounding_box()[0].tolist() == [-np.inf, -np.inf] and half.chebyshev_center()[1] == np.inf
highs.addVariable(0, 1)
assert optimum(highs)
"""


@pytest.mark.fault
@pytest.mark.parametrize("threads", [4, 0])
def test_other_uses_of_highs_in_the_process_do_not_matter(threads: int) -> None:
    ended = subprocess.run([sys.executable, "-c", OTHER_HIGHS, str(threads)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("exponent", [-600, -140, -33, 53, 66, 140, 600])
@pytest.mark.parametrize("scaled", ["weight", "bias", "both", "one row"])
def test_size_is_in_the_units_of_the_input(exponent: int, scaled: str) -> None:
    """The triangle x1 <= b, x2 <= b, x1 + x2 >= -b."""
    weight, bias = TRIANGLE.copy(), -np.ones(3)
    rows = slice(2) if scaled == "one row" else slice(None)
    if scaled != "bias":
        weight[rows] = np.ldexp(weight[rows], exponent)
    if scaled != "weight":
        bias[rows] = np.ldexp(bias[rows], exponent)
    unit = {"weight": 2.0**-exponent, "bias": 2.0**exponent}.get(scaled, 1.0)
    p = fs.preimage(fs.ReLULayer(weight, bias), x=[0, 0])
    low, high = p.bounding_box()
    center, radius = p.chebyshev_center()
    assert (str(p.kind), bool(p)) == ("bounded", True)
    assert np.allclose([low / unit, high / unit], [[-2, -2], [1, 1]], rtol=1e-9)
    assert p.width([0, 1]) / unit == pytest.approx(3, rel=1e-9)
    assert radius / unit == pytest.approx(3 / (2 + 2**0.5), rel=1e-9)
    assert np.allclose(center / unit, 1 - 3 / (2 + 2**0.5), rtol=1e-9)


def test_columns_of_any_scale() -> None:
    """The set of x' is that of D x: in every coordinate, the box is in that coordinate's units."""
    generator = np.random.default_rng(4)
    weight, x = generator.standard_normal((6, 4)), generator.uniform(size=4)
    units = np.ldexp(1.0, [0, 40, -33, 7])
    plain = fs.preimage(fs.ReLULayer(weight), x=x, domain=fs.Box(0, 1))
    other = fs.preimage(fs.ReLULayer(weight / units), x=x * units, domain=fs.Box(0, units))
    assert other.kind == plain.kind == "bounded"
    for mine, theirs in zip(other.bounding_box(), plain.bounding_box(), strict=True):
        assert np.allclose(mine / units, theirs, rtol=1e-7, atol=1e-9)
    assert other.width(1 / units) == pytest.approx(plain.width(np.ones(4)), rel=1e-7)


@pytest.mark.parametrize("units", [[0, 0, 0, 0], [30, -30, 10, -5], [-22, 4, 10, -3], [300, 300, 300, 300]])
def test_nonnegative_inputs_in_mixed_units(units: list[int]) -> None:
    """``x1 + x2 + 2 x3 = 2, x1 - x2 + x4 <= 1`` over x >= 0; a second row of other columns fixes nothing in x4."""
    weight = np.ldexp([[1.0, 1, 2, 0], [1, -1, 0, 1]], -np.array(units))
    x = np.ldexp([0.5, 0.5, 0.5, 0.25], units)
    p = fs.preimage(fs.ReLULayer(weight, [0.0, -1]), x=x, domain=fs.NonNegative())
    low, high = p.bounding_box()
    assert np.allclose(np.ldexp(low, -np.array(units)), 0, atol=1e-9)
    assert np.allclose(np.ldexp(high, -np.array(units)), [1.5, 2, 1, 3], rtol=1e-9)  # x4 <= 1 - x1 + x2
    freed = fs.preimage(fs.ReLULayer(np.ldexp([[1.0, -1, 2, 0]], -np.array(units))), x=x, domain=fs.NonNegative())
    assert freed.bounding_box()[1].tolist() == [np.inf, np.inf, np.inf, np.inf]
    assert np.abs(p.sample(20, 0) @ weight[0] - 2).max() < 1e-13


@pytest.mark.parametrize("far", [1e3, 1e9, 1e20, 1e300])
def test_bounds_far_from_the_preimage_do_not_set_its_size(far: float) -> None:
    triangle = fs.preimage(fs.ReLULayer(TRIANGLE, -np.ones(3)), x=[0, 0], domain=fs.Box(-far, far))
    assert np.allclose(triangle.bounding_box(), [[-2, -2], [1, 1]], rtol=1e-9)
    assert triangle.chebyshev_center()[1] == pytest.approx(3 / (2 + 2**0.5), rel=1e-9)
    total = fs.ReLULayer([[1.0, 1, 1]])
    flat = fs.preimage(total, x=[0.2, 0.2, 0.2], domain=fs.Box(0, [1, 1, far]))
    assert np.allclose(flat.bounding_box(), [[0, 0, 0], [0.6, 0.6, 0.6]], atol=1e-9)
    assert np.allclose(flat.sample(2000, 0).mean(axis=0), 0.2, rtol=0.1)


def test_parts_without_common_rows_have_their_own_size() -> None:
    """Two triangles, one of them 2^200 times as large as the other."""
    weight, size = np.zeros((6, 4)), np.repeat([1.0, 2.0**200], 3)
    weight[:3, :2] = weight[3:, 2:] = TRIANGLE
    low, high = fs.preimage(fs.ReLULayer(weight, -size), x=np.zeros(4)).bounding_box()
    assert np.allclose(low / size[[0, 0, 3, 3]], -2, rtol=1e-9)
    assert np.allclose(high / size[[0, 0, 3, 3]], 1, rtol=1e-9)


def test_coefficients_below_what_highs_keeps() -> None:
    p = fs.preimage(fs.ReLULayer([[1e-9, -1e-9]]), x=[0.2, 0.8], domain=fs.Box(0, 1))
    assert p.width([1, -1]) == pytest.approx(1, rel=1e-9)
    assert p.chebyshev_center()[1] == pytest.approx(1 - 2**-0.5, rel=1e-9)


# ---- samples are uniform, whatever the shape, and inside


def _uniform(values: np.ndarray, low: float, high: float) -> None:
    """Mean and spread of a uniform variable, within five standard errors of 400 independent samples."""
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.25 * (high - low) * 12**-0.5)
    assert values.std() == pytest.approx((high - low) * 12**-0.5, rel=0.12)


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("thin", [1.0, 1e-4, 1e-6, 1e-12, 1e30])
def test_samples_of_a_box_of_any_shape(thin: float) -> None:
    dead = fs.ReLULayer([[0.0, 0]], [-1.0])
    p = fs.preimage(dead, x=[0.0, thin], domain=fs.Box([0, 0], [1, thin]))
    samples = p.sample(600, 0)
    _uniform(samples[:, 0], 0, 1)
    _uniform(samples[:, 1], 0, thin)
    assert all(p.contains(x) for x in samples)


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("thin", [1e-3, 1e-8, 1e-12])
def test_samples_of_a_needle_across_the_coordinates(thin: float) -> None:
    turn = np.array([[1.0, 1], [-1, 1]])
    p = fs.preimage(fs.ReLULayer(np.concatenate([turn, -turn]), -np.array([1, thin, 1, thin])), x=[0, 0])
    samples = p.sample(600, 0)
    _uniform(samples @ turn[0], -1, 1)
    _uniform(samples @ turn[1], -thin, thin)
    assert all(p.contains(x) for x in samples)


def test_repeated_rows_do_not_move_samples() -> None:
    weight = np.concatenate([np.tile([[1.0, 0]], (500, 1)), [[-1, 0], [0, 1], [0, -1]]])
    samples = fs.preimage(fs.ReLULayer(weight, -np.ones(503)), x=[0, 0]).sample(600, 0)
    _uniform(samples[:, 0], -1, 1)
    _uniform(samples[:, 1], -1, 1)


def test_samples_of_a_simplex_from_its_corner() -> None:
    """Each coordinate has the mean 1 / (n + 1) and the variance n / ((n + 1)^2 (n + 2))."""
    n = 6
    weight = np.concatenate([-np.eye(n), np.ones((1, n))])
    samples = fs.preimage(fs.ReLULayer(weight, np.append(np.zeros(n), -1.0)), x=np.zeros(n)).sample(1500, 0)
    assert samples.mean() * (n + 1) == pytest.approx(1, rel=0.05)
    assert samples.std() == pytest.approx((n / ((n + 1) ** 2 * (n + 2))) ** 0.5, rel=0.06)


def test_samples_on_a_face_of_the_domain_stay_inside() -> None:
    generator = np.random.default_rng(5)
    weight, x = generator.standard_normal((6, 8)), generator.uniform(size=8)
    x[[0, 3]] = 0.0, 1.0
    off = np.arange(6) >= 3
    bias = np.where(off, -1.0, 1.0) - weight @ x
    p = fs.preimage(fs.ReLULayer(weight, bias), x=x, domain=fs.Box(0, 1))
    samples = p.sample(100, 0)
    assert p.kind == "bounded"
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert np.abs((samples - x) @ weight[~off].T).max() < 1e-14
    around = fs.preimage(fs.ReLULayer(weight[off], bias[off]), x=x, domain=fs.Box(0, 1))
    assert all(around.contains(sample) for sample in samples)


def test_samples_from_a_point_that_rounding_takes_for_one_of_the_boundary() -> None:
    """``0.1 x1 + 0.2 x2 <= b`` with a slack below one unit in the last place of its terms at x."""
    x, row = np.array([1.0, 1.0]), np.array([0.1, 0.2])
    bias = -(row @ x)
    assert Fraction(0) > Fraction(0.1) + Fraction(0.2) + Fraction(bias)
    assert row @ x + bias == 0
    samples = fs.preimage(fs.ReLULayer([row], [bias]), x=x, domain=fs.Box(0, 3)).sample(2000, 0)
    assert np.allclose(samples.mean(axis=0), [1, 0.5], rtol=0.1)  # of the triangle (0, 0), (3, 0), (0, 1.5)
