"""The condition of the map through several layers, against dense Jacobians; its gradients, and where it runs."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fiberscope.errors import InputError
from fiberscope.training import FrameBound, JacobianCondition
from fiberscope.training.frame import row_weights
from fiberscope.training.jacobian import local_maps
from fiberscope.training.recording import recorded_layers
from fiberscope.training.rows import LayerRows
from penalised import Residual, Twice, batch, deep, dense, seeded

DELTA = 1e-6


class Wide(nn.Module):
    """Strides, groups, max pooling and a residual branch, with more numbers behind them than before."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4)
        self.last = nn.Linear(16, 50)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.first(x), inplace=True)
        return torch.tanh(self.last(functional.leaky_relu(self.second(functional.max_pool2d(h, 2))).flatten(1)))


def parts_of_wide(module: Wide) -> list[Callable[[Tensor], Tensor]]:
    """What its layers give, written down again."""

    def first(x: Tensor) -> Tensor:
        return torch.relu(module.first(x))

    def second(x: Tensor) -> Tensor:
        return functional.leaky_relu(module.second(functional.max_pool2d(first(x), 2)))

    return [first, second, lambda x: torch.tanh(module.last(second(x).flatten(1)))]


def parts_of_residual(module: Residual) -> list[Callable[[Tensor], Tensor]]:
    def first(x: Tensor) -> Tensor:
        return torch.relu(module.first(x))

    def second(x: Tensor) -> Tensor:
        return torch.relu(module.second(first(x)))

    return [first, second, lambda x: torch.relu(module.last(first(x) + second(x)))]


def on(module: nn.Module) -> nn.Module:
    """With biases at which all units stay on, so that the map is injective."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear):
                part.bias.fill_(3.0)
    return module.double()


CASES: dict[str, Callable[[], tuple[nn.Module, list[Callable[[Tensor], Tensor]], Tensor]]] = {
    "deep": lambda: (module := deep().double(), [module[:2], module[:4], module[:6]], batch(module, 4)),
    "twice": lambda: (
        module := on(seeded(Twice)),
        [lambda x: module.linear(x).relu(), module],
        batch(module, 4),
    ),
    "residual": lambda: (module := on(seeded(Residual)), parts_of_residual(module), batch(module, 4)),
    "convolutional": lambda: (
        module := seeded(Wide).double(),
        parts_of_wide(module),
        torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    ),
}


def expected(part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """By a dense Jacobian in forward mode, and its singular values."""
    found = list[Tensor]()
    for each in x:
        J = torch.func.jacfwd(lambda v: part(v[None])[0].flatten())(each).reshape(-1, each.numel())
        sigma = torch.linalg.svdvals(J)
        full = len(J) >= each.numel() and sigma[0] > 0
        found.append((sigma[-1] / sigma[0]).square() if full else torch.zeros((), dtype=x.dtype))
    return penalty_of(torch.stack(found))


def penalty_of(share: Tensor) -> Tensor:
    delta = torch.tensor(DELTA, dtype=share.dtype)
    return (((1 + delta) / (share + delta)).log() / ((1 + delta) / delta).log()).mean()


@pytest.mark.parametrize("case", CASES)
def test_it_is_that_of_dense_jacobians(case: str):
    module, parts, x = CASES[case]()
    values = [expected(part, x).detach() for part in parts]
    assert min(values) < 0.9, "a map that is injective"
    for number, value in enumerate(values):
        torch.testing.assert_close(JacobianCondition(module, number, softness=0)(x).detach(), value)
        hide = JacobianCondition(module, number, softness=0, hide=True)
        torch.testing.assert_close(hide(x).detach(), 1 - value)
    torch.testing.assert_close(JacobianCondition(module, softness=0)(x).detach(), torch.stack(values).mean())


def softened(z: Tensor, softness: float) -> Tensor:
    """Slopes of a ReLU at one sample."""
    return (1 + (-z / z.square().mean().sqrt() / softness).exp()).rsqrt()


@pytest.mark.parametrize("softness", [0.03, 0.1, 1])
def test_soft_slopes_are_roots_of_the_probabilities_to_be_kept(softness: float):
    """Products of matrices, written down: a ReLU, a leaky ReLU, whose slopes are its own, and a ReLU."""
    module = seeded(
        lambda: nn.Sequential(
            nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 12), nn.LeakyReLU(0.1), nn.Linear(12, 8), nn.ReLU(inplace=True)
        )
    ).double()
    x = batch(module, 6)[:, :4]
    found: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
    for each in x:
        J, h = torch.eye(4, dtype=x.dtype), each
        for layer in range(3):
            z = module[2 * layer](h)
            slopes = torch.where(z > 0, 1.0, 0.1) if layer == 1 else softened(z, softness)
            J, h = slopes[:, None] * (module[2 * layer].weight @ J), module[2 * layer + 1](z.clone())
            sigma = torch.linalg.svdvals(J)
            largest = 1.0 if layer == 1 else slopes.max()
            found[layer].append((largest * sigma[-1] / sigma[0]).square())
    for layer, share in found.items():
        value = penalty_of(torch.stack(share)).detach()
        torch.testing.assert_close(JacobianCondition(module, layer, softness=softness)(x).detach(), value)


@pytest.mark.parametrize("case", CASES)
def test_products_are_those_of_one_matrix_with_soft_slopes(case: str):
    """Large maps are known by products with both."""
    module, _, x = CASES[case]()
    for J in local_maps(module, x, None, 0.1):
        U = torch.randn(len(x), J.outputs, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        torch.testing.assert_close(J.adjoint(U), torch.einsum("kmn,km->kn", J.matrix(), U))
        hard = local_maps(module, x, None, 0.0)[0].matrix()
        assert not torch.allclose(local_maps(module, x, None, 0.1)[0].matrix(), hard)


def test_it_is_the_expected_frame_of_rows_of_one_length():
    module = dense(4, 20).double()
    with torch.no_grad():
        module[0].weight.div_(module[0].weight.norm(dim=1, keepdim=True)).mul_(0.7)
    x = batch(module, 6)[:, :4]
    weights = row_weights(LayerRows(recorded_layers(module, x)[0]), 0.1).detach()
    frames = torch.einsum("nm,mi,mj->nij", weights, module[0].weight, module[0].weight).detach()
    values = torch.linalg.eigvalsh(frames)
    share = weights.amax(dim=1) * values[:, 0] / values[:, -1]
    torch.testing.assert_close(JacobianCondition(module, 0)(x).detach(), penalty_of(share))


def test_changes_in_place_are_seen_with_soft_slopes():
    """Whether what a function in place returns is used, or what it changed."""

    class InPlace(nn.Module):
        def __init__(self, way: str) -> None:
            super().__init__()
            self.first, self.last, self.way = nn.Linear(4, 10), nn.Linear(10, 12), way

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            if self.way == "changed":
                h.relu_()
            elif self.way == "clip":
                functional.hardtanh_(h, 0.0, 1e9)
            else:
                h = functional.relu(h, inplace=self.way == "returned")
            return self.last(h).relu()

    x, values = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)), list[Tensor]()
    for way in ("no", "returned", "changed", "clip"):
        module = seeded(lambda way=way: InPlace(way))
        value = JacobianCondition(module)(x)
        value.backward()
        values.append(torch.cat([value.detach()[None], *(each.grad.flatten() for each in module.parameters())]))
    assert values[0][0] < 0.9
    for each in values[1:]:
        torch.testing.assert_close(each, values[0])


@pytest.mark.parametrize("softness", [0, 0.3])
@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str, softness: float):
    module, _, x = CASES[case]()
    penalty = JacobianCondition(module, delta=1e-3, softness=softness)
    name, weight = next(iter(module.named_parameters()))
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)

    def moved(step: Tensor) -> Tensor:
        return torch.func.functional_call(penalty, {f"module.{name}": weight.detach() + step * direction}, (x,))

    along = torch.zeros((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(moved, (along,), eps=1e-6, atol=1e-5, rtol=1e-3)


def test_one_layer_is_that_of_its_kept_rows():
    module = dense(4, 40).double()
    x = batch(module, 6)[:, :4]
    A, z = module[0].weight.detach(), module[0](x)
    sigma = [torch.linalg.svdvals(A[v > 0]) for v in z]
    value = penalty_of(torch.stack([(s[-1] / s[0]).square() for s in sigma]))
    torch.testing.assert_close(JacobianCondition(module, 0, softness=0)(x).detach(), value)
    assert FrameBound(module, 0)(x) < 1, "there is something to be seen by both"


@pytest.mark.parametrize("scale", [2.0**20, 2.0**-20, 1e3, 1e-3])
def test_units_of_layers_and_of_inputs_do_not_count(scale: float):
    module = seeded(lambda: nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 48), nn.ReLU()))
    x = batch(module, 4)
    value = JacobianCondition(module)(x)
    for number in (0, 2):
        scaled = copy.deepcopy(module)
        with torch.no_grad():
            for part in scaled[number:]:
                if isinstance(part, nn.Linear):
                    part.bias.mul_(scale)
            scaled[number].weight.mul_(scale)
        torch.testing.assert_close(JacobianCondition(scaled)(x), value, rtol=2e-3, atol=1e-5)
    inputs = copy.deepcopy(module)
    with torch.no_grad():
        inputs[0].weight.div_(scale)
    torch.testing.assert_close(JacobianCondition(inputs)(x * scale), value, rtol=2e-3, atol=1e-5)


def test_large_maps_are_as_exact_ones():
    """Of 576 inputs, through two convolutions that keep all units."""
    module = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    ).double()
    with torch.no_grad():
        module[0].bias.fill_(2.0)
        module[2].bias.fill_(4.0)
    x = torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = expected(module, x).detach()
    assert 0.1 < value < 0.9
    exact = JacobianCondition(module, -1, steps=250, softness=0)(x).detach()
    torch.testing.assert_close(exact, value, rtol=1e-3, atol=1e-4)
    assert JacobianCondition(module, -1, softness=0)(x) <= value + 1e-6, "fewer steps give at least lambda"


def test_it_makes_a_map_easier_to_invert_and_harder():
    """Ten steps of gradients alone, from the same weights."""
    ways = {hide: trained(hide) for hide in (None, False, True)}
    x = torch.rand(50, 8, generator=torch.Generator().manual_seed(1))
    plain, easy, hard = (float(JacobianCondition(module, -1)(x).detach()) for module in ways.values())
    assert easy < plain - 0.03
    assert hard > plain + 0.03


def trained(hide: bool | None) -> nn.Module:
    module = seeded(lambda: nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 60), nn.ReLU()))
    if hide is None:
        return module
    x = torch.rand(20, 8, generator=torch.Generator().manual_seed(0))
    penalty, optimizer = JacobianCondition(module, -1, hide=hide), torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(10):
        optimizer.zero_grad()
        penalty(x).backward()
        optimizer.step()
    return module


def test_what_is_lost_has_no_gradient():
    """Fewer outputs than inputs, or no unit that is on: 1, and zeros."""
    narrow, dead = dense(6, 4), dense(6, 12)
    with torch.no_grad():
        dead[0].bias.fill_(-1e3)
    for module in (narrow, dead):
        value = JacobianCondition(module, softness=0)(batch(module))
        value.backward()
        torch.testing.assert_close(value.detach(), torch.tensor(1.0))
        assert all(not each.grad.any() for each in module.parameters() if each.grad is not None)
    assert JacobianCondition(narrow)(batch(narrow)) == 1


def test_units_that_are_off_are_asked_back():
    """Where the exact one has no gradient: no unit is on, or fewer than inputs."""
    dead, few = dense(6, 12), dense(6, 12)
    with torch.no_grad():
        dead[0].bias.fill_(-1e3)
        few[0].bias[:8] = -3.0
    for module in (dead, few):
        x = batch(module)
        assert JacobianCondition(module, softness=0)(x) == 1
        value = JacobianCondition(module)(x)
        assert 0.8 < value < 1, "a layer whose units are all off is none whose units are all on"
        value.backward()
        off = (module[0](x) <= 0).all(dim=0)
        assert (-module[0].bias.grad[off]).max() > 0, "descending raises some of them"


def test_samples_that_are_mixed_are_refused():
    module = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12, track_running_stats=False), nn.ReLU())
    with pytest.raises(InputError, match="running statistics"):
        JacobianCondition(module)(torch.rand(4, 6))


def test_layers_are_checked_at_once():
    with pytest.raises(InputError, match="layers"):
        JacobianCondition(dense(), 3)
    assert torch.isfinite(JacobianCondition(seeded(Residual), 2)(torch.rand(3, 6))), "branches are no obstacle"
    with pytest.raises(InputError, match="without one"):
        JacobianCondition(nn.Sequential(nn.Linear(3, 3)))


def test_a_large_batch_is_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch):
    module = deep()
    x = batch(module, 7)
    value = JacobianCondition(module)(x)
    monkeypatch.setattr("fiberscope.training.jacobian.AT_ONCE", 6 * 40 * 2)
    torch.testing.assert_close(JacobianCondition(module)(x), value)
