"""Hostile claims at random: nothing false is proved, nothing fails, and together and alone is the same."""

from __future__ import annotations

import fuzz_enclosures
import fuzz_near_features
import pytest
from fuzz import fuzz

import oracles

pytestmark = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)


def test_some_hostile_claims() -> None:
    tally = fuzz(5000, 1_000, certificates=6)
    assert tally["claims"] >= 1_000
    for what in ("proved in floats", "proved exactly", "radii"):
        assert tally[what] >= 5, "claims that cannot be proved test nothing"
    assert sum(tally[kind] > 0 for kind in ("empty", "singleton", "bounded", "unbounded")) >= 3


def test_some_hostile_bounds() -> None:
    tally = fuzz_enclosures.fuzz(0, 400)
    for what in ("near", "points inside", "points outside", "radii"):
        assert tally[what] >= 5, "bounds and points that are never right test nothing"


def test_some_hostile_claims_that_features_differ_by_little() -> None:
    tally = fuzz_near_features.fuzz(0, 150)
    assert min(tally[what] for what in ("float", "exact", "not proved")) >= 10


@pytest.mark.exhaustive(every=0)
@pytest.mark.parametrize(("seed", "claims"), [(99, 500), *((seed, 2_000) for seed in range(100, 104))])
def test_many_hostile_claims(seed: int, claims: int) -> None:
    tally = fuzz(seed, claims)
    assert tally["proved in floats"] >= claims // 100
