"""Training the demo's network and the paper's [appendix A4]."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, assert_never, runtime_checkable

import torch
from torch import nn

from fiberscope.demo.perceptron import glorot
from fiberscope.errors import InputError
from fiberscope.network.arrays import as_float64

EpochReport = Callable[[int, int, float], None]
"""Called after each epoch with its number from 1, the number of epochs, and the mean loss."""


class Optimizer(StrEnum):
    """The two that the paper uses."""

    ADAM = "adam"
    RMSPROP = "rmsprop"


@dataclass(frozen=True)
class Recipe:
    """How to train a classifier.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: the optimizer's step size.
        threads: how many threads torch uses; None leaves its setting as it is. With one thread the result does not
            depend on the number of cores, and small networks train no slower.
        optimizer: Adam, or RMSprop with Keras's constants.
        decay: step t, counted from 0, uses ``learning_rate / (1 + decay t)``, as in Keras.
        flat: whether samples are flattened; convolutional networks take them as they are.
    """

    epochs: int = 25
    batch_size: int = 1000
    learning_rate: float = 1e-3
    threads: int | None = None
    optimizer: Optimizer = Optimizer.ADAM
    decay: float = 0.0
    flat: bool = True


@dataclass(frozen=True, eq=False)
class Progress:
    """Everything that the next epoch depends on."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator


@runtime_checkable
class Checkpoint(Protocol):
    """Where it is kept how far a training is."""

    def restore(self, progress: Progress) -> int:
        """Put what is kept into ``progress``; returns how many epochs are done."""
        ...

    def write(self, progress: Progress, epoch: int) -> None:
        """Keep the state after an epoch."""
        ...


def train_classifier(
    architecture: Callable[[], nn.Sequential],
    x: Any,
    y: Any,
    *,
    recipe: Recipe,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
    checkpoint: Checkpoint | None = None,
) -> nn.Sequential:
    """Train a network that ends in a softmax, by the cross-entropy of its output.

    Weights start as Glorot-uniform numbers and biases as zeros, as in Keras. The result depends on ``seed`` and on how
    the machine rounds (its torch build and, unless the recipe sets it, the number of threads), on nothing else; torch's
    global random numbers are left as they were.

    Args:
        architecture: makes the untrained module, whose last part is the softmax.
        x: training inputs, (N, ...), flattened per sample where the recipe says so.
        y: their classes, (N,) integers.
        recipe: optimizer, epochs, batch size and learning rate.
        seed: of the initial weights and of the order of samples.
        on_epoch: told about every epoch that is trained now.
        checkpoint: keeps how far training is after each epoch, and is continued from; an interrupted training ends
            with exactly the weights of one that was not.

    Returns:
        The trained module in evaluation mode.

    Raises:
        InputError: inputs and classes do not agree in number.
        ResultsError: the checkpoint cannot be continued or written.
    """
    samples = as_float64(x, "x")
    inputs = torch.as_tensor((samples.reshape(len(samples), -1) if recipe.flat else samples).astype("float32"))
    classes = torch.as_tensor(as_float64(y, "y", shape=(None,)).astype("int64"))
    if len(inputs) != len(classes):
        raise InputError("y", expected=f"{len(inputs)} classes, one per sample", got=f"{len(classes)}")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # making the modules draws global random numbers
        module = architecture()
    glorot(module, generator)
    with torch_threads(recipe.threads):
        _fit(module[:-1], inputs, classes, recipe, generator, on_epoch, checkpoint)
    return module.eval()


@contextmanager
def torch_threads(count: int | None) -> Generator[None]:
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
    checkpoint: Checkpoint | None,
) -> None:
    progress = Progress(logits, _optimizer(recipe, logits), generator)
    done = 0 if checkpoint is None else checkpoint.restore(progress)
    for epoch in range(done + 1, recipe.epochs + 1):
        loss = _epoch(logits, inputs, classes, recipe, progress, epoch)
        if checkpoint is not None:
            checkpoint.write(progress, epoch)
        if on_epoch is not None:
            on_epoch(epoch, recipe.epochs, loss)


def _epoch(
    logits: nn.Module, inputs: torch.Tensor, classes: torch.Tensor, recipe: Recipe, progress: Progress, epoch: int
) -> float:
    """Train one pass over the data; returns the mean loss."""
    total, optimizer = 0.0, progress.optimizer
    starts = range(0, len(inputs), recipe.batch_size)
    order = torch.randperm(len(inputs), generator=progress.generator)
    for step, start in enumerate(starts, start=(epoch - 1) * len(starts)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate / (1.0 + recipe.decay * step)
        batch = order[start : start + recipe.batch_size]
        loss = nn.functional.cross_entropy(logits(inputs[batch]), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(batch)
    return total / len(inputs)


def _optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    match recipe.optimizer:
        case Optimizer.ADAM:
            return torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
        case Optimizer.RMSPROP:  # torch's own constants are others than Keras's
            return torch.optim.RMSprop(module.parameters(), lr=recipe.learning_rate, alpha=0.9, eps=1e-7)
        case _:
            assert_never(recipe.optimizer)


__all__ = ["Checkpoint", "EpochReport", "Optimizer", "Progress", "Recipe", "torch_threads", "train_classifier"]
