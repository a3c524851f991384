"""The best input of the whole box, where the features allow it: against linear and quadratic programs of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import nn

import fiberscope as fs
from fiberscope.invariance.box_optimum import MAX_NUMBERS, PATIENCE, BoxOptimum
from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.feature_region import feature_region, features_at, pieces_at
from fiberscope.invariance.region_program import RegionProgram


def program(n: int, m: int, seed: int) -> tuple[RegionProgram, np.ndarray, np.ndarray]:
    """A random layer at an input on whose bounds many pixels lie, and a target with many zeros."""
    torch.manual_seed(seed)
    net = fs.from_torch(nn.Sequential(nn.Linear(n, m), nn.ReLU()).double().eval())
    generator = np.random.default_rng(seed)
    x = np.clip(generator.uniform(-0.5, 1.5, size=n), 0, 1)
    c = generator.standard_normal(n) * (generator.uniform(size=n) < 0.3)
    region = feature_region(net, features_at(net, x, 1), pieces_at(net, x, 1))
    return RegionProgram(FeasibleSteps.of(region, fs.Box(0, 1).polyhedron(n), x)), x, c


def written(given: RegionProgram) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    feasible = given.feasible
    rows, sides = feasible.rows.inequalities(np.arange(given.region.count))
    return feasible.equations.toarray(), feasible.rows.values[feasible.held], rows.toarray(), sides


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", [(30, 8), (40, 20), (20, 30)])
def test_it_is_found_exactly_where_a_linear_program_attains_the_bound_of_the_box(size):
    found, not_there = 0, 0
    for seed in range(20):
        given, _, c = program(*size, seed)
        E, f, G, h = written(given)
        best = -linprog(-c, G, h, E, f, bounds=(0, 1)).fun
        box = BoxOptimum.of(given)
        assert box is not None
        step = box.attained(c)
        if step is None:
            not_there += best < np.maximum(c, 0).sum() - 1e-7
            continue
        x_best = given.feasible.point(step)
        found += 1
        assert c @ x_best == pytest.approx(np.maximum(c, 0).sum(), abs=1e-12)
        assert best == pytest.approx(c @ x_best, abs=1e-7)
        assert np.abs(E @ x_best - f).max() < 1e-8
        assert (G @ x_best - h).max() < 1e-8
        assert ((x_best >= 0) & (x_best <= 1)).all()
    assert found + not_there >= 19
    if size[1] < size[0]:
        assert found >= 3


def test_it_is_the_nearest_one():
    compared = 0
    for seed in range(8):
        given, x, c = program(14, 5, seed)
        box = BoxOptimum.of(given)
        assert box is not None
        step = box.attained(c)
        if step is None:
            continue
        found = x + step
        E, f, G, h = written(given)
        low, high = np.where(c > 0, 1.0, 0.0), np.where(c < 0, 0.0, 1.0)
        nearest = minimize(
            lambda z, x=x: ((z - x) ** 2).sum() / 2,
            found,
            jac=lambda z, x=x: z - x,
            bounds=np.stack([low, high], axis=1),
            constraints=[
                {"type": "eq", "fun": lambda z, E=E, f=f: E @ z - f, "jac": lambda _, E=E: E},
                {"type": "ineq", "fun": lambda z, G=G, h=h: h - G @ z, "jac": lambda _, G=G: -G},
            ],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert ((found - x) ** 2).sum() / 2 <= nearest.fun + 1e-8
        compared += 1
    assert compared >= 4


def test_it_is_not_tried_for_ever():
    given, *_ = program(20, 30, 0)
    box = BoxOptimum.of(given)
    assert box is not None
    for _ in range(PATIENCE):
        assert box.attained(np.ones(20)) is None
    assert box.failures == PATIENCE
    assert box.attained(np.zeros(20)) is None, "x itself would do, but it is not asked any more"


def test_many_rows_and_missing_bounds_are_left_to_linear_programs():
    given, x, c = program(20, 6, 0)
    free = RegionProgram(FeasibleSteps.of(given.region, fs.NonNegative().polyhedron(20), x))
    box = BoxOptimum.of(free)
    assert box is not None
    assert box.attained(np.abs(c) + 1.0) is None
    large, _, _ = program(2000, MAX_NUMBERS // 2000 + 1, 0)
    assert BoxOptimum.of(large) is None
