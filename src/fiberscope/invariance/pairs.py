"""Which samples to make invariance examples of, and towards which others [appendix A7]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from fiberscope.errors import InputError
from fiberscope.invariance.feature_region import decided_by, features_of
from fiberscope.network.arrays import IntArray, as_float64
from fiberscope.network.network import Network


@dataclass(frozen=True)
class Pair:
    """A sample x and a target c, by their positions in the data."""

    source: int
    target: int


def pairs_of_few_positives(
    network: Network, X: Any, y: Any, stage: int, count: int, *, targets: int = 1, seed: int = 0
) -> list[Pair]:
    """The paper's choice: the samples with the fewest positive outputs of a layer, and targets of another class.

    Few positive outputs are few equations, so that much may change.

    Args:
        network: the network.
        X: (N, *input_shape) samples.
        y: (N,) their classes; None if they are not known: then any other sample may be a target.
        stage: the number of the layer's activation.
        count: how many samples.
        targets: how many targets for each, at random, of different classes as far as there are.
        seed: of the choice of targets.

    Returns:
        At most ``count * targets`` pairs, the samples with the fewest positives first.

    Raises:
        InputError: samples or classes do not fit, or all samples are of one class.
    """
    samples = network.flat(X)
    labels = checked_labels(y, len(samples))
    positives = positive_outputs(network, samples, stage)
    sources = np.argsort(positives, kind="stable")[:count]
    generator = np.random.default_rng(seed)
    pairs = [
        Pair(int(source), target)
        for source in sources
        for target in targets_of(int(source), len(samples), labels, targets, generator)
    ]
    if not pairs:
        raise InputError("y", expected="samples of at least two classes", got="one class", hint="leave y out")
    return pairs


def checked_labels(y: Any, samples: int) -> Int64[IntArray, " N"] | None:
    """The classes of samples; None for none.

    Raises:
        InputError: another number of them, or no whole numbers.
    """
    if y is None:
        return None
    labels = as_float64(y, "y")
    fractions = labels[labels != np.floor(labels)]
    if labels.shape != (samples,) or len(fractions):
        got = f"{fractions[0]}" if len(fractions) else f"shape {labels.shape}"
        expected = f"{samples} whole numbers, one per sample"
        raise InputError("y", expected=expected, got=got, hint="pass the class of every sample, or leave y out")
    return labels.astype(np.int64)


def targets_of(
    source: int, samples: int, labels: Int64[IntArray, " N"] | None, count: int, generator: np.random.Generator
) -> list[int]:
    """Some samples of other classes than a sample's, of each class at most one more than of any other."""
    order = generator.permutation(samples)
    if labels is None:
        return [int(i) for i in order if i != source][:count]
    others = [int(i) for i in order if labels[i] != labels[source]]
    seen: dict[int, int] = {}
    rounds: list[tuple[int, int]] = []
    for place in others:
        label = int(labels[place])
        rounds.append((seen.get(label, 0), place))
        seen[label] = seen.get(label, 0) + 1
    return [place for _, place in sorted(rounds, key=lambda each: each[0])][:count]


def positive_outputs(network: Network, samples: Any, stage: int) -> Int64[IntArray, " N"]:
    """How many coordinates of what a layer receives its output determines, at each sample: of a ReLU, the positive."""
    received = network.evaluated(samples, decided_by(network, stage))
    return np.array([len(features_of(network, z, stage).fixed) for z in received], dtype=np.int64)


__all__ = ["Pair", "checked_labels", "pairs_of_few_positives", "positive_outputs", "targets_of"]
