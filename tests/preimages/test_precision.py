"""Named precisions: what real runtimes give lies where it is said to, and verdicts are about these intervals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import fiberscope as fs
import oracles
from fiberscope.checker.verdicts import prove
from fiberscope.network.building import NetworkBuilder
from fiberscope.preimages.verify import in_numbers

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")
Array = np.ndarray[Any, Any]
TYPES: dict[str, tuple[Any, Any]] = {"float32": (torch.float32, np.float32), "float16": (torch.float16, np.float16)}


def layers() -> dict[str, tuple[Array, Array, float, Array]]:
    """Weight, bias, upper end of the clip, and inputs: numbers that no float type holds, in sums that cancel."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return generator.standard_normal(shape)

    A = normal(40, 100)
    return {
        "dense": (A / 10, normal(40), np.inf, generator.random((1000, 100))),
        "cancelling": (np.hstack([A, -A + 1e-4 * normal(40, 100)]), normal(40), np.inf, np.tile(normal(200, 100), 2)),
        "clip": (A / 10, normal(40), 0.3, generator.random((300, 100))),
        "sparse": (A * (generator.random(A.shape) < 0.05), np.zeros(40), 6.0, normal(300, 100)),
        "tiny": (np.ldexp(A, -10), np.zeros(40), np.inf, np.ldexp(normal(100, 100), -8)),
        "one input": (normal(20, 1), normal(20), np.inf, normal(1000, 1)),
    }


def given_by(name: str, A: Array, b: Array, high: float, X: Array) -> dict[str, Array]:
    """What runtimes and orders of adding give for the layer."""
    t, n = TYPES[name]
    linear = torch.nn.functional.linear(*(torch.tensor(part).to(t) for part in (X, A, b)))
    out = {"torch": torch.clamp(linear, 0, high).double().numpy(), "onnxruntime": onnx_gives(n, A, b, high, X)}
    a, x, c = A.astype(n), X.astype(n), b.astype(n)
    for order, places in (("forward", slice(None)), ("backward", slice(None, None, -1))):
        total = np.zeros((len(X), len(b)), dtype=np.float32)
        for j in range(A.shape[1])[places]:
            total = total + x[:, j, None].astype(np.float32) * a[:, j].astype(np.float32)
        out[order] = np.clip(total.astype(n) + c, 0, n(high)).astype(np.float64)
    return out


def onnx_gives(dtype: Any, A: Array, b: Array, high: float, X: Array) -> Array:
    kind = TensorProto.FLOAT if dtype is np.float32 else TensorProto.FLOAT16
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["z"], transB=1),
        helper.make_node("Clip", ["z", "low", "high"], ["y"]),
    ]
    top = np.array(min(high, float(np.finfo(dtype).max)), dtype)
    values = {"a": A.astype(dtype), "b": b.astype(dtype), "low": np.array(0, dtype), "high": top}
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", kind, [None, A.shape[1]])],
        [helper.make_tensor_value_info("y", kind, [None, len(b)])],
        [numpy_helper.from_array(value, key) for key, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X.astype(dtype)})[0].astype(np.float64)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("case", layers())
def test_what_runtimes_give_lies_within(name: str, case: str) -> None:
    A, b, high, X = layers()[case]
    layer = fs.ReLULayer(A, b, high=high)
    within = fs.Precision(name).within(layer, X)
    assert within.shape == (len(X), 2, len(b))
    assert (within[:, 0] == within[:, 1]).all()
    exact = np.clip(X @ A.T + b, 0, high)
    own = 1e-13 * (np.abs(X) @ np.abs(A).T + np.abs(b))  # of the comparison, in float64
    for runtime, y in given_by(name, A, b, high, X).items():
        off = np.abs(y - exact)
        assert (off <= within[:, 0] + own).all(), runtime
        if case == "dense":
            assert off.max() > within.max() / 10_000  # the bound is no guess far away


def test_a_convolution_is_a_layer_of_few_terms() -> None:
    """A row has as many terms as its kernel."""
    generator = np.random.default_rng(1)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.ReLU()).eval()
    layer = fs.from_torch(module, input_shape=(3, 9, 9)).relu_layers[0]
    X = generator.random((50, 3, 9, 9)).astype(np.float32).astype(np.float64)
    flat = X.reshape(50, -1)
    for name, (t, _) in TYPES.items():
        within = fs.Precision(name).within(layer, flat)
        with torch.no_grad():
            y = module.to(t)(torch.tensor(X).to(t)).double().numpy().reshape(50, -1)
        assert (np.abs(y - layer(flat)) <= within[:, 0]).all()
        assert within.max() < 60 * {"float32": 2.0**-24, "float16": 2.0**-11}[name] * (np.abs(layer(flat)).max() + 3)


def nearest_codes(y: Array, step: float, first: int, last: int) -> Array:
    """By rational numbers; a half goes to the even neighbour, as in every quantiser."""
    return np.array([[min(max(round(Fraction(v) / Fraction(step)), first), last) for v in row] for row in y.tolist()])


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_codes_of_a_quantiser(low: float) -> None:
    """The code of the output is the one whose cell it is; both ends saturate; onnxruntime's codes are the same."""
    generator = np.random.default_rng(2)
    A, b = generator.standard_normal((30, 12)), generator.standard_normal(30)
    X = generator.standard_normal((200, 12))
    layer = fs.ReLULayer(A, b, low=low, high=3.0)
    y = layer(X)
    first, last = (0, 255) if low == 0 else (-128, 127)
    step = float(np.abs(y).max()) / last
    within = fs.Precision("int8").within(layer, X)
    codes = nearest_codes(y, step, first, last)
    below, above = within[:, 0], within[:, 1]
    assert (np.isinf(below) == (codes == first)).all()
    assert (np.isinf(above) == (codes == last)).all()
    np.testing.assert_allclose((y - below)[codes > first], ((codes - 0.5) * step)[codes > first], atol=step * 2e-6)
    np.testing.assert_allclose((y + above)[codes < last], ((codes + 0.5) * step)[codes < last], atol=step * 2e-6)
    # outwards
    assert ((y - below)[codes > first] <= ((codes - 0.5) * step)[codes > first]).all()
    assert ((y + above)[codes < last] >= ((codes + 0.5) * step)[codes < last]).all()
    given = onnx_codes(y.astype(np.float32), np.float32(step), np.uint8 if first == 0 else np.int8)
    assert np.mean(given == codes) > 0.999  # but for float32 next to the end of a cell
    shown = given * step
    slack = 1e-5 * step
    assert (shown >= y - below - slack).all()
    assert (shown <= y + above + slack).all()


def onnx_codes(y: Array, step: Any, dtype: Any) -> Array:
    node = helper.make_node("QuantizeLinear", ["y", "s", "zero"], ["code"])
    kind = TensorProto.UINT8 if dtype is np.uint8 else TensorProto.INT8
    graph = helper.make_graph(
        [node],
        "codes",
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(y.shape))],
        [helper.make_tensor_value_info("code", kind, list(y.shape))],
        [numpy_helper.from_array(np.array(step), "s"), numpy_helper.from_array(np.array(0, dtype), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"y": y})[0].astype(np.float64)


@needs_cdd
@pytest.mark.parametrize("domain", [None, fs.NonNegative(), fs.Box(-1, 1)])
def test_verdicts_about_codes(domain: Any) -> None:
    """Kinds and dimensions are those of the intervals between the ends of cells, in exact arithmetic."""
    generator = np.random.default_rng(8)
    A, b = generator.standard_normal((6, 3)) + 0.3, generator.standard_normal(6)
    high = generator.choice([0.5, np.inf], 6)
    layer, X = fs.ReLULayer(A, b, high=high), generator.random((12, 3)) * generator.choice([0.0, 1.0], (12, 3))
    step = 0.125
    judged = fs.classify(layer, X, domain, within=fs.Precision("int8", scale=step))
    assert judged.verify().all()
    kinds: set[str] = set()
    for i, y in enumerate(layer(X)):
        codes = nearest_codes(y[None], step, 0, 255)[0]
        ends = np.where(codes == 0, -np.inf, (codes - 0.5) * step), np.where(codes == 255, np.inf, (codes + 0.5) * step)
        answer = oracles.cdd_answer(oracles.interval_system(A, b, high=high, y=ends, domain=domain))
        assert (judged.kind[i], judged.dimension[i]) == (answer.kind, answer.dimension)
        alone = fs.preimage(layer, x=X[i], domain=domain, within=fs.Precision("int8", scale=step))
        assert (alone.kind, alone.dimension) == (answer.kind, answer.dimension)
        assert fs.verify(alone, exact=True)
        assert alone.contains(X[i])
        assert (alone.positives, alone.saturated) == (judged.positives[i], judged.saturated[i])
        kinds.add(str(alone.kind))
    assert domain is not None or kinds == {"bounded", "unbounded"}


def test_geometry_of_a_cell() -> None:
    """A step of 1: outputs 1.25 and 2 have codes 1 and 2, 0.25 has code 0, and the last code has no upper end."""
    layer = fs.ReLULayer(np.eye(4))
    p = fs.preimage(layer, x=[1.25, 2.0, 0.25, 300.0], domain=fs.Box(-10, 400), within=fs.Precision("int8", scale=1))
    low, high = p.bounding_box()
    np.testing.assert_allclose(low, [0.5, 1.5, -10, 254.5], atol=1e-4)
    np.testing.assert_allclose(high, [1.5, 2.5, 0.5, 400], atol=1e-4)
    assert p.contains([0.75, 1.75, -3.0, 399.0])
    assert not p.contains([0.25, 1.75, -3.0, 399.0])
    assert 0 < p.radius < 1000
    assert all(p.contains(x) for x in p.sample(10, seed=0))


@pytest.mark.parametrize(
    ("name", "e"), [("float32", -60), ("float32", 40), ("float16", 3), ("int8", -300), ("int8", 40)]
)
def test_units_of_inputs_and_outputs_mean_nothing(name: str, e: int) -> None:
    """Where no number comes near the smallest normal one, or the largest, of the type."""
    generator = np.random.default_rng(6)
    A, b, X = generator.random((9, 4)) + 0.5, generator.random(9) + 0.5, generator.random((5, 4)) + 0.5
    plain, scaled = fs.ReLULayer(A, b), fs.ReLULayer(A, np.ldexp(b, e))
    precision = fs.Precision(name)
    within, again = precision.within(plain, X), precision.within(scaled, np.ldexp(X, e))
    np.testing.assert_allclose(again, np.ldexp(within, e), rtol=1e-3 if name == "float16" else 1e-6)
    first, second = fs.classify(plain, X, within=name), fs.classify(scaled, np.ldexp(X, e), within=name)
    assert (first.kind == second.kind).all()
    assert first.verify().all()
    assert second.verify().all()


def test_a_layer_where_branches_meet_has_codes() -> None:
    generator = np.random.default_rng(1)
    W, V = generator.standard_normal((4, 3)), generator.standard_normal((3, 4))
    builder = NetworkBuilder((1, 3))
    inner = builder.clip("inner", builder.dense("one", builder.input, W, np.zeros(4)), 0.0, np.inf)
    total = builder.add("sum", [builder.dense("two", inner, V, np.ones(3)), builder.input])
    layer = builder.build(builder.clip("outer", total, 0.0, np.inf)).relu_layers[-1]
    X = np.abs(generator.standard_normal((4, 3)))
    assert fs.classify(layer, X, within="int8").verify().all()
    with pytest.raises(fs.InputError, match="branches meet"):
        fs.classify(layer, X, within="float32")


ONE_OF = "precision: expected one of float32, float16, int8"
LAYER = fs.ReLULayer([[1.0, 2.0], [3.0, -1.0]])


LEAKY = fs.ReLULayer(np.eye(2), injective=np.array([True, False]))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda: fs.classify(LAYER, [[1.0, 2.0]], within="float8"),
            ONE_OF,
        ),
        (
            lambda: fs.preimage(LAYER, x=[1.0, 2.0], within="FLOAT32"),
            ONE_OF,
        ),
        (lambda: fs.Precision(32), "precision: expected one of"),
        (lambda: fs.Precision("int8", scale=0.0), "scale: expected a number"),
        (lambda: fs.Precision("int8", scale=np.nan), "scale: expected a number"),
        (lambda: fs.Precision("float32", scale=1.0), "scale: expected none beside float32"),
        (lambda: fs.classify(LAYER, [[-1.0, -3.0]], within="int8"), "a scale of 0"),
        (lambda: fs.preimage(LAYER, x=[3e4, 3e4], within="float16"), "float16 holds, at most 65504"),
        (lambda: fs.preimage(LAYER, x=[1e5, 0.0], within="float16"), "an input or a weight of 1e.05"),
        (lambda: fs.preimage(LAYER, x=[1e38, 2e38], within="float32"), "float32 holds"),
        (lambda: fs.preimage(LAYER, y=[1.0, 2.0], within="float32"), "beside y"),
        (
            lambda: fs.classify(LAYER, np.ones((3, 2)), within=np.ones((2, 2))),
            "within: expected a number, or 2 of them",
        ),
        (lambda: fs.classify(LAYER, np.ones((3, 2)), within=-np.ones((3, 1))), "of at least 0, got -1"),
        (
            lambda: fs.classify(
                fs.ReLULayer(np.eye(2), injective=np.array([True, False])), [[1.0, 2.0]], within="int8"
            ),
            "functions are known",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_precisions_have_one_clear_error(ask: Any, said: str) -> None:
    with pytest.raises(fs.InputError, match=said) as caught:
        ask()
    assert "np." not in str(caught.value)


def test_each_sample_may_have_its_own() -> None:
    """As many numbers for each sample, or one: the same verdicts as one by one."""
    generator = np.random.default_rng(8)
    layer, X = fs.ReLULayer(generator.standard_normal((9, 3)) + 0.3, generator.random(9)), generator.random((7, 3))
    each = generator.choice([0.0, 0.25, 1.0, 2.0], (7, 9))
    judged = fs.classify(layer, X, within=each)
    assert judged.verify().all()
    for i, x in enumerate(X):
        alone = fs.preimage(layer, x=x, within=each[i])
        assert (alone.kind, alone.dimension) == (judged[i].kind, judged[i].dimension)
        assert (alone.positives, alone.saturated) == (judged.positives[i], judged.saturated[i])
        assert np.array_equal(np.broadcast_to(judged[i].within, 9), each[i])
    numbers = each[:, :1]
    one = fs.classify(layer, X, within=numbers)
    assert one.verify().all()
    assert [p.kind for p in one] == [
        fs.preimage(layer, x=x, within=e).kind for x, e in zip(X, numbers[:, 0], strict=True)
    ]
    assert len(set(one.kind)) > 1


def test_hostile_precisions_are_not_proved() -> None:
    """The checker reads two sides: never one without the other, none below zero, and inf says nothing."""
    p = fs.preimage(fs.ReLULayer(np.eye(2)), x=[1.25, 2.0], within=fs.Precision("int8", scale=1))
    question = in_numbers(p)
    assert not isinstance(question, str)
    system, claim = question[0], question[1].largest
    assert claim is not None
    assert claim.within.shape == (2, 2)

    def reason(within: Any) -> str:
        return prove(system, [replace(claim, within=within)])[0]

    assert reason(claim.within) == ""
    for within in (
        np.array([[0.0, 0.5], [0.5, 0.5]]),
        np.array([[0.5, 0.5], [0.0, 0.5]]),
        np.array([[0.5, -0.5], [0.5, 0.5]]),
        np.array([[0.5, np.nan], [0.5, 0.5]]),
        np.array([[0.5, np.inf], [0.5, 0.5]]),
        np.array([[0.5, 2.0], [0.5, 0.5]]),
        np.full((2, 2), np.inf),
        np.full((3, 2), 0.5),
        np.full((2, 3), 0.5),
        np.full((2, 2), 0.5, dtype=np.float32),
        np.full((1, 2, 2), 0.5),
        np.array([[0.5, 0.25], [np.inf, np.inf]]),
        np.array(0.5),
    ):
        assert reason(within), within
    assert reason(np.array([[0.5, 0.25], [7.0, 0.5]])) == ""
