"""What each activation function and activation layer of Keras computes, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fiberscope.network.activations import PointwiseKind
from fiberscope.network.building import NetworkBuilder
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.library import keras_library
from fiberscope.readers.keras.tensor import Tensor

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
"""The constants of the self-normalising ELU (Klambauer et al., Self-Normalizing Neural Networks, 2017)."""

HEADS = ("softmax", "log_softmax")
"""Functions that are left off at the end of a model."""


@dataclass(frozen=True, eq=False)
class Nonlinearity:
    """``outer * f(inner * x + shift)``, with f one of the pointwise activations; the identity if there is none.

    Attributes:
        function: f; None for the identity.
        alpha: the first parameter of f.
        beta: the second parameter of f.
        slope: for a leaky ReLU, its slope, or slopes that are broadcast to the tensor's shape.
        inner: what the input is multiplied with.
        shift: what is then added.
        outer: what the output is multiplied with.
    """

    function: PointwiseKind | None
    alpha: float = 1.0
    beta: float = 1.0
    slope: Any = None
    inner: float = 1.0
    shift: float = 0.0
    outer: float = 1.0


IDENTITY = Nonlinearity(None)
RELU = Nonlinearity(PointwiseKind.RELU)

FUNCTIONS: dict[str, Nonlinearity] = {
    "linear": IDENTITY,
    "relu": RELU,
    "relu6": Nonlinearity(PointwiseKind.CLIP, 0.0, 6.0),
    "leaky_relu": Nonlinearity(PointwiseKind.LEAKY_RELU, slope=0.2),
    "elu": Nonlinearity(PointwiseKind.ELU),
    "celu": Nonlinearity(PointwiseKind.ELU),
    "selu": Nonlinearity(PointwiseKind.ELU, SELU_ALPHA, outer=SELU_SCALE),
    "softplus": Nonlinearity(PointwiseKind.SOFTPLUS),
    "log_sigmoid": Nonlinearity(PointwiseKind.SOFTPLUS, inner=-1.0, outer=-1.0),
    "tanh": Nonlinearity(PointwiseKind.TANH),
    "sigmoid": Nonlinearity(PointwiseKind.SIGMOID),
    "hard_tanh": Nonlinearity(PointwiseKind.CLIP, -1.0, 1.0),
    "hard_sigmoid": Nonlinearity(PointwiseKind.CLIP, 0.0, 1.0, inner=1 / 6, shift=0.5),
}
"""The functions of ``keras.activations`` that are supported, with Keras's defaults for their parameters."""


def _relu_layer(layer: Any) -> Nonlinearity | None:
    if layer.threshold:
        return None
    if layer.max_value is not None:
        return None if layer.negative_slope else clip(0.0, float(layer.max_value))
    return leaky(layer.negative_slope) if layer.negative_slope else RELU


def leaky(slope: Any) -> Nonlinearity:
    """A leaky ReLU."""
    return Nonlinearity(PointwiseKind.LEAKY_RELU, slope=slope)


def clip(low: float, high: float) -> Nonlinearity:
    """``min(max(x, low), high)``."""
    return Nonlinearity(PointwiseKind.CLIP, low, high)


ACTIVATION_LAYERS: dict[str, Callable[[Any], Nonlinearity | None]] = {
    "Activation": lambda layer: nonlinearity(layer.activation),
    "ReLU": _relu_layer,
    "LeakyReLU": lambda layer: leaky(layer.negative_slope),
    "ELU": lambda layer: Nonlinearity(PointwiseKind.ELU, float(layer.alpha)),
}
"""The layers of Keras that are one of these functions; None where their parameters make them another one."""


def name_of(activation: Any) -> str:
    """The name of a function of ``keras.activations``, or of an activation that is not one of them."""
    functions = cast("dict[str, Any]", vars(keras_library().activations))
    for name, function in functions.items():
        if function is activation:
            return name
    return str(getattr(activation, "__qualname__", type(activation).__name__))


def nonlinearity(activation: Any) -> Nonlinearity | None:
    """What a layer's ``activation`` computes: a function, or a layer used as one; None if it is not supported."""
    keras = keras_library()
    if isinstance(activation, keras.layers.Layer):
        known = ACTIVATION_LAYERS.get(type(activation).__name__)
        is_keras = type(activation) is getattr(keras.layers, type(activation).__name__, None)
        return known(activation) if known is not None and is_keras else None
    if getattr(keras.activations, name_of(activation), None) is not activation:
        return None
    return FUNCTIONS.get(name_of(activation))


def is_head(activation: Any) -> bool:
    """Whether a layer's ``activation`` is a softmax, or the layer itself is one."""
    keras = keras_library()
    if type(activation) is keras.layers.Activation:
        return is_head(activation.activation)
    return type(activation) is keras.layers.Softmax or any(
        activation is getattr(keras.activations, name) for name in HEADS
    )


def applied(builder: NetworkBuilder, name: str, tensor: Tensor, what: Nonlinearity) -> Tensor:
    """The activation behind a tensor, with its factors before and after it."""
    if what.function is None:
        return tensor
    value = tensor.value
    if (what.inner, what.shift) != (1.0, 0.0):
        value = builder.scaled(name, value, what.inner, what.shift)
    slope = None if what.slope is None else tensor.held(np.asarray(what.slope))
    if what.function is PointwiseKind.CLIP:
        value = builder.clip(name, value, what.alpha, what.beta)
    else:
        value = builder.pointwise(name, value, what.function, alpha=what.alpha, beta=what.beta, slope=slope)
    if what.outer != 1.0:
        value = builder.scaled(name, value, what.outer)
    return Tensor(value, tensor.index)


def activation(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A layer that is an activation."""
    (tensor,) = tensors
    what = ACTIVATION_LAYERS[call.class_name](call.operation)
    assert what is not None, "layers with other parameters are refused before"
    return applied(builder, call.name, tensor, what)


def parametric(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A ReLU with learned slopes, one per entry of a sample, or shared along axes."""
    (tensor,) = tensors
    return applied(builder, call.name, tensor, leaky(call.weight("alpha")))


__all__ = [
    "ACTIVATION_LAYERS",
    "FUNCTIONS",
    "HEADS",
    "Nonlinearity",
    "activation",
    "applied",
    "clip",
    "is_head",
    "leaky",
    "name_of",
    "nonlinearity",
    "parametric",
]
