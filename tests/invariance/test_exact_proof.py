"""Proofs in exact arithmetic, against a few lines with fractions: features that are the same, or are not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from torch import nn

import fiberscope as fs
from feature_networks import one_layer
from fiberscope.checker import dyadic
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Claim, Finding
from fiberscope.checker.stored import read_stages
from fiberscope.invariance.exact_correction import corrections
from fiberscope.invariance.proof import Statement, prove
from fiberscope.network.affine import Dense
from fiberscope.network.combination import composed
from fiberscope.network.domains import as_polyhedron
from fiberscope.network.saving import network_bytes
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.network.structured import Diagonal, Rearrangement

BOX = fs.Box(0, 1)


def statement(net, stage, x, example, domain=BOX, segment=True):
    flat = [np.asarray(point, dtype=np.float64).ravel() for point in (x, example)]
    kept = np.zeros(net.inputs, dtype=bool)
    return Statement(net, stage, *flat, as_polyhedron(domain, net.inputs), kept, segment)


def case(given):
    """What the checker makes of a statement."""
    domain = given.domain
    claim = Claim(
        given.stage, given.source, given.example, domain.low, domain.high, domain.G, domain.h, given.kept, 1.0,
        given.segment,
    )  # fmt: skip
    return Case(read_stages(network_bytes(given.network)), claim)


def dense_net(layers):
    stages = []
    for i, (W, b) in enumerate(layers):
        stages += [affine_stage(f"a{i}", Dense(W, b)), relu_stage(f"r{i}", len(b))]
    return fs.Network(tuple(stages), (layers[0][0].shape[1],))


def rational(layers, x):
    """The features of a dense ReLU network, and what every layer receives."""
    values, received = [Fraction(v) for v in x], []
    for W, b in layers:
        received.append(
            [
                sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(c))
                for row, c in zip(W.tolist(), b.tolist(), strict=True)
            ]
        )
        values = [max(v, Fraction(0)) for v in received[-1]]
    return values, received


def random_layers(rng, sizes, kind):
    choose = {
        "binary": lambda shape: rng.choice([-1.0, 1.0], shape),
        "zeros and ones": lambda shape: rng.choice([0.0, 1.0], shape),
        "quantised": lambda shape: rng.integers(-7, 8, shape) / 8,
        "both signs": lambda shape: np.concatenate([half := rng.choice([-1.0, 1.0], shape), -half])[: shape[0]],
    }[kind]
    return [(choose((m, n)), rng.integers(-2, 3, m).astype(float)) for n, m in pairwise(sizes)]


# ---- what was not proved


@pytest.mark.parametrize("power", [0, -30, 30])
def test_pixels_that_no_kernel_sees_may_change(power):
    rng = np.random.default_rng(0)
    conv = nn.Conv2d(1, 8, 1, stride=2).double()
    conv.weight.data *= 2.0**power
    net = fs.from_torch(nn.Sequential(conv, nn.ReLU()).eval(), input_shape=(1, 6, 6))
    x, target = rng.random((2, 1, 6, 6))
    e = fs.invariance_example(net, x, target, 0, BOX)
    assert e.verify(), e.verify().reason
    unseen = x.copy()
    unseen[0, 1::2], unseen[0, :, 1::2] = target[0, 1::2], target[0, :, 1::2]
    proof = prove(statement(net, 1, x, unseen))
    assert (proof.proved, proof.distance) == (True, 0.0)
    seen = unseen.copy()
    seen[0, 2, 2] += 0.01 if seen[0, 2, 2] < 0.5 else -0.01
    assert not prove(statement(net, 1, x, seen)).proved


@pytest.mark.parametrize("scale", [1.0, 1e-5, 2.0**40])
def test_columns_of_zeros_do_not_count(scale):
    rng = np.random.default_rng(1)
    W, b = scale * rng.standard_normal((40, 10)), scale * rng.standard_normal(40)
    W[:, [2, 5, 7]] = 0.0
    x, target = rng.random((2, 10))
    for layers in ([(W, b)], [(W, b), (rng.standard_normal((6, 40)), np.zeros(6))]):
        net = dense_net(layers)
        e = fs.invariance_example(net, x, target, 0, BOX)
        assert e.verify(), e.verify().reason
        assert prove(statement(net, len(net.stages) - 1, x, np.where(W.any(axis=0), x, target))).proved


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("kind", ["binary", "zeros and ones", "quantised", "both signs"])
@pytest.mark.parametrize("seed", [1, 3, 6])
def test_optima_and_walks_of_weights_with_few_digits_are_proved(kind, seed):
    rng = np.random.default_rng(seed)
    layers = random_layers(rng, (9, 6, 5), kind)
    net = dense_net(layers)
    for x in (rng.random(9), rng.integers(0, 2, 9).astype(float)):
        target = rng.random(9)
        found = [fs.invariance_example(net, x, target, layer, BOX) for layer in (0, 1)]
        found.append(fs.walk_regions(net, x, target, 1, BOX, max_regions=6))
        for e in found:
            proof = prove(e._statement())
            assert proof.proved, proof.reason
            if proof.distance == 0.0:
                depth = 1 + net.placed_layers.index(next(p for p in net.placed_layers if p.stage == e.stage))
                assert rational(layers[:depth], e.x)[0] == rational(layers[:depth], x)[0]


def test_a_walk_that_goes_nowhere_ends_at_its_source():
    rng = np.random.default_rng(0)
    for kind in ("binary", "quantised"):
        layers = random_layers(rng, (5, 24), kind)
        x, target = rng.random((2, 5))
        walk = fs.walk_regions(dense_net(layers), x, target, 0, BOX, max_regions=3)
        np.testing.assert_array_equal(walk.x, x)  # more than five active units tell all inputs apart
        assert walk.verify()


# ---- exactly the same, or not


def test_proofs_of_the_input_itself_agree_with_fractions():
    rng = np.random.default_rng(0)
    proved = 0
    for _ in range(40):
        sizes = [*rng.integers(2, 5, 2), *rng.integers(1, 4, rng.integers(0, 3))]
        layers = random_layers(rng, sizes, "quantised")
        net = dense_net(layers)
        x, there = rng.integers(0, 5, (2, sizes[0])) / 4
        there += rng.choice([0.0, 0.0, 2.0**-53, -(2.0**-53)], sizes[0]) * (there == 0.5)
        same = rational(layers, x)[0] == rational(layers, there)[0]
        given = statement(net, len(net.stages) - 1, x, there, segment=False)
        try:
            case(given).prove(Finding(given.stage))
        except NotProvedError:
            assert not same
        else:
            assert same
        proved += same
        if same and prove(replace(given, segment=True)) == (True, "", 0.0, "exact"):
            for share in (Fraction(1, 3), Fraction(2, 3), Fraction(6, 7)):
                between = [Fraction(a) + share * (Fraction(b) - Fraction(a)) for a, b in zip(x, there, strict=True)]
                assert rational(layers, between)[0] == rational(layers, x)[0]
    assert 5 <= proved <= 35


def test_a_unit_that_has_its_kink_on_the_way_is_no_proof_of_the_segment():
    tent = [(np.array([[1.0], [1.0]]), np.array([0.0, -0.5])), (np.array([[1.0, -2.0]]), np.zeros(1))]
    given = statement(dense_net(tent), 3, [0.25], [0.75])  # 0.25 at both ends, 0.5 between
    assert rational(tent, [0.25])[0] == rational(tent, [0.75])[0]
    assert not prove(given).proved
    assert prove(replace(given, segment=False)) == (True, "", 0.0, "exact")


def test_equations_that_contradict_each_other_by_one_rounding_are_not_proved():
    # the rows are multiples of each other, and what the pixel on its bound contributes is none
    net = one_layer([[1.0, 1.0], [3.0, 3.0 + 2.0**-50]], [0.0, 0.0])
    x = [0.5, 0.25]
    proof = prove(statement(net, 1, x, [0.5 + 2.0**-53, 0.25 - 2.0**-54]))
    assert not proof.proved
    assert "in exact arithmetic" in proof.reason
    # where they are multiples, the same input is next to one with the same features
    multiples = one_layer([[1.0, 1.0], [3.0, 3.0]], [0.0, 0.0])
    assert prove(statement(multiples, 1, x, [0.25, 0.5 + 2.0**-53])).proved


def test_a_correction_is_a_rational_input_with_the_same_features():
    layers = [(np.array([[3.0, 1.0, 1.0], [6.0, 2.0, 2.0], [1.0, 0.0, -1.0]]), np.zeros(3))]
    net, x = dense_net(layers), np.array([0.3, 0.2, 0.1])
    there = np.array([0.25, 0.25, 0.2])
    given = statement(net, 1, x, there)
    assert rational(layers, there)[0] != rational(layers, x)[0]
    numerators, denominator = next(corrections(case(given), 1e-3, dyadic.Work())).point
    numbers = [Fraction(entry, denominator) for entry in numerators]
    assert rational(layers, numbers)[0] == rational(layers, x)[0]
    assert max(abs(float(a) - b) for a, b in zip(numbers, there, strict=True)) < 0.2


def test_what_differs_is_said():
    net = one_layer([[1.0, 1.0], [1.0, -1.0]], [0.0, 1.0])
    assert prove(statement(net, 1, [0.25, 0.5], [0.5, 0.5])).reason == (
        "in exact arithmetic 2 features differ, by up to 0.25; no input within 2.5e-08 of it has the features of the "
        "source"
    )
    # equal in float64, and no pixel may move
    tiny = prove(statement(one_layer([[1.0, 1.0]], [1.0]), 1, [0.0, 1.0], [2.0**-60, 1.0], fs.Box([0, 1], [1, 1])))
    assert not tiny.proved
    assert "1 feature differs, by up to 8.7e-19" in tiny.reason


def test_too_much_work_is_said(monkeypatch):
    monkeypatch.setattr(dyadic, "MOST_NUMBERS", 1)
    proof = prove(statement(one_layer(np.eye(4), np.zeros(4)), 1, np.full(4, 0.5), [0.5, 0.5, 0.5, 0.75]))
    assert not proof.proved
    assert "exact arithmetic would take more than" in proof.reason


# ---- domains, and rows that are written out


def test_a_half_space_needs_room_for_the_correction():
    # 0.1 x0 + 0.2 x1 - 0.3 x2 <= 0 holds exactly, or not, by less than float64 shows
    net = one_layer([[0.0, 0.0, 0.0]], [1.0])
    for x2 in (0.75, np.nextafter(0.75, 0), np.nextafter(0.75, 1)):
        there = [0.75, 0.75, x2]
        g = np.array([[0.1, 0.2, -0.3]])
        holds = sum(Fraction(a) * Fraction(v) for a, v in zip(g[0].tolist(), there, strict=True)) <= 0
        given = statement(net, 1, [0.0, 0.0, 0.5], there, fs.HalfSpaces(g, np.zeros(1)))
        assert prove(given).proved == holds


# ---- rows that are not those of the map once they are written out


@pytest.mark.parametrize("last", [False, True])
def test_repeated_pixels_and_vanishing_products_are_no_missing_dependence(last):
    """The feature is 2^-60 x1, or 2^-1200 x1: nothing but x1 itself gives it, however little it weighs."""
    repeated = composed(Rearrangement([0, 0, 0], 2), Dense([[1.0, 2.0**-60, -1.0]]))
    vanishing = composed(Diagonal([2.0**-600, 1.0]), Dense([[2.0**-600, 0.0]]))
    for affine in (repeated, vanishing):
        stages = (affine_stage("a", affine), *([relu_stage("r", 1)] if last else []))
        net = fs.Network(stages, (2,))
        for segment in (False, True):
            proof = prove(statement(net, -1 % len(stages), [1, 1], [1.5, 1.25], None, segment))
            assert not proof.proved
            assert "1 feature differs" in proof.reason
            assert prove(statement(net, -1 % len(stages), [1, 1], [1, 1.25], None, segment)).proved
