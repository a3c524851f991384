"""What a graph of ONNX consists of: its input, its constants, and the operations that the output needs, in order."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, defs

from fiberscope.errors import ModelError
from fiberscope.network.building import head_note
from fiberscope.readers.onnx.file import NARROW, array_of
from fiberscope.readers.onnx.functions import inlined
from fiberscope.readers.onnx.input import ModelInput, input_of
from fiberscope.readers.onnx.precision import narrow_casts, narrow_types, widened

STANDARD_DOMAINS = ("", "ai.onnx")

OLDEST_OPSET = 6

_HEADS = ("Softmax", "LogSoftmax")

_BEHIND_HEADS = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout")
"""Operations that may stand between a head and the output."""


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph with one input and one output.

    Attributes:
        nodes: the operations that the output needs, each after those whose results it takes.
        constants: the initializers that they need, by name.
        input: the input.
        output: the name of the output.
        opset: the version of the standard operators.
        narrow_casts: results of casts to float16 or bfloat16, and these types.
        notes: what was left off or read in a particular way.
    """

    nodes: tuple[NodeProto, ...]
    constants: Mapping[str, NDArray[Any]]
    input: ModelInput
    output: str
    opset: int
    narrow_casts: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def dtype(self) -> str:
        """The type of all that depends on the input, float32 or float64; empty where casts change it."""
        is_other = self.input.type in NARROW or any(node.op_type == "Cast" for node in self.nodes)
        return "" if is_other else self.input.dtype


def graph_of(model: ModelProto, folder: Path, input_shape: int | Sequence[int] | None) -> OnnxGraph:
    """Check a model's graph, and take out what its output needs.

    Args:
        model: the model as it is in the file.
        folder: where its external data lie.
        input_shape: the shape of one sample, where the file leaves it open.

    Raises:
        ModelError: several inputs or outputs, names that are given twice or never, a cycle, damaged tensors.
    """
    opset = _opset(model)
    graph = inlined(model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    _check_names(graph)
    nodes = _in_order(graph, stored)
    model_input, notes = input_of([i for i in graph.input if i.name not in stored], input_shape)
    output, head_notes = _without_head(nodes, _only_output(graph))
    kept = _needed(nodes, output)
    used = {name for node in kept for name in node.input}
    constants = {name: array_of(stored[name], folder) for name in stored if name in used}
    casts = narrow_casts(kept)
    narrow = narrow_types(kept, (stored[name] for name in constants), (*casts.values(), model_input.type))
    precision = [f"numbers in {name} are taken as they are, but results are not rounded to {name}" for name in narrow]
    kept = tuple(widened(node) for node in kept) if narrow else kept
    return OnnxGraph(kept, constants, model_input, output, opset, casts, (*notes, *head_notes, *precision))


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    newest = defs.onnx_opset_version()
    if not versions and model.opset_import and all(node.domain not in STANDARD_DOMAINS for node in model.graph.node):
        return newest  # no standard operator has a version to depend on
    if len(versions) != 1:
        raise ModelError(
            f"expected one version of the standard operators, got {versions or 'none'}; the file may be truncated"
        )
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise ModelError(
            f"expected operators of a version from {OLDEST_OPSET} to {newest}, got version {versions[0]}; convert the "
            "model with onnx.version_converter, or install a newer onnx"
        )
    return versions[0]


def _only_output(graph: GraphProto) -> str:
    if len(graph.output) != 1:
        names = ", ".join(repr(output.name) for output in graph.output)
        raise ModelError(
            f"expected one output, got {len(graph.output)} ({names or 'none'}); cut the model down to one with "
            "onnx.utils.extract_model"
        )
    return graph.output[0].name


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


def _without_head(nodes: Sequence[NodeProto], output: str) -> tuple[str, list[str]]:
    """What the softmax at the end takes, if there is one: that is the network's output."""
    makers = {name: node for node in nodes for name in node.output[:1]}
    notes: list[str] = []
    name = output
    while (node := makers.get(name)) is not None and node.input and node.domain in STANDARD_DOMAINS:
        if node.op_type in _HEADS:
            output, head = node.input[0], node.op_type.lower()
            notes.append(head_note(node.name or node.output[0], head))
        elif node.op_type not in _BEHIND_HEADS:
            break
        name = node.input[0]
    return output, notes


def _needed(nodes: Sequence[NodeProto], output: str) -> tuple[NodeProto, ...]:
    """The operations that an output depends on."""
    needed, kept = {output}, list[NodeProto]()
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(name for name in node.input if name)
    return tuple(reversed(kept))


__all__ = ["STANDARD_DOMAINS", "OnnxGraph", "graph_of"]
