"""What a preimage can be asked of: a layer, or a layer that is one around each sample."""

from __future__ import annotations

from typing import Any, TypeAlias

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.domains import Domain
from fiberscope.network.foreign import what_to_do
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer

Layer: TypeAlias = ReLULayer | RegionLayer


def check_layer(layer: Any) -> None:
    """InputError unless this is a layer."""
    if not isinstance(layer, ReLULayer | RegionLayer):
        raise InputError(
            "layer",
            expected="a ReLULayer, or one of a network's relu_layers",
            got=shown(layer),
            hint=_layer_of(layer),
        )


def _layer_of(value: Any) -> str:
    """How to get a layer from what came instead."""
    if isinstance(value, int):
        return f"a position alone names none: pass network.relu_layers[{value}]"
    if hasattr(value, "relu_layers"):
        return "take one of its layers, such as network.relu_layers[0]"
    if isinstance(value, tuple | list):
        return "take one of them, such as network.relu_layers[0]"
    if hasattr(value, "in_features") and hasattr(value, "weight"):
        return "build one with ReLULayer(linear.weight, linear.bias)"
    advice = what_to_do(value)
    if advice and not isinstance(value, dict):
        return f"{advice}, and take one of the network's relu_layers"
    return "build one with ReLULayer(weight, bias)"


def flat_input(layer: Layer, x: Any, what: str = "x") -> FloatArray:
    """One input of a layer as a checked vector (n,), given as a vector or in the shape in which the model passes it.

    Raises:
        InputError: another shape, NaN or infinite numbers.
    """
    array = as_float64(x, what)
    shapes = dict.fromkeys([(layer.inputs,), layer.input_shape])
    if array.shape not in shapes:
        raise InputError(
            what,
            expected=f"one input of shape {' or '.join(map(str, shapes))}",
            got=f"shape {array.shape}",
            hint=_one_of_many(array.shape, tuple(shapes)),
        )
    return array.reshape(layer.inputs)


def _one_of_many(have: tuple[int, ...], shapes: tuple[tuple[int, ...], ...]) -> str:
    """What to do with inputs that are too many; otherwise, with the numbers of the layer."""
    if have[1:] in shapes:
        return "take one of them, such as the first, [0]; fiberscope.classify takes many"
    return "it must hold as many numbers as the layer has inputs, in the order in which the model passes them"


def flat_inputs(layer: Layer, X: Any, what: str) -> FloatArray:
    """Inputs of a layer as a checked matrix (N, n), each given as a vector or in the layer's input shape.

    One input alone is a batch of one.

    Raises:
        InputError: another shape, no inputs, NaN or infinite numbers.
    """
    samples = as_float64(X, what)
    shapes = dict.fromkeys([(layer.inputs,), layer.input_shape])
    if samples.shape in shapes:
        samples = samples[None]
    if samples.shape[1:] not in shapes or samples.ndim == 0:
        many = " or ".join(str(("N", *shape)).replace("'", "") for shape in shapes)
        raise InputError(
            what,
            expected=f"shape {many}",
            got=f"shape {samples.shape}",
            hint="the first axis counts the samples, each of as many numbers as the layer has inputs",
        )
    return samples.reshape(samples.shape[0], layer.inputs)


def flat_output(layer: ReLULayer, y: Any, what: str) -> FloatArray:
    """One output of a layer as a checked vector (m,), given as a vector or in the shape in which the model gives it.

    Raises:
        InputError: another shape, NaN or infinite numbers.
    """
    array = as_float64(y, what)
    shapes = dict.fromkeys([(layer.outputs,), layer.output_shape])
    if array.shape not in shapes:
        batch = array.shape[1:] in shapes
        raise InputError(
            what,
            expected=f"one output of shape {' or '.join(map(str, shapes))}",
            got=f"shape {array.shape}",
            hint="take one of them, such as the first, [0]"
            if batch
            else "it must hold as many numbers as the layer has units, in the order in which the model gives them",
        )
    return array.reshape(layer.outputs)


def local_form(layer: Layer, domain: Domain | None, x: FloatArray) -> tuple[ReLULayer, Domain | None, FloatArray]:
    """What a layer is around x, the domain there, and x in its coordinates.

    Where branches meet, the layer is one affine map and a ReLU on the linear region of x.
    """
    if isinstance(layer, ReLULayer):
        return layer, domain, x
    local = layer.at(x, domain)
    return local.layer, local.domain, local.x


def other_local_form(
    layer: Layer, domain: Domain | None, x: FloatArray
) -> tuple[ReLULayer, Domain | None, FloatArray] | None:
    """The same in the other form: by products where rows are written out, and the other way round; None without any."""
    if isinstance(layer, ReLULayer):
        other = layer.written() if layer.is_large else layer.by_products()
        return None if other is None else (other, domain, x)
    if not layer.is_of_convolutions:
        return None
    local = layer.at(x, domain, by_products=True)
    other = local.layer.written() if layer.is_large else local.layer
    return None if other is None else (other, local.domain, local.x)


__all__ = ["Layer", "check_layer", "flat_input", "flat_inputs", "flat_output", "local_form", "other_local_form"]
