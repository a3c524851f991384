"""Weights of ONNX models that are stored as small numbers with scales."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import fiberscope as fs
from readers.onnx_models import written

RNG = np.random.default_rng(0)
ROWS, COLUMNS, BLOCK = 6, 4, 3

TYPES = {
    "INT8": (10, np.int8),
    "UINT8": (10, np.uint8),
    "INT32": (10, np.int32),
    "FLOAT8E4M3FN": (19, ml_dtypes.float8_e4m3fn),
    "FLOAT8E5M2": (19, ml_dtypes.float8_e5m2),
    "INT4": (21, ml_dtypes.int4),
    "UINT4": (21, ml_dtypes.uint4),
    "INT16": (21, np.int16),
    "UINT16": (21, np.uint16),
    "FLOAT4E2M1": (23, ml_dtypes.float4_e2m1fn),
}
"""Types of weights, and the first version of DequantizeLinear that takes them."""

SCALES = {
    "tensor": (10, (), lambda scale: scale),
    "rows": (13, (ROWS,), lambda scale: scale[:, None]),
    "columns": (13, (COLUMNS,), lambda scale: scale),
    "blocks": (21, (ROWS // BLOCK, COLUMNS), lambda scale: np.repeat(scale, BLOCK, axis=0)),
}
"""What has a scale of its own: the first version that knows it, their shape, and how they belong to weights."""

ATTRIBUTES = {
    "tensor": {}, "rows": {"axis": 0}, "columns": {"axis": 1}, "blocks": {"axis": 0, "block_size": BLOCK}
}  # fmt: skip


def quantised(
    kind: str, shared: str, version: int, folder: Path, *, has_zero: bool = True
) -> tuple[fs.Network, np.ndarray]:
    """A network with such weights, and these in float64."""
    is_whole = not kind.startswith("FLOAT")
    dtype = TYPES[kind][1]
    low = 0 if kind.startswith("U") else -4
    stored = RNG.integers(low, 5, size=(ROWS, COLUMNS)).astype(np.float32).astype(dtype)
    _, shape, spread = SCALES[shared]
    scale = RNG.uniform(0.1, 1, size=shape).astype(np.float32)
    zero = RNG.integers(max(low, -2), 3, size=shape) if is_whole and kind != "INT32" and has_zero else np.zeros(shape)
    names = {"stored": stored, "scale": np.asarray(scale), "zero": np.asarray(zero).astype(np.float32).astype(dtype)}
    inputs = list(names) if has_zero else list(names)[:2]
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["w"], "weights", **ATTRIBUTES[shared]),
        helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    tensors = [
        helper.make_tensor(name, getattr(TensorProto, kind), array.shape, array.astype(np.float32).ravel())
        if name != "scale"
        else numpy_helper.from_array(array, name)
        for name, array in names.items()
        if name in inputs
    ]
    graph = helper.make_graph(
        nodes, "quantised", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, ROWS))],
        [helper.make_empty_tensor_value_info("y")], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=11)
    weights = (stored.astype(np.float64) - spread(zero.astype(np.float64))) * spread(scale.astype(np.float64))
    return fs.load(written(model, folder / "m.onnx")), weights


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("shared", SCALES)
@pytest.mark.parametrize("kind", TYPES)
def test_weights_of_all_types_in_all_versions(kind: str, shared: str, tmp_path: Path):
    first = max(TYPES[kind][0], SCALES[shared][0])
    for version in (version for version in (10, 13, 17, 19, 21, 23, 25) if version >= first):
        network, weights = quantised(kind, shared, version, tmp_path)
        X = RNG.standard_normal((3, ROWS))
        np.testing.assert_allclose(network(X), np.maximum(X @ weights, 0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("version", [10, 13, 21])
def test_weights_without_a_zero_point(version: int, tmp_path: Path):
    network, weights = quantised("INT8", "tensor", version, tmp_path, has_zero=False)
    X = RNG.standard_normal((3, ROWS))
    np.testing.assert_allclose(network(X), np.maximum(X @ weights, 0), rtol=1e-6, atol=1e-6)


def test_a_type_that_a_version_does_not_have(tmp_path: Path):
    with pytest.raises(fs.ModelError):
        quantised("INT4", "tensor", 13, tmp_path)
