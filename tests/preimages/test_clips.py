"""Verdicts at layers of networks that clip: against cddexec_gmp on systems written out from the definition."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.audits.plan import Plan, places_of
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.region_layer import RegionLayer

Array = np.ndarray[Any, Any]
NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)
BOUNDS = [(0.0, 6.0), (-1.0, 1.0), (1.0, inf), (-inf, 2.0), (2.0, 2.0)]


class Around:
    """``A x' + c`` around a sample in fractions; clips narrow the region and cut it into rows that must hold."""

    def __init__(self, A: Array, c: Array, x: Array, rows: oracles.System) -> None:
        self.A, self.c, self.x, self.rows = A, c, x, rows

    @staticmethod
    def at(x: Array) -> Around:
        n = len(x)
        return Around(fractions(np.eye(n)), fractions(np.zeros(n)), fractions(x), oracles.System(n, (), ()))

    def dense(self, W: Array, b: Array) -> Around:
        W = fractions(W)
        return Around(W @ self.A, W @ self.c + fractions(b), self.x, self.rows)

    def plus(self, other: Around) -> Around:
        rows = oracles.System(
            self.rows.n, self.rows.equalities + other.rows.equalities, self.rows.inequalities + other.rows.inequalities
        )
        return Around(self.A + other.A, self.c + other.c, self.x, rows)

    def sides(self, low: float, high: float, *, output: bool) -> oracles.System:
        """What the pieces of a clip say of x', or what its output says."""
        equal, less = list(self.rows.equalities), list(self.rows.inequalities)
        for a, c, z in zip(self.A, self.c, self.A @ self.x + self.c, strict=True):
            minus = tuple(-entry for entry in a)
            if low == high:
                continue
            if z <= low:
                less.append((tuple(a), Fraction(low) - c))
            elif z >= high:
                less.append((minus, c - Fraction(high)))
            elif output:
                equal.append((tuple(a), z - c))
            else:
                less += [(minus, c - Fraction(low))] if np.isfinite(low) else []
                less += [(tuple(a), Fraction(high) - c)] if np.isfinite(high) else []
        return oracles.System(len(self.x), tuple(equal), tuple(less))

    def clip(self, low: float, high: float) -> Around:
        z = self.A @ self.x + self.c
        A, c = self.A.copy(), self.c.copy()
        for i, value in enumerate(z):
            if low < value < high:
                continue
            A[i], c[i] = A[i] * 0, Fraction(low if value <= low else high)
        return Around(A, c, self.x, self.sides(low, high, output=False))


def fractions(values: Array) -> Array:
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=np.float64))


def expected(system: oracles.System, domain: Any) -> tuple[str, int]:
    """Kind and dimension by cddexec_gmp; rows without entries say nothing."""
    kept = [row for row in (*system.inequalities, *oracles.domain_rows(domain, system.n)) if any(row[0])]
    answer = oracles.cdd_answer(oracles.System(system.n, system.equalities, tuple(kept)))
    return str(answer.kind), answer.dimension


def weights(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.integers(-2, 3, (m, n)).astype(np.float64)


def check(layer: Any, X: Array, domain: Any, truths: list[tuple[str, int]]) -> None:
    judged = fs.classify(layer, X, domain=domain)
    assert [(str(p.kind), p.dimension) for p in judged] == truths
    assert judged.verify().all()
    for x, truth in zip(X[:3], truths, strict=False):
        alone = fs.preimage(layer, x=x, domain=domain)
        assert (str(alone.kind), alone.dimension) == truth
        assert fs.verify(alone)
        assert fs.verify(alone, exact=True)


@pytest.mark.exhaustive
@NEEDS_CDD
@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_a_clip_behind_a_clip(low: float, high: float):
    """The second layer is judged on R^n and on the box of the first one's bounds; many units lie on a bound exactly."""
    rng = np.random.default_rng(0)
    kinds: set[str] = set()
    for n, m in ((3, 5), (2, 7), (5, 3)):
        W1, b1, W2, b2 = weights(rng, n, n), weights(rng, 1, n)[0], weights(rng, m, n), weights(rng, 1, m)[0]
        builder = NetworkBuilder((1, n))
        first = builder.clip("cut", builder.dense("first", builder.input, W1, b1), low, high)
        net = builder.build(builder.clip("end", builder.dense("second", first, W2, b2), 0.0, 3.0))
        samples = rng.integers(-2, 3, (8, n)).astype(np.float64)
        plan = Plan((0, 1), 8, (-2.0, 2.0), places=places_of(net))
        for number, (W, b, bounds) in enumerate(((W1, b1, (low, high)), (W2, b2, (0.0, 3.0)))):
            X = net.layer_input(number, samples)
            for named in plan.domains(number):
                systems = [Around.at(x).dense(W, b).sides(*bounds, output=True) for x in X]
                truths = [expected(system, named.domain) for system in systems]
                check(net.relu_layers[number], X, named.domain, truths)
                kinds |= {kind for kind, _ in truths}
    assert kinds >= {"bounded", "unbounded"}


@pytest.mark.exhaustive(every=3)
@NEEDS_CDD
@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-1.0, 1.0), (1.0, inf), (-inf, 2.0)])
@pytest.mark.parametrize("domain", [None, fs.Box(-2, 2)], ids=["space", "box"])
def test_where_branches_meet_and_clip(low: float, high: float, domain: Any):
    """Kind and dimension of the composed layer on the closed region of the sample."""
    rng = np.random.default_rng(1)
    n, k = 3, 4
    W1, b1, W2, b2 = weights(rng, k, n), weights(rng, 1, k)[0], weights(rng, n, k), weights(rng, 1, n)[0]
    builder = NetworkBuilder((1, n))
    inner = builder.clip("inner", builder.dense("one", builder.input, W1, b1), low, high)
    total = builder.add("sum", [builder.dense("two", inner, W2, b2), builder.input])
    net = builder.build(builder.clip("outer", total, 0.0, 3.0))
    layer = net.relu_layers[-1]
    assert isinstance(layer, RegionLayer)
    X = rng.integers(-2, 3, (8, n)).astype(np.float64)
    truths: list[tuple[str, int]] = []
    for x in X:
        point = Around.at(x)
        both = point.dense(W1, b1).clip(low, high).dense(W2, b2).plus(point)
        truths.append(expected(both.sides(0.0, 3.0, output=True), domain))
    check(layer, X, domain, truths)
    assert len(set(truths)) >= 2


@NEEDS_CDD
def test_a_relu6_layer_is_the_layer_of_its_two_relus_where_both_ask_the_same():
    """``[relu(z), relu(z - 6)]`` as features says what ``clip(z, 0, 6)`` says, except where z > 6."""
    rng = np.random.default_rng(2)
    W, b = weights(rng, 6, 4), weights(rng, 1, 6)[0]
    clip = fs.ReLULayer(W, b, high=6.0)
    relus = fs.ReLULayer(np.concatenate([W, W]), np.concatenate([b, b - 6.0]))
    X = rng.integers(-3, 4, (30, 4)).astype(np.float64)
    below = (X @ W.T + b < 6).all(axis=1)
    assert 5 < below.sum() < 30
    first, second = fs.classify(clip, X), fs.classify(relus, X)
    assert [p.dimension for p in first] == [
        p.dimension if low else oracles_dimension(W, b, x) for p, low, x in zip(second, below, X, strict=True)
    ]
    assert first.saturated.tolist() == (X @ W.T + b >= 6).sum(axis=1).tolist()
    assert first.positives.tolist() == (X @ W.T + b > 0).sum(axis=1).tolist()


def oracles_dimension(W: Array, b: Array, x: Array) -> int:
    return expected(Around.at(x).dense(W, b).sides(0.0, 6.0, output=True), None)[1]


@NEEDS_CDD
@pytest.mark.parametrize("exponent", [-40, 30])
def test_units_of_measurement_mean_nothing(exponent: int):
    rng, unit = np.random.default_rng(3), 2.0**exponent
    W, b = weights(rng, 6, 4), weights(rng, 1, 6)[0]
    X = rng.integers(-3, 4, (10, 4)).astype(np.float64)
    truths = [expected(Around.at(x).dense(W, b).sides(-1.0, 2.0, output=True), None) for x in X]
    check(fs.ReLULayer(W, b * unit, low=-unit, high=2 * unit), X * unit, None, truths)
    rows = unit ** rng.integers(0, 2, 6)
    check(fs.ReLULayer(W * rows[:, None], b * rows, low=-rows, high=2 * rows), X, None, truths)
