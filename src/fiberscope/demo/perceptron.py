"""Dense classifiers, and how weights begin."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

CLASSES = 10


def perceptron(inputs: int, hidden: Sequence[int], classes: int) -> nn.Sequential:
    """Dense ReLU layers of so many units, and a softmax behind one number per class."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    size = inputs
    for number, units in enumerate(hidden, start=1):
        parts[f"hidden{number}"] = nn.Linear(size, units)
        parts[f"relu{number}"] = nn.ReLU()
        size = units
    parts["logits"] = nn.Linear(size, classes)
    parts["softmax"] = nn.Softmax(dim=1)
    return nn.Sequential(parts)


def glorot(module: nn.Module, generator: torch.Generator) -> None:
    """Let weights start as Glorot-uniform numbers and biases as zeros, as in Keras."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


__all__ = ["CLASSES", "glorot", "perceptron"]
