"""Section 3.1: orthogonal matrices with ReLUs between them, and a pre-conditioner away from where it was fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import fiberscope as fs
from fiberscope_paper.orthogonal_depth import OrthogonalDepth, depth_of_chain, orthogonal_depth
from fiberscope_paper.preconditioner import precondition, random_precondition
from fiberscope_paper.relu_chain import ReLUChain, gaussian_chain, orthogonal_chain, relu_chain


def jacobian(chain: ReLUChain, x: np.ndarray[Any, Any], layers: int) -> np.ndarray[Any, Any]:
    """By automatic differentiation."""

    def function(v: torch.Tensor) -> torch.Tensor:
        for weight, bias in list(zip(chain.weights, chain.biases, strict=True))[:layers]:
            v = torch.relu(torch.tensor(weight) @ v + torch.tensor(bias))
        return v

    return torch.autograd.functional.jacobian(function, torch.tensor(x)).numpy()


def random_chain(widths: list[int], seed: int) -> ReLUChain:
    generator = np.random.default_rng(seed)
    return relu_chain(gaussian_chain(widths, generator).weights, [generator.normal(size=width) for width in widths[1:]])


# ---- the chain


def test_local_maps_are_the_derivatives():
    chain = random_chain([4, 9, 3, 6], seed=0)
    for x in np.random.default_rng(1).normal(size=(5, 4)):
        maps = list(chain.local_maps(x))
        for layers, local in enumerate(maps, start=1):
            J = jacobian(chain, x, layers)
            np.testing.assert_allclose(local.matrix, J, rtol=1e-12, atol=1e-13)
            np.testing.assert_array_equal(local.active, J.any(axis=1))
            values = np.linalg.svd(J, compute_uv=False)
            np.testing.assert_allclose(local.singular_values, values, rtol=1e-9, atol=1e-13)
            assert np.abs(local.singular_values - values).max() <= 2 * local.error + 1e-15
            assert local.rank == np.linalg.matrix_rank(J)
            assert local.condition == pytest.approx(values[0] / values[local.rank - 1])


def test_a_dead_chain_has_no_condition_number():
    (local,) = relu_chain([np.eye(2)], [[-9.0, -9.0]]).local_maps(np.ones(2))
    assert local.rank == 0
    assert np.isnan(local.condition)


def test_random_matrices_are_what_they_are_called():
    chain = orthogonal_chain([3, 5, 5, 20], np.random.default_rng(2))
    assert chain.widths == (3, 5, 5, 20)
    for weight in chain.weights:
        np.testing.assert_allclose(weight.T @ weight, np.eye(weight.shape[1]), atol=1e-14)
    gaussian = gaussian_chain([500, 400], np.random.default_rng(3))
    assert gaussian.weights[0].std() == pytest.approx(np.sqrt(2 / 500), rel=0.01)


# ---- orthogonal matrices with ReLUs


def test_without_relus_the_chain_stays_orthogonal_to_rounding():
    for widths in ([30] * 16, [10, 20, 40, 80]):
        depth = orthogonal_depth(widths, samples=2)
        assert depth.linear_deviation.max() < 1e-13
        assert (depth.linear_deviation <= depth.linear_errors).all()


def test_with_relus_singular_values_decay_with_depth():
    depth = orthogonal_depth([60] * 13, samples=10)
    assert depth.median_conditions[0] == pytest.approx(1, abs=1e-12), "some of the rows of an orthogonal matrix"
    assert depth.median_conditions[1] > 5
    assert depth.median_conditions[-1] > 1e3
    assert (depth.ranks[-1] < 45).all()
    assert (np.diff(depth.decay) < 0).all()
    assert depth.decay[-1] < 0.01
    assert [np.median(values[:, 0]) for values in depth.singular_values] == [m[0] for m in depth.median_singular_values]


def test_the_first_layer_of_a_growing_chain_loses_orthogonality_already():
    """A column of an orthonormal system keeps about half of its squared length when half of the rows go."""
    depth = orthogonal_depth([20, 60, 120, 240], samples=10)
    assert (depth.ranks == 20).all()
    assert depth.median_conditions.min() > 3
    assert (np.diff(depth.median_conditions) > 0).all()
    assert depth.singular_values[0].max() <= 1 + 1e-12
    squares = np.square(depth.singular_values[0]).mean()
    assert squares == pytest.approx(0.5, abs=0.1)


def test_fields_have_their_shapes_and_repeat_with_the_seed():
    first, second, other = (orthogonal_depth([4, 6, 8], samples=3, seed=seed) for seed in (1, 1, 2))
    assert first.widths == (4, 6, 8)
    assert [values.shape for values in first.singular_values] == [(3, 4), (3, 4)]
    assert first.conditions.shape == first.ranks.shape == first.errors.shape == (2, 3)
    assert [values.shape for values in first.linear] == [(4,), (4,)]
    np.testing.assert_array_equal(first.singular_values[1], second.singular_values[1])
    assert not np.array_equal(first.singular_values[1], other.singular_values[1])


def test_a_dead_sample_is_left_out_of_the_medians():
    depth = depth_of_chain(relu_chain([np.eye(2), [[1.0, -3.0]]]), [[1.0, 1.0], [3.0, 0.5]])
    assert np.isnan(depth.conditions[1]).tolist() == [True, False]
    assert depth.median_conditions.tolist() == [1, 1]
    assert depth.decay[1] == pytest.approx(np.sqrt(10)), "the length of the row (1, -3), which is dead at (1, 1)"
    dead = depth_of_chain(relu_chain([-np.eye(2)]), [[1.0, 1.0]])
    assert np.isnan(dead.median_conditions).tolist() == np.isnan(dead.decay).tolist() == [True]


# ---- a pre-conditioner


def test_the_preconditioner_serves_the_region_it_was_fitted_to_and_no_other():
    experiment = random_precondition([40, 60, 80], samples=15)
    assert experiment.fitted.differing == 0
    assert experiment.fitted.after == pytest.approx(1, abs=1e-10)
    assert experiment.fitted.before > 5
    assert experiment.fitted.rank_after == experiment.fitted.rank_before
    assert (experiment.differing > 20).all()
    assert (experiment.after > 10).all()
    assert experiment.worsened > 0.8
    assert np.median(experiment.after) > 5 * np.median(experiment.before)


def test_the_condition_numbers_are_those_of_the_products():
    chain = random_chain([5, 8, 7], seed=4)
    x0, *X = np.random.default_rng(5).normal(size=(6, 5))
    experiment = precondition(chain, x0, X)
    J0 = jacobian(chain, x0, 2)
    np.testing.assert_allclose(experiment.matrix, np.linalg.pinv(J0, rcond=1e-10), atol=1e-10)
    for x, sample in zip(X, experiment.elsewhere, strict=True):
        J = jacobian(chain, x, 2)
        for matrix, rank, condition in (
            (J, sample.rank_before, sample.before),
            (experiment.matrix @ J, sample.rank_after, sample.after),
        ):
            values = np.linalg.svd(matrix, compute_uv=False)
            assert rank == (values > 1e-10 * values[0]).sum()
            assert condition == pytest.approx(values[0] / values[rank - 1], rel=1e-6)
        hidden = [jacobian(chain, x, layer).any(axis=1) != jacobian(chain, x0, layer).any(axis=1) for layer in (1, 2)]
        assert sample.differing == sum(map(np.sum, hidden))


def test_in_the_same_region_it_is_as_good():
    chain = random_chain([12, 20, 30], seed=6)
    x0 = np.random.default_rng(7).normal(size=12)
    near = precondition(chain, x0, [x0 * (1 + 1e-9), x0])
    assert near.differing.tolist() == [0, 0]
    np.testing.assert_allclose(near.after, 1, atol=1e-10)
    assert near.worsened == 0


def test_both_experiments_on_a_trained_network(external: Path):
    """On some of its pixels and neurons, to be quick."""
    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    first = weights["0.weight"].astype(float)[::20, ::8]
    second = weights["2.weight"].astype(float)[::4, ::20]
    chain = relu_chain([first, second], [weights["0.bias"][::20], weights["2.bias"][::4]])
    X = np.random.default_rng(8).uniform(size=(5, 98))
    depth = depth_of_chain(chain, X)
    assert depth.linear_deviation[0] > 0.1, "trained matrices are not orthogonal"
    J = jacobian(chain, X[0], 2)
    np.testing.assert_allclose(depth.singular_values[1][0], np.linalg.svd(J, compute_uv=False), atol=1e-12)
    experiment = precondition(chain, X[0], X[1:])
    assert experiment.fitted.after == pytest.approx(1, abs=1e-9)
    assert (experiment.after > 2).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: orthogonal_depth([4]), "widths: expected at least two widths"),
        (lambda: orthogonal_depth([4, 0]), "widths: expected at least two widths of at least 1"),
        (lambda: orthogonal_depth([4, 3]), "widths: expected none smaller than the one before it"),
        (lambda: orthogonal_depth([4, 4], samples=0), "samples: expected at least 1, got 0"),
        (lambda: random_precondition([4, 3], samples=0), "samples: expected at least 1, got 0"),
        (lambda: random_precondition([3]), "widths: expected at least two widths"),
        (lambda: relu_chain([]), "weights: expected at least one matrix"),
        (lambda: relu_chain([[1.0]]), r"weights\[0\]: expected shape"),
        (lambda: relu_chain([np.eye(2), np.eye(3)]), r"weights\[1\]: expected 2 columns, got shape \(3, 3\)"),
        (lambda: relu_chain([np.eye(2)], []), "biases: expected 1 vectors, one per matrix, got 0"),
        (lambda: relu_chain([np.eye(2)], [[1.0]]), r"biases\[0\]: expected shape"),
        (lambda: relu_chain([[[np.nan]]]), r"weights\[0\]: expected finite numbers"),
        (lambda: depth_of_chain(relu_chain([np.eye(2)]), [1.0, 2]), "X: expected shape"),
        (lambda: precondition(relu_chain([np.eye(2)]), [1.0], [[1.0, 2]]), "x0: expected shape"),
        (lambda: precondition(relu_chain([np.eye(2)]), [1.0, 2], [1.0, 2]), "X: expected shape"),
        (lambda: precondition(relu_chain([np.eye(2)]), [-1.0, -2], [[1.0, 2]]), "x0: .*local map that is not zero"),
    ],
)
def test_bad_input(call: Callable[[], OrthogonalDepth], message: str):
    with pytest.raises(fs.InputError, match=message):
        call()
