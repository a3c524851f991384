"""Models that compute in half precision, as the same models in single precision.

A policy such as ``mixed_float16`` stores weights in float32, and rounds them and all values to 11 bits on the way
(``mixed_bfloat16``: to 8). What such arithmetic gives is known only up to errors that grow with the width of a layer,
so that a comparison with it could miss a real difference. A verdict is about the stored numbers, and these are compared
with Keras in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from fiberscope.errors import ModelError
from fiberscope.readers.keras.graph import Graph, graph_of
from fiberscope.readers.keras.library import keras_library

HALF = ("float16", "bfloat16")
"""Types of numbers in place of which full precision is used."""

FULL = "float32"


@dataclass(frozen=True, eq=False)
class FullPrecision:
    """A model that computes in full precision.

    Attributes:
        model: the caller's model, or a copy of it that does.
        graph: its calls.
        note: what a reader of results must know where it is a copy; else empty.
    """

    model: Any
    graph: Graph
    note: str = ""


def full_precision(model: Any) -> FullPrecision:
    """The model, or if it computes in half precision, a copy with its weights that computes in float32.

    Raises:
        ModelError: Keras cannot copy it, or what ``graph_of`` raises.
    """
    graph = graph_of(model)
    half = " and ".join(sorted({call.dtype for call in graph.calls if call.dtype in HALF}))
    if not half:
        return FullPrecision(model, graph)
    try:
        twin = _copied(model)
    except Exception as error:  # whatever Keras raises
        raise ModelError(
            f"the model computes in {half}, and Keras cannot copy it to compute in {FULL} ({error}); build it under "
            "the policy float32 (keras.config.set_dtype_policy), and give it the weights (set_weights)"
        ) from error
    note = (
        f"the model computes in {half}, which rounds weights and values on the way; the network has the numbers that "
        f"it stores, and is compared with Keras in {FULL}, from which the model itself differs by up to "
        f"{_difference(model, twin, graph):.2g} on random inputs"
    )
    return FullPrecision(twin, graph_of(twin), note)


def _copied(model: Any) -> Any:
    keras = keras_library()
    twin = keras.models.clone_model(model, clone_function=_in_full_precision, recursive=True)
    twin.set_weights(model.get_weights())
    for layer in twin._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # what it computes with is made of its weights
    return twin


def _in_full_precision(operation: Any) -> Any:
    kind = cast("Any", type(operation))
    if not isinstance(operation, keras_library().layers.Layer):
        return kind.from_config(operation.get_config())
    return kind.from_config({**config_without_chance(operation), "dtype": FULL})


def config_without_chance(layer: Any) -> dict[str, Any]:
    """What a layer is made from, for a copy that gets its weights: no random numbers are drawn to build it.

    Drawing some would advance the generators of whoever called.
    """
    config = dict(layer.get_config())
    for key in config:
        if key.endswith("_initializer"):
            config[key] = "zeros"
        elif key.endswith(("_regularizer", "_constraint")):
            config[key] = None
        elif key == "seed":
            config[key] = 0
    return config


def _difference(model: Any, twin: Any, graph: Graph) -> float:
    """How far the outputs of both are apart on random inputs, where both are finite."""
    keras = keras_library()
    X = np.random.default_rng(0).standard_normal((8, *graph.input_shape)).astype(graph.dtype)
    with torch.no_grad(), keras.StatelessScope():
        ours, theirs = (
            np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(run(X, training=False), FULL)), dtype=np.float64)
            for run in (twin, model)
        )
    return float(np.max(np.abs(ours - theirs), where=np.isfinite(theirs), initial=0.0))


__all__ = ["FullPrecision", "config_without_chance", "full_precision"]
