"""Bounds on singular values, dense, sparse, by a left inverse and in integers, against elimination in fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker import exact, matrices

SCALES = (0, 0, -300, -540, -700, 300, 500, 900)
AROUND = (1 - 1e-12, 1 - 1e-6, 0.9, 1.0, 1 + 1e-12, 1 + 1e-9, 1.1, 2.0)


def is_above(B: np.ndarray, s: float) -> bool:
    """Whether ``B^T B - s^2`` is positive definite: by elimination, without a rounded number."""
    n, rows = B.shape[1], [[Fraction(v) for v in row] for row in B.tolist()]
    S = [[sum((row[i] * row[j] for row in rows), -(Fraction(s) ** 2) * (i == j)) for j in range(n)] for i in range(n)]
    for k in range(n):
        if S[k][k] <= 0:
            return False
        for i in range(k + 1, n):
            factor = S[i][k] / S[k][k]
            S[i] = [a - factor * b for a, b in zip(S[i], S[k], strict=True)]
    return True


def matrix(rng: np.random.Generator) -> np.ndarray:
    """Of any condition, with rows, columns or all of it in other units."""
    n = int(rng.integers(1, 7))
    m = n + int(rng.integers(0, 5))
    B = rng.normal(size=(m, n))
    match int(rng.integers(6)):
        case 0:
            B[:, 0] = B[:, -1] + rng.normal(size=m) * 10.0 ** -rng.integers(4, 17)
        case 1:
            B = rng.integers(-1, 2, (m, n)) * 1.0
        case 2:
            B *= 10.0 ** rng.integers(-8, 9, n)
        case 3:
            B *= 10.0 ** rng.integers(-8, 9, (m, 1))
        case 4:
            B = np.where(rng.random((m, n)) < 0.5, 0.0, B)
    return B * 2.0 ** int(rng.choice(SCALES))


@pytest.mark.parametrize("seed", range(3))
def test_no_singular_value_is_said_to_be_larger_than_it_is(seed: int):
    rng, found = np.random.default_rng(seed), Counter[str]()
    for _ in range(250):
        B = matrix(rng)
        with np.errstate(all="ignore"):
            s = float(np.linalg.svd(B, compute_uv=False)[-1]) * float(rng.choice([0.0, *AROUND]))
        s = float(np.nextafter(s, np.inf)) if rng.random() < 0.2 else s
        T = np.ascontiguousarray(B.T) if rng.random() < 0.4 else B
        with np.errstate(all="ignore"):
            said = {
                "dense": matrices.singular_values_exceed(T, s),
                "sparse": matrices.singular_values_exceed(sparse.csr_array(T), s),
                "inverse": matrices._inverse_exceeds(T, s, 10**9),
                "integers": exact.singular_values_exceed(T, s),
            }
        assert not any(said.values()) or is_above(B, s), (B, s, said)
        found.update(name for name, yes in said.items() if yes)
    assert min(found[name] for name in ("dense", "sparse", "inverse", "integers")) > 25


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.999])
def test_whatever_is_taken_for_an_inverse_proves_nothing_false(share: float):
    B = np.diag([3.0, 1.0, 2.0])
    taken = {"left_inverse": lambda T: (T, share * np.linalg.inv(T))}
    with patch.multiple(matrices, **taken), patch.multiple(exact, **taken):
        for s in (2.0**-20, 0.5, 0.999, 1.0, 1.001, 1.5):
            said = matrices._inverse_exceeds(B, s, 10**9), exact.singular_values_exceed(B, s)
            assert not any(said) or (s < 1.0 and share > 0.25)


def test_rounding_of_products_is_never_taken_for_independence():
    rng = np.random.default_rng(0)
    for n in (3, 5):
        for _ in range(20):
            B = np.concatenate([rng.normal(size=(2 * n, n - 1)), np.zeros((2 * n, 1))], axis=1)
            B[:, -1] = B[:, 0] * 3.0 + B[:, 1] * 2.0**-30  # up to rounding
            assert not matrices.singular_values_exceed(B, 0.0) or is_above(B, 0.0)
            assert not matrices.is_definite(B.T @ B, matrices.norm_above(B), 2 * n, 2.0**-40)
