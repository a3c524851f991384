"""The share of omnidirectional matrices among Gaussian ones follows Wendel's formula."""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import pytest

import fiberscope as fs

TRIALS = 150
STANDARD_ERRORS = 4
"""A correct program fails one of the comparisons below with probability 5e-4; the seeds are fixed."""


def omnidirectional_share(m: int, k: int) -> float:
    """The probability that m random symmetric directions in general position in R^k are omnidirectional [Wendel]."""
    return 1 - 2.0 ** (1 - m) * sum(comb(m - 1, i) for i in range(k))


@pytest.mark.exhaustive(every=0)
@pytest.mark.parametrize(("m", "k"), [(8, 4), (3, 2), (6, 3), (9, 6), (14, 5), (24, 12)])
def test_share_of_omnidirectional_matrices(m: int, k: int) -> None:
    generator = np.random.default_rng([m, k])
    answers = [fs.omnidirectional(generator.normal(size=(m, k))).holds for _ in range(TRIALS)]
    assert None not in answers
    expected = omnidirectional_share(m, k)
    assert 0 < expected < 1
    error = sqrt(expected * (1 - expected) / TRIALS)
    assert abs(np.mean(answers) - expected) <= STANDARD_ERRORS * error


@pytest.mark.parametrize(("m", "k"), [(1, 1), (2, 2), (3, 5), (12, 12)])
def test_no_more_rows_than_columns_is_never_omnidirectional(m: int, k: int) -> None:
    generator = np.random.default_rng([m, k])
    assert omnidirectional_share(m, k) == 0
    assert not any(fs.omnidirectional(generator.normal(size=(m, k))).holds for _ in range(20))


def test_the_same_share_inside_a_layer() -> None:
    """With p positive rows of a random layer, the others are omnidirectional in R^(n-p) as often as Wendel says."""
    generator = np.random.default_rng(1)
    n, p, rest, bounded = 7, 3, 8, 0
    for _ in range(TRIALS):
        weight, x = generator.normal(size=(p + rest, n)), generator.normal(size=n)
        bias = np.where(np.arange(p + rest) < p, 1.0, -1.0) - weight @ x
        found = fs.preimage(fs.ReLULayer(weight, bias), x=x)
        assert found.kind in (fs.Kind.BOUNDED, fs.Kind.UNBOUNDED)
        assert found.dimension == n - p
        bounded += found.kind == fs.Kind.BOUNDED
    expected = omnidirectional_share(rest, n - p)
    assert abs(bounded / TRIALS - expected) <= STANDARD_ERRORS * sqrt(expected * (1 - expected) / TRIALS)
