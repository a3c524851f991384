"""Networks as they lie in a file: bytes -> stages of plain numbers, with every size checked.

A ``.safetensors`` file is the length of a header (8 bytes, little-endian), the header (JSON: name -> dtype, shape and
the first and last byte of each tensor), and the tensors. One entry of the header's metadata, itself JSON, says what the
stages are made of; the tensors of stage s are called ``s.<map>.weight`` and so on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import ModelError

Array = NDArray[Any]
FloatArray = NDArray[np.float64]

METADATA, VERSION, MAX_DEPTH = "fiberscope.network", 2, 8
DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4"}
INPUT, NOTHING = -1, -1
"""The source that stands for the network's input; the position that stands for no input."""

POINTWISE = ("relu", "leaky_relu", "elu", "softplus", "tanh", "sigmoid", "clip")


@dataclass(frozen=True, eq=False)
class Map:
    """One affine map ``x -> A x + b`` as it is stored; ``fiberscope.checker.matrices`` writes A out.

    Attributes:
        kind: which one.
        inputs: the number of coordinates of x.
        outputs: the number of rows of A.
        bias: (outputs,) b; of a composition or sum it lies in the parts.
        arrays: the stored numbers.
        grid: of a convolution: input shape, stride, padding, dilation, groups.
        parts: the maps that it is made of.
    """

    kind: str
    inputs: int
    outputs: int
    bias: FloatArray = field(default_factory=lambda: np.zeros(0))
    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    grid: dict[str, Any] = field(default_factory=dict[str, Any])
    parts: tuple[Map, ...] = ()


@dataclass(frozen=True, eq=False)
class Activation:
    """What stands between affine maps; ``alpha`` and ``beta`` are the bounds of a clip.

    Attributes:
        kind: one of POINTWISE, or ``maximum``.
        inputs: the number of coordinates that it takes.
        outputs: the number that it gives.
        alpha: a parameter of ELU and clip; -inf and inf are null in the file.
        beta: another.
        slope: (inputs,) the slopes of a leaky ReLU for negative numbers.
        index: (outputs, t) the positions that a maximum is taken over, -1 for none.
    """

    kind: str
    inputs: int
    outputs: int
    alpha: float = 1.0
    beta: float = 1.0
    slope: FloatArray | None = None
    index: Array | None = None


@dataclass(frozen=True, eq=False)
class Stage:
    """The sum of affine maps, one of each source, or the activation of one source.

    Attributes:
        sources: numbers of earlier stages, -1 for the input.
        outputs: the number of coordinates that it gives.
        maps: one per source; empty for an activation.
        activation: None for an affine stage.
    """

    sources: tuple[int, ...]
    outputs: int
    maps: tuple[Map, ...]
    activation: Activation | None


def read_stages(source: bytes | str | os.PathLike[str]) -> tuple[int, tuple[Stage, ...]]:
    """The number of input coordinates and the stages of a stored network, given as bytes or by the name of a file.

    Raises:
        ModelError: the file is missing, damaged, or of another version.
    """
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        structure, tensors = _tensors(data)
        _require(structure["version"] == VERSION, f"expected version {VERSION}, got {structure['version']}")
        return _stages(structure, tensors)
    except OSError as error:
        raise ModelError(f"{source}: cannot read it: {error.strerror}") from error
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(f"the stored network is damaged: {type(error).__name__}: {error}") from error


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _tensors(data: bytes) -> tuple[Any, dict[str, Array]]:
    """The description of the network, and all numbers, in float64 or int64."""
    length = int.from_bytes(data[:8], "little")
    _require(length <= len(data) - 8, "the header is longer than the file")
    header, body = json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :]
    tensors: dict[str, Array] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape, (start, stop) = _sizes(entry["shape"]), _sizes(entry["data_offsets"])
        dtype = np.dtype(DTYPES[entry["dtype"]])
        _require(stop - start == prod(shape) * dtype.itemsize and stop <= len(body), f"{name!r} is cut off")
        array = np.frombuffer(body[start:stop], dtype=dtype).reshape(shape)
        _require(array.size > 0 and bool(np.isfinite(array).all()), f"{name!r} holds no, or no finite, numbers")
        tensors[name] = array.astype(np.float64 if dtype.kind == "f" else np.int64)
    return json.loads(header["__metadata__"][METADATA]), tensors


def _sizes(numbers: Any) -> tuple[int, ...]:
    """Whole numbers of the description, none negative."""
    _require(all(type(number) is int and number >= 0 for number in numbers), f"{numbers} are no sizes")
    return tuple(numbers)


def _stages(structure: Any, tensors: Mapping[str, Array]) -> tuple[int, tuple[Stage, ...]]:
    inputs = prod(_sizes(structure["input_shape"]))
    stages: list[Stage] = []
    for number, entry in enumerate(structure["stages"]):
        parts: Any = entry["parts"]
        sources: tuple[int, ...] = tuple(entry["sources"])
        maps, activation = (), None
        if "activation" in parts:
            activation = _activation(parts["activation"], f"{number}.", tensors)
            takes, outputs = (activation.inputs,), activation.outputs
        else:
            maps = tuple(_map(part, f"{number}.{i}", tensors) for i, part in enumerate(parts["maps"]))
            takes, outputs = tuple(part.inputs for part in maps), maps[0].outputs
        known = [type(source) is int and INPUT <= source < number for source in sources]
        _require(all(known), f"stage {number} takes what is not before it")
        have: tuple[int, ...] = tuple(inputs if k == INPUT else stages[k].outputs for k in sources)
        fits = have == takes and prod(_sizes(entry["shape"])) == outputs
        _require(fits and all(part.outputs == outputs for part in maps), f"the sizes of stage {number} do not fit")
        stages.append(Stage(sources, outputs, maps, activation))
    _require(bool(stages) and inputs > 0, "there are no stages")
    return inputs, tuple(stages)


def _activation(data: Any, prefix: str, tensors: Mapping[str, Array]) -> Activation:
    kind, (inputs,) = data["kind"], _sizes([data["inputs"]])
    if kind == "maximum":
        index = _index(tensors[f"{prefix}index"], inputs, 2)
        _require(bool((index >= 0).any(axis=1).all()), "a maximum over nothing")
        return Activation(kind, inputs, len(index), index=index)
    _require(kind in POINTWISE, f"no activation is called {kind!r}")
    alpha, beta = data["alpha"], data["beta"]
    if kind == "clip":  # JSON has no infinity
        alpha, beta = -np.inf if alpha is None else alpha, np.inf if beta is None else beta
    alpha, beta = float(alpha), float(beta)
    _require(alpha == alpha and beta == beta, "parameters of an activation that are no numbers")
    _require(beta > 0 or kind not in ("elu", "softplus"), "an activation without width")
    in_order = alpha <= beta and alpha < np.inf and beta > -np.inf
    _require(in_order or kind != "clip", "a clip whose bounds are not in order")
    slope = _floats(tensors[f"{prefix}slope"], inputs) if kind == "leaky_relu" else None
    return Activation(kind, inputs, inputs, alpha, beta, slope)


def _map(data: Any, name: str, tensors: Mapping[str, Array], depth: int = 0) -> Map:
    _require(depth <= MAX_DEPTH, "maps nested too deeply")
    kind = data["kind"]
    match kind:
        case "composition" | "sum":
            parts = tuple(_map(part, f"{name}.{i}", tensors, depth + 1) for i, part in enumerate(data["maps"]))
            sizes = [(part.inputs, part.outputs) for part in parts]
            chained = all(first[1] == second[0] for first, second in pairwise(sizes))
            _require(chained if kind == "composition" else len(set(sizes)) == 1, f"the parts of a {kind} do not fit")
            return Map(kind, sizes[0][0], sizes[-1][1], parts=parts)
        case "transposed":
            forward = _map(data["forward"], f"{name}.forward", tensors, depth + 1)
            _require(forward.kind == "convolution", "only convolutions are transposed")
            inputs, outputs, channels = forward.outputs, forward.inputs, forward.grid["input_shape"][0]
            return Map(kind, inputs, outputs, _bias(tensors, name, outputs, channels), parts=(forward,))
        case "convolution":
            weight = _floats(tensors[f"{name}.weight"])
            grid, inputs, outputs = _grid(data, weight.shape)
            bias = _bias(tensors, name, outputs, len(weight))
            return Map(kind, inputs, outputs, bias, {"weight": weight}, grid)
        case "dense":
            weight = _floats(tensors[f"{name}.weight"])
            outputs, inputs = weight.shape
            return Map(kind, inputs, outputs, _bias(tensors, name, outputs), {"weight": weight})
        case "diagonal":
            factor = _floats(tensors[f"{name}.factor"])
            (size,) = factor.shape
            return Map(kind, size, size, _bias(tensors, name, size), {"factor": factor})
        case "rearrangement" | "weighted_sums":
            (inputs,) = _sizes([data["inputs"]])
            index = _index(tensors[f"{name}.index"], inputs, 1 if kind == "rearrangement" else 2)
            weights = np.ones(index.shape) if kind == "rearrangement" else _floats(tensors[f"{name}.weights"])
            _require(weights.shape == index.shape, "as many weights as positions are needed")
            arrays = {"index": index, "weights": weights}
            return Map(kind, inputs, len(index), _bias(tensors, name, len(index)), arrays)
        case _:
            raise ValueError(f"no map is called {kind!r}")


def _grid(data: Any, weight: tuple[int, ...]) -> tuple[dict[str, Any], int, int]:
    """Where a convolution's kernel lies, the number of its inputs, and of its outputs."""
    channels, *places = _sizes(data["input_shape"])
    stride, dilation = _sizes(data["stride"]), _sizes(data["dilation"])
    (groups,), kernel = _sizes([data["groups"]]), weight[2:]
    padding = tuple((low, high) for low, high in data["padding"])
    _require(all(type(side) is int for pair in padding for side in pair), "padding that is no whole number")
    per_axis = len(places) == len(kernel) == len(stride) == len(dilation) == len(padding) > 0
    _require(per_axis and min(*stride, *dilation, groups) > 0, "a convolution whose axes do not fit")
    _require(channels == weight[1] * groups and weight[0] % groups == 0, "channels that do not fit")
    axes = zip(places, padding, dilation, kernel, stride, strict=True)
    out = tuple((size + sum(pad) - step * (taps - 1) - 1) // pace + 1 for size, pad, step, taps, pace in axes)
    _require(min(out) > 0, "a kernel larger than its grid")
    grid = {"input_shape": (channels, *places), "stride": stride, "padding": padding, "dilation": dilation}
    return {**grid, "groups": groups, "output_grid": out}, channels * prod(places), weight[0] * prod(out)


def _floats(array: Array, size: int | None = None) -> FloatArray:
    _require(array.dtype == np.float64 and size in (None, array.size), "numbers of another type, or too many or few")
    return array


def _bias(tensors: Mapping[str, Array], name: str, outputs: int, channels: int = 0) -> FloatArray:
    """(outputs,) the constant part; a convolution may have one number per channel."""
    bias = _floats(tensors[f"{name}.bias"])
    if channels and bias.shape == (channels,):
        return np.repeat(bias, outputs // channels)
    _require(bias.shape == (outputs,), "a constant part of another size")
    return bias


def _index(array: Array, inputs: int, axes: int) -> Array:
    fits = array.dtype == np.int64 and array.ndim == axes and array.min() >= NOTHING and array.max() < inputs
    _require(bool(fits), "positions outside")
    return array


__all__ = ["INPUT", "Activation", "Map", "Stage", "read_stages"]
