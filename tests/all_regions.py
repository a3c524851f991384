"""Small random networks, and the best input with given features over all their regions: one program of scipy each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import torch
from scipy.optimize import linprog
from torch import nn

import fiberscope as fs


def network_of(seed: int, widths: tuple[int, ...] = (6, 5, 3, 2)) -> tuple[nn.Sequential, fs.Network]:
    """Affine maps with normal numbers, a ReLU between any two of them."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*parts[:-1]).double().eval()
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module, fs.from_torch(module)


def cases(
    count: int, widths: tuple[int, ...] = (6, 5, 3, 2)
) -> Iterator[tuple[nn.Sequential, fs.Network, np.ndarray, np.ndarray]]:
    """Networks with an input in the unit box and an objective."""
    for seed in range(count):
        generator = np.random.default_rng(seed)
        module, net = network_of(seed, widths)
        yield module, net, generator.uniform(size=widths[0]), generator.standard_normal(widths[0])


def best_of_all_regions(
    module: nn.Sequential, x: np.ndarray, c: np.ndarray, layer: int = 1, within: float = 0.0
) -> float:
    """The largest ``<c, x'>`` in the unit box over all x' with the output of a ReLU layer at x, pattern by pattern.

    Outputs may differ by ``within``.
    """
    maps = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in module if isinstance(m, nn.Linear)]
    *before, (last, offset) = maps[: layer + 1]
    hidden = [len(b) for _, b in before]
    y = x
    for W, b in maps[: layer + 1]:
        y = np.maximum(W @ y + b, 0)
    best = -np.inf
    for pattern in product([0.0, 1.0], repeat=sum(hidden)):
        J, constant, G, h = np.eye(len(x)), np.zeros(len(x)), [], []
        patterns = np.split(np.array(pattern), np.cumsum(hidden)[:-1]) if hidden else []
        for (W, b), on in zip(before, patterns, strict=True):
            J, constant, signs = W @ J, W @ constant + b, np.where(on > 0, -1.0, 1.0)
            G, h = [*G, signs[:, None] * J], [*h, -signs * constant]
            J, constant = on[:, None] * J, on * constant
        J, constant = last @ J, last @ constant + offset
        same = (y > 0) & (within == 0)
        least, most = y > within if within else same & False, ~same
        G = np.concatenate([*G, J[most], -J[least]])
        h = np.concatenate([*h, (y + within - constant)[most], (constant - y + within)[least]])
        found = linprog(-c, G, h, J[same], (y - constant)[same], bounds=(0, 1))
        if found.status == 0:
            best = max(best, -found.fun)
    return best
