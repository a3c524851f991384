"""Building a network from the calls of a Keras model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import IntArray
from fiberscope.network.building import NetworkBuilder, Value, head_note
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.readers.keras.activations import applied, is_head, name_of, nonlinearity
from fiberscope.readers.keras.graph import Call, Graph
from fiberscope.readers.keras.layers import (
    ACTIVATED,
    AUGMENTING,
    DTYPES,
    PASSING,
    refusal,
    softmax_at_the_end,
    supported,
)
from fiberscope.readers.keras.tensor import Tensor, arranged, in_order

LOGITS = "the inputs of the softmax"
"""Stands for what a layer computes before its softmax, which the model itself does not give."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the original gives the values of a stage.

    Attributes:
        call: the number of the call; -1 for the model's input.
        order: which entry of the call's flat output lies at each position of the stage; None if they agree.
        before_head: whether the values are those before the call's own softmax.
    """

    call: int
    order: Int64[IntArray, " n"] | None = None
    before_head: bool = False


@dataclass(frozen=True, eq=False)
class Converted:
    """A network, and how it relates to the model.

    Attributes:
        network: the network; its stages name their origin.
        origins: where the original gives the values of each origin.
        head: the number of the call whose softmax is left off; None if there is none.
    """

    network: Network
    origins: dict[str, Origin] = field(repr=False)
    head: int | None


def converted(graph: Graph) -> Converted:
    """Convert the calls of a model.

    Raises:
        ModelError: operations that are not supported, all of them named; weights that are not finite.
    """
    head = head_of(graph)
    _refuse_unsupported(graph, head)
    conversion = _Conversion(graph, head)
    for number in range(len(graph.calls)):
        conversion.add(number)
    return conversion.finished()


def head_of(graph: Graph) -> int | None:
    """The call whose softmax gives the model's output, whatever passes it on; None if there is none."""
    number = graph.output
    while number != INPUT:
        call = graph.calls[number]
        if softmax_at_the_end(call):
            return number
        passes = call.class_name in (*PASSING, *AUGMENTING) or (
            call.class_name == "Activation" and name_of(call.operation.activation) == "linear"
        )
        if not passes or len(call.sources) != 1:
            return None
        (number,) = call.sources
    return None


def _refuse_unsupported(graph: Graph, head: int | None) -> None:
    found: list[str] = []
    for number, call in enumerate(graph.calls):
        reason = refusal(call, at_the_end=number == head)
        if reason is not None:
            found.append(f"{call.name} ({call.class_name}{': ' if reason else ''}{reason})")
    if found:
        raise ModelError(
            f"the model contains layers that are not supported: {', '.join(found)}; replace them, or cut the model "
            "before them with keras.Model(model.inputs, layer.output)",
            unsupported=tuple(found),
        )
    if graph.dtype not in DTYPES:
        raise ModelError(
            f"the model takes {graph.dtype} inputs; expected {' or '.join(DTYPES)}: build it with "
            "keras.Input(..., dtype='float32')"
        )


class _Conversion:
    """The network as far as it is built, and the tensor that each call gave."""

    def __init__(self, graph: Graph, head: int | None) -> None:
        self._graph = graph
        self._head = head
        self._builder = NetworkBuilder((1, *graph.input_shape))
        self._tensors: dict[int, Tensor] = {INPUT: in_order(self._builder.input)}
        self._origins: dict[str, Origin] = {}
        self._stages = 0

    def add(self, number: int) -> None:
        """Convert one call."""
        call = self._graph.calls[number]
        tensors = [self._tensors[source] for source in call.sources]
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused where it enters the network
                self._tensors[number] = self._converted(number, call, tensors)
        except InputError as error:
            raise ModelError(f"{call.name} ({call.class_name}) cannot be converted: {error}") from error

    def _converted(self, number: int, call: Call, tensors: list[Tensor]) -> Tensor:
        how, activated = supported(call.operation), call.class_name in ACTIVATED
        before_head = number == self._head
        if before_head:
            kind = name_of(call.operation.activation) if activated else call.class_name
            kind = "log_softmax" if kind.lower().replace("_", "") == "logsoftmax" else "softmax"
            self._builder.note(head_note(call.name, kind))
            if not activated:
                return tensors[0]
        assert how is not None, "other layers are refused before"
        tensor = how.convert(self._builder, call, tensors)
        if activated and not is_head(call.operation.activation):
            what = nonlinearity(call.operation.activation)
            assert what is not None, "other activations are refused before"
            tensor = applied(self._builder, f"{call.name}.activation", tensor, what)
        self._name_origins(tensor, Origin(number, before_head=before_head))
        return tensor

    def _name_origins(self, tensor: Tensor, origin: Origin) -> None:
        """State where the original gives a call's output; it does not give what the call computes on the way."""
        number = tensor.value.number
        if number < self._stages:
            return  # no stage was added: the values are those of an earlier call
        for between in range(self._stages, number):
            self._builder.renamed(Value(between, ()), "")
        self._stages = number + 1
        order = None if tensor.in_order else tensor.inverse
        key = self._graph.calls[origin.call].name if origin.call != INPUT else "the model's input"
        key += f" ({LOGITS})" if origin.before_head else ""
        key += "" if order is None else " (in another order)"
        self._origins[key] = Origin(origin.call, order, origin.before_head)
        self._builder.renamed(tensor.value, key)

    def finished(self) -> Converted:
        """The network with its output in the order of the model."""
        tensor = self._tensors[self._graph.output]
        source = self._graph.output
        head = self._head
        value = arranged(self._builder, "output", tensor, tensor.index)
        before_head = head is not None and self._graph.calls[head].class_name in ACTIVATED
        if head is not None:
            source = head if before_head else self._graph.calls[head].sources[0]
        if value.number == INPUT:
            value = self._builder.take("output", value, value.positions)
        self._name_origins(in_order(value), Origin(source, before_head=before_head))
        return Converted(self._builder.build(value), self._origins, head)


__all__ = ["LOGITS", "Converted", "Origin", "converted", "head_of"]
