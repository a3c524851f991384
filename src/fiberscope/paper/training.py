"""Training the paper's fully connected networks [appendix A4]."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fiberscope.errors import InputError
from fiberscope.network.arrays import as_float64
from fiberscope.paper.architectures import glorot

EpochReport = Callable[[int, int, float], None]
"""Called after each epoch with its number from 1, the number of epochs, and the mean loss."""


@dataclass(frozen=True)
class Recipe:
    """How to train a classifier with Adam.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: Adam's step size.
        threads: how many threads torch uses; None leaves its setting as it is. With one thread the result does not
            depend on the number of cores, and small networks train no slower.
    """

    epochs: int = 25
    batch_size: int = 1000
    learning_rate: float = 1e-3
    threads: int | None = None


PAPER = Recipe()
"""The paper's recipe for MNIST: Adam, 25 epochs, batches of 1,000."""


def train_classifier(
    architecture: Callable[[], nn.Sequential],
    x: Any,
    y: Any,
    *,
    recipe: Recipe = PAPER,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
) -> nn.Sequential:
    """Train a network that ends in a softmax, by the cross-entropy of its output.

    Weights start as Glorot-uniform numbers and biases as zeros, as in Keras. The result depends on ``seed`` and on how
    the machine rounds (its torch build and, unless the recipe sets it, the number of threads), on nothing else; torch's
    global random numbers are left as they were.

    Args:
        architecture: makes the untrained module, whose last part is the softmax.
        x: training inputs, (N, ...), flattened per sample.
        y: their classes, (N,) integers.
        recipe: epochs, batch size and learning rate.
        seed: of the initial weights and of the order of samples.
        on_epoch: told about every epoch.

    Returns:
        The trained module in evaluation mode.

    Raises:
        InputError: inputs and classes do not agree in number.
    """
    inputs = torch.as_tensor(as_float64(x, "x").reshape(len(x), -1).astype("float32"))
    classes = torch.as_tensor(as_float64(y, "y", shape=(None,)).astype("int64"))
    if len(inputs) != len(classes):
        raise InputError("y", expected=f"{len(inputs)} classes, one per sample", got=f"{len(classes)}")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # making the modules draws global random numbers
        module = architecture()
    glorot(module, generator)
    with _threads(recipe.threads):
        _fit(module[:-1], inputs, classes, recipe, generator, on_epoch)
    return module.eval()


@contextmanager
def _threads(count: int | None) -> Generator[None]:
    """Let torch use ``count`` threads for a while; its setting is global, so it is put back."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(
    logits: nn.Module,
    inputs: torch.Tensor,
    classes: torch.Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    on_epoch: EpochReport | None,
) -> None:
    optimizer: torch.optim.Optimizer = torch.optim.Adam(logits.parameters(), lr=recipe.learning_rate)
    for epoch in range(1, recipe.epochs + 1):
        total = 0.0
        order = torch.randperm(len(inputs), generator=generator)
        for start in range(0, len(inputs), recipe.batch_size):
            batch = order[start : start + recipe.batch_size]
            loss = nn.functional.cross_entropy(logits(inputs[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        if on_epoch is not None:
            on_epoch(epoch, recipe.epochs, total / len(inputs))


__all__ = ["PAPER", "EpochReport", "Recipe", "train_classifier"]
