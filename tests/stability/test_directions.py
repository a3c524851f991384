"""Bounds on angles against the singular vectors of matrices that are known."""

from __future__ import annotations

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.stability.directions import found_directions, invariant_directions, singular_directions, without


def known(values, m: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with given singular values, and its right singular vectors as rows."""
    generator = np.random.default_rng(seed)
    U, V = (np.linalg.qr(generator.standard_normal((d, len(values))))[0] for d in (m, n))
    return (U * np.asarray(values)) @ V.T, V.T


def disturbed(basis: np.ndarray, size: float, seed: int = 1) -> np.ndarray:
    """The basis of a space that is turned a little."""
    noise = size * np.random.default_rng(seed).standard_normal(basis.shape)
    return np.linalg.qr((basis + noise).T)[0].T


def sine(vectors: np.ndarray, space: np.ndarray) -> float:
    """Of the largest angle between some vectors and the space of some others; both orthonormal rows."""
    return float(np.linalg.norm(vectors - vectors @ space.T @ space, 2))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (20, 20)])
@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(("places", "loss"), [([0, 1, 2], 100), ([9, 10, 11], 100_000)])  # sigma_1 / gap: 1.6 and 200
def test_angles_of_disturbed_directions_are_bounded_and_not_by_far_too_much(shape, size, places, loss):
    A, V = known(np.geomspace(8, 0.05, 12), *shape)
    for seed in range(10):
        basis = disturbed(V[places], size, seed)
        found = singular_directions(A, basis, np.array(places), fs.singular_values(A), (shape[1],))
        actual = [sine(v[None], V[[i]]) for v, i in zip(found.vectors, places, strict=True)]
        assert (actual <= found.angle).all()
        assert sine(found.vectors, V[places]) <= found.span_angle
        assert found.span_angle <= loss * size or found.span_angle == 1
        nearest = np.abs(found.values[:, None] - np.geomspace(8, 0.05, 12)).min(axis=1)
        assert (nearest <= found.residual).all()


def test_in_a_cluster_only_the_span_is_determined():
    A, V = known([5, 3, 3, 1, 0.5], 9, 7)
    found = singular_directions(A, V[:3], np.arange(3), fs.singular_values(A), (7,))
    assert found.angle[0] < 1e-12
    assert (found.angle[1:] == 1).all()
    assert sine(found.vectors, V[:3]) <= found.span_angle < 1e-12


def test_a_cluster_that_is_cut_is_not_determined_at_all():
    A, V = known([5, 3, 3, 1, 0.5], 9, 7)
    assert singular_directions(A, V[:2], np.arange(2), fs.singular_values(A), (7,)).span_angle == 1


def test_invariant_directions_are_those_of_the_best_hidden_coordinates():
    A, V = known([4, 2, 1], 6, 8, seed=3)
    found = invariant_directions(A, V, fs.singular_values(A), 5, (2, 4))
    flat = found.vectors.reshape(5, 8)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-14)
    P = np.eye(8) - V.T @ V
    best = int(np.diag(P).argmax())
    np.testing.assert_allclose(flat[0], P[best] / np.linalg.norm(P[best]), atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(A @ flat.T, axis=0), found.values, atol=1e-15)
    assert (found.values <= found.residual).all()
    assert (
        max(sine(v[None], np.linalg.svd(A)[2][3:]) for v in flat) <= found.angle.min() + 1e-14 < 1e-12
    )  # the oracle's rounding


def test_a_direction_that_is_not_invariant_is_seen():
    A, V = known([4, 2, 1], 6, 8, seed=3)
    tilted = disturbed(V, 1e-4)
    found = invariant_directions(A, tilted, fs.singular_values(A), 5, (8,))
    null = np.linalg.svd(A)[2][3:]
    for vector, angle in zip(found.vectors, found.angle, strict=True):
        assert 1e-6 < sine(vector[None], null) <= angle
    assert sine(found.vectors, null) <= found.span_angle


def test_what_a_search_found_is_only_as_clear_as_the_next_value():
    _, V = known([5, 3, 2, 1], 9, 7)
    values, bound = np.array([5.0, 3.0, 2.0]), np.full(3, 1e-9)
    found = found_directions(V[:3].T.copy(), values, bound, 2, (7,))
    np.testing.assert_allclose(found.angle, np.sqrt(2) * 1e-9 / np.array([2, 1]), rtol=1e-6)
    unknown = found_directions(V[:3].T.copy(), values, bound, 3, (7,))
    assert (unknown.angle == 1).all()
    assert unknown.span_angle == 1


def test_directions_have_their_largest_number_positive():
    A, V = known([5, 3, 2], 9, 7)
    found = singular_directions(A, -V, np.arange(3), fs.singular_values(A), (7,))
    rows = found.vectors
    assert (rows[np.arange(3), np.abs(rows).argmax(axis=1)] > 0).all()


def test_subtracting_twice_leaves_nothing_of_a_space():
    _, V = known([1, 1, 1], 9, 40)
    inside = np.random.default_rng(0).standard_normal((2, 3)) @ V * 1e6
    assert np.abs(without(V, inside) @ V.T).max() <= 1e-15
