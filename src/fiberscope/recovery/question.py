"""What is asked of a recovery: a layer, its features, how well they are known, and where inputs lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.layer import Layer, check_layer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import INPUT
from fiberscope.preimages.sides import checked_within
from fiberscope.scalars import as_position


@dataclass(frozen=True, eq=False)
class Subject:
    """The map from an input to a layer's output.

    Attributes:
        network: the network; None for a layer alone.
        layer: the number of its layer; 0 for a layer alone.
        features_of: the layer itself.
        single: the layer, where it is a clip of one affine map of the input; None where it is not.
        input_shape: of one input.
    """

    network: Network | None
    layer: int
    features_of: Layer
    single: ReLULayer | None
    input_shape: tuple[int, ...]

    @classmethod
    def of(cls, given: Any, layer: Any) -> Subject:
        """The layer that is meant.

        Raises:
            InputError: this is neither a network nor a layer, or there is no such layer.
            ModelError: the network has no layer.
        """
        if not isinstance(given, Network):
            check_layer(given)
            as_position(layer, 1, "layer", hint="a layer alone is layer 0")
            single = given if isinstance(given, ReLULayer) and not given.injective.any() else None
            return cls(None, 0, given, single, given.input_shape)
        count = len(given.relu_layers)
        if not count:
            raise ModelError(given.nothing_to_judge())
        position = as_position(layer, count, "layer", hint="network.relu_layers lists them")
        found, first = given.relu_layers[position], given.placed_layers[position].source == INPUT
        alone = found if first and isinstance(found, ReLULayer) and not found.injective.any() else None
        return cls(given, position, found, alone, given.input_shape)

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return prod(self.input_shape)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the output and of the input.

    Attributes:
        y: (m,) the features.
        within: (m,) by how much the output may differ from them.
        domain: where inputs lie; None for all of R^n.
    """

    y: FloatArray
    within: FloatArray
    domain: Domain | None

    @property
    def low(self) -> FloatArray:
        """(m,) lower bounds on the output, rounded outwards."""
        return self._end(-1.0)

    @property
    def high(self) -> FloatArray:
        """(m,) upper bounds."""
        return self._end(1.0)

    def _end(self, sign: float) -> FloatArray:
        exact = self.within == 0
        return np.where(exact, self.y, np.nextafter(self.y + sign * self.within, sign * np.inf))

    def box(self, n: int) -> Polyhedron:
        """The domain, written out."""
        return as_polyhedron(self.domain, n)


def features_of(subject: Subject, features: Any) -> tuple[Float64[FloatArray, "N m"], bool]:
    """Features as (N, m), and whether they came as a batch: any shape that has as many numbers as the layer has units.

    Raises:
        InputError: another number, NaN or infinite numbers.
    """
    array, m = as_float64(features, "features"), subject.features_of.outputs
    if array.size == m and (array.ndim <= 1 or array.shape[0] != 1 or array.shape == _own(subject.features_of)):
        return array.reshape(1, m), False
    if array.ndim > 1 and prod(array.shape[1:]) == m:
        return array.reshape(len(array), m), True
    which = "the layer" if subject.network is None else f"layer {subject.layer}"
    raise InputError(
        "features",
        expected=f"{m} numbers, the output of {which}, or several times as many with the samples in front",
        got=f"shape {array.shape}",
        hint="layer=... says which ReLU layer they come from",
    )


def _own(layer: Layer) -> tuple[int, ...]:
    return layer.output_shape if isinstance(layer, ReLULayer) else (layer.outputs,)


def within_of(subject: Subject, within: Any) -> Float64[FloatArray, " m"]:
    """By how much each unit may differ, (m,).

    Raises:
        InputError: negative, of another shape, or not finite.
    """
    if isinstance(subject.features_of, ReLULayer) and not subject.features_of.injective.any():
        return checked_within(subject.features_of, within)[0]
    array, m = as_float64(within, "within"), subject.features_of.outputs
    if array.shape not in ((), (m,)) or (array < 0).any():
        got = shown(within) if array.shape == () else f"shape {array.shape}"
        raise InputError("within", expected=f"a number of at least 0, or {m} of them", got=got)
    return np.broadcast_to(array, (m,)).copy()


__all__ = ["Known", "Subject", "features_of", "within_of"]
