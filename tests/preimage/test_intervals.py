"""Rows with two sides: clips, precisions and intervals, against lists of vertices and rays in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracles
import pytest
from random_layers import DOMAINS, _domain_and_point


from fiberscope.network.domains import Domain, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimage.balance import Balance
from fiberscope.preimage.candidate import Candidate, NegativeOutput
from fiberscope.preimage.decide_exactly import certify_exactly
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.sides import Outputs, impossible_units
from fiberscope.preimage.suggestion import candidate_at_input, candidate_at_output
from fiberscope.preimage.system import MixedSystem, build_at_input, build_at_output

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
        parts = [self.layer.weight.tolist(), self.layer.bias.tolist(), self.layer.low.tolist(), self.layer.high.tolist()]
        return f"{parts} {self.domain} x={self.x} y={self.y} within={self.within}"

    def right(self) -> oracles.System:
        layer = self.layer
        return oracles.interval_system(
            layer.weight, layer.bias, low=layer.low, high=layer.high,
            x=self.x, y=self.y, within=self.within, domain=self.domain,
        )

    def system(self) -> MixedSystem | None:
        """The system; None where a unit gives none of the outputs."""
        polyhedron = written_out(self.domain, self.layer.inputs)
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
        high = np.where(np.isfinite(low), low, 0.0) + generator.choice([0.0, 2.0, 3.0, np.inf], m, p=[0.1, 0.4, 0.3, 0.2])
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
    return candidate_at_input(system) if case.x is not None else candidate_at_output(system)


@needs_cdd
def test_kinds_and_dimensions_of_small_layers() -> None:
    """Exact candidates always, float ones nearly always, say what the lists of vertices and rays say.

    Float ones are guesses, of which none is believed without a proof.
    """
    seen: dict[str, int] = {}
    suggested = wrong = 0
    for case in cases(400, seed=1):
        answer = oracles.cdd_answer(case.right())
        seen[answer.kind] = seen.get(answer.kind, 0) + 1
        exact = found(case, exactly=True)
        assert isinstance(exact, Candidate)
        assert (str(exact.kind), exact.dimension) == (answer.kind, answer.dimension), str(case)
        quick = found(case, exactly=False)
        if isinstance(quick, Candidate):
            suggested += 1
            wrong += (str(quick.kind), quick.dimension) != (answer.kind, answer.dimension)
    assert min(seen.get(str(kind), 0) for kind in (Kind.EMPTY, Kind.SINGLETON, Kind.BOUNDED, Kind.UNBOUNDED)) >= 20, seen
    assert suggested >= 240
    assert wrong <= suggested // 50
