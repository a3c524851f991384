"""The originals that readers attach to a network, and examples that are verified by them."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import fiberscope as fs
from feature_networks import NAMES, inputs, modules, network

BOX = fs.Box(0, 1)


@pytest.fixture
def onnx_file(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.standard_normal((4, 1, 3, 3)), "b": rng.standard_normal(4),
        "v": rng.standard_normal((5, 16)) / 4, "c": rng.standard_normal(5),
    }  # fmt: skip
    stored = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["z"], strides=[2, 2]),
        helper.make_node("Relu", ["z"], ["h"]),
        helper.make_node("Flatten", ["h"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "c"], ["y"], transB=1),
        helper.make_node("Relu", ["y"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5])],
        stored,
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("layer", [0, 1, "output"])
def test_onnxruntime_confirms_examples_of_an_onnx_model(onnx_file, layer):
    net = fs.load(onnx_file)
    (original,) = net.originals
    assert (original.name, original.arithmetic) == ("onnxruntime", "float32")
    x, target = inputs(net.input_shape, 2)
    e = fs.invariance_example(net, x, target, layer, BOX)
    assert e.pixels_changed > 0
    verification = e.verify()
    assert verification, verification.reason
    assert verification.reason == ""
    values = original.run(np.stack([e.source, e.x]))[net.stages[e.stage].origin].reshape(2, -1)
    assert np.abs(values[1] - values[0]).max() < 1e-5
    tampered = e.x.copy()
    tampered[0, 2, 2] = np.clip(tampered[0, 2, 2] + 0.25, 0, 1) - 0.125
    moved = original.run(np.stack([e.source, tampered]))[net.stages[e.stage].origin].reshape(2, -1)
    assert np.abs(moved[1] - moved[0]).max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_torch_modules_run_in_both_arithmetics(name):
    module, _ = modules()[name]
    net = network(name)
    assert [original.arithmetic for original in net.originals] == ["float32", "float64"]
    X = inputs(net.input_shape, 3)
    origin = net.stages[-1].origin
    with torch.no_grad():
        expected = module.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    single, double = (original.run(X)[origin].reshape(3, -1) for original in net.originals)
    assert single.dtype == np.float32
    assert single == pytest.approx(expected.reshape(3, -1), abs=1e-6)
    assert double == pytest.approx(net(X).reshape(3, -1), abs=1e-12)


def test_a_module_in_float64_has_one_original():
    module, shape = modules()["dense"]
    net = fs.from_torch(module.double().eval(), input_shape=shape)
    assert [original.arithmetic for original in net.originals] == ["float64"]


def test_originals_are_no_part_of_the_network(tmp_path):
    net = network("dense")
    bare = fs.Network(net.stages, net.input_shape)
    assert bare.originals == ()
    assert net.digest() == bare.digest()
    assert "original" not in str(net.structure())
    net.save(tmp_path / "net.safetensors")
    assert fs.load(tmp_path / "net.safetensors").originals == ()
    twin = copy.deepcopy(net)
    assert twin.originals == ()
    assert twin.digest() == net.digest()
    assert net.originals, "copying leaves the network as it is"
