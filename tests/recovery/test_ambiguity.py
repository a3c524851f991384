"""Bits, counted by hand and one level after the other."""

from __future__ import annotations

from math import inf, log2

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.recovery.ambiguity import Levels


def stored(k: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return (low + k * (high - low) / 255).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 2.0**-30), (-3.0, 1e6)])
def test_levels_are_counted_one_after_the_other(low: float, high: float) -> None:
    rng, every = np.random.default_rng(0), stored(np.arange(256), low, high)
    levels = Levels.of(fs.Box(low, high), rng.choice(every, (4, 3)))
    assert levels.stored
    for _ in range(200):
        ends = np.sort(rng.choice([*every, *rng.uniform(low, high, 256)], (2, 3)), axis=0)
        counts = [((every >= a) & (every <= b)).sum() for a, b in ends.T]
        assert levels.bits(*ends) == pytest.approx(sum(log2(max(count, 1)) for count in counts))
    assert levels.bits(np.full(3, low), np.full(3, high)) >= 3 * log2(254)


def test_bits_by_hand() -> None:
    levels = Levels.of(fs.Box(0, 1), stored(np.array([[3, 200]])))
    at = stored(np.array([3.0, 200.0]))
    assert levels.bits(at, at) == 0.0
    assert levels.bits(at, stored(np.array([4.0, 203.0]))) == 1.0 + 2.0
    between = levels.bits(np.nextafter(at, inf), stored(np.array([5.0, 200.0])))
    assert between == 1.0, "4 and 5 are left of the first, none of the second"


def test_samples_that_are_not_stored_levels_are_counted_by_widths() -> None:
    levels = Levels.of(fs.Box(0, 1), np.array([[0.5, 0.25]]))
    assert not levels.stored
    low = np.array([0.5, 0.25])
    assert levels.bits(low, low + 0.9 / 255) == 0.0
    assert levels.bits(low, low + np.array([0.9, 3.5]) / 255) == 2.0


def test_domains_that_do_not_fit() -> None:
    with pytest.raises(fs.InputError, match="a bounded one"):
        Levels.of(fs.NonNegative(), np.zeros((1, 2)))
    with pytest.raises(fs.InputError, match="sample 1 outside"):
        Levels.of(fs.Box(0, 1), np.array([[0.0, 1.0], [0.0, 1.5]]))
    half = fs.Box(0, 1) & fs.HalfSpaces([[1.0, 1.0]], [1.0]) if hasattr(fs.Box, "__and__") else None
    if half is not None:
        with pytest.raises(fs.InputError, match="sample 0 outside"):
            Levels.of(half, np.array([[0.75, 0.5]]))
