"""Definition 1, corollaries 2 and 6, theorem 5, and theorem 12."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from random_layers import random_layers

NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)

SIMPLEX = np.array([[1.0, 0], [0, 1], [-1, -1]])
P = np.array([1.0, 2.0])


def _dense(values: Any) -> np.ndarray[Any, Any]:
    if isinstance(values, fs.Rational):
        return np.array([v / values.denominator for v in values.numerators])
    return np.asarray(values)


@pytest.mark.parametrize(
    ("A", "expected", "why"),
    [
        (SIMPLEX, True, "0 is inside the triangle of the rows"),
        (np.vstack([np.eye(3), -np.eye(3)]), True, "a spanning set and its negative [cReLU]"),
        ([[2.0], [-0.5]], True, "both directions of a line"),
        ([[1.0], [2.0]], False, "one direction of a line"),
        ([[1.0, 0], [-1, 0], [0, 1]], False, "0 on the boundary of the hull; d = (0, -1)"),
        ([[1.0, 0], [0, 1], [0, 0]], False, "0 is a corner of the hull"),
        ([[1.0, 0], [-1, 0], [2, 0]], False, "rank 1"),
        ([[0.0, 0], [0, 0], [0, 0]], False, "rank 0"),
        ([[1.0, 0], [0, 1]], False, "corollary 6: m > n is necessary"),
        ([[1.0, 2], [3, 1], [2, 2]], False, "all in an open half-space"),
        (np.vstack([SIMPLEX, np.zeros((1, 2))]), True, "a zero row changes nothing"),
        (np.vstack([SIMPLEX, 3 * SIMPLEX]), True, "nor does a scaled copy"),
        (SIMPLEX * [[1e-8], [1.0], [1e8]], True, "nor the lengths of the rows"),
        ([[1, 2.0**-60], [-1, 2.0**-60], [0, -1]], True, "barely"),
        ([[1, -(2.0**-60)], [-1, -(2.0**-60)], [0, -1]], False, "barely not"),
    ],
)
def test_definition_1_i(A: Any, expected: bool, why: str) -> None:
    answer = fs.omnidirectional(A)
    assert answer.holds is expected, why
    assert 0 <= answer.margin <= 1
    assert bool(answer) is expected
    assert expected or answer.reason
    _check_certificate(np.asarray(A, dtype=np.float64), answer)


def _check_certificate(A: np.ndarray[Any, Any], answer: fs.Omnidirectionality) -> None:
    """It is proved, also in rational arithmetic, and the certificate is what theorem 5 or corollary 2 names."""
    assert np.array_equal(answer.cone.layer.weight, A)
    assert answer.certificate is answer.cone.certificate
    assert fs.verify(answer.cone)
    assert fs.verify(answer.cone, exact=True)
    if answer.holds:
        assert answer.certificate.tangent is not None
        multipliers = answer.certificate.tangent.multipliers
        assert multipliers is not None
        rows = A[np.asarray(multipliers.rows)]
        values = _dense(multipliers.values)
        assert (values > 0).all()
        assert np.abs(values @ rows).max() <= 1e-12 * np.abs(values[:, None] * rows).max()
        assert oracles.rank([oracles.exact_vector(row) for row in rows]) == A.shape[1]
    else:
        assert answer.certificate.recession is not None
        assert answer.certificate.recession.direction is not None
        values = _dense(answer.certificate.recession.direction.values)
        assert np.abs(values).max() > 0
        assert ((A @ values) <= 1e-12 * np.abs(A).max(axis=1) * np.abs(values).max()).all()


@NEEDS_CDD
def test_agrees_with_the_list_of_rays() -> None:
    answers: list[bool | None] = []
    for layer in random_layers(90, seed=11, largest=2, inputs=4, outputs=9):
        answer = fs.omnidirectional(layer.weight)
        assert answer.holds is oracles.omnidirectional(layer.weight), layer.weight.tolist()
        _check_certificate(layer.weight, answer)
        answers.append(answer.holds)
    assert 12 < sum(map(bool, answers)) < 78


def test_figure_1_left_holds() -> None:
    assert fs.omnidirectional(SIMPLEX, -SIMPLEX @ P, P).holds is True


@pytest.mark.parametrize(
    "A",
    [
        pytest.param(np.array([[1.0, 0], [0, 1], [1, 1]]), id="an open half-space around the opposite side is free"),
        pytest.param(np.array([[1.0, 0], [-1, 0], [0, 1]]), id="a closed half-plane holds all"),
    ],
)
def test_figure_1_middle_fails_by_a_free_half_space(A: np.ndarray[Any, Any]) -> None:
    """The hyperplanes meet in p, but the normals are not omnidirectional."""
    assert fs.omnidirectional(A, -A @ P, P).holds is False


def test_figure_1_right_fails_because_the_hyperplanes_do_not_meet_in_p() -> None:
    b = -SIMPLEX @ P
    assert fs.omnidirectional(SIMPLEX, b - [1, 0, 0], P).holds is False
    assert fs.omnidirectional(SIMPLEX, b, P + np.array([0, 2.0**-40])).holds is False
    assert fs.omnidirectional(SIMPLEX).holds is True


def test_definition_1_ii_is_exact() -> None:
    """b = -A p must hold in real numbers: 3 * 0.1 is not the stored 0.3."""
    A, p = np.array([[3.0], [-3.0]]), np.array([0.1])
    assert fs.omnidirectional(A, [-0.3, 0.3], p).holds is False
    assert fs.omnidirectional(A, [-0.75, 0.75], [0.25]).holds is True


def test_corollary_2_iii_every_open_half_space_holds_a_row() -> None:
    generator = np.random.default_rng(2)
    A = generator.normal(size=(12, 4))
    A = A if fs.omnidirectional(A).holds else np.vstack([A, -A])
    assert fs.omnidirectional(A).holds
    assert ((generator.normal(size=(500, 4)) @ A.T) > 0).any(axis=1).all()


def test_theorem_12_by_hand() -> None:
    """The simplex with its apex in p, beside a row that is slack there."""
    A = np.vstack([SIMPLEX, [[1.0, 1.0]]])
    b = np.append(-SIMPLEX @ P, -P.sum() - 1)
    unique = fs.unique_solution(A, b, P)
    assert unique.holds is True
    assert list(unique.active_rows) == [0, 1, 2]
    assert fs.unique_solution(A, b - [0.5, 0, 0, 0], P).holds is False


@NEEDS_CDD
def test_theorem_12_agrees_with_the_list_of_vertices() -> None:
    """The solution x0 is unique iff the rows that are tight there are omnidirectional for x0."""
    found: list[bool] = []
    for layer in random_layers(200, seed=12, largest=2, inputs=3, outputs=8):
        if layer.x is None or layer.domain is not None:
            continue
        A, x0 = layer.weight, layer.x
        b = np.minimum(layer.bias, -A @ x0)
        tight = np.flatnonzero(A @ x0 + b == 0)
        unique = fs.unique_solution(A, b, x0)
        truth = oracles.cdd_answer(oracles.mixed_system(A, b, y=np.zeros(len(b)))).kind == "singleton"
        assert unique.holds is truth, f"{layer}"
        assert set(unique.active_rows) <= set(tight)
        if tight.size:
            assert fs.omnidirectional(A[tight], b[tight], x0).holds is truth
        if truth:
            rows = list(unique.active_rows)
            assert fs.omnidirectional(A[rows], b[rows], x0).holds is True
        found.append(truth)
    assert set(found) == {True, False}
