"""Invariance examples: optimal, with the features of the source, and refused where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

import fiberscope as fs
from feature_networks import NAMES, inputs, modules, network, one_layer, region_of, written
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.network.rows import sparse

BOX = fs.Box(0, 1)

NEED_NO_TARGET = ("farthest_l1", "farthest_l2", "farthest_linf")

SLACK = 1e-3
"""By how much an objective may miss the optimum for the room that float32 needs, on these networks."""


def example(name, layer=0, objective="inner_product", **options):
    net = network(name)
    x, target = inputs(net.input_shape, 2, seed=1)
    return fs.invariance_example(net, x, target, layer, BOX, objective=objective, **options)


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [0, -1, "output"])
def test_features_are_those_of_the_source_and_the_proof_closes(name, layer):
    e = example(name, layer)
    assert e.x.shape == e.source.shape
    assert ((e.x >= 0) & (e.x <= 1)).all()
    assert e.feature_units < 1
    assert e.feature_residual < 1e-13
    verification = e.verify()
    assert verification, verification.reason
    assert verification.reason == ""


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("objective", list(fs.Objective))
def test_every_objective_gives_a_proved_example_within_its_bound(objective):
    e = example("dense", objective=objective, fraction=0.1)
    assert not e.is_trivial
    assert e.verify()
    worse = e.objective <= e.bound + 1e-9 if e.asked.is_maximum else e.objective >= e.bound - 1e-9
    assert worse
    if e.is_optimal:
        assert e.gap < SLACK
    else:
        assert "local optimum" in e.reason


@pytest.mark.parametrize("name", NAMES)
def test_torch_in_float32_gives_the_same_features_along_the_path(name):
    module, _ = modules()[name]
    e = example(name, "output")
    X = e.path(50)
    with torch.no_grad():
        values = module.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    size = np.abs(values).max()
    assert np.abs(values - values[0]).max() <= 200 * np.finfo(np.float32).eps * size


def test_inactive_units_stay_inactive_in_float32():
    module, _ = modules()["dense"]
    e = example("dense")
    with torch.no_grad():
        features = module.eval()[:2](torch.tensor(e.path(50), dtype=torch.float32)).numpy()
    assert ((features > 0) == (features[0] > 0)).all()


def system_of(e):
    system = written(region_of(e.network, e.source, e.stage))
    rows = independent_rows(sparse(system.E))
    return system.E[rows], system.f[rows], system.G, system.h


def scipy_program(e, c, extra_columns=0, extra=None):
    E, f, G, h = system_of(e)
    zeros = np.zeros((len(E), extra_columns)), np.zeros((len(G), extra_columns))
    A_ub, b_ub = np.hstack([G, zeros[1]]), h
    if extra is not None:
        A_ub, b_ub = np.vstack([A_ub, extra[0]]), np.concatenate([h, extra[1]])
    bounds = [(0, 1)] * E.shape[1] + [(0, None)] * extra_columns
    return linprog(c, A_ub=A_ub, b_ub=b_ub, A_eq=np.hstack([E, zeros[0]]), b_eq=f, bounds=bounds, method="highs")


@pytest.mark.parametrize("name", ["dense", "conv", "maxpool"])
def test_linear_objectives_against_scipy(name):
    e = example(name)
    c = e.target.ravel()
    expected = -scipy_program(e, -c).fun
    assert e.objective == pytest.approx(expected, abs=SLACK)
    assert e.bound == pytest.approx(expected, abs=1e-7)
    towards = example(name, objective="towards")
    difference = c - e.source.ravel()
    expected = -scipy_program(e, -difference).fun - difference @ e.source.ravel()
    assert towards.bound == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["dense", "conv"])
@pytest.mark.parametrize("kind", ["nearest", "smallest_change"])
def test_distances_in_l1_and_linf_against_scipy(name, kind):
    e = example(name)
    n, center = e.network.inputs, (e.target if kind == "nearest" else e.source).ravel()
    step = (e.target - e.source).ravel()
    progress = (-step[None], np.array([-step @ e.source.ravel() - 0.05 * step @ step]))
    for norm, columns, cover in (("l1", n, np.eye(n)), ("linf", 1, np.ones((n, 1)))):
        rows = np.vstack([np.hstack([np.eye(n), -cover]), np.hstack([-np.eye(n), -cover])])
        sides = np.concatenate([center, -center])
        if kind == "smallest_change":
            rows = np.vstack([rows, np.hstack([progress[0], np.zeros((1, columns))])])
            sides = np.concatenate([sides, progress[1]])
        c = np.concatenate([np.zeros(n), np.ones(columns)])
        expected = scipy_program(e, c, columns, (rows, sides)).fun
        found = example(name, objective=f"{kind}_{norm}", fraction=0.05)
        assert found.bound == pytest.approx(expected, abs=1e-7)
        assert found.objective == pytest.approx(expected, abs=SLACK)


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_the_nearest_input_in_l2_against_scipy(name):
    e = example(name, objective="nearest_l2")
    E, f, G, h = system_of(e)
    center = e.target.ravel()
    result = minimize(
        lambda x: 0.5 * np.sum((x - center) ** 2),
        e.source.ravel(),
        jac=lambda x: x - center,
        bounds=[(0, 1)] * len(center),
        constraints=[
            {"type": "eq", "fun": lambda x: E @ x - f, "jac": lambda x: E},
            {"type": "ineq", "fun": lambda x: h - G @ x, "jac": lambda x: -G},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    expected = np.linalg.norm(result.x - center)
    assert e.objective == pytest.approx(expected, abs=SLACK)
    assert e.bound <= expected + 1e-6
    assert e.bound == pytest.approx(expected, abs=1e-5)


def test_the_farthest_input_in_linf_by_two_programs_per_pixel():
    e = example("dense", objective="farthest_linf")
    n, x = e.network.inputs, e.source.ravel()
    values = [-scipy_program(e, -sign * np.eye(n)[j]).fun - sign * x[j] for j in range(n) for sign in (1.0, -1.0)]
    assert e.is_optimal
    assert e.bound == pytest.approx(max(values), abs=1e-7)
    assert e.objective == pytest.approx(max(values), abs=SLACK)


def test_the_farthest_input_with_few_programs_says_what_it_may_miss():
    exact = example("dense", objective="farthest_linf")
    quick = example("dense", objective="farthest_linf", max_programs=1)
    assert quick.bound >= exact.bound - 1e-9
    assert quick.objective <= exact.bound + 1e-9
    assert quick.is_optimal == (quick.gap < SLACK)


def test_a_fraction_of_the_way_is_gone():
    e = example("dense", objective="smallest_change_l2", fraction=0.1)
    step = e.target - e.source
    assert np.sum(step * (e.x - e.source)) >= 0.1 * np.sum(step**2) - 1e-9
    assert e.fraction == 0.1


def test_a_fraction_that_nothing_reaches_is_refused_with_the_largest():
    net = one_layer([[1.0, 0.0]], [0.0])
    arguments = (net, [0.5, 0.5], [1.0, 1.0], 0, BOX)
    with pytest.raises(fs.InputError, match=r"fraction: expected at most 0\.5, which"):
        fs.invariance_example(*arguments, objective="smallest_change_l1", fraction=0.6)
    e = fs.invariance_example(*arguments, objective="smallest_change_l1", fraction=0.5)
    assert e.x.tolist() == [0.5, 1.0]
    assert e.verify()


@pytest.mark.parametrize("as_mask", [True, False])
def test_kept_pixels_do_not_change(as_mask):
    net = network("conv")
    x, target = inputs(net.input_shape, 2, seed=1)
    mask = np.zeros(net.input_shape, dtype=bool)
    mask[0, :3] = True
    keep = mask if as_mask else np.flatnonzero(mask)
    e = fs.invariance_example(net, x, target, 0, BOX, keep=keep)
    assert (e.x[mask] == x[mask]).all()
    assert e.pixels_changed > 0
    assert e.verify()


def test_with_all_pixels_kept_the_example_is_the_source():
    e = example("dense", keep=np.ones(12, dtype=bool))
    assert e.is_trivial
    assert (e.x == e.source).all()
    assert "only input" in e.reason
    assert e.verify()
    assert e.pixels_changed == 0
    assert e.distance == 0.0


def test_a_singleton_says_so():
    net = one_layer(np.eye(3), np.full(3, 0.5))
    e = fs.invariance_example(net, [0.1, 0.2, 0.3], [1.0, 1.0, 1.0], 0, BOX)
    assert e.is_trivial
    assert "only input" in e.reason
    assert e.verify()


def test_a_singleton_by_inequalities_under_the_box():
    net = one_layer([[1.0, 1.0]], [0.0])  # x >= 0 and x0 + x1 <= 0
    e = fs.invariance_example(net, [0.0, 0.0], [1.0, 1.0], 0, BOX)
    assert e.is_trivial
    assert "only input" in e.reason


def test_the_source_may_be_the_best():
    net = one_layer([[1.0, 1.0, 0.0]], [0.5])
    e = fs.invariance_example(net, [0.5, 0.5, 1.0], [0.0, 0.0, 1.0], 0, BOX)
    assert e.objective == 1.0
    assert e.is_optimal


def test_unbounded_objectives_name_the_direction():
    with pytest.raises(fs.InputError, match=r"unbounded program: along a direction that changes input \d+ most"):
        fs.invariance_example(network("dense"), inputs((12,), 1)[0], np.ones(12), 0)


def test_without_a_domain_the_nearest_input_is_bounded():
    net = network("dense")
    x, target = inputs((12,), 2, seed=1)
    e = fs.invariance_example(net, x, target, 0, None, objective="nearest_l2")
    E, f, *_ = system_of(e)
    assert np.abs(E @ e.x - f).max() < 1e-12
    assert e.verify()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.full(12, 1.5)}, "x: expected a point of the domain"),
        ({"x": np.zeros(11)}, "x: expected one input of shape"),
        ({"x": np.full(12, np.nan)}, "x: expected finite numbers"),
        ({"target": np.zeros(13)}, "target: expected one input of shape"),
        ({"target": None}, "target: expected an input, for the objective 'inner_product'"),
        ({"layer": 7}, "layer: expected a number from 0 to 1, or 'output'"),
        ({"layer": "logits"}, "layer: expected a number"),
        ({"objective": "prettiest"}, "objective: expected one of 'inner_product'"),
        ({"keep": [12]}, "keep: expected a mask"),
        ({"keep": [0.5]}, "keep: expected a mask"),
        ({"keep": np.ones(5, dtype=bool)}, "keep: expected a mask"),
        ({"domain": fs.Box(np.zeros(3), np.ones(3))}, "Box low: expected"),
        ({"objective": "smallest_change_l2", "fraction": 0.0}, "fraction: expected a number above 0"),
    ],
)
def test_refusals(changes, message):
    arguments = {"x": np.full(12, 0.5), "target": np.ones(12), "layer": 0, "domain": BOX} | changes
    with pytest.raises(fs.InputError, match=message.replace("(", r"\(")):
        fs.invariance_example(network("dense"), **arguments)


def test_smooth_activations_on_the_way_are_refused_and_behind_it_are_not():
    module = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.ReLU())
    net = fs.from_torch(module.eval())
    x = inputs((6,), 1)[0]
    assert fs.invariance_example(net, x, np.ones(6), 0, BOX).verify()
    with pytest.raises(fs.ModelError, match="tanh is smooth"):
        fs.invariance_example(net, x, np.ones(6), 1, BOX)


def test_many_targets_share_one_search_and_give_the_same_optima():
    net = network("conv")
    x, *targets = inputs(net.input_shape, 6, seed=2)
    together = fs.invariance_examples(net, x, targets, 0, BOX)
    alone = [fs.invariance_example(net, x, target, 0, BOX) for target in targets]
    assert [e.objective for e in together] == pytest.approx([e.objective for e in alone], abs=1e-6)
    assert all(e.verify() for e in together)


def test_the_same_call_gives_the_same_example():
    for objective in ("inner_product", "nearest_l2", "farthest_l2"):
        first, second = (example("conv", objective=objective, seed=4) for _ in range(2))
        assert first.x.tobytes() == second.x.tobytes()


def test_boxes_of_normalised_inputs():
    net = network("dense")
    low, high = np.linspace(-2, -1, 12), np.linspace(1, 2, 12)
    x = inputs((12,), 1)[0]
    e = fs.invariance_example(net, x, np.ones(12), 0, fs.Box(low, high))
    assert ((e.x >= low) & (e.x <= high)).all()
    assert e.x.max() > 1
    assert e.verify()


def test_the_path_begins_at_the_source_and_ends_at_the_example():
    e = example("conv")
    path = e.path(7)
    assert path.shape == (7, 1, 8, 8)
    assert (path[0] == e.source).all()
    assert (path[-1] == e.x).all()
    assert e.distance_in("l1") >= e.distance_in("l2") >= e.distance_in("linf")
    with pytest.raises(fs.InputError, match="steps: expected a whole number, at least 2"):
        e.path(1)
    with pytest.raises(fs.InputError, match="norm: expected 'l1'"):
        e.distance_in("l3")


def test_many_targets_do_not_depend_on_the_threads():
    net = network("dense")
    x, *targets = inputs(net.input_shape, 20, seed=4)
    one, three = (fs.invariance_examples(net, x, targets, 0, BOX, threads=threads) for threads in (1, 3))
    assert len(one) == len(targets)
    for first, second, target in zip(one, three, targets, strict=True):
        np.testing.assert_array_equal(first.x, second.x)
        np.testing.assert_array_equal(first.target, target)
        assert first.objective == pytest.approx(fs.invariance_example(net, x, target, 0, BOX).objective, abs=1e-6)
    with pytest.raises(fs.InputError, match="threads: expected a whole number, at least 1"):
        fs.invariance_examples(net, x, targets, 0, BOX, threads=0)


def test_two_layers_of_a_trained_convolutional_network(external):
    net = fs.load(external / "models" / "cifar_base_kw.onnx")
    with np.load(external / "data" / "cifar10_test_83.npz") as data:
        X = data["x"][:2] / 255.0
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    X = (X - mean) / 0.225
    low = np.minimum(np.broadcast_to(-mean / 0.225, X[0].shape), X.min(axis=0)).ravel()
    high = np.maximum(np.broadcast_to((1 - mean) / 0.225, X[0].shape), X.max(axis=0)).ravel()
    for layer in (0, 1):
        e = fs.invariance_example(net, X[0], X[1], layer, fs.Box(low, high))
        assert e.is_optimal
        assert e.gap < 0.1
        assert e.pixels_changed > 2000
        verification = e.verify(points=5)
        assert verification, verification.reason
        assert verification.reason == ""
