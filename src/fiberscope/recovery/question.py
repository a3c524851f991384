"""What is asked of a recovery: a layer, its features, how well they are known, and where inputs lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.monotone import ends
from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.layer import Layer, check_layer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import INPUT
from fiberscope.scalars import as_position


@dataclass(frozen=True, eq=False)
class Subject:
    """The map from an input to a layer's output.

    Attributes:
        network: the network; None for a layer alone.
        layer: the number of its layer; 0 for a layer alone.
        features_of: the layer itself.
        single: the layer, where it is one affine map of the input, with strictly monotone units as what they receive;
            None where it is not.
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
            return cls(None, 0, given, _as_clips(given), given.input_shape)
        count = len(given.relu_layers)
        if not count:
            raise ModelError(given.nothing_to_judge())
        position = as_position(layer, count, "layer", hint="network.relu_layers lists them")
        found, first = given.relu_layers[position], given.placed_layers[position].source == INPUT
        return cls(given, position, found, _as_clips(found) if first else None, given.input_shape)

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
        curves: what the layer's units compute.
    """

    y: FloatArray
    within: FloatArray
    domain: Domain | None
    curves: Curves

    @cached_property
    def outputs(self) -> tuple[FloatArray, FloatArray]:
        """(m,) lower and upper bounds on the output, rounded outwards."""
        return self._end(-1.0), self._end(1.0)

    @cached_property
    def _received(self) -> tuple[FloatArray, FloatArray]:
        found = ends(self.curves, *self.outputs)
        if isinstance(found, str):
            raise NotProvedError(found)
        return found

    @property
    def low(self) -> FloatArray:
        """(m,) lower bounds on the output, of strictly monotone units on what they receive; inf where none gives it."""
        return self._received[0]

    @property
    def high(self) -> FloatArray:
        """(m,) upper bounds; -inf where no number gives the output."""
        return self._received[1]

    @property
    def is_given_by_nothing(self) -> bool:
        """Whether a strictly monotone unit never gives what is known of it."""
        return bool((np.isposinf(self.low) | np.isneginf(self.high)).any())

    def _end(self, sign: float) -> FloatArray:
        exact = self.within == 0
        return np.where(exact, self.y, np.nextafter(self.y + sign * self.within, sign * np.inf))

    def box(self, n: int) -> Polyhedron:
        """The domain, written out."""
        return as_polyhedron(self.domain, n)


def _as_clips(layer: Layer) -> ReLULayer | None:
    if not isinstance(layer, ReLULayer):
        return None
    return ReLULayer(layer.weight, layer.bias, low=layer.low, high=layer.high) if layer.injective.any() else layer


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


__all__ = ["Known", "Subject", "features_of"]
