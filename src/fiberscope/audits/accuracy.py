"""How well a network does on the data it is audited with, and what that says about whether they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.subject import Subject
from fiberscope.network.arrays import IntArray
from fiberscope.network.network import Network

PIXEL = 255
"""The largest pixel of eight bits."""

FEW = 10
"""Samples below which a share of correct ones says too little to warn about it."""

NEAR_CHANCE = 0.2
"""The share of the way from chance to all correct below which a network hardly does better than chance: with ten
classes, below 28%. Networks that people audit are far above it on data like those that they were trained on."""

TIMES_CHANCE = 3.0
"""How often as many as by chance are no longer hardly better, where classes are so many that this is less: with a
hundred classes, 3%."""


@dataclass(frozen=True)
class Fit:
    """How the data and the network belong together.

    Attributes:
        correct: the number of samples that are classified correctly; None where that is not known.
        warnings: why the data may be others than the network was made for.
    """

    correct: int | None
    warnings: tuple[str, ...]


def fit_of(subject: Subject, most: int | None = None) -> Fit:
    """Look at the samples and, where there are labels, at what the network makes of them.

    Args:
        subject: the network and the samples.
        most: at how many of the first samples to look; None for all.
    """
    x, y = subject.x[:most], None if subject.y is None else subject.y[:most]
    found, unscaled = predictions(subject.network, x, y), _about_range(x)
    if found is None or y is None:
        return Fit(None, (*unscaled, *_about_labels(subject.network, y)))
    correct, outputs = int((found == y).sum()), subject.network.outputs
    if len(x) < FEW:
        return Fit(correct, unscaled)
    constant = len(np.unique(found)) == 1 < len(np.unique(y)) and len(x) - correct >= FEW
    if constant or _near_chance(correct, len(x), outputs):
        return Fit(correct, (*unscaled, _about_classes(correct, len(x), outputs, constant=constant)))
    return Fit(correct, unscaled)


def predictions(network: Network, x: NDArray[Any], y: IntArray | None) -> IntArray | None:
    """(N,) the classes that a network gives, by its largest output.

    None where nothing can be compared: no labels, labels that are not numbers of the network's outputs, or an output of
    several axes, whose largest number is no class.
    """
    if y is None or not _gives_classes(network) or y.min() < 0 or y.max() >= network.outputs:
        return None
    return np.asarray(network(x).reshape(len(x), -1).argmax(axis=1), dtype=np.int64)


def _gives_classes(network: Network) -> bool:
    """Whether the outputs can be those of classes: at least two, along one axis."""
    return sum(size != 1 for size in network.output_shape) == 1


def _about_labels(network: Network, y: IntArray | None) -> tuple[str, ...]:
    """A warning about labels that number as many classes as there are outputs, but from one on."""
    if y is None or not _gives_classes(network) or y.min() < 1 or y.max() != network.outputs:
        return ()
    return (
        f"the labels are from {y.min()} to {y.max()}, and the network's outputs are numbered from 0 to "
        f"{network.outputs - 1}, so that nothing is said about its accuracy; if both mean the same classes, number "
        "the labels from 0",
    )


def _about_range(x: NDArray[Any]) -> tuple[str, ...]:
    """A warning about floats that fill the range of a byte, or about whole numbers that fill none of it."""
    if x.dtype == np.float32 and x.min() >= 0 and x.max() == np.float32(1) / np.float32(PIXEL):
        return (
            f"the data are 0 and 1 as whole numbers, and whole numbers are taken as pixels and divided by {PIXEL}: if "
            "they are meant as they are, store them as floats",
        )
    if x.dtype.kind != "f" or x.min() < 0 or not PIXEL / 2 < x.max() <= PIXEL:
        return ()
    return (
        f"the data are floats from {x.min():g} to {x.max():g}, as pixels from 0 to {PIXEL} are, and floats are taken "
        "as they are. Most networks want pixels divided by 255 or standardised: scale them as in training, unless the "
        "network does that itself",
    )


def _about_classes(correct: int, samples: int, outputs: int, *, constant: bool) -> str:
    doing = "gives the same class for all samples" if constant else "hardly does better than chance"
    return (
        f"the network {doing}: it classifies {correct:,} of {samples:,} correctly, and chance among {outputs:,} "
        f"classes gives {samples / outputs:,.1f}. Perhaps the data are not scaled, or the labels not numbered, as in "
        "its training, or it is no classifier of them"
    )


def accuracy_line(correct: int | None, samples: int) -> str:
    """The accuracy in words; empty where it is not known."""
    if correct is None:
        return ""
    return f"Accuracy: the network classifies {correct:,} of {samples:,} samples correctly, {correct / samples:.1%}."


def _near_chance(correct: int, samples: int, outputs: int) -> bool:
    chance = 1.0 / outputs
    return correct / samples < min(chance + NEAR_CHANCE * (1.0 - chance), TIMES_CHANCE * chance)


__all__ = ["Fit", "accuracy_line", "fit_of", "predictions"]
