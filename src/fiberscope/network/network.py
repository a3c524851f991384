"""Networks: directed acyclic graphs of affine maps and activations, evaluated in float64."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.files import write_file
from fiberscope.network.activations import Pointwise
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.foreign import what_to_do
from fiberscope.network.layer import Layer
from fiberscope.network.layers import Graph, PlacedLayer, UnjudgedLayer, graph_name, layers_of, unjudged_notes
from fiberscope.network.original import Agreement, Original
from fiberscope.network.serialization import SUFFIX, file_bytes, parts_of
from fiberscope.network.stage import INPUT, Stage
from fiberscope.scalars import as_position
from fiberscope.showing.shown import Shown, Table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

T = TypeVar("T")

_AS_MODEL = "pass samples in the shape in which the model takes them"

_SHOWN_STAGES = 40
"""Stages that a notebook lists."""

BATCH_NUMBERS = 2**25
"""Numbers that the widest stage may give at a time: more samples are evaluated in several batches."""


@dataclass(frozen=True, eq=False, repr=False)
class Network(Shown):
    """A graph of stages, each a function of earlier ones; the last gives the output.

    Args:
        stages: at least one, each after its sources.
        input_shape: the shape of one sample as the model takes it; stages see it flattened in C order.
        notes: what a reader of results must know about the conversion: a head left off, numbers that were folded.
        agreement: how well it agrees with the model that it was read from; None where it was not read from one.
        originals: what runs that model, in one arithmetic after the other. It stays in the process that read the model:
            neither files nor copies of the network have it.
        output: the name of the model's output that this network gives, where the model has several; otherwise empty.

    Raises:
        ModelError: a stage takes what is not there, or the sizes do not fit.
    """

    stages: tuple[Stage, ...]
    input_shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    agreement: Agreement | None = None
    originals: tuple[Original, ...] = field(default=(), repr=False)
    output: str = ""
    _graph: Graph = field(init=False, repr=False)
    _layers: tuple[PlacedLayer, ...] = field(init=False, repr=False)
    _unjudged: tuple[UnjudgedLayer, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.stages:
            raise ModelError("a network needs at least one stage; the model has no affine map and no activation")
        graph = Graph(self.stages, self.input_shape)
        for number, stage in enumerate(self.stages):
            for source, size in zip(graph.sources[number], stage.input_sizes, strict=True):
                if not INPUT <= source < number:
                    raise ModelError(f"stage {stage.name!r} takes the output of stage {source}, which is not before it")
                have = math.prod(graph.shape(source))
                if size != have:
                    before = f"the input of shape {self.input_shape}" if source == INPUT else graph_name(graph, source)
                    numbers = "number" if have == 1 else "numbers"
                    raise ModelError(f"stage {stage.name!r} expects {size} inputs, but {before} has {have} {numbers}")
        object.__setattr__(self, "_graph", graph)
        layers, others = layers_of(graph)
        object.__setattr__(self, "_layers", layers)
        object.__setattr__(self, "_unjudged", others)

    @property
    def inputs(self) -> int:
        """The number of input coordinates."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """The number of output coordinates."""
        return self.stages[-1].outputs

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one sample's output."""
        return self.stages[-1].shape

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return sum(stage.parameters for stage in self.stages)

    @property
    def relu_layers(self) -> tuple[Layer, ...]:
        """The layers ``ReLU(A x + b)`` in order; affine maps that follow each other directly are composed into one.

        Clips such as ReLU6 and strictly monotone activations count as well. Where branches with ReLUs of their own
        meet, the layer is one around each sample; see ``fiberscope.network.region_layer``.
        """
        return tuple(placed.layer for placed in self._layers)

    @property
    def placed_layers(self) -> tuple[PlacedLayer, ...]:
        """The layers together with where they lie in the graph."""
        return self._layers

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The name of each layer: that of its affine maps in the model."""
        return tuple(placed.name for placed in self._layers)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What a reader of results must know: about the conversion, and about the layers."""
        of_layers = (placed.note for placed in self._layers if placed.note)
        return (*self.notes, *of_layers, *unjudged_notes(self._unjudged))

    @property
    def unjudged_layers(self) -> tuple[UnjudgedLayer, ...]:
        """The affine maps with an activation behind them that are not among ``relu_layers``, and why."""
        return self._unjudged

    def nothing_to_judge(self, most: int | None = 5) -> str:
        """Why the network has no layer to judge, and what can be asked of it all the same; empty if it has one.

        Args:
            most: how many layers to name for each reason; None for all.
        """
        if self._layers:
            return ""
        why = "; ".join(unjudged_notes(self._unjudged, most)) or (
            "a layer is an affine map with a ReLU, a clip or a strictly monotone activation behind it"
        )
        smooth = [isinstance(s.activation, Pointwise) and s.activation.kinks() is None for s in self.stages]
        others = ", and other inputs with the same output by fs.invariance_example with layer='output'"
        return (
            f"the network has no layer to judge ({why}); singular values are found all the same, by fs.linearize and "
            f"fs.singular_values{'' if any(smooth) else others}"
        )

    def sources(self, number: int) -> tuple[int, ...]:
        """The numbers of the stages whose outputs a stage takes; -1 is the network's input."""
        return self._graph.sources[number]

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of what a stage, or -1 for the network's input, gives for one sample."""
        return self._graph.shape(number)

    def __call__(self, X: Tensor | ArrayLike) -> Float64[FloatArray, "N ..."]:
        """Evaluate in float64: X (N, *input_shape) -> (N, *output_shape)."""
        values = self.evaluated(self.flat(X), len(self.stages) - 1)
        return values.reshape(values.shape[0], *self.output_shape)

    def layer_input(self, i: int, X: Tensor | ArrayLike) -> Float64[FloatArray, "N n"]:
        """What ReLU layer i receives for the inputs X, in float64 and flat.

        Args:
            i: the number of the ReLU layer, from 0; negative numbers count from the end.
            X: the network's inputs, (N, *input_shape).

        Returns:
            The layer's inputs, (N, n_i). Layer 0 receives X itself if no activation comes before it.

        Raises:
            InputError: there is no such layer, or X does not fit.
            ModelError: the network has no layer to judge.
        """
        count = len(self._layers)
        if not count:
            raise ModelError(self.nothing_to_judge())
        return self.evaluated(self.flat(X), self._layers[as_position(i, count, "layer")].source)

    def needed_for(self, *stages: int) -> tuple[int, ...]:
        """The numbers of the stages that some stages depend on, and their own, in order."""
        behind = {number for stage in stages for number in self._graph.between(INPUT, stage)}
        return tuple(sorted(behind.union(stages)))

    def stage_outputs(self, X: Tensor) -> Iterator[tuple[int, Tensor]]:
        """What every stage gives for flat inputs X (N, n), in the device and precision of X.

        Yields:
            The number of a stage and its outputs (N, m).
        """
        yield from self.walk(X, range(len(self.stages)), self._applied)

    def evaluated(self, X: Float64[FloatArray, "N n"], last: int) -> Float64[FloatArray, "N m"]:
        """The output of one stage, or of -1 the input, for flat inputs, computed in batches that fit into memory."""
        if last == INPUT:
            return X
        needed = self.needed_for(last)
        widest = max(self.stages[number].outputs for number in needed)
        size = max(1, BATCH_NUMBERS // max(widest, self.inputs))
        batches: list[FloatArray] = []
        for start in range(0, X.shape[0], size):
            batch = torch.tensor(X[start : start + size])
            *_, (_, values) = self.walk(batch, needed, self._applied)
            batches.append(values.numpy())
        return batches[0] if len(batches) == 1 else np.concatenate(batches)

    def walk(self, X: T, needed: Sequence[int], compute: Callable[[int, list[T]], T]) -> Iterator[tuple[int, T]]:
        """Compute something at stage after stage; what no later one takes is let go.

        Args:
            X: what the network's input stands for.
            needed: the numbers of the stages in order, each after its sources.
            compute: gives the result at a stage from its number and the results at its sources.

        Yields:
            The number of a stage and the result.
        """
        users = Counter(source for number in needed for source in self._graph.sources[number])
        values = {INPUT: X}
        for number in needed:
            sources = self._graph.sources[number]
            values[number] = compute(number, [values[source] for source in sources])
            yield number, values[number]
            users.subtract(sources)
            for source in {*sources, number}:
                if users[source] <= 0:
                    values.pop(source, None)

    def _applied(self, number: int, inputs: list[Tensor]) -> Tensor:
        return self.stages[number].apply(*inputs)

    def flat(self, X: Tensor | ArrayLike) -> Float64[FloatArray, "N n"]:
        """Check and flatten the inputs; a network with flat inputs takes samples of any shape, in C order.

        Raises:
            InputError: another shape, no samples, NaN or infinite numbers.
        """
        values = as_float64(X, "x")
        flat_samples = len(self.input_shape) == 1 and values.ndim > 1 and math.prod(values.shape[1:]) == self.inputs
        if values.ndim == 0 or (values.shape[1:] != self.input_shape and not flat_samples):
            shape = ", ".join(["N", *map(str, self.input_shape)])
            hint = "add a batch axis in front: x[None]" if values.shape == self.input_shape else ""
            raise InputError("x", expected=f"shape ({shape})", got=f"shape {values.shape}", hint=hint or _AS_MODEL)
        return values.reshape(values.shape[0], self.inputs)

    def flat_sample(self, x: Tensor | ArrayLike, what: str = "x") -> Float64[FloatArray, " n"]:
        """Check and flatten one input, given as the model takes it or flat; a batch of one is one, too.

        A network with flat inputs takes a sample of any shape, in C order.

        Raises:
            InputError: another shape, NaN or infinite numbers.
        """
        values = as_float64(x, what)
        shapes = (self.input_shape, (self.inputs,), (1, *self.input_shape))
        is_flattened = len(self.input_shape) == 1 and values.ndim > 1 and values.size == self.inputs
        if values.shape not in shapes and not is_flattened:
            many = values.shape[1:] == self.input_shape
            raise InputError(
                what,
                expected=f"one input of shape {self.input_shape}, or flat",
                got=f"shape {values.shape}",
                hint="take one of them, such as the first, [0]" if many else _AS_MODEL,
            )
        return values.reshape(self.inputs)

    def structure(self) -> dict[str, Any]:
        """The network without its numbers, as plain JSON data: input shape, and what each stage is made of."""
        stages = [
            {
                "name": stage.name,
                "sources": list(self._graph.sources[number]),
                "shape": list(stage.shape),
                "parts": parts_of(stage)[0],
            }
            for number, stage in enumerate(self.stages)
        ]
        return {"input_shape": list(self.input_shape), "stages": stages}

    def digest(self) -> str:
        """The SHA-256 of the structure and all numbers, in hexadecimal: equal for equal networks on every machine."""
        total = hashlib.sha256(json.dumps(self.structure(), sort_keys=True).encode())
        for stage in self.stages:
            for array in parts_of(stage)[1].values():
                total.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
        return total.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a ``.safetensors`` file, which appears whole or not at all; ``load`` reads it back.

        Raises:
            InputError: the name does not end in ``.safetensors``.
            ResultsError: the file cannot be written.
        """
        if not isinstance(path, str | os.PathLike) or Path(path).suffix != SUFFIX:  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = f"write a name such as 'model{SUFFIX}'"
            raise InputError("path", expected=f"a name ending in {SUFFIX}", got=shown(path), hint=hint)
        write_file(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """What the file holds."""
        description = {**self.structure(), "notes": list(self.notes)}
        description["agreement"] = None if self.agreement is None else asdict(self.agreement)
        if self.output:
            description["output"] = self.output
        return file_bytes(self.stages, description)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "originals": ()}  # a model that is running cannot be copied or sent to another process

    def _line(self) -> str:
        sizes = " -> ".join(str(size) for size in (self.inputs, *(layer.outputs for layer in self.relu_layers)))
        return f"{sizes} -> {self.outputs}, {len(self.relu_layers)} ReLU layers"

    def _facts(self) -> Mapping[str, str]:
        named = {"output": self.output, "notes": "; ".join(self.notes)}
        said = {"input shape": " x ".join(map(str, self.input_shape)), "parameters": f"{self.parameters:,}", **named}
        return {name: text for name, text in said.items() if text}

    def _tables(self) -> Sequence[Table]:
        rows = [
            (str(number), stage.name, stage.kind, " x ".join(map(str, stage.shape)), f"{stage.parameters:,}")
            for number, stage in enumerate(self.stages[:_SHOWN_STAGES])
        ]
        left = len(self.stages) - len(rows)
        more = [("...", f"and {left} more", "", "", "")] if left else []
        return (Table(("stage", "name", "kind", "shape", "parameters"), (*rows, *more)),)


def check_network(network: Any) -> None:
    """InputError unless this is a network."""
    if not isinstance(network, Network):
        hint = what_to_do(network) or "read one with fiberscope.load(path), from_torch or from_keras"
        raise InputError("network", expected="a fiberscope.Network", got=shown(network), hint=hint)


__all__ = ["Network", "check_network"]
