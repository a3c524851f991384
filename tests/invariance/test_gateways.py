"""Behind a layer with few active units, its equations take the place of those of the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.feature_region import feature_region, features_at, pieces_at
from fiberscope.invariance.gateways import sufficient_stages, well_conditioned
from fiberscope.network.domains import as_polyhedron

BOX = fs.Box(0, 1)
DEPTH = 5


def deep(scale: float = 1.0) -> fs.Network:
    """A first layer of 4 active units, and layers behind it whose maps are ill-conditioned."""
    generator = torch.Generator().manual_seed(0)
    parts: list[torch.nn.Module] = []
    for i in range(DEPTH):
        linear = torch.nn.Linear(16 if i == 0 else 8, 8).double()
        with torch.no_grad():
            linear.weight[:] = torch.randn(8, linear.in_features, generator=generator, dtype=torch.float64)
            linear.bias[:] = 0.0 if i else torch.tensor([8.0] * 4 + [-80.0] * 4)
            if i:  # nearly of rank one
                first = linear.weight[:, :1] * torch.ones(8, dtype=torch.float64)
                linear.weight[:] = first.abs() + 0.02 * linear.weight
            linear.weight.mul_(scale)
            linear.bias.mul_(scale ** (i + 1))
        parts += [linear, torch.nn.ReLU()]
    return fs.from_torch(torch.nn.Sequential(*parts).eval())


def feasible(net: fs.Network, x: np.ndarray, layer: int) -> FeasibleSteps:
    stage = net.placed_layers[layer].stage
    region = feature_region(net, features_at(net, x, stage), pieces_at(net, x, stage))
    return FeasibleSteps.of(region, as_polyhedron(BOX, net.inputs), x)


@pytest.mark.parametrize("scale", [1.0, 2.0**10, 10.0**-3])
def test_equations_of_the_narrow_layer_have_the_same_kernel(scale: float) -> None:
    net = deep(scale)
    x = np.random.default_rng(0).uniform(0.2, 0.8, size=16)
    features = feasible(net, x, 1)
    better = well_conditioned(features)
    first = np.asarray(net.relu_layers[0].weight)
    assert better is not features
    rows, others = better.equations.toarray(), features.equations.toarray()
    assert np.array_equal(rows, first[:4])
    assert np.linalg.matrix_rank(np.vstack([rows, others / np.abs(others).max()]), tol=1e-9 * scale) == len(rows) == 4
    assert list(sufficient_stages(net, 3)) == [3, 1]


@pytest.mark.exhaustive(every=2)
@pytest.mark.parametrize("objective", ["towards", "nearest_l2"])
def test_deep_examples_are_proved_to_have_exactly_the_same_features(objective: str) -> None:
    net = deep()
    x, c = np.random.default_rng(0).uniform(0.2, 0.8, size=(2, 16))
    for layer in range(DEPTH):
        e = fs.invariance_example(net, x, c, layer, BOX, objective=objective)
        assert not e.is_trivial
        assert e.verify(), e.verify().reason


def test_layers_that_do_not_narrow_keep_their_own_equations() -> None:
    generator = torch.Generator().manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Linear(10, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.ReLU()
    ).double()  # fmt: skip
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    module[0].bias.data += 9.0
    module[2].bias.data += 9.0
    net = fs.from_torch(module.eval())
    seen = feasible(net, np.full(10, 0.5), 1)
    assert well_conditioned(seen) is seen
