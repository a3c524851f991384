"""Moduli on balls, as users ask for them: between pairs of inputs and regions that are met, and changed claims."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "recovery"))

from networks import as_network, in_ball, outputs, random_chain

import fiberscope as fs
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage

BALLS = 40


def random_case(generator):
    n = int(generator.integers(1, 4))
    depth = int(generator.integers(1, 4))
    chain = random_chain(generator, (n, *(int(generator.integers(2 * n, 5 * n + 4)) for _ in range(depth))))
    return chain, generator.standard_normal(n), float(10.0 ** generator.uniform(-3, 0))


def smallest_ratio(chain, X, Y):
    apart = np.linalg.norm(X - Y, axis=1)
    moved = np.linalg.norm(outputs(chain, X) - outputs(chain, Y), axis=1)
    told = apart > 1e-6 * apart.max()  # nearer ones are rounded
    return float((moved[told] / apart[told]).min())


def stretch(network, x, stage):
    """The smallest singular value of the region at x, by the linear map and numpy."""
    J = fs.linearize(network, x, stage).matrix()
    return 0.0 if np.linalg.matrix_rank(J) < J.shape[1] else float(np.linalg.svd(J, compute_uv=False)[-1])


def test_pairs_lie_above_and_a_region_that_is_met_attains_the_upper_bound():
    generator, both = np.random.default_rng(0), 0
    for _ in range(BALLS):
        chain, x, radius = random_case(generator)
        network = as_network(chain)
        found = fs.inverse_modulus(network, x, radius)
        X = in_ball(generator, x, radius, 400)
        assert 0 <= found.lower <= found.upper
        assert found.lower <= smallest_ratio(chain, X, generator.permutation(X)) * (1 + 1e-8)
        assert np.linalg.norm(found.point - x) <= radius * (1 + 1e-12)
        assert found.upper == pytest.approx(stretch(network, found.point, None), rel=1e-6, abs=1e-9)
        assert found.verify()
        both += 0 < found.lower < found.upper < np.inf
    assert both > BALLS // 5


def test_the_stability_radius_is_proved_and_nearly_the_largest_that_is():
    generator, beyond = np.random.default_rng(1), 0
    for _ in range(BALLS):
        chain, x, _ = random_case(generator)
        network = as_network(chain)
        found = fs.stability_radius(network, x)
        assert found.region_distance == fs.linearize(network, x).region_distance
        if found.radius == 0:
            assert found.reason
            assert not found.verify()
            continue
        assert found.verify()
        assert found.lower > 0
        assert fs.inverse_modulus(network, x, found.radius * 1.02).lower == 0
        beyond += found.radius > 2 * found.region_distance
    assert beyond > BALLS // 10


def test_behind_several_layers_it_is_far_beyond_the_region():
    torch.manual_seed(0)
    parts = [
        torch.nn.Linear(8, 48),
        torch.nn.ReLU(),
        torch.nn.Linear(48, 96),
        torch.nn.ReLU(),
        torch.nn.Linear(96, 128),
    ]
    network = fs.from_torch(torch.nn.Sequential(*parts, torch.nn.ReLU()).eval(), input_shape=(8,))
    ratios = []
    for x in np.random.default_rng(0).standard_normal((3, 8)):
        found = fs.stability_radius(network, x)
        assert found.verify()
        ratios.append(found.radius / found.region_distance)
    assert min(ratios) > 10


def test_with_a_modulus_the_radius_is_smaller_and_keeps_it():
    network = as_network(random_chain(np.random.default_rng(2), (3, 40), clips=0.0))
    x = np.zeros(3)
    free, asked = fs.stability_radius(network, x), fs.stability_radius(network, x, modulus=1.0)
    assert 0 < asked.radius < free.radius
    assert asked.lower > 1.0
    assert asked.verify()
    nothing = fs.stability_radius(network, x, modulus=100.0)
    assert nothing.radius == 0
    assert "at x itself" in nothing.reason


def test_one_layer_is_what_its_certain_rows_say():
    generator = np.random.default_rng(3)
    for _ in range(20):
        chain = random_chain(generator, (3, 25), clips=0.0)
        ((A, b, *_),) = chain
        x = generator.standard_normal(3)
        room = (A @ x + b) / np.linalg.norm(A, axis=1)
        # the largest radius at which the rows that are on in the whole ball still span the inputs
        spans = [np.linalg.matrix_rank(A[room >= r]) == 3 for r in room]
        exact = max([r for r, full in zip(room, spans, strict=True) if full and r > 0], default=0.0)
        found = fs.stability_radius(as_network(chain), x)
        assert found.radius == pytest.approx(exact, rel=0.02)
        assert found.radius <= exact


def test_scaled_inputs_and_weights_scale_both_numbers():
    chain = random_chain(np.random.default_rng(4), (2, 30, 30), clips=0.0)
    x, radius = np.array([0.3, -0.2]), 0.005
    whole = fs.inverse_modulus(as_network(chain), x, radius, 2)
    assert whole.lower > 0
    for k in (-40, 30):
        s = 2.0**k
        (A, b, *clip), second = chain
        inputs = fs.inverse_modulus(as_network([(A / s, b, *clip), second]), s * x, s * radius, 2)
        weights = fs.inverse_modulus(
            as_network([(s * A, s * b, *clip), (second[0], s * second[1], 0.0, np.inf)]), x, radius, 2
        )
        assert (inputs.lower * s, weights.lower / s) == pytest.approx((whole.lower, whole.lower), rel=1e-9)
        assert (inputs.upper * s, weights.upper / s) == pytest.approx((whole.upper, whole.upper), rel=1e-6)


def test_stages_are_affine_maps_or_activations():
    chain = random_chain(np.random.default_rng(5), (2, 10, 14), clips=0.0)
    network, x = as_network(chain), np.array([0.1, 0.2])
    affine = fs.inverse_modulus(network, x, 5.0, 0)
    singular = np.linalg.svd(chain[0][0], compute_uv=False)[-1]
    assert affine.lower == pytest.approx(singular, rel=2e-3)
    assert affine.upper == pytest.approx(singular, rel=1e-9)
    everywhere = fs.stability_radius(network, x, 0)
    assert everywhere.radius == everywhere.region_distance == np.inf
    assert everywhere.verify()
    # before the last ReLU more rows count than behind it
    assert fs.inverse_modulus(network, x, 0.01, 2).lower >= fs.inverse_modulus(network, x, 0.01, -1).lower > 0
    assert fs.inverse_modulus(network, x, 0.01, 2).verify()


def test_convolutions_are_the_matrices_they_stand_for():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 12, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(12, 12, 3, padding=1), torch.nn.ReLU()
    )
    network = fs.from_torch(module.eval(), input_shape=(1, 9, 9))
    x = np.random.default_rng(0).random((1, 9, 9))
    for stage in (1, 3):
        found = fs.inverse_modulus(network, x, 1e-3, stage)
        assert 0 < found.lower <= stretch(network, x, stage)
        assert found.verify()
        assert found.x.shape == (1, 9, 9)
    found = fs.stability_radius(network, x, 1)
    A, z = fs.linearize(network, x, 0).matrix(), network.evaluated(x.reshape(1, -1), 0)[0]
    certain = z > found.radius * np.linalg.norm(A, axis=1)
    assert found.lower == pytest.approx(np.linalg.svd(A[certain], compute_uv=False)[-1], rel=0.6)
    assert found.radius > found.region_distance


def test_fewer_outputs_than_inputs_have_modulus_0():
    network = as_network(random_chain(np.random.default_rng(6), (4, 9, 3), clips=0.0))
    found = fs.inverse_modulus(network, np.zeros(4), 0.1)
    assert found.lower == found.upper == 0
    assert "fewer than the 4 inputs" in found.reason
    assert found.verify()
    assert fs.stability_radius(network, np.zeros(4)).radius == 0


def test_networks_that_are_no_chain_have_a_reason():
    class Branches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)

        def forward(self, x):
            return torch.relu(x + torch.relu(self.linear(x)))

    network = fs.from_torch(Branches().eval(), input_shape=(3,))
    found = fs.inverse_modulus(network, np.ones(3), 0.1)
    assert (found.lower, found.upper) == (0, np.inf)
    assert "no chain" in found.reason
    assert not found.verify()
    assert "no chain" in fs.stability_radius(network, np.ones(3)).reason


def test_a_point_on_a_kink_is_no_end_of_the_search():
    # one unit is at its kink at x: the distance to the end of the region is 0, the other rows are on in a ball
    A = np.concatenate([np.eye(2), -np.eye(2), [[1.0, -1.0]]])
    network = as_network([(A, np.array([1.0, 1.0, 0.25, 0.25, 0.0]), 0.0, np.inf)])
    found = fs.stability_radius(network, np.zeros(2))
    assert found.region_distance == 0
    assert found.radius == pytest.approx(1.0, rel=0.02)
    assert found.verify()


CHANGES = {
    "a larger modulus": lambda c: replace(c, lower=c.lower * 1.001 + 1e-3),
    "a smaller upper bound": lambda c: replace(c, upper=0.5 * (c.lower + c.upper)),
    "a larger ball": lambda c: replace(c, radius=c.radius * 30),
    "another center": lambda c: replace(c, x=c.x + 1.0),
    "a point outside": lambda c: replace(c, point=c.point + 1.0),
    "another direction": lambda c: replace(c, direction=c.direction[::-1].copy()),
    "no direction": lambda c: replace(c, direction=0 * c.direction),
    "another stage": lambda c: replace(c, stage=1),
    "an absent stage": lambda c: replace(c, stage=99),
    "numbers that are none": lambda c: replace(c, lower=np.nan),
    "words": lambda c: replace(c, x="x"),
    "another network": lambda c: replace(c, network=None),
    "out of order": lambda c: replace(c, lower=c.upper, upper=c.lower),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("change", CHANGES)
def test_changed_claims_are_not_proved(change):
    chain = random_chain(np.random.default_rng(7), (3, 40, 40), clips=0.0)
    claim = fs.inverse_modulus(as_network(chain), np.array([0.1, 0.3, -0.2]), 0.003)
    assert 0 < claim.lower < claim.upper
    assert claim.verify()
    assert not CHANGES[change](claim).verify()


@pytest.mark.usefixtures("unchecked")
def test_changed_radii_are_not_proved():
    chain = random_chain(np.random.default_rng(8), (3, 30), clips=0.0)
    claim = fs.stability_radius(as_network(chain), np.zeros(3))
    assert claim.radius > 0
    assert claim.verify()
    for changed in (
        replace(claim, radius=claim.radius * 1.1),
        replace(claim, radius=np.inf),
        replace(claim, lower=claim.lower + 1.0),
        replace(claim, modulus=claim.lower),
        replace(claim, stage=7),
        replace(claim, network=3),
    ):
        assert not changed.verify()


def test_lines_are_short():
    network = as_network(random_chain(np.random.default_rng(9), (3, 30), clips=0.0))
    for result in (fs.inverse_modulus(network, np.zeros(3), 0.1), fs.stability_radius(network, np.zeros(3))):
        assert len(repr(result)) <= 120
        assert "array" not in repr(result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"radius": -1.0}, "radius"),
        ({"radius": np.nan}, "radius"),
        ({"radius": 1.0, "stage": 9}, "stage"),
        ({"radius": 1.0, "points": -1}, "points"),
    ],
)
def test_bad_questions(arguments, words):
    network = as_network(random_chain(np.random.default_rng(10), (3, 8), clips=0.0))
    with pytest.raises(fs.InputError, match=words):
        fs.inverse_modulus(network, np.zeros(3), **arguments)
    with pytest.raises(fs.InputError, match="x"):
        fs.inverse_modulus(network, np.zeros(4), 1.0)
    with pytest.raises(fs.InputError, match="modulus"):
        fs.stability_radius(network, np.zeros(3), modulus=-1.0)


SMOOTH = [PointwiseKind.TANH, PointwiseKind.SIGMOID, PointwiseKind.SOFTPLUS, PointwiseKind.ELU]


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("kind", SMOOTH)
def test_strictly_increasing_units_have_a_modulus_below_all_pairs(kind, stage):
    generator = np.random.default_rng(3)
    first, second = Dense(generator.standard_normal((8, 3))), Dense(generator.standard_normal((9, 8)))
    units = [Stage(name, activation=Pointwise(kind, size)) for name, size in (("2", 8), ("4", 9))]
    net, x = (
        fs.Network((affine_stage("1", first), units[0], affine_stage("3", second), units[1]), (3,)),
        np.full(3, 0.25),
    )
    found = fs.inverse_modulus(net, x, 0.02, stage)
    X = in_ball(generator, x, 0.02, 300)
    Y = generator.permutation(X)
    apart = np.linalg.norm(X - Y, axis=1)
    moved = np.linalg.norm(net.evaluated(X, stage) - net.evaluated(Y, stage), axis=1)
    told = apart > 1e-6 * apart.max()
    assert 0 < found.lower <= (moved[told] / apart[told]).min()
    assert found.lower <= found.upper <= stretch(net, x, stage) * (1 + 1e-6)
    assert found.verify()
    assert not replace(found, lower=found.upper * 1.01).verify()
    radius = fs.stability_radius(net, x, stage)
    assert radius.radius > 0.02
    assert radius.verify()


def test_a_layer_of_units_that_fall_and_rise_has_a_reason():
    falling = Stage("2", activation=Pointwise(PointwiseKind.LEAKY_RELU, 3, slope=-0.5 * np.ones(3)))
    found = fs.inverse_modulus(fs.Network((affine_stage("1", Dense(np.eye(3))), falling), (3,)), np.ones(3), 0.1)
    assert found.lower == 0
    assert found.reason
