"""The network of the demo, the paper's table 1 [appendix A4]."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

PIXELS = 784
"""Input coordinates of an MNIST digit, 28 x 28."""

CLASSES = 10


def table1() -> nn.Sequential:
    """The MLP of table 1: 784 inputs, ten ReLU layers of 100 units, and a softmax over 10 classes."""
    return perceptron(PIXELS, [100] * 10, CLASSES)


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


__all__ = ["CLASSES", "PIXELS", "glorot", "perceptron", "table1"]
