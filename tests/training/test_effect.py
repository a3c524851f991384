"""Two epochs on scikit-learn's digits move each quantity the way that was asked for, against the twin without it."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fiberscope.training import (
    ActiveMargin,
    FrameBound,
    JacobianCondition,
    Omnidirectionality,
    RemovedCorrelation,
    Volume,
)

Penalty = type[FrameBound | Volume | ActiveMargin | Omnidirectionality | RemovedCorrelation | JacobianCondition]

WEIGHTS: dict[Penalty, tuple[float, float]] = {
    FrameBound: (0.3, 0.3),
    Volume: (1.0, 0.1),
    ActiveMargin: (1.0, 1.0),
    Omnidirectionality: (3.0, 3.0),
    RemovedCorrelation: (0.1, 0.1),
    JacobianCondition: (0.3, 0.1),
}
"""Of the wish, and of its inverse."""


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    found = load_digits()
    return torch.tensor(found.data[:600] / 16, dtype=torch.float32), torch.tensor(found.target[:600])


def trained(kind: Penalty | None, x: Tensor, y: Tensor, *, hide: bool = False) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    penalty = None if kind is None else kind(module, 0, hide=hide)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    for _ in range(2):
        for batch in torch.randperm(500, generator=generator).split(50):
            loss = nn.functional.cross_entropy(module(x[batch]), y[batch])
            if penalty is not None:
                loss = loss + WEIGHTS[type(penalty)][hide] * penalty(x[batch[:16]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return module


@pytest.fixture(scope="module")
def twin(digits: tuple[Tensor, Tensor]) -> nn.Module:
    return trained(None, *digits)


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_training_moves_what_was_asked_for(kind: Penalty, hide: bool, digits: tuple[Tensor, Tensor], twin: nn.Module):
    x, y = digits
    other = trained(kind, x, y, hide=hide)
    with torch.no_grad():
        before, after = (float(kind(module, 0, hide=hide)(x[500:])) for module in (twin, other))
    assert after < before - MARGINS[kind, hide]


@pytest.mark.parametrize("hide", [False, True])
def test_soft_slopes_move_the_condition_number_itself(hide: bool, digits: tuple[Tensor, Tensor], twin: nn.Module):
    """That of the rows that are kept, not of those that are kept in part."""
    x, y = digits
    other = trained(JacobianCondition, x, y, hide=hide)
    exact = [float(JacobianCondition(module, 0, softness=0)(x[500:]).detach()) for module in (twin, other)]
    assert (exact[1] > exact[0] + 0.2) if hide else (exact[1] < exact[0] - 0.05)


MARGINS = {(kind, hide): 0.01 for kind in WEIGHTS for hide in (False, True)}
