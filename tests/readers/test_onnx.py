"""Models of ONNX: inputs, heads, notes, precision, and that a wrong conversion is noticed."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import fiberscope as fs
from fiberscope.readers.onnx import conversion as onnx_conversion
from readers.onnx_models import model_of, written

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    """Random numbers in float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    stored = {tensor.name for tensor in model.graph.initializer}
    (name,) = (value.name for value in session.get_inputs() if value.name not in stored)
    return session.run(None, {name: x})[0]


MLP = [
    helper.make_node("Gemm", ["x", "A", "a"], ["h"], "first", transB=1),
    helper.make_node("Relu", ["h"], ["r"], "relu"),
    helper.make_node("Gemm", ["r", "B", "b"], ["y"], "second", transB=1),
]
WEIGHTS = {"A": numbers(5, 4), "a": numbers(5), "B": numbers(3, 5), "b": numbers(3)}


def mlp(*more: onnx.NodeProto, shape: tuple[int | str | None, ...] = (1, 4), output: str = "y") -> onnx.ModelProto:
    """A network of two layers, and what follows it."""
    return model_of([*MLP, *more], shape, WEIGHTS, output=output)


# ---- real models

EXTERNAL = {
    "ACASXU_run2a_1_1_batch_2000": (6, (1, 1, 5), 13),
    "Convnet_avgpool": (1, (1, 28, 28), 4),
    "cifar_base_kw": (3, (3, 32, 32), 7),
    "mnist-net_256x2": (2, (784, 1), 5),
    "resnet_2b": (6, (3, 32, 32), 16),
    "test_small": (2, (1,), 5),
    "test_tiny": (1, (1,), 3),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_external_models(external: Path, name: str):
    path = external / "models" / f"{name}.onnx"
    layers, shape, places = EXTERNAL[name]
    network = fs.load(path)
    assert (len(network.relu_layers), network.input_shape) == (layers, shape)
    assert network.agreement is not None
    assert network.agreement.original == "onnxruntime"
    assert network.agreement.places == places == len(network.stages)  # every stage was compared
    assert network.agreement.units < 8
    model = onnx.load(path)
    X = np.random.default_rng(1).uniform(size=(6, *shape)).astype(np.float32)
    one = (lambda x: x) if name.startswith("test") else (lambda x: x[None])
    theirs = np.stack([run(model, one(x)).reshape(network.output_shape) for x in X])
    np.testing.assert_allclose(network(X), theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_every_external_model_is_in_the_table(external: Path):
    assert {path.stem for path in (external / "models").glob("*.onnx")} == EXTERNAL.keys()


# ---- the input


@pytest.mark.parametrize(
    ("dims", "given", "shape"),
    [
        ((1, 4), None, (4,)),
        (("batch", 4), None, (4,)),
        ((None, 4), None, (4,)),
        ((-1, 4), (4,), (4,)),
        ((1, 1, 4), None, (1, 4)),
        (("batch", "length", 4), (1, 4), (1, 4)),
        ((4,), None, (4,)),
        (("features",), 4, (4,)),
        ((2, 4), None, (2, 4)),
    ],
)
def test_which_axis_counts_the_samples(
    dims: tuple[int | str | None, ...], given: int | tuple[int, ...] | None, shape: tuple[int, ...], tmp_path: Path
):
    model = model_of([helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Neg", ["r"], ["y"])], dims, {})
    network = fs.load(written(model, tmp_path / "m.onnx"), input_shape=given)
    assert network.input_shape == network.output_shape == shape
    X = RNG.standard_normal((3, *shape))
    np.testing.assert_array_equal(network(X), -np.maximum(X, 0))
    assert any("the whole tensor (2, 4) is one sample" in note for note in network.notes) == (dims == (2, 4))


def test_a_whole_tensor_as_one_sample_mixes_its_rows(tmp_path: Path):
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)]
    network = fs.load(written(model_of(nodes, (3, 4), {"axes": np.array([0])}), tmp_path / "m.onnx"))
    X = RNG.standard_normal((2, 3, 4))
    np.testing.assert_allclose(network(X), X.sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize(
    ("dims", "given", "message"),
    [
        (("batch", "length", 4), None, r"leaves the shape of a sample open, \(\?, 4\); pass it as"),
        (("batch", 4), (5,), r"expected an input_shape that fits \(4,\), got \(5,\)$"),
        ((1, 4), (1, 4), "expected an input_shape that fits"),
        ((1, 0), None, "expected positive sizes"),
        ((1, 2**30), None, "expected at most"),
    ],
)
def test_sizes_that_do_not_fit(
    dims: tuple[int | str, ...], given: tuple[int, ...] | None, message: str, tmp_path: Path
):
    path = written(model_of([helper.make_node("Relu", ["x"], ["y"])], dims, {}), tmp_path / "m.onnx")
    with pytest.raises(fs.ModelError, match=message):
        fs.load(path, input_shape=given)


@pytest.mark.parametrize("given", [0, (0, 4), (-1,)])
def test_input_shapes_that_are_none(given: int | tuple[int, ...], tmp_path: Path):
    path = written(mlp(), tmp_path / "m.onnx")
    with pytest.raises(fs.InputError, match="positive integers"):
        fs.load(path, input_shape=given)


def test_several_inputs_or_outputs_are_named(tmp_path: Path):
    model = mlp()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    with pytest.raises(fs.ModelError, match="got 2 \\('x', 'more'\\)"):
        fs.load(written(model, tmp_path / "m.onnx"))
    model = mlp()
    model.graph.output.append(helper.make_empty_tensor_value_info("h"))
    with pytest.raises(fs.ModelError, match="got 2 \\('y', 'h'\\)"):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_an_input_of_whole_numbers(tmp_path: Path):
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], (1, 4), {}, kind=TensorProto.INT32)
    with pytest.raises(fs.ModelError, match="'x': expected a tensor of floating-point numbers, got INT32"):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_initializers_that_are_inputs_as_well_are_constants(tmp_path: Path):
    model = mlp()
    for name, array in WEIGHTS.items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    assert fs.load(written(model, tmp_path / "m.onnx")).input_shape == (4,)


# ---- what is read, left off, and noted


def test_stages_are_named_and_compared(tmp_path: Path):
    network = fs.load(written(mlp(), tmp_path / "m.onnx"))
    assert [(stage.name, stage.origin) for stage in network.stages] == [("first", "h"), ("relu", "r"), ("second", "y")]
    assert network.notes == ()


def test_names_of_operations_that_are_not_unique(tmp_path: Path):
    nodes = [helper.make_node(node.op_type, node.input, node.output, "same", **attributes(node)) for node in MLP]
    network = fs.load(written(model_of(nodes, (1, 4), WEIGHTS), tmp_path / "m.onnx"))
    assert [stage.name for stage in network.stages] == ["same", "same#2", "same#3"]
    nameless = [helper.make_node(node.op_type, node.input, node.output, **attributes(node)) for node in MLP]
    network = fs.load(written(model_of(nameless, (1, 4), WEIGHTS), tmp_path / "m.onnx"))
    assert [stage.name for stage in network.stages] == ["Gemm_0", "Relu_1", "Gemm_2"]


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


@pytest.mark.parametrize("head", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("behind", [[], ["Identity"], ["Flatten", "LogSoftmax"]])
def test_a_head_is_left_off(head: str, behind: list[str], tmp_path: Path):
    names = ["y", *(f"z{i}" for i in range(len(behind) + 1))]
    more = [helper.make_node(kind, [names[i]], [names[i + 1]], f"head{i}") for i, kind in enumerate([head, *behind])]
    network = fs.load(written(mlp(*more, output=names[-1]), tmp_path / "m.onnx"))
    assert f"head0: the {head.lower()} at the end is left off; outputs are its inputs" in network.notes
    X = RNG.standard_normal((3, 4))
    np.testing.assert_array_equal(network(X), fs.load(written(mlp(), tmp_path / "n.onnx"))(X))


def test_a_model_that_is_only_a_head(tmp_path: Path):
    network = fs.load(written(model_of([helper.make_node("Softmax", ["x"], ["y"])], (1, 4), {}), tmp_path / "m.onnx"))
    X = RNG.standard_normal((3, 4))
    np.testing.assert_array_equal(network(X), X)


def test_a_softmax_in_the_middle_is_refused(tmp_path: Path):
    more = [helper.make_node("Softmax", ["y"], ["s"], "inner"), helper.make_node("Relu", ["s"], ["z"])]
    with pytest.raises(fs.ModelError, match="supported only at the end") as error:
        fs.load(written(mlp(*more, output="z"), tmp_path / "m.onnx"))
    assert error.value.unsupported == ("inner (Softmax: supported only at the end)",)


def test_what_the_output_does_not_need_is_not_read(tmp_path: Path):
    more = [helper.make_node("NonMaxSuppression", ["h", "h"], ["boxes"]), helper.make_node("Exp", ["boxes"], ["e"])]
    network = fs.load(written(mlp(*more), tmp_path / "m.onnx"))
    assert len(network.stages) == 3


def test_operations_in_another_order_are_sorted(tmp_path: Path):
    model = mlp()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert [stage.name for stage in network.stages] == ["first", "relu", "second"]


def test_batch_normalisations_and_rounded_factors_are_noted(tmp_path: Path):
    constants = {name: np.abs(numbers(3)) + 1 for name in ("scale", "shift", "mean", "var")} | {
        "c": numbers(2, 3, 3, 3)
    }
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["k"], "conv"),
        helper.make_node("Relu", ["k"], ["r"], "relu"),
        helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "var"], ["n"], "norm"),
        helper.make_node("Conv", ["n", "c"], ["m"], "conv2"),
        helper.make_node("Add", ["m", "r"], ["s"], "sum"),
        helper.make_node("AveragePool", ["s"], ["p"], "pool", kernel_shape=[3, 3]),
        helper.make_node("Div", ["p", "three"], ["y"], "third"),
    ]
    constants["three"] = np.array(3, dtype=np.float32)
    notes = fs.load(written(model_of(nodes, (1, 3, 6, 6), constants), tmp_path / "m.onnx")).notes
    assert any("batch normalisations are written as factors and constants, rounded to float64" in n for n in notes)
    assert any("pool: averages are sums with weights 1 / count, rounded to float64" in note for note in notes)
    assert any("third: it divides by constants; their reciprocals are rounded" in note for note in notes)


def test_factors_that_round_nothing_are_not_noted(tmp_path: Path):
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Div", ["p", "eight"], ["y"], "part"),
    ]
    constants = {"eight": np.array(8, dtype=np.float32)}
    assert fs.load(written(model_of(nodes, (1, 3, 6, 6), constants), tmp_path / "m.onnx")).notes == ()


# ---- layouts and folded constants


def test_channels_last(tmp_path: Path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["u"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"], "last"),
    ]
    model = model_of(nodes, ("n", 4, 5, 3), {"w": numbers(2, 3, 3, 3), "m": numbers(40, 2)})
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert [stage.name for stage in network.stages] == ["conv", "relu", "last"]
    assert network.input_shape == (4, 5, 3)
    X = numbers(3, 4, 5, 3)
    np.testing.assert_allclose(network(X), run(model, X), rtol=1e-4, atol=1e-4)


def test_a_flattening_that_is_computed_from_the_shape(tmp_path: Path):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["f"]),
        helper.make_node("Mul", ["w", "w"], ["squared"]),
        helper.make_node("MatMul", ["f", "squared"], ["y"]),
    ]
    constants = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1]), "w": numbers(12, 2)}
    model = model_of(nodes, ("n", 3, 4), constants)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    X = numbers(3, 3, 4)
    np.testing.assert_allclose(network(X), X.reshape(3, 12) @ constants["w"] ** 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "constants", "opset", "expected"),
    [
        ([helper.make_node("Squeeze", ["x"], ["y"], axes=[1])], {}, 11, lambda x: x[:, 0]),
        ([helper.make_node("Squeeze", ["x", "a"], ["y"])], {"a": np.array([1])}, 13, lambda x: x[:, 0]),
        ([helper.make_node("Unsqueeze", ["x"], ["y"], axes=[2])], {}, 11, lambda x: x[:, :, None]),
        ([helper.make_node("Unsqueeze", ["x", "a"], ["y"])], {"a": np.array([-1])}, 13, lambda x: x[..., None]),
        ([helper.make_node("Slice", ["x"], ["y"], starts=[1], ends=[9], axes=[2])], {}, 9, lambda x: x[:, :, 1:]),
        (
            [helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["y"])],
            {"s": np.array([-1]), "e": np.array([-9]), "a": np.array([3]), "t": np.array([-2])},
            13,
            lambda x: x[..., ::-2],
        ),
        (
            [helper.make_node("Pad", ["x"], ["y"], pads=[0, 0, 1, 0, 0, 0, 0, 2], value=1.5)],
            {},
            10,
            lambda x: np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=1.5),
        ),
        (
            [helper.make_node("Pad", ["x", "p", "", "a"], ["y"], mode="reflect")],
            {"p": np.array([1, 2]), "a": np.array([-1])},
            18,
            lambda x: np.pad(x, [(0, 0), (0, 0), (0, 0), (1, 2)], mode="reflect"),
        ),
        (
            [helper.make_node("Pad", ["x", "p"], ["y"])],
            {"p": np.array([0, 0, 0, -1, 0, 0, 1, -1])},
            18,
            lambda x: np.pad(x[..., 1:-1], [(0, 0), (0, 0), (0, 1), (0, 0)]),
        ),
        ([helper.make_node("Clip", ["x"], ["y"], min=-0.5, max=0.25)], {}, 10, lambda x: np.clip(x, -0.5, 0.25)),
        ([helper.make_node("Clip", ["x"], ["y"], min=0.0)], {}, 10, lambda x: np.maximum(x, 0)),
        (
            [helper.make_node("Clip", ["x", "", "h"], ["y"])],
            {"h": np.array(0.25, dtype=np.float32)},
            13,
            lambda x: np.minimum(x, 0.25),
        ),
        (
            [helper.make_node("Clip", ["x", "l"], ["y"])],
            {"l": np.array(-0.5, dtype=np.float32)},
            13,
            lambda x: np.maximum(x, -0.5),
        ),
        ([helper.make_node("ReduceSum", ["x"], ["y"], axes=[2])], {}, 11, lambda x: x.sum(axis=2, keepdims=True)),
        (
            [helper.make_node("ReduceMean", ["x", "a"], ["y"], keepdims=0)],
            {"a": np.array([1, 3])},
            18,
            lambda x: x.mean(axis=(1, 3)),
        ),
        (
            [
                helper.make_node("Split", ["x"], ["p", "q"], axis=3, split=[1, 4]),
                helper.make_node("ReduceMax", ["q"], ["m"], axes=[3]),
                helper.make_node("Sub", ["p", "m"], ["y"]),
            ],
            {},
            11,
            lambda x: x[..., :1] - x[..., 1:].max(axis=3, keepdims=True),
        ),
        (
            [
                helper.make_node("Split", ["x"], ["p", "q", "o"], axis=3, num_outputs=3),
                helper.make_node("Concat", ["o", "c", "p"], ["y"], axis=3),
            ],
            {"c": np.full((1, 1, 4, 1), 7, dtype=np.float32)},
            18,
            lambda x: np.concatenate([x[..., 4:], np.full((*x.shape[:3], 1), 7), x[..., :2]], axis=3),
        ),
        (
            [helper.make_node("Sum", ["x", "c", "x"], ["y"])],
            {"c": np.arange(5, dtype=np.float32)},
            13,
            lambda x: 2 * x + np.arange(5),
        ),
        ([helper.make_node("Sub", ["c", "x"], ["y"])], {"c": np.ones(1, np.float32)}, 13, lambda x: 1 - x),
        (
            [helper.make_node("GatherND", ["x", "i"], ["y"])],
            {"i": np.array([[[0, 0, 3, -1], [0, 0, 1, 2]]])},
            13,
            lambda x: np.stack([x[:, 0, 3, -1], x[:, 0, 1, 2]], axis=1),
        ),
        (
            [helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=1)],
            {"i": np.array([[[0, 2], [0, -4]]])},
            12,
            lambda x: np.stack([x[:, 0, 2], x[:, 0, 0]], axis=1),
        ),
        (
            [helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=2)],
            {"i": np.array([[[[1, 4], [2, 0]]]])},
            13,
            lambda x: np.stack([x[:, :, 1, 4], x[:, :, 2, 0]], axis=2),
        ),
        (
            [helper.make_node("GatherElements", ["x", "i"], ["y"], axis=-1)],
            {"i": np.array([[[[4, -1], [0, 1], [2, 2], [-5, 3]]]])},
            13,
            lambda x: np.take_along_axis(x, np.array([[[[4, 4], [0, 1], [2, 2], [0, 3]]]]), axis=3),
        ),
        (
            [helper.make_node("Max", ["x", "c"], ["y"])],
            {"c": np.linspace(-1, 1, 5).astype(np.float32)},
            13,
            lambda x: np.maximum(x, np.linspace(-1, 1, 5).astype(np.float32)),
        ),
        (
            [helper.make_node("Min", ["n", "x", "c"], ["y"]), helper.make_node("Neg", ["x"], ["n"])],
            {"c": np.array(-0.25, dtype=np.float32)},
            13,
            lambda x: np.minimum(np.minimum(-x, x), -0.25),
        ),
        (
            [helper.make_node("MatMul", ["w", "x"], ["y"])],
            {"w": np.arange(12, dtype=np.float32).reshape(3, 4)},
            13,
            lambda x: np.arange(12).reshape(3, 4) @ x,
        ),
        (
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            {"w": np.arange(10, dtype=np.float32).reshape(1, 1, 5, 2)},
            13,
            lambda x: x @ np.arange(10).reshape(5, 2),
        ),
        ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones(5, np.float32)}, 13, lambda x: x.sum(axis=3)),
        ([helper.make_node("MatMul", ["w", "x"], ["y"])], {"w": np.ones(4, np.float32)}, 13, lambda x: x.sum(axis=2)),
        (
            [
                helper.make_node("Squeeze", ["x", "a"], ["m"]),
                helper.make_node("Gemm", ["w", "m", "c"], ["y"], transA=1, transB=1, alpha=0.5, beta=3.0),
            ],
            {"a": np.array([0, 1]), "w": np.arange(10, dtype=np.float32).reshape(5, 2), "c": np.ones(4, np.float32)},
            13,
            lambda x: 0.5 * np.arange(10).reshape(5, 2).T @ np.swapaxes(x[:, 0], 1, 2) + 3,
        ),
    ],
)
def test_operators(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], opset: int, expected: object, tmp_path: Path
):
    model = model_of(nodes, (1, 1, 4, 5), constants, opset=opset)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    X = RNG.standard_normal((3, 1, 4, 5))
    values = expected(X)  # type: ignore[operator]
    np.testing.assert_allclose(network(X).reshape(values.shape), values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "low", "high"), [("low", 0.5, np.inf), ("high", -np.inf, 0.5)])
def test_a_bound_alone_is_a_clip_that_can_be_judged(name: str, low: float, high: float, tmp_path: Path):
    inputs = ["h", "bound"] if name == "low" else ["h", "", "bound"]
    nodes = [
        helper.make_node("Gemm", ["x", "A", "a"], ["h"], "first", transB=1),
        helper.make_node("Clip", inputs, ["y"], "clip"),
    ]
    constants = {"A": WEIGHTS["A"], "a": WEIGHTS["a"], "bound": np.array(0.5, dtype=np.float32)}
    network = fs.load(written(model_of(nodes, (1, 4), constants), tmp_path / "m.onnx"))
    (layer,) = network.relu_layers
    np.testing.assert_array_equal(layer.weight, WEIGHTS["A"].astype(np.float64))  # type: ignore[union-attr]
    np.testing.assert_array_equal(layer.bias, WEIGHTS["a"].astype(np.float64))  # type: ignore[union-attr]
    assert (set(layer.low), set(layer.high)) == ({low}, {high})  # type: ignore[union-attr]


# ---- precision


@pytest.mark.parametrize(
    ("kind", "dtype"), [(TensorProto.FLOAT16, np.float16), (TensorProto.BFLOAT16, ml_dtypes.bfloat16)]
)
def test_narrow_numbers_are_exact(kind: int, dtype: type, tmp_path: Path):
    narrow = {name: array.astype(dtype) for name, array in WEIGHTS.items()}
    network = fs.load(written(model_of(MLP, (1, 4), narrow, kind=kind), tmp_path / "m.onnx"))
    layer = network.relu_layers[0]
    np.testing.assert_array_equal(layer.weight, narrow["A"].astype(np.float64))  # type: ignore[union-attr]
    name = np.dtype(dtype).name
    assert network.notes == (f"numbers in {name} are taken as they are, but results are not rounded to {name}",)
    assert network.agreement is not None
    assert network.agreement.places == 3


def test_mixed_precision(tmp_path: Path):
    half = {name: array.astype(np.float16) for name, array in WEIGHTS.items()}
    inner = [helper.make_node(n.op_type, n.input, n.output, n.name, **attributes(n)) for n in MLP]
    inner[0].input[0], inner[2].output[0] = "x16", "y16"
    before = helper.make_node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16)
    after = helper.make_node("Cast", ["y16"], ["y"], to=TensorProto.FLOAT)
    network = fs.load(written(model_of([before, *inner, after], (1, 4), half), tmp_path / "m.onnx"))
    assert [stage.name for stage in network.stages] == ["first", "relu", "second"]
    assert "results are not rounded to float16" in network.notes[0]


def test_constants_that_the_model_rounds_are_refused(tmp_path: Path):
    nodes = [
        helper.make_node("Cast", ["w"], ["w16"], "rounding", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["w16"], ["w32"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "w32"], ["y"]),
    ]
    with pytest.raises(fs.ModelError, match=r"rounding \(Cast: it rounds constants to FLOAT16"):
        fs.load(written(model_of(nodes, (1, 4), {"w": np.float32([0.1])}), tmp_path / "m.onnx"))
    exact = fs.load(written(model_of(nodes, (1, 4), {"w": np.float32([0.5])}), tmp_path / "m.onnx"))
    np.testing.assert_array_equal(exact([[1.0, 2, 3, 4]]), [[0.5, 1, 1.5, 2]])


def test_double_precision(tmp_path: Path):
    double = {name: RNG.standard_normal(array.shape) for name, array in WEIGHTS.items()}
    network = fs.load(written(model_of(MLP, (1, 4), double, kind=TensorProto.DOUBLE), tmp_path / "m.onnx"))
    np.testing.assert_array_equal(network.relu_layers[0].weight, double["A"])  # type: ignore[union-attr]
    assert network.agreement is not None
    assert network.agreement.units < 8  # units of double precision: 2**-53


def test_what_onnxruntime_does_not_run_is_run_by_onnx(tmp_path: Path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node("Relu", ["c"], ["y"])]
    constants = {"w": RNG.standard_normal((2, 1, 3, 3))}  # onnxruntime has no convolution in double precision
    network = fs.load(written(model_of(nodes, (1, 1, 5, 5), constants, kind=TensorProto.DOUBLE), tmp_path / "m.onnx"))
    assert network.agreement is not None
    assert network.agreement.original == "onnx's reference evaluator"


# ---- what is refused


def test_all_unsupported_operators_are_named(tmp_path: Path):
    more = [
        helper.make_node("LRN", ["y"], ["l"], "normalise", size=3),
        helper.make_node("Exp", ["l"], ["e"]),
        helper.make_node("Twist", ["e"], ["t"], "custom", domain="org.example"),
        helper.make_node("Relu", ["t"], ["z"]),
    ]
    with pytest.raises(fs.ModelError) as error:
        fs.load(written(mlp(*more, output="z"), tmp_path / "m.onnx"))
    assert error.value.unsupported == ("normalise (LRN)", "Exp_4 (Exp)", "custom (org.example.Twist)")
    assert all(name in str(error.value) for name in error.value.unsupported)


def test_unsupported_attributes_are_named_as_well_behind_one_another(tmp_path: Path):
    constants = {"w": numbers(2, 3, 3, 3), "v": numbers(2, 2, 3, 3), "one": np.float32([1])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first", auto_pad="SAME", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Div", ["one", "b"], ["c"], "inverse"),
        helper.make_node("Conv", ["c", "v"], ["d"], "second", groups=1),
        helper.make_node("Conv", ["d", "w"], ["e"], "third"),
        helper.make_node("Mul", ["e", "e"], ["y"], "square"),
    ]
    with pytest.raises(fs.ModelError) as error:
        fs.load(written(model_of(nodes, (1, 3, 8, 8), constants), tmp_path / "m.onnx"))
    named = [text.split(" ")[0] for text in error.value.unsupported]
    assert named[:3] == ["first", "inverse", "second"]
    assert "auto_pad is SAME" in error.value.unsupported[0]
    assert "groups is not one of version 17" in error.value.unsupported[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path):
    broken = {**WEIGHTS, "B": WEIGHTS["B"].copy()}
    broken["B"][1, 2] = value
    with pytest.raises(fs.ModelError, match=r"second \(Gemm: its input 'B' holds NaN or infinite numbers\)"):
        fs.load(written(model_of(MLP, (1, 4), broken), tmp_path / "m.onnx"))


def test_operators_that_a_version_does_not_have(tmp_path: Path):
    model = model_of([helper.make_node("Celu", ["x"], ["y"], "celu")], (1, 4), {}, opset=9)
    with pytest.raises(fs.ModelError, match="no such operator in version 9") as error:
        fs.load(written(model, tmp_path / "m.onnx"))
    assert error.value.unsupported == ("celu (Celu: there is no such operator in version 9)",)


@pytest.mark.parametrize(
    ("indices", "attributes"),
    [([[0, 0, 4]], {}), ([[0, 0, 0, 0, 0]], {}), ([[0, 1]], {"batch_dims": 2}), ([[0, 0], [0, 0]], {"batch_dims": 1}),
     ([0.0, 1.0], {})],
)  # fmt: skip
def test_indices_that_do_not_fit(indices: list[object], attributes: dict[str, int], tmp_path: Path):
    node = helper.make_node("GatherND", ["x", "i"], ["y"], "places", **attributes)
    model = model_of([node], (1, 2, 4, 5), {"i": np.array(indices)}, opset=13)
    with pytest.raises(fs.ModelError, match=r"places \(GatherND: "):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_numbers_that_overflow(tmp_path: Path):
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["h"]),
        *(helper.make_node("Mul", ["h", "c"] if i == 0 else [f"h{i}", "c"], [f"h{i + 1}"]) for i in range(9)),
        helper.make_node("Neg", ["h9"], ["y"]),
    ]
    huge = {"c": np.array(1e40)}
    with pytest.raises(fs.ModelError):
        fs.load(written(model_of(nodes, (1, 4), huge, kind=TensorProto.DOUBLE), tmp_path / "m.onnx"))


def test_a_constant_output(tmp_path: Path):
    model = model_of([helper.make_node("Identity", ["c"], ["y"])], (1, 4), {"c": numbers(1, 4)})
    with pytest.raises(fs.ModelError, match="the output 'y' does not depend on the input 'x'"):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_results_that_are_not_supported_but_used(tmp_path: Path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["m", "places"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Cast", ["places"], ["p"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["m", "p"], ["y"]),
    ]
    with pytest.raises(fs.ModelError, match=r"pool \(MaxPool: its result 'places' is used\)"):
        fs.load(written(model_of(nodes, (1, 1, 4, 4), {}), tmp_path / "m.onnx"))


# ---- wrong conversions


@pytest.mark.parametrize(
    ("operator", "wrong", "place"),
    [
        ("Relu", lambda op: op.value(), "second"),
        ("Relu", lambda op: op.builder.scaled(op.name, op.builder.relu(op.part("r"), op.value()), 1.0001), "second"),
        ("Gemm", lambda op: op.builder.dense(op.name, op.value(), op.numbers(1)), "first"),
    ],
)
def test_a_wrong_conversion_is_noticed(
    operator: str, wrong: object, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setitem(onnx_conversion.OPERATORS, operator, wrong)  # type: ignore[arg-type]
    with pytest.raises(fs.ModelError, match=f"the first difference is at '{place}'"):
        fs.load(written(mlp(), tmp_path / "m.onnx"))


def test_a_wrong_constant_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    nodes = [helper.make_node("Sqrt", ["c"], ["root"]), helper.make_node("Mul", ["x", "root"], ["y"], "scaling")]
    path = written(model_of(nodes, (1, 4), {"c": np.float32([2.0])}), tmp_path / "m.onnx")
    fs.load(path)
    monkeypatch.setattr(onnx_conversion, "folded", lambda op, node, narrow: (op.constant(0),))
    with pytest.raises(fs.ModelError, match="the first difference is at 'scaling'"):
        fs.load(path)
