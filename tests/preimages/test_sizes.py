"""Sizes of preimages: limits of time, bounds far away, and optima that their dual confirms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import fiberscope as fs
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages import time_limit
from fiberscope.preimages.centered_program import CenteredProgram, Maximizer, Optimum
from fiberscope.preimages.dense import triangular_factor, triangular_factor_of_gram
from fiberscope.preimages.time_limit import TimeLimit

Array = np.ndarray[Any, Any]


def simplex(n: int, seed: int) -> tuple[Array, Array]:
    """Rows of a simplex ``A x <= 1`` in general position around 0, and its vertices by n equations each."""
    A = np.random.default_rng(seed).standard_normal((n, n))
    A = np.vstack([A, -A.sum(axis=0)])
    return A, np.array([np.linalg.solve(np.delete(A, i, axis=0), np.ones(n)) for i in range(n + 1)])


# ---- bounds far away


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("far", [1e3, 1e9, 1e12, 1e15, 1e18, 1e30, 1e200])
@pytest.mark.parametrize(("n", "exponent"), [(2, 0), (4, 0), (4, 300), (4, -300), (6, 40)])
def test_a_simplex_in_general_position_in_a_far_box(far: float, n: int, exponent: int) -> None:
    A, vertices = simplex(n, n)
    size = np.ldexp(1.0, exponent)
    end = min(far * size, 1e300)
    p = fs.preimage(fs.ReLULayer(A, np.full(n + 1, -size)), x=np.zeros(n), domain=fs.Box(-end, end))
    low, high = p.bounding_box()
    assert np.allclose(low / size, vertices.min(axis=0), rtol=1e-9)
    assert np.allclose(high / size, vertices.max(axis=0), rtol=1e-9)
    c = np.arange(1.0, n + 1)
    assert p.width(c) / size == pytest.approx(np.ptp(vertices @ c), rel=1e-9)
    lengths = np.linalg.norm(A, axis=1)
    radius = linprog(
        np.append(np.zeros(n), -1), np.column_stack([A, lengths]), np.ones(n + 1), bounds=[(None, None)] * (n + 1)
    )
    assert p.chebyshev_center()[1] / size == pytest.approx(-radius.fun, rel=1e-7)


@pytest.mark.parametrize("far", [1e9, 1e15, 1e30])
def test_a_preimage_that_reaches_a_far_box_on_one_side(far: float) -> None:
    """``x1 + x2 <= 1, x1 - x2 <= 1``: the box alone ends it to the left, and its corners do up and down."""
    p = fs.preimage(fs.ReLULayer([[1.0, 1], [1, -1]], [-1.0, -1]), x=[0, 0], domain=fs.Box(-far, far))
    assert np.allclose(p.bounding_box(), [[-far, -far], [1, far]], rtol=1e-9)


@pytest.mark.parametrize("corner", range(4))
def test_from_a_corner_of_a_simplex_in_a_far_box(corner: int) -> None:
    """Along the sum of the tight rows, the origin is the far end: a true 0."""
    A, vertices = simplex(3, 1)
    slack, around = 1.0 - A @ vertices[corner], vertices - vertices[corner]
    tight = np.arange(4) != corner
    slack[tight] = 0.0
    p = fs.preimage(fs.ReLULayer(A, -slack), x=np.zeros(3), domain=fs.Box(-1e15, 1e15))
    assert np.allclose(p.bounding_box(), [around.min(axis=0), around.max(axis=0)], rtol=1e-9, atol=1e-12)
    c = A[tight].sum(axis=0)
    assert p.width(c) == pytest.approx(np.ptp(around @ c), rel=1e-9)


@pytest.mark.parametrize("thin", [1e-3, 1e-8, 1e-13])
def test_a_needle_across_the_coordinates(thin: float) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    ends = np.array([1, 1, thin, thin])
    layer = fs.ReLULayer(np.concatenate([turn, -turn]), -np.append(ends, ends))
    p = fs.preimage(layer, x=np.zeros(4), domain=fs.Box(-1e15, 1e15))
    for row, end in zip(turn, ends, strict=True):
        assert p.width(row) == pytest.approx(2 * end, rel=1e-2 if end < 1e-12 else 1e-6)
    assert p.chebyshev_center()[1] == pytest.approx(thin, rel=1e-6)


# ---- cutting planes, and the dual


def test_many_dense_rows_under_a_box() -> None:
    generator = np.random.default_rng(0)
    weight, x = generator.standard_normal((250, 30)), generator.random(30)
    off = np.arange(250) >= 2
    bias = -weight @ x - np.where(off, 3 * generator.random(250), -1.0)
    p = fs.preimage(fs.ReLULayer(weight, bias), x=x, domain=fs.Box(0, 1))
    for c in generator.standard_normal((6, 30)):
        ends = [
            linprog(sign * c, weight[off], -bias[off], weight[~off], weight[~off] @ x, bounds=(0, 1)).fun
            for sign in (1, -1)
        ]
        assert p.width(c) == pytest.approx(-sum(ends), rel=1e-7)


SQUARE = CenteredProgram.of(
    np.zeros((0, 2)),
    SparseRows(np.array([[1.0, 0.5], [-1, 0], [0, 1], [0, -1]])),
    np.array([1.0, 2, 4, 8]),
    np.zeros(2, dtype=bool),
)
"""``x + y / 2 <= 1, x >= -2, -8 <= y <= 4``."""


@pytest.mark.parametrize(("y", "bound"), [([1.0], 1 + 0.5 * 8), ([0.0], np.inf), ([-1.0], np.inf), ([2.0], 2 + 2 + 8)])
def test_weak_duality(y: list[float], bound: float) -> None:
    """``x <= y (x + y / 2) + (1 - y) x - y y / 2``, each term at its largest; x has no other upper bound."""
    assert SQUARE.bound(np.array([1.0, 0]), np.array(y)) == bound


@pytest.mark.parametrize(
    ("point", "y"), [([0.0, 0], [0.0]), ([0.0, 0], [1.0]), ([5.0, -8], [0.0]), ([6.0, -8], [1.0]), ([5.0, -9], [1.0])]
)
def test_what_the_dual_does_not_confirm_is_no_optimum(point: list[float], y: list[float]) -> None:
    maximizer = Maximizer(SQUARE, may_be_unbounded=False, limit=TimeLimit.of("width", None))
    confirmed = maximizer._confirmed
    c = np.array([1.0, 0])
    assert confirmed(c, SQUARE, Optimum(np.array(point), np.array(y))) is None
    answer = confirmed(c, SQUARE, Optimum(np.array([5.0, -8]), np.array([1.0])))
    assert answer is not None
    assert answer[0] == maximizer.maximize(c)[0] == 5


# ---- limits of time

ASKS: dict[str, Callable[..., Any]] = {
    "width": lambda p, **limit: p.width([1, 0], **limit),
    "bounding_box": lambda p, **limit: p.bounding_box(**limit),
    "chebyshev_center": lambda p, **limit: p.chebyshev_center(**limit),
    "sample": lambda p, **limit: p.sample(2, 0, **limit),
}


def _triangle() -> fs.Preimage:
    return fs.preimage(fs.ReLULayer([[1.0, 0], [0, 1], [-1, -1]], -np.ones(3)), x=[0, 0])


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), True, "1"])
@pytest.mark.usefixtures("unchecked")
def test_no_number_of_seconds(ask: str, seconds: Any) -> None:
    with pytest.raises(fs.InputError, match="seconds: expected a positive number, or None"):
        ASKS[ask](_triangle(), seconds=seconds)


@pytest.mark.parametrize("ask", ASKS)
def test_a_limit_says_what_was_done(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = _triangle()
    said = rf"{ask}: the limit of 1e-09 seconds ended with \d+ of \d+ .* done and \d+ left, .* takes .*; pass seconds="
    with pytest.raises(fs.SolverError, match=said):
        ASKS[ask](p, seconds=1e-9)
    one, other = ASKS[ask](p), ASKS[ask](p, seconds=1000)
    for mine, theirs in zip(*((x if isinstance(x, tuple) else (x,)) for x in (one, other)), strict=True):
        assert np.array_equal(mine, theirs)
    monkeypatch.setattr(time_limit, "DEFAULT_SECONDS", 1e-9)
    with pytest.raises(fs.SolverError, match=said):
        ASKS[ask](p)


# ---- samples


@pytest.mark.parametrize("columns", [np.ones(4), np.array([1, 1e-3, 1e3, 1]), np.array([1, 1e-12, 1, 1e9])])
def test_the_factor_of_a_gram_matrix(columns: Array) -> None:
    matrix = np.random.default_rng(0).standard_normal((9, 4)) * columns
    mine, theirs = (np.abs(factor(matrix)) for factor in (triangular_factor_of_gram, triangular_factor))
    assert np.allclose(mine / columns, theirs / columns, rtol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        triangular_factor_of_gram(matrix * np.array([1, 0, 1, 1]))
    with pytest.raises(np.linalg.LinAlgError):
        triangular_factor_of_gram(matrix[:3])


def test_nearly_dependent_columns_are_left_to_householder() -> None:
    """The Gram matrix of these rounds to a singular one."""
    matrix = np.array([[1.0, 1], [1e-9, 0], [0, 1e-9]])
    assert abs(triangular_factor_of_gram(matrix)[1, 1]) == pytest.approx(2**0.5 * 1e-9, rel=1e-6)


@pytest.mark.parametrize(("n", "far"), [(2, None), (5, None), (5, 1e15)])
def test_samples_of_a_simplex_in_general_position(n: int, far: float | None) -> None:
    """Barycentric coordinates of uniform points: mean 1 / (n + 1), variance n / ((n + 1)^2 (n + 2))."""
    A, vertices = simplex(n, 7)
    domain = None if far is None else fs.Box(-far, far)
    samples = fs.preimage(fs.ReLULayer(A, -np.ones(n + 1)), x=np.zeros(n), domain=domain).sample(1500, 0)
    shares = np.linalg.solve(np.vstack([vertices.T, np.ones(n + 1)]), np.vstack([samples.T, np.ones(1500)]))
    assert np.allclose(shares.mean(axis=1) * (n + 1), 1, atol=0.15)
    assert shares.std() == pytest.approx((n / ((n + 1) ** 2 * (n + 2))) ** 0.5, rel=0.05)
