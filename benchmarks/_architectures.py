"""Public architectures for photographs, written out small, with random weights and statistics of real photographs.

Weights are drawn as He et al. (2015) do; the running statistics of each batch norm are those of what it receives for
the photographs, layer after layer, as training leaves them. Not trained: what is measured depends on shapes and on
patterns of signs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet, by channel."""

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions; 0 stands for max pooling."""

MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, and the stride of the first of them."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without constants and a batch norm."""
    padding = (kernel - 1) // 2
    convolve = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [convolve, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """What a branch gives, added to what it takes, perhaps by way of a projection; and an activation."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.activation = branch, shortcut, activation

    def forward(self, x: Tensor) -> Tensor:
        """Add, then activate."""
        return self.activation(self.branch(x) + self.shortcut(x))


def vgg16(width: float = 1.0, size: int = 224, classes: int = 1000) -> nn.Module:
    """VGG-16 with batch norm (Simonyan & Zisserman, 2015)."""
    parts, channels = list[nn.Module](), 3
    for outputs in VGG16:
        if not outputs:
            parts.append(nn.MaxPool2d(2))
            continue
        parts += [*convolution(channels, round(width * outputs), 3), nn.ReLU()]
        channels = round(width * outputs)
    hidden = round(width * 4096)
    places = (size // 32) ** 2
    head = [nn.Linear(channels * places, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten(), *head, nn.Linear(hidden, classes))


def resnet18(width: float = 1.0, size: int = 224, classes: int = 1000, *, pooled: bool = True) -> nn.Module:
    """ResNet-18 (He et al., 2016); with a stem of single steps, and no pooling, for small pictures."""
    del size
    channels = round(width * 64)
    parts: list[nn.Module] = [*convolution(3, channels, 7 if pooled else 3, 2 if pooled else 1), nn.ReLU()]
    parts += [nn.MaxPool2d(3, 2, 1)] if pooled else []
    for stage in range(4):
        outputs = round(width * 64 * 2**stage)
        for block in range(2):
            stride = 2 if stage and not block else 1
            branch = [*convolution(channels, outputs, 3, stride), nn.ReLU(), *convolution(outputs, outputs, 3)]
            same = channels == outputs and stride == 1
            shortcut = nn.Identity() if same else nn.Sequential(*convolution(channels, outputs, 1, stride))
            parts.append(Residual(nn.Sequential(*branch), shortcut, nn.ReLU()))
            channels = outputs
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def mobilenet_v2(width: float = 1.0, size: int = 224, classes: int = 1000) -> nn.Module:
    """MobileNetV2 (Sandler et al., 2018): depthwise convolutions, ReLU6, and linear bottlenecks."""
    del size
    channels = max(round(width * 32), 2)
    parts: list[nn.Module] = [*convolution(3, channels, 3, 2), nn.ReLU6()]
    for expansion, full, blocks, first in MOBILENET_V2:
        outputs = max(round(width * full), 2)
        for block in range(blocks):
            inner, stride = channels * expansion, 1 if block else first
            branch: list[nn.Module] = [*convolution(channels, inner, 1), nn.ReLU6()] if expansion > 1 else []
            branch += [*convolution(inner, inner, 3, stride, inner), nn.ReLU6(), *convolution(inner, outputs, 1)]
            alike = stride == 1 and channels == outputs
            parts.append(
                Residual(nn.Sequential(*branch), nn.Identity(), nn.Identity()) if alike else nn.Sequential(*branch)
            )
            channels = outputs
    last = round(width * 1280)
    parts += [*convolution(channels, last, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(last, classes))


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet18_small_stem": partial(resnet18, pooled=False),
    "mobilenet_v2": mobilenet_v2,
}


def photographs(size: int) -> Tensor:
    """(4, 3, size, size) squares of the photographs that come with scikit-learn, normalised as for ImageNet."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    squares: list[np.ndarray] = []
    for picture in load_sample_images().images:
        side = min(picture.shape[:2])
        for left in (0, picture.shape[1] - side):
            square = Image.fromarray(picture[:side, left : left + side])
            squares.append(np.asarray(square.resize((size, size), Image.Resampling.BOX)) / 255.0)
    normalised = (np.stack(squares) - np.array(MEAN)) / np.array(DEVIATION)
    return torch.tensor(normalised.transpose(0, 3, 1, 2), dtype=torch.float32)


def with_statistics(model: nn.Module, X: Tensor, seed: int = 0) -> nn.Module:
    """The model with random weights and the statistics of its batch norms at X, in evaluation mode."""
    torch.manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # averages, of one batch
    model.train()
    with torch.no_grad():
        model(X)
    return model.eval()
