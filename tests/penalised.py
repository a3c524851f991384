"""Modules to penalise, and what their layers are by other means: Jacobians, dense eigenvalues."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def dense(inputs: int = 6, units: int = 15, classes: int = 3) -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, classes)))


def deep() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(
            nn.Linear(6, 15), nn.ReLU(), nn.Linear(15, 40), nn.LeakyReLU(), nn.Linear(40, 9), nn.Tanh()
        )
    )


class Convolutional(nn.Module):
    """Functions and modules, batch norm, a reshaping that names the batch's size, changes in place, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(8 * 4, 20)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.norm(self.first(x)), inplace=True)
        h = self.second(h).clamp(min=0)
        h = self.dropout(h.view(x.size(0), -1))
        return torch.tanh(self.last(h))


class Twice(nn.Module):
    """One Linear that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.linear(x).relu()).relu()


class Concatenated(nn.Module):
    """cReLU: every row and its opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x - 0.5) * 2.0
        return functional.relu(torch.cat([z, -z], dim=1))


class Residual(nn.Module):
    """Branches that meet in the second layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.first(x))
        return functional.relu(self.last(h + functional.relu(self.second(h))))


def batch(module: nn.Module, count: int = 5) -> Tensor:
    shape = (1, 6, 6) if isinstance(module, Convolutional) else (6,)
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1), dtype=next(module.parameters()).dtype)
