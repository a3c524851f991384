"""Stages as plain data and arrays, and back: what files and digests are made of.

The file format of networks is safetensors, with the structure as JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from fiberscope.network.activations import Activation, Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.combination import Composition, Sum
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.stage import Stage
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums

Arrays = dict[str, NDArray[Any]]

METADATA = "fiberscope.network"
"""The one metadata entry; several would be written in an order that changes from run to run."""

VERSION = 2
"""Raised when older readers could misread a file."""

SUFFIX = ".safetensors"
"""Of the names of files."""

MAX_DEPTH = 8
"""Maps nest a few times at most; a file that nests deeper is damaged or hostile."""


def file_bytes(stages: Sequence[Stage], description: Mapping[str, Any]) -> bytes:
    """What the file of a network holds.

    Tensors are named ``<stage number>.<map number>.weight`` and so on. They are stored in float32 (whole numbers in
    int32) where that loses nothing, and in float64 otherwise.

    Args:
        stages: the stages.
        description: what else is to be said, as plain JSON data.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for number, stage in enumerate(stages):
        for name, array in parts_of(stage)[1].items():
            tensors[f"{number}.{name}"] = np.ascontiguousarray(smallest(array))
    return save(tensors, metadata={METADATA: json.dumps({"version": VERSION, **description})})


def parts_of(stage: Stage) -> tuple[dict[str, Any], Arrays]:
    """What a stage is made of, as plain JSON data, and its arrays by name."""
    arrays: Arrays = {}
    if stage.activation is not None:
        return {"activation": _activation_parts(stage.activation, arrays)}, arrays
    return {"maps": [_map_parts(affine, str(i), arrays) for i, affine in enumerate(stage.maps)]}, arrays


def _map_parts(affine: AffineMap, name: str, arrays: Arrays) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": affine.kind}
    match affine:
        case Dense():
            tensors = {"weight": affine.weight, "bias": affine.bias}
        case Convolution():
            tensors = {"weight": affine.weight, "bias": affine.bias}
            data |= {
                "input_shape": list(affine.input_shape),
                "stride": list(affine.stride),
                "padding": [list(pair) for pair in affine.padding],
                "dilation": list(affine.dilation),
                "groups": affine.groups,
            }
        case Transposed():
            tensors = {"bias": affine.bias}
            data["forward"] = _map_parts(affine.forward, f"{name}.forward", arrays)
        case Rearrangement():
            tensors = {"index": affine.index, "bias": affine.bias}
            data["inputs"] = affine.inputs
        case Diagonal():
            tensors = {"factor": affine.factor, "bias": affine.bias}
        case WeightedSums():
            tensors = {"index": affine.index, "weights": affine.weights, "bias": affine.bias}
            data["inputs"] = affine.inputs
        case Composition() | Sum():
            inner = affine.factors if isinstance(affine, Composition) else affine.summands
            data["maps"] = [_map_parts(part, f"{name}.{i}", arrays) for i, part in enumerate(inner)]
            return data
        case _:
            raise TypeError(f"{type(affine).__name__} has no form in files")
    for key, tensor in tensors.items():
        arrays[f"{name}.{key}"] = tensor.cpu().numpy()
    return data


def _activation_parts(activation: Activation, arrays: Arrays) -> dict[str, Any]:
    match activation:
        case Maximum():
            arrays["index"] = activation.index.cpu().numpy()
            return {"kind": activation.kind, "inputs": activation.inputs}
        case Pointwise():
            if isinstance(activation.slope, Tensor):
                arrays["slope"] = activation.slope.cpu().numpy()
            bounds = {"alpha": activation.alpha, "beta": activation.beta}
            parameters = {name: bound if isfinite(bound) else None for name, bound in bounds.items()}
            return {"kind": activation.kind, "inputs": activation.inputs, **parameters}
        case _:
            raise TypeError(f"{type(activation).__name__} has no form in files")


def stage_from(name: str, sources: tuple[int, ...], shape: tuple[int, ...], data: Any, arrays: Arrays) -> Stage:
    """Rebuild a stage from what ``parts_of`` gave.

    Raises:
        KeyError, TypeError, ValueError, FiberscopeError: the data is not that of a stage.
    """
    if "activation" in data:
        return Stage(name, activation=_activation(data["activation"], arrays), sources=sources, shape=shape)
    maps = tuple(_map(part, str(i), arrays) for i, part in enumerate(data["maps"]))
    return Stage(name, maps, sources=sources, shape=shape)


def _activation(data: Any, arrays: Arrays) -> Activation:
    if data["kind"] == "maximum":
        return Maximum(arrays["index"], int(data["inputs"]))
    alpha, beta = data["alpha"], data["beta"]  # of clips, an infinite bound is None: JSON has no infinity
    alpha, beta = -inf if alpha is None else float(alpha), inf if beta is None else float(beta)
    return Pointwise(PointwiseKind(data["kind"]), int(data["inputs"]), alpha, beta, slope=arrays.get("slope"))


def _map(data: Any, name: str, arrays: Arrays, depth: int = 0) -> AffineMap:
    if depth > MAX_DEPTH:
        raise ValueError("maps nested too deeply")

    def array(key: str) -> NDArray[Any]:
        return arrays[f"{name}.{key}"]

    match data["kind"]:
        case "dense":
            return Dense(array("weight"), array("bias"))
        case "convolution":
            return Convolution(
                array("weight"),
                _whole(data["input_shape"]),
                array("bias"),
                _whole(data["stride"]),
                tuple((int(low), int(high)) for low, high in data["padding"]),
                _whole(data["dilation"]),
                int(data["groups"]),
            )
        case "transposed":
            forward = _map(data["forward"], f"{name}.forward", arrays, depth + 1)
            if not isinstance(forward, Convolution):
                raise ValueError("only convolutions are transposed")  # noqa: TRY004 - bad data, not a bad call
            return Transposed(forward, array("bias"))
        case "rearrangement":
            return Rearrangement(array("index"), int(data["inputs"]), array("bias"))
        case "diagonal":
            return Diagonal(array("factor"), array("bias"))
        case "weighted_sums":
            return WeightedSums(array("index"), array("weights"), int(data["inputs"]), array("bias"))
        case "composition" | "sum" as kind:
            inner = tuple(_map(part, f"{name}.{i}", arrays, depth + 1) for i, part in enumerate(data["maps"]))
            return Composition(inner) if kind == "composition" else Sum(inner)
        case kind:
            raise ValueError(f"no map is called {kind!r}")


def _whole(numbers: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in cast("list[Any]", numbers))


def smallest(array: NDArray[Any]) -> NDArray[Any]:
    """The numbers in float32, or int32, where that loses nothing."""
    shorter = np.float32 if array.dtype == np.float64 else np.int32
    with np.errstate(over="ignore"):
        short = array.astype(shorter)
    return short if np.array_equal(short.astype(array.dtype), array) else np.ascontiguousarray(array)


__all__ = ["METADATA", "SUFFIX", "VERSION", "file_bytes", "parts_of", "smallest", "stage_from"]
