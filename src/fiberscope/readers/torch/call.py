"""Calls of operators in an exported program, and what an entry in the table of operators says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from torch import Tensor, fx

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import NetworkBuilder, Value

Result: TypeAlias = Any
"""A Value; a tensor or number, if it does not depend on the input; or a tuple of these, None where not available."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an operator.

    Attributes:
        builder: where stages are added.
        name: what the stage is to be called.
        target: the operator, ``torch.ops.aten.relu.default`` for example.
        arguments: by the names of the operator's schema, defaults included. Tensors that depend on the input are
            Values, others float64 tensors.
    """

    builder: NetworkBuilder
    name: str
    target: Any
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument that not every form of the operator has."""
        value = self.arguments.get(name)
        return default if value is None else value

    @property
    def value(self) -> Value:
        """The only argument that depends on the input."""
        (value,) = (item for item in self.arguments.values() if isinstance(item, Value))
        return value

    def per_axis(self, name: str, axes: int) -> tuple[int, ...]:
        """An argument that is one number per axis, or one for all of them; empty if it is."""
        given: Any = self.arguments[name]
        sizes = [int(size) for size in np.ravel(given)]
        return tuple(sizes * axes if len(sizes) == 1 else sizes)


@dataclass(frozen=True, eq=False)
class Operator:
    """How calls of an operator are converted.

    Attributes:
        convert: adds stages for a call, and gives its result.
        varying: the arguments that may depend on the network's input.
        exclusive: those of which only one may at once; None for all of them.
        refusal: why a call is not supported, from its node and its arguments by name; empty if it is.
        moves: whether it only moves numbers: these belong to the affine map that follows, and take no name from it.
        is_head: whether it is left off at the end.
    """

    convert: Callable[[Call], Result]
    varying: tuple[str, ...] = ("self",)
    exclusive: tuple[str, ...] | None = None
    refusal: Callable[[fx.Node, Mapping[str, Any]], str] | None = None
    moves: bool = False
    is_head: bool = False


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by the names of the operator's schema, defaults included."""
    target: Any = node.target
    arguments: dict[str, Any] = {}
    for i, argument in enumerate(target._schema.arguments):
        if i < len(node.args):
            arguments[argument.name] = node.args[i]
        else:
            arguments[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return arguments


def called(target: Any, arguments: Mapping[str, Any]) -> Any:
    """Call an operator with its arguments by name, some of which can only be given by position."""
    schema = target._schema.arguments
    positional = [arguments[argument.name] for argument in schema if not argument.kwarg_only]
    named = {argument.name: arguments[argument.name] for argument in schema if argument.kwarg_only}
    return target(*positional, **named)


def nodes_in(item: Any) -> list[fx.Node]:
    """The nodes in an argument, however it nests."""
    if isinstance(item, fx.Node):
        return [item]
    if isinstance(item, list | tuple):
        return [node for part in cast("Sequence[Any]", item) for node in nodes_in(part)]
    return []


def operator_name(target: Any) -> str:
    """``relu`` for ``torch.ops.aten.relu.default``; other functions by whatever name they have."""
    schema = getattr(target, "_schema", None)
    return str(getattr(target, "__name__", target)) if schema is None else schema.name.split("::")[-1]


def taken(builder: NetworkBuilder, name: str, value: Value, index: IntArray, fill: FloatArray | float = 0.0) -> Value:
    """The entries at these positions; no stage where they keep their order."""
    if np.array_equal(index.ravel(), np.arange(value.size)):
        return builder.reshape(value, index.shape)
    return builder.take(name, value, index, fill)


def numbers(item: Any) -> FloatArray:
    """A tensor or number that does not depend on the input, as an array."""
    return np.asarray(as_array(item), dtype=np.float64)


def as_array(item: Any) -> Any:
    """A tensor as an array of the same numbers, and whatever else as it is: nothing is copied on the CPU."""
    return item.detach().cpu().numpy() if isinstance(item, Tensor) else item


__all__ = ["Call", "Operator", "Result", "as_array", "bound", "called", "nodes_in", "numbers", "operator_name", "taken"]
