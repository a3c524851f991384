"""How far invariance reaches, against linear programs of scipy that are built from torch's own derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

import all_regions
import fiberscope as fs
from fiberscope.invariance.pairs import pairs_of_few_positives, positive_outputs, targets_of
from fiberscope.invariance.reach_bound import MOST_UNITS
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


EPS = (0.0, 1e-3, 0.1)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("layer", [0, 1])
def test_bounds_are_the_best_of_all_regions_and_a_larger_eps_is_never_worse(seed, layer):
    module, net, x, c = list(all_regions.cases(seed + 1))[seed]
    X = np.stack([x, np.clip(x + 0.3 * c, 0, 1)])
    rows = invariance_survey(net, X, layers=[layer], domain=fs.Box(0, 1), targets=1, eps=EPS[::-1]).to_pylist()
    assert [row["eps"] for row in rows] == [*EPS, *EPS]
    features = np.abs(net.evaluated(X, net.placed_layers[layer].stage)).max(axis=1)
    for row in rows:
        source, d = X[row["sample"]], X[row["target"]] - X[row["sample"]]
        within = row["eps"] * features[row["sample"]]
        best = (all_regions.best_of_all_regions(module, source, d, layer, within) - d @ source) / (d @ d)
        assert row["reached"] <= best + 1e-6
        assert row["bound"] == pytest.approx(best, abs=1e-5)
        if layer == 0:
            assert row["reached"] == row["bound"]
    for curve in (rows[:3], rows[3:]):
        for column in ("reached", "bound"):
            assert [row[column] for row in curve] == sorted(row[column] for row in curve)


@pytest.mark.parametrize("exponent", [-30, 20])
def test_a_curve_does_not_depend_on_units(exponent):
    module, net, x, c = next(all_regions.cases(1))
    X, scale = np.stack([x, np.clip(x + 0.3 * c, 0, 1)]), 2.0**exponent
    module[0].weight.data /= scale
    scaled = fs.from_torch(module)
    options = {"targets": 1, "eps": EPS}
    one = invariance_survey(net, X, domain=fs.Box(0, 1), **options).to_pylist()
    other = invariance_survey(scaled, scale * X, domain=fs.Box(0, scale), **options).to_pylist()
    for first, second in zip(one, other, strict=True):
        for column in ("reached", "bound"):
            assert second[column] == pytest.approx(first[column], abs=1e-6)
        assert second["dimension"] == first["dimension"]


def test_behind_many_units_the_bound_is_that_of_the_domain():
    torch.manual_seed(0)
    wide = MOST_UNITS + 1
    net = fs.from_torch(nn.Sequential(nn.Linear(5, wide), nn.ReLU(), nn.Linear(wide, 2), nn.ReLU()).eval())
    X = np.random.default_rng(0).uniform(size=(2, 5))
    for box, most in ((fs.Box(0, 1), None), (None, np.inf)):
        row = invariance_survey(net, X, layers=[1], domain=box, targets=1).to_pylist()[0]
        d = X[row["target"]] - X[row["sample"]]
        expected = d @ (np.where(d > 0, 1, 0) - X[row["sample"]]) / (d @ d) if most is None else most
        assert row["bound"] == pytest.approx(expected)
        assert row["reached"] <= row["bound"]


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
        ({"eps": [0.1, -0.1]}, "eps: expected"),
        ({"eps": [np.inf]}, "eps: expected"),
        ({"eps": [0.1], "within": 0.1}, "eps: expected no within"),
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
