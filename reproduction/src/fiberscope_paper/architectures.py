"""The paper's architectures [appendix A4]."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from fiberscope.demo.perceptron import CLASSES, perceptron

PIXELS = 784
"""Input coordinates of an MNIST digit, 28 x 28."""

CIFAR = (3, 32, 32)
"""The shape of a CIFAR-10 image."""

STRIDES = (1, 2, 1, 1, 1, 2)
"""Of the six convolutions of tables 3 and 4."""

HIDDEN = 512
"""Units of the dense layer behind the convolutions."""


def table1() -> nn.Sequential:
    """The MLP of table 1: 784 inputs, ten ReLU layers of 100 units, and a softmax over 10 classes."""
    return perceptron(PIXELS, [100] * 10, CLASSES)


def table2() -> nn.Sequential:
    """The MLP of table 2: 784 inputs, ReLU layers of 3500 and 784 units, and a softmax over 10 classes."""
    return perceptron(PIXELS, [3500, 784], CLASSES)


def table3(shape: tuple[int, int, int] = CIFAR) -> nn.Sequential:
    """WideCIFAR, table 3: six 3 x 3 convolutions with 32, 64, 64, 32, 32 and 64 feature maps, and two dense layers.

    Args:
        shape: of the pictures, square with a side that 4 divides; the first dense layer has as many inputs as they
            leave.
    """
    return _cnn([32, 64, 64, 32, 32, 64], shape)


def table4(shape: tuple[int, int, int] = CIFAR) -> nn.Sequential:
    """ThinCIFAR, table 4: the same with 32, 32, 16, 16, 16 and 32 feature maps."""
    return _cnn([32, 32, 16, 16, 16, 32], shape)


def _cnn(maps: Sequence[int], shape: tuple[int, int, int]) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    channels, side, _ = shape
    for number, (count, stride) in enumerate(zip(maps, STRIDES, strict=True), start=1):
        # Keras pads as little as it can: of an even side with stride 2, only behind
        parts[f"pad{number}"] = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
        parts[f"convolution{number}"] = nn.Conv2d(channels, count, 3, stride)
        parts[f"relu{number}"] = nn.ReLU()
        channels, side = count, side // stride
    parts["flatten"] = nn.Flatten()
    parts["dense"] = nn.Linear(channels * side * side, HIDDEN)
    parts["relu"] = nn.ReLU()
    parts["logits"] = nn.Linear(HIDDEN, CLASSES)
    parts["softmax"] = nn.Softmax(dim=1)
    return nn.Sequential(parts)


__all__ = ["CIFAR", "PIXELS", "table1", "table2", "table3", "table4"]
