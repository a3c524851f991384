"""From a graph of ONNX to a network that agrees with what the original gives when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic, Original
from fiberscope.network.original import Run as RunStages
from fiberscope.readers.comparison import check_agreement
from fiberscope.readers.onnx.conversion import converted
from fiberscope.readers.onnx.graph import OnnxGraph
from fiberscope.readers.onnx.versions import domain_of

EMBEDDED = 1024
"""Entries of the largest initializers that are stored in the model that is run; larger ones are passed to it as inputs,
so that it stays below the limit of 2 GiB."""

IR_VERSION = 10

Run = Callable[[list[str], dict[str, NDArray[Any]]], list[NDArray[Any]]]


class _CannotRunError(Exception):
    """A runtime does not take a model."""


def _read(graph: OnnxGraph) -> Network:
    """Convert a graph, and compare it with its original, in onnxruntime or, where that fails, onnx's evaluator.

    Returns:
        The network with how well it agrees, and with its original.

    Raises:
        ModelError: it cannot be converted, a difference beyond rounding, or neither can run the model.
    """
    network = converted(graph)
    made = {name for node in graph.nodes for name in node.output}
    wanted = [stage.origin for stage in network.stages if stage.origin in made]
    model, fed = model_to_run(graph, wanted)
    dtype = graph.dtype or "float32"
    reasons: list[str] = []
    for name, start in (("onnxruntime", _onnxruntime), ("onnx's reference evaluator", _reference)):
        try:
            run = start(model) if wanted else _nothing  # a model that only has a head gives its input
            stages = _stage_values(graph, wanted, fed, run)
            agreement = check_agreement(network, stages, name=name, dtype=dtype)
            arithmetic: Arithmetic = "float64" if dtype == "float64" else "float32"
            originals = (Original(name, arithmetic, stages),)
            return replace(network, agreement=agreement, originals=originals, output=graph.output.name)
        except _CannotRunError as error:
            reasons.append(f"{name} says: {error}")
    raise ModelError(f"the converted network cannot be compared with the original; {'; '.join(reasons)}")


def network_of(graph: OnnxGraph) -> Network:
    """Convert a graph, and compare the network with what the graph computes.

    Raises:
        ModelError: no way to read the input gives a network that agrees.
    """
    *likelier, last = graph.inputs
    unsupported = tuple[str, ...]()
    for reading in likelier:
        try:
            return _read(replace(graph, inputs=(reading,)))
        except ModelError as error:
            unsupported = error.unsupported
    try:
        return _read(replace(graph, inputs=(last,)))
    except ModelError as error:
        if not likelier or (error.unsupported and error.unsupported == unsupported):
            raise  # however the input is read
        raise ModelError(f"{error}; {_advice(graph)}", unsupported=error.unsupported) from error


def _advice(graph: OnnxGraph) -> str:
    batch = graph.input.batch
    return (
        f"input {graph.input.name!r} has a fixed first axis of {batch}: if it counts samples, export the model with an "
        f"open one, such as dynamic_axes={{{graph.input.name!r}: {{0: 'batch'}}}} in torch.onnx.export, or with 1 in "
        f"place of {batch}"
    )


def model_to_run(graph: OnnxGraph, wanted: list[str]) -> tuple[ModelProto, dict[str, NDArray[Any]]]:
    """A model that gives what is wanted of the graph, and the initializers that are passed to it as inputs."""
    fed = {name: array for name, array in graph.constants.items() if array.size > EMBEDDED}
    stored = [numpy_helper.from_array(array, name) for name, array in graph.constants.items() if name not in fed]
    kind = TensorProto.DOUBLE if graph.input.dtype == "float64" else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(graph.input.name, kind, _whole_shape(graph))]
    inputs += [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in fed.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in wanted]
    body = helper.make_graph(list(graph.nodes), "original", inputs, outputs, stored)
    used = {"", *(domain_of(node) for node in graph.nodes)}
    versions = [helper.make_opsetid(*version) for version in graph.versions.items() if version[0] in used]
    return helper.make_model(body, opset_imports=versions, ir_version=IR_VERSION), fed


def _whole_shape(graph: OnnxGraph) -> tuple[int, ...]:
    """The shape of what the model takes at a time."""
    one = graph.input
    return one.shape if one.batch == 1 else (one.batch, *one.shape[1:])


def _stage_values(graph: OnnxGraph, wanted: list[str], fed: Mapping[str, NDArray[Any]], run: Run) -> RunStages:
    """Run the model on as many samples at a time as it is made for."""
    batch = graph.input.batch

    def original(X: FloatArray) -> Mapping[str, NDArray[Any]]:
        found: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
        for start in range(0, len(X), batch):
            some = X[start : start + batch]
            given, places = (some, None) if batch == 1 else _among_others(some, batch)
            values = np.asarray(given).reshape(_whole_shape(graph)).astype(graph.input.dtype)
            for name, array in zip(wanted, run(wanted, {graph.input.name: values, **fed}), strict=True):
                found[name].append(array[None] if places is None else _rows(name, array, batch)[places])
        return {graph.input.name: X, **{name: np.concatenate(arrays) for name, arrays in found.items()}}

    return original


def _among_others(X: FloatArray, batch: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Samples at places of a batch of random ones, and these places: what other samples change would be seen."""
    rng = np.random.default_rng(0)
    places = rng.permutation(batch)[: len(X)]
    filled = rng.standard_normal((batch, *X.shape[1:]))
    filled[places] = X
    return filled, places


def _rows(name: str, array: NDArray[Any], batch: int) -> NDArray[Any]:
    """A tensor with a row per sample."""
    if array.shape[:1] != (batch,):
        raise ModelError(
            f"expected the first axis of every tensor to count the {batch} samples, got {name!r} of shape {array.shape}"
        )
    return array


def _onnxruntime(model: ModelProto) -> Run:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise _CannotRunError("it is not installed") from error
    options: Any = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # refusals are reported as errors, not on the terminal
    return _guarded(
        lambda: runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]),
    )


def _reference(model: ModelProto) -> Run:
    return _guarded(lambda: ReferenceEvaluator(model))


def _nothing(names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    assert not names, f"nothing computes {names} from {feeds.keys()}"
    return []


def _guarded(start: Callable[[], Any]) -> Run:
    """A runtime's ``run``, whose errors (of any type) say that it cannot run the model."""
    try:
        runtime = start()
    except Exception as error:
        raise _CannotRunError(" ".join(str(error).split())) from error

    def run(names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            return list(runtime.run(names, feeds))
        except Exception as error:
            raise _CannotRunError(" ".join(str(error).split())) from error

    return run


__all__ = ["model_to_run", "network_of"]
