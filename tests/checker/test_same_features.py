"""The checker of proofs that features are the same: exact where it says exact, bounds that hold, no false claim."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import fuzz_features
import numpy as np
import pytest

import fiberscope as fs
from exact_stages import by_hand, read, times
from feature_networks import NAMES, inputs, network, one_layer
from fiberscope.checker.dyadic import Evaluation, Whole, Work, product
from fiberscope.checker.enclosed import Room, Rows
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.linear import Linear
from fiberscope.checker.linearization import Equation, Linearization
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Claim, Finding
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.rows import sparse_rows
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.network.structured import WeightedSums


def case(net: fs.Network, x: Any, there: Any, **changes: Any) -> Case:
    n = net.inputs
    points = [np.asarray(point, dtype=np.float64).ravel() for point in (x, there)]
    given = Domain(np.zeros(n), np.ones(n), np.zeros((0, n)), np.zeros(0), np.zeros(n, bool))
    parts = {name: changes.pop(name) for name in tuple(changes) if hasattr(given, name)}
    claim = Claim(len(net.stages) - 1, *points, replace(given, **parts), 1e-3)
    return Case(read(net), replace(claim, **changes))


def proved(given: Case, finding: Finding) -> bool:
    try:
        given.prove(finding)
    except NotProvedError:
        return False
    return True


# ---- exact values


def fractions(values: Whole) -> list[Fraction]:
    return [number * Fraction(2) ** values.exponent for number in values.numbers[:, 0].tolist()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("denominator", [1, 3])
def test_values_are_exact(name: str, denominator: int) -> None:
    net = network(name)
    x = inputs(net.input_shape, 1).reshape(-1) * 2.0**-40 + 0.5
    _, stages = read(net)
    linear = {number: tuple(map(Linear.of, stage.maps)) for number, stage in enumerate(stages)}
    found = Evaluation(stages, linear, Whole.of(x[:, None]), denominator)
    oracle = {-1: [Fraction(v) / denominator for v in x]}
    for number, part in enumerate(net.stages):
        oracle[number] = by_hand(part, [oracle[source] for source in net.sources(number)])
        assert [value / denominator for value in fractions(found.at(number))] == oracle[number]


@pytest.mark.parametrize("power", [0, 500, -500])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_products_of_any_size_are_exact(power: int, is_sparse: bool) -> None:
    rng = np.random.default_rng(2)
    W = rng.standard_normal((5, 70)) * 2.0 ** rng.integers(-60, 60, (5, 70)) * 2.0**power
    x = rng.standard_normal(70) * 2.0 ** rng.integers(-60, 60, 70)
    x[3], W[2, 3] = 5e-324, 2.0**-1000
    row, column = np.indices(W.shape).reshape(2, -1)
    matrix = sparse_rows(W.ravel(), row, column, W.shape) if is_sparse else W
    found = fractions(product(matrix, Whole.of(x[:, None]), Work()))
    assert found == times(W, [0] * 5, [Fraction(v) for v in x])


def test_windows_that_take_a_number_twice_add_no_weights() -> None:
    """0.1 + 0.2 is rounded in float64; x0 times 0.1 plus x0 times 0.2 is not."""
    net = fs.Network((Stage("a", (WeightedSums([[0, 0, 1]], [[0.1, 0.2, 1.0]], 2),)), relu_stage("r", 1)), (2,))
    there = case(net, [0.5, 0.0], [0.0, 0.5 * (0.1 + 0.2)])
    assert not proved(there, Finding(1))
    assert proved(there, Finding(1, 1e-9))
    third = Fraction(0.1) / 2 + Fraction(0.2) / 2
    assert proved(there, Finding(1, point=([0, third.numerator], third.denominator)))


@pytest.mark.parametrize("exponent", [0, -40, -1100, -2200, 900])
def test_sizes_are_bounds(exponent: int) -> None:
    for number in (0, 1, -3, 2**1100 + 1, -(2**1100) + 1, 2**53 + 1, 3**800):
        (low,), (high,) = Whole(np.array([number], dtype=object), exponent).sizes()
        true = abs(number) * Fraction(2) ** exponent
        assert Fraction(low) <= true
        assert high == np.inf or true <= Fraction(high)
        assert (high == 0) == (number == 0)


# ---- bounds on rounding


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_sparse", [False, True])
def test_rows_and_room_hold_the_exact_numbers(seed: int, is_sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((7, 5)) * 10.0 ** rng.integers(-9, 9, size=(7, 5)) * (rng.random((7, 5)) < 0.7)
    B = rng.standard_normal((5, 6)) * 10.0 ** rng.integers(-9, 9, size=(5, 6)) * (rng.random((5, 6)) < 0.7)
    row, column = np.indices(B.shape).reshape(2, -1)
    inner = Linear(sparse_rows(B.ravel(), row, column, B.shape) if is_sparse else B, np.zeros(5))
    found = Rows.picked(A, np.array([0, 3, 5]), np.array([-1, 2, -1])).times(inner)
    for k, (i, j) in enumerate([(0, None), (3, 2), (5, None)]):
        picked = [Fraction(a) - (Fraction(b) if j is not None else 0) for a, b in zip(A[i], A[j or 0], strict=True)]
        for value, error, true in zip(found.value[k], found.error[k], times(B.T, [0] * 6, picked), strict=True):
            assert abs(Fraction(value) - true) <= Fraction(error)
            assert error <= 1e-13 * (np.abs(A[[i, j or 0]]) @ np.abs(B)).max()
    sizes = np.abs(rng.standard_normal(6))
    room = Room(sizes, float(np.linalg.norm(sizes)) * 1.001).through(inner)
    for bound, true, of in zip(room.each, times(np.abs(B), [0] * 5, [Fraction(s) for s in sizes]), B, strict=True):
        assert Fraction(bound) >= true or Fraction(bound) ** 2 >= sum(Fraction(v) ** 2 for v in of) * sum(
            Fraction(s) ** 2 for s in sizes
        )


def test_what_vanishes_in_float64_still_counts_as_touched() -> None:
    tiny = Linear(np.array([[2.0**-600]]), np.zeros(1))
    rows = Rows.picked(np.array([[2.0**-600]]), np.array([0]), np.array([-1])).times(tiny)
    assert rows.value[0, 0] == 0.0
    assert rows.error[0, 0] >= 2.0**-1200
    cancelling = Linear(np.array([[1.0], [2.0**-60], [-1.0]]), np.zeros(3))
    rows = Rows.picked(np.ones((1, 3)), np.array([0]), np.array([-1])).times(cancelling)
    assert abs(Fraction(rows.value[0, 0]) - Fraction(2.0**-60)) <= Fraction(rows.error[0, 0])


def test_sums_over_many_windows_are_within_their_bound() -> None:
    """Each small number is lost, so that together they are more than 1e-13 of the sum."""
    many = 20_000
    weights = np.append(1.0, np.full(many, 2.0**-53))
    truth = sum(map(Fraction, weights.tolist()))
    net = fs.Network(
        (
            Stage("a", (Dense(np.ones((1, 1)), np.ones(1)),)),
            Stage("max", activation=Maximum(np.zeros((many + 1, 1), dtype=np.int64), 1)),
            Stage("sum", (Dense(weights[None], np.zeros(1)),)),
        ),
        (1,),
    )
    given = case(net, [0.5], [0.25])
    linearization = Linearization(given.evaluation(Whole.of(np.array([[0.25]]))), 2, Room(np.full(1, 1e-9), 1e-9), True)
    (equation,) = [each for each in linearization.equations() if each.stage == 2]
    rows = linearization.rows(Equation(2, np.array([0]), np.array([-1]), equation.missing, True))
    off = abs(Fraction(rows.value[0, 0]) - truth)
    assert off <= Fraction(rows.error[0, 0])
    assert fractions(Whole(equation.missing.numbers[:, None], equation.missing.exponent)) == [truth / 4]


# ---- what is claimed and what comes as a finding


def test_findings_that_do_not_fit_prove_nothing() -> None:
    net = network("dense")
    x, target = inputs(net.input_shape, 2, seed=1)
    e = fs.invariance_example(net, x, target, "output", fs.Box(0, 1))
    given = case(net, x, e.x)
    radius = 1e-9 * float(np.abs(e.x - x).max())
    assert proved(given, Finding(given.claim.stage, radius))
    assert not proved(given, Finding(given.claim.stage, 0.0))
    assert not proved(given, Finding(0, radius)), "what the first affine map gives is another number"
    for bad in (-radius, np.nan, np.inf, 1.0):
        assert not proved(given, Finding(given.claim.stage, bad))
    whole = [int(v * 2**53) for v in e.x.ravel().tolist()]
    for point in (([], 1), (whole[:-1], 2**53), (whole, 0), (whole, -(2**53)), (whole, 2**52)):
        assert not proved(given, Finding(given.claim.stage, point=point))
    assert not proved(given, Finding(given.claim.stage, radius, point=(whole, 2**53)))
    for changes in (
        {"within": radius / 2},
        {"within": -1.0},
        {"source": target.ravel()},
        {"low": np.full(net.inputs, 0.5)},
        {"kept": np.ones(net.inputs, dtype=bool)},
    ):
        with pytest.raises(NotProvedError):
            case(net, x, e.x, **changes).prove(Finding(given.claim.stage, radius))
    for changes in ({"stage": 9}, {"stage": -1}, {"source": x[:-1]}, {"example": x * np.nan}):
        with pytest.raises(NotProvedError):
            case(net, x, e.x, **changes)


def test_an_earlier_stage_is_enough_only_if_nothing_passes_it_by() -> None:
    stages = (
        affine_stage("a", Dense([[1.0, 1.0]])),
        relu_stage("r", 1),
        Stage("both", (Dense(np.array([[1.0]])), Dense(np.array([[1.0, 0.0]]))), sources=(1, -1)),
    )
    by = fs.Network(stages, (2,))
    assert not proved(case(by, [0.5, 0.25], [0.25, 0.5]), Finding(1))
    straight = fs.Network((*stages[:2], affine_stage("b", Dense(np.array([[3.0]])))), (2,))
    for through in (0, 1, 2):
        assert proved(case(straight, [0.5, 0.25], [0.25, 0.5]), Finding(through))


@pytest.mark.parametrize("power", [0, -40, 40])
def test_an_input_that_is_proved_to_be_near_is_near(power: int) -> None:
    """Against the nearest solution of the equations of the active units, in rational numbers."""
    rng = np.random.default_rng(5)
    radius, found = 1e-6, set()
    for _ in range(60):
        W = rng.integers(-3, 4, (2, 4)) * 2.0**power
        x = rng.integers(1, 8, 4) / 8
        active = W @ x > 0
        if not active.all() or np.linalg.matrix_rank(W) < 2:
            continue
        net = one_layer(W, [0.0, 0.0])
        null = np.linalg.svd(W)[2][2]
        there = np.clip(x + 0.05 * null + radius * rng.uniform(0.1, 2.0) * rng.choice([-1, 1], 4) / 2, 0.01, 0.99)
        square = distance_squared(W, x, there)
        is_proved = proved(case(net, x, there), Finding(1, radius))
        assert not is_proved or square <= Fraction(radius) ** 2
        found.add((is_proved, square <= Fraction(radius) ** 2))
    assert {(True, True), (False, False)} <= found


def distance_squared(W: Any, x: Any, there: Any) -> Fraction:
    """Of a point from the solutions z of ``W z = W x`` with two independent rows."""
    rows = [[Fraction(w) for w in row] for row in W.tolist()]
    off = [Fraction(b) - Fraction(a) for a, b in zip(x.tolist(), there.tolist(), strict=True)]
    r = [sum(w * o for w, o in zip(row, off, strict=True)) for row in rows]
    (a, b), (_, d) = [[sum(p * q for p, q in zip(u, v, strict=True)) for v in rows] for u in rows]
    y = ((d * r[0] - b * r[1]) / (a * d - b * b), (a * r[1] - b * r[0]) / (a * d - b * b))
    return sum(p * q for p, q in zip(r, y, strict=True))


@pytest.mark.parametrize("kind", [PointwiseKind.TANH, PointwiseKind.SIGMOID, PointwiseKind.ELU, PointwiseKind.SOFTPLUS])
def test_smooth_units_are_proved_where_they_are_the_features_or_nothing_passes_them_by(kind: PointwiseKind) -> None:
    smooth = (affine_stage("a", Dense([[1.0, 1.0]])), Stage("s", activation=Pointwise(kind, 1)))
    behind = (*smooth, affine_stage("b", Dense(np.array([[2.0]]))), relu_stage("r", 1))
    for stages, through, expected in ((smooth, 1, True), (behind, 1, True), (behind, 3, False)):
        net = fs.Network(stages, (2,))
        assert proved(case(net, [0.5, 0.25], [0.25, 0.5]), Finding(through)) == expected
        assert not proved(case(net, [0.5, 0.25], [0.25, 0.75]), Finding(through))


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_false_is_proved_of_random_networks(seed: int) -> None:
    found = fuzz_features.fuzz(seed, 200)
    assert min(found["not proved"], found["float"], found["exact"]) >= 3


def test_checking_loads_nothing_outside_of_the_room() -> None:
    code = (
        "import sys, fiberscope.checker.same_features, fiberscope.checker.forward, fiberscope.checker.spectra;"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('fiberscope', 'torch', 'highspy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    outside = {name for name in done.stdout.split() if not name.startswith("fiberscope.checker")}
    assert outside == {"fiberscope", "fiberscope.errors"}
