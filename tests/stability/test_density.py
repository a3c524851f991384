"""Densities of singular values from products: moments that are exact, counts whose errors follow theory, brackets."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

import fiberscope as fs
from fiberscope.stability.density import SpectralDensity, probe, spectral_density
from known_spectra import truth, with_spectrum


def smaller_gram(A):
    return A.T @ A if A.shape[0] >= A.shape[1] else A @ A.T


MATRICES = {
    "tall": with_spectrum(np.linspace(0.1, 2, 60), 90, 60),
    "wide": with_spectrum(np.linspace(0.1, 2, 60), 60, 90),
    "clusters": with_spectrum(np.repeat([3.0, 1.0, 0.2], 20), 70, 60),
    "decay": with_spectrum(1 / np.arange(1, 61.0), 60, 60),
    "low rank": with_spectrum(np.linspace(1, 2, 9), 60, 70),
}


@pytest.fixture(params=sorted(MATRICES), name="A")
def _matrix(request):
    return MATRICES[request.param]


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_moments_of_every_probe_are_exact_up_to_twice_the_steps(A, steps):
    density = spectral_density(A, probes=3, steps=steps, seed=4)
    G = smaller_gram(A)
    for i in range(3):
        z = probe(len(G), 4, i)
        assert np.linalg.norm(z) == pytest.approx(1.0, rel=1e-14)
        power = z.copy()
        for degree in range(2 * steps):
            quadrature = (density.weights[i] * density.nodes[i] ** (2 * degree)).sum()
            assert quadrature == pytest.approx(z @ power, rel=1e-10)
            power = G @ power
    if steps < 5 and not density.complete.any():  # and not exact beyond: the last one differs
        assert quadrature_error(density, power, z, steps) > 1e-6


def quadrature_error(density, power, z, steps):
    exact = z @ power
    return abs((density.weights[2] * density.nodes[2] ** (4 * steps)).sum() - exact) / exact


def test_moments_estimate_traces_within_their_standard_errors(A):
    density = spectral_density(A, probes=100, steps=4)
    for power in range(8):
        estimate, error = density.moment(power)
        exact = (truth(A) ** (2 * power)).sum()
        assert abs(estimate - exact) <= 4.5 * error + 1e-12 * exact
        assert error <= 0.5 * exact
    assert density.moment(0) == pytest.approx((60.0, 0.0), abs=1e-10)


def test_complete_quadratures_have_the_singular_values_as_nodes():
    values = np.geomspace(1e2, 1e-10, 30)
    density = spectral_density(with_spectrum(values, 45, 30), probes=4, steps=100)
    assert density.nodes.shape == (4, 30)
    assert density.complete.all()
    np.testing.assert_allclose(density.nodes, np.tile(values, (4, 1)), rtol=1e-6, atol=density.floor)
    assert density.floor < 5e-12
    assert density.rank() == pytest.approx((30.0, 0.0), abs=1e-9)


def exact_count(A, points):
    return (truth(A)[:, None] <= np.asarray(points) + 1e-9).sum(axis=0)


def test_counts_lie_within_their_standard_errors_as_often_as_theory_says():
    """Student's t with 9 degrees of freedom: 66% within one standard error, 95% within 2.26; 200 trials."""
    A = MATRICES["clusters"]
    exact = exact_count(A, [0.5])[0]
    scores = []
    for seed in range(200):
        estimate, error = spectral_density(A, probes=10, steps=5, seed=seed).cumulative([0.5])
        scores.append(abs(estimate[0] - exact) / error[0])
    within = np.array(scores)
    assert 0.52 <= (within <= 1).mean() <= 0.80
    assert 0.89 <= (within <= 2.26).mean() <= 0.99


def test_standard_errors_are_those_of_projections_onto_the_sphere():
    """``z^T P z``, P a projection of rank r, is Beta(r / 2, (p - r) / 2), of variance 2 r (p - r) / (p + 2) / p^2."""
    density = spectral_density(MATRICES["clusters"], probes=400, steps=5)
    estimate, error = density.cumulative([0.5])
    expected = np.sqrt(2 * 20 * 40 / 62 / 400)
    assert error[0] == pytest.approx(expected, rel=0.15)
    assert abs(estimate[0] - 20) <= 4 * expected


def test_rank_of_low_rank_maps():
    A = MATRICES["low rank"]
    density = spectral_density(A, probes=60, steps=20)
    assert density.complete.all()
    for tolerance in (None, 1e-10, 0.5):
        estimate, error = density.rank(tolerance)
        assert abs(estimate - 9) <= 4 * error
        assert 0 < error < 1
    assert density.rank(3.0) == pytest.approx((0.0, 0.0), abs=1e-12)
    full, error = spectral_density(MATRICES["tall"], steps=60).rank()
    assert (full, error) == pytest.approx((60.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("steps", [1, 3, 8, 20, 60])
def test_brackets_hold_the_exact_distribution_of_each_probe(A, steps):
    """The distribution that infinitely many steps would give is known from the eigenvectors."""
    density = spectral_density(A, probes=5, steps=steps, seed=2)
    eigenvalues, vectors = np.linalg.eigh(smaller_gram(A))
    sigma = np.sqrt(np.maximum(eigenvalues, 0))
    points = np.r_[0.0, 1e-6, np.linspace(0.05, 3.5, 60)]
    exact = np.zeros(len(points))
    for i in range(5):
        shares = (vectors.T @ probe(len(sigma), 2, i)) ** 2
        exact += 60 * ((sigma[:, None] <= points + 1e-7) * shares[:, None]).sum(axis=0) / 5
    low, high = density.bracket(points)
    estimate, _ = density.cumulative(points)
    assert (low <= exact + 1e-6).all()
    assert (exact <= high + 1e-6).all()
    assert (low <= estimate + 1e-12).all()
    assert (estimate <= high + 1e-12).all()
    if density.complete.all():
        np.testing.assert_allclose(high, low, atol=1e-12)


def test_brackets_narrow_with_steps_and_resolutions_too():
    A = with_spectrum(np.linspace(0.1, 2, 300), 300, 300)
    widths, gaps = [], []
    for steps in (5, 10, 20, 40):
        density = spectral_density(A, probes=4, steps=steps)
        low, high = density.bracket([1.0])
        below, above = density.resolution(1.0)
        widths.append(high[0] - low[0])
        gaps.append(above - below)
        assert below <= 1.0 < above
    assert (np.diff(widths) < 0).all()
    assert (np.diff(gaps) < 0).all()
    assert widths[-1] < 40


def test_nodes_at_a_point_count_as_on_it():
    density = spectral_density(3 * np.eye(50), probes=8, steps=5)
    assert density.cumulative([3.0, 2.999])[0] == pytest.approx([50.0, 0.0])
    assert density.rank(3.0)[0] == pytest.approx(0.0)
    assert density.histogram([3.0, 4.0])[0] == pytest.approx([50.0])
    assert density.resolution(2.0) == (-np.inf, pytest.approx(3.0))
    assert density.resolution(3.0) == (pytest.approx(3.0), np.inf)


def test_histograms_are_differences_of_counts(A):
    density = spectral_density(A, probes=6, steps=10)
    edges = np.array([0.0, 0.13, 0.45, 1.05, 5.0])
    counts, errors = density.histogram(edges)
    cumulative, _ = density.cumulative(edges)
    np.testing.assert_allclose(counts[1:], np.diff(cumulative)[1:], atol=1e-10)
    assert counts.sum() == pytest.approx(60.0)  # zeros are in the first bin
    assert errors.shape == (4,)
    inside = (density.nodes > 0.45) & (density.nodes <= 1.05)
    samples = 60 * (density.weights * inside).sum(axis=1)
    assert errors[2] == pytest.approx(samples.std(ddof=1) / np.sqrt(6), abs=1e-9)


def test_quantiles_and_the_range_that_chance_explains():
    """The range is one standard error wide to either side: it holds the true quantile in most of 40 trials."""
    values = np.linspace(0.1, 2, 80)
    A = with_spectrum(values, 80, 80)
    held = 0
    for seed in range(40):
        estimate, low, high = spectral_density(A, probes=10, steps=80, seed=seed).quantile(0.25)
        assert low <= estimate <= high
        assert abs(estimate - np.quantile(values, 0.25)) < 0.3
        held += low <= values[19] + 1e-9 and values[19] - 1e-9 <= high
    assert 20 <= held <= 38


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_result_does_not_depend_on_the_batch(A, batch):
    whole, parts = spectral_density(A, probes=7, steps=9), spectral_density(A, probes=7, steps=9, batch=batch)
    points = [0.05, 0.15, 0.6, 1.2, 1.9]  # where there are no nodes
    for estimates, expected in zip(parts.cumulative(points), whole.cumulative(points), strict=True):
        np.testing.assert_allclose(estimates, expected, rtol=1e-6, atol=1e-6)
    for power in range(18):
        assert parts.moment(power) == pytest.approx(whole.moment(power), rel=1e-9, abs=1e-9)


def test_the_result_depends_on_the_seed():
    A = MATRICES["tall"]
    first, again, other = (spectral_density(A, probes=2, steps=5, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.nodes, again.nodes)
    assert not np.allclose(first.nodes, other.nodes)


class Counting:
    """A map that counts the vectors it is multiplied with, and how many came together."""

    def __init__(self, A, counts):
        self.A, self.counts = A, counts

    @property
    def shape(self):
        return self.A.shape

    @property
    def T(self):  # noqa: N802
        return Counting(self.A.T, self.counts)

    def __matmul__(self, v):
        self.counts.append(v.shape[1])
        return self.A @ v


@pytest.mark.parametrize(("batch", "together"), [(None, 6), (1, 1), (4, 4)])
def test_products_are_counted_and_come_in_batches(batch, together):
    counts, seen = [], []
    J = Counting(MATRICES["tall"], counts)
    density = spectral_density(J, probes=6, steps=8, batch=batch, progress=lambda *at: seen.append(at))
    assert density.products == sum(counts) == 2 + 6 * (2 * 8 - 1)
    assert max(counts) == together
    assert seen[-1] == (density.products, density.products)
    assert len({most for _, most in seen}) == 1


def test_complete_probes_stop_early_and_save_products():
    counts = []
    density = spectral_density(Counting(MATRICES["low rank"], counts), probes=5, steps=40)
    assert density.complete.all()
    assert density.products == sum(counts) <= 2 + 5 * 2 * 11
    np.testing.assert_allclose(density.nodes[:, :10], np.tile([*np.linspace(2, 1, 9), 0.0], (5, 1)), atol=1e-9)
    assert (density.weights[:, 10:] == 0).all()


def test_multiple_values_are_one_node_however_long_the_run():
    density = spectral_density(MATRICES["clusters"], probes=5, steps=40)
    np.testing.assert_allclose(density.nodes[:, :3], np.tile([3.0, 1.0, 0.2], (5, 1)), rtol=1e-9)
    assert (density.weights[:, :3] > 0.05).all()
    assert (density.weights[:, 3:] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (7, 4)])
def test_the_zero_map(shape):
    density = spectral_density(np.zeros(shape))
    assert density.size == min(shape)
    assert not density.nodes.any()
    assert density.rank() == pytest.approx((0.0, 0.0))
    assert density.complete.all()
    assert density.quantile(0.5) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("factor", [1e-250, 1e-150, 1e150])
def test_maps_of_any_size(factor):
    A = MATRICES["tall"]
    plain, scaled = spectral_density(A, steps=10), spectral_density(A * factor, steps=10)
    np.testing.assert_allclose(scaled.nodes / factor, plain.nodes, rtol=1e-8)
    assert scaled.rank(0.5 * factor) == pytest.approx(plain.rank(0.5))


def test_sparse_maps_and_linearizations():
    import torch

    A = MATRICES["decay"]
    sparse = spectral_density(scipy.sparse.csr_array(A), steps=8)
    np.testing.assert_allclose(sparse.nodes, spectral_density(A, steps=8).nodes, rtol=1e-9)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3)).eval()
    J = fs.linearize(fs.from_torch(module, input_shape=(2, 7, 7)), np.ones((2, 7, 7)) * 0.3)
    density = spectral_density(J, probes=40, steps=75)
    exact = truth(J.matrix())
    middle = float(np.sqrt(exact[30] * exact[31]))
    estimate, error = density.rank(middle)
    assert abs(estimate - 31) <= 4 * error


BAD_CALLS = {
    "one probe": (lambda: spectral_density(np.eye(3), probes=1), "probes", "at least 2"),
    "no steps": (lambda: spectral_density(np.eye(3), steps=0), "steps", "at least 1"),
    "empty batch": (lambda: spectral_density(np.eye(3), batch=0), "batch", "at least 1"),
    "negative seed": (lambda: spectral_density(np.eye(3), seed=-1), "seed", "at least 0"),
    "NaN": (lambda: spectral_density(np.array([[np.nan]])), "J @ v", "finite"),
    "no map": (lambda: spectral_density("J"), "J", "linear map"),
    "no points": (lambda: small().cumulative([]), "points", "at least one"),
    "NaN point": (lambda: small().cumulative([np.nan]), "points", "finite"),
    "matrix of points": (lambda: small().bracket([[1.0]]), "points", "shape"),
    "infinite point": (lambda: small().resolution(np.inf), "point", "finite"),
    "one edge": (lambda: small().histogram([1.0]), "edges", "two or more"),
    "edges descend": (lambda: small().histogram([1.0, 0.0]), "edges", "above"),
    "equal edges": (lambda: small().histogram([1.0, 1.0]), "edges", "above"),
    "tolerance in the rounding": (lambda: small().rank(1e-17), "tolerance", "4 max(m, n) eps"),
    "negative tolerance": (lambda: small().rank(-1.0), "tolerance", "at least"),
    "NaN tolerance": (lambda: small().rank(np.nan), "tolerance", "finite"),
    "power too high": (lambda: small().moment(4), "power", "at most 3"),
    "negative power": (lambda: small().moment(-1), "power", "at least 0"),
    "share 0": (lambda: small().quantile(0.0), "share", "(0, 1)"),
    "share NaN": (lambda: small().quantile(np.nan), "share", "(0, 1)"),
}


def small() -> SpectralDensity:
    return spectral_density(np.diag([1.0, 2.0, 3.0]), probes=3, steps=2)


@pytest.mark.parametrize("name", sorted(BAD_CALLS))
def test_bad_input_is_refused_with_what_was_expected(name):
    call, what, words = BAD_CALLS[name]
    with pytest.raises(fs.InputError) as caught:
        call()
    assert caught.value.what == what
    assert words in caught.value.expected


def test_ctrl_c_comes_through():
    def interrupt(products, most):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spectral_density(np.eye(3), progress=interrupt)


@pytest.mark.parametrize("k", [-400, 400])
def test_moments_scale_with_the_map(k):
    A = np.random.default_rng(0).standard_normal((9, 6))
    found = spectral_density(np.ldexp(A, k), steps=3).moment(1)
    np.testing.assert_allclose(np.ldexp(found, -2 * k), spectral_density(A, steps=3).moment(1), rtol=1e-12)
    if k > 0:
        with pytest.raises(fs.InputError, match=r"moment\(2\).*largest number of float64"):
            spectral_density(np.ldexp(A, k), steps=3).moment(2)
