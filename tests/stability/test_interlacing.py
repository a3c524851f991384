"""Lemma 8 and Cauchy interlacing: what removing rows does to singular values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.numpy import load_file
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from fiberscope.stability.interlacing import InterlacingBound, interlacing_bound

Matrix = np.ndarray[Any, Any]


def nonzero_singular_values(A: Matrix, rank: int) -> Matrix:
    """By another routine of LAPACK, with the rank from exact elimination."""
    return scipy.linalg.svd(A, compute_uv=False, lapack_driver="gesvd")[:rank]


def exact_rank(A: Matrix) -> int:
    return oracles.rank([oracles.exact_vector(row) for row in A])


@pytest.mark.parametrize(
    ("removed", "smallest", "printed", "sharpened"),
    [
        ([4], 2.0, 2.0, 2.0),  # attained: the smallest goes
        ([0], 1.0, 2.0, 2.0),  # the largest goes, and the smallest stays where it was
        ([0, 1, 2], 1.0, 4.0, 4.0),
        ([1, 2, 3, 4], 5.0, 5.0, 5.0),
        ([], 1.0, 1.0, 1.0),
        ([0, 1, 2, 3, 4], None, None, None),
    ],
)
def test_of_a_diagonal_matrix(
    removed: list[int], smallest: float | None, printed: float | None, sharpened: float | None
):
    bound = interlacing_bound(np.diag([5.0, 4, 3, 2, 1]), np.setdiff1d(range(5), removed))
    assert (bound.smallest_nonzero, bound.printed, bound.sharpened) == (smallest, printed, sharpened)
    assert (bound.largest, bound.rank, bound.rank_before, bound.removed) == (5, 5 - len(removed), 5, len(removed))
    assert bound.largest_measured == max([5.0 - i for i in range(5) if i not in removed], default=0)
    assert bound.holds


def test_the_sharpened_bound_is_smaller_where_a_removed_row_costs_no_rank():
    bound = interlacing_bound([[1.0, 0], [1, 0], [0, 1]], [1, 2])
    assert (bound.rank_before, bound.rank) == (2, 2)
    assert bound.printed == pytest.approx(np.sqrt(2))
    assert bound.sharpened == pytest.approx(1)
    assert bound.smallest_nonzero == pytest.approx(1)


def test_there_is_no_printed_bound_where_more_rows_go_than_the_rank():
    bound = interlacing_bound([[1.0, 0], [1, 0], [0, 1], [0, 2]], [0])
    assert (bound.printed, bound.rank) == (None, 1)
    assert bound.sharpened == pytest.approx(np.sqrt(5))
    assert bound.smallest_nonzero == 1
    assert bound.holds


def test_zero_maps_have_no_smallest_singular_value():
    for A, kept in ((np.zeros((3, 2)), [0, 1]), (np.eye(3), []), (np.array([[0.0, 0], [1, 0]]), [0])):
        bound = interlacing_bound(A, kept)
        assert (bound.smallest_nonzero, bound.sharpened, bound.rank, bound.largest_measured) == (None, None, 0, 0)
        assert bound.holds


def test_no_random_matrix_exceeds_the_bounds_and_some_nearly_attain_them():
    generator = np.random.default_rng(0)
    ratios: list[float] = []
    sharper = 0
    for k in range(1000):
        m, n = generator.integers(1, 9, 2)
        A = generator.normal(size=(m, n)) if k % 2 else generator.integers(-1, 2, (m, n)).astype(float)
        kept = generator.random(m) < generator.random()
        bound = interlacing_bound(A, kept)
        assert bound.holds, (A.tolist(), kept.tolist())
        assert bound.printed is None or bound.sharpened is not None
        if bound.printed is not None and bound.sharpened is not None:
            assert bound.sharpened <= bound.printed
            sharper += bound.sharpened < 0.99 * bound.printed
        if bound.smallest_nonzero is not None and bound.sharpened is not None:
            ratios.append(bound.smallest_nonzero / bound.sharpened)
    assert 0.99 < max(ratios) < 1 + 1e-12
    assert min(ratios) < 0.5
    assert sharper > 100


def test_the_numbers_agree_with_exact_ranks_and_another_decomposition():
    generator = np.random.default_rng(1)
    for _ in range(300):
        m, n = generator.integers(1, 7, 2)
        A = generator.integers(-2, 3, (m, n)).astype(float)
        kept = generator.random(m) < 0.6
        left = np.where(kept[:, None], A, 0.0)
        before, after = exact_rank(A), exact_rank(left)
        sigma, rest = nonzero_singular_values(A, before), nonzero_singular_values(left, after)
        bound = interlacing_bound(A, np.flatnonzero(kept))
        assert (bound.rank_before, bound.rank, bound.removed) == (before, after, m - kept.sum())
        position = before - bound.removed
        for value, expected in (
            (bound.printed, sigma[position - 1] if position >= 1 else None),
            (bound.sharpened, sigma[after - 1] if after else None),
            (bound.smallest_nonzero, rest[-1] if after else None),
            (bound.largest, sigma[0] if before else 0.0),
            (bound.largest_measured, rest[0] if after else 0.0),
        ):
            assert (value is None) == (expected is None)
            assert value is None or value == pytest.approx(expected, rel=1e-12)


def test_a_measurement_above_its_bound_does_not_hold():
    bound = interlacing_bound(np.diag([3.0, 2, 1]), [0, 1])
    assert bound.holds
    assert not replace(bound, smallest_nonzero=2.1).holds
    assert not replace(bound, sharpened=1.9).holds
    assert not replace(bound, printed=1.9).holds
    assert not replace(bound, largest_measured=3.1).holds
    assert replace(bound, smallest_nonzero=2 + bound.tolerance / 2).holds


def test_tolerance_and_rank_have_the_scale_of_the_matrix():
    """A fourth singular value that is rounding noise of the first counts as zero, whatever the unit."""
    generator = np.random.default_rng(2)
    U, V = (np.linalg.qr(generator.normal(size=(6, 6)))[0] for _ in range(2))
    A = U @ np.diag([1.0, 0.5, 1e-3, 1e-16, 0, 0]) @ V
    for scale in (1e-150, 1.0, 1e150):
        bound = interlacing_bound(scale * A, range(6))
        assert bound.rank == 3
        assert 1e-16 * scale < bound.tolerance < 1e-12 * scale
        assert bound.smallest_nonzero == pytest.approx(1e-3 * scale, rel=1e-9)


def test_sparse_masks_and_tensors_are_taken():
    A = np.array([[1.0, 2, 0], [0, 0, 3], [4, 0, 0]])
    expected = interlacing_bound(A, [0, 2])
    for matrix in (csr_array(A), torch.tensor(A), A.tolist()):
        for kept in ([2, 0], np.array([True, False, True]), torch.tensor([0, 2]), (0, 2)):
            assert interlacing_bound(matrix, kept) == expected


def test_of_a_trained_layer(external: Path):
    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    A, b = weights["2.weight"].astype(float)[:, :400], weights["2.bias"].astype(float)
    kept = A @ np.random.default_rng(3).uniform(size=400) + b > 0
    bound = interlacing_bound(A, kept)
    assert bound.holds
    assert bound.rank_before == 400
    rest = scipy.linalg.svd(A[kept], compute_uv=False, lapack_driver="gesvd")
    assert bound.smallest_nonzero == pytest.approx(rest[bound.rank - 1], rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interlacing_bound([1.0, 2], [0]), "A: expected shape"),
        (lambda: interlacing_bound(np.zeros((0, 2)), []), "A: expected at least one number"),
        (lambda: interlacing_bound([[np.nan]], [0]), "A: expected finite numbers"),
        (lambda: interlacing_bound(csr_array(np.array([[np.inf]])), [0]), "A: expected finite numbers"),
        (lambda: interlacing_bound(np.eye(2), [2]), "kept: .*got the index 2"),
        (lambda: interlacing_bound(np.eye(2), [0, 0]), "kept: .*comes twice"),
        (lambda: interlacing_bound(np.eye(2), [True]), "kept: .*got a mask of shape"),
        (lambda: interlacing_bound(np.eye(2), "all"), "kept: expected distinct indices"),
        (lambda: interlacing_bound(np.eye(2), [0.5]), "an array of type float64"),
    ],
)
def test_bad_input(call: Callable[[], InterlacingBound], message: str):
    with pytest.raises(fs.InputError, match=message):
        call()
