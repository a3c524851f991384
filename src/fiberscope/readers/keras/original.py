"""Running a Keras model layer by layer, to compare the network with what each of its layers gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.stage import INPUT
from fiberscope.readers.keras.conversion import Converted, Origin
from fiberscope.readers.keras.full_precision import config_without_chance
from fiberscope.readers.keras.graph import Call, Graph
from fiberscope.readers.keras.layers import ACTIVATED
from fiberscope.readers.keras.library import backend_name, keras_library

ARITHMETIC = "float32"
"""What Keras computes in; models in float64 as well, because its backend torch multiplies matrices in float32."""

REPETITION_TOLERANCE = 1e-4
"""How far two runs of the same layers may be from each other, relative to the largest output.

They differ by rounding at most; a graph that was misread changes leading digits.
"""


def original_values(model: Any, graph: Graph, converted: Converted, X: FloatArray) -> Mapping[str, NDArray[Any]]:
    """What a model computes at the origins of the network's stages, the samples first.

    Args:
        model: the model; nothing is written onto it.
        graph: its calls.
        converted: the network that was converted from them.
        X: inputs (N, *input_shape).

    Raises:
        ModelError: Keras cannot run the model, or its layers together do not give what the model gives.
    """
    used = {stage.origin for stage in converted.network.stages}
    origins = {key: origin for key, origin in converted.origins.items() if key in used}
    kept = {graph.output, *(origin.call for origin in origins.values())}
    try:
        with _inference(model):
            values, before_head = _run(graph, converted.head, X.astype(graph.dtype), kept)
            with keras_library().StatelessScope():
                (output,) = keras_library().tree.flatten(model(X.astype(graph.dtype), training=False))
                whole = _as_numpy(output)
    except Exception as error:  # whatever Keras or its backend raise
        raise ModelError(f"Keras cannot run the model on inputs of shape {X.shape}: {error}") from error
    _check_repetition(values[graph.output], whole)
    values[graph.output] = whole
    return {
        key: _in_order(before_head if origin.before_head else values[origin.call], origin)
        for key, origin in origins.items()
    }


def _run(
    graph: Graph, head: int | None, X: NDArray[Any], kept: set[int]
) -> tuple[dict[int, NDArray[Any]], NDArray[Any] | None]:
    """What the calls in ``kept`` give, and what the last layer computes before its softmax."""
    keras = keras_library()
    twin = None if head is None else _without_softmax(graph.calls[head])
    users = Counter(source for call in graph.calls for source in call.sources)
    live: dict[int, Any] = {INPUT: keras.ops.convert_to_tensor(X, dtype=str(X.dtype))}
    values: dict[int, NDArray[Any]] = {INPUT: X}
    before_head: NDArray[Any] | None = None
    with keras.StatelessScope():  # layers can neither change their variables nor keep losses
        for number, call in enumerate(graph.calls):
            inputs = [live[source] for source in call.sources]
            live[number] = call.run(inputs)
            if number == head and twin is not None:
                before_head = _as_numpy(twin(*inputs))
            if number in kept:
                values[number] = _as_numpy(live[number])
            users.subtract(call.sources)
            for source in call.sources:
                if not users[source]:
                    live.pop(source, None)
    return values, before_head


def _without_softmax(call: Call) -> Any:
    """A copy of a layer that leaves its activation off; None where the layer is the softmax itself."""
    if call.class_name not in ACTIVATED:
        return None
    layer = call.operation
    config = {**config_without_chance(layer), "activation": "linear"}
    kind = cast("Any", type(layer))
    twin: Any = kind.from_config(config)
    twin.build(call.node.input_tensors[0].shape)
    twin.set_weights(layer.get_weights())
    return twin


@contextmanager
def _inference(model: Any) -> Generator[None, None, None]:
    """Computing where the model's variables lie, without gradients, and in full precision."""
    keras = keras_library()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if backend_name() == "torch":
            device = next((str(variable.value.device) for variable in model.variables), "cpu")
            stack.enter_context(keras.device(device))
            if device != "cpu":  # convolutions would otherwise round their inputs to ten bits
                flags: Any = torch.backends.cudnn.flags
                stack.enter_context(flags(enabled=True, allow_tf32=False))
        yield


def _as_numpy(value: Any) -> NDArray[Any]:
    return np.asarray(keras_library().ops.convert_to_numpy(value))


def _in_order(values: NDArray[Any] | None, origin: Origin) -> NDArray[Any]:
    """The values of an origin in the order of its stage."""
    assert values is not None, "the values of every origin are kept"
    return values if origin.order is None else values.reshape(len(values), -1)[:, origin.order]


def _check_repetition(layers: NDArray[Any], whole: NDArray[Any]) -> None:
    scale = 1.0 + float(np.max(np.abs(whole)))
    fits = layers.shape == whole.shape and bool((np.abs(layers - whole) <= REPETITION_TOLERANCE * scale).all())
    if not fits:
        raise ModelError(
            "the layers of the model, run one after the other, do not give what the model gives: expected equal "
            "outputs; if it has code that changes values between layers, remove it, otherwise please report this model"
        )


__all__ = ["ARITHMETIC", "original_values"]
