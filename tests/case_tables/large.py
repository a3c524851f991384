"""Larger and structured layers."""

from __future__ import annotations

import numpy as np

from case_tables.case import SINGLETON, Case, bounded, case, unbounded
from fiberscope.network.domains import Box, Domain, NonNegative


def _half_precision() -> Case:
    generator = np.random.default_rng(7)
    weight = generator.normal(size=(9, 4)).astype(np.float16)
    x = generator.normal(size=4).astype(np.float16)
    return case("float16 grid", weight, SINGLETON, "5 or more rows positive; confirmed by the oracle", x=x)


def _float32_gaussian(m: int, seed: int, domain: Domain | None, expected: tuple[str, int], why: str) -> Case:
    """A random layer with 20 inputs, 8 of them exactly 0; what it is was found by exact linear programming."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(m, 20)).astype(np.float32)
    x = np.abs(generator.normal(size=20)).astype(np.float32)
    x[:8] = 0
    if isinstance(domain, Box):
        x = np.minimum(x, 2)
    return case(
        f"float32 gaussian {m} x 20, seed {seed}, {type(domain).__name__}", weight, expected, why, x=x, domain=domain
    )


def _structured() -> tuple[Case, ...]:
    identity, ones = np.eye(50), np.ones((1, 50))
    pair, simplex = np.vstack([identity, -identity]), np.vstack([identity, -ones])
    signs = np.where(np.arange(50) < 30, 1.0, -1.0)
    part = np.where(np.arange(50) < 30, 1.0, 0.0)
    return (
        case("identity", identity, unbounded(20), "the 20 negative coordinates are free below", x=signs),
        case(
            "identity, nonnegative", identity, SINGLETON, "0 <= x_j <= 0 for the others", x=part, domain=NonNegative()
        ),
        case(
            "identity in a box",
            identity,
            bounded(20),
            "the negative coordinates run through [-1, 0]",
            x=signs / 2,
            domain=Box(-1, 1),
        ),
        case("cReLU", pair, SINGLETON, "a pair is tight or one of it positive", x=part),
        case("cReLU at 0", pair, SINGLETON, "100 tight rows", x=np.zeros(50)),
        case("cReLU with a dead zone of 50", pair, bounded(50), "a cube", b=-np.ones(100), x=np.zeros(50)),
        case("simplex at 0", simplex, SINGLETON, "51 tight omnidirectional rows", x=np.zeros(50)),
        case("simplex of 50", simplex, bounded(50), "a simplex", b=-np.ones(51), x=np.zeros(50)),
        case(
            "simplex without one row", simplex[1:], unbounded(50), "50 rows cannot be omnidirectional", x=np.zeros(50)
        ),
        case("simplex, 30 positive", simplex, bounded(20), "a simplex in the 20 coordinates", x=2 * part - 1 / 64),
    )


GAUSSIAN = (
    _float32_gaussian(40, 1, None, bounded(4), "16 positives, 24 rows omnidirectional in R^4"),
    _float32_gaussian(40, 1, NonNegative(), SINGLETON, "16 positives, 8 tight coordinates omnidirectional in R^4"),
    _float32_gaussian(40, 3, None, SINGLETON, "20 positives"),
    _float32_gaussian(40, 7, Box(0, 2), bounded(7), "13 positives, and tight coordinates that leave room"),
    _float32_gaussian(30, 1, None, unbounded(6), "14 positives, 16 rows not omnidirectional in R^6"),
    _float32_gaussian(30, 1, NonNegative(), bounded(6), "14 positives, bounded by the orthant"),
    _float32_gaussian(30, 7, None, unbounded(13), "7 positives"),
)


LARGE = (_half_precision(), *_structured(), *GAUSSIAN)
