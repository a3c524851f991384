"""The paper's fully connected architectures [appendix A4]."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

PIXELS = 784
"""Input coordinates of an MNIST digit, 28 x 28."""

CLASSES = 10


def table1() -> nn.Sequential:
    """The MLP of table 1: 784 inputs, ten ReLU layers of 100 units, and a softmax over 10 classes."""
    return _mlp(PIXELS, [100] * 10, CLASSES)


def table2() -> nn.Sequential:
    """The MLP of table 2: 784 inputs, ReLU layers of 3500 and 784 units, and a softmax over 10 classes."""
    return _mlp(PIXELS, [3500, 784], CLASSES)


def _mlp(inputs: int, hidden: Sequence[int], classes: int) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    size = inputs
    for number, units in enumerate(hidden, start=1):
        parts[f"hidden{number}"] = nn.Linear(size, units)
        parts[f"relu{number}"] = nn.ReLU()
        size = units
    parts["logits"] = nn.Linear(size, classes)
    parts["softmax"] = nn.Softmax(dim=1)
    return nn.Sequential(parts)


__all__ = ["CLASSES", "PIXELS", "table1", "table2"]
