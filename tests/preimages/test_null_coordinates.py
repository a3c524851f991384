"""Faces of narrow cones, in coordinates of the null space of their equalities."""

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages import decide as deciding
from fiberscope.preimages import face as faces
from fiberscope.preimages.budget import NO_LIMIT, Budget, TooLargeError
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.exact_face import as_fractions, exact_face
from fiberscope.preimages.null_coordinates import partition
from fiberscope.preimages.system import build_at_input

SIDE = 5
n = SIDE * SIDE
DOMAINS = {"orthant": fs.NonNegative(), "box": fs.Box(0, 1), "half-spaces": fs.HalfSpaces(-np.eye(n), np.zeros(n))}


def chain(ratio: float) -> np.ndarray:
    """Rows ``d_(j+1) = ratio d_j``: one vector of the null space, which grows by ratio**11."""
    return np.array([[-ratio if j == i else float(j == i + 1) for j in range(12)] for i in range(11)])


def convolution(seed: int, *, whole: bool) -> fs.ReLULayer:
    """Two filters, in whole numbers or in float32; all outputs of a black image are positive."""
    rng = np.random.default_rng(seed)
    w = rng.integers(-3, 4, (2, 1, 2, 2)) if whole else rng.standard_normal((2, 1, 2, 2)) / 3
    rows = Convolution(w.astype(np.float32), (1, SIDE, SIDE)).rows()
    return fs.ReLULayer(rows, np.repeat([0.5, 1.0], rows.shape[0] // 2))


def refuse(*_: object) -> object:
    """In place of what decides small systems and no large ones."""
    raise TooLargeError("not here")


def image(name: str) -> np.ndarray:
    """Black, white, or black on its left half."""
    x = np.random.default_rng(1).random((SIDE, SIDE))
    x[:, : SIDE // 2] = 0
    return {"black": np.zeros(n), "white": np.ones(n), "half": x.ravel()}[name]


@pytest.mark.parametrize("ratio", [1.0, 16.0, 1e-3, 1e6])
def test_one_vector_that_grows(ratio: float):
    H, W = chain(ratio), -np.eye(12)
    found = partition(H, W, NO_LIMIT)
    assert found is not None
    assert not found.implicit.any()
    assert found.direction is not None
    assert found.null == 1
    np.testing.assert_allclose(found.direction[1:] / found.direction[:-1], ratio, rtol=1e-12)
    W[5] *= -1  # of one vector one entry has the other sign
    other = partition(H, W, NO_LIMIT)
    assert other is not None
    assert other.direction is None
    assert other.implicit.all()
    assert (other.weights > 0).all()
    np.testing.assert_allclose(H.T @ other.free + W.T @ other.weights, 0, atol=1e-9 * np.abs(other.free).max())


@pytest.mark.parametrize(("of_row", "of_column"), [(0, 0), (40, 0), (0, 4), (-30, 3)])
@pytest.mark.parametrize("seed", range(12))
def test_same_rows_vanish_as_in_rational_numbers(seed: int, of_row: int, of_column: int):
    """Columns as far apart as balancing leaves them."""
    rng = np.random.default_rng(seed)
    H = rng.integers(-2, 3, (6, 9)).astype(float)
    H[5] = H[0] - H[1]
    W = np.vstack([-np.eye(9), rng.integers(-2, 3, (3, 9)), H[:1] if seed % 3 == 0 else -H[2:3] - H[3:4]])
    right = exact_face(as_fractions(H), as_fractions(W), 9, NO_LIMIT)
    rows, columns = (2.0 ** rng.integers(-abs(e), abs(e) + 1, size) for e, size in ((of_row, 6), (of_column, 9)))
    found = partition(H * rows[:, None] * columns, W * columns, NO_LIMIT)
    assert found is not None
    assert found.implicit.tolist() == [weight > 0 for weight in right.weights]
    assert (found.direction is None) == (not any(right.direction) and found.rank == found.null)
    if found.direction is not None:
        slopes = W @ (found.direction * columns)
        assert (slopes[~found.implicit] < 0).all()


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", ["black", "white", "half"])
@pytest.mark.parametrize(("seed", "whole"), [(0, True), (1, True), (0, False)])
def test_convolution(seed: int, whole: bool, name: str, domain: str, monkeypatch: pytest.MonkeyPatch):
    layer, x = convolution(seed, whole=whole), image(name)
    right = certify_exactly(build_at_input(layer, as_polyhedron(DOMAINS[domain], n), x))
    if name == "black" and domain != "half-spaces":  # rows outnumber the pixels: no program, no exact simplex method
        for module, method in ((deciding, "certify_exactly"), (faces, "face_by_linear_program")):
            monkeypatch.setattr(module, method, refuse)
    p = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert (p.kind, p.dimension) == (right.kind, right.dimension), p.reason
    assert fs.verify(p)
    assert not fs.verify(replace(p, dimension=n - 1))


def test_faces_of_many_small_cones():
    """Of all shapes: nothing is raised, and where no line is left no face is wrong."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(300):
        n = int(rng.integers(1, 9))
        H, W = (
            rng.integers(-2, 3, (rows, n)) * (rng.random((rows, n)) < rng.uniform(0.2, 1.0)) * 1.0
            for rows in (int(rng.integers(1, n + 3)), int(rng.integers(1, 12)))
        )
        H, W = H[H.any(axis=1)], W[W.any(axis=1)]
        units = 2.0 ** rng.integers(-4, 5, n)
        face = partition(H * 2.0 ** rng.integers(-40, 41, (len(H), 1)) * units, W * units, NO_LIMIT)
        if face is not None and np.linalg.matrix_rank(np.concatenate([H, W])) == n:
            right = exact_face(as_fractions(H), as_fractions(W), n, NO_LIMIT)
            assert face.implicit.tolist() == [weight > 0 for weight in right.weights]
            found += 1
    assert found > 100


def test_too_many_coordinates_or_none_are_left_alone():
    assert partition(np.eye(5), -np.eye(5), NO_LIMIT) is None
    assert partition(np.zeros((0, 5)), -np.eye(5), NO_LIMIT) is None


def test_rank_that_a_gram_matrix_does_not_tell():
    nearly = np.array([[1.0, 1.0, 0.0], [1.0, 1.0 + 2.0**-19, 0.0]])
    found = partition(nearly, -np.eye(3), NO_LIMIT)
    assert found is not None
    assert (found.null, found.implicit.tolist()) == (1, [True, True, False])
    assert found.direction is not None
    assert (found.direction != 0).tolist() == [False, False, True]


def test_rows_that_vanish_apart_from_small_ones():
    """Of two lines one vanishes, and the other falls by 120 digits: small is told from zero, and weights are positive.

    A row that reads both sees no more of the second than rounding leaves.
    """
    count = 41
    falling = np.array([[-(1e-3) if j == i else float(j == i + 1) for j in range(count)] for i in range(count - 1)])
    held = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])  # d = (t, -t, t), which vanishes in an orthant
    H = np.zeros((count + 1, count + 3))
    H[: count - 1, :count], H[count - 1 :, count:] = falling, held
    mixed = np.zeros((1, count + 3))
    mixed[0, [0, count]] = -1.0, 1.0
    W = np.concatenate([-np.eye(count + 3), mixed])
    found = partition(H, W, NO_LIMIT)
    assert found is not None
    assert found.implicit.tolist() == [False] * count + [True] * 3 + [False]
    assert found.direction is not None
    np.testing.assert_allclose(found.direction[1:count] / found.direction[: count - 1], 1e-3, rtol=1e-12)
    assert (found.weights[found.implicit] > 0).all()
    left, sizes = found.free @ H + found.weights @ W, np.abs(found.free) @ np.abs(H) + found.weights @ np.abs(W)
    assert (np.abs(left) <= 1e-12 * sizes.max()).all()


def test_budget_that_is_over():
    with pytest.raises(TooLargeError):
        partition(chain(2.0), -np.eye(12), Budget(1e-9, 0.0))
