"""Lemma 9 and appendix A5: the bound from a weakly correlated row that was removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from safetensors.numpy import load_file
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.stability import correlation
from fiberscope.stability.correlation import CorrelationBound, correlation_bound, correlation_counts
from fiberscope.stability.interlacing import interlacing_bound

Matrix = np.ndarray[Any, Any]


def smallest_nonzero(K: Matrix) -> float | None:
    values = scipy.linalg.svd(K, compute_uv=False, lapack_driver="gesvd")
    values = values[values > 1e-10 * values.max(initial=0.0)]
    return float(values[-1]) if len(values) else None


@pytest.mark.parametrize("angle", [0.3, 0.1, 1e-3, 1e-6])
def test_figure_2(angle: float):
    """Two strongly correlated rows stay and one weakly correlated with both goes: all bounds are attained."""
    A = np.array([[np.cos(angle), np.sin(angle)], [np.cos(angle), -np.sin(angle)], [0.0, 1.0]])
    bound = correlation_bound(A, [0, 1], 2)
    assert bound.applies
    assert (bound.row, bound.rank, bound.outside, bound.tolerance) == (2, 2, 0, 0)
    for value in (bound.printed, bound.direct, bound.projected, bound.smallest_nonzero):
        assert value == pytest.approx(np.sqrt(2) * np.sin(angle), rel=1e-9)
    # what ReLU does to the condition number of the three-vector system
    before, after = (np.linalg.cond(rows) for rows in (A, A[:2]))
    assert before < 1.6
    assert after == pytest.approx(1 / np.tan(angle), rel=1e-6)


def test_of_a_row_outside_the_row_space():
    """Kept e_1, removed (3, 4): neither orthogonal to the null space nor a bound; its projection (3, 0) gives one."""
    bound = correlation_bound([[1.0, 0], [3, 4]], [0], 1)
    assert not bound.applies
    assert bound.printed == pytest.approx(0.6)
    assert bound.direct == pytest.approx(0.6)
    assert bound.outside == pytest.approx(0.8)
    assert bound.smallest_nonzero == 1
    assert bound.projected == pytest.approx(1)


def test_of_a_row_orthogonal_to_all_that_stay():
    bound = correlation_bound([[1.0, 0], [0, 2]], [0], 1)
    assert (bound.printed, bound.direct, bound.projected, bound.applies, bound.outside) == (0, 0, None, False, 1)
    assert bound.smallest_nonzero == 1


def test_of_rows_that_are_all_zero():
    bound = correlation_bound([[0.0, 0], [0, 0], [0, 2]], [0, 1], 2)
    assert (bound.smallest_nonzero, bound.projected, bound.applies, bound.rank) == (None, None, False, 0)


def test_the_projection_of_a_nearly_orthogonal_row_is_accurate():
    """A part of 1e-9 in the row space, which no axis shows: the quotient still lies between the singular values."""
    generator = np.random.default_rng(0)
    Q = np.linalg.qr(generator.normal(size=(20, 20)))[0]
    K = np.diag([3.0, 2, 1]) @ Q[:3]
    bound = correlation_bound(np.vstack([K, Q[5] + 1e-9 * Q[2]]), [0, 1, 2], 3)
    assert bound.projected == pytest.approx(1, rel=1e-5)
    assert bound.outside == pytest.approx(1)
    assert not bound.applies


def test_no_random_matrix_exceeds_the_bounds():
    """The projected bound always; the printed and the direct one where they apply, and not otherwise."""
    generator = np.random.default_rng(1)
    applying = exceeded = 0
    for k in range(1000):
        m, n = generator.integers(2, 9), generator.integers(1, 7)
        A = generator.normal(size=(m, n)) if k % 2 else generator.integers(-1, 2, (m, n)).astype(float)
        A[-1, 0] += 0.5  # a row that is not zero
        kept = generator.random(m) < 0.7
        kept[0], kept[-1] = True, False
        bound = correlation_bound(A, kept, m - 1)
        smallest = bound.smallest_nonzero
        assert bound.direct <= bound.printed * (1 + 1e-12)
        if smallest is None:
            continue
        assert bound.projected is None or smallest <= bound.projected * (1 + 1e-9)
        if bound.applies:
            applying += 1
            assert smallest <= bound.direct * (1 + 1e-9)
            assert bound.direct == pytest.approx(bound.projected, rel=1e-9)
        else:
            exceeded += smallest > bound.printed
    assert applying > 250
    assert exceeded > 30, "without orthogonality the printed number is no bound"


def test_the_numbers_agree_with_other_routines():
    generator = np.random.default_rng(2)
    kinds = set[bool]()
    for _ in range(200):
        m, n = generator.integers(3, 8), generator.integers(2, 6)
        A = generator.integers(-3, 4, (m, n)).astype(float)
        A[-1, 0] = 5.0
        K, a = A[: m // 2], A[-1]
        bound = correlation_bound(A, range(m // 2), m - 1)
        N = scipy.linalg.null_space(K)
        inside = scipy.linalg.pinv(K) @ (K @ a)
        assert bound.applies is bool(np.abs(N.T @ a).max(initial=0) < 1e-10)
        kinds.add(bound.applies)
        assert bound.rank == n - N.shape[1]
        assert bound.outside == pytest.approx(np.linalg.norm(a - inside) / np.linalg.norm(a), abs=1e-12)
        assert bound.printed == pytest.approx(np.abs(K @ a).max() * np.sqrt(len(K)) / np.linalg.norm(a))
        assert bound.direct == pytest.approx(np.linalg.norm(K @ a) / np.linalg.norm(a))
        assert bound.smallest_nonzero == (None if not K.any() else pytest.approx(smallest_nonzero(K)))
        if np.linalg.norm(inside) > 1e-10:
            assert bound.projected == pytest.approx(np.linalg.norm(K @ a) / np.linalg.norm(inside))
        else:
            assert bound.projected is None
    assert kinds == {True, False}


def test_the_unit_of_the_matrix_does_not_matter():
    generator = np.random.default_rng(3)
    A = generator.normal(size=(7, 5))
    one = correlation_bound(A, [0, 1, 2], 5)
    for scale in (1e-120, 1e120):
        other = correlation_bound(scale * A, [0, 1, 2], 5)
        assert other.projected == pytest.approx(scale * one.projected)
        assert other.printed == pytest.approx(scale * one.printed)
        assert other.applies is one.applies
    tiny = A.copy()
    tiny[5] *= 1e-200
    assert correlation_bound(tiny, [0, 1, 2], 5).projected == pytest.approx(one.projected)


def test_counts_agree_with_counting(monkeypatch: pytest.MonkeyPatch):
    generator = np.random.default_rng(4)
    A = generator.normal(size=(40, 9))
    kept = generator.random(40) < 0.6
    constants = np.array([3.0, 0.0, 0.1, 0.5, 1.0, 30.0])
    counts = {
        k: [
            sum(abs(A[j] @ A[k]) <= c * np.linalg.norm(A[k]) / np.sqrt(kept.sum()) for j in np.flatnonzero(kept))
            for c in constants
        ]
        for k in np.flatnonzero(~kept)
    }
    expected = np.max(list(counts.values()), axis=0)
    for products in (correlation.PRODUCTS, 1, 60):
        monkeypatch.setattr(correlation, "PRODUCTS", products)
        answer = correlation_counts(A, kept, constants)
        np.testing.assert_array_equal(answer.counts, expected)
        first = [next(k for k in counts if counts[k][i] == most) for i, most in enumerate(expected)]
        assert answer.rows.tolist() == first
        assert answer.kept == kept.sum()
        assert answer.zero_rows == 0
        bounds = [correlation_bound(A, kept, k) for k in np.flatnonzero(~kept)]
        assert answer.best.printed == pytest.approx(min(bound.printed for bound in bounds))
        assert answer.best_direct.direct == pytest.approx(min(bound.direct for bound in bounds))
        assert answer.best.row == min(bounds, key=lambda bound: bound.printed).row
        assert answer.interlacing == interlacing_bound(A, kept)


def test_the_curve_reaches_all_rows_at_the_printed_bound():
    generator = np.random.default_rng(5)
    A = generator.normal(size=(300, 30))
    kept = range(200)
    c = correlation_counts(A, kept, [1.0]).best.printed
    answer = correlation_counts(A, kept, [c * (1 - 1e-9), c])
    assert answer.counts.tolist() == [199, 200]
    assert answer.rows[1] == answer.best.row
    assert answer.best.applies
    assert answer.best.smallest_nonzero <= answer.best.direct <= answer.best.printed


def test_zero_rows_are_no_candidates():
    """A dead neuron satisfies every condition; it would make the curve reach M at once and bound nothing."""
    A = np.array([[1.0, 0], [1, 1], [0, 0], [2, 1]])
    answer = correlation_counts(csr_array(A), [0, 1], [0.0, 10.0])
    assert answer.zero_rows == 1
    assert answer.counts.tolist() == [0, 2]
    assert answer.rows.tolist() == [3, 3]


def test_of_a_trained_layer(external: Path):
    """Where fewer rows stay than there are inputs no row meets the lemma's condition, and its number is no bound."""
    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    first, second = (weights[f"{i}.weight"].astype(float) for i in (0, 2))
    x = np.maximum(first @ np.random.default_rng(0).uniform(size=784) + weights["0.bias"], 0)
    kept = second @ x + weights["2.bias"] > 0
    answer = correlation_counts(second, kept, np.geomspace(0.01, 10, 30))
    smallest = answer.interlacing.smallest_nonzero
    assert smallest == pytest.approx(smallest_nonzero(second[kept]), rel=1e-9)
    assert answer.counts[-1] == answer.kept == kept.sum()
    assert (np.diff(answer.counts) >= 0).all()
    assert not answer.best.applies
    assert not answer.best_direct.applies
    assert answer.best_direct.direct < smallest, "the direct quotient is no bound either"
    assert smallest <= answer.best.projected
    assert smallest <= answer.interlacing.sharpened


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: correlation_bound([1.0], [0], 0), "A: expected shape"),
        (lambda: correlation_bound([[np.inf]], [], 0), "A: expected finite numbers"),
        (lambda: correlation_bound(np.eye(2), [], 0), "kept: expected at least one row, got none"),
        (lambda: correlation_bound(np.eye(2), [5], 0), "kept: .*got the index 5"),
        (lambda: correlation_bound(np.eye(2), [0], 0), "row: expected a removed row, got row 0, which is kept"),
        (lambda: correlation_bound(np.eye(2), [0], -1), "row: expected an index in 0 ... 1, got -1"),
        (lambda: correlation_bound(np.eye(2), [0], 2), "row: expected an index in 0 ... 1, got 2"),
        (lambda: correlation_bound([[1.0], [0]], [0], 1), "row: expected a row that is not zero, got row 1"),
        (lambda: correlation_counts(np.eye(2), [0], []), "constants: expected at least one number"),
        (lambda: correlation_counts(np.eye(2), [0], [[1.0]]), "constants: expected shape"),
        (lambda: correlation_counts(np.eye(2), [0], [-1.0]), "constants: expected no negative number, got -1"),
        (lambda: correlation_counts(np.eye(2), [0], [np.nan]), "constants: expected finite numbers"),
        (lambda: correlation_counts(np.eye(2), [], [1.0]), "kept: expected at least one row"),
        (lambda: correlation_counts(np.eye(2), [0, 1], [1.0]), "kept: expected a removed row that is not zero"),
        (lambda: correlation_counts([[1.0], [0]], [0], [1.0]), "kept: expected a removed row that is not zero"),
    ],
)
def test_bad_input(call: Callable[[], CorrelationBound], message: str):
    with pytest.raises(fs.InputError, match=message):
        call()
