"""What the first layer of a trained network tells of its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np
from torch import nn

from fiberscope.invariance.examples import invariance_examples
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.classify import classify
from fiberscope.preimages.coarsest import coarsest_precision
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.verify import verify
from fiberscope.readers.torch import from_torch
from fiberscope.recovery.attack import attack
from fiberscope.training.measuring import condition_numbers, radius
from fiberscope_paper.control_training import Samples, accuracy, adversarial_accuracy
from fiberscope_paper.control_variants import Variant

LEVELS = 255
"""Steps of the features that the attack is given: 8 bits from the smallest to the largest of all samples."""

STARTS = ("grey",)

PIXELS = Box(0, 1)


@dataclass(frozen=True)
class Measured:
    """A trained network, by its first layer F and some test samples.

    Attributes:
        variant: how it was trained.
        accuracy: over all test samples.
        adversarial: accuracy after an attack on each pixel.
        kept: the number of units that are handed on, median.
        singletons: the share of samples that are alone with their features in the box of pixels, proved.
        bounded: the share of samples whose preimage is bounded without the box, proved.
        undecided: the number of verdicts that are not settled.
        unproved: the number of verdicts whose proof does not hold.
        coarsest: up to which error of the features the preimage stays bounded, in root mean squares of the features,
            median. Of activations that are strictly monotone there is none.
        radius: of the ball around a sample on which F is proved to be injective (Euclid, median).
        condition_number: of F around a sample, median.
        amplified: that divided by the condition number of the kept rows without slopes, median.
        rebuilt: how far the input is off that an attack on features of 8 bits finds: root mean square per pixel.
        reach: how far one can go from a sample towards one of another class and keep all features, as a share of the
            way; median.
    """

    variant: Variant
    accuracy: float
    adversarial: float
    kept: float
    singletons: float
    bounded: float
    undecided: int
    unproved: int
    coarsest: float
    radius: float
    condition_number: float
    amplified: float
    rebuilt: float
    reach: float


def measured(variant: Variant, module: nn.Sequential, test: Samples, count: int, few: int) -> Measured:
    """Measure the first layer at the first ``count`` samples; what takes long, at the first ``few``."""
    network = from_torch(module)
    placed = network.placed_layers[0]
    X = test.x[:count].double().numpy()
    layer, Z = placed.layer, network.evaluated(X, network.sources(placed.stage)[0])
    assert isinstance(layer, ReLULayer), "the first layer is one affine map of the input"
    boxed, free = classify(layer, X, PIXELS), classify(layer, X)
    verdicts = [*boxed.preimages, *free.preimages]
    settled = [each for each in verdicts if each.kind is not Kind.UNDECIDED]
    conditions = np.array(condition_numbers(network, placed, Z))
    return Measured(
        variant,
        accuracy(module, test),
        adversarial_accuracy(module, test),
        float(np.median(boxed.positives)),
        float(np.mean([p.kind is Kind.SINGLETON for p in boxed.preimages])),
        float(np.mean([p.kind in (Kind.SINGLETON, Kind.BOUNDED) for p in free.preimages])),
        len(verdicts) - len(settled),
        sum(not verify(p) for p in settled),
        _coarsest(layer, X[:few], network.evaluated(X, placed.stage)),
        float(np.median([radius(network, x, placed.stage) for x in X[:few]])),
        float(np.median(conditions)),
        _amplified(layer, Z, conditions),
        _rebuilt(network, X[:few], network.evaluated(X, placed.stage)),
        _reach(network, X, test.y[:count].numpy(), few),
    )


def _coarsest(layer: ReLULayer, X: FloatArray, features: FloatArray) -> float:
    if layer.injective.any():
        return nan
    found: Any = coarsest_precision(layer, X)
    return float(np.median(found.lower) / np.sqrt(np.mean(features**2)))


def _amplified(layer: ReLULayer, Z: FloatArray, conditions: FloatArray) -> float:
    """What slopes other than 0 and 1 add."""
    A, shares = dense(layer.weight), list[float]()
    for z, with_slopes in zip(Z, conditions, strict=True):
        kept = A if layer.injective.all() else A[(z > layer.low) & (z < layer.high)]
        sigma = np.linalg.svd(kept, compute_uv=False) if len(kept) >= layer.inputs else np.zeros(1)
        shares.append(with_slopes * sigma[-1] / sigma[0] if sigma[-1] > 0 and with_slopes < inf else nan)
    return float(np.nanmedian(shares)) if not np.isnan(shares).all() else nan


def _rebuilt(network: Network, X: FloatArray, features: FloatArray) -> float:
    step = float(np.ptp(features)) / LEVELS
    sent = np.round(features[: len(X)] / step) * step
    guess = attack(network, 0, sent, PIXELS, within=step / 2, starts=STARTS)
    return float(np.sqrt(np.mean((guess.x - X) ** 2)))


def _reach(network: Network, X: FloatArray, y: FloatArray, few: int) -> float:
    shares: list[float] = []
    for i in range(few):
        goal = X[np.flatnonzero(y != y[i])[i % 5]]
        (found,) = invariance_examples(network, X[i], [goal], 0, PIXELS, objective="towards")
        way = goal - X[i]
        shares.append(float(way @ (found.x.ravel() - X[i])) / float(way @ way))
    return float(np.median(shares))


__all__ = ["LEVELS", "PIXELS", "Measured", "measured"]
