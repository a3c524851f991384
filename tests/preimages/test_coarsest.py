"""The coarsest precision, against a scan over all numbers at which it could lie, in exact arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.network.building import NetworkBuilder
from random_layers import DOMAINS, _domain_and_point

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")
Array = np.ndarray[Any, Any]


def rounded_up(value: Fraction) -> float:
    """The smallest float64 that is not below it."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


def scanned(A: Array, b: Array, x: Array, domain: Any, low: Any, high: Any) -> float:
    """The smallest eps with an unbounded preimage, of all numbers at which the set of rows could change; else inf."""
    y = [
        max(min(z, Fraction(q)) if q < math.inf else z, Fraction(p))
        for z, p, q in zip(z_at(A, b, x), low, high, strict=True)
    ]
    losses = [value - Fraction(p) for value, p in zip(y, low, strict=True)]
    losses += [Fraction(q) - value for value, q in zip(y, high, strict=True) if q < math.inf]
    for eps in [0.0, *sorted({rounded_up(loss) for loss in losses if loss > 0})]:
        system = oracles.interval_system(A, b, low=low, high=high, x=x, within=eps, domain=domain)
        if oracles.cdd_answer(system).kind == "unbounded":
            return eps
    return math.inf


def z_at(A: Array, b: Array, x: Array) -> list[Fraction]:
    return [
        oracles.dot(oracles.exact_vector(row), oracles.exact_vector(x)) + Fraction(float(c))
        for row, c in zip(A, b, strict=True)
    ]


@pytest.mark.exhaustive(every=5)
@needs_cdd
@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("numbers", ["whole", "decimal"])
def test_a_scan_finds_the_same(domain: str, numbers: str) -> None:
    """ReLUs and clips; whole numbers, so that rows lose sides together, and decimals, where each loss is rounded up."""
    generator = np.random.default_rng(DOMAINS.index(domain))
    seen: set[float] = set()
    for k in range(8):
        n, m = int(generator.integers(1, 4)), int(generator.integers(2, 7))
        place, x = _domain_and_point(domain, n, 1.0, generator)
        A = generator.integers(-2, 3, (m, n)).astype(np.float64)
        b = -A @ x + generator.integers(-1, 6, m)
        if numbers == "decimal":
            A, b = A + (A != 0) * generator.random((m, n)) * 0.1, b + 0.1
        high = generator.choice([2.0, 3.1, np.inf], m) if k % 2 else np.full(m, np.inf)
        found = fs.coarsest_precision(fs.ReLULayer(A, b, high=high), x, place)
        assert found.eps == scanned(A, b, x, place, np.zeros(m), high)
        assert found.lower == found.eps == found.upper
        assert found.verify()
        seen.add(found.eps)
    assert len(seen) > 1 or domain == "box"


def test_what_it_says_is_what_preimage_says() -> None:
    """Bounded at the float below, unbounded at the number itself; many together as each alone."""
    generator = np.random.default_rng(3)
    layer = fs.ReLULayer(generator.standard_normal((30, 12)) + 0.3, generator.standard_normal(30))
    X = generator.standard_normal((6, 12))
    found = fs.coarsest_precision(layer, X)
    assert len(found) == 6
    assert found.verify().all()
    assert ((found.eps > 0) & (found.eps < np.inf)).all()
    for i, x in enumerate(X):
        alone = fs.coarsest_precision(layer, x)
        assert alone.eps == found.eps[i] == found[i].eps == found.lower[i] == found.upper[i]
        assert found[i].verify()
        assert fs.preimage(layer, x=x, within=alone.eps).kind == "unbounded"
        assert fs.preimage(layer, x=x, within=np.nextafter(alone.eps, 0)).kind == "bounded"


@pytest.mark.parametrize("e", [-200, -3, 40])
def test_units_of_inputs_and_outputs_mean_nothing(e: int) -> None:
    generator = np.random.default_rng(4)
    A, b, x = generator.standard_normal((9, 5)) + 0.5, generator.standard_normal(9), generator.random((3, 5))
    eps = fs.coarsest_precision(fs.ReLULayer(A, b), x).eps
    assert ((eps > 0) & (eps < np.inf)).any()
    scaled = fs.coarsest_precision(fs.ReLULayer(np.ldexp(A, e), np.ldexp(b, e)), x)
    assert np.array_equal(scaled.eps, np.ldexp(eps, e))
    assert scaled.verify().all()
    columns = e // 40 + np.arange(5)
    other = fs.coarsest_precision(fs.ReLULayer(np.ldexp(A, -columns), b), np.ldexp(x, columns))
    assert np.array_equal(other.eps, eps)


def test_ends() -> None:
    """A bounded domain bounds at every precision, omnidirectional rows do, and too few rows never do."""
    square = np.vstack([np.eye(2), -np.eye(2)])
    x = np.array([0.5, 0.25])
    for layer, domain in ((fs.ReLULayer(np.eye(2)), fs.Box(0, 1)), (fs.ReLULayer(square, np.ones(4)), None)):
        found = fs.coarsest_precision(layer, x, domain)
        assert found.eps == found.lower == found.upper == math.inf
        assert found.verify()
        assert fs.preimage(layer, x=x, domain=domain, within=1e9).kind == "bounded"
    few = fs.coarsest_precision(fs.ReLULayer([[1.0, 1.0]]), x)
    assert few.eps == few.upper == 0.0
    assert few.verify()
    off = fs.coarsest_precision(fs.ReLULayer(-np.eye(2)), x)
    assert off.eps == 0.0
    tiny = fs.coarsest_precision(fs.ReLULayer(np.eye(2)), np.array([5e-324, 1.0]))
    assert tiny.eps == 5e-324
    assert tiny.verify()
    clip = fs.coarsest_precision(fs.ReLULayer(np.eye(2), high=1.0), x)
    assert clip.eps == 0.25
    assert clip.verify()


@pytest.mark.usefixtures("unchecked")
def test_a_changed_claim_is_not_proved() -> None:
    layer = fs.ReLULayer(np.eye(3) + 0.25, np.ones(3))
    x = np.array([0.5, 0.25, 1.0])
    found = fs.coarsest_precision(layer, x)
    assert found.verify()
    eps = found.eps
    more, less = float(np.nextafter(eps, np.inf)), float(np.nextafter(eps, 0))
    for change in (
        {"eps": more},
        {"eps": more, "lower": more, "upper": more},
        {"eps": less, "lower": less, "upper": less},
        {"eps": np.inf, "lower": np.inf, "upper": np.inf},
        {"eps": 0.0, "lower": 0.0, "upper": 0.0},
        {"eps": np.nan},
        {"eps": "much"},
        {"upper": less},
        {"x": x + 1.0},
        {"x": None},
        {"layer": fs.ReLULayer(np.eye(3) + 0.25, np.ones(3) * 2)},
        {"domain": fs.Box(0, 1)},
        {"bounded": None},
        {"unbounded": None},
        {"bounded": found.unbounded, "unbounded": found.bounded},
    ):
        changed = replace(found, **change)
        proof = changed.verify()
        assert not proof, change
        assert proof.reason
    many = fs.coarsest_precision(layer, np.stack([x, x + 1.0]))
    assert many.verify().tolist() == [True, True]
    assert replace(many, eps=many.eps[::-1]).verify().tolist() == [False, False]
    assert replace(many, upper=many.upper * 0.5).verify().tolist() == [False, False]
    endless = fs.coarsest_precision(layer, x, fs.Box(0, 2))
    assert endless.verify()
    assert not replace(endless, domain=None).verify()
    assert not replace(endless, bounded=replace(endless.bounded, within=eps / 2)).verify()


def test_where_branches_meet() -> None:
    """The inner coordinates are known exactly at every precision."""
    generator = np.random.default_rng(1)
    W, V = generator.standard_normal((4, 3)), generator.standard_normal((3, 4))
    builder = NetworkBuilder((1, 3))
    inner = builder.clip("inner", builder.dense("one", builder.input, W, np.zeros(4)), 0.0, np.inf)
    total = builder.add("sum", [builder.dense("two", inner, V, np.ones(3)), builder.input])
    layer = builder.build(builder.clip("outer", total, 0.0, np.inf)).relu_layers[-1]
    X = np.abs(generator.standard_normal((4, 3)))
    found = fs.coarsest_precision(layer, X)
    assert found.verify().all()
    for x, eps in zip(X, found.eps.tolist(), strict=True):
        if eps < math.inf:
            assert fs.preimage(layer, x=x, within=eps).kind == "unbounded"
        if eps > 0:
            assert fs.preimage(layer, x=x, within=min(math.nextafter(eps, 0), 1e9)).kind != "unbounded"


def test_bad_input_has_one_clear_error() -> None:
    leaky = fs.ReLULayer(np.eye(2), injective=np.array([True, False]))
    with pytest.raises(fs.InputError, match="functions are known"):
        fs.coarsest_precision(leaky, [1.0, 2.0])
    layer = fs.ReLULayer(np.eye(2))
    with pytest.raises(fs.InputError, match=r"^x: "):
        fs.coarsest_precision(layer, [1.0, 2.0, 3.0])
    with pytest.raises(fs.InputError, match="domain"):
        fs.coarsest_precision(layer, [1.0, 2.0], fs.Box(0, 1))


def test_it_is_told_in_a_line() -> None:
    found = fs.coarsest_precision(fs.ReLULayer(np.eye(2)), [[0.5, 0.25], [1.0, 2.0]])
    assert repr(found[0]) == "CoarsestPrecision(eps=0.25)"
    assert repr(found) == "CoarsestPrecisions(2 samples)"
    assert repr(replace(found[0], upper=1.0)) == "CoarsestPrecision(eps=0.25, undecided in [0.25, 1))"
