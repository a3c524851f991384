"""Models of ONNX that are written for a fixed number of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import fiberscope as fs
from readers.onnx_models import model_of, written

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    """Random numbers in float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


SAMPLES_OF_64 = "input 'x' has a fixed first axis of 64, which is read as that of the samples"


def convolutional(batch: int, *between: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """A convolutional network that is written for a batch; ``between`` takes c, and gives d."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        *(between or [helper.make_node("Relu", ["c"], ["d"])]),
        helper.make_node("Reshape", ["d", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], "last"),
    ]
    flat = np.array([batch, -1])
    return model_of(nodes, (batch, 3, 4, 4), {"k": numbers(2, 3, 3, 3), "w": numbers(8, 5), "flat": flat} | constants)


@pytest.mark.parametrize("given", [None, (3, 4, 4)])
@pytest.mark.parametrize("batch", [2, 8, 64])  # 2 and 8 divide the eight numbers that are flattened
def test_a_fixed_batch_is_read_as_samples(batch: int, given: tuple[int, ...] | None, tmp_path: Path):
    model = convolutional(batch)
    network = fs.load(written(model, tmp_path / "m.onnx"), input_shape=given)
    assert network.input_shape == (3, 4, 4)
    assert network.notes[0].startswith(SAMPLES_OF_64.replace("64", str(batch)))
    X = numbers(batch, 3, 4, 4)
    np.testing.assert_allclose(network(X), run(model, X), rtol=1e-4, atol=1e-4)
    (original,) = network.originals
    theirs = original.run(X[:1].astype(np.float64))[network.stages[-1].origin]
    np.testing.assert_allclose(theirs, run(model, X)[:1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("batch", [2, 64])
def test_sizes_that_are_written_for_a_batch_are_those_of_one_sample(batch: int, mode: str, tmp_path: Path):
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        helper.make_node("Resize", ["c", "", "", "sizes"], ["r"], "resize", mode=mode),
        helper.make_node("ReduceMean", ["r"], ["m"], "mean", axes=[2, 3], keepdims=1),
        helper.make_node("Expand", ["m", "shape"], ["e"], "expand"),
        helper.make_node("Add", ["r", "e"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    sizes = np.array([batch, 2, 4, 5])
    model = model_of(nodes, (batch, 3, 4, 4), {"k": numbers(2, 3, 3, 3), "sizes": sizes, "shape": sizes})
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert network.input_shape == (3, 4, 4)
    X = numbers(batch, 3, 4, 4)
    np.testing.assert_allclose(network(X), run(model, X), rtol=1e-4, atol=1e-4)


def test_a_fixed_batch_may_be_one_sample(tmp_path: Path):
    nodes = [helper.make_node("Gemm", ["x", "A"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    path = written(model_of(nodes, (2, 4), {"A": numbers(4, 3)}), tmp_path / "m.onnx")
    assert fs.load(path).input_shape == (4,)
    assert fs.load(path, input_shape=(2, 4)).input_shape == (2, 4)
    with pytest.raises(fs.ModelError, match=r"expected an input_shape that fits \(4,\), got \(5,\)$"):
        fs.load(path, input_shape=5)
    with pytest.raises(fs.ModelError, match=r"got \(1, 4\); leave out the axis .*: input_shape=\(4,\)$"):
        fs.load(path, input_shape=(1, 4))


def test_samples_may_change_places_at_the_very_end(tmp_path: Path):
    """Behind the last stage, where a single sample would stay where it is."""
    nodes = [
        helper.make_node("Gemm", ["x", "A"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Split", ["r"], ["p", "q"], axis=0), helper.make_node("Concat", ["q", "p"], ["y"], axis=0),
    ]  # fmt: skip
    model = model_of(nodes, (4, 3), {"A": numbers(3, 2)})
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert network.input_shape == (4, 3)
    x = numbers(4, 3)
    np.testing.assert_allclose(network(x[None])[0], run(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "between",
    [
        [helper.make_node("ReduceMean", ["c"], ["m"], axes=[0]), helper.make_node("Sub", ["c", "m"], ["d"])],
        [helper.make_node("Gather", ["c", "shifted"], ["d"], axis=0)],
        [helper.make_node("Add", ["c", "each"], ["d"])],
        [helper.make_node("ReduceMax", ["c"], ["m"], axes=[0]), helper.make_node("Max", ["c", "m"], ["d"])],
    ],
)
def test_a_fixed_batch_whose_samples_are_mixed_is_one_sample(between: list[onnx.NodeProto], tmp_path: Path):
    """Also where rows only change places, or each has constants of its own."""
    model = convolutional(3, *between, shifted=np.array([1, 2, 0]), each=numbers(3, 2, 2, 2))
    stored = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in stored]:
        model.graph.initializer.remove(tensor)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert network.input_shape == (3, 3, 4, 4)
    assert network.notes[0].endswith("the whole tensor (3, 3, 4, 4) is one sample")
    X = numbers(2, 3, 3, 4, 4)
    np.testing.assert_allclose(network(X), np.stack([run(model, x) for x in X]), rtol=1e-4, atol=1e-4)
    with pytest.raises(fs.ModelError):
        fs.load(tmp_path / "m.onnx", input_shape=(3, 4, 4))


def test_a_fixed_batch_that_cannot_be_read_is_explained(tmp_path: Path):
    """Constants of each sample's own forbid to read samples, and all together are too many numbers."""
    nodes = [
        helper.make_node("Gemm", ["x", "A"], ["h"]), helper.make_node("Add", ["h", "b"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]  # fmt: skip
    model = model_of(nodes, (64, 1200), {"A": numbers(1200, 900), "b": numbers(64, 900)})
    with pytest.raises(fs.ModelError, match=r"entries.*if it counts samples, export .*\{'x': \{0: 'batch'\}\}"):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_what_is_not_supported_is_said_without_the_batch(tmp_path: Path):
    model = convolutional(64, helper.make_node("Sin", ["c"], ["d"], "sine"))
    with pytest.raises(fs.ModelError) as error:
        fs.load(written(model, tmp_path / "m.onnx"))
    assert error.value.unsupported == ("sine (Sin)",)
    assert "first axis" not in str(error.value)
