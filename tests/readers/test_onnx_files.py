"""Damaged and hostile ONNX files: all are refused with a ModelError, quickly, and nothing else is touched."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import FunctionProto, ModelProto, StringStringEntryProto, TensorProto, helper, numpy_helper

import fiberscope as fs
from fiberscope.readers.onnx import conversion as onnx_conversion
from fiberscope.readers.onnx import operation as onnx_operation
from readers.onnx_models import model_of, written

RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((4, 3)).astype(np.float32)


def simple() -> ModelProto:
    """A product with a matrix, and a ReLU."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "product"), helper.make_node("Relu", ["h"], ["y"], "relu")]
    return model_of(nodes, (1, 4), {"w": WEIGHT})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a model, in which nothing may appear beside it; checks time and memory as well."""
    inside = tmp_path / "models"
    inside.mkdir()
    used, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield inside
    assert time.monotonic() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 500_000  # kilobytes
    assert {path.name for path in inside.iterdir()} <= {"model.onnx", "weights.bin", "link.bin", "linked"}


def refused(model: ModelProto, folder: Path, message: str) -> fs.ModelError:
    """The error that the model is refused with."""
    with pytest.raises(fs.ModelError, match=message) as error:
        fs.load(written(model, folder / "model.onnx"))
    assert "model.onnx" in str(error.value)
    return error.value


def test_the_model_is_read_as_it_is(folder: Path):
    X = RNG.standard_normal((2, 4))
    network = fs.load(written(simple(), folder / "model.onnx"))
    np.testing.assert_allclose(network(X), np.maximum(X @ WEIGHT, 0), rtol=1e-14)


# ---- damaged files


def test_truncated_files(folder: Path):
    path = written(simple(), folder / "model.onnx")
    data = path.read_bytes()
    for length in sorted({0, 1, len(data) - 1, *RNG.integers(0, len(data), size=60).tolist()}):
        path.write_bytes(data[:length])
        with pytest.raises(fs.ModelError, match="truncated"):
            fs.load(path)


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"not a model", b"\xff" * 1000, b"PK\x03\x04", b"\x08\x07"])
def test_files_of_something_else(data: bytes, folder: Path):
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(fs.ModelError, match="expected an ONNX model, got a"):
        fs.load(folder / "model.onnx")


def test_changed_bytes(folder: Path):
    """Whatever is changed, the file is read or refused."""
    rng = random.Random(0)
    data = simple().SerializeToString()
    read = 0
    for _ in range(1000):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 2, 5])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        (folder / "model.onnx").write_bytes(changed)
        try:
            fs.load(folder / "model.onnx")
            read += 1
        except fs.FiberscopeError:
            pass
    assert 0 < read < 1000


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(simple(), folder / "model.onnx")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(fs.ModelError, match="Permission denied"):
        fs.load(path)


# ---- graphs that are none


def test_cycles(folder: Path):
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "second"),
        helper.make_node("Neg", ["a"], ["y"], "third"),
    ]
    refused(model_of(nodes, (1, 4), {}), folder, "expected a graph without cycles, but first depends on itself")


def test_results_of_nothing(folder: Path):
    refused(model_of([helper.make_node("Add", ["x", "z"], ["y"], "sum")], (1, 4), {}), folder, "sum takes 'z', which")
    refused(model_of([helper.make_node("Relu", ["x"], ["z"])], (1, 4), {}), folder, "'y' does not depend on the input")


@pytest.mark.parametrize("again", ["h", "x", "w"])
def test_names_that_are_given_twice(again: str, folder: Path):
    model = simple()
    model.graph.node.append(helper.make_node("Neg", ["y"], [again]))
    refused(model, folder, f"expected one origin for every tensor, got several for '{again}'")


def test_initializers_and_inputs_that_are_given_twice(folder: Path):
    model = simple()
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    refused(model, folder, "several for 'w'")
    model = simple()
    model.graph.input.append(model.graph.input[0])
    refused(model, folder, "several for 'x'")


def test_versions_that_are_not_known(folder: Path):
    for version in (5, 1000):
        refused(model_of([helper.make_node("Relu", ["x"], ["y"])], (1, 4), {}, opset=version), folder, "of a version")
    model = simple()
    del model.opset_import[:]
    refused(model, folder, "expected one version of the standard operators, got none")


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_branches_and_loops(operator: str, folder: Path):
    body = helper.make_graph([], "body", [], [])
    nodes = [helper.make_node(operator, ["x"], ["y"], "control", body=body)]
    assert refused(model_of(nodes, (1, 4), {}), folder, "not supported").unsupported == (f"control ({operator})",)


def test_operators_of_other_domains(folder: Path):
    model = model_of([helper.make_node("Relu", ["x"], ["y"], "own", domain="org.example")], (1, 4), {})
    assert refused(model, folder, "not supported").unsupported == ("own (org.example.Relu)",)


# ---- sizes


@pytest.mark.parametrize("dims", [(2**40, 2**40), (2**31, 3), (4, 4), (-4, -3), (-1, 3), (4,)])
def test_initializers_of_another_size_than_their_data(dims: tuple[int, ...], folder: Path):
    model = simple()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    refused(model, folder, "'w': expected")
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].CopyFrom(TensorProto(name="w", dims=dims, data_type=TensorProto.FLOAT))
    refused(model, folder, "'w': expected")


def test_initializers_of_unknown_types(folder: Path):
    model = simple()
    model.graph.initializer[0].data_type = 99
    refused(model, folder, "'w': expected numbers")
    model.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.STRING, (4, 3), ["a"] * 12))
    refused(model, folder, "not real numbers")


HUGE = {"huge": np.array([2**20, 2**20, 2**20]), "large": np.array([1, 2**29]), "w": np.float32([1])}


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("ConstantOfShape", ["huge"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])],
        [helper.make_node("Expand", ["x", "huge"], ["y"])],
        [helper.make_node("Expand", ["w", "huge"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])],
        [helper.make_node("Tile", ["x", "large"], ["y"])],
        [helper.make_node("Pad", ["x", "pads"], ["y"])],
        [helper.make_node("Reshape", ["x", "huge"], ["y"])],
        [helper.make_node("Range", ["zero", "many", "one"], ["r"]), helper.make_node("Gather", ["x", "r"], ["y"])],
        [
            *(helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(60)),
            helper.make_node("Add", ["x", "c60"], ["y"]),
        ],
        [
            helper.make_node("Unsqueeze", ["c23", "one1"], ["u"]),
            helper.make_node("Add", ["c23", "u"], ["s"]),
            *(helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(23)),
            helper.make_node("Add", ["x", "s"], ["y"]),
        ],
        [
            helper.make_node("Unsqueeze", ["x", "spatial"], ["i"]),
            helper.make_node("Conv", ["i", "k4"], ["y"], pads=[2**30, 2**30, 0, 0]),
        ],
        [
            helper.make_node("Unsqueeze", ["x", "around"], ["i"]),
            helper.make_node("ConvTranspose", ["i", "k"], ["y"], strides=[2**30, 2**30]),
        ],
        [
            helper.make_node("Unsqueeze", ["x", "spatial"], ["i"]),
            helper.make_node("MaxPool", ["i"], ["y"], kernel_shape=[2**40, 1], pads=[2**40, 0, 2**40, 0]),
        ],
    ],
)
def test_huge_results(nodes: list[onnx.NodeProto], folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_operation, "LARGEST_CONSTANT", 2**24)
    for name in ("constants", "indexing"):  # where the limit is imported to; the real one takes a second and a gigabyte
        monkeypatch.setattr(f"fiberscope.readers.onnx.{name}.LARGEST_CONSTANT", 2**24)
    constants = HUGE | {
        "pads": np.array([0, 0, 0, 2**40]), "zero": np.array(0), "one": np.array(1), "many": np.array(2**40),
        "one1": np.array([1]), "c0": np.float32([1]), "spatial": np.array([2, 3]), "around": np.array([1, 3]),
        "k": np.ones((1, 1, 1, 1), np.float32), "k4": np.ones((4, 4, 1, 1), np.float32),
    }  # fmt: skip
    refused(model_of(nodes, (1, 4), constants), folder, "entries|counts from|cannot reshape|cannot be broadcast")


def test_sums_that_double_again_and_again(folder: Path):
    names = ["x", *(f"s{i}" for i in range(199)), "y"]
    nodes = [helper.make_node("Add", [a, a], [b], f"sum{i}") for i, (a, b) in enumerate(pairwise(names))]
    error = refused(model_of(nodes, (1, 4), {}), folder, "paths of affine maps meet here")
    assert error.unsupported[0].startswith("sum12 (Add")


def test_many_operations(folder: Path):
    names = ["x", *(f"s{i}" for i in range(onnx_conversion.MOST_NODES)), "y"]
    nodes = [helper.make_node("Neg", [a], [b]) for a, b in pairwise(names)]
    refused(model_of(nodes, (1, 4), {}), folder, "expected at most 8192 operations, got 8193")


def test_a_long_chain_is_read(folder: Path):
    names = ["x", *(f"s{i}" for i in range(1999)), "y"]
    nodes = [helper.make_node("Identity" if i % 10 else "Neg", [a], [b]) for i, (a, b) in enumerate(pairwise(names))]
    network = fs.load(written(model_of(nodes, (1, 4), {}), folder / "model.onnx"))
    np.testing.assert_array_equal(network([[1.0, 2, 3, 4]]), [[1.0, 2, 3, 4]])


# ---- external data


def external(location: str, **entries: int | str) -> ModelProto:
    """The simple model with its matrix in another file."""
    model = simple()
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))
    return model


@pytest.mark.parametrize("entries", [{}, {"offset": 8, "length": 48}, {"length": 48}])
@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin"])
def test_external_data_in_the_folder(location: str, entries: dict[str, int], folder: Path):
    (folder / "weights.bin").write_bytes(b"\xff" * entries.get("offset", 0) + WEIGHT.tobytes())
    network = fs.load(written(external(location, **entries), folder / "model.onnx"))
    X = RNG.standard_normal((2, 4))
    np.testing.assert_allclose(network(X), np.maximum(X @ WEIGHT, 0), rtol=1e-14)


def test_external_data_of_a_large_matrix_are_passed_to_the_original(folder: Path):
    weight = RNG.standard_normal((64, 64)).astype(np.float16)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], (1, 64), {"w": weight}, kind=TensorProto.FLOAT16)
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").stat().st_size >= weight.nbytes
    network = fs.load(folder / "model.onnx")
    X = RNG.standard_normal((2, 64))
    np.testing.assert_allclose(network(X), X @ weight.astype(np.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin", "models/../../secret.bin", "{absolute}", "link.bin", "linked/secret.bin", "C:\\secret.bin",
        "..\\secret.bin", "",
    ],
)  # fmt: skip
def test_external_data_elsewhere_are_not_read(location: str, folder: Path):
    secret = folder.parent / "secret.bin"
    secret.write_bytes(WEIGHT.tobytes())
    (folder / "link.bin").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    refused(external(location.format(absolute=secret)), folder, "external data")


def test_external_data_that_are_no_file(folder: Path):
    refused(external("weights.bin"), folder, "are no file in the model's folder; .* copy this one there as well")
    os.mkfifo(folder / "weights.bin")
    refused(external("weights.bin"), folder, "are no file in the model's folder")


def test_external_data_that_were_not_fetched(folder: Path):
    """A pointer is longer than these weights, whose number of bytes would be there."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 48\n"
    (folder / "weights.bin").write_bytes(pointer)
    refused(external("weights.bin"), folder, r"numbers in weights\.bin, got a pointer of Git LFS.*git lfs pull")
    (folder / "weights.bin").write_bytes(b"<html>")
    refused(external("weights.bin"), folder, r"numbers in weights\.bin, got a page of the web")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": 1}, {"offset": -8}, {"offset": 2**62}, {"offset": "a"}, {"length": 2**62}, {"length": 44},
        {"length": -1},
    ],
)  # fmt: skip
def test_external_data_outside_the_file(entries: dict[str, int | str], folder: Path):
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    refused(external("weights.bin", **entries), folder, "'w': expected")


def test_huge_external_data(folder: Path):
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    model = external("weights.bin")
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**20, 2**30])
    refused(model, folder, f"expected {2**52} bytes")


def test_external_data_of_constants_inside_of_operations(folder: Path):
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    tensor = external("weights.bin").graph.initializer[0]
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("MatMul", ["x", "w"], ["y"])]
    refused(model_of(nodes, (1, 4), {}), folder, "external data are accepted for initializers only")


# ---- functions


def function(name: str, *calls: str) -> FunctionProto:
    """A function of the model's own that calls others one after the other."""
    names = ["a", *(f"t{i}" for i in range(len(calls) - 1)), "b"]
    nodes = [
        helper.make_node(call, [names[i]], [names[i + 1]], domain="" if call in ("Relu", "Neg") else "own")
        for i, call in enumerate(calls)
    ]
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], nodes, versions)


def calling(name: str, *functions: FunctionProto) -> ModelProto:
    model = model_of([helper.make_node(name, ["x"], ["y"], domain="own")], (1, 4), {})
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend(functions)
    return model


def test_functions_are_written_out(folder: Path):
    model = calling("Outer", function("Outer", "Inner", "Neg", "Inner"), function("Inner", "Neg", "Relu"))
    network = fs.load(written(model, folder / "model.onnx"))
    np.testing.assert_array_equal(network([[-2.0, -1, 1, 2]]), [[2, 1, 0, 0]])


def test_functions_that_call_themselves(folder: Path):
    refused(
        calling("A", function("A", "B"), function("B", "Relu", "A")), folder, "functions that do not call themselves"
    )


def test_functions_that_stand_for_billions_of_operations(folder: Path):
    functions = [function(f"F{i}", *[f"F{i + 1}"] * 10) for i in range(30)]
    refused(calling("F0", *functions, function("F30", "Relu")), folder, "once its functions are written out")
