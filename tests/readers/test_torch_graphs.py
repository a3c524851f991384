"""Random small models, chains and branching ones, compute the same as networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import fiberscope as fs
from drawn_examples import examples
from torch_modules import assert_same, randomised

ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.ReLU6,
)  # fmt: skip


@st.composite
def chains(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """A random chain on vectors, partly nested, and its number of inputs."""
    inputs = size = draw(st.integers(1, 5))
    parts: list[nn.Module] = []
    kinds = ["linear", "relu", "batchnorm", "dropout", "flatten", "nested", "activation"]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=7)):
        match kind:
            case "linear":
                following = draw(st.integers(1, 5))
                parts.append(nn.Linear(size, following, bias=draw(st.booleans())))
                size = following
            case "relu":
                parts.append(nn.ReLU(inplace=draw(st.booleans())))
            case "batchnorm":
                parts.append(nn.BatchNorm1d(size, affine=draw(st.booleans())))
            case "dropout":
                parts.append(nn.Dropout())
            case "flatten":
                parts.append(nn.Flatten())
            case "activation":
                parts.append(draw(st.sampled_from(ACTIVATIONS))())
            case _:
                parts.append(nn.Sequential(nn.Identity(), nn.Linear(size, size), nn.ReLU()))
    if draw(st.booleans()):
        parts.append(nn.Softmax(dim=1) if draw(st.booleans()) else nn.LogSoftmax(dim=-1))
    return randomised(nn.Sequential(nn.Linear(inputs, inputs), *parts), draw(st.integers(0, 2**31))), inputs


@examples(20)
@given(chains())
def test_a_random_chain_equals_its_module(case: tuple[nn.Module, int]):
    module, inputs = case
    network = fs.from_torch(module)
    head = None
    if any("left off" in note for note in network.notes):
        head = torch.softmax if isinstance(module[-1], nn.Softmax) else torch.log_softmax
    assert_same(module, network, head=None if head is None else lambda out: head(out, 1))
    assert network.agreement is not None
    assert network.agreement.places >= len(network.stages) - 1  # at most the input's own scaling has no name
    X = np.random.default_rng(0).standard_normal((3, inputs))
    assert len(network.relu_layers) == len(network.layer_names)
    for i, layer in enumerate(network.relu_layers):
        assert network.layer_input(i, X).shape == (3, layer.inputs)


def convolution(draw: st.DrawFn, channels: int, size: tuple[int, ...]) -> tuple[nn.Module, int, tuple[int, ...]]:
    """A random convolution, plain or transposed, the number of its output channels, and the size of its output grid."""
    axes = len(size)
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    outputs = groups * draw(st.integers(1, 2))
    stride, dilation, padding = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
    kernel = tuple(draw(st.integers(1, max(1, min(3, (n + 2 * padding - 1) // dilation)))) for n in size)
    bias = draw(st.booleans())
    if not draw(st.booleans()):
        made = (nn.Conv1d, nn.Conv2d)[axes - 1](
            channels, outputs, kernel, stride, padding, dilation, groups=groups, bias=bias
        )
    else:
        more = draw(st.integers(0, max(stride, dilation) - 1))
        padding = min(padding, (min(kernel) - 1) * dilation // 2)
        made = (nn.ConvTranspose1d, nn.ConvTranspose2d)[axes - 1](
            channels, outputs, kernel, stride, padding, more, groups=groups, bias=bias, dilation=dilation
        )
    with torch.no_grad():
        grid = made(torch.zeros(1, channels, *size)).shape[2:]
    return made, outputs, tuple(grid)


def pooling(draw: st.DrawFn, size: tuple[int, ...]) -> nn.Module:
    """A random pooling of a grid of this size."""
    axes = len(size)
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in size)
    padding, ceil = draw(st.integers(0, min(kernel) // 2)), draw(st.booleans())
    stride = draw(st.integers(1, 2))
    match draw(st.sampled_from(["max", "average", "adaptive max", "adaptive average"])):
        case "max":
            return (nn.MaxPool1d, nn.MaxPool2d)[axes - 1](kernel, stride, padding, ceil_mode=ceil)
        case "average":
            counts = draw(st.booleans())
            return (nn.AvgPool1d, nn.AvgPool2d)[axes - 1](kernel, stride, padding, ceil, counts)
        case "adaptive max":
            return (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)[axes - 1](draw(st.integers(1, 3)))
        case _:
            return (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)[axes - 1](draw(st.integers(1, 3)))


class Branched(nn.Module):
    """Two branches of the same input that are added or put side by side, and an end."""

    def __init__(self, left: nn.Module, right: nn.Module, joined: str, end: nn.Module):
        super().__init__()
        self.left, self.right, self.end = left, right, end
        self.joined = joined

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.left(x), self.right(x)
        match self.joined:
            case "sum":
                return self.end(left + right)
            case "difference":
                left -= right
                return self.end(left)
            case "maximum":
                return self.end(torch.maximum(left, right))
            case _:
                return self.end(torch.cat([left, right, x], dim=1)[:, 1:])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A random model of pictures or signals, and the shape of its inputs."""
    channels = draw(st.integers(1, 3))
    size = tuple(draw(st.lists(st.integers(3, 5), min_size=1, max_size=2)))
    shape = (channels, *size)
    parts: list[nn.Module] = []
    for kind in draw(
        st.lists(st.sampled_from(["convolution", "pooling", "branches", "activation"]), min_size=1, max_size=3)
    ):
        norm = (nn.BatchNorm1d, nn.BatchNorm2d)[len(size) - 1]
        same = (nn.Conv1d, nn.Conv2d)[len(size) - 1]
        match kind:
            case "convolution":
                made, channels, size = convolution(draw, channels, size)
                parts += [made, norm(channels)] if draw(st.booleans()) else [made]
            case "pooling" if min(size) >= 1:
                made = pooling(draw, size)
                with torch.no_grad():
                    size = tuple(made(torch.zeros(1, channels, *size)).shape[2:])
                parts.append(made)
            case "branches":
                left = nn.Sequential(same(channels, channels, 3, padding=1), norm(channels), nn.ReLU())
                right = draw(st.sampled_from([nn.Identity(), same(channels, channels, 1), norm(channels)]))
                joined = draw(st.sampled_from(["sum", "difference", "maximum", "concatenation"]))
                parts.append(Branched(left, right, joined, nn.ReLU(inplace=draw(st.booleans()))))
                channels = 3 * channels - 1 if joined == "concatenation" else channels
            case _:
                parts.append(draw(st.sampled_from(ACTIVATIONS))())
    if draw(st.booleans()):
        parts += [nn.Flatten(), nn.Linear(channels * int(np.prod(size)), 2)]
    return randomised(nn.Sequential(*parts), draw(st.integers(0, 2**31))), shape


@pytest.mark.exhaustive
@examples(15)
@given(graphs())
def test_a_random_graph_equals_its_module(case: tuple[nn.Module, tuple[int, ...]]):
    module, shape = case
    network = fs.from_torch(module, shape)
    assert_same(module, network, samples=3)
    assert network.agreement is not None
    assert network.agreement.units < 1e3
