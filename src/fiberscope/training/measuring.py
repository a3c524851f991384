"""What a module's layers are while it is trained: the same samples, at chosen steps, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf, nan
from typing import Any

import numpy as np
import pyarrow
import torch
from torch import nn

from fiberscope.errors import InputError, ModelError
from fiberscope.network.activations import Pointwise
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Box, Domain, NonNegative
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.classify import classify
from fiberscope.preimages.kind import Kind
from fiberscope.readers.torch import from_torch
from fiberscope.scalars import as_count, as_position, as_several
from fiberscope.stability.modulus import stability_radius
from fiberscope.stability.singular_values import matrix_spectrum

pa: Any = pyarrow  # has no types

MAX_NUMBERS = 2**24
"""Of a layer's matrix, up to which it is decomposed for each sample."""


@dataclass(frozen=True)
class LayerMeasurement:
    """What a layer is at a step, over N samples: a row of the table.

    Attributes:
        step: of the training.
        layer: its number.
        singletons: the share of samples whose preimage is proved to be the sample alone, in the domain of the layer's
            inputs: the domain that is given for the first layer, otherwise what the activation before it can give.
        bounded: the share of samples whose preimage is proved to be bounded (or a singleton) on all of R^n.
        undecided: the share of samples of which one of the two is not proved; they count as neither.
        condition_number: the largest singular value of the layer around a sample divided by the n-th, median: inf where
            fewer than n are nonzero. The layer by itself, without those before it; NaN where its matrix is too large.
        stability_radius: of the network up to the layer, median; see ``stability_radius``. NaN where that is not
            defined.
        dead_units: the share of units that are cut off for all samples.
    """

    step: int
    layer: int
    singletons: float
    bounded: float
    undecided: float
    condition_number: float
    stability_radius: float
    dead_units: float


def measure(
    module: nn.Module,
    X: Any,
    *,
    step: int = 0,
    domain: Domain | None = None,
    layers: int | Sequence[int] | None = None,
) -> Any:
    """Measure the layers of a module at some samples, as they are now.

    The module is read as in evaluation mode and stays as it is.

    Args:
        module: the module.
        X: (N, ...) samples in the shape in which the module takes them.
        step: of the training, for the table.
        domain: where the module's inputs lie, for instance ``Box(0, 1)``; None for all of R^n.
        layers: the numbers of the layers; None for all.

    Returns:
        A table of pyarrow with a row per layer, of the fields of ``LayerMeasurement``.

    Raises:
        InputError: samples of another shape or outside the domain, or no such layer.
        ModelError: the module cannot be converted.
    """
    network = _network(module, np.shape(X)[1:])
    flat, count = network.flat(X), len(network.relu_layers)
    chosen = range(count) if layers is None else [as_position(i, count, "layers") for i in as_several(layers, "layers")]
    rows = [_measured(network, i, flat, domain, as_count(step, "step", 0)) for i in chosen]
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)


class Watch:
    """Measures a module at chosen steps of its training, and keeps the table.

    Args:
        module: the module that is trained.
        X: (N, ...) the samples, the same at every step.
        steps: at which steps; a number k stands for every k-th.
        domain: see ``measure``.
        layers: likewise.
    """

    def __init__(
        self,
        module: nn.Module,
        X: Any,
        *,
        steps: int | Iterable[int] = 100,
        domain: Domain | None = None,
        layers: int | Sequence[int] | None = None,
    ) -> None:
        self.module, self.X, self.domain, self.layers = module, X, domain, layers
        self.steps = as_count(steps, "steps") if hasattr(steps, "__index__") else frozenset(as_several(steps, "steps"))
        self.table: Any = pa.Table.from_pylist([], schema=_SCHEMA)

    def __call__(self, step: int) -> bool:
        """Measure if this is one of the steps; whether it was."""
        is_due = step % self.steps == 0 if isinstance(self.steps, int) else step in self.steps
        if is_due:
            now = measure(self.module, self.X, step=step, domain=self.domain, layers=self.layers)
            self.table = pa.concat_tables([self.table, now])
        return is_due

    def __repr__(self) -> str:
        return f"Watch({len(self.X)} samples, {self.table.num_rows} rows)"


def plot(table: Any) -> Any:
    """Draw a table of measurements: a panel per quantity over the steps, a curve per layer.

    Args:
        table: of ``measure`` or ``Watch``.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    axes: Any = figure.subplots(2, 3)
    columns = table.to_pydict()
    for place, name in zip(axes.ravel(), _DRAWN, strict=True):
        for layer in dict.fromkeys(columns["layer"]):
            points = [
                (step, value)
                for step, of, value in zip(columns["step"], columns["layer"], columns[name], strict=True)
                if of == layer and np.isfinite(value)
            ]
            place.plot(*zip(*points, strict=True), "o-", markersize=3, label=f"layer {layer}") if points else None
        place.set_title(name.replace("_", " "), fontsize=9)
        place.set_xlabel("step")
        if name in ("condition_number", "stability_radius") and place.lines:
            place.set_yscale("log")
    axes[0, 0].legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8)
    return figure


_TYPES = {"int": pa.int64(), "float": pa.float64()}

_SCHEMA: Any = pa.schema([pa.field(name, _TYPES[kind]) for name, kind in LayerMeasurement.__annotations__.items()])

_DRAWN = tuple(name for name in LayerMeasurement.__annotations__ if name not in ("step", "layer"))


def _network(module: nn.Module, shape: tuple[int, ...]) -> Network:
    """The module as in evaluation mode; its parts are put back into the mode that each was in."""
    before = {part: part.training for part in module.modules()}
    try:
        return from_torch(module.eval(), input_shape=shape)
    finally:
        for part, training in before.items():
            part.training = training


def _measured(network: Network, i: int, flat: FloatArray, domain: Domain | None, step: int) -> LayerMeasurement:
    placed = network.placed_layers[i]
    X = network.evaluated(flat, placed.source)
    values = network.evaluated(flat, network.sources(placed.stage)[0])
    inside = classify(placed.layer, X, _received(placed, domain))
    free = classify(placed.layer, X)
    proved: BoolArray = inside.verify() & free.verify()
    alone: BoolArray = inside.kind == Kind.SINGLETON
    bounded: BoolArray = (free.kind == Kind.SINGLETON) | (free.kind == Kind.BOUNDED)
    off = (values <= placed.layer.low) & ~placed.layer.injective
    return LayerMeasurement(
        step,
        i,
        float(np.mean(proved & alone)),
        float(np.mean(proved & bounded)),
        float(np.mean(~proved)),
        float(np.median(condition_numbers(network, placed, values))),
        float(np.median([radius(network, x, placed.stage) for x in flat])),
        float(np.mean(off.all(axis=0))),
    )


def _received(placed: PlacedLayer, domain: Domain | None) -> Domain | None:
    """What the inputs of a layer lie in."""
    if placed.source < 0:
        return domain
    match placed.received:
        case (low, high) if low > -inf and high < inf:
            return Box(low, high)
        case (0.0, _):
            return NonNegative()
        case _:
            return None


def condition_numbers(network: Network, placed: PlacedLayer, values: FloatArray) -> list[float]:
    """The largest singular value of ``diag(slopes) A`` divided by the n-th, for each sample.

    Args:
        network: the network of the layer.
        placed: the layer.
        values: (N, m) before the activation.
    """
    layer = placed.layer
    if not isinstance(layer, ReLULayer) or layer.inputs * layer.outputs > MAX_NUMBERS:
        return [nan] * len(values)
    activation = network.stages[placed.stage].activation
    assert isinstance(activation, Pointwise), "a layer ends in one"
    slopes = [np.asarray(activation.derivative(torch.tensor(z)).factor) for z in values]
    A = dense(layer.weight)
    return [_condition_number(each[each != 0, None] * A[each != 0]) for each in slopes]


def _condition_number(rows: FloatArray) -> float:
    spectrum = matrix_spectrum(rows)
    return spectrum.condition_number if spectrum.rank == rows.shape[1] else inf


def radius(network: Network, x: FloatArray, stage: int) -> float:
    """The stability radius up to a stage; NaN where that is not defined: strictly monotone activations, or branches."""
    before = [network.stages[i].activation for i in network.needed_for(stage)]
    monotone = [each.injective() for each in before if isinstance(each, Pointwise)]
    if any(each is None or bool(each.any()) for each in monotone):
        return nan
    try:
        return stability_radius(network, x, stage).radius
    except (InputError, ModelError):
        return nan


__all__ = ["LayerMeasurement", "Watch", "condition_numbers", "measure", "plot", "radius"]
