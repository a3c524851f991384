"""Under a box, pixels at its border make singletons long before p = n: their share is Wendel's, m = t and k = n - p."""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import pytest

import fiberscope as fs

TRIALS = 120
STANDARD_ERRORS = 4


@pytest.mark.exhaustive
@pytest.mark.parametrize(("n", "p", "t"), [(10, 6, 8), (10, 6, 6), (12, 6, 12), (12, 4, 10), (9, 8, 3)])
def test_share_of_singletons(n: int, p: int, t: int) -> None:
    """p generic equalities, t coordinates at 0 or 1: T = {0} iff t random directions are omnidirectional in R^(n-p)."""
    generator = np.random.default_rng([n, p, t])
    singletons = 0
    for _ in range(TRIALS):
        weight, x = generator.normal(size=(p, n)), generator.uniform(0.25, 0.75, n)
        x[:t] = generator.integers(0, 2, t)
        layer = fs.ReLULayer(weight, 1 - weight @ x)
        found = fs.preimage(layer, x=x, domain=fs.Box(0, 1))
        assert found.kind in (fs.Kind.SINGLETON, fs.Kind.BOUNDED)
        assert found.dimension == (0 if found.kind == fs.Kind.SINGLETON else n - p)
        singletons += found.kind == fs.Kind.SINGLETON
    expected = 1 - 2.0 ** (1 - t) * sum(comb(t - 1, i) for i in range(n - p))
    assert abs(singletons / TRIALS - expected) <= STANDARD_ERRORS * sqrt(expected * (1 - expected) / TRIALS)


def test_without_the_box_the_same_points_have_no_singleton() -> None:
    generator = np.random.default_rng(0)
    weight, x = generator.normal(size=(6, 10)), np.zeros(10)
    assert fs.preimage(fs.ReLULayer(weight, np.ones(6)), x=x).kind == fs.Kind.UNBOUNDED
