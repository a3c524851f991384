"""Error bounds against singular values in 60 digits, for matrices of every size and scale."""

from __future__ import annotations

from collections.abc import Iterator

import mpmath
import numpy as np
import pytest

import fiberscope as fs

METHODS = ("auto", "gram", "qr", "svd")
DIGITS = 60


def exact(A: np.ndarray) -> list[mpmath.mpf]:
    """The singular values, descending."""
    with mpmath.workdps(DIGITS):
        M = mpmath.matrix(A.tolist() if len(A) >= A.shape[1] else A.T.tolist())
        scale = mpmath.mnorm(M, mpmath.inf) or 1
        found = mpmath.svd_r(M / scale, compute_uv=False)
        return sorted((value * scale for value in found), reverse=True)


def off(value: float, true: mpmath.mpf) -> mpmath.mpf:
    with mpmath.workdps(DIGITS):
        return abs(mpmath.mpf(float(value)) - true)


def matrices() -> Iterator[np.ndarray]:
    for seed in range(18):
        generator = np.random.default_rng(seed)
        m, n = (int(size) for size in generator.integers(1, 6, 2))
        normal = generator.standard_normal((m, n))
        yield np.diag(generator.uniform(0.1, 2, m))
        yield normal
        yield generator.integers(-2, 3, (m, n)).astype(float)
        yield generator.standard_normal((m, 1)) @ generator.standard_normal((1, n))
        yield np.diag(2.0 ** generator.integers(-900, 900, m) * generator.uniform(1, 2, m))
        yield normal * 2.0 ** generator.integers(-200, 200, (m, 1))
        yield normal * 2.0 ** generator.choice([-1065, -1040, -600, 600, 1015])


def test_no_value_is_further_off_than_its_bound():
    seen = exceeded = 0
    for A in matrices():
        truth = exact(A)
        for method in METHODS:
            s = fs.singular_values(A, method)
            errors = [off(value, true) for value, true in zip(s.values, truth, strict=True)]
            exceeded += sum(error > bound for error, bound in zip(errors, s.error_bound, strict=True))
            assert s.rank <= sum(true > 0 for true in truth)
            seen += len(truth)
        for which in ("largest", "smallest"):
            e = fs.extreme_singular_values(A, min(A.shape), which)
            for value, bound in zip(e.values, e.error_bound, strict=True):
                exceeded += min(off(value, true) for true in truth) > bound
                seen += 1
    assert (seen > 1000, exceeded) == (True, 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_root_is_rounded(method):
    s = fs.singular_values([[1], [1], [1]], method)
    assert off(s.values[0], mpmath.sqrt(3)) <= s.error_bound[0]
    assert 0 < s.error_bound[0] < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_what_is_lost_below_a_huge_value_is_said(method):
    s = fs.singular_values(np.diag([1e300, 1e-30]), method)
    assert s.rank == 1
    assert abs(s.values[1] - 1e-30) <= s.error_bound[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_value_that_float64_does_not_hold_is_an_error(method):
    with pytest.raises(fs.InputError, match=r"at most 1.798e\+308, .* got about 10\^308.3; divide the map"):
        fs.singular_values(np.full((1, 4), 1e308), method)


GIVEN = np.random.default_rng(3).standard_normal((6, 4))


@pytest.mark.parametrize("k", [-950, -600, 600, 950])
@pytest.mark.parametrize("method", METHODS)
def test_values_and_bounds_scale_with_the_map(method, k):
    s, scaled = (fs.singular_values(A, method) for A in (GIVEN, np.ldexp(GIVEN, k)))
    assert np.array_equal(scaled.values, np.ldexp(s.values, k))
    assert np.array_equal(scaled.error_bound, np.ldexp(s.error_bound, k))
    assert scaled.tolerance == np.ldexp(s.tolerance, k)
    assert (scaled.rank, scaled.condition_number) == (s.rank, s.condition_number)


@pytest.mark.parametrize("k", [-950, 950])
def test_what_is_derived_scales_too(k):
    A, scaled = GIVEN, np.ldexp(GIVEN, k)
    lemma8, lemma9 = fs.interlacing_bound(A, [0, 1, 2]), fs.correlation_bound(A, [0, 1, 2], 4)
    assert fs.interlacing_bound(scaled, [0, 1, 2]) == lemma8.times_power(k)
    assert fs.correlation_bound(scaled, [0, 1, 2], 4) == lemma9.times_power(k)
    assert lemma8.times_power(k).holds
    c = np.array([0.5, 1.0, 2.0])
    counts, again = fs.correlation_counts(A, [0, 1, 2], c), fs.correlation_counts(scaled, [0, 1, 2], np.ldexp(c, k))
    assert np.array_equal(again.counts, counts.counts)
    assert again.best == counts.best.times_power(k)
    extreme = fs.extreme_singular_values(scaled, 2)
    np.testing.assert_allclose(np.ldexp(extreme.values, -k), fs.singular_values(A).values[:2], rtol=1e-10)


def test_the_smallest_of_all_numbers():
    for which in ("largest", "smallest"):
        e = fs.extreme_singular_values(np.array([[5e-324]]), 1, which)
        assert e.values.tolist() == [5e-324]
