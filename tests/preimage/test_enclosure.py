"""Certified sizes of preimages against lists of vertices and rays in exact arithmetic, and claims that were changed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.preimage.preimage import Preimage
from random_layers import DOMAINS, _domain_and_point

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")
search: Any = import_module("fiberscope.preimage.extent_search")
METHODS = {"programs": search.SMALL, "ascent": 0}


def questions(count: int, seed: int) -> Iterator[tuple[Preimage, oracles.System]]:
    """Preimages of small layers of clips that are not empty: by inputs, by outputs, by intervals; and what they are."""
    generator = np.random.default_rng(seed)
    while count:
        n, m = int(generator.integers(1, 5)), int(generator.integers(1, 10))
        domain, x = _domain_and_point(DOMAINS[count % len(DOMAINS)], n, 1.0, generator)
        weight = generator.integers(-2, 3, (m, n)).astype(np.float64)
        bias = -weight @ x + generator.integers(-2, 5, m)
        high = generator.choice([2.0, 3.0, np.inf], m, p=[0.2, 0.2, 0.6])
        layer = fs.ReLULayer(weight, bias, high=high)
        within = generator.choice([0.0, 0.5, 1.0, 3.0], m) if generator.random() < 0.8 else np.zeros(m)
        y = layer(x)
        ends = y - generator.choice([0.5, 1.0, np.inf], m), y + generator.choice([0.5, 1.0, np.inf], m)
        kind = count % 3
        p = (
            fs.preimage(layer, x=x, domain=domain, within=within) if kind == 0
            else fs.preimage(layer, y=y, domain=domain, within=within) if kind == 1
            else fs.preimage(layer, y=fs.Interval(*ends), domain=domain)
        )  # fmt: skip
        asked = {"x": x} if kind == 0 else {"y": (y, y) if kind == 1 else ends}
        if p.kind not in (fs.Kind.EMPTY, fs.Kind.UNDECIDED):
            count -= 1
            slack = 0.0 if kind == 2 else within
            yield p, oracles.interval_system(weight, bias, high=high, domain=domain, within=slack, **asked)


def exact_ends(answer: oracles.Answer, c: Any) -> tuple[Any, Any]:
    """The least and the greatest value of ``c x``, exactly; infinite along rays."""
    row = oracles.exact_vector(c)
    values = [oracles.dot(row, vertex) for vertex in answer.vertices]
    slopes = [oracles.dot(row, ray) for ray in answer.rays] + [abs(oracles.dot(row, line)) for line in answer.lines]
    slopes += [-abs(oracles.dot(row, line)) for line in answer.lines]
    return -np.inf if min(slopes, default=0) < 0 else min(values), np.inf if max(slopes, default=0) > 0 else max(values)


@needs_cdd
@pytest.mark.parametrize("method", METHODS)
def test_bounds_and_points_lie_on_their_sides_of_the_truth(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``low <= min <= reached_low`` and ``reached_high <= max <= high``, by all vertices and rays; and all verifies."""
    monkeypatch.setattr(search, "SMALL", METHODS[method])
    near = reached = bounded = 0
    for p, right in questions(45, seed=3):
        answer = oracles.cdd_answer(right)
        directions = np.concatenate([np.eye(p.layer.inputs), [np.arange(p.layer.inputs) - 1.0]])
        e = p.enclosure(directions)
        assert e.verify(), e.verify().reason
        for i, c in enumerate(directions):
            least, most = exact_ends(answer, c)
            assert e.low[i] <= least <= e.reached_low[i]
            assert e.reached_high[i] <= most <= e.high[i]
            if np.isfinite(float(least)) and np.isfinite(float(most)) and p.kind != fs.Kind.UNBOUNDED:
                size = max(float(most - least), 1.0)
                bounded += 1
                share = 1e-5 if method == "programs" else 0.05
                near += max(float(e.high[i] - most), float(least - e.low[i])) <= share * size
                reached += e.reached_high[i] - e.reached_low[i] >= (1 - share) * float(most - least)
        away = [
            sum((v - Fraction(c)) ** 2 for v, c in zip(vertex, e.center, strict=True)) for vertex in answer.vertices
        ]
        assert np.isinf(e.radius) or max(away) <= Fraction(e.radius) ** 2
    assert bounded >= 50
    assert near >= (0.95 if method == "programs" else 0.8) * bounded, (near, bounded)
    assert reached >= 0.5 * bounded, (reached, bounded)
