"""Strictly monotone layers against exact vertices, runtimes, and inputs that are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

import fiberscope as fs
import oracles
from monotone_layers import CURVES, MODULES, Array, inverse, layer_of, outputs, value

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")


def rounded(number: Any, sign: int) -> float:
    """The nearest float64 that is not below a number of mpmath, or not above it."""
    if mpmath.isinf(number):
        return float(number)
    nearest = float(number)
    if sign * (mpmath.mpf(nearest) - number) < 0:
        nearest = float(np.nextafter(nearest, sign * np.inf))
    return nearest


def between(name: str, low: Array, high: Array, within: float, sign: int) -> tuple[Array, Array]:
    """What units receive that give these outputs; rounded outwards, or inwards for a sign of -1."""
    ends = [
        [rounded(inverse(name, mpmath.mpf(float(y)) + side * mpmath.mpf(within)), sign * side) for y in given]
        for side, given in ((-1, low), (1, high))
    ]
    return np.array(ends[0]), np.array(ends[1])


@needs_cdd
@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("seed", range(5))
def test_kinds_are_those_of_exact_vertices(name: str, seed: int) -> None:
    """Of an interval as it is after the inverse, rounded outwards and inwards: where both agree, so does the answer."""
    rng = np.random.default_rng([seed, len(name)])
    m, n = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    weight, bias = rng.integers(-2, 3, (m, n)).astype(float), rng.integers(-2, 3, m) * 0.5
    x, within = rng.integers(-2, 3, n) * 0.5, float(rng.choice([0.0, 0.125, 0.5]))
    y = outputs(name, weight @ x + bias)
    low, high = y - rng.choice([0.0625, 0.25, 1.5], m), y + rng.choice([0.0625, 0.25, 1.5], m)
    domain = fs.Box(-1.0, 1.0) if seed % 3 == 0 else fs.NonNegative() if seed % 3 == 1 else None
    layer, answers = layer_of(name, weight, bias), []
    with mpmath.workdps(50):
        for sign in (1, -1):
            given = between(name, low - within, high + within, 0.0, sign)
            nothing = np.isposinf(given[0]) | np.isneginf(given[1]) | (given[0] > given[1])
            assert not nothing.any()
            asked = oracles.interval_system(weight, bias, low=-np.inf, y=given, domain=domain)
            answers.append(oracles.cdd_answer(asked))
    p = fs.preimage(layer, y=fs.Interval(low - within, high + within), domain=domain)
    assert (answers[0].kind, answers[0].dimension) == (answers[1].kind, answers[1].dimension)
    assert (str(p.kind), p.dimension) == (answers[0].kind, answers[0].dimension)
    assert fs.verify(p)
    assert fs.verify(p, exact=True)
    as_rows = fs.preimage(fs.ReLULayer(weight, bias, low=-np.inf), y=fs.Interval(*given), domain=domain)
    assert (as_rows.kind, as_rows.dimension) == (p.kind, p.dimension)


@needs_cdd
@pytest.mark.parametrize("name", CURVES)
def test_enclosures_hold_exact_vertices_and_reach_points_inside(name: str) -> None:
    rng = np.random.default_rng(len(name))
    for _ in range(2):
        weight, bias = rng.integers(-2, 3, (5, 2)).astype(float), rng.integers(-2, 3, 5) * 0.5
        weight[:2] = [[1.0, 2.0], [2.0, -1.0]]
        x, eps = rng.integers(-2, 3, 2) * 0.25, 0.03125
        e = fs.preimage(layer_of(name, weight, bias), x=x, within=eps, domain=fs.Box(-2.0, 2.0)).enclosure()
        assert e.verify()
        with mpmath.workdps(50):
            y = [value(name, mpmath.mpf(float(z))) for z in weight @ x + bias]
            ranges = []
            for sign in (1, -1):
                ends = [[rounded(inverse(name, v + side * eps), sign * side) for v in y] for side in (-1, 1)]
                given = np.array(ends[0]), np.array(ends[1])
                asked = oracles.interval_system(weight, bias, low=-np.inf, y=given, domain=fs.Box(-2.0, 2.0))
                ranges.append([oracles.exact_range(asked, unit) for unit in np.eye(2).tolist()])
        for k in range(2):
            (least, most), (inner_least, inner_most) = ranges[0][k], ranges[1][k]
            assert e.low[k] <= inner_least
            assert inner_most <= e.high[k]
            assert least <= e.reached_low[k] <= e.reached_high[k] <= most
            assert e.high[k] - e.low[k] <= 1.001 * float(most - least) + 1e-9


@pytest.mark.parametrize("name", CURVES)
def test_inputs_lie_in_their_enclosures_and_other_claims_are_not_proved(name: str) -> None:
    rng = np.random.default_rng(len(name))
    for k in range(3):
        weight, X = rng.normal(size=(9, 4)), rng.random((1, 4))
        layer = layer_of(name, weight, 0.3 * rng.normal(size=9))
        p = fs.preimage(layer, x=X[0], within=("float32", "float16", 1e-3)[k % 3], domain=fs.Box(0.0, 1.0))
        e = p.enclosure()
        assert e.verify()
        assert ((e.low <= X[0]) & (X[0] <= e.high)).all()
    wider = np.maximum(e.high - e.low, 1e-6)
    for changed in (
        replace(e, high=e.high - 0.02 * wider),
        replace(e, low=e.low + 0.02 * wider),
        replace(e, reached_high=e.reached_high + 0.02 * wider),
        replace(e, radius=0.9 * e.radius),
        replace(e, preimage=replace(p, within=4.0 * np.asarray(p.within))),
        replace(e, preimage=replace(p, layer=layer_of("sigmoid" if name != "sigmoid" else "tanh", weight, layer.bias))),
    ):
        assert not changed.verify()


def runtimes(name: str, A: Array, b: Array, X: Array) -> dict[str, Array]:
    """What torch and onnxruntime give in float32."""
    linear = torch.nn.Linear(*A.T.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(A))
        linear.bias.copy_(torch.tensor(b))
        given = torch.nn.Sequential(linear, MODULES[name]())(torch.tensor(X, dtype=torch.float32)).double().numpy()
    _, alpha, _ = CURVES[name]
    if name == "softplus":  # ONNX has the one of sharpness 1 alone
        return {"torch": given}
    operator, more = {"tanh": ("Tanh", {}), "sigmoid": ("Sigmoid", {}), "elu": ("Elu", {"alpha": alpha})}.get(
        name, ("LeakyRelu", {"alpha": alpha})
    )
    values = {"a": A.astype(np.float32), "b": b.astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "a", "b"], ["z"], transB=1), helper.make_node(operator, ["z"], ["y"], **more)],
        "layer",
        [helper.make_tensor_value_info("x", 1, [None, A.shape[1]])],
        [helper.make_tensor_value_info("y", 1, [None, len(b)])],
        [numpy_helper.from_array(array, key) for key, array in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return {"torch": given, "onnxruntime": session.run(None, {"x": X.astype(np.float32)})[0].astype(np.float64)}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("size", [0.1, 3.0, 40.0])
def test_what_runtimes_give_in_float32_lies_within(name: str, size: float) -> None:
    """Of 4,000 outputs, also of units that saturate."""
    rng = np.random.default_rng(int(size))
    A, b, X = size * rng.normal(size=(100, 7)) / np.sqrt(7), rng.normal(size=100), rng.random((40, 7))
    within = fs.Precision("float32").within(layer_of(name, A, b), X)
    exact = outputs(name, X @ A.T + b)
    own = 1e-13 * (np.abs(X) @ np.abs(A).T + np.abs(b) + 1.0)
    for runtime, y in runtimes(name, A, b, X).items():
        assert (np.abs(y - exact) <= within[:, 0] + own).all(), runtime


@pytest.mark.parametrize("name", CURVES)
def test_activations_round_by_less_than_is_allowed(name: str) -> None:
    """What torch and onnxruntime make of float32 numbers, beside 8 units of roundoff of the largest output."""
    z = np.concatenate([np.linspace(-30.0, 30.0, 200_001), np.linspace(-1.0, 1.0, 100_001)]).astype(np.float32)
    exact, (_, alpha, beta) = outputs(name, z.astype(np.float64)), CURVES[name]
    size = {"elu": alpha, "softplus": np.abs(z) + 1.0 / beta}.get(name, 1.0)
    size = alpha * np.abs(z) if "leaky" in name else size
    for runtime, y in runtimes(name, np.ones((1, 1)), np.zeros(1), z[:, None]).items():
        off = np.abs(y[:, 0] - exact)
        assert (off <= 6.0 * 2.0**-24 * (size + np.abs(exact)) + 1e-37).all(), (runtime, float(off.max()))


@pytest.mark.parametrize("name", CURVES)
def test_cells_of_codes_hold_the_outputs_and_end_where_codes_do(name: str) -> None:
    rng = np.random.default_rng(5)
    A, b, X = rng.normal(size=(20, 6)), rng.normal(size=20), rng.random((50, 6))
    y = outputs(name, X @ A.T + b)
    first, last = (0, 255) if name in ("sigmoid", "softplus") else (-128, 127)
    step = float(np.abs(y).max()) / last
    below, above = np.moveaxis(fs.Precision("int8", scale=step).within(layer_of(name, A, b), X), 1, 0)
    code = np.clip(np.rint(y / step), first, last)
    assert (np.isinf(below) == (code == first)).all()
    assert (np.isinf(above) == (code == last)).all()
    np.testing.assert_allclose((y - below)[code > first], ((code - 0.5) * step)[code > first], atol=step * 2e-6)
    np.testing.assert_allclose((y + above)[code < last], ((code + 0.5) * step)[code < last], atol=step * 2e-6)
