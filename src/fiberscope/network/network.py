"""Networks: chains of affine maps and activations, evaluated in float64."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float64

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.layers import Layer, layers_of
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import Stage


@dataclass(frozen=True, eq=False)
class Network:
    """A chain of stages ``x -> stage_k(... stage_1(x))``.

    Args:
        stages: at least one; the outputs of each are the inputs of the next.
        input_shape: the shape of one sample as the model takes it; stages see it flattened in C order.
        notes: what a reader of results must know about the conversion: a head left off, numbers that were folded.

    Raises:
        ModelError: the sizes do not chain.
    """

    stages: tuple[Stage, ...]
    input_shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    _layers: tuple[Layer, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ModelError("a network needs at least one stage; the model has no affine map and no ReLU")
        size, before = math.prod(self.input_shape), f"the input of shape {self.input_shape}"
        for stage in self.stages:
            if stage.inputs != size:
                raise ModelError(f"stage {stage.name!r} expects {stage.inputs} inputs, but {before} has {size} numbers")
            size, before = stage.outputs, f"the output of stage {stage.name!r}"
        object.__setattr__(self, "_layers", layers_of(self.stages))

    @property
    def inputs(self) -> int:
        """The number of input coordinates."""
        return self.stages[0].inputs

    @property
    def outputs(self) -> int:
        """The number of output coordinates."""
        return self.stages[-1].outputs

    @property
    def relu_layers(self) -> tuple[ReLULayer, ...]:
        """The layers ``ReLU(A x + b)`` in order; affine maps that follow each other directly are composed into one."""
        return tuple(layer.relu_layer for layer in self._layers)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The name of each ReLU layer: that of its affine maps in the model."""
        return tuple(layer.name for layer in self._layers)

    def __call__(self, X: Any) -> Float64[FloatArray, "N m"]:
        """Evaluate in float64: X (N, *input_shape) -> (N, outputs)."""
        return self._run(X, len(self.stages))

    def layer_input(self, i: int, X: Any) -> Float64[FloatArray, "N n"]:
        """What ReLU layer i receives for the inputs X, in float64 and flat.

        Args:
            i: the number of the ReLU layer, from 0; negative numbers count from the end.
            X: the network's inputs, (N, *input_shape).

        Returns:
            The layer's inputs, (N, n_i). Layer 0 receives X itself if no stage comes before it.

        Raises:
            InputError: there is no such layer, or X does not fit.
        """
        count = len(self._layers)
        if not -count <= i < count:
            raise InputError("layer", expected=f"a number from 0 to {count - 1}", got=str(i))
        return self._run(X, self._layers[i].start)

    def _run(self, X: Any, stop: int) -> Float64[FloatArray, "N n"]:
        values = self._flat(X)
        for stage in self.stages[:stop]:
            values = stage.apply(values)
        return values

    def _flat(self, X: Any) -> Float64[FloatArray, "N n"]:
        """Check and flatten the inputs; a network with flat inputs takes samples of any shape, in C order."""
        values = as_float64(X, "x")
        flat_samples = len(self.input_shape) == 1 and values.ndim > 1 and math.prod(values.shape[1:]) == self.inputs
        if values.shape[1:] != self.input_shape and not flat_samples:
            shape = ", ".join(["N", *map(str, self.input_shape)])
            hint = "add a batch axis in front: x[None]" if values.shape == self.input_shape else ""
            raise InputError("x", expected=f"shape ({shape})", got=f"shape {values.shape}", hint=hint)
        return values.reshape(values.shape[0], self.inputs)

    def structure(self) -> dict[str, Any]:
        """The network without its numbers, as plain JSON data: input shape, and each stage's name, kind and sizes."""
        return {
            "input_shape": list(self.input_shape),
            "stages": [
                {"name": stage.name, "kind": str(stage.kind), "inputs": stage.inputs, "outputs": stage.outputs}
                for stage in self.stages
            ],
        }

    def digest(self) -> str:
        """The SHA-256 of the structure and all weights, in hexadecimal: equal for equal networks on every machine."""
        total = hashlib.sha256(json.dumps(self.structure(), sort_keys=True).encode())
        for stage in self.stages:
            if stage.affine is not None:
                for array in (stage.affine.rows(), stage.affine.bias):
                    total.update(array.astype("<f8").tobytes())
        return total.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a ``.safetensors`` file, which appears whole or not at all; ``load`` reads it back.

        Raises:
            InputError: the name does not end in ``.safetensors``.
            ResultsError: the file cannot be written.
        """
        from fiberscope.network.saving import save_network  # safetensors is needed only here

        save_network(self, path)

    def __repr__(self) -> str:
        sizes = " -> ".join(str(size) for size in (self.inputs, *(layer.outputs for layer in self.relu_layers)))
        return f"Network({sizes} -> {self.outputs}, {len(self.relu_layers)} ReLU layers)"


__all__ = ["Network"]
