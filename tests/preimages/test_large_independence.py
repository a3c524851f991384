"""Directions that move the whole grid, proved by what pairs of rows leave, against the same layers written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.network.region_layer import RegionLayer
from fiberscope.preimages import decide, large_independence
from fiberscope.preimages.certificate import Certificate, Direction, Face, Independence
from fiberscope.preimages.verify import verify_in_float


class Residual(nn.Module):
    """``relu(second(relu(first(x))) + shortcut(x))``."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, outputs, 3, stride, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        same = channels == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def case(seed: int, *, outputs: int = 4, stride: int = 1, lift: float = 0.0, power: int = 0) -> tuple[Any, np.ndarray]:
    """A block of which more outputs are positive than inputs, so that counting says nothing, and an input."""
    generator = torch.Generator().manual_seed(seed)
    block = Residual(4, outputs, stride).eval()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            constant = name.endswith("bias")
            parameter.copy_((0.1 if constant else 0.2) * torch.randn(parameter.shape, generator=generator))
            if constant:
                parameter.mul_(2.0**power)
        block.second.bias.add_(lift * 2.0**power)
    network = fs.from_torch(block, input_shape=(4, 6, 6))
    (layer,) = (each for each in network.relu_layers if isinstance(each, RegionLayer))
    x = np.maximum(torch.randn(144, generator=generator).double().numpy(), 0.0)
    return layer, 2.0**power * x


@pytest.fixture
def alone(by_products: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Layers are judged by products, and not asked about in another form."""
    by_products.setattr(decide, "other_local_form", lambda *_: None)
    return by_products


def way_of(found: fs.Preimage) -> Direction:
    assert found.certificate.tangent is not None
    assert isinstance(found.certificate.tangent.direction, Direction)
    return found.certificate.tangent.direction


@pytest.mark.parametrize("worth", [0, 10**9])
@pytest.mark.parametrize(("seed", "lift"), [(0, 0.0), (1, -0.15), (2, 0.0)])
def test_a_second_point_is_that_of_the_written_layer(seed: int, lift: float, worth: int, alone: pytest.MonkeyPatch):
    alone.setattr(large_independence, "WORTH", worth)
    layer, x = case(seed, lift=lift)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative())
    alone.undo()
    right = fs.preimage(layer, x=x, domain=fs.NonNegative())
    assert (found.kind, right.kind) == ("bounded", "bounded")
    assert found.dimension_bounds[0] <= right.dimension <= found.dimension_bounds[1]
    shown = way_of(found).independence
    assert shown is not None
    assert shown.alone > 0, "what is off inside is set aside"
    assert shown.paired - shown.alone > len(shown.rows) - shown.paired, "the shortcut leaves fewer rows"
    assert verify_in_float(found)
    assert "floats alone, not by exact arithmetic" in fs.verify(found, exact=True).reason


def test_without_a_shortcut_that_passes_on_definitions_are_put_in(alone: pytest.MonkeyPatch):
    layer, x = case(2, outputs=7, lift=-0.3)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative())
    shown = way_of(found).independence
    assert found.kind == "bounded"
    assert shown is not None
    assert (shown.alone, shown.paired) == (0, 7 * 36)
    assert verify_in_float(found)


def test_a_singleton_is_never_called_more(alone: pytest.MonkeyPatch):
    for seed in range(3):
        layer, x = case(seed, lift=10.0)  # every output is positive: as many equations as coordinates
        found = fs.preimage(layer, x=x, domain=fs.NonNegative())
        assert found.kind == "undecided"
        assert "single point" in found.reason


@pytest.mark.parametrize("power", [-30, 30])
def test_units_do_not_matter(power: int, alone: pytest.MonkeyPatch):
    (layer, x), (other, y) = case(0), case(0, power=power)
    p, q = (fs.preimage(one, x=at, domain=fs.NonNegative()) for one, at in ((layer, x), (other, y)))
    assert (p.kind, p.dimension_bounds) == (q.kind, q.dimension_bounds)
    assert p.kind == "bounded"
    assert way_of(q).independence is not None


def test_certificates_are_read_back_and_prove_nothing_when_changed(alone: pytest.MonkeyPatch):
    layer, x = case(2)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative())
    again = Certificate.from_bytes(found.certificate.to_bytes())
    assert verify_in_float(replace(found, certificate=again))
    way = way_of(found)
    shown = way.independence
    assert isinstance(shown, Independence)
    values = np.asarray(way.values)
    bent = values.copy()
    bent[np.flatnonzero(x == 0)[0]] *= -1.0  # out of the orthant
    wrong = [
        replace(way, values=-values),
        replace(way, values=bent),
        replace(way, values=values + 1e-3 * np.random.default_rng(0).normal(size=len(values))),
        replace(way, sigma=0.0),
        replace(way, sigma=1e3),
        replace(way, sigma=1e-300),
        replace(way, held=way.held[1:]),
        replace(way, independence=replace(shown, rows=np.roll(shown.rows, 1))),
        replace(way, independence=replace(shown, columns=shown.columns[::-1].copy())),
        replace(way, independence=replace(shown, alone=shown.alone + 1)),
        replace(way, independence=replace(shown, rows=shown.rows[:-1])),
        replace(way, independence=replace(shown, row_cells=shown.row_cells[1:])),
        replace(way, independence=replace(shown, column_cells=shown.column_cells[::-1].copy())),
        replace(way, independence=replace(shown, pair_cells=np.array([0.5]))),
    ]
    for part in wrong:
        certificate = replace(found.certificate, tangent=Face(direction=part))
        assert not verify_in_float(replace(found, certificate=certificate))
    assert not verify_in_float(replace(found, kind=fs.Kind.SINGLETON))


def test_a_budget_ends_the_search(alone: pytest.MonkeyPatch):
    layer, x = case(0)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative(), seconds=1e-9)
    assert found.kind == "undecided"
    assert "budget" in found.reason


def test_a_proof_that_would_take_too_long_is_not_begun(alone: pytest.MonkeyPatch):
    layer, x = case(0)
    alone.setattr(large_independence, "RATE", 1.0)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative())
    assert found.kind == "undecided"
    assert "on the whole grid would take about" in found.reason


def test_a_convolution_alone_leaves_its_rows_as_they_are(alone: pytest.MonkeyPatch):
    module = nn.Sequential(nn.Conv2d(4, 6, 3, 1, 1), nn.ReLU()).eval()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    (layer,) = fs.from_torch(module, input_shape=(4, 12, 12)).relu_layers
    x = np.maximum(torch.randn(576, generator=torch.Generator().manual_seed(2)).double().numpy() + 0.3, 0.0)
    found = fs.preimage(layer, x=x, domain=fs.NonNegative())
    alone.undo()
    right = fs.preimage(layer, x=x, domain=fs.NonNegative())
    assert found.kind in (right.kind, "undecided")
    assert found.kind == "undecided" or verify_in_float(found)
