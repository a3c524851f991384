"""One operation of a graph of ONNX with its inputs resolved, as the table of operators sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, helper

from fiberscope.errors import ModelError
from fiberscope.network.activations import Maximum
from fiberscope.network.building import NetworkBuilder, Value
from fiberscope.network.stage import INPUT, Stage
from fiberscope.network.structured import NOTHING, WeightedSums

Array = NDArray[Any]

Result = Value | Array | tuple[Value | Array, ...]
"""What an operator gives: values that depend on the input, or constants."""

LARGEST_CONSTANT = 2**28
"""Entries of a constant that is computed from others: damaged files ask for any number."""

LARGEST_VALUE = 2**25
"""Entries of a tensor that depends on the input."""

LARGEST_TABLE = 2**26
"""Entries of a table of positions: what windows, sums or products take together, for every entry of the result."""

MOST_VALUES = 2**28
"""Entries of all tensors that depend on the input, and of their tables of positions, together."""

MOST_CONSTANTS = 2**30
"""Entries of all constants that operations take, together."""

MOST_PATHS = 2**12
"""Paths of affine maps that meet in one place: every sum of a tensor with itself doubles them."""


class Unsupported(ModelError):
    """An operation that cannot be converted, with the reason; collected, and reported with all others."""


class OnnxBuilder(NetworkBuilder):
    """A builder that keeps count, and whose stages state which tensor they are only once the reader says so.

    Args:
        shape: the shape of the input, as for ``NetworkBuilder``.
        sample_axis: whether its first axis counts the samples.
    """

    def __init__(self, shape: tuple[int, ...], *, sample_axis: bool = True) -> None:
        super().__init__(shape, sample_axis=sample_axis)
        self._paths: dict[int, int] = {INPUT: 1}
        self._entries = 0
        self._constants = 0

    @property
    def count(self) -> int:
        """The number of stages so far."""
        return len(self._paths) - 1

    def count_constant(self, array: Array) -> None:
        """Keep count of a constant that the network will hold.

        Raises:
            Unsupported: these are too many numbers.
        """
        self._constants += array.size
        if self._constants > MOST_CONSTANTS:
            raise Unsupported(f"the constants up to here have more than {MOST_CONSTANTS} entries")

    def _add(self, stage: Stage, shape: tuple[int, ...]) -> Value:
        tables = [affine.index for affine in stage.maps if isinstance(affine, WeightedSums)]
        if isinstance(stage.activation, Maximum):
            tables.append(stage.activation.index)
        self._entries += prod(shape) * max(1, len(stage.maps)) + sum(table.numel() for table in tables)
        if self._entries > MOST_VALUES:
            raise Unsupported(f"the results up to here have more than {MOST_VALUES} entries")
        paths = 1 if stage.activation is not None else sum(self._paths[source] for source in stage.sources or ())
        if paths > MOST_PATHS:
            raise Unsupported(f"more than {MOST_PATHS} paths of affine maps meet here")
        value = super()._add(replace(stage, origin=""), shape)
        self._paths[value.number] = paths
        return value


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a graph.

    Attributes:
        name: what its stages are called.
        type: the operator, behind its set unless that is the standard one.
        opset: the version of the set that the operator belongs to.
        inputs: values that depend on the network's input, constants, or None for those left out.
        names: the names of the inputs in the graph.
        outputs: how many results it has.
        attributes: its attributes as Python values.
        dtype: the type of all that depends on the network's input; empty where casts change it.
        batch: how many samples the model takes at a time; here there is one in their place.
        builder: where its stages go.
    """

    name: str
    type: str
    opset: int
    inputs: tuple[Value | Array | None, ...]
    names: tuple[str, ...]
    outputs: int
    attributes: Mapping[str, Any]
    dtype: str
    batch: int
    builder: OnnxBuilder

    def of_one_sample(self, sizes: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sizes that are written for a batch of values of that shape, for the one sample that is here in its place."""
        written = self.batch > 1 and isinstance(self.given(0), Value)
        return (1, *sizes[1:]) if written and (*sizes[:1], *shape[:1]) == (self.batch, 1) else tuple(sizes)

    # ---- inputs

    def has(self, position: int) -> bool:
        """Whether an input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def given(self, position: int) -> Value | Array:
        """An input, constant or not."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise Unsupported(f"expected at least {position + 1} inputs")
        return value

    def value(self, position: int = 0) -> Value:
        """An input that depends on the network's input."""
        value = self.given(position)
        if not isinstance(value, Value):
            raise Unsupported(f"its input {self.names[position]!r} is a constant, while others are not")
        return value

    def constant(self, position: int) -> Array:
        """An input that must not depend on the network's input."""
        value = self.given(position)
        if isinstance(value, Value):
            raise Unsupported(f"its input {self.names[position]!r} depends on the network's input")
        return value

    def numbers(self, position: int) -> NDArray[np.float64]:
        """A constant input of finite real numbers, in float64."""
        array = self.constant(position)
        if array.dtype.kind not in "iuf":
            raise Unsupported(f"its input {self.names[position]!r} holds {array.dtype}, not real numbers")
        self.builder.count_constant(array)
        if not np.isfinite(array).all():
            raise Unsupported(f"its input {self.names[position]!r} holds NaN or infinite numbers")
        return np.asarray(array, dtype=np.float64)

    def number_at(self, position: int, attribute: str, default: float) -> float:
        """One number, which older operators have as an attribute and newer ones as an input."""
        if not self.has(position):
            return self.number(attribute, default)
        array = self.constant(position)
        if array.size != 1:
            raise Unsupported(f"its input {self.names[position]!r} is not one number")
        return float(array.reshape(()))

    def integers_at(self, position: int, attribute: str) -> tuple[int, ...] | None:
        """Whole numbers, which older operators have as an attribute and newer ones as an input; None if not given."""
        if not self.has(position):
            return self.integers(attribute)
        array = self.constant(position)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise Unsupported(f"its input {self.names[position]!r} is no list of whole numbers")
        return tuple(int(number) for number in array.reshape(-1))

    # ---- attributes

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Unsupported(f"its attribute {name} is no whole number")
        return value

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number; they are of single precision in the format, defaults included."""
        value = self.attributes.get(name, float(np.float32(default)))
        if not isinstance(value, int | float) or np.isnan(value):
            raise Unsupported(f"its attribute {name} is no number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers; None if it is not there."""
        value: Any = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(number, int) for number in value):  # pyright: ignore[reportUnknownVariableType]
            raise Unsupported(f"its attribute {name} is no list of whole numbers")
        return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        value = self.attributes.get(name, default.encode())
        if not isinstance(value, bytes):
            raise Unsupported(f"its attribute {name} is no text")
        return value.decode(errors="replace")

    # ---- results

    def part(self, what: str) -> str:
        """The name of a stage that is only a part of the operation."""
        return f"{self.name}/{what}"

    def moved(self, value: Value, index: Array, fill: float = 0.0, name: str = "") -> Value | Array:
        """The numbers of a value at these positions; a constant where there are none."""
        if index.size == 0:
            return np.zeros(index.shape, dtype=np.float32)
        return self.taken(value, index, name or self.name, fill)

    def taken(self, value: Value, index: Array, name: str, fill: float = 0.0) -> Value:
        """The numbers of a value at these positions; no stage where their order is unchanged."""
        if index.size == value.size and np.array_equal(index.reshape(-1), np.arange(value.size)):
            return self.builder.reshape(value, tuple(index.shape))
        check_size(index.shape)
        return self.builder.take(name, value, index, fill)

    def as_value(self, constant: Array, beside: Value, name: str) -> Value:
        """A constant as a value, where the network needs one: it takes nothing of ``beside``."""
        check_size(constant.shape)
        return self.builder.take(name, beside, np.full(constant.shape, NOTHING), np.asarray(constant, dtype=np.float64))

    def note(self, text: str) -> None:
        """Tell readers of results something about this operation."""
        self.builder.note(f"{self.name}: {text}")


def check_size(shape: Sequence[int], largest: int = LARGEST_VALUE) -> None:
    """Unsupported if a tensor would have too many entries, or none."""
    if prod(shape) > largest:
        raise Unsupported(f"a tensor of shape {tuple(shape)} would have more than {largest} entries")
    if largest != LARGEST_CONSTANT and prod(shape) < 1:
        raise Unsupported(f"a tensor of shape {tuple(shape)} would have no entries")


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """The attributes as Python values; texts as bytes.

    Raises:
        Unsupported: an attribute that is given twice, or has no value of its own.
    """
    out: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name in out or attribute.ref_attr_name or attribute.type == AttributeProto.UNDEFINED:
            raise Unsupported(f"its attribute {attribute.name} is given twice, or without a value")
        out[attribute.name] = helper.get_attribute_value(attribute)
    return out


__all__ = [
    "LARGEST_CONSTANT",
    "LARGEST_TABLE",
    "LARGEST_VALUE",
    "MOST_CONSTANTS",
    "MOST_PATHS",
    "MOST_VALUES",
    "Array",
    "OnnxBuilder",
    "Operation",
    "Result",
    "Unsupported",
    "attributes_of",
    "check_size",
]
