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
    share = torch.stack(found)
    delta = torch.tensor(DELTA, dtype=x.dtype)
    return (((1 + delta) / (share + delta)).log() / ((1 + delta) / delta).log()).mean()


@pytest.mark.parametrize("case", CASES)
def test_it_is_that_of_dense_jacobians(case: str):
    module, parts, x = CASES[case]()
    values = [expected(part, x).detach() for part in parts]
    assert min(values) < 0.9, "a map that is injective"
    for number, value in enumerate(values):
        torch.testing.assert_close(JacobianCondition(module, number)(x).detach(), value)
        torch.testing.assert_close(JacobianCondition(module, number, hide=True)(x).detach(), 1 - value)
    torch.testing.assert_close(JacobianCondition(module)(x).detach(), torch.stack(values).mean())


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str):
    module, _, x = CASES[case]()
    penalty = JacobianCondition(module, delta=1e-3)
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
    share = torch.stack([(s[-1] / s[0]).square() for s in sigma])
    value = (((1 + DELTA) / (share + DELTA)).log() / torch.tensor((1 + DELTA) / DELTA).double().log()).mean()
    torch.testing.assert_close(JacobianCondition(module, 0)(x).detach(), value)
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
    torch.testing.assert_close(JacobianCondition(module, -1, steps=250)(x).detach(), value, rtol=1e-3, atol=1e-4)
    assert JacobianCondition(module, -1)(x) <= value + 1e-6, "fewer steps give at least lambda"


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
        value = JacobianCondition(module)(batch(module))
        value.backward()
        torch.testing.assert_close(value.detach(), torch.tensor(1.0))
        assert all(not each.grad.any() for each in module.parameters() if each.grad is not None)


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
