"""Penalties against dense eigenvalues, their gradients, what leaves them unchanged, and where they run."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor, nn

from fiberscope.errors import InputError
from fiberscope.training import (
    ActiveMargin,
    FrameBound,
    JacobianCondition,
    Omnidirectionality,
    RemovedCorrelation,
    Volume,
)
from fiberscope.training.penalty import LayerPenalty, RowPenalty
from penalised import Concatenated, Convolutional, Twice, batch, deep, dense, seeded

PENALTIES: list[type[RowPenalty]] = [FrameBound, Volume, RemovedCorrelation, ActiveMargin, Omnidirectionality]

ALL: list[type[LayerPenalty]] = [*PENALTIES, JacobianCondition]


def rows_of(module: nn.Module, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of a first Linear, and its values at x."""
    linear = module[0]
    A, b = linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy()
    return A, x.double().numpy() @ A.T + b


def number(value: Tensor) -> float:
    return float(value.detach())


def by_hand(values: list[float]) -> Tensor:
    return torch.tensor(float(np.mean(values)), dtype=torch.float64)


def counted(A: np.ndarray, z: np.ndarray, softness: float) -> np.ndarray:
    """What rows count at one sample: kept or not, or the probability of it under logistic noise."""
    distances = z / np.linalg.norm(A, axis=1)
    if softness == 0:
        return (z > 0).astype(float)
    return scipy.stats.logistic.cdf(distances / np.sqrt((distances**2).mean()) / softness)


@pytest.mark.parametrize("softness", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("tau", [0.02, 0.1, 2.0])
def test_the_frame_bound_is_that_of_dense_eigenvalues(tau: float, softness: float):
    module = dense(6, 48).double()
    x = batch(module, 9)
    A, z = rows_of(module, x)
    frames = [A.T @ np.diag(counted(A, v, softness)) @ A for v in z]
    lam = [np.linalg.eigvalsh(M)[0] * 6 / (A**2).sum() for M in frames]
    expected = by_hand([max(0.0, np.log((tau + 0.01) / (each + 0.01))) / np.log(tau / 0.01 + 1) for each in lam])
    assert max(lam) > 0.02
    options = {"tau": tau, "delta": 0.01, "softness": softness}
    torch.testing.assert_close(FrameBound(module, **options)(x), expected)
    torch.testing.assert_close(FrameBound(module, **options, hide=True)(x), 1 - expected)


@pytest.mark.parametrize("softness", [0.0, 0.2])
def test_the_frame_bound_of_fewer_rows_than_inputs_is_that_of_all_of_them(softness: float):
    """The smallest eigenvalue that is not 0 by the shape alone, of the matrix of products of rows."""
    module = dense(6, 4).double()
    with torch.no_grad():
        module[0].bias.add_(0.7)
    x = batch(module, 5)
    A, z = rows_of(module, x)
    assert (z > 0).all(axis=1).any()
    weights = [np.diag(counted(A, v, softness) ** 0.5) for v in z]
    lam = [np.linalg.eigvalsh(W @ A @ A.T @ W)[0] * 4 / (A**2).sum() for W in weights]
    np.testing.assert_allclose(eigenvalues(FrameBound(module, tau=2.0, softness=softness), x), lam, atol=1e-12)


def test_weights_of_rows_are_probabilities_of_being_kept():
    """Drawn: the mean of frames of the rows that are kept when every distance is moved by noise."""
    module = dense(3, 8).double()
    (x,) = batch(dense(6, 8).double(), 1)[:, :3]
    A, z = rows_of(module, x)
    distances = z / np.linalg.norm(A, axis=1)
    noise = np.random.default_rng(0).logistic(scale=0.3 * np.sqrt((distances**2).mean()), size=(40_000, 8))
    drawn = np.einsum("ti,ij,ik->jk", distances + noise > 0, A, A) / len(noise)
    lam = np.linalg.eigvalsh(drawn)[0] * 3 / (A**2).sum()
    assert eigenvalues(FrameBound(module, tau=2.0, softness=0.3), x[None])[0] == pytest.approx(lam, rel=0.03)


@pytest.mark.parametrize("kind", [FrameBound, Volume])
def test_rows_that_are_missing_are_asked_for(kind: type[FrameBound]):
    """Of two rows that are removed by the same margin, the one that tells something new; exactly, of none."""
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    module, x = layer_at_zero(rows, [0]), torch.zeros(1, 2, dtype=torch.float64)
    kind(module, softness=0.5)(x).backward()
    _, twin, new = (-module[0].bias.grad).tolist()
    assert new > 1e-3
    assert twin < new / 2
    module.zero_grad()
    kind(module, softness=0)(x).backward()
    assert module[0].bias.grad is None or not module[0].bias.grad.any()
    if kind is FrameBound:
        assert not module[0].weight.grad.any()
    module.zero_grad(set_to_none=True)
    kind(module, softness=0.5, hide=True)(x).backward()
    assert (module[0].bias.grad[2] - new).abs() < 1e-9


@pytest.mark.parametrize("softness", [0.0, 0.2])
def test_the_volume_is_that_of_dense_determinants(softness: float):
    for units in (4, 24):  # fewer rows than inputs, too
        module = dense(6, units).double()
        x = batch(module, 9)
        A, z = rows_of(module, x)
        unit = (A**2).sum() / 6
        frames = [A.T @ np.diag(counted(A, v, softness)) @ A / unit + 1e-3 * np.eye(6) for v in z]
        missing = [(np.log(1.001) - np.linalg.slogdet(M)[1] / 6) / np.log(1001) for M in frames]
        torch.testing.assert_close(Volume(module, softness=softness)(x), by_hand(missing))
        torch.testing.assert_close(Volume(module, softness=softness, hide=True)(x), 1 - by_hand(missing))


def test_the_margin_is_that_of_the_nth_row():
    module = dense(6, 24).double()
    x = batch(module, 9)
    A, z = rows_of(module, x)
    distances = z / np.linalg.norm(A, axis=1)
    share = np.sort(distances)[:, -6] / np.sqrt((distances**2).mean(axis=1))
    torch.testing.assert_close(ActiveMargin(module)(x), by_hand(list(np.maximum(0, 1 - share / 0.5))))
    torch.testing.assert_close(ActiveMargin(module, hide=True)(x), by_hand(list(np.maximum(0, 1 + share / 0.5))))


def test_the_margin_is_a_radius_of_injectivity():
    """Where the n-th margin is positive, rows of rank n stay on in the ball: no two points of it have one output."""
    module = dense(4, 40).double()
    A, z = rows_of(module, x := batch(module, 1).new_full((1, 4), 0.5))
    r = np.sort(z[0] / np.linalg.norm(A, axis=1))[-4]
    assert r > 0
    directions = np.random.default_rng(0).standard_normal((2, 200, 4))
    a, b = x.numpy() + r * directions / np.linalg.norm(directions, axis=2, keepdims=True)
    outputs = [module[:2](torch.tensor(p)).detach().numpy() for p in (a, b)]
    assert np.linalg.norm(outputs[0] - outputs[1], axis=1).min() > 1e-3


def test_correlations_are_those_of_pairs():
    module = dense(6, 24).double()
    x = batch(module, 9)
    A, z = rows_of(module, x)
    unit = A / np.linalg.norm(A, axis=1, keepdims=True)
    counts = np.log1p(np.exp(10 * (unit @ unit.T - 1))) / np.log1p(np.exp(-10))
    off = ~np.eye(24, dtype=bool)
    removed = [counts[np.ix_(v <= 0, v > 0)].mean() for v in z]
    kept = [counts[np.ix_(v > 0, v > 0)][off[: (v > 0).sum(), : (v > 0).sum()]].mean() for v in z]
    torch.testing.assert_close(RemovedCorrelation(module)(x), by_hand([1 / each for each in removed]))
    torch.testing.assert_close(RemovedCorrelation(module, hide=True)(x), by_hand(removed))
    torch.testing.assert_close(RemovedCorrelation(module, pairs="kept")(x), by_hand(kept))
    torch.testing.assert_close(RemovedCorrelation(module, pairs="all")(x), by_hand([counts[off].mean()]))


def test_filters_are_correlated_place_by_place():
    module = seeded(lambda: nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU())).double()
    x = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = module[0](x).detach().numpy().reshape(3, 5, -1)
    W = module[0].weight.detach().numpy().reshape(5, -1)
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    counts = np.log1p(np.exp(10 * (unit @ unit.T - 1))) / np.log1p(np.exp(-10))
    per_sample = [
        np.concatenate([counts[np.ix_(v <= 0, v > 0)].ravel() for v in sample.T]).mean() for sample in z
    ]  # fmt: skip
    torch.testing.assert_close(RemovedCorrelation(module, hide=True)(x), by_hand(per_sample))


def test_the_room_is_a_minimum_in_a_ball():
    module = dense(4, 14).double()
    x = batch(module.double(), 4)[:, :4]
    A, z = rows_of(module, x)
    unit = A / np.linalg.norm(A, axis=1, keepdims=True)
    found: list[float] = []
    for v in z:
        removed, kept = unit[v <= 0], unit[v > 0]

        def f(u: np.ndarray, removed: np.ndarray = removed, kept: np.ndarray = kept) -> float:
            spring = 5.0 * ((kept @ u) ** 2).sum() / len(removed)
            return float(np.log(np.mean(np.exp(removed @ u))) + spring)

        ball = {"type": "ineq", "fun": lambda u: 64.0 - u @ u}
        best = scipy.optimize.minimize(f, np.zeros(4), constraints=ball, method="SLSQP", options={"ftol": 1e-14})
        found.append(max(0.0, -best.fun) / 4.0)
    assert max(found) > 0.05
    torch.testing.assert_close(Omnidirectionality(module, steps=500)(x), by_hand(found), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(Omnidirectionality(module)(x), by_hand(found), rtol=0.05, atol=1e-2)


def test_room_is_where_preimages_are_unbounded():
    """The rows of a simplex leave none; without one of them, there is a direction."""
    corners = torch.tensor([[1.0, 0.0], [-0.5, 0.866], [-0.5, -0.866]], dtype=torch.float64)
    rooms: list[float] = []
    for rows in (corners, corners[:2]):
        module = nn.Sequential(nn.Linear(2, len(rows)), nn.ReLU()).double()
        with torch.no_grad():
            module[0].weight.copy_(rows)
            module[0].bias.fill_(-1.0)
        rooms.append(number(Omnidirectionality(module)(torch.zeros(1, 2, dtype=torch.float64))))
    assert rooms[0] < 1e-6
    assert rooms[1] > 0.3


MAKERS = {"dense": lambda: dense(6, 20), "deep": deep, "convolutional": lambda: seeded(Convolutional),
          "concatenated": lambda: seeded(Concatenated)}  # fmt: skip


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize(
    ("kind", "make", "hide"),
    [(kind, make, hide) for kind in PENALTIES if kind is not Omnidirectionality for make in MAKERS for hide in (0, 1)]
    + [(Omnidirectionality, "dense", 0), (Omnidirectionality, "concatenated", 1)],
)
def test_gradients(kind: type[RowPenalty], make: str, hide: int):
    module = MAKERS[make]().double()
    x = batch(module, 3)
    options = {"steps": 400} if kind is Omnidirectionality else {}
    penalty = kind(module, hide=bool(hide), **options)
    weight, *_ = module.parameters()
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)
    along = torch.zeros((), dtype=torch.float64, requires_grad=True)
    name = next(name for name, each in module.named_parameters() if each is weight)

    def moved(step: Tensor) -> Tensor:
        return torch.func.functional_call(penalty, {f"module.{name}": weight.detach() + step * direction}, (x,))

    assert torch.autograd.gradcheck(moved, (along,), eps=1e-6, atol=1e-5, rtol=1e-3 if not options else 1e-2)


@pytest.mark.parametrize("kind", [FrameBound, Volume])
def test_all_gradients_of_frames(kind: type[RowPenalty]):
    """Against differences, entry by entry, and through the slopes of a smooth activation, too."""
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh())).double()
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    penalty = kind(module)

    def value(weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(penalty, {"module.0.weight": weight, "module.0.bias": bias}, (x,))

    parameters = tuple(each.detach().clone().requires_grad_() for each in module.parameters())
    assert torch.autograd.gradcheck(value, parameters)


@pytest.mark.parametrize("scale", [2.0**20, 2.0**-20, 1e3, 1e-3])
@pytest.mark.parametrize("kind", ALL)
def test_neither_units_nor_the_order_of_rows_count(kind: type[LayerPenalty], scale: float):
    module = dense(6, 24)
    x = batch(module, 8)
    expected = kind(module)(x)
    scaled, permuted, inputs = copy.deepcopy(module), copy.deepcopy(module), copy.deepcopy(module)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scaled[0].weight.mul_(scale)
        scaled[0].bias.mul_(scale)
        permuted[0].weight.copy_(module[0].weight[order])
        permuted[0].bias.copy_(module[0].bias[order])
        inputs[0].bias.mul_(scale)
    close = {"rtol": 2e-3, "atol": 1e-5}  # float32, and of Omnidirectionality an iteration
    torch.testing.assert_close(kind(scaled)(x), expected, **close)
    torch.testing.assert_close(kind(permuted)(x), expected, **close)
    torch.testing.assert_close(kind(inputs)(x * scale), expected, **close)


@pytest.mark.parametrize("kind", [RemovedCorrelation, ActiveMargin, Omnidirectionality])
def test_the_length_of_a_row_does_not_count(kind: type[RowPenalty]):
    module = dense(6, 24)
    x, expected = batch(module, 8), kind(module)(batch(module, 8))
    factors = 2.0 ** torch.randint(-3, 4, (24,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module[0].weight.mul_(factors[:, None])
        module[0].bias.mul_(factors)
    torch.testing.assert_close(kind(module)(x), expected, rtol=2e-3, atol=1e-5)


LARGE = (24, 24)


def large() -> nn.Module:
    """576 inputs: known by products."""
    return seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()))


@pytest.mark.parametrize("softness", [0.0, 0.1])
def test_large_layers_are_as_exact_ones(softness: float):
    module = large().double()
    with torch.no_grad():
        module[0].bias.fill_(0.3)
    x = torch.rand(3, 1, *LARGE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    A = torch.func.jacrev(lambda v: module[0](v[None]))(x[0]).reshape(-1, 576).detach().numpy()
    z = module[0](x).detach().numpy().reshape(3, -1)
    unit = (A**2).sum() / 576
    values = [np.linalg.eigvalsh(A.T @ (counted(A, v, softness)[:, None] * A)) / unit for v in z]
    exact = np.array([each[0] for each in values])
    fine, rough = (FrameBound(module, tau=2.0, softness=softness, steps=steps) for steps in (200, 48))
    np.testing.assert_allclose(eigenvalues(fine, x), exact, atol=1e-4)
    assert (eigenvalues(rough, x) >= exact - 1e-9).all()
    volume = np.mean([(np.log(1.001) - np.log(each + 1e-3).mean()) / np.log(1001) for each in values])
    assert abs(number(Volume(module, softness=softness, steps=40)(x)) - volume) < 0.02


def test_large_layers_of_fewer_rows_than_inputs():
    """By products, the null space of the rows is never entered: it has no part in the smallest eigenvalue."""
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU())).double()
    x = torch.rand(2, 1, *LARGE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    A = torch.func.jacrev(lambda v: module[0](v[None]))(x[0]).reshape(-1, 576).detach().numpy()
    z = module[0](x).detach().numpy().reshape(2, -1)
    weights = [counted(A, v, 0.5) ** 0.5 for v in z]
    exact = [np.linalg.svd(w[:, None] * A)[1][-1] ** 2 * len(A) / (A**2).sum() for w in weights]
    found = eigenvalues(FrameBound(module, tau=2.0, softness=0.5, steps=240), x)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-6)
    assert found.min() > 1e-3


def eigenvalues(penalty: FrameBound, x: Tensor) -> np.ndarray:
    """As the penalty of each sample tells them, up to tau."""
    high, low = penalty.tau + penalty.delta, penalty.delta
    return np.array([high * (low / high) ** number(penalty(each[None])) - low for each in x])


@pytest.mark.parametrize("kind", [FrameBound, ActiveMargin])
def test_gradients_of_large_layers(kind: type[RowPenalty]):
    module = large().double()
    with torch.no_grad():
        module[0].bias.fill_(0.3)
    x = torch.rand(2, 1, *LARGE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    penalty = kind(module, **({} if kind is ActiveMargin else {"steps": 120}))
    weight = module[0].weight.detach()
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)

    def moved(step: Tensor) -> Tensor:
        return torch.func.functional_call(penalty, {"module.0.weight": weight + step * direction}, (x,))

    assert torch.autograd.gradcheck(
        moved, (torch.zeros((), dtype=torch.float64, requires_grad=True),), rtol=1e-2, atol=1e-4
    )


@pytest.mark.parametrize("kind", ALL)
def test_two_calls_are_equal(kind: type[LayerPenalty]):
    for module, x in ((dense(), batch(dense())), (large(), torch.rand(2, 1, *LARGE))):
        penalty = kind(module)
        first, second = penalty(x), penalty(x)
        assert first.shape == ()
        assert first.dtype == torch.float32
        penalty(torch.flip(x, dims=(0,)) * 0.5)
        assert torch.equal(first, second)
        assert torch.equal(first, penalty(x))
        assert torch.equal(first, kind(module)(x))


@pytest.mark.parametrize("kind", ALL)
def test_of_order_one_at_initialisation(kind: type[LayerPenalty]):
    for units in (30, 60, 200, 500):
        module = seeded(lambda units=units: nn.Sequential(nn.Linear(100, units), nn.ReLU()))
        x = torch.rand(16, 100, generator=torch.Generator().manual_seed(0))
        for hide in (False, True):
            assert 0 <= number(kind(module, hide=hide)(x)) < 10
        assert number(kind(module)(x)) + number(kind(module, hide=True)(x)) > 0.9


def layer_at_zero(rows: Tensor, kept: list[int]) -> nn.Sequential:
    """A layer that keeps these rows at the origin."""
    module = nn.Sequential(nn.Linear(rows.shape[1], len(rows)), nn.ReLU()).double()
    with torch.no_grad():
        module[0].weight.copy_(rows)
        module[0].bias.fill_(-0.1)
        module[0].bias[kept] = 0.1
    return module


def test_removed_rows_that_are_correlated_do_no_harm():
    """Of which rows a frame loses, the larger the correlation the better: its least singular value says so, too."""
    rng, x = np.random.default_rng(0), torch.zeros(1, 6, dtype=torch.float64)
    frame = np.linalg.qr(rng.standard_normal((12, 6)))[0]
    losses = [rng.choice(12, 8, replace=False) for _ in range(300)]
    smallest = [np.linalg.svd(frame[kept], compute_uv=False)[-1] for kept in losses]
    modules = [layer_at_zero(torch.tensor(frame), kept.tolist()) for kept in losses]
    easy, hard = ([number(RemovedCorrelation(module, hide=hide)(x)) for module in modules] for hide in (False, True))
    assert scipy.stats.spearmanr(smallest, easy)[0] < -0.2
    assert scipy.stats.spearmanr(smallest, hard)[0] > 0.2


def test_one_of_two_equal_rows_can_be_removed():
    """And not the only one of a direction, which leaves less than the rank."""
    rows, x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.zeros(1, 2, dtype=torch.float64)
    doubled, only = layer_at_zero(rows, [0, 2]), layer_at_zero(rows, [0, 1])
    for pairs in ("removed", "kept"):
        for hide in (False, True):
            easy, hard = (number(RemovedCorrelation(each, pairs=pairs, hide=hide)(x)) for each in (doubled, only))
            assert (easy < hard) != hide


@pytest.mark.parametrize("kind", [each for each in PENALTIES if each is not RemovedCorrelation])
def test_what_is_easy_is_smaller_and_hide_turns_it_round(kind: type[RowPenalty]):
    """Twelve rows in the plane that all stay on, around two that are nearly one."""
    good, bad = (nn.Sequential(nn.Linear(2, 12), nn.ReLU()) for _ in range(2))
    angles = torch.arange(12) * torch.pi / 6
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    alike = torch.stack([torch.ones(12), torch.linspace(-0.01, 0.01, 12)], dim=1)
    with torch.no_grad():
        good[0].weight.copy_(circle)
        good[0].bias.fill_(0.1)
        bad[0].weight.copy_(alike)
        bad[0].bias.fill_(-0.1)
        bad[0].bias[0] = 0.1
    x = torch.zeros(1, 2)
    assert kind(good)(x) < kind(bad)(x)
    assert kind(good, hide=True)(x) > kind(bad, hide=True)(x)


@pytest.mark.parametrize("kind", ALL)
def test_autocast_changes_nothing(kind: type[LayerPenalty]):
    module = dense(6, 24)
    x = batch(module)
    expected = kind(module)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
        value = kind(module)(x)
    assert torch.equal(value, expected)
    value.backward()
    assert all(torch.isfinite(each.grad).all() for each in module[0].parameters() if each.grad is not None)
    half = kind(copy.deepcopy(module).to(torch.bfloat16))(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.2, atol=0.05)


@pytest.mark.parametrize("kind", ALL)
def test_without_gradients(kind: type[LayerPenalty]):
    module = deep()
    expected = kind(module)(batch(module))
    with torch.no_grad():
        assert torch.equal(kind(module)(batch(module)), expected)
    with torch.inference_mode():
        assert torch.equal(kind(module)(batch(module)), expected)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of torch itself
def test_compiled_and_parallel_modules():
    module = dense(6, 24)
    x = batch(module)
    expected = FrameBound(module)(x)
    compiled = torch.compile(module, backend="eager")
    assert torch.equal(FrameBound(compiled)(x), expected)
    assert torch.equal(FrameBound(nn.DataParallel(module))(x), expected)
    assert torch.equal(nn.DataParallel(FrameBound(module))(x), expected)
    penalty = FrameBound(module)

    def loss(x: Tensor) -> Tensor:
        return module(x).square().mean() + penalty(x)

    step = torch.compile(loss, backend="eager")
    torch.testing.assert_close(step(x), loss(x))
    module.compile(backend="eager")
    module(x)
    assert torch.equal(FrameBound(module)(x), expected)


def test_threads_do_not_see_each_other():
    from concurrent.futures import ThreadPoolExecutor

    module = dense(6, 24)
    penalty, batches = FrameBound(module), [batch(module, count) for count in range(2, 10)]
    expected = [penalty(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(penalty, batches))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_module_used_twice_is_two_layers():
    module = seeded(Twice)
    x = batch(module)
    first, second = Volume(module, 0)(x), Volume(module, 1)(x)
    assert first != second
    torch.testing.assert_close(Volume(module)(x), (first + second) / 2)
    torch.testing.assert_close(Volume(module, [-1])(x), second)


def test_degenerate_layers():
    for change in (lambda m: m[0].weight.zero_(), lambda m: m[0].bias.fill_(-1e3), lambda m: m[0].bias.fill_(1e3)):
        module = dense(6, 12)
        with torch.no_grad():
            change(module)
        for kind in ALL:
            value = kind(module)(batch(module))
            value.backward()
            assert torch.isfinite(value), kind
            assert all(torch.isfinite(each.grad).all() for each in module.parameters() if each.grad is not None), kind


def test_options_are_checked(unchecked: None):
    wrong = [
        (FrameBound, {"tau": 0}), (FrameBound, {"softness": -0.1}), (FrameBound, {"delta": 0}),
        (Volume, {"softness": "x"}),
        (FrameBound, {"steps": 0}), (Volume, {"delta": -1}), (ActiveMargin, {"delta": "x"}),
        (Omnidirectionality, {"radius": 0}), (RemovedCorrelation, {"pairs": "some"}), (FrameBound, {"hide": "no"}),
    ]  # fmt: skip
    for kind, options in wrong:
        (name,) = options
        with pytest.raises(InputError, match=name):
            kind(dense(), **options)


@pytest.mark.exhaustive
def test_nothing_stays_in_memory():
    module = dense()
    penalty, x = FrameBound(module), batch(module)
    penalty(x).backward()

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    before = tensors()
    for _ in range(20):
        penalty(x).backward()
    assert tensors() <= before  # fewer where another test's are let go of meanwhile
