"""Inverse Lipschitz constants and directions against dense decompositions, and against what networks do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from known_spectra import truth


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 5))


def tall() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 50), nn.LeakyReLU(0.1), nn.Linear(50, 30))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 9),
    )  # fmt: skip


def deficient() -> nn.Module:
    """A map of rank at most 2 in the middle."""
    return nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 15))


CASES = {"wide": (wide, (12,)), "tall": (tall, (6,)), "convolutional": (convolutional, (2, 6, 6)),
         "deficient": (deficient, (8,)), "one pixel": (lambda: nn.Sequential(nn.Linear(1, 3), nn.ReLU()), (1,)),
         "one output": (lambda: nn.Sequential(nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 1)), (7,))}  # fmt: skip


@pytest.fixture(params=sorted(CASES), name="case")
def _case(request):
    build, shape = CASES[request.param]
    torch.manual_seed(4)
    module = build().double().eval()
    x = np.random.default_rng(8).standard_normal(shape)
    return module, fs.from_torch(module, input_shape=shape), x


def jacobian(module: nn.Module, x: np.ndarray) -> np.ndarray:
    J = torch.func.jacrev(lambda v: module(v[None])[0].flatten())(torch.tensor(x))
    return J.detach().reshape(-1, x.size).numpy()


@pytest.mark.exhaustive(every=3)
def test_constants_are_singular_values_of_the_jacobian(case):
    module, net, x = case
    J = jacobian(module, x)
    values, rank = truth(J), np.linalg.matrix_rank(J)
    found = fs.inverse_stability(net, x)
    assert (found.rank, found.invariant_dimension) == (rank, x.size - rank)
    assert abs(found.largest - values[0]) <= found.largest_error + 1e-15 * values[0]
    assert abs(found.smallest_nonzero - values[rank - 1]) <= found.smallest_error + 1e-15 * values[0]
    assert found.smallest_error <= 1e-10 * found.smallest_nonzero
    assert found.condition_number == pytest.approx(values[0] / values[rank - 1], rel=1e-9)
    assert found.region_distance == found.J.region_distance == found.boundary.distance
    assert found.reason == ""
    np.testing.assert_array_equal(found.x, x)


def test_directions_are_singular_vectors_of_the_jacobian(case):
    module, net, x = case
    J = jacobian(module, x)
    U, values, V = np.linalg.svd(J)
    rank = np.linalg.matrix_rank(J)
    found = fs.inverse_stability(net, x)
    k = min(3, rank)
    assert len(found.strongest) == len(found.weakest) == k
    assert len(found.invariant) == min(3, x.size - rank)
    for directions, places in [(found.strongest, range(k)), (found.weakest, range(rank - k, rank))]:
        assert directions.vectors.shape == (k, *x.shape)
        np.testing.assert_allclose(directions.values, values[places], rtol=1e-9)
        for v, i, angle in zip(directions.vectors, places, directions.angle, strict=True):
            assert abs(abs(v.ravel() @ V[i]) - 1) <= 1e-9
            assert angle < 1e-9
            u = J @ v.ravel() / values[i]
            assert abs(abs(u @ U[:, i]) - 1) <= 1e-9
        assert directions.span_angle < 1e-9
    assert np.abs(found.invariant.vectors.reshape(-1, x.size) @ V[:rank].T).max(initial=0) < 1e-10


def test_the_inverse_lipschitz_inequality_holds_in_the_region_and_is_attained(case):
    module, net, x = case
    found = fs.inverse_stability(net, x)
    generator = np.random.default_rng(2)
    D = generator.standard_normal((300, *x.shape))
    D = np.concatenate([D - found.invariant_part(D), found.weakest.vectors, found.strongest.vectors])
    lengths = np.linalg.norm(D.reshape(len(D), -1), axis=1)
    D *= (0.999 * found.region_distance / lengths).reshape(-1, *[1] * x.ndim)
    with torch.no_grad():
        before, after = module(torch.tensor(x[None])), module(torch.tensor(x + D))
    moved = np.linalg.norm((after - before).numpy().reshape(len(D), -1), axis=1)
    ratio = moved / (0.999 * found.region_distance)
    slack = 1e-10 * found.largest
    assert found.smallest_nonzero - slack <= ratio.min() <= found.smallest_nonzero + slack
    assert found.largest - slack <= ratio.max() <= found.largest + slack


def test_invariant_directions_leave_the_features_unchanged_up_to_the_end_of_the_region(case):
    module, net, x = case
    found = fs.inverse_stability(net, x)
    changes = np.random.default_rng(3).standard_normal((50, *x.shape))
    parts = found.invariant_part(changes)
    D = np.concatenate([parts, found.invariant.vectors]).reshape(-1, x.size)
    if found.invariant_dimension == 0:
        assert not D.any()
        return
    D *= 0.999 * found.region_distance / np.linalg.norm(D, axis=1, keepdims=True)
    with torch.no_grad():
        before, after = module(torch.tensor(x[None])), module(torch.tensor(x + D.reshape(-1, *x.shape)))
    assert float((after - before).abs().max()) <= 1e-14 * max(1.0, float(before.abs().max()))
    visible = 0.9 * found.region_distance * found.strongest.vectors[:1]
    with torch.no_grad():
        assert float((module(torch.tensor(x + visible)) - before).abs().max()) > 1e-7


def test_the_invariant_part_is_the_nearest_one(case):
    _, net, x = case
    found = fs.inverse_stability(net, x)
    change = np.random.default_rng(4).standard_normal(x.shape)
    part = found.invariant_part(change)
    basis = np.linalg.svd(found.J.matrix())[2][found.rank :]
    np.testing.assert_allclose(part.ravel(), basis.T @ (basis @ change.ravel()), atol=1e-13)
    np.testing.assert_allclose(found.invariant_part(part), part, atol=1e-14)
    np.testing.assert_array_equal(found.invariant_part(change.ravel()), part.ravel())
    np.testing.assert_allclose(found.invariant_part(np.stack([change, part])), [part, part], atol=1e-13)


def test_stages_in_between_and_results_that_repeat():
    torch.manual_seed(4)
    net = fs.from_torch(convolutional().double().eval(), input_shape=(2, 6, 6))
    x = np.random.default_rng(8).standard_normal((2, 6, 6))
    for stage in range(len(net.stages)):
        found, again = fs.inverse_stability(net, x, stage), fs.inverse_stability(net, x.ravel(), stage)
        J = fs.linearize(net, x, stage).matrix()
        assert found.rank == np.linalg.matrix_rank(J)
        assert found.largest == pytest.approx(np.linalg.norm(J, 2), rel=1e-12)
        for one, other in [(found.strongest, again.strongest), (found.invariant, again.invariant)]:
            np.testing.assert_array_equal(one.vectors, other.vectors)
    assert fs.inverse_stability(net, x, -1).rank == found.rank


def test_the_zero_map_has_invariant_directions_only():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).double().eval()
    nn.init.constant_(module[0].bias, -100.0)
    found = fs.inverse_stability(fs.from_torch(module, input_shape=(3,)), np.ones(3))
    assert (found.rank, found.invariant_dimension, found.largest) == (0, 3, 0)
    assert np.isnan([found.smallest_nonzero, found.smallest_error, found.condition_number]).all()
    assert len(found.strongest) == len(found.weakest) == 0
    np.testing.assert_array_equal(found.invariant.vectors, np.eye(3))
    np.testing.assert_array_equal(found.invariant.angle, np.zeros(3))
    np.testing.assert_array_equal(found.invariant_part([1.0, -2.0, 3.0]), [1.0, -2.0, 3.0])


def test_affine_maps_hold_everywhere_and_smooth_ones_at_the_sample_only():
    torch.manual_seed(0)
    affine = fs.inverse_stability(fs.from_torch(nn.Sequential(nn.Linear(4, 3)).double().eval()), np.ones(4))
    assert affine.boundary is None
    assert affine.region_distance == np.inf
    smooth = fs.inverse_stability(fs.from_torch(nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double().eval()), np.ones(4))
    assert smooth.region_distance == 0
    assert smooth.rank == 3


def test_large_maps_give_what_products_give_and_say_what_is_missing(case):
    _, net, x = case
    whole = fs.inverse_stability(net, x, count=2)
    found = fs.inverse_stability(net, x, count=2, max_bytes=1, boundary=False)
    assert found.largest == pytest.approx(whole.largest, rel=1e-9)
    assert abs(found.largest - whole.largest) <= found.largest_error + whole.largest_error
    np.testing.assert_allclose(found.strongest.values, whole.strongest.values, rtol=1e-8)
    missing = [found.spectrum, found.rank, found.invariant_dimension, found.smallest_nonzero, found.smallest_error,
               found.condition_number, found.weakest, found.invariant, found.row_space, found.boundary,
               found.region_distance]  # fmt: skip
    assert missing == [None] * len(missing)
    assert "boundary=True" in found.reason
    assert "was not written out" in found.reason
    for v, w, angle in zip(found.strongest.vectors, whole.strongest.vectors, found.strongest.angle, strict=True):
        assert np.linalg.norm(v - w) <= 2 * angle + 1e-8
    with pytest.raises(fs.InputError, match="was not written out"):
        found.invariant_part(x)
    assert fs.inverse_stability(net, x, max_bytes=1).region_distance == whole.region_distance


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: fs.inverse_stability(net, np.ones(12), count=0), "count"),
        (lambda net: fs.inverse_stability(net, np.ones(12), stage=9), "stage"),
        (lambda net: fs.inverse_stability(net, np.ones(11)), "shape"),
        (lambda net: fs.inverse_stability(net, np.full(12, np.nan)), "finite"),
        (lambda net: fs.inverse_stability(net, np.ones(12)).invariant_part(np.ones(5)), "direction"),
        (lambda net: fs.inverse_stability(net, np.ones(12)).invariant_part(np.full(12, np.inf)), "finite"),
    ],
)
def test_bad_input(call, message):
    net = fs.from_torch(wide().double().eval(), input_shape=(12,))
    with pytest.raises(fs.InputError, match=message):
        call(net)
