"""Layers in which branches meet that are judged by products, against the same layers written out, and in fractions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
import oracles
from fiberscope.network import region_layer, relu_layer
from fiberscope.network.domains import Domain
from fiberscope.network.region_layer import RegionLayer
from fiberscope.preimages.certificate import Certificate, Multipliers
from fiberscope.preimages.verify import verify_in_float
from network.test_region_layer import NEEDS_CDD, Exact

DOMAINS: dict[str, Domain | None] = {"R^n": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 5)}


class Block(nn.Module):
    """``outer(second(inner(first(x))) + shortcut(x))``."""

    def __init__(self, first: nn.Module, second: nn.Module, shortcut: nn.Module, unit: type[nn.Module]) -> None:
        super().__init__()
        self.first, self.second, self.shortcut, self.inner, self.outer = first, second, shortcut, unit(), unit()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(self.second(self.inner(self.first(x))) + self.shortcut(x))


def modules() -> dict[str, tuple[Block, tuple[int, ...]]]:
    """Blocks, and the shapes of what they take."""
    conv, same = nn.Conv2d, nn.Identity
    return {
        "shortcut": (Block(conv(2, 2, 3, 1, 1), conv(2, 2, 3, 1, 1), same(), nn.ReLU), (2, 2, 2)),
        "strides": (Block(conv(1, 2, 3, 2, 1), conv(2, 2, 3, 1, 1), conv(1, 2, 1, 2), nn.ReLU), (1, 3, 3)),
        "many inputs": (Block(conv(3, 1, 3, 1, 1), conv(1, 1, 3, 1, 1), conv(3, 1, 1), nn.ReLU), (3, 2, 2)),
        "depthwise, dilated": (
            Block(conv(2, 2, 2, 1, 1, 2, 2), conv(2, 2, 1), conv(2, 2, 2, 1, 1, 2), nn.ReLU),
            (2, 2, 2),
        ),
        "clips": (Block(conv(2, 2, 3, 1, 1), conv(2, 2, 3, 1, 1), same(), nn.ReLU6), (2, 2, 2)),
    }


def case(name: str, seed: int, *, dead: bool = False) -> tuple[RegionLayer, np.ndarray, Block]:
    """A layer of small integers, and an input with zeros, on kinks here and there."""
    rng = np.random.default_rng(seed)
    block, shape = modules()[name]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.from_numpy(rng.integers(-2, 3, tuple(parameter.shape)).astype(np.float32)))
        if dead:
            block.first.weight[0] = 0.0
            block.second.weight[:, -1] = 0.0
    network = fs.from_torch(block.eval(), input_shape=shape)
    (layer,) = (each for each in network.relu_layers if isinstance(each, RegionLayer))
    return layer, rng.integers(0, 3, int(np.prod(shape))).astype(np.float64), block


CASES = [(name, seed, dead) for name in modules() for seed, dead in ((0, False), (1, False), (2, True))]


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize(("name", "seed", "dead"), CASES)
def test_what_is_decided_is_what_the_written_layer_says(
    name: str, seed: int, dead: bool, by_products: pytest.MonkeyPatch
):
    layer, x, _ = case(name, seed, dead=dead)
    found = {key: fs.preimage(layer, x=x, domain=domain) for key, domain in DOMAINS.items()}
    assert all(p.layer._weight is None for p in found.values()), "nothing was written out"
    assert [bool(fs.verify(p)) for p in found.values()] == [p.kind != "undecided" for p in found.values()]
    by_products.undo()
    for key, p in found.items():
        right = fs.preimage(layer, x=x, domain=DOMAINS[key])
        assert (p.positives, p.saturated) == (right.positives, right.saturated)
        if p.kind == "undecided":
            assert p.reason
            continue
        assert p.kind == right.kind
        low, high = p.dimension_bounds
        assert low <= right.dimension <= high <= layer.inputs
        assert not fs.verify(replace(p, dimension_bounds=(right.dimension + 1, high)))


@NEEDS_CDD
@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", ["shortcut", "strides", "many inputs", "depthwise, dilated"])
@pytest.mark.parametrize("domain", list(DOMAINS))
def test_verdicts_are_those_of_fractions(name: str, domain: str, by_products: pytest.MonkeyPatch):
    decided = 0
    for seed in range(3):
        layer, x, block = case(name, seed)
        found = fs.preimage(layer, x=x, domain=DOMAINS[domain])
        exact, once = Exact.at(x), composed(block, layer)
        steps = exact.dense(*once[0]).relu().dense(*once[1]).plus(exact.dense(*once[2]))
        truth = oracles.cdd_answer(steps.system(DOMAINS[domain]))
        assert found.kind in (truth.kind, "undecided")
        if found.kind != "undecided":
            decided += 1
            assert found.dimension_bounds[0] <= truth.dimension <= found.dimension_bounds[1]
    assert decided or name != "many inputs"


def composed(block: Block, layer: RegionLayer) -> list[tuple[np.ndarray, np.ndarray]]:
    """The matrices and constants of both convolutions and the shortcut."""
    with torch.no_grad():
        x = torch.zeros(1, *layer.input_shape)
        parts = [(block.first, x), (block.second, block.first(x)), (block.shortcut, x)]
        return [matrix_of(part, at) for part, at in parts]


def matrix_of(part: nn.Module, at: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    size = at[0].numel()
    constant = part(torch.zeros_like(at)).reshape(-1)
    columns = part(torch.eye(size).reshape(size, *at.shape[1:])).reshape(size, -1) - constant
    return columns.T.double().numpy(), constant.double().numpy()


def test_changed_certificates_prove_nothing(by_products: pytest.MonkeyPatch):
    layer, x, _ = case("strides", 1)
    bounded = fs.preimage(layer, x=x, domain=fs.NonNegative())
    assert bounded.kind == "bounded"
    assert bounded.certificate.recession is not None
    weights = bounded.certificate.recession.multipliers
    assert isinstance(weights, Multipliers)
    assert fs.verify(bounded)
    wrong: list[Any] = [
        replace(weights, values=-weights.values),
        replace(weights, values=np.zeros_like(weights.values)),
        replace(weights, rows=weights.rows[1:], values=weights.values[1:]),
        replace(weights, rows=np.roll(weights.rows, 1)),
    ]
    for part in wrong:
        face = replace(bounded.certificate.recession, multipliers=part)
        assert not fs.verify(replace(bounded, certificate=replace(bounded.certificate, recession=face)))
    assert not fs.verify(replace(bounded, kind=fs.Kind.UNBOUNDED))
    assert not fs.verify(replace(bounded, certificate=Certificate(bounded.kind, None)))
    low, high = bounded.dimension_bounds
    assert low < high
    without = replace(bounded, certificate=replace(bounded.certificate, basis=np.arange(0)))
    assert verify_in_float(bounded)
    assert not verify_in_float(without)
    by_products.undo()  # rational numbers may prove more than was claimed, as long as it is true
    truth = fs.preimage(layer, x=x, domain=fs.NonNegative()).dimension
    assert low < truth < high
    for claimed in ((low, truth - 1), (truth + 1, high)):
        assert not fs.verify(replace(bounded, dimension_bounds=claimed))


@pytest.mark.parametrize("name", ["many inputs", "clips", "strides"])
def test_in_a_box_no_coordinate_runs_on(name: str, by_products: pytest.MonkeyPatch):
    """What is defined by bounded coordinates is bounded, and equations that define it say so."""
    layer, x, _ = case(name, 1)
    found = fs.preimage(layer, x=x, domain=fs.Box(0, 5))
    assert "runs on" not in found.reason
    assert "without bounds" not in found.reason
    if found.kind == "undecided":
        return
    assert found.kind == "bounded"
    face = found.certificate.recession
    assert face is not None
    assert face.multipliers is not None
    assert fs.verify(found)
    fewer = replace(face.multipliers, rows=face.multipliers.rows[1:], values=face.multipliers.values[1:])
    for part in (None, fewer):
        wrong = replace(found.certificate, recession=replace(face, multipliers=part))
        assert not verify_in_float(replace(found, certificate=wrong))


@pytest.mark.parametrize("power", [-40, 40])
def test_units_do_not_matter(power: int, by_products: pytest.MonkeyPatch):
    _, x, block = case("strides", 3)
    scaled = modules()["strides"][0]
    with torch.no_grad():
        for old, new in zip(block.parameters(), scaled.parameters(), strict=True):
            new.copy_(old)
        for part in (scaled.first, scaled.second, scaled.shortcut):
            part.bias.mul_(2.0 ** (power * (2 if part is scaled.second else 1)))
        scaled.second.weight.mul_(2.0**power)
        scaled.shortcut.weight.mul_(2.0**power)
        scaled.shortcut.bias.mul_(2.0**power)
    first, second = (
        next(
            each for each in fs.from_torch(m.eval(), input_shape=(1, 3, 3)).relu_layers if isinstance(each, RegionLayer)
        )
        for m in (block, scaled)
    )
    for domain in DOMAINS.values():
        wide = domain if not isinstance(domain, fs.Box) else fs.Box(0, 5 * 2.0**power)
        p, q = fs.preimage(first, x=x, domain=domain), fs.preimage(second, x=2.0**power * x, domain=wide)
        assert (p.kind, p.dimension_bounds) == (q.kind, q.dimension_bounds)


@pytest.mark.parametrize("domain", list(DOMAINS))
@pytest.mark.parametrize("name", ["shortcut", "strides"])
def test_what_products_leave_open_is_asked_of_the_rows(name: str, domain: str, monkeypatch: pytest.MonkeyPatch):
    layer, x, _ = case(name, 0)
    right = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    monkeypatch.setattr(region_layer, "MAX_WRITTEN", 0)
    assert layer.is_large
    found = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert (found.kind, found.dimension) == (right.kind, right.dimension)
    assert found.kind != "undecided"
    assert fs.verify(found)


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_dimensions_of_convolutions_are_asked_of_the_rows(domain: str, monkeypatch: pytest.MonkeyPatch):
    module = nn.Sequential(nn.Conv2d(2, 3, 3, 1, 1), nn.ReLU()).eval()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    x = np.random.default_rng(0).integers(0, 3, 32).astype(np.float64)
    rows = fs.from_torch(module, input_shape=(2, 4, 4)).relu_layers[0]
    right = fs.preimage(rows, x=x, domain=DOMAINS[domain])
    monkeypatch.setattr(relu_layer, "MAX_FACTORED", 32)
    (layer,) = fs.from_torch(module, input_shape=(2, 4, 4)).relu_layers
    assert layer.is_large
    found = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert right.dimension is not None
    assert (found.kind, found.dimension) == (right.kind, right.dimension)
    assert fs.verify(found)
