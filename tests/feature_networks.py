"""Small random networks of all shapes for the tests of invariance examples, and the linear programs behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.invariance.feature_region import FeatureRegion, feature_region, features_at, pieces_at
from fiberscope.network.affine import Dense
from fiberscope.network.stage import affine_stage, relu_stage


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        return torch.relu(self.last(h + torch.relu(self.second(h))))


def modules() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Every module with its input shape; weights are random and repeat."""
    torch.manual_seed(3)
    pooled = nn.Conv2d(2, 2, 2)
    nn.init.constant_(pooled.bias, 0.5)  # so that some of its units are active
    return {
        "dense": (nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), (12,)),
        "conv": (
            nn.Sequential(
                nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 6), nn.ReLU(), nn.Linear(6, 3)
            ),
            (1, 8, 8),
        ),
        "residual": (Residual(), (12,)),
        "maxpool": (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), pooled, nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)),
            (1, 8, 8),
        ),
        "leaky": (nn.Sequential(nn.Linear(12, 5), nn.LeakyReLU(0.1), nn.Linear(5, 4), nn.ReLU()), (12,)),
        "clip": (nn.Sequential(nn.Linear(12, 5), nn.Hardtanh(0.0, 0.4), nn.Linear(5, 4), nn.ReLU()), (12,)),
    }


NAMES = tuple(modules())


def network(name: str) -> fs.Network:
    module, shape = modules()[name]
    return fs.from_torch(module.eval(), input_shape=shape)


def inputs(shape: tuple[int, ...], count: int, seed: int = 0) -> Any:
    """Random inputs within the unit box, some of their pixels on its bounds; numbers that float32 holds."""
    rng = np.random.default_rng(seed)
    X = np.clip(rng.uniform(-0.3, 1.3, size=(count, *shape)), 0.0, 1.0)
    return X.astype(np.float32).astype(np.float64)


def region_of(net: fs.Network, x: Any, stage: int) -> FeatureRegion:
    flat = np.asarray(x).ravel()
    return feature_region(net, features_at(net, flat, stage), pieces_at(net, flat, stage))


@dataclass(frozen=True)
class Written:
    """``E x = f, G x <= h`` of a region, from evaluations at the unit vectors alone."""

    E: Any
    f: Any
    G: Any
    h: Any


def written(region: FeatureRegion) -> Written:
    n = region.network.inputs
    points = np.concatenate([np.zeros((1, n)), np.eye(n)])
    residuals, excess = region.residuals(points), region.excess(points)
    return Written((residuals[1:] - residuals[0]).T, -residuals[0], (excess[1:] - excess[0]).T, -excess[0])


def one_layer(weight: Any, bias: Any) -> fs.Network:
    """One dense ReLU layer, built by hand: it has no original."""
    m = len(np.asarray(weight))
    return fs.Network((affine_stage("a", Dense(weight, bias)), relu_stage("r", m)), (np.asarray(weight).shape[1],))
