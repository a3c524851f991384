"""What must not change an answer does not change it, on numbers for which float arithmetic is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import fiberscope as fs
from drawn_examples import examples

Array = np.ndarray[Any, Any]

_FEW = examples(40)
_ENTRIES = st.sampled_from([-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 0.5, -0.25, 4.0])
_COORDINATES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 1.0, 1.5, 3.0])
_POWERS = st.sampled_from([2.0**-20, 0.125, 0.5, 1.0, 2.0, 64.0, 2.0**30])


@dataclass(frozen=True, eq=False)
class Question:
    """A layer, a point, and half-spaces that hold the point (None for no domain)."""

    A: Array
    b: Array
    x: Array
    G: Array | None = None
    h: Array | None = None

    def kind_and_dimension(self) -> tuple[str, int | None]:
        domain = None if self.G is None else fs.HalfSpaces(self.G, self.h)
        p = fs.preimage(fs.ReLULayer(self.A, self.b), x=self.x, domain=domain)
        return str(p.kind), p.dimension


def _matrix(rows: int, columns: int) -> st.SearchStrategy[Array]:
    return st.lists(_ENTRIES, min_size=rows * columns, max_size=rows * columns).map(
        lambda v: np.array(v).reshape(rows, columns)
    )


def _vector(size: int, entries: st.SearchStrategy[float]) -> st.SearchStrategy[Array]:
    return st.lists(entries, min_size=size, max_size=size).map(np.array)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Small layers with many of their hyperplanes through the point; half of them with half-spaces as the domain."""
    n, m = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    A, x = draw(_matrix(m, n)), draw(_vector(n, _COORDINATES))
    b = draw(_vector(m, st.sampled_from([-1.0, 0.0, 0.0, 0.5]))) - A @ x
    if not draw(st.booleans()):
        return Question(A, b, x)
    g = draw(st.integers(1, 3))
    G = draw(_matrix(g, n))
    return Question(A, b, x, G, G @ x + draw(_vector(g, st.sampled_from([0.0, 0.0, 1.0]))))


@st.composite
def unimodular(draw: st.DrawFn, n: int) -> tuple[Array, Array]:
    """An integer matrix of determinant +-1 and its inverse, as a product of shears, swaps and sign changes."""
    U, V = np.eye(n), np.eye(n)
    for _ in range(draw(st.integers(1, 4))):
        i, j = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        E, F = np.eye(n), np.eye(n)
        if i == j:
            E[i, i] = F[i, i] = -1
        else:
            E[i, j] = draw(st.sampled_from([-2.0, -1.0, 1.0, 2.0]))
            F[i, j] = -E[i, j]
        U, V = E @ U, V @ F
    return U, V


@_FEW
@given(st.data())
def test_positive_row_scaling(data: st.DataObject) -> None:
    q = data.draw(questions())
    scale = data.draw(_vector(q.A.shape[0], _POWERS))
    scaled = Question(scale[:, None] * q.A, scale * q.b, q.x, q.G, q.h)
    assert scaled.kind_and_dimension() == q.kind_and_dimension()


@_FEW
@given(st.data())
def test_row_permutation(data: st.DataObject) -> None:
    q = data.draw(questions())
    order = data.draw(st.permutations(range(q.A.shape[0])))
    assert Question(q.A[order], q.b[order], q.x, q.G, q.h).kind_and_dimension() == q.kind_and_dimension()


@_FEW
@given(st.data())
def test_unimodular_change_of_coordinates(data: st.DataObject) -> None:
    q = data.draw(questions())
    U, V = data.draw(unimodular(q.x.size))
    assert np.array_equal(U @ V, np.eye(q.x.size))
    moved = Question(q.A @ V, q.b, U @ q.x, None if q.G is None else q.G @ V, q.h)
    assert moved.kind_and_dimension() == q.kind_and_dimension()


@_FEW
@given(st.data())
def test_translation(data: st.DataObject) -> None:
    q = data.draw(questions())
    t = data.draw(_vector(q.x.size, _COORDINATES))
    moved = Question(q.A, q.b - q.A @ t, q.x + t, q.G, None if q.G is None else q.h + q.G @ t)
    assert moved.kind_and_dimension() == q.kind_and_dimension()


@_FEW
@given(st.data())
def test_repeated_and_zero_rows_say_nothing_new(data: st.DataObject) -> None:
    q = data.draw(questions())
    picked = data.draw(st.lists(st.integers(0, q.A.shape[0] - 1), max_size=3))
    A = np.vstack([q.A, 3 * q.A[picked], np.zeros((1, q.x.size))])
    b = np.concatenate([q.b, 3 * q.b[picked], data.draw(_vector(1, st.sampled_from([-1.0, 0.0, 1.0])))])
    assert Question(A, b, q.x, q.G, q.h).kind_and_dimension() == q.kind_and_dimension()


@_FEW
@given(st.data())
def test_more_inequality_rows_only_shrink_the_preimage(data: st.DataObject) -> None:
    q = data.draw(questions())
    extra = data.draw(_matrix(2, q.x.size))
    slack = data.draw(_vector(2, st.sampled_from([0.0, 0.0, -1.0])))
    kind, dimension = q.kind_and_dimension()
    larger = Question(np.vstack([q.A, extra]), np.concatenate([q.b, slack - extra @ q.x]), q.x, q.G, q.h)
    new_kind, new_dimension = larger.kind_and_dimension()
    order = ["singleton", "bounded", "unbounded"]
    assert order.index(new_kind) <= order.index(kind)
    assert new_dimension <= dimension


@_FEW
@given(st.data())
def test_asked_by_point_or_by_output_is_the_same(data: st.DataObject) -> None:
    q = data.draw(questions())
    layer = fs.ReLULayer(q.A, q.b)
    domain = None if q.G is None else fs.HalfSpaces(q.G, q.h)
    by_output = fs.preimage(layer, y=layer(q.x), domain=domain)
    assert (str(by_output.kind), by_output.dimension) == q.kind_and_dimension()


@examples(40)
@given(st.data())
def test_both_monotonicity_rules(data: st.DataObject) -> None:
    """Theory section 1: a larger P inherits "bounded"; with the active rows inside P' and I', also "singleton"."""
    n, m = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 7))
    A, b = data.draw(_matrix(m, n)), data.draw(_vector(m, st.sampled_from([-1.0, 0.0, 0.0, 1.0])))
    points = [data.draw(_vector(n, _COORDINATES)) for _ in range(5)]
    values = [A @ x + b for x in points]
    kinds = [Question(A, b, x).kind_and_dimension()[0] for x in points]
    for v, kind in zip(values, kinds, strict=True):
        for w, other in zip(values, kinds, strict=True):
            if not (w > 0)[v > 0].all():
                continue
            assert not (kind in ("bounded", "singleton") and other == "unbounded"), (
                "C = {0} is inherited by every larger P"
            )
            if (w >= 0)[v == 0].all():
                assert not (kind == "singleton" and other != "singleton"), "T = {0} is inherited upwards"
