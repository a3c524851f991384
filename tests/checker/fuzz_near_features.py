"""Random claims that features differ by no more than given numbers, against fractions: what is proved must be true.

    python tests/checker/fuzz_near_features.py [COUNT] [--seed SEED]

Networks are those of ``fuzz_features``, in units from 2^-500 to 2^300. What is allowed is what features differ by at
the points, and at 25 places of every segment: a little more than that, exactly that, or less.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
from fuzz_command import run
from fuzz_features import KINDS, Layer, features, stages_of

from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.near_features import Case, Claim

N, PARTS = 3, 24


def network(rng: np.random.Generator, scale: float) -> list[Layer]:
    """Layers of whole numbers, or of others, with biases in some unit."""
    width, layers = N, []
    for _ in range(int(rng.integers(1, 4))):
        kind, m = str(rng.choice(KINDS, p=[0.4, 0.2, 0.2, 0.15, 0.05])), int(rng.integers(2, 4))
        kind = "relu" if kind in ("clip", "constant") and scale != 1 else kind  # their bounds have no unit
        W, b = rng.integers(-2, 3, (m, width)) * 1.0, rng.integers(-1, 2, m) * 1.0
        if rng.random() < 0.4:
            W, b = np.round(rng.normal(size=(m, width)), 3), np.round(rng.normal(size=m), 3)
        layers.append((W, b * scale, kind))
        width = m - (kind == "maximum")
    return layers


def differ(layers: list[Layer], points: np.ndarray, way: bool) -> list[Fraction]:
    """By how much features differ from those of the first point: at the others, or also at places between."""
    exactly = [[Fraction(v) for v in point] for point in points.tolist()]
    there = exactly[1:]
    if way:
        shares = [Fraction(k, PARTS) for k in range(PARTS + 1)]
        there = [
            [a + share * (b - a) for a, b in zip(start, end, strict=True)]
            for start, end in pairwise(exactly)
            for share in shares
        ]
    first = features(layers, exactly[0])
    each = [[abs(a - b) for a, b in zip(features(layers, x), first, strict=True)] for x in there]
    return [max(column) for column in zip(*each, strict=True)]


def fuzz(seed: int, count: int) -> Counter[str]:
    """Try so many claims; how many were proved, by method. AssertionError of a false proof."""
    rng, found = np.random.default_rng(seed), Counter[str]()
    for _ in range(count):
        scale, way = 2.0 ** int(rng.choice([0, 0, -30, 30, -500, 300])), bool(rng.random() < 0.6)
        layers = network(rng, scale)
        points = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0, 1 / 3, 0.1], (int(rng.integers(2, 4)), N)) * scale
        if rng.random() < 0.3:
            points[1] = np.nextafter(points[0], np.inf)
        true = differ(layers, points, way)
        near = np.array([float(v) for v in true])
        choices = (near, np.nextafter(near, 0.0), near * (1 + 1e-7), near * 3.0 + scale, near * 0.99)
        within = np.abs(choices[int(rng.integers(5))]) * (rng.choice([0, 1, 1, 2]) if rng.random() < 0.3 else 1.0)
        domain = Domain(
            np.full(N, -np.inf), np.full(N, np.inf), np.zeros((0, N)), np.zeros(0), np.zeros(N, dtype=np.bool_)
        )
        claim = Claim(2 * len(layers) - 1, points, domain, within, way)
        try:
            method = Case((N, stages_of(layers)), claim).prove()
        except NotProvedError:
            found["not proved"] += 1
            continue
        found[method] += 1
        assert all(a <= Fraction(b) for a, b in zip(true, within.tolist(), strict=True)), (layers, claim)
    return found


if __name__ == "__main__":
    run(fuzz, "Random claims that features differ by little.", 10_000)
