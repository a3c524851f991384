"""From a graph of ONNX to a network: one operator after the other, and all that is in the way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper, shape_inference

from fiberscope.errors import FiberscopeError, InputError, ModelError
from fiberscope.network.building import Value
from fiberscope.network.network import Network
from fiberscope.network.structured import NOTHING
from fiberscope.readers.onnx.activations import ACTIVATIONS
from fiberscope.readers.onnx.affine import AFFINE
from fiberscope.readers.onnx.constants import FOLDABLE, folded
from fiberscope.readers.onnx.graph import OnnxGraph
from fiberscope.readers.onnx.indexing import MOVING
from fiberscope.readers.onnx.operation import (
    Array,
    OnnxBuilder,
    Operation,
    Result,
    Unsupported,
    attributes_of,
)
from fiberscope.readers.onnx.resampling import RESAMPLING
from fiberscope.readers.onnx.versions import ML, domain_of, operator_of
from fiberscope.readers.onnx.windows import WINDOWS

OPERATORS: dict[str, Callable[[Operation], Result]] = {**ACTIVATIONS, **AFFINE, **MOVING, **RESAMPLING, **WINDOWS}
"""The operators that are supported on what depends on the input."""

_REASONS = {
    "Softmax": "supported only at the end",
    "LogSoftmax": "supported only at the end",
    f"{ML}.Binarizer": "it jumps from 0 to 1",
    f"{ML}.Imputer": "it replaces some numbers by others, which is not affine; leave it out, and fill the samples in",
    f"{ML}.Normalizer": "it divides every sample by a norm, which is not affine",
}
"""Why operators are not supported, where it is worth saying."""

_OPTIMISED = ("com.microsoft.Fused", "com.microsoft.NhwcFused", "com.microsoft.nchwc.", "com.ms.internal.nhwc.")
"""How the names of operators begin that onnxruntime writes when it optimises a model."""

MOST_NODES = 2**13
"""Operations that the output of a model may need."""

LARGEST_PLACEHOLDER = 2**20
"""Entries of what stands for the result of an operation that is not supported, to find others behind it."""

_SMALL = 64
"""Entries of constants, such as shapes, that shapes are inferred from."""

_CONSTANT_ANYWAY = ("Shape", "Size")

_MISFITS = (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError, MemoryError)
"""What numpy raises where shapes and attributes of a damaged model do not fit each other."""


def converted(graph: OnnxGraph) -> Network:
    """The network that a graph describes.

    Raises:
        ModelError: operations that are not supported, all of them named, or an output that is constant.
    """
    if len(graph.nodes) > MOST_NODES:
        raise ModelError(f"expected at most {MOST_NODES} operations, got {len(graph.nodes)}")
    check_operators(graph)
    walk = _Walk(graph)
    for node in graph.nodes:
        walk.step(node)
    if walk.problems:
        raise _refusal(walk.problems)
    try:
        return walk.finished()
    except InputError as error:
        raise ModelError(f"its numbers do not make a network: {error}") from error


def check_operators(graph: OnnxGraph) -> None:
    """Refuse all operators that are not supported at once, before any work is done.

    Raises:
        ModelError: at least one is not supported.
    """
    moving = {graph.input.name}
    problems: list[str] = []
    for number, node in enumerate(graph.nodes):
        depends = any(name in moving for name in node.input)
        if depends and node.op_type not in _CONSTANT_ANYWAY:
            moving.update(node.output)
        operator = operator_of(node)
        if operator not in (OPERATORS if depends else FOLDABLE):
            reason = f": {_REASONS[operator]}" if depends and operator in _REASONS else ""
            problems.append(f"{_name(node, number)} ({operator}{reason})")
    if problems:
        raise _refusal(problems)


def _refusal(problems: Iterable[str]) -> ModelError:
    problems = tuple(problems)
    count = "an operation that is" if len(problems) == 1 else f"{len(problems)} operations that are"
    optimised = any(f" ({name}" in problem for problem in problems for name in _OPTIMISED)
    hint = (
        "onnxruntime joined operations when it optimised the model: read the model as it was before, or have it "
        "written with graph_optimization_level = ORT_ENABLE_BASIC"
    )
    wanted = "operators that are affine, that move numbers, or that are piecewise linear or monotone activations"
    return ModelError(
        f"the model has {count} not supported: {', '.join(problems)}; {hint if optimised else f'expected {wanted}'}",
        unsupported=problems,
    )


def _name(node: NodeProto, number: int) -> str:
    return node.name or f"{node.op_type}_{number}"


class _Walk:
    """What is known of each tensor while the operations are converted in order."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.builder = OnnxBuilder(graph.input.shape, sample_axis=graph.input.sample_axis)
        self.known: dict[str, Value | Array] = {**graph.constants, graph.input.name: self.builder.input}
        self.problems: list[str] = []
        self._used = {graph.output.tensor, *(name for node in graph.nodes for name in node.input)}
        self._dtype = graph.dtype
        self._names: dict[str, int] = {}
        self._number = 0
        for note in graph.notes:
            self.builder.note(note)

    def step(self, node: NodeProto) -> None:
        """Convert one operation, or remember why it cannot be."""
        name = self._unique(_name(node, self._number))
        self._number += 1
        if any(source and source not in self.known for source in node.input):
            return  # it takes what an unsupported operation gives, of unknown shape
        before = self.builder.count
        try:
            results = self._results(node, name)
            self._check_outputs(node, len(results))
        except FiberscopeError as error:
            self._failed(node, name, str(error))
        except _MISFITS as error:
            self._failed(node, name, f"its inputs and attributes do not fit each other ({error})")
        else:
            for tensor, result in zip(node.output, results, strict=False):
                self.known[tensor] = result
                if isinstance(result, Value) and result.number >= before:
                    self.builder.renamed(result, tensor)

    def _results(self, node: NodeProto, name: str) -> tuple[Value | Array, ...]:
        op = self._operation(node, name)
        if not any(isinstance(value, Value) for value in op.inputs):
            arrays = folded(op, node, self.graph.narrow_casts.get(node.output[0]))
            for array in arrays:
                self.builder.count_constant(array)
            return tuple(np.asarray(array) for array in arrays)  # numpy gives scalars in place of arrays without axes
        results = OPERATORS[op.type](op)
        return results if isinstance(results, tuple) else (results,)

    def _operation(self, node: NodeProto, name: str) -> Operation:
        domain = domain_of(node)
        version = self.graph.versions.get(domain, 0)
        try:
            schema = defs.get_schema(node.op_type, version, domain)
        except defs.SchemaError as error:
            raise Unsupported(f"there is no such operator in version {version or '(none is given)'}") from error
        attributes = attributes_of(node)
        unknown = attributes.keys() - schema.attributes.keys()
        if unknown:
            raise Unsupported(f"its attribute {min(unknown)} is not one of version {version} of the operator")
        if not (schema.min_input <= len(node.input) <= schema.max_input and node.output):
            raise Unsupported(f"it has {len(node.input)} inputs and {len(node.output)} outputs")
        inputs = tuple(self.known[source] if source else None for source in node.input)
        return Operation(
            name, operator_of(node), version, inputs, tuple(node.input), len(node.output), attributes,
            self._dtype, self.graph.input.batch, self.builder,
        )  # fmt: skip

    def _check_outputs(self, node: NodeProto, count: int) -> None:
        more = [name for name in node.output[count:] if name and name in self._used]
        if more:
            raise Unsupported(f"its result {more[0]!r} is used")

    def _failed(self, node: NodeProto, name: str, reason: str) -> None:
        """Go on behind an operation that is not supported, to find others, as far as shapes are known."""
        self.problems.append(f"{name} ({operator_of(node)}: {reason})")
        for tensor, shape in inferred_shapes(self.graph, node, self.known).items():
            with suppress(Unsupported):  # there are too many results already: this one stays unknown
                self.known[tensor] = self.builder.take(name, self.builder.input, np.full(shape, NOTHING))

    def finished(self) -> Network:
        """The network, when all operations are converted."""
        name = self.graph.output.tensor
        output = self.known.get(name)
        if not isinstance(output, Value):
            raise ModelError(f"the output {name!r} does not depend on the input {self.graph.input.name!r}")
        if output.number == self.builder.input.number:
            output = self.builder.take(name, output, output.positions)
            self.builder.renamed(output, name)
        # what only moves samples behind the last stage is no stage; it is seen where the output itself is compared
        return self.builder.build(output, name if any(name in node.output for node in self.graph.nodes) else "")

    def _unique(self, name: str) -> str:
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"


def inferred_shapes(graph: OnnxGraph, node: NodeProto, known: dict[str, Value | Array]) -> dict[str, tuple[int, ...]]:
    """The shapes of an operation's results, as far as onnx can tell them from those of its inputs."""
    try:
        model = _one_operation(graph, node, {name: known[name] for name in node.input if name})
        described = shape_inference.infer_shapes(model).graph.output
    except Exception:  # whatever it raises, the shapes stay unknown
        return {}
    shapes: dict[str, tuple[int, ...]] = {}
    for value in described:
        sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if value.type.tensor_type.HasField("shape") and 0 < prod(sizes) <= LARGEST_PLACEHOLDER:
            shapes[value.name] = sizes
    return shapes


def _one_operation(graph: OnnxGraph, node: NodeProto, tensors: dict[str, Value | Array]) -> ModelProto:
    """A model of one operation, with inputs of known shapes; small constants are shapes and the like."""
    inputs = [helper.make_tensor_value_info(name, _type_of(tensor), tensor.shape) for name, tensor in tensors.items()]
    outputs: list[Any] = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    small = [
        numpy_helper.from_array(tensor, name)
        for name, tensor in tensors.items()
        if isinstance(tensor, np.ndarray) and tensor.size <= _SMALL
    ]
    body = helper.make_graph([node], "one operation", inputs, outputs, small)
    return helper.make_model(body, opset_imports=[helper.make_opsetid(*version) for version in graph.versions.items()])


def _type_of(tensor: Value | Array) -> int:
    return TensorProto.FLOAT if isinstance(tensor, Value) else helper.np_dtype_to_tensor_dtype(tensor.dtype)


__all__ = ["OPERATORS", "check_operators", "converted", "inferred_shapes"]
