"""Linear programs over one region, against scipy and against exact vertices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

import fiberscope as fs
import oracles
from feature_networks import NAMES, inputs, network, one_layer, region_of, written
from fiberscope.invariance.feasible_steps import FeasibleSteps, pinned
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.interior import interior
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.rows import sparse
from fiberscope.preimages.linear_program import Status

BOX = fs.Box(0, 1)

TOLERANCE = 1e-7
"""Both solvers answer up to their feasibility tolerances, and are asked about objectives of size 1."""


def scipy_maximum(region, polyhedron, c):
    system = written(region)
    result = linprog(
        -c,
        A_ub=np.vstack([system.G, polyhedron.G]),
        b_ub=np.concatenate([system.h, polyhedron.h]),
        A_eq=system.E[independent_rows(sparse(system.E))],
        b_eq=system.f[independent_rows(sparse(system.E))],
        bounds=np.stack([polyhedron.low, polyhedron.high], axis=1),
        method="highs",
    )
    assert result.status == 0, result.message
    return -result.fun


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [0, 1, "last"])
def test_optima_agree_with_scipy_for_one_objective_after_the_other(name, layer):
    net = network(name)
    layer = -1 if layer == "last" else layer
    if layer == 1 and len(net.placed_layers) < 2:
        layer = 0
    x = inputs(net.input_shape, 1)[0].ravel()
    region = region_of(net, x, net.placed_layers[layer].stage)
    polyhedron = BOX.polyhedron(net.inputs)
    program = RegionProgram(FeasibleSteps.of(region, polyhedron, x))
    for c in np.random.default_rng(1).standard_normal((6, net.inputs)):
        found = program.maximize(c)
        expected = scipy_maximum(region, polyhedron, c)
        assert found.optimal
        assert found.value == pytest.approx(expected - c @ x, abs=TOLERANCE)
        assert found.value <= found.bound
        assert found.bound == pytest.approx(expected - c @ x, abs=TOLERANCE)
        assert region.excess(found.x[None]).max(initial=0.0) < TOLERANCE
        assert np.abs(region.residuals(found.x[None])).max(initial=0.0) < TOLERANCE
        slack = -region.excess(found.x[None])[0]
        assert (slack[found.tight[found.tight < region.count]] < TOLERANCE).all()


@pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib's programs are not installed")
@pytest.mark.parametrize("seed", range(12))
def test_optima_are_the_best_exact_vertices(seed):
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    weight, bias = rng.integers(-2, 3, size=(m, n)).astype(float), rng.integers(-2, 3, size=m).astype(float)
    x = rng.integers(0, 3, size=n) / 2.0
    net = one_layer(weight, bias)
    answer = oracles.cdd_answer(oracles.mixed_system(weight, bias, x=x, domain=BOX))
    program = RegionProgram(FeasibleSteps.of(region_of(net, x, 1), BOX.polyhedron(n), x))
    for c in rng.integers(-3, 4, size=(4, n)).astype(float):
        best = max(oracles.dot(oracles.exact_vector(c), vertex) for vertex in answer.vertices)
        found = program.maximize(c)
        assert found.optimal
        gain = best - oracles.dot(oracles.exact_vector(c), oracles.exact_vector(x))
        assert found.value == pytest.approx(float(gain), abs=TOLERANCE)
        assert Fraction(found.bound) >= gain  # rounding included


def test_half_spaces_and_kept_pixels_are_part_of_the_program():
    net = network("dense")
    x = inputs(net.input_shape, 1)[0]
    region = region_of(net, x, net.placed_layers[0].stage)
    half = fs.HalfSpaces(np.ones((1, 12)), np.array([x.sum() + 0.1]))
    polyhedron = pinned((BOX & half).polyhedron(12), x, np.array([0, 3]))
    c = np.ones(12)
    found = RegionProgram(FeasibleSteps.of(region, polyhedron, x)).maximize(c)
    assert found.value == pytest.approx(scipy_maximum(region, polyhedron, c) - c @ x, abs=TOLERANCE)
    assert found.x[[0, 3]].tolist() == x[[0, 3]].tolist()
    assert found.x.sum() <= x.sum() + 0.1 + TOLERANCE


def test_unbounded_programs_come_with_a_direction_of_the_recession_cone():
    net = network("dense")
    x = inputs(net.input_shape, 1)[0]
    region = region_of(net, x, net.placed_layers[0].stage)
    system = written(region)
    c = np.ones(12)
    found = RegionProgram(FeasibleSteps.of(region, fs.network.domains.whole_space(12), x)).maximize(c)
    assert found.status is Status.UNBOUNDED
    assert c @ found.step > 0
    assert np.abs(system.E @ found.step).max() < TOLERANCE
    assert (system.G @ found.step).max() < TOLERANCE


def test_bounded_without_a_domain():
    net = one_layer([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [-1.0, -1.0, -2.0, -2.0])
    feasible = FeasibleSteps.of(region_of(net, [0.0, 0.0], 1), fs.network.domains.whole_space(2), np.zeros(2))
    found = RegionProgram(feasible).maximize(np.array([1.0, 1.0]))
    assert found.optimal
    assert found.x == pytest.approx([1.0, 2.0])
    assert found.tight.tolist() == [0, 2]


def test_room_is_kept_and_the_bound_is_without_it():
    net = one_layer([[1.0, 1.0]], [-1.0])
    region = region_of(net, [0.25, 0.25], 1)
    feasible = FeasibleSteps.of(region, BOX.polyhedron(2), np.full(2, 0.25))
    found = RegionProgram(feasible, room=np.array([0.125])).maximize(np.array([1.0, 1.0]))
    assert found.value == pytest.approx(0.375)
    assert found.bound == pytest.approx(0.5)
    assert found.loss == pytest.approx(0.125)


def test_dependent_equations_are_left_out():
    weight = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.1, 0.2, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert independent_rows(sparse(weight)).size == 2
    net = one_layer(weight, np.full(5, 0.1))
    x = np.array([0.3, 0.1, 0.7])
    found = RegionProgram(FeasibleSteps.of(region_of(net, x, 1), BOX.polyhedron(3), x)).maximize(
        np.array([1.0, 0.0, 0.0])
    )
    assert found.optimal
    assert found.x == pytest.approx([1.0, 0.1, 1.4 / 3.0])


def test_a_point_with_room_is_found_and_implied_equations_are_named():
    # units 0 and 1 together say x0 = x1; unit 2 has room, but not at x
    net = one_layer([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0])
    x = np.array([0.5, 0.5])
    program = RegionProgram(FeasibleSteps.of(region_of(net, x, 1), BOX.polyhedron(2), x))
    found = interior(program, np.full(3, 1e-3))
    assert found.implied.tolist() == [True, True, False]
    assert found.slack[2] > 1e-3
