"""``fiberscope reproduce saturation``: what is measured behind every layer, against dense Jacobians, and judged."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fiberscope_paper import saturation as module
from fiberscope_paper.context import Context
from fiberscope_paper.control_training import Samples
from fiberscope_paper.saturation import DEPTH, Depth, claims, saturation


def made(activation: str, layer: int, **changes: float) -> Depth:
    return replace(Depth(activation, True, 0.9, layer, 1.0, 100.0, 10.0, 0.5), **changes)


def found(**changes: float) -> list[Depth]:
    others = [made(name, layer, **changes) for name in ("tanh", "ELU") for layer in range(1, DEPTH + 1)]
    return [*(made("ReLU", layer) for layer in range(1, DEPTH + 1)), *others]


def test_claims_are_judged_by_what_was_measured():
    assert [claim.holds for claim in claims(found())] == [True, True, True]
    assert [claim.holds for claim in claims(found(condition_number=15.0, injective=0.9))] == [False, False, False]
    early = [replace(each, condition_number=11.0) if each.layer == 1 else each for each in found()]
    assert [claim.holds for claim in claims(early)] == [True, False, True]
    assert "tanh, ELU" in claims(early)[1].why


@pytest.mark.parametrize("name", ["tanh", "leaky ReLU, 0.1", "ReLU"])
def test_depths_are_those_of_dense_jacobians(name: str):
    samples = Samples(torch.rand(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3)
    net = module._network(name, samples, 0).eval()
    depths = module._depths(name, net, True, samples, 3)
    assert [each.layer for each in depths] == list(range(1, DEPTH + 1))
    net = net.double()
    for each in depths:
        part, product = net[: 2 * each.layer], torch.eye(4, dtype=torch.float64)
        for linear in (step for step in part if isinstance(step, nn.Linear)):
            product = linear.weight.detach() @ product
        sigma = torch.linalg.svdvals(product)
        assert each.of_weights == pytest.approx(float(sigma[0] / sigma[-1]), rel=1e-6)
        conditions: list[float] = []
        for x in samples.x[:3].double():
            values = np.linalg.svd(torch.func.jacrev(part)(x).detach().numpy(), compute_uv=False)
            conditions.append(float(values[0] / values[-1]) if values[-1] > 1e-12 * values[0] else inf)
        assert each.condition_number == pytest.approx(float(np.median(conditions)), rel=1e-6)
        assert each.injective == np.mean(np.isfinite(conditions))


def test_it_runs_and_says_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ACTIVATIONS", {name: module.ACTIVATIONS[name] for name in ("ReLU", "tanh")})
    outcome = saturation(Context(tmp_path, data="mnist-5k", samples=2, epochs=1))
    depths = outcome.facts["depths"]
    assert len(depths) == 2 * 2 * DEPTH == len(outcome.numbers["layer"])
    initial, trained = ([each for each in depths if each["trained"] is way] for way in (False, True))
    assert trained[0]["accuracy"] > initial[0]["accuracy"] + 0.1
    assert outcome.text.count("| tanh |") == 2 * DEPTH
    assert all(claim.measured for claim in outcome.claims)
