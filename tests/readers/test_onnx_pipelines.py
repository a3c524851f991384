"""Models of ONNX with several outputs, and pipelines as scikit-learn's converter writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

import fiberscope as fs
from readers.onnx_models import written

RNG = np.random.default_rng(0)
ML = "ai.onnx.ml"


def numbers(*shape: int) -> np.ndarray:
    """Random numbers in float32."""
    return RNG.standard_normal(shape).astype(np.float32)


OFFSET, SCALE = numbers(4), np.abs(numbers(4)) + np.float32(0.5)
CONSTANTS = {
    "A": numbers(4, 6), "a": numbers(6), "B": numbers(6, 3), "b": numbers(3), "C": numbers(6, 1), "c": numbers(1),
    "classes": np.array([10, 20, 30]), "shape": np.array([-1]), "kept": np.array([[2, 0, 2, 3]]),
    "one": np.float32([1]),
}  # fmt: skip
X = numbers(5, 4)


def layers(source: str, last: str = "B", shift: str = "b") -> list[NodeProto]:
    """A hidden layer and an affine map, as the converter writes them."""
    return [
        helper.make_node("Cast", [source], ["cast_input"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["cast_input", "A"], ["product"], "first"),
        helper.make_node("Add", ["product", "a"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"], "relu"),
        helper.make_node("MatMul", ["hidden", last], ["product1"], "second"),
        helper.make_node("Add", ["product1", shift], ["scores"]),
    ]


def label(source: str, *, name: str = "label") -> list[NodeProto]:
    """The class with the largest number."""
    return [
        helper.make_node("ArgMax", [source], ["place"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "place"], ["class"], domain=ML),
        helper.make_node("Reshape", ["class", "shape"], ["reshaped"]),
        helper.make_node("Cast", ["reshaped"], [name], to=TensorProto.INT64),
    ]


def tensor(name: str, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    """An output whose shape is not known."""
    return helper.make_tensor_value_info(name, kind, None)


LABEL = tensor("label", TensorProto.INT64)


def mapping(name: str) -> ValueInfoProto:
    """An output that maps the names of the classes to numbers."""
    return helper.make_value_info(
        name,
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        ),
    )


def pipeline(nodes: list[NodeProto], *outputs: ValueInfoProto, kind: int = TensorProto.FLOAT) -> ModelProto:
    """A model of samples of four numbers."""
    graph = helper.make_graph(
        nodes, "pipeline", [helper.make_tensor_value_info("x", kind, ("n", 4))], outputs,
        [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items()],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(ML, 1), helper.make_opsetid("", 17)], ir_version=8
    )


def tensors(model: ModelProto, x: np.ndarray, *names: str) -> list[np.ndarray]:
    """What onnxruntime computes for tensors of a model."""
    inner = ModelProto()
    inner.CopyFrom(model)
    del inner.graph.output[:]
    inner.graph.output.extend(tensor(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(inner.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


SOFTMAX = helper.make_node("Softmax", ["scores"], ["probabilities"], "softmax", axis=1)
ZIP_MAP = helper.make_node("ZipMap", ["probabilities"], ["map"], domain=ML, classlabels_int64s=[10, 20, 30])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_classifier_of_several_classes(zipped: bool, order: int, tmp_path: Path):
    """The network gives what the softmax takes; labels, and names for the numbers, are left out."""
    numbers_of = mapping("map") if zipped else tensor("probabilities")
    nodes = [*layers("x"), SOFTMAX, *label("probabilities"), *([ZIP_MAP] if zipped else [])]
    model = pipeline(nodes, *[LABEL, numbers_of][::order])
    network = fs.load(written(model, tmp_path / "m.onnx"))
    (scores,) = tensors(model, X, "scores")
    np.testing.assert_allclose(network(X), scores, rtol=1e-5, atol=1e-5)
    assert network.output == numbers_of.name
    assert network.notes == (
        f"of the model's outputs the network gives '{numbers_of.name}', not 'label'",
        "softmax: the softmax at the end is left off; outputs are its inputs",
    )
    assert fs.load(tmp_path / "m.onnx", output=numbers_of.name).digest() == network.digest()


def test_a_classifier_of_two_classes(tmp_path: Path):
    nodes = [
        *layers("x", "C", "c"),
        helper.make_node("Sigmoid", ["scores"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
        *label("probabilities"),
    ]
    model = pipeline(nodes, LABEL, tensor("probabilities"))
    network = fs.load(written(model, tmp_path / "m.onnx"))
    np.testing.assert_allclose(network(X), tensors(model, X, "probabilities")[0], rtol=1e-5, atol=1e-6)


def test_labels_are_known_whatever_their_type_is_said_to_be(tmp_path: Path):
    """As numbers in floating point, and as an output whose type the file leaves open."""
    decided = helper.make_node("Cast", ["label"], ["as_number"], to=TensorProto.FLOAT)
    binarized = helper.make_node("Binarizer", ["scores"], ["steps"], domain=ML, threshold=0.5)
    nodes = [*layers("x"), *label("scores"), decided, binarized]
    model = pipeline(
        nodes, tensor("as_number"), helper.make_empty_tensor_value_info("label"), tensor("steps"), tensor("scores")
    )
    assert fs.load(written(model, tmp_path / "m.onnx")).output == "scores"


# ---- a choice of outputs


def two_heads() -> ModelProto:
    """A model with two outputs of numbers, and a label."""
    nodes = [
        *layers("x"),
        helper.make_node("MatMul", ["hidden", "C"], ["value"]),
        helper.make_node("Relu", ["value"], ["gain"]),
        *label("scores"),
    ]
    return pipeline(nodes, tensor("scores"), LABEL, tensor("gain"))


def test_an_output_is_chosen_by_name(tmp_path: Path):
    model = two_heads()
    path = written(model, tmp_path / "m.onnx")
    for name in ("scores", "gain"):
        network = fs.load(path, output=name)
        np.testing.assert_allclose(network(X), tensors(model, X, name)[0], rtol=1e-5, atol=1e-5)
        assert network.output == name
        network.save(tmp_path / "m.safetensors")
        assert fs.load(tmp_path / "m.safetensors").output == name
    assert len(fs.load(path, output="gain").relu_layers) == 2  # what the other output needs is not there


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, r"expected one output, got 3 \('scores', 'label', 'gain'\); choose one, such as output='scores' "
               r"\(--output scores\); 'label' cannot be chosen"),
        ("other", "expected as output 'scores' or 'gain', got 'other', which the model does not have"),
        ("hidden", "expected as output 'scores' or 'gain', got 'hidden'"),
        ("", "expected as output 'scores' or 'gain', got ''"),
        ("label", "expected as output 'scores' or 'gain', got 'label', which is a label"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_taken(output: str | None, message: str, tmp_path: Path):
    with pytest.raises(fs.ModelError, match=message):
        fs.load(written(two_heads(), tmp_path / "m.onnx"), output=output)


def test_a_model_of_labels_alone(tmp_path: Path):
    model = pipeline([*layers("x"), *label("scores")], LABEL, tensor("place", TensorProto.INT64))
    with pytest.raises(fs.ModelError, match=r"got 2 \('label', 'place'\); 'label' and 'place' cannot be chosen"):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_a_model_of_one_label_alone(tmp_path: Path):
    path = written(pipeline([*layers("x"), *label("scores")], LABEL), tmp_path / "m.onnx")
    for output in (None, "label"):
        with pytest.raises(fs.ModelError, match=r"the only output, 'label', is a label.*with its scores"):
            fs.load(path, output=output)


def test_the_only_output_may_be_named(tmp_path: Path):
    path = written(pipeline(layers("x"), tensor("scores")), tmp_path / "m.onnx")
    assert fs.load(path, output="scores").output == ""
    with pytest.raises(fs.ModelError, match="expected as output 'scores', got 'score'"):
        fs.load(path, output="score")


@pytest.mark.parametrize("name", ["m.safetensors", "m.keras", "m.h5", "m.pt2"])
def test_other_formats_have_no_names_of_outputs(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(fs.InputError, match=rf"output: expected none for {name}: only .* ONNX .*got 'y'; leave it out"):
        fs.load(tmp_path / name, output="y")


# ---- steps before the network


def scaler(offset: np.ndarray, scale: np.ndarray, source: str = "x") -> NodeProto:
    """(x - offset) * scale."""
    lists = {name: array.tolist() for name, array in (("offset", offset), ("scale", scale)) if array.size}
    return helper.make_node("Scaler", [source], ["scaled"], "scaler", domain=ML, **lists)


@pytest.mark.parametrize("factor", [1.0, 2.0**-20, 1e3])
@pytest.mark.parametrize("count", [1, 4])
def test_scaled_inputs(count: int, factor: float, tmp_path: Path):
    offset, scale = OFFSET[:count] * np.float32(factor), SCALE[:count] / np.float32(factor)
    model = pipeline([scaler(offset, scale), *layers("scaled")], tensor("scores"))
    network = fs.load(written(model, tmp_path / "m.onnx"))
    x = (X * factor).astype(np.float32)
    np.testing.assert_allclose(network(x), tensors(model, x, "scores")[0], rtol=1e-4, atol=1e-4)
    hidden = np.maximum((x.astype(np.float64) - offset) * scale.astype(np.float64) @ CONSTANTS["A"] + CONSTANTS["a"], 0)
    np.testing.assert_allclose(network(x), hidden @ CONSTANTS["B"] + CONSTANTS["b"], rtol=1e-9, atol=1e-9)


def test_scaled_inputs_in_float64(tmp_path: Path):
    """The result is in float32 all the same, and so is what is compared."""
    model = pipeline([scaler(OFFSET, SCALE), *layers("scaled")], tensor("scores"), kind=TensorProto.DOUBLE)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert network.agreement is not None
    assert network.agreement.original == "onnxruntime"
    scores = tensors(model, X.astype(np.float64), "scores")[0]
    np.testing.assert_allclose(network(X), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("offset", "scale"), [([0.0] * 3, [1.0] * 3), ([], []), ([0.0], [1.0] * 4), ([float("inf")], [1.0])]
)
def test_scales_that_do_not_fit(offset: list[float], scale: list[float], tmp_path: Path):
    model = pipeline([scaler(np.array(offset), np.array(scale)), *layers("scaled")], tensor("scores"))
    with pytest.raises(fs.ModelError, match=r"scaler \(ai\.onnx\.ml\.Scaler: "):
        fs.load(written(model, tmp_path / "m.onnx"))


def test_chosen_features(tmp_path: Path):
    extractor = helper.make_node("ArrayFeatureExtractor", ["x", "kept"], ["chosen"], domain=ML)
    model = pipeline([extractor, *layers("chosen")], tensor("scores"))
    network = fs.load(written(model, tmp_path / "m.onnx"))
    np.testing.assert_allclose(network(X), tensors(model, X, "scores")[0], rtol=1e-5, atol=1e-5)
    model.graph.initializer[-2].CopyFrom(numpy_helper.from_array(np.array([0, 4]), "kept"))
    with pytest.raises(fs.ModelError, match=r"its indices do not fit a tensor of shape \(1, 4\)"):
        fs.load(written(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("operator", "attributes", "why"),
    [
        ("Normalizer", {"norm": "L2"}, "it divides every sample by a norm, which is not affine"),
        ("Imputer", {"imputed_value_floats": [0.0], "replaced_value_float": 9.0}, "it replaces some numbers"),
        ("Binarizer", {"threshold": 0.5}, "it jumps from 0 to 1"),
    ],
)
def test_steps_that_are_not_affine(operator: str, attributes: dict[str, object], why: str, tmp_path: Path):
    step = helper.make_node(operator, ["x"], ["stepped"], "step", domain=ML, **attributes)
    with pytest.raises(fs.ModelError, match=why) as error:
        fs.load(written(pipeline([step, *layers("stepped")], tensor("scores")), tmp_path / "m.onnx"))
    assert error.value.unsupported[0].startswith(f"step (ai.onnx.ml.{operator}: {why}")


def test_a_set_of_operators_without_a_version(tmp_path: Path):
    model = pipeline([scaler(OFFSET, SCALE), *layers("scaled")], tensor("scores"))
    del model.opset_import[0]
    with pytest.raises(fs.ModelError, match=r"scaler \(ai\.onnx\.ml\.Scaler: there is no such operator"):
        fs.load(written(model, tmp_path / "m.onnx"))
