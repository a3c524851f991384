"""The calls of layers that make up a Keras model, in the order in which it runs them, nested models included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.foreign import what_to_do
from fiberscope.network.stage import INPUT
from fiberscope.readers.keras.library import keras_library

GRAPH_HINT = (
    "only models with a graph of layers can be read; build it with keras.Sequential or keras.Model(inputs, outputs)"
)

LONGEST = 100_000
"""Calls of layers in a model: models that call each other twice would be taken apart into any number."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or an operation.

    Attributes:
        name: the layer's name, behind the names of the models that it is nested in; numbered from its second call on.
        operation: the layer or operation.
        node: what Keras recorded about the call.
        sources: the numbers of the calls whose outputs it takes, -1 for the model's input.
    """

    name: str
    operation: Any
    node: Any
    sources: tuple[int, ...]

    @property
    def class_name(self) -> str:
        """The name of the layer's class."""
        return type(self.operation).__name__

    @property
    def dtype(self) -> str:
        """The type of the numbers that it gives."""
        return str(self.node.outputs[0].dtype)

    def weight(self, attribute: str) -> FloatArray:
        """A weight of the layer, in float64.

        Raises:
            ModelError: it has NaN or infinite entries.
        """
        return numbers(f"{self.name}.{attribute}", getattr(self.operation, attribute))

    def weight_if(self, attribute: str) -> FloatArray | None:
        """A weight of the layer in float64; None where it has none."""
        return None if getattr(self.operation, attribute, None) is None else self.weight(attribute)

    def constant(self, what: str, value: Any) -> FloatArray:
        """A number or an array among the layer's settings, as Keras rounds it before it computes with it.

        Raises:
            ModelError: NaN or infinite entries.
        """
        return numbers(f"{self.name}.{what}", np.asarray(_as_numpy(value)).astype(self.dtype))

    def run(self, values: Sequence[Any]) -> Any:
        """Let Keras compute the call, as it does at inference.

        Args:
            values: what the sources gave, tensors of Keras's backend with the samples first.
        """
        tensors = {id(tensor): value for tensor, value in zip(self.node.input_tensors, values, strict=True)}
        args, kwargs = self.node.arguments.fill_in(tensors)
        if "training" in getattr(self.operation, "_call_context_args", ()):
            kwargs = {**kwargs, "training": False}
        return self.operation(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model.

    Attributes:
        calls: in an order in which each comes after its sources.
        output: the number of the call that gives the model's output; -1 for its input.
        input_shape: the shape of one sample.
        dtype: the type of the input's numbers.
    """

    calls: tuple[Call, ...]
    output: int
    input_shape: tuple[int, ...]
    dtype: str


def graph_of(model: Any) -> Graph:
    """List the calls of a model.

    Raises:
        ModelError: it has no graph, has not been built, or has several inputs or outputs, or an input of open shape.
    """
    function = _function_of(model)
    if function is None:
        raise ModelError(_no_graph(model))
    for what, tensors in (("inputs", function.inputs), ("outputs", function.outputs)):
        if len(tensors) != 1:
            names = ", ".join(_tensor_name(tensor) for tensor in tensors)
            raise ModelError(
                f"the model has {len(tensors)} {what} ({names}); expected one: "
                "select one with keras.Model(inputs, outputs), and fix the other inputs"
            )
    (tensor,) = function.inputs
    shape = tuple(tensor.shape[1:])
    if None in shape or not shape:
        raise ModelError(
            f"the model's input {_tensor_name(tensor)} has the shape {tuple(tensor.shape)}, where None is open; "
            "expected one open axis, the samples: build it with keras.Input(shape=...) of numbers"
        )
    walk = _Walk()
    (output,) = walk.add(function, [INPUT], "")
    return Graph(tuple(walk.calls), output, tuple(int(size) for size in shape), str(tensor.dtype))


class _Walk:
    """Collects the calls of a model and of the models in it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._names: Counter[str] = Counter()

    def add(self, function: Any, inputs: Sequence[int], prefix: str) -> list[int]:
        """Add the calls of one graph that takes the outputs of these calls; the numbers of those that it gives."""
        given = {id(tensor): number for tensor, number in zip(function.inputs, inputs, strict=True)}
        for depth in sorted(function._nodes_by_depth, reverse=True):
            for node in function._nodes_by_depth[depth]:
                if node.is_input or any(id(tensor) not in given for tensor in node.input_tensors):
                    continue  # an input, or a node that the outputs do not need
                found = self._node(node, [given[id(tensor)] for tensor in node.input_tensors], prefix)
                given.update((id(tensor), number) for tensor, number in zip(node.outputs, found, strict=True))
        return [given[id(tensor)] for tensor in function.outputs]

    def _node(self, node: Any, sources: list[int], prefix: str) -> list[int]:
        function = _function_of(node.operation)
        name = f"{prefix}{node.operation.name}"
        if function is not None and len(function.inputs) == len(sources) and not called_specially(node):
            return self.add(function, sources, f"{name}/")
        if len(self.calls) >= LONGEST:
            raise ModelError(
                f"the model calls more than {LONGEST:,} layers; expected fewer: models in it are taken apart"
            )
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}#{self._names[name]}"
        self.calls.append(Call(name, node.operation, node, tuple(sources)))
        return [len(self.calls) - 1] * len(node.outputs)


def called_specially(node: Any, *, training: bool = False) -> str:
    """What a layer's call has besides its inputs, in words; empty if nothing that matters at inference.

    Args:
        node: Keras's record of the call.
        training: whether the layer is called in training mode unless told otherwise, as Keras does at inference.
    """
    keras = keras_library()
    leaves = keras.tree.flatten(node.arguments.args)
    given = {key: value for key, value in node.arguments.kwargs.items() if value is not None and key != "inputs"}
    if training or given.get("training") is False:
        given.pop("training", None)
    if not all(keras.utils.is_keras_tensor(leaf) for leaf in leaves):
        return "called with constants among its inputs"
    if given:
        return "called with " + ", ".join(f"{key}={value!r}" for key, value in given.items())
    return ""


def _function_of(model: Any) -> Any:
    """The graph of a model, as Keras stores it; None where its ``call`` need not be the graph."""
    keras = keras_library()
    kind = cast("Any", type(model))
    own_call = str(getattr(getattr(kind, "call", None), "__module__", ""))
    if not isinstance(model, keras.Model) or not own_call.startswith("keras.src.models."):
        return None
    function: Any = model._functional if isinstance(model, keras.Sequential) else model
    return function if isinstance(function, keras.Function) else None


def _no_graph(model: Any) -> str:
    keras = keras_library()
    if isinstance(model, keras.Sequential):
        return f"the model {model.name!r} has no input shape yet; put keras.Input(shape=...) first, or call its build"
    if isinstance(model, keras.Model):
        return f"the model {model.name!r} ({type(model).__name__}) computes by code of its own; {GRAPH_HINT}"
    return f"expected a keras.Model, got {shown(model)}; {what_to_do(model) or GRAPH_HINT}"


def _tensor_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def numbers(name: str, value: Any) -> FloatArray:
    """A weight's values in float64.

    Raises:
        ModelError: they are not finite real numbers.
    """
    try:
        return as_float64(_as_numpy(value), name)
    except InputError as error:
        raise ModelError(f"the model cannot be converted: {error}") from error


def _as_numpy(value: Any) -> Any:
    """A weight or constant as a numpy array; numbers and lists as they are."""
    keras = keras_library()
    is_tensor = keras.ops.is_tensor(value) or isinstance(value, keras.Variable)
    return keras.ops.convert_to_numpy(value) if is_tensor else value


__all__ = ["Call", "Graph", "called_specially", "graph_of", "numbers"]
