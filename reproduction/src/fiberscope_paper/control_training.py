"""Training with a penalty, and an attack on the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fiberscope.data.datasets import DataSet
from fiberscope.errors import InputError
from fiberscope.training.algebra import parts
from fiberscope_paper.context import Context
from fiberscope_paper.control_variants import Variant
from fiberscope_paper.sources import UsedData, used_data

BATCH, PENALISED = 100, 16
"""Samples of a step, and how many of them the penalty looks at."""

LEARNING_RATE = 3e-3

SIDE = 28
"""Of a picture, before it is made smaller."""

REACH, STEPS, ATTACKED = 0.1, 10, 2_000
"""Of the attack: how far a pixel may be moved, in how many steps, and how many samples are attacked at most."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Flat pictures with numbers from 0 to 1, and their classes.

    Attributes:
        x: (N, n).
        y: (N,).
    """

    x: Tensor
    y: Tensor


def prepared(context: Context, quick: int, paper: int) -> tuple[UsedData, Samples, Samples]:
    """The digits of the paper, or what stands in for them, and pictures to train with and to test on, made smaller.

    Args:
        context: what was asked for.
        quick: how many pictures to train with at quick scale.
        paper: at the paper's.
    """
    data = used_data(context, paper="mnist", stand_ins=("mnist-5k", "fashion-mnist"))
    assert data.training is not None, "no model takes the place of training here"
    smaller = context.at_scale(quick=4, paper=2)
    training = pictures(data.training, smaller, context.at_scale(quick=quick, paper=paper))
    return data, training, pictures(data.test, smaller, len(data.test))


def pictures(data: DataSet, smaller: int, count: int) -> Samples:
    """The first pictures of a data set, with means of ``smaller`` x ``smaller`` pixels, flat.

    Raises:
        InputError: the data are none of 28 x 28 pixels with classes.
    """
    if data.y is None or int(np.prod(data.x.shape[1:])) != SIDE**2:
        expected = f"pictures of {SIDE} x {SIDE} pixels with classes"
        raise InputError("--data", expected=expected, got=f"{data.name}, of shape {data.x.shape[1:]}")
    pictures = torch.as_tensor(np.asarray(data.x[:count], np.float32)).reshape(-1, 1, SIDE, SIDE)
    return Samples(torch.nn.functional.avg_pool2d(pictures, smaller).flatten(1), torch.as_tensor(data.y[:count]))


def train(variant: Variant, samples: Samples, classes: int, epochs: int, seed: int) -> nn.Sequential:
    """Train by cross-entropy and the penalty; everything random depends on the seed alone, in the same way for all."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = variant.network(samples.x.shape[1], classes)
    penalty = None if variant.penalty is None else variant.penalty(module)
    return fitted(module, samples, epochs, seed, None if penalty is None else lambda x: variant.weight * penalty(x))


def fitted(
    module: nn.Sequential,
    samples: Samples,
    epochs: int,
    seed: int,
    penalty: Callable[[Tensor], Tensor] | None = None,
) -> nn.Sequential:
    """Train a module that is there, by cross-entropy and a penalty on some samples of each step."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        for batch in parts(torch.randperm(len(samples.x), generator=generator), BATCH):
            loss = nn.functional.cross_entropy(module(samples.x[batch]), samples.y[batch])
            if penalty is not None:
                loss = loss + penalty(samples.x[batch[:PENALISED]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return module.eval()


def accuracy(module: nn.Module, samples: Samples) -> float:
    """The share of samples that are classified correctly."""
    with torch.no_grad():
        return float((module(samples.x).argmax(dim=1) == samples.y).double().mean())


def adversarial_accuracy(module: nn.Module, samples: Samples) -> float:
    """The same of samples that projected gradient steps move within a box around each, to raise the loss.

    Source: A. Madry et al., Towards deep learning models resistant to adversarial attacks, 2018.
    """
    samples = Samples(samples.x[:ATTACKED], samples.y[:ATTACKED])
    moved = samples.x.clone()
    low, high = (samples.x - REACH).clamp_min(0.0), (samples.x + REACH).clamp_max(1.0)
    for _ in range(STEPS):
        moved.requires_grad_()
        loss = nn.functional.cross_entropy(module(moved), samples.y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        ahead = moved.detach() + 2.5 * REACH / STEPS * gradient.sign()
        moved = torch.minimum(torch.maximum(ahead, low), high)
    return accuracy(module, Samples(moved, samples.y))


__all__ = [
    "ATTACKED",
    "LEARNING_RATE",
    "PENALISED",
    "REACH",
    "Samples",
    "accuracy",
    "adversarial_accuracy",
    "fitted",
    "pictures",
    "prepared",
    "train",
]
