"""Rows with two sides: clips, precisions and intervals, against lists of vertices and rays in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.candidate import Candidate, NegativeOutput
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.sides import Outputs, impossible_units
from fiberscope.preimages.suggestion import candidate_at, candidate_at_output
from fiberscope.preimages.system import MixedSystem, build_at_input, build_at_output
from random_layers import DOMAINS, _domain_and_point

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")


@dataclass(frozen=True, eq=False)
class Case:
    """A layer of clips, and an input or intervals of outputs, known up to ``within``."""

    layer: ReLULayer
    domain: Domain | None
    x: Any
    y: tuple[Any, Any] | None
    within: Any

    def __str__(self) -> str:
        parts = [
            self.layer.weight.tolist(),
            self.layer.bias.tolist(),
            self.layer.low.tolist(),
            self.layer.high.tolist(),
        ]
        return f"{parts} {self.domain} x={self.x} y={self.y} within={self.within}"

    def right(self) -> oracles.System:
        layer = self.layer
        return oracles.interval_system(
            layer.weight,
            layer.bias,
            low=layer.low,
            high=layer.high,
            x=self.x,
            y=self.y,
            within=self.within,
            domain=self.domain,
        )

    def system(self) -> MixedSystem | None:
        """The system; None where a unit gives none of the outputs."""
        polyhedron = as_polyhedron(self.domain, self.layer.inputs)
        if self.x is not None:
            return build_at_input(self.layer, polyhedron, self.x, self.within)
        assert self.y is not None
        outputs = Outputs(*self.y, self.within)
        return None if impossible_units(self.layer, outputs).any() else build_at_output(self.layer, polyhedron, outputs)


def cases(count: int, seed: int) -> Iterator[Case]:
    """Small numbers, so that ties with kinks, with the domain and between rows are the rule."""
    generator = np.random.default_rng(seed)
    for k in range(count):
        n, m = int(generator.integers(1, 5)), int(generator.integers(1, 9))
        domain, x = _domain_and_point(DOMAINS[k % len(DOMAINS)], n, 1.0, generator)
        weight = generator.integers(-2, 3, (m, n)).astype(np.float64)
        bias = -weight @ x + generator.integers(-2, 5, m)
        low = generator.choice([0.0, 0.0, -1.0, -np.inf], m)
        high = np.where(np.isfinite(low), low, 0.0) + generator.choice(
            [0.0, 2.0, 3.0, np.inf], m, p=[0.1, 0.4, 0.3, 0.2]
        )
        layer = ReLULayer(weight, bias, low=low, high=high)
        within = generator.choice([0.0, 0.0, 0.5, 1.0, 3.0], m) if k % 3 else np.zeros(m)
        if k % 2:
            yield Case(layer, domain, x, None, within)
            continue
        y = layer(x) + generator.choice([0.0, 0.0, 0.0, 1.0, -1.0], m) * (generator.random() < 0.5)
        if k % 4:
            yield Case(layer, domain, None, (y, y), within)
            continue
        ends = y - generator.choice([0.0, 1.0, np.inf], m), y + generator.choice([0.0, 1.0, np.inf], m)
        yield Case(layer, domain, None, ends, np.zeros(m))


def found(case: Case, *, exactly: bool) -> Candidate | str:
    """The candidate of the scaled system, in float64 or in rational numbers."""
    system = case.system()
    if system is None:
        return Candidate(Kind.EMPTY, -1, infeasible=NegativeOutput(0))
    system = Balance.of(system.layer, system.domain).system(system)
    if exactly:
        return certify_exactly(system)
    return candidate_at(system, None) if case.x is not None else candidate_at_output(system)


@pytest.mark.exhaustive
@needs_cdd
def test_kinds_and_dimensions_of_small_layers() -> None:
    """Exact candidates always, float ones nearly always, say what the lists of vertices and rays say.

    Float ones are guesses, of which none is believed without a proof.
    """
    seen: dict[str, int] = {}
    suggested = wrong = 0
    for case in cases(320, seed=1):
        answer = oracles.cdd_answer(case.right())
        seen[answer.kind] = seen.get(answer.kind, 0) + 1
        exact = found(case, exactly=True)
        assert isinstance(exact, Candidate)
        assert (str(exact.kind), exact.dimension) == (answer.kind, answer.dimension), str(case)
        quick = found(case, exactly=False)
        if isinstance(quick, Candidate):
            suggested += 1
            wrong += (str(quick.kind), quick.dimension) != (answer.kind, answer.dimension)
    assert min(seen.get(str(kind), 0) for kind in (Kind.EMPTY, Kind.SINGLETON, Kind.BOUNDED, Kind.UNBOUNDED)) >= 20, (
        seen
    )
    assert suggested >= 200
    assert wrong <= suggested // 50


@needs_cdd
def test_what_is_asked_is_proved() -> None:
    """From the public door: kinds, dimensions, counts, a point, and which inputs belong to it; all of it proved."""
    generator = np.random.default_rng(5)
    for case in cases(60, seed=2):
        layer, right = case.layer, case.right()
        answer = oracles.cdd_answer(right)
        if case.x is not None:
            p = fs.preimage(layer, x=case.x, domain=case.domain, within=case.within)
        else:
            assert case.y is not None
            exact = np.array_equal(*case.y)
            y = case.y[0] if exact else fs.Interval(*case.y)
            p = fs.preimage(layer, y=y, domain=case.domain, within=case.within if exact else 0.0)
        assert (str(p.kind), p.dimension) == (answer.kind, answer.dimension), str(case)
        assert fs.verify(p)
        assert fs.verify(p, exact=True)
        if answer.kind == "empty":
            assert p.reason
            continue
        for point in (p.point(), *generator.integers(-4, 5, (8, layer.inputs)) * 0.5):
            assert p.contains(point) == right.holds(point)


@pytest.mark.exhaustive(every=5)
@needs_cdd
@pytest.mark.parametrize("domain", [None, fs.Box(-1, 1), fs.NonNegative(), fs.Box(-1.0, np.inf)])
@pytest.mark.parametrize("within", ["exact", "one", "many"])
def test_many_samples_get_the_verdicts_of_lists(domain: Domain | None, within: str) -> None:
    """Clips and ReLUs in one layer, counts included, against exact arithmetic; and the same as each sample alone."""
    generator = np.random.default_rng(3)
    A, b = generator.standard_normal((9, 3)), generator.standard_normal(9)
    high = generator.choice([0.5, 1.0, np.inf], 9)
    eps: Any = {"exact": 0.0, "one": 0.25, "many": generator.choice([0.0, 0.25, 1.0], 9)}[within]
    X = generator.uniform(0, 1, (12, 3)) * generator.choice([0.0, 1.0], (12, 3), p=[0.2, 0.8])
    judged = fs.classify(fs.ReLULayer(A, b, high=high), X, domain, within=eps)
    assert judged.verify().all()
    for i, x in enumerate(X):
        answer = oracles.cdd_answer(oracles.interval_system(A, b, high=high, x=x, within=eps, domain=domain))
        assert (judged.kind[i], judged.dimension[i]) == (answer.kind, answer.dimension)
        y, loose = np.clip(A @ x + b, 0.0, high), np.broadcast_to(eps, 9)
        assert judged.positives[i] == ((y > loose) & (high > loose)).sum()
        assert judged.saturated[i] == ((y + loose >= high) & np.isfinite(high)).sum()
        alone = fs.preimage(fs.ReLULayer(A, b, high=high), x=x, domain=domain, within=eps)
        assert (alone.positives, alone.saturated) == (judged.positives[i], judged.saturated[i])
        assert (alone.kind, alone.dimension) == (judged[i].kind, judged[i].dimension)
    assert np.array_equal(judged.dimension_bounds, np.stack([judged.dimension, judged.dimension], axis=1))


@pytest.mark.parametrize("e", [-500, -40, 0, 60, 500])
def test_units_of_inputs_and_outputs_mean_nothing(e: int) -> None:
    """Inputs, weights, clips, precisions times powers of two: the same verdicts."""
    generator = np.random.default_rng(7)
    A, b, high = generator.standard_normal((8, 3)), generator.standard_normal(8), generator.choice([0.5, np.inf], 8)
    X = generator.standard_normal((6, 3))
    plain = fs.classify(fs.ReLULayer(A, b, high=high), X, within=0.125)
    scaled = fs.ReLULayer(A, np.ldexp(b, e), high=np.ldexp(high, e))
    same = fs.classify(scaled, np.ldexp(X, e), within=2.0**e / 8)
    assert np.array_equal(plain.kind, same.kind)
    assert np.array_equal(plain.dimension, same.dimension)
    assert np.array_equal(plain.positives, same.positives)
    rows = np.arange(8) * 3 - 12
    by_row = fs.ReLULayer(np.ldexp(A, rows[:, None]), np.ldexp(b, rows), high=np.ldexp(high, rows))
    assert np.array_equal(plain.kind, fs.classify(by_row, X, within=np.ldexp(0.125, rows)).kind)


def test_a_relu6_is_two_relus() -> None:
    """``min(max(z, 0), 6) = 6 - ReLU(6 - ReLU(z))``: where saturated rows turn round, exactly, ties included."""
    layer = fs.ReLULayer([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [0.0, 0.0, 1.0], high=6.0)
    known = {(6.0, 1.0): (3, 2), (7.0, 1.0): (3, 2), (3.0, 3.0): (3, 1), (8.0, 5.0): (3, 3), (-1.0, -8.0): (0, 0)}
    for x, (positives, saturated) in known.items():
        p = fs.preimage(layer, x=np.array(x))
        assert p.positives == positives
        assert p.saturated == saturated
        assert fs.verify(p)
    assert fs.preimage(layer, x=[8.0, 5.0]).kind is fs.Kind.UNBOUNDED
    assert fs.preimage(layer, x=[8.0, 5.0], domain=fs.Box(0, [8.0, 5.0])).kind is fs.Kind.BOUNDED
    assert fs.preimage(layer, y=[6.0, 6.0, 2.0]).dimension == 1
    assert fs.preimage(layer, y=[6.5, 6.0, 2.0]).kind is fs.Kind.EMPTY


def test_comparisons_with_kinks_are_exact() -> None:
    """0.1 + 0.2 is more than 0.3 in float64, and three numbers are compared without rounding."""
    layer = fs.ReLULayer([[1.0]], [0.2], high=0.3)
    assert fs.preimage(layer, x=[0.1]).saturated == 1
    assert fs.preimage(fs.ReLULayer([[1.0]], [0.2], high=np.nextafter(0.3, 1)), x=[0.1]).saturated == 0
    tiny = fs.ReLULayer([[1.0]], [1.0])
    assert fs.preimage(tiny, x=[2.0**-60], within=1.0).positives == 1
    assert fs.preimage(tiny, x=[0.0], within=1.0).positives == 0
    assert fs.preimage(tiny, y=[1.0], within=np.nextafter(1.0, 0)).positives == 1
    assert not fs.preimage(tiny, x=[0.0], within=0.25).contains([np.nextafter(0.25, 1)])
    assert fs.preimage(tiny, x=[0.0], within=0.25).contains([0.25])


def test_geometry_knows_both_sides() -> None:
    layer = fs.ReLULayer([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0], high=6)
    p = fs.preimage(layer, x=[1.0, 2.0], within=0.5)
    low, high = p.bounding_box()
    np.testing.assert_allclose((low, high), [[0.5, 1.5], [1.5, 2.5]], atol=1e-9)
    assert p.width([1.0, 1.0]) == pytest.approx(1.0)
    assert p.chebyshev_center()[1] == pytest.approx(0.5 / np.sqrt(2))
    assert all(p.contains(x) for x in p.sample(20, seed=0))
    q = fs.preimage(layer, y=fs.Interval([1, 2, 1], [2, 3, 4]))
    np.testing.assert_allclose(q.bounding_box(), [[1, 2], [2, 3]], atol=1e-9)
    assert all(q.contains(x) for x in q.sample(20, seed=0))
    line = fs.preimage(layer, y=[1.0, 2.0, 2.0], within=[0.0, 0.5, 0.0])
    assert line.recover().x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ({"x": [1.0], "within": -1.0}, "within"),
        ({"x": [1.0], "within": np.nan}, "within"),
        ({"x": [1.0], "within": np.inf}, "within"),
        ({"x": [1.0], "within": [1.0, 2.0, 3.0]}, "within"),
        ({"y": fs.Interval(0, 1), "within": 0.5}, "within"),
        ({"y": fs.Interval([0, 0, 0], 1)}, "y"),
    ],
)
def test_bad_precisions_have_one_clear_error(question: dict[str, Any], named: str) -> None:
    layer = fs.ReLULayer([[1.0], [2.0]])
    with pytest.raises(fs.InputError, match=f"^{named}: ") as caught:
        fs.preimage(layer, **question)
    assert "np." not in str(caught.value)


def test_a_precision_of_other_activations_is_refused() -> None:
    leaky = ReLULayer([[1.0], [2.0]], injective=np.array([True, False]))
    with pytest.raises(fs.InputError, match="functions are known"):
        fs.classify(leaky, [[1.0], [2.0]], within=0.5)
    mixed = fs.preimage(leaky, x=[1.0], within=[0.0, 0.5])
    assert (mixed.kind, mixed.positives) == (fs.Kind.SINGLETON, 2)
