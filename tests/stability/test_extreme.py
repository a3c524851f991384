"""Extreme singular values from products, against known spectra and LAPACK: values, bounds, budgets, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

import fiberscope as fs
from fiberscope.stability.extreme import Which, _residual_bound, extreme_singular_values
from fiberscope.stability.linear_map import LinearMap
from known_spectra import truth, with_spectrum

ONE_SIDED = 0.0
"""Memory in which no vectors of the larger side fit."""


SPECTRA = {
    "tall": (np.linspace(1, 3, 80), 200, 80),
    "wide": (np.linspace(1, 3, 80), 80, 200),
    "square": (1 / np.arange(1, 121.0), 120, 120),
    "geometric": (np.geomspace(1e2, 1e-11, 40), 60, 40),
    "slow": (np.geomspace(1, 0.1, 300), 320, 300),
    "cluster": (np.r_[1 + np.linspace(0, 1e-6, 8), np.linspace(0.9, 0.1, 150)], 170, 160),
    "multiple": (np.r_[np.full(7, 2.0), np.linspace(1.9, 0.5, 200), np.full(7, 0.1)], 230, 220),
    "identical": (np.full(150, 3.0), 150, 180),
    "low rank": (np.linspace(1, 2, 6), 150, 130),
    "rank one": (np.array([5.0]), 90, 110),
    "tiny": (np.array([2.0, 1.0]), 3, 2),
}


@pytest.fixture(params=sorted(SPECTRA), name="case")
def _case(request):
    values, m, n = SPECTRA[request.param]
    return with_spectrum(values, m, n), np.sort(values)[::-1]


def expected(known, A, which, count):
    padded = np.r_[known, np.zeros(min(A.shape))][: min(A.shape)]
    return padded[:count] if which == "largest" else known[-count:]


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_known_spectra_are_found_with_their_multiplicities(case, which):
    A, known = case
    count = min(10, *A.shape)
    found = extreme_singular_values(A, count, which)
    values = expected(known, A, which, count)
    assert len(found.values) == len(values)
    assert found.converged.all()
    rounding = max(A.shape) * 2.3e-16 * known[0]
    np.testing.assert_allclose(found.values, values, rtol=1e-10, atol=8 * rounding)
    assert (found.error_bound <= np.maximum(1e-8 * found.values, 16 * found.rounding)).all()
    assert ("count as zero" in found.reason) == (len(values) < count)
    assert found.products <= 2_000


def test_without_vectors_of_the_larger_side_the_largest_are_as_good(case):
    A, known = case
    count = min(10, *A.shape)
    found = extreme_singular_values(A, count, memory=ONE_SIDED)
    rounding = max(A.shape) * 2.3e-16 * known[0]
    np.testing.assert_allclose(found.values, expected(known, A, "largest", count), rtol=1e-10, atol=8 * rounding)
    assert found.converged.all()


def test_without_vectors_of_the_larger_side_small_values_drown_and_the_result_says_so():
    A = with_spectrum(np.geomspace(1e2, 1e-11, 40), 60, 40)
    found = extreme_singular_values(A, 10, "smallest", memory=ONE_SIDED)
    assert not found.converged.all()
    assert "limits of float64 without vectors of the larger side" in found.reason
    assert (found.values > np.sqrt(60 * 2.2e-16) * 1e2 * 0.5).all()
    assert nearest_distance(A, found).max() <= 0


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("memory", [1e9, ONE_SIDED])
def test_vectors_are_orthonormal_and_belong_to_the_values(case, which, memory):
    A, known = case
    found = extreme_singular_values(A, min(5, *A.shape), which, memory=memory)
    k = len(found.values)
    assert found.left.shape == (A.shape[0], k)
    assert found.right.shape == (A.shape[1], k)
    np.testing.assert_allclose(found.left.T @ found.left, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(found.right.T @ found.right, np.eye(k), atol=1e-12)
    residual = np.hypot(
        np.linalg.norm(A @ found.right - found.left * found.values, axis=0),
        np.linalg.norm(A.T @ found.left - found.right * found.values, axis=0),
    )
    # where a value is within its bound of zero, the bound is from |J v| alone, and u may be any unit vector
    certain = found.error_bound < found.values
    assert (residual[certain] / np.sqrt(2) <= found.error_bound[certain]).all()
    assert (np.diff(found.values) <= 0).all()
    assert known[0] * (1 + 1e-12) >= found.values[0]


def nearest_distance(A, found):
    """By how much the next singular value lies outside the bound of each value."""
    exact = truth(A)
    distance = np.abs(exact[None, :] - found.values[:, None]).min(axis=1)
    return distance - found.error_bound - 4 * max(A.shape) * 2.2e-16 * exact[0] * (found.error_bound > 0)


def random_matrix(generator):
    m, n = (int(d) for d in generator.integers(1, 150, 2))
    rank = int(generator.integers(1, min(m, n) + 1))
    values = 10.0 ** generator.uniform(*np.sort(generator.uniform(-9, 3, 2)), rank)
    if generator.uniform() < 0.4:
        values = np.sort(values)[generator.integers(0, rank, rank)]  # some become multiple
    return with_spectrum(values, m, n, int(generator.integers(1_000_000)))


@pytest.mark.parametrize("seed", range(12))
def test_bounds_are_never_violated_not_even_when_the_search_stops_early(seed):
    """Wide bounds are tested too: the budget ranges from one block to enough."""
    generator = np.random.default_rng(seed)
    early = 0
    for _ in range(12):
        A = random_matrix(generator)
        found = extreme_singular_values(
            A,
            int(generator.integers(1, min(15, *A.shape) + 1)) if min(A.shape) > 1 else 1,
            str(generator.choice(["largest", "smallest"])),
            max_products=int(10 ** generator.uniform(1, 3)),
            memory=float(generator.choice([ONE_SIDED, 1e9])),
            block=int(generator.integers(1, 5)),
            seed=int(generator.integers(1_000_000)),
        )
        early += not found.converged.all()
        assert (nearest_distance(A, found) <= 0).all()
    assert early, "some must have stopped early, or nothing but rounding was tested"


@pytest.mark.parametrize("memory", [1e9, ONE_SIDED])
def test_bounds_are_residuals_and_rounding_and_nothing_more(memory):
    A = with_spectrum(np.linspace(1, 2, 500), 500, 500)
    found = extreme_singular_values(A, 3, max_products=30, memory=memory)
    residual = np.hypot(
        np.linalg.norm(A @ found.right - found.left * found.values, axis=0),
        np.linalg.norm(A.T @ found.left - found.right * found.values, axis=0),
    )
    assert not found.converged.any()
    assert (residual > 1e-3).all()
    np.testing.assert_allclose(found.error_bound, residual / np.sqrt(2) + found.rounding, rtol=1e-9)


def test_zeros_that_are_no_singular_values_are_not_taken_for_some():
    """[0 A; A^T 0] has an eigenvalue 0 for the row that A does not need; the only singular value of A is 1."""
    A, u, v = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]), np.array([[1.0]])
    value = np.array([0.1])
    residual = np.hypot(np.linalg.norm(A @ v - 0.1 * u), np.linalg.norm(A.T @ u - 0.1 * v)) / np.sqrt(2)
    assert residual < 0.9
    assert _residual_bound(A @ v, A.T @ u, u, value, v, 0.0) == pytest.approx([0.9])


def test_values_of_an_early_stop_are_below_the_true_largest_and_above_the_true_smallest():
    A = with_spectrum(np.geomspace(1, 1e-3, 400), 400, 400)
    exact = truth(A)
    largest = extreme_singular_values(A, 5, "largest", max_products=40)
    smallest = extreme_singular_values(A, 5, "smallest", max_products=100)
    assert (largest.values <= exact[:5] * (1 + 1e-13)).all()
    assert (smallest.values >= exact[-5:] * (1 - 1e-10)).all()
    for found in (largest, smallest):
        assert not found.converged.all()
        assert "max_products" in found.reason
        assert "bounds above the tolerance" in found.reason


def test_multiple_values_beyond_the_block_are_found_by_beginning_anew():
    """Multiplicity 12 in diagonal form, where no rounding helps to find copies, and a block of 2."""
    values = np.r_[np.full(12, 1.0), np.linspace(0.9, 0, 500)]
    found = extreme_singular_values(scipy.sparse.diags_array(values), 12, seed=1)
    np.testing.assert_allclose(found.values, 1.0, rtol=1e-12)
    assert found.reason == ""


@pytest.mark.parametrize("copies", [5, 30])
def test_copies_that_turn_up_one_after_the_other_are_all_found(copies):
    """Every new beginning of single vectors finds one copy more."""
    values = np.r_[np.full(copies, 11.0), np.repeat([9.0, 5.0, 2.0], 10), np.geomspace(1, 1e-3, 60)]
    for seed in range(8):
        found = extreme_singular_values(with_spectrum(values, 132, 95 + copies), 4, block=1, seed=seed)
        np.testing.assert_allclose(found.values, 11.0, rtol=1e-12)
        assert found.reason == ""


@pytest.mark.parametrize("block", [1, 2, 7, 40])
def test_every_block_finds_the_same(block):
    A = with_spectrum(np.geomspace(10, 1, 90), 100, 90)
    found = extreme_singular_values(A, 6, block=block)
    np.testing.assert_allclose(found.values, np.geomspace(10, 1, 90)[:6], rtol=1e-11)


class Counting:
    """A map that counts the vectors it is multiplied with, together with its adjoint."""

    def __init__(self, A, counter=None, adjoint=None, after=None):
        self.A, self.counter, self._adjoint, self.after = A, counter if counter is not None else [0], adjoint, after

    @property
    def shape(self):
        return self.A.shape

    @property
    def T(self):  # noqa: N802
        return Counting(self.A.T if self._adjoint is None else self._adjoint, self.counter, self.A, self.after)

    def __matmul__(self, v):
        self.counter[0] += v.shape[1] if v.ndim == 2 else 1
        if self.after is not None and self.counter[0] > self.after:
            return np.full((self.A.shape[0], v.shape[1]), np.nan)
        return self.A @ v


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("budget", [60, 200, 2_000])
def test_products_are_counted_and_bounded(which, budget):
    J = Counting(with_spectrum(np.geomspace(1, 1e-4, 150), 170, 150))
    seen = []
    found = extreme_singular_values(J, 5, which, max_products=budget, progress=lambda *at: seen.append(at))
    assert found.products == J.counter[0] <= budget
    assert [most for _, most in seen] == [budget] * len(seen)
    assert [now for now, _ in seen] == sorted({now for now, _ in seen})
    assert seen[-1][0] <= found.products


def test_the_first_block_is_multiplied_whatever_the_budget():
    found = extreme_singular_values(with_spectrum(np.linspace(1, 2, 90), 90, 90), 5, max_products=1)
    assert 1 <= len(found.values) < 5
    assert "of 5 values were found" in found.reason
    assert not found.converged.any()


def test_the_result_depends_on_the_seed_alone():
    A = with_spectrum(np.linspace(1, 2, 200), 200, 200)
    first, again, other = (extreme_singular_values(A, 3, max_products=60, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.right, again.right)
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (100, 90)])
def test_the_zero_map(shape):
    count = min(3, *shape)
    largest = extreme_singular_values(np.zeros(shape), count)
    assert np.array_equal(largest.values, np.zeros(count))
    assert np.array_equal(largest.error_bound, np.zeros(count))
    assert largest.converged.all()
    assert largest.reason == ""
    np.testing.assert_allclose(largest.right.T @ largest.right, np.eye(count), atol=1e-12)
    smallest = extreme_singular_values(np.zeros(shape), count, "smallest")
    assert smallest.values.shape == (0,)
    assert "zero" in smallest.reason


@pytest.mark.parametrize("factor", [1e-250, 1e-150, 1e150, 1e250])
def test_maps_of_any_size(factor):
    A = with_spectrum(np.linspace(1, 2, 70), 80, 70)
    plain, scaled = extreme_singular_values(A, 4), extreme_singular_values(A * factor, 4)
    np.testing.assert_allclose(scaled.values / factor, plain.values, rtol=1e-12)
    assert (scaled.error_bound / factor < 1e-8 * plain.values).all()


def test_one_number():
    found = extreme_singular_values(np.array([[-3.0]]), 1)
    assert found.values == pytest.approx([3.0], rel=1e-15)
    assert found.left[0, 0] * found.right[0, 0] == pytest.approx(-1.0)


def test_rounding_in_single_precision_widens_the_bounds():
    A = with_spectrum(np.geomspace(1, 0.3, 120), 150, 120)
    single = A.astype(np.float32)

    class Single(Counting):
        @property
        def T(self):  # noqa: N802
            return Single(self.A.T)

        def __matmul__(self, v):
            return self.A @ v.astype(np.float32)

    found = extreme_singular_values(Single(single), 5, tolerance=1e-4)
    exact = truth(single)
    distance = np.abs(exact[None] - found.values[:, None]).min(axis=1)
    assert (distance <= found.error_bound).all()
    assert found.rounding > 1e-8
    assert extreme_singular_values(single.astype(float), 5).rounding < 1e-12


@pytest.mark.parametrize("form", ["dense", "sparse", "float32", "integers", "counting"])
def test_every_form_of_a_map(form):
    A = np.random.default_rng(3).integers(-3, 4, (70, 90)).astype(float)
    forms = {
        "dense": A,
        "sparse": scipy.sparse.csr_array(A),
        "float32": A.astype(np.float32),
        "integers": A.astype(np.int64),
        "counting": Counting(A),
    }
    assert isinstance(forms[form], LinearMap)
    found = extreme_singular_values(forms[form], 4)
    np.testing.assert_allclose(found.values, truth(A)[:4], rtol=1e-12)


def test_the_linearization_of_a_network():
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(6, 3, 3, padding=1), torch.nn.ReLU()
    ).eval()
    net = fs.from_torch(module, input_shape=(2, 8, 8))
    J = fs.linearize(net, np.random.default_rng(1).standard_normal((2, 8, 8)))
    matrix = J.matrix()
    exact = truth(matrix)
    nonzero = exact[exact > 1e-10 * exact[0]]
    largest, smallest = extreme_singular_values(J, 8), extreme_singular_values(J, 3, "smallest")
    np.testing.assert_allclose(largest.values, exact[:8], rtol=1e-11)
    np.testing.assert_allclose(smallest.values, nonzero[-3:], rtol=1e-8)
    assert largest.converged.all()
    assert smallest.converged.all()


A_GOOD = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"count": 0}, "count"),
        ({"count": 4}, "count"),
        ({"count": True}, "count"),
        ({"which": "middle"}, "which"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"max_products": 0}, "max_products"),
        ({"block": 0}, "block"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options_are_refused(options, what):
    with pytest.raises(fs.InputError) as caught:
        extreme_singular_values(A_GOOD, **{"count": 1, **options})
    assert caught.value.what == what


def test_products_that_turn_to_nan_in_the_middle_are_refused():
    J = Counting(with_spectrum(np.linspace(1, 2, 90), 90, 90), after=50)
    with pytest.raises(fs.InputError, match="finite numbers, got nan"):
        extreme_singular_values(J, 3)


def test_ctrl_c_comes_through():
    def interrupt(products, most):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extreme_singular_values(A_GOOD, 1, progress=interrupt)


def test_names_of_the_ends():
    assert extreme_singular_values(A_GOOD, 1, Which.SMALLEST).values == pytest.approx(truth(A_GOOD)[1:2], rel=1e-12)
