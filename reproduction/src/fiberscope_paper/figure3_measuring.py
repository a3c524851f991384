"""What figure 3 counts: the kinds of preimages of a layer's outputs, beside the printed algorithm and a null model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from torch import nn

from fiberscope.network.affine import Dense
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Box, Domain
from fiberscope.network.layer import Layer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.network.stage import Stage, affine_stage
from fiberscope.preimages.algorithm1 import algorithm1
from fiberscope.preimages.classify import classify
from fiberscope.preimages.kind import Kind
from fiberscope_paper.context import ProgressReport

Kinds = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The kinds of a layer's preimages at N samples.

    Attributes:
        positives: (N,) the number of positive outputs.
        kinds: (N,) the kinds.
        proved: (N,) whether the certificate proves it.
    """

    positives: Int64[IntArray, " N"]
    kinds: Kinds
    proved: Bool[BoolArray, " N"]

    def has(self, *kinds: Kind) -> Bool[BoolArray, " N"]:
        """Which samples have one of some kinds."""
        return np.isin(self.kinds, [str(kind) for kind in kinds])

    @property
    def finite(self) -> Bool[BoolArray, " N"]:
        """Which preimages are compact, as the paper says: bounded ones and singletons."""
        return self.has(Kind.BOUNDED, Kind.SINGLETON)

    def counts(self) -> dict[str, int]:
        """How many samples have each kind."""
        return {str(kind): int(self.has(kind).sum()) for kind in Kind}


@dataclass(frozen=True, eq=False)
class Strip:
    """Where both kinds occur.

    Attributes:
        smallest_finite: the fewest positive outputs with a bounded preimage or a singleton; None if there is none.
        largest_unbounded: the most positive outputs with an unbounded preimage; None if there is none.
    """

    smallest_finite: int | None
    largest_unbounded: int | None

    @property
    def overlaps(self) -> bool | None:
        """Whether some finite preimage has fewer positive outputs than some unbounded one; None if a kind is absent."""
        if self.smallest_finite is None or self.largest_unbounded is None:
            return None
        return self.smallest_finite <= self.largest_unbounded


def strip_of(verdicts: Verdicts) -> Strip:
    """The strip of some verdicts."""
    finite, unbounded = verdicts.positives[verdicts.finite], verdicts.positives[verdicts.has(Kind.UNBOUNDED)]
    return Strip(int(finite.min()) if len(finite) else None, int(unbounded.max()) if len(unbounded) else None)


@dataclass(frozen=True, eq=False)
class Printed:
    """What the printed algorithm answers, at some samples.

    Attributes:
        samples: (k,) their numbers.
        finite: (k,) the answers.
        wrong: (k,) whether the proved verdict is another.
    """

    samples: Int64[IntArray, " k"]
    finite: Bool[BoolArray, " k"]
    wrong: Bool[BoolArray, " k"]


def judge(
    layer: Layer, X: Float64[FloatArray, "N n"], domain: Domain | None, task: str, progress: ProgressReport
) -> Verdicts:
    """Decide and prove all samples, and check every proof once more."""
    judged = classify(layer, X, domain, progress=lambda done, total: progress(task, done, total))
    return Verdicts(judged.positives, np.asarray(judged.kind, np.str_), judged.verify())


def unit_box(X: Float64[FloatArray, "N n"]) -> Box | None:
    """The box [0, 1], where it holds the samples, as it does pixels."""
    return Box(0.0, 1.0) if X.min() >= 0.0 and X.max() <= 1.0 else None


def tight_coordinates(X: Float64[FloatArray, "N n"]) -> Int64[IntArray, " N"]:
    """How many coordinates of each sample lie on the border of the box [0, 1]."""
    return np.asarray(((X == 0.0) | (X == 1.0)).sum(axis=1), np.int64)


def fresh_layer(network: Network, seed: int) -> Layer | None:
    """The first ReLU layer before training: Glorot-uniform weights, and biases that are zero.

    Returns:
        The layer; None where it is neither a matrix nor a convolution of what comes before it.
    """
    placed = network.placed_layers[0]
    (source,) = network.stages[placed.stage].sources or (placed.stage - 1,)
    maps = network.stages[source].maps
    if len(maps) != 1 or not isinstance(maps[0], Dense | Convolution):
        return None
    weight = torch.empty(maps[0].weight.shape)
    nn.init.xavier_uniform_(weight, generator=torch.Generator().manual_seed(seed))
    if isinstance(maps[0], Dense):
        return ReLULayer(weight.numpy(), low=placed.layer.low, high=placed.layer.high)
    activation = Stage("fresh activation", activation=network.stages[placed.stage].activation)
    stages = affine_stage("fresh", replace(maps[0], weight=weight, bias=None)), activation
    return Network(stages, maps[0].input_shape).relu_layers[0]


def may_be_printed(layer: Layer) -> bool:
    """Whether the printed algorithm, which takes a dense matrix, can be asked about a layer."""
    return isinstance(layer, ReLULayer) and not is_sparse(layer.weight) and layer.is_relu


def spread(verdicts: Verdicts, inputs: int, count: int) -> Int64[IntArray, " k"]:
    """Samples below the number of inputs, where the printed algorithm has to look, evenly by their positive outputs.

    Half of them are those nearest to the border between finite and unbounded ones, where mistakes matter most.
    """
    order = np.argsort(verdicts.positives, kind="stable")
    below = order[verdicts.positives[order] < inputs]
    strip = strip_of(verdicts)
    ends = [end for end in (strip.smallest_finite, strip.largest_unbounded) if end is not None]
    if len(below) <= count or strip.overlaps is None:
        return _evenly(below, count)
    distance = np.abs(verdicts.positives[below] - np.mean(ends))
    near = below[np.argsort(distance, kind="stable")[: count // 2]]
    rest = below[~np.isin(below, near)]
    return np.sort(np.concatenate([near, _evenly(rest, count - len(near))]))


def _evenly(numbers: Int64[IntArray, " k"], count: int) -> Int64[IntArray, " s"]:
    places = np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).astype(np.int64))
    return numbers[places] if len(numbers) else numbers


def ask_printed(
    layer: ReLULayer,
    X: Float64[FloatArray, "N n"],
    verdicts: Verdicts,
    samples: Int64[IntArray, " k"],
    progress: ProgressReport,
    algorithm: Callable[..., bool] = algorithm1,
) -> Printed:
    """Ask the printed algorithm about some samples; undecided ones are left out."""
    settled = samples[verdicts.has(Kind.BOUNDED, Kind.SINGLETON, Kind.UNBOUNDED)[samples]]
    answers: list[bool] = []
    for done, i in enumerate(settled, start=1):
        answers.append(algorithm(layer.weight, layer.bias, layer(X[i])))
        progress("algorithm 1 as printed, samples", done, len(settled))
    finite = np.array(answers, dtype=np.bool_)
    return Printed(settled, finite, finite != verdicts.finite[settled])


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that the figure shows.

    Attributes:
        inputs: n, of the layer.
        outputs: m.
        verdicts: on all of R^n.
        boxed: in the box [0, 1]; None where the inputs do not lie in it.
        fresh: of the same layer before training, on all of R^n; None where it is no layer of a known kind.
        fresh_boxed: of that one in the box.
        tight: (N,) coordinates on the border of the box.
        printed: what the printed algorithm answers; None for a layer that it cannot be asked about.
    """

    inputs: int
    outputs: int
    verdicts: Verdicts
    boxed: Verdicts | None
    fresh: Verdicts | None
    fresh_boxed: Verdicts | None
    tight: IntArray
    printed: Printed | None


__all__ = [
    "Measured",
    "Printed",
    "Strip",
    "Verdicts",
    "ask_printed",
    "fresh_layer",
    "judge",
    "may_be_printed",
    "spread",
    "strip_of",
    "tight_coordinates",
    "unit_box",
]
