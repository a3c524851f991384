"""What a preimage can be asked of: a layer, or a layer that is one around each sample."""

from __future__ import annotations

from typing import Any, TypeAlias

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.domains import Domain
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer

Layer: TypeAlias = ReLULayer | RegionLayer


def check_layer(layer: Any) -> None:
    """InputError unless this is a layer."""
    if not isinstance(layer, ReLULayer | RegionLayer):
        raise InputError(
            "layer",
            expected="a ReLULayer, or one of a network's relu_layers",
            got=type(layer).__name__,
            hint="build one with ReLULayer(weight, bias)",
        )


def flat_input(layer: Layer, x: Any, what: str = "x") -> FloatArray:
    """One input of a layer as a checked vector (n,), given as a vector or in the shape in which the model passes it.

    Raises:
        InputError: another shape, NaN or infinite numbers.
    """
    return flat_inputs(layer, as_float64(x, what)[None], what)[0]


def flat_inputs(layer: Layer, X: Any, what: str) -> FloatArray:
    """Inputs of a layer as a checked matrix (N, n), each given as a vector or in the layer's input shape.

    Raises:
        InputError: another shape, no inputs, NaN or infinite numbers.
    """
    samples = as_float64(X, what)
    shapes = dict.fromkeys([(layer.inputs,), layer.input_shape])
    if samples.ndim == 0 or samples.shape[1:] not in shapes:
        expected = " or ".join(map(str, shapes))
        raise InputError(what, expected=f"shape {expected} per sample", got=f"shape {samples.shape[1:]}")
    return samples.reshape(samples.shape[0], layer.inputs)


def around(layer: Layer, domain: Domain | None, x: FloatArray) -> tuple[ReLULayer, Domain | None, FloatArray]:
    """What a layer is around x, the domain there, and x in its coordinates.

    Where branches meet, the layer is one affine map and a ReLU on the linear region of x.
    """
    if isinstance(layer, ReLULayer):
        return layer, domain, x
    local = layer.at(x, domain)
    return local.layer, local.domain, local.x


__all__ = ["Layer", "around", "check_layer", "flat_input", "flat_inputs"]
