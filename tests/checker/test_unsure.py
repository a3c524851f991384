"""What unsure units take from a modulus, all together: below every choice of shares, and far above norms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker.rounded import Rounded
from fiberscope.checker.unsure import form


def known(matrix):
    return Rounded(matrix, np.zeros(matrix.shape[0]))


def case(generator, layers, size=0.4):
    """C, P of each layer and what its units receive: of the input, and of units before."""
    n, p, units = 3, 9, [int(generator.integers(1, 4)) for _ in range(layers)]
    C = generator.standard_normal((p, n))
    P = [size * generator.standard_normal((p, u)) for u in units]
    Z = [[size * generator.standard_normal((u, k)) for k in (n, *units[:number])] for number, u in enumerate(units)]
    return C, P, Z


def smallest_of_all(C, P, Z, shares):
    """The smallest singular value over shares in [-1/2, 1/2] of all units, at these values."""
    least = np.inf
    for chosen in product(shares, repeat=sum(part.shape[1] for part in P)):
        moved, at = [np.eye(C.shape[1])], 0
        J = C.copy()
        for through, received in zip(P, Z, strict=True):
            z = sum(part @ before for part, before in zip(received, moved, strict=True))
            w = np.array(chosen[at : at + len(z)])[:, None] * z
            at += len(z)
            moved.append(w)
            J = J + through @ w
        least = min(least, float(np.linalg.svd(J, compute_uv=False)[-1]))
    return least


@pytest.mark.parametrize("layers", [1, 2])
def test_it_lies_below_every_choice_of_shares_and_not_far(layers):
    generator, near, proved = np.random.default_rng(layers), [], 0
    for _ in range(25):
        C, P, Z = case(generator, layers)
        exact = smallest_of_all(C, P, Z, (-0.5, 0.0, 0.5))
        built = form(known(C), [known(part) for part in P], [[known(part) for part in row] for row in Z])
        assert built is not None
        found = built.largest()
        assert found <= exact * (1 + 1e-12)
        assert not built.exceeds(exact * 1.0001)
        proved += found > 0
        near.append(found / exact)
    assert proved > 15
    assert np.median(near) > 0.6


def test_far_more_is_proved_than_by_norms():
    generator = np.random.default_rng(3)
    C = generator.standard_normal((60, 20)) * np.logspace(0, 1.5, 20)
    V, P = 0.5 * np.eye(20), 0.5 * C  # each unit takes a share of its own direction
    sigma = np.linalg.svd(C, compute_uv=False)
    assert sigma[-1] < 0.5 * np.linalg.norm(P, 2) * np.linalg.norm(V, 2)
    built = form(known(C), [known(P)], [[known(V)]])
    assert built is not None
    assert built.largest() > 0.5 * sigma[-1]


def test_errors_of_the_parts_are_taken_off():
    C, P, Z = case(np.random.default_rng(4), 1)
    exact = form(known(C), [known(P[0])], [[known(Z[0][0])]])
    assert exact is not None
    whole = exact.largest()
    for error in (1e-6, 1e-2):
        off = [Rounded(part, np.full(part.shape[0], error)) for part in (C, P[0], Z[0][0])]
        built = form(off[0], [off[1]], [[off[2]]])
        assert built is not None
        assert built.largest() < whole
        assert not built.exceeds(whole * 1.001)


def test_sparse_parts_prove_the_same():
    C, P, Z = case(np.random.default_rng(5), 2)
    dense = form(known(C), [known(part) for part in P], [[known(part) for part in row] for row in Z])
    thin = form(
        known(sparse.csr_array(C)),
        [known(sparse.csr_array(part)) for part in P],
        [[known(sparse.csr_array(part)) for part in row] for row in Z],
    )
    assert dense is not None
    assert thin is not None
    assert thin.largest() == pytest.approx(dense.largest(), rel=1e-9)
    assert dense.largest() > 0


@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(2.0**-60, 2.0**40, 1.0), (1e3, 1.0, 1e-5)])
def test_units_of_measure_do_not_matter(inputs, hidden, outputs):
    C, P, Z = case(np.random.default_rng(6), 1)
    whole = form(known(C), [known(P[0])], [[known(Z[0][0])]])
    scaled = form(known(C * outputs / inputs), [known(P[0] * outputs / hidden)], [[known(Z[0][0] * hidden / inputs)]])
    assert whole is not None
    assert scaled is not None
    assert scaled.largest() * inputs / outputs == pytest.approx(whole.largest(), rel=1e-6)
    assert whole.largest() > 0


def test_fewer_rows_than_inputs_prove_nothing():
    assert form(known(np.ones((2, 3))), [], []) is None
    singular = form(known(np.ones((4, 3))), [], [])
    assert singular is None or singular.largest() == 0
