"""How far invariance reaches, against linear programs of scipy that are built from torch's own derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

import fiberscope as fs
from fiberscope.invariance.pairs import pairs_of_few_positives, positive_outputs, targets_of
from fiberscope.invariance.survey import invariance_survey


@pytest.fixture(name="case", scope="module")
def _case():
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)).double().eval()
    generator = np.random.default_rng(0)
    return module, fs.from_torch(module), generator.uniform(size=(6, 12)), np.array([0, 0, 1, 1, 2, 2])


def program(module, x, layer: int):
    """Equations and inequalities of the region of x by hand: (E, f, G, h)."""
    first, second = module[0], module[2]
    W, b = first.weight.detach().numpy(), first.bias.detach().numpy()
    z = W @ x + b
    on = z > 0
    if layer == 0:
        return W[on], (z - b)[on], W[~on], -b[~on]
    V = second.weight.detach().numpy() @ np.diag(on.astype(float))
    J, c = V @ W, V @ b + second.bias.detach().numpy()
    y = J @ x + c
    signs = np.where(on, -1.0, 1.0)
    G = np.concatenate([signs[:, None] * W, J[y <= 0]])
    return J[y > 0], (y - c)[y > 0], G, np.concatenate([-signs * b, -c[y <= 0]])


def test_reach_and_width_are_the_optima_of_linear_programs(case):
    module, net, X, y = case
    table = invariance_survey(net, X, y, domain=fs.Box(0, 1), targets=2, seed=3).to_pylist()
    assert len(table) == 2 * len(X) * 2
    for row in table:
        x, direction = X[row["sample"]], X[row["target"]] - X[row["sample"]]
        E, f, G, h = program(module, x, row["layer"])
        found = [linprog(sign * direction, G, h, E, f, bounds=(0, 1)) for sign in (-1, 1)]
        ahead, behind = (max(0.0, -each.fun - sign * direction @ x) for each, sign in zip(found, (1, -1), strict=True))
        assert row["reached"] == pytest.approx(ahead / (direction @ direction), abs=1e-6)
        assert row["width"] == pytest.approx((ahead + behind) / np.linalg.norm(direction), abs=1e-6)
        assert row["positives"] == len(f)
        assert row["class"] == y[row["sample"]] != row["target_class"] == y[row["target"]]


def test_the_dimension_of_the_first_layer_is_that_of_the_proved_preimage(case):
    _, net, X, y = case
    table = invariance_survey(net, X, y, layers=[0], domain=fs.Box(0, 1), targets=1).to_pylist()
    for row in table:
        proved = fs.preimage(net.relu_layers[0], x=X[row["sample"]], domain=fs.Box(0, 1))
        assert fs.verify(proved)
        assert row["dimension"] == proved.dimension


def test_the_dimension_counts_bounds_that_leave_no_room():
    # x0 + x1 <= 0 within the box leaves one point of the two; the third coordinate is free
    weight = np.array([[1.0, 1.0, 0.0]])
    module = nn.Sequential(nn.Linear(3, 1), nn.ReLU()).double().eval()
    module[0].weight.data, module[0].bias.data = torch.tensor(weight), torch.zeros(1, dtype=torch.float64)
    net = fs.from_torch(module)
    X = np.array([[0.0, 0.0, 0.5], [0.5, 0.7, 0.5]])
    rows = invariance_survey(net, X, domain=fs.Box(0, 1), targets=1).to_pylist()
    assert [row["dimension"] for row in rows] == [1, 2]
    assert rows[0]["reached"] == 0.0


def test_without_bounds_it_may_go_on_for_ever(case):
    _, net, X, _ = case
    rows = invariance_survey(net, X[:2], targets=1).to_pylist()
    assert any(row["width"] == np.inf for row in rows)
    assert all(row["class"] is None for row in rows)


def test_pairs_begin_with_the_fewest_positives_and_go_to_other_classes(case):
    module, net, X, y = case
    with torch.no_grad():
        counts = (module[:2](torch.tensor(X)) > 0).sum(dim=1).numpy()
    np.testing.assert_array_equal(positive_outputs(net, X, 1), counts)
    pairs = pairs_of_few_positives(net, X, y, 1, 3, targets=2)
    assert [pair.source for pair in pairs[::2]] == np.argsort(counts, kind="stable")[:3].tolist()
    assert len(pairs) == 6
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        classes = {int(y[pair.target]) for pair in (first, second)}
        assert first.source == second.source
        assert len(classes) == 2
        assert int(y[first.source]) not in classes


def test_targets_without_classes_are_any_others():
    assert sorted(targets_of(1, 4, None, 9, np.random.default_rng(0))) == [0, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": [5]}, "a number from 0 to 1"),
        ({"y": np.zeros(3, dtype=int)}, "6 whole numbers"),
        ({"y": np.linspace(0, 1, 6)}, "whole numbers"),
    ],
)
def test_bad_input(case, change, message):
    _, net, X, y = case
    with pytest.raises(fs.InputError, match=message):
        invariance_survey(net, X, **({"y": y} | change))


def test_one_class_has_no_pairs(case):
    _, net, X, _ = case
    with pytest.raises(fs.InputError, match="at least two classes"):
        pairs_of_few_positives(net, X, np.zeros(6, dtype=int), 1, 2)
