"""The output of a graph of ONNX: which of several it is, and what stands between it and the network's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

from fiberscope.errors import ModelError
from fiberscope.network.building import head_note
from fiberscope.readers.onnx.versions import ML, operator_of

_HEADS = ("Softmax", "LogSoftmax")

_MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout")
"""Operations that may stand between a head and the output."""

_ZIP_MAP = f"{ML}.ZipMap"
"""Gives every number a class's name: its input is what a network gives."""

_SELECTING = ("Gather", f"{ML}.ArrayFeatureExtractor")
"""Operations that look the names of classes up by their positions."""

_DECIDING = (
    "ArgMax", "ArgMin", "Greater", "GreaterOrEqual", "Hardmax", "Less", "LessOrEqual", f"{ML}.Binarizer",
    f"{ML}.LabelEncoder",
)  # fmt: skip
"""Operations that make labels of numbers."""

_NUMBERS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.UNDEFINED)

Makers = Mapping[str, NodeProto]


@dataclass(frozen=True)
class ModelOutput:
    """The output of a model.

    Attributes:
        name: its name, where the model has several; otherwise empty.
        tensor: the tensor that the network gives: what the softmax at the end takes, where there is one.
        notes: what was left off, and why this output.
    """

    name: str
    tensor: str
    notes: tuple[str, ...]


def output_of(graph: GraphProto, nodes: Sequence[NodeProto], wanted: str | None) -> ModelOutput:
    """The output that is asked for, or else the only one that is no label.

    Args:
        graph: the graph.
        nodes: its operations.
        wanted: the name of the output to take; None where there is no choice.

    Raises:
        ModelError: no such output, or several to choose from.
    """
    makers = {name: node for node in nodes for name in node.output[:1]}
    names = [output.name for output in graph.output]
    if not names:
        raise ModelError("expected a graph with an output, got none")
    labels = [output.name for output in graph.output if _is_label(output, makers)]
    chosen = _chosen(names, labels, wanted)
    tensor, notes = _without_head(makers, chosen)
    if len(names) == 1:
        return ModelOutput("", tensor, notes)
    others = _listed([name for name in names if name != chosen])
    return ModelOutput(chosen, tensor, (f"of the model's outputs the network gives {chosen!r}, not {others}", *notes))


def _chosen(names: Sequence[str], labels: Sequence[str], wanted: str | None) -> str:
    if names == labels and len(names) == 1:
        raise ModelError(
            f"the only output, {names[0]!r}, is a label, which jumps from class to class; expected numbers: export the "
            "model with its scores, or probabilities, as an output"
        )
    if wanted is None and len(names) == 1:
        return names[0]
    numbers = [name for name in names if name not in labels]
    choice = f"{_listed(numbers, 'or')}" if numbers else "none of them: all are labels"
    if wanted is None:
        if len(numbers) == 1:
            return numbers[0]
        example = f"; choose one, such as output={numbers[0]!r} (--output {numbers[0]})" if numbers else ""
        aside = f"; {_listed(labels)} cannot be chosen: labels are no numbers of a network" if labels else ""
        raise ModelError(f"expected one output, got {len(names)} ({', '.join(map(repr, names))}){example}{aside}")
    if wanted not in names:
        raise ModelError(f"expected as output {choice}, got {wanted!r}, which the model does not have")
    if wanted in labels:
        raise ModelError(f"expected as output {choice}, got {wanted!r}, which is a label: it jumps from class to class")
    return wanted


def _listed(names: Sequence[str], last: str = "and") -> str:
    *most, end = map(repr, names)
    return f"{', '.join(most)} {last} {end}" if most else end


def _is_label(output: ValueInfoProto, makers: Makers) -> bool:
    """Whether an output holds classes: by its type, or because a decision makes it."""
    if output.type.WhichOneof("value") == "tensor_type" and output.type.tensor_type.elem_type not in _NUMBERS:
        return True
    name = output.name
    while (node := makers.get(name)) is not None:
        operator = operator_of(node)
        if operator in _DECIDING:
            return True
        if operator in _SELECTING:  # the names of the classes are constants: follow the positions
            name = next((source for source in node.input if source in makers), "")
        elif operator in _MOVING and node.input:
            name = node.input[0]
        else:
            break
    return False


def _without_head(makers: Makers, output: str) -> tuple[str, tuple[str, ...]]:
    """What the softmax at the end takes, if there is one: that is the network's output."""
    notes: list[str] = []
    name = output
    while (node := makers.get(name)) is not None and node.input:
        operator = operator_of(node)
        if operator in _HEADS:
            output = node.input[0]
            notes.append(head_note(node.name or node.output[0], operator.lower()))
        elif operator == _ZIP_MAP:
            output = node.input[0]
        elif operator not in _MOVING:
            break
        name = node.input[0]
    return output, tuple(notes)


__all__ = ["ModelOutput", "output_of"]
