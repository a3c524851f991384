"""What a graph of ONNX consists of: its input, its constants, and the operations that the output needs, in order."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from fiberscope.errors import ModelError
from fiberscope.readers.onnx.file import NARROW, array_of
from fiberscope.readers.onnx.functions import inlined
from fiberscope.readers.onnx.input import ModelInput, inputs_of
from fiberscope.readers.onnx.output import ModelOutput, output_of
from fiberscope.readers.onnx.precision import narrow_casts, narrow_types, widened
from fiberscope.readers.onnx.versions import ML, operator_of, versions_of

_SAMPLES_FIRST = (
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "MatMul", "MaxPool",
)  # fmt: skip
"""Operators whose definition, or common use, has samples along the first axis."""

_TO_SINGLE = ("Cast", f"{ML}.Scaler")
"""Operators whose results may be of another type than what they take."""


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph with one input and one output.

    Attributes:
        nodes: the operations that the output needs, each after those whose results it takes.
        constants: the initializers that they need, by name.
        inputs: the ways to read the input, the likeliest first; this is a graph of the first.
        output: the output.
        versions: the version of each set of operators; that of the standard ones is under the empty name.
        narrow_casts: results of casts to float16 or bfloat16, and these types.
        precision_notes: which types were widened.
    """

    nodes: tuple[NodeProto, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: tuple[ModelInput, ...]
    output: ModelOutput
    versions: Mapping[str, int]
    narrow_casts: Mapping[str, int]
    precision_notes: tuple[str, ...]

    @property
    def input(self) -> ModelInput:
        """The input."""
        return self.inputs[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left off or read in a particular way."""
        return (*self.input.notes, *self.output.notes, *self.precision_notes)

    @property
    def dtype(self) -> str:
        """The type of all that depends on the input, float32 or float64; empty where casts change it."""
        is_other = self.input.type in NARROW or any(operator_of(node) in _TO_SINGLE for node in self.nodes)
        return "" if is_other else self.input.dtype


def graph_of(
    model: ModelProto, folder: Path, input_shape: tuple[int, ...] | None, output: str | None = None
) -> OnnxGraph:
    """Check a model's graph, and take out what its output needs.

    Args:
        model: the model as it is in the file.
        folder: where its external data lie.
        input_shape: the shape of one sample, where the file leaves it open.
        output: the name of the output to take, where there are several.

    Raises:
        ModelError: several inputs, or outputs to choose from, names that are given twice or never, a cycle, damaged
            tensors.
    """
    versions = versions_of(model)
    graph = inlined(model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    _check_names(graph)
    nodes = _in_order(graph, stored)
    chosen = output_of(graph, nodes, output)
    kept = _needed(nodes, chosen.tensor)
    counts_samples = any(operator_of(node) in _SAMPLES_FIRST for node in kept)
    free = [value for value in graph.input if value.name not in stored]
    inputs = inputs_of(free, input_shape, counts_samples=counts_samples)
    used = {name for node in kept for name in node.input}
    constants = {name: array_of(stored[name], folder) for name in stored if name in used}
    casts = narrow_casts(kept)
    narrow = narrow_types(kept, (stored[name] for name in constants), (*casts.values(), inputs[0].type))
    precision = tuple(
        f"numbers in {name} are taken as they are, but results are not rounded to {name}" for name in narrow
    )
    kept = tuple(widened(node) for node in kept) if narrow else kept
    return OnnxGraph(kept, constants, inputs, chosen, versions, casts, precision)


def _check_names(graph: GraphProto) -> None:
    """Names are texts, and every tensor has one origin: the input, an initializer, or an operation."""
    texts = [value.name for values in (graph.initializer, graph.input, graph.output) for value in values]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
    broken = [text for text in texts if not isinstance(text, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
    if broken:  # the parser passes bytes on that are no text
        raise ModelError(f"expected names that are texts, got {broken[0]!r}; the file is damaged")
    stored = [tensor.name for tensor in graph.initializer]
    inputs = [value.name for value in graph.input]
    results = [name for node in graph.node for name in node.output if name]
    known = set(stored)
    twice = [name for names in (stored, inputs) for name, count in Counter(names).items() if count > 1]
    twice += [name for name, n in Counter([*results, *(known | set(inputs))]).items() if n > 1]
    if twice:
        raise ModelError(f"expected one origin for every tensor, got several for {', '.join(map(repr, twice[:5]))}")
    if graph.sparse_initializer:
        raise ModelError(
            f"expected dense initializers, got {len(graph.sparse_initializer)} sparse ones; write them out"
        )


def _in_order(graph: GraphProto, stored: Mapping[str, TensorProto]) -> tuple[NodeProto, ...]:
    """The operations in the order of the file, except where one comes before what it takes.

    Raises:
        ModelError: an operation takes what nothing gives, or its own result.
    """
    nodes = list(graph.node)
    maker = {name: number for number, node in enumerate(nodes) for name in node.output if name}
    known = {"", *stored, *(value.name for value in graph.input)}
    missing = [(node, name) for node in nodes for name in node.input if name not in maker and name not in known]
    if missing:
        node, name = missing[0]
        raise ModelError(f"{node.name or node.op_type} takes {name!r}, which nothing in the graph gives")
    before = [{maker[name] for name in node.input if name in maker} for node in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for number, sources in enumerate(before):
        for source in sources:
            after[source].append(number)
    waiting = [len(sources) for sources in before]
    ready = [number for number, count in enumerate(waiting) if count == 0]
    out: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        out.append(number)
        for user in after[number]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(out) < len(nodes):
        stuck = next(nodes[number] for number, count in enumerate(waiting) if count)
        raise ModelError(f"expected a graph without cycles, but {stuck.name or stuck.op_type} depends on itself")
    return tuple(nodes[number] for number in out)


def _needed(nodes: Sequence[NodeProto], output: str) -> tuple[NodeProto, ...]:
    """The operations that an output depends on."""
    needed, kept = {output}, list[NodeProto]()
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(name for name in node.input if name)
    return tuple(reversed(kept))


__all__ = ["OnnxGraph", "graph_of"]
