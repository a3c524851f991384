"""Directions brought onto rows that depend on each other, and what ends where the time does."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope.preimages.analytic_center import Polytope, analytic_center
from fiberscope.preimages.budget import NO_LIMIT, Budget, TooLargeError
from fiberscope.preimages.exact_algebra import exact_rank
from fiberscope.preimages.modular import modular_seconds
from fiberscope.preimages.polishing import VANISHING, polished, ray_near

OVER = Budget(1.0, 0.0)
"""A budget that ended when the clock began."""


def dependent(power: int = 0) -> np.ndarray:
    """Ten unit rows of rank two, in six coordinates."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((10, 2)) @ rng.standard_normal((2, 6)) * 2.0**power
    return rows / np.linalg.norm(rows, axis=1)[:, None]


@pytest.mark.parametrize("power", [0, -40, 40])
def test_dependent_rows_leave_the_nearest_direction(power: int) -> None:
    rows, d = dependent(power), np.random.default_rng(1).standard_normal(6)
    found = polished(rows, d, VANISHING)
    _, _, V = np.linalg.svd(rows)
    nearest = V[2:].T @ (V[2:] @ d)
    assert found is not None
    np.testing.assert_allclose(found, nearest / np.abs(nearest).max(), atol=1e-6)
    assert np.abs(rows @ found).max() < 1e-15, "held, however near"


def test_nothing_is_solved_when_the_time_is_over() -> None:
    rows, d = dependent(), np.ones(6)
    assert polished(rows, d, VANISHING, OVER) is None
    none = np.zeros(10, dtype=np.bool_)
    assert ray_near(rows, ~none, np.zeros(10), d, lambda d: d < -np.inf) is not None
    assert ray_near(rows, ~none, np.zeros(10), d, lambda d: d < -np.inf, OVER) is None


def test_a_center_is_not_searched_when_the_time_is_over() -> None:
    polytope = Polytope(np.eye(2), -np.ones(2), np.ones(2), -np.ones(2), np.ones(2))
    assert analytic_center(polytope, np.zeros(2), OVER).factor is None
    assert analytic_center(polytope, np.zeros(2), NO_LIMIT).factor is not None


def test_a_rank_that_takes_longer_than_is_left_is_not_begun() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 20))
    assert exact_rank(rows) == 20
    assert 0 < modular_seconds(30, 20) < modular_seconds(60, 20) < modular_seconds(60, 40)
    with pytest.raises(TooLargeError, match="modulo a prime"):
        exact_rank(rows, OVER)
