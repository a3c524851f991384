"""The Cramer-Rao bound against numpy's pseudoinverse of torch's Jacobian."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.recovery.noise import cramer_rao


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("k", [0, -30, 30])
def test_cramer_rao_is_that_of_torchs_jacobian(k: int) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU()).double().eval()
    with torch.no_grad():
        model[2].weight.mul_(2.0**k)
        model[2].bias.mul_(2.0**k)
    net = fs.from_torch(model, (4,))
    x = np.random.default_rng(1).random(4)
    for layer, part in ((0, model[:2]), (1, model)):
        J = torch.autograd.functional.jacobian(part, torch.tensor(x)).numpy()
        assert np.linalg.matrix_rank(J) == 4
        covariance = np.linalg.pinv(J) @ np.linalg.pinv(J).T
        found = cramer_rao(net, x, net.placed_layers[layer].stage, 0.1)
        np.testing.assert_allclose(found, 0.01 * np.trace(covariance), rtol=1e-9)


def test_a_lost_direction_has_no_bound() -> None:
    weight = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, -1.0]])
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(weight))
        model[0].bias.zero_()
    net = fs.from_torch(model.eval(), (2,))
    assert cramer_rao(net, np.ones(2), net.placed_layers[0].stage, 1.0) == inf
