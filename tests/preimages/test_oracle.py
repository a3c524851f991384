"""Small random layers, many of them degenerate: the answer is the exact oracle's, always, and always proved."""

from __future__ import annotations

from collections import Counter

import pytest

import fiberscope as fs
import oracles
from random_layers import RandomLayer, random_layers

pytestmark = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)

BATCHES = 6
PER_BATCH = 60


def _answer(layer: RandomLayer) -> oracles.Answer:
    return oracles.cdd_answer(oracles.mixed_system(layer.weight, layer.bias, x=layer.x, y=layer.y, domain=layer.domain))


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(BATCHES))
def test_kind_and_dimension_agree_and_are_proved(seed: int) -> None:
    wrong: list[str] = []
    for layer in random_layers(PER_BATCH, seed):
        truth = _answer(layer)
        p = fs.preimage(fs.ReLULayer(layer.weight, layer.bias), **layer.question)
        if (str(p.kind), p.dimension) != (truth.kind, truth.dimension):
            wrong.append(f"{layer}: {p.kind} {p.dimension} ({p.reason}), in truth {truth.kind} {truth.dimension}")
            continue
        for exact in (False, True):
            verification = fs.verify(p, exact=exact)
            if not verification:
                wrong.append(f"{layer}: {p.kind} {p.dimension} not proved, exact={exact}: {verification.reason}")
    assert not wrong, f"{len(wrong)} of {PER_BATCH}:\n" + "\n".join(wrong[:5])


def test_the_random_layers_are_hard_enough() -> None:
    """Every kind, in several dimensions, with every sort of domain: otherwise agreement says little."""
    kinds = Counter(_answer(layer).kind for layer in random_layers(150, seed=0))
    assert set(kinds) == {"empty", "singleton", "bounded", "unbounded"}
    assert min(kinds.values()) >= 10, kinds


@pytest.mark.skipif(not oracles.esolver_available(), reason="esolver (Debian package qsopt-ex) is not installed")
def test_the_two_oracles_agree() -> None:
    for layer in random_layers(120, seed=99):
        system = oracles.mixed_system(layer.weight, layer.bias, x=layer.x, y=layer.y, domain=layer.domain)
        by_vertices, by_programs = oracles.cdd_answer(system), oracles.esolver_answer(system)
        assert (by_vertices.kind, by_vertices.dimension) == (by_programs.kind, by_programs.dimension), str(layer)


def test_many_points_at_once_agree_with_one_at_a_time() -> None:
    """``classify`` shares proofs among samples; what it answers is what the oracle answers for each."""
    import numpy as np

    generator = np.random.default_rng(5)
    for domain in (None, fs.NonNegative(), fs.Box(0, 2), fs.HalfSpaces([[1, 1, 1, 1]], [8])):
        weight = generator.integers(-2, 3, (9, 4)).astype(np.float64)
        bias = generator.integers(-2, 3, 9).astype(np.float64)
        X = generator.integers(0, 3, (40, 4)).astype(np.float64)
        c = fs.classify(fs.ReLULayer(weight, bias), X, domain=domain)
        assert len(c) == 40
        truth = [oracles.cdd_answer(oracles.mixed_system(weight, bias, x=x, domain=domain)) for x in X]
        assert list(c.kind) == [answer.kind for answer in truth]
        assert list(c.dimension) == [answer.dimension for answer in truth]
        assert c.verify().all()
        assert all(fs.verify(c[i], exact=True) for i in range(40))
