"""Training with a penalty, and an attack on the answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fiberscope.training.algebra import parts
from fiberscope_paper.control_variants import Variant

BATCH, PENALISED = 100, 16
"""Samples of a step, and how many of them the penalty looks at."""

LEARNING_RATE = 3e-3

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


def train(variant: Variant, samples: Samples, classes: int, epochs: int, seed: int) -> nn.Sequential:
    """Train by cross-entropy and the penalty; everything random depends on the seed alone, in the same way for all."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = variant.network(samples.x.shape[1], classes)
    penalty = None if variant.penalty is None else variant.penalty(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        for batch in parts(torch.randperm(len(samples.x), generator=generator), BATCH):
            loss = nn.functional.cross_entropy(module(samples.x[batch]), samples.y[batch])
            if penalty is not None:
                loss = loss + variant.weight * penalty(samples.x[batch[:PENALISED]])
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


__all__ = ["ATTACKED", "LEARNING_RATE", "PENALISED", "REACH", "Samples", "accuracy", "adversarial_accuracy", "train"]
