"""Versions of the operators of ONNX, and operators that onnxruntime writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

import fiberscope as fs
from readers.onnx_models import model_of, written

RNG = np.random.default_rng(0)

Versions = list[tuple[str, int]]


def numbers(*shape: int) -> np.ndarray:
    """Random numbers in float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def layer(versions: Versions, *, shapes: tuple[int, int] = (4, 3)) -> ModelProto:
    """One layer, whose operators have these versions."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "product"), helper.make_node("Relu", ["h"], ["y"], "relu")]
    inputs, outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, size))
        for name, size in zip("xy", shapes, strict=True)
    )
    graph = helper.make_graph(nodes, "layer", [inputs], [outputs], [numpy_helper.from_array(numbers(*shapes), "w")])
    imports = [helper.make_opsetid(domain, version) for domain, version in versions]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


# ---- versions


@pytest.mark.parametrize(
    "versions",
    [
        [("", 17), ("", 17)],
        [("", 17), ("ai.onnx", 17)],
        [("ai.onnx", 13), ("", 13), ("ai.onnx", 13)],
        [("", 17), ("ai.onnx.ml", 3), ("ai.onnx.ml", 3), ("org.example", 1), ("org.example", 1)],
    ],
)
def test_versions_that_are_said_twice_are_one(versions: Versions, tmp_path: Path):
    model = layer(versions)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    X = RNG.standard_normal((2, 4))
    (weight,) = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    np.testing.assert_allclose(network(X), np.maximum(X @ weight, 0), rtol=1e-12, atol=1e-14)


def test_merged_models(tmp_path: Path):
    second = compose.add_prefix(layer([("", 17)], shapes=(3, 2)), "second_")
    merged = compose.merge_models(layer([("", 17)]), second, io_map=[("y", "second_x")])
    assert [entry.version for entry in merged.opset_import] == [17, 17]
    assert len(fs.load(written(merged, tmp_path / "m.onnx")).relu_layers) == 2


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ([("", 17), ("", 13)], "expected one version of the standard operators, got 13 and 17"),
        ([("", 17), ("ai.onnx", 13)], "expected one version of the standard operators, got 13 and 17"),
        ([("", 9), ("", 17), ("", 13), ("", 9)], "got 9 and 13 and 17; .*onnx.version_converter"),
        ([("", 17), ("ai.onnx.ml", 1), ("ai.onnx.ml", 3)], r"expected one version of the operators of ai\.onnx\.ml"),
    ],
)
def test_versions_that_differ(versions: Versions, message: str, tmp_path: Path):
    with pytest.raises(fs.ModelError, match=message):
        fs.load(written(layer(versions), tmp_path / "m.onnx"))


def test_functions_whose_model_says_its_version_twice(tmp_path: Path):
    model = layer([("", 17), ("ai.onnx", 17), ("own", 1), ("own", 1)])
    model.graph.node[1].op_type, model.graph.node[1].domain = "Positive", "own"
    body = [helper.make_node("Relu", ["a"], ["b"])]
    version = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Positive", ["a"], ["b"], body, version))
    assert len(fs.load(written(model, tmp_path / "m.onnx")).relu_layers) == 1


# ---- what onnxruntime writes


def optimised(level: str, folder: Path) -> Path:
    """A model as onnxruntime writes it once it has optimised it."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["g"], "dense"),
        helper.make_node("Relu", ["g"], ["y"]),
    ]
    constants = {"k": numbers(8, 3, 3, 3), "w": numbers(32, 5), "b": numbers(5)}
    path = written(model_of(nodes, (1, 3, 4, 4), constants), folder / "plain.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "m.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return folder / "m.onnx"


@pytest.mark.parametrize("operator", ["FusedConv", "FusedGemm", "FusedMatMul", "NhwcFusedConv"])
def test_each_operator_that_joins_others_is_known(operator: str, tmp_path: Path):
    node = helper.make_node(operator, ["x", "w"], ["y"], domain="com.microsoft")
    model = model_of([node], (1, 3, 4, 4), {"w": numbers(8, 3, 3, 3)})
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(fs.ModelError, match=f"{operator}.*ORT_ENABLE_BASIC"):
        fs.load(written(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize("level", ["ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_joined_operations_are_refused_with_what_to_do(level: str, tmp_path: Path):
    with pytest.raises(fs.ModelError, match=r"before, or have it written with .* = ORT_ENABLE_BASIC") as error:
        fs.load(optimised(level, tmp_path))
    assert any(name.startswith("fused dense (com.microsoft.FusedGemm") for name in error.value.unsupported)
    assert len(error.value.unsupported) > 1


def test_models_optimised_as_that_says_are_read(tmp_path: Path):
    network = fs.load(optimised("ORT_ENABLE_BASIC", tmp_path))
    X = numbers(2, 3, 4, 4)
    np.testing.assert_allclose(network(X), fs.load(tmp_path / "plain.onnx")(X), rtol=1e-12)
