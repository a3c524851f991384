"""The door to HiGHS: programs that are answered by looking, and sides of very different size."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.linear_program import LinearProgram, Method, Solver, Status, solve

INF = np.inf
METHODS = pytest.mark.parametrize("method", [Method.SIMPLEX, Method.INTERIOR_THEN_VERTEX])


def _program(
    c: list[float], A: list[list[float]], sides: list[tuple[float, float]], ends: list[tuple[float, float]]
) -> LinearProgram:
    row_low, row_high = np.array(sides, dtype=np.float64).reshape(-1, 2).T
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    return LinearProgram(
        np.array(c), np.array(A, dtype=np.float64).reshape(len(sides), len(c)), row_low, row_high, low, high
    )


@METHODS
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_programs_without_columns(rows: int, method: Method) -> None:
    for side, status in (((-1, 1), Status.OPTIMAL), ((0, 0), Status.OPTIMAL), ((1e-30, 1), Status.INFEASIBLE)):
        found = solve(_program([], [], [side] * rows, []), method)
        assert found.status is (status if rows else Status.OPTIMAL)
        if found.optimal:
            assert (found.value, len(found.primal), found.row_dual.tolist()) == (0.0, 0, [0.0] * rows)


@METHODS
@pytest.mark.parametrize("side", [(-INF, -1.0), (-INF, -1e-30), (1e-300, INF), (2.0, 2.0)])
def test_a_row_of_zeros_whose_sides_exclude_zero(side: tuple[float, float], method: Method) -> None:
    box = [(0.0, 1.0), (0.0, 1.0)]
    assert solve(_program([1, 0], [[0, 0], [1, 1]], [side, (-INF, 1)], box), method).status is Status.INFEASIBLE
    nothing = [(0.0, 0.0), (0.0, 1.0)]  # a variable that is always 0 leaves a row of zeros
    assert solve(_program([1, 0], [[3, 0], [1, 1]], [side, (-INF, 1)], nothing), method).status is Status.INFEASIBLE


def test_rows_of_zeros_that_come_and_change() -> None:
    solver = Solver(_program([1, 1], [[0, 0], [1, 1]], [(-1, 1), (-INF, 1)], [(0, 1), (0, 1)]))
    assert solver.run() is Status.OPTIMAL
    solver.bound_row(0, 1e-20, 1.0)
    assert solver.run() is Status.INFEASIBLE
    solver.bound_row(0, -1.0, 0.0)
    assert solver.run() is Status.OPTIMAL
    solver.add_rows(SparseRows(np.zeros((1, 2))), np.array([-INF]), np.array([-1e-20]))
    assert solver.run() is Status.INFEASIBLE


@pytest.mark.parametrize("cost", [1.0, 1e-25, -1e-60])
def test_a_free_variable_in_no_row(cost: float) -> None:
    """Beside a cost of 1, however small its own is."""
    ends = [(0.0, 1.0), (-INF, INF)]
    assert solve(_program([1, cost], [[1, 0]], [(-INF, 1)], ends)).status is Status.UNBOUNDED
    assert solve(_program([1, cost], [[1, 0]], [(2, INF)], ends)).status is Status.INFEASIBLE
    assert solve(_program([1, 0], [[1, 0]], [(-INF, 1)], ends)).value == 1
    solver = Solver(_program([1, cost], [[1, 0]], [(-INF, 1)], ends))
    solver.add_rows(SparseRows(np.array([[0.0, 1]])), np.array([-1.0]), np.array([1.0]))
    assert solver.run() is Status.OPTIMAL


@METHODS
@pytest.mark.parametrize("far", [1e3, 1e9, 1e15, 1e19, 1e21, 1e30, 1e300])
@pytest.mark.parametrize("unit", [1.0, 2.0**-200, 2.0**60])
def test_bounds_far_from_a_side(far: float, unit: float, method: Method) -> None:
    """``x + y <= 1, x - y <= far`` within ``[-far, far]^2``."""
    far = min(far, 1e300 / unit) * unit
    box = [(-far, far)] * 2
    found = solve(_program([1, 1], [[1, 1], [1, -1]], [(-INF, unit), (-INF, far)], box), method)
    assert found.optimal
    assert found.value / unit == pytest.approx(1, rel=1e-9)


def test_far_sides_that_the_optimum_needs() -> None:
    """``y`` ends at its far bound alone; ``x + y >= far`` excludes what is near."""
    found = solve(_program([1, 1], [[1, 0]], [(-INF, 1)], [(0, INF), (0, 1e18)]))
    assert found.value == pytest.approx(1e18)
    found = solve(_program([-1, -1], [[1, 1]], [(1e18, INF)], [(0, 1), (0, INF)]))
    assert found.value == pytest.approx(-1e18)
    assert solve(_program([1, 0], [[1, 1]], [(1e18, INF)], [(0, 1), (0, 1)])).status is Status.INFEASIBLE
