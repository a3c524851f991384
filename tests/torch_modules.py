"""Torch modules for tests, and what they compute in float64: run by torch itself on a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import fiberscope as fs


class Function(nn.Module):
    """A module whose forward is a function of itself and its input."""

    def __init__(self, function: Callable[[Any, torch.Tensor], Any], **parts: Any):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters and statistics, and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
    return module.eval()


def in_float64(module: nn.Module, X: np.ndarray) -> np.ndarray:
    """What a copy of the module computes whose tensors, parameters or not, are in float64."""
    twin = copy.deepcopy(module).double()
    for part in twin.modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                setattr(part, name, value.double())
    with torch.no_grad():
        return twin(torch.tensor(X)).numpy()


def assert_same(module: nn.Module, network: fs.Network, *, samples: int = 5, head: Callable[..., Any] | None = None):
    """The network gives what the module gives, to rounding."""
    X = np.random.default_rng(1).standard_normal((samples, *network.input_shape))
    theirs, ours = in_float64(module, X), network(X)
    if head is not None:
        ours = head(torch.as_tensor(ours)).numpy()
    # a sample's output that is one number has shape (1,) in a network
    assert ours.shape == (theirs.shape if theirs.ndim > 1 else (samples, 1))
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-12, atol=1e-12 * scale)
