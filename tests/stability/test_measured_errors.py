"""Measured norms and the rounding that they allow for, against products in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fiberscope.stability.measured_errors import (
    BLOCK,
    Columns,
    defect,
    frobenius,
    image,
    norm_bound,
    random_columns,
)


@pytest.mark.parametrize("n", [1, 7, BLOCK + 3, 3 * BLOCK])
def test_a_product_is_as_near_as_it_says(n):
    generator = np.random.default_rng(n)
    A = generator.standard_normal((2, n)) * 10.0 ** generator.integers(-8, 8, n)
    x = generator.standard_normal(n)
    found = image(A, Columns(x.astype(np.longdouble)[:, None], np.zeros(1)))
    errors = []
    for row, value in zip(A, found.values[:, 0], strict=True):
        exact = sum(Fraction(a) * Fraction(b) for a, b in zip(row.tolist(), x.tolist(), strict=True))
        high = float(value)
        errors.append(float(exact - Fraction(high) - Fraction(float(value - np.longdouble(high)))))
    assert np.hypot(*errors) <= found.error[0]
    assert found.error[0] <= 1e-13 * frobenius(A) * np.linalg.norm(x)


def test_an_error_that_is_known_is_carried_through():
    A = np.diag([3.0, 4.0])
    known = Columns(np.ones((2, 1), dtype=np.longdouble), np.array([0.5]))
    assert image(A, known, norm=4.0).error[0] == pytest.approx(2.0)
    assert image(A, known).error[0] >= 2.5


def test_a_norm_is_bounded_and_not_much_more():
    E = np.random.default_rng(0).standard_normal((30, 20)) * 1e-9
    norm = float(np.linalg.norm(E, 2))
    measured = norm_bound(image(E, random_columns(20, np.random.default_rng(1))))
    assert norm <= measured <= 12 * np.sqrt(2 / np.pi) * 30 * norm


@pytest.mark.parametrize("error", [0.0, 1e-12, 1e-3])
def test_how_far_a_factor_is_from_orthogonal(error):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 25)))[0]
    Q[:, 3] *= 1 + error
    found, product = defect(Q, random_columns(25, np.random.default_rng(1)))
    assert float(np.linalg.norm(Q.T @ Q - np.eye(25), 2)) - 1e-14 <= found <= 100 * error + 1e-12
    assert product.values.shape == (40, 10)
