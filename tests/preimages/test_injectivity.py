"""Injectivity on domains: against all linear regions of small layers, known constructions, and changed claims."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import fiberscope as fs

ROOM = 1e-7
"""Regions thinner than that are none: with small integers they are far wider."""


def smallest_of_all_regions(A, b, low, high):
    """min sigma_min(A_on) over all sign patterns whose region has an interior in the box; 0 where rank is lost."""
    seen = A.any(axis=1) | (b != 0)  # a row of zeros has no sides
    A, b = A[seen], b[seen]
    m, n = A.shape
    least = np.inf
    for signs in product((-1.0, 1.0), repeat=m):
        s = np.array(signs)
        # s (A x + b) >= t, low + t <= x <= high - t, as wide as possible
        rows = np.concatenate(
            [np.c_[-s[:, None] * A, np.ones(m)], np.c_[np.eye(n), np.ones(n)], np.c_[-np.eye(n), np.ones(n)]]
        )
        sides = np.concatenate([s * b, np.full(n, high), np.full(n, -low)])
        found = linprog([0.0] * n + [-1.0], A_ub=rows, b_ub=sides, bounds=[(None, None)] * n + [(None, 1.0)])
        if found.status == 0 and -found.fun > ROOM:
            J = A[s > 0]
            values = np.linalg.svd(J, compute_uv=False) if len(J) >= n else np.zeros(1)
            least = min(least, 0.0 if values[-1] < 1e-9 else float(values[-1]))
    return least


def ratio(layer, X, Y):
    apart = np.linalg.norm(X - Y, axis=1)
    moved = np.linalg.norm(layer(X) - layer(Y), axis=1)
    return float((moved[apart > 0] / apart[apart > 0]).min())


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("seed", range(12))
def test_small_layers_against_all_of_their_regions(seed):
    generator = np.random.default_rng(seed)
    n = 2 if seed % 3 else 1
    A = generator.integers(-3, 4, (6, n)).astype(float)
    b = generator.integers(-2, 5, 6).astype(float)
    layer, domain = fs.ReLULayer(A, b), fs.Box(-1.0, 1.5)
    exact = smallest_of_all_regions(A, b, -1.0, 1.5)
    found = fs.injectivity(layer, domain, 10)
    assert found.holds is (exact > 0)
    assert found.verify()
    if found.holds:
        X = generator.uniform(-1.0, 1.5, (3000, n))
        assert exact * 0.99 / np.sqrt(2) <= found.lower <= exact / np.sqrt(2) * (1 + 1e-9)
        assert found.lower <= ratio(layer, X, generator.permutation(X)) * (1 + 1e-8)
        assert exact * (1 - 1e-9) <= found.upper <= exact * 1.01
    else:
        x, other = found.witness
        assert np.abs(other - x).max() > 1e-3
        assert np.allclose(layer(x), layer(other), atol=1e-9)


def orthogonal(n):
    return np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]


def mercedes_benz():
    angles = np.pi / 2 + 2 * np.pi / 3 * np.arange(3)
    return np.c_[np.cos(angles), np.sin(angles)]


def icosahedron():
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0.0, s, t * golden) for s in (-1.0, 1.0) for t in (-1.0, 1.0)]
    return np.array([np.roll(corner, k) for corner in corners for k in range(3)]) / np.hypot(1.0, golden)


@pytest.mark.parametrize(
    ("A", "b", "domain", "holds"),
    [
        (np.r_[np.eye(3), -np.eye(3)], None, None, True),  # concatenated ReLU
        (np.r_[orthogonal(4), -orthogonal(4)], None, None, True),
        (np.r_[orthogonal(3), -2.0 * orthogonal(3)], None, None, True),
        (np.r_[np.eye(3), -np.eye(3)], -0.1 * np.ones(6), None, False),  # it is blind around 0
        (np.r_[np.eye(3), -np.eye(3)], 0.1 * np.ones(6), None, True),
        (orthogonal(3), None, None, False),  # fewer than 2n rows never do on R^n
        (np.eye(3), None, fs.NonNegative(), True),
        (np.eye(3), -0.5 * np.ones(3), fs.NonNegative(), False),
        (np.eye(2), None, fs.HalfSpaces([[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]), True),
        (np.array([[1.0, -1.0]]), None, fs.Box([0.0, 0.25], [1.0, 0.25]), False),  # blind where x1 < x2
        (np.array([[1.0, -1.0]]), None, fs.Box([0.5, 0.25], [1.0, 0.25]), True),  # the second coordinate is fixed
        (np.array([[1.0, 0.0]]), None, fs.Box(0.0, 1.0), False),
        (mercedes_benz(), None, None, False),  # at most two of three rows are on: one in their middles
        (icosahedron(), None, None, True),  # every half of the sphere has vertices that span it
        (
            icosahedron(),
            -0.1 * np.ones(12),
            fs.Box(-0.05, 0.05),
            False,
        ),  # Haider et al.: all are off around 0
        (np.r_[np.eye(3), -np.ones((1, 3))], np.zeros(4), None, False),
    ],
)
def test_constructions_with_known_answers(A, b, domain, holds):
    found = fs.injectivity(fs.ReLULayer(A, b), domain, 20)
    assert found.holds is holds
    assert found.verify()
    assert (found.lower > 0) is holds


def test_the_modulus_of_a_concatenated_relu_is_between_its_bounds():
    # on [1; -1], |F(1) - F(-1)| = sqrt(2) for a distance of 2
    found = fs.injectivity(fs.ReLULayer([[1.0], [-1.0]]), None)
    assert found.lower == pytest.approx(np.sqrt(0.5))
    assert found.lower <= np.sqrt(0.5)
    assert found.upper == pytest.approx(1.0)


def test_random_layers_of_r_n_agree_with_regions_met():
    for seed in range(3):
        generator = np.random.default_rng(seed)
        layer = fs.ReLULayer(generator.standard_normal((24, 3)), 0.1 * generator.standard_normal(24))
        found = fs.injectivity(layer, None, 20)
        X = 2.0 * generator.standard_normal((4000, 3))
        stretches = [
            np.linalg.svd(layer.weight[layer(x) > 0], compute_uv=False)[-1] if (layer(x) > 0).sum() >= 3 else 0.0
            for x in X
        ]
        assert found.verify()
        assert found.holds is not None
        if found.holds:
            assert found.lower <= ratio(layer, X, generator.permutation(X)) * (1 + 1e-8)
            assert found.lower * np.sqrt(2) <= min(stretches) * (1 + 1e-9)
            assert found.upper <= min(stretches) * (1 + 1e-6)


def test_scaled_weights_and_inputs_scale_the_bounds():
    generator = np.random.default_rng(5)
    A, b = generator.standard_normal((12, 2)), 0.1 * generator.standard_normal(12) + 0.3
    whole = fs.injectivity(fs.ReLULayer(A, b), fs.Box(-1, 1), 10)
    assert whole.holds
    for k in (-30, 25):
        s = 2.0**k
        weights = fs.injectivity(fs.ReLULayer(s * A, s * b), fs.Box(-1, 1), 10)
        inputs = fs.injectivity(fs.ReLULayer(A / s, b), fs.Box(-s, s), 10)
        assert (weights.lower / s, weights.upper / s) == pytest.approx((whole.lower, whole.upper), rel=1e-3)
        assert (inputs.lower * s, inputs.upper * s) == pytest.approx((whole.lower, whole.upper), rel=1e-3)


def test_without_time_nothing_is_claimed():
    generator = np.random.default_rng(0)
    found = fs.injectivity(fs.ReLULayer(generator.standard_normal((64, 8))), None, 1e-3)
    assert found.holds is None
    assert "time" in found.reason
    assert not found.verify()


def test_one_point_tells_nothing_apart():
    found = fs.injectivity(fs.ReLULayer(np.eye(2)), fs.Box([0.5, -1.0], [0.5, -1.0]))
    assert found.holds
    assert found.lower == np.inf
    assert found.verify()


def with_cover(claim, **parts):
    first, *others = claim.tree
    return replace(claim, tree=(replace(first, **parts), *others))


CHANGES = {
    "a larger modulus": lambda c: replace(c, lower=c.lower * 1.01),
    "a smaller upper bound": lambda c: replace(c, upper=c.lower),
    "another answer": lambda c: replace(c, holds=False),
    "no answer": lambda c: replace(c, holds=None, lower=0.0),
    "all of R^n": lambda c: replace(c, domain=None),
    "another layer": lambda c: replace(c, layer=fs.ReLULayer(c.layer.weight[::-1].copy(), c.layer.bias)),
    "a shorter tree": lambda c: replace(c, tree=c.tree[:-1]),
    "a longer tree": lambda c: replace(c, tree=(*c.tree, c.tree[-1])),
    "no tree": lambda c: replace(c, tree=()),
    "a leaf at the root": lambda c: replace(c, tree=c.tree[-1:]),
    "a larger leaf": lambda c: replace(c, tree=(*c.tree[:-1], replace(c.tree[-1], sigma=1e3))),
    "a leaf of NaN": lambda c: replace(c, tree=(*c.tree[:-1], replace(c.tree[-1], sigma=np.nan))),
    "a cover without a row": lambda c: with_cover(c, cover=c.tree[0].cover[1:]),
    "negative multipliers": lambda c: replace(
        c, tree=(replace(c.tree[0], cover=tuple((r, -v) for r, v in c.tree[0].cover)), *c.tree[1:])
    ),
    "multipliers of 0": lambda c: replace(
        c, tree=(replace(c.tree[0], cover=tuple((r, 0) for r, v in c.tree[0].cover)), *c.tree[1:])
    ),
    "a row that is none": lambda c: with_cover(c, on=((99, 1),)),
    "a row that is not known": lambda c: with_cover(c, on=((0, 10**30),)),
    "a point outside": lambda c: replace(c, point=c.point + 10.0),
    "no direction": lambda c: replace(c, direction=0 * c.direction),
    "words": lambda c: replace(c, tree="tree"),
    "no layer": lambda c: replace(c, layer=None),
}


@pytest.fixture(scope="module")
def proved():
    generator = np.random.default_rng(3)
    A, b = generator.standard_normal((12, 2)), 0.1 * generator.standard_normal(12)
    return fs.injectivity(fs.ReLULayer(A, b), fs.Box(-1, 1), 10)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("change", CHANGES)
def test_changed_claims_are_not_proved(change, proved):
    assert proved.holds
    assert proved.nodes > 5
    assert proved.verify()
    assert not CHANGES[change](proved).verify()


@pytest.mark.usefixtures("unchecked")
def test_changed_witnesses_are_not_proved():
    found = fs.injectivity(fs.ReLULayer(np.eye(2)), None)
    x, other = found.witness
    assert found.verify()
    for changed in (
        replace(found, witness=(x, x)),
        replace(found, witness=(x, other + 5.0)),
        replace(found, witness=(other + 5.0, other)),
        replace(found, witness=None),
        replace(found, layer=fs.ReLULayer(np.r_[np.eye(2), -np.eye(2)])),
        replace(found, domain=fs.NonNegative()),
        replace(found, preimage=None),
        replace(found, lower=0.5, upper=0.5),
        replace(found, holds=True),
    ):
        assert not changed.verify()


@pytest.mark.usefixtures("unchecked")
def test_both_inputs_of_a_witness_lie_in_the_domain():
    layer, domains = fs.ReLULayer(np.eye(2)), [fs.Box(-1, 1), fs.HalfSpaces([[-1.0, -1.0]], [1.0])]
    for domain in domains:
        found = fs.injectivity(layer, domain)
        assert found.holds is False
        assert found.verify()
        x, other = found.witness
        outside = np.where(other > 0, other, -9.0)  # its output is the same
        assert np.allclose(layer(outside), layer(x))
        changed = replace(found, witness=(x, outside))
        assert not changed.verify()
        assert "outside the domain" in changed.verify().reason


def convolution(maps, side, *, sees=2):
    """Windows of a picture; at its border, padding leaves smaller ones."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, maps, sees, padding=1), torch.nn.ReLU())
    return fs.from_torch(module.double().eval(), input_shape=(1, side, side)).relu_layers[0]


@pytest.fixture(scope="module")
def by_windows():
    return fs.injectivity(convolution(24, 5), fs.Box(-1, 1), 20)


def test_a_convolution_is_injective_where_its_windows_are(by_windows):
    assert by_windows.holds
    assert by_windows.windows
    assert by_windows.verify()
    assert by_windows.nodes < 2000, "one question for all windows inside"
    X = np.random.default_rng(0).uniform(-1, 1, (4000, 25))
    near = X + 1e-3 * np.random.default_rng(1).standard_normal(X.shape) * (X > 0)
    assert 0 < by_windows.lower <= ratio(by_windows.layer, X, np.clip(near, -1, 1))
    assert by_windows.lower <= by_windows.upper


def test_windows_that_tell_nothing_decide_nothing():
    found = fs.injectivity(convolution(3, 5), fs.Box(-1, 1), 5)
    assert not found.windows
    assert found.holds is not True


@pytest.mark.usefixtures("unchecked")
def test_changed_windows_are_not_proved(by_windows):
    first, second, *others = by_windows.windows
    assert second.tree is first.tree
    for windows in (
        (second, *others),  # a corner is in no window
        (first, first, second, *others),
        (replace(first, columns=first.columns[:-1]), second, *others),
        (replace(first, columns=second.columns), second, *others),
        (replace(first, rows=first.rows[:3]), second, *others),
        (replace(first, tree=first.tree[:-1]), second, *others),
        (replace(first, rows=(*first.rows, 10**6)), second, *others),
        (replace(first, columns=(-1, *first.columns)), second, *others),
        ("window",),
    ):
        assert not replace(by_windows, windows=windows).verify()
    assert not replace(by_windows, lower=by_windows.lower * 1.01).verify()
    assert not replace(by_windows, windows=()).verify()


def test_lines_are_short(proved):
    assert len(repr(proved)) <= 120
    assert "array" not in repr(proved)
    assert "injective" in repr(proved)


def test_bad_questions():
    layer = fs.ReLULayer(np.eye(2))
    with pytest.raises(fs.InputError, match="domain"):
        fs.injectivity(layer, fs.HalfSpaces([[1.0, 0.0], [-1.0, 0.0]], [0.0, -1.0]))
    with pytest.raises(fs.InputError, match="seconds"):
        fs.injectivity(layer, None, 0)
    with pytest.raises(fs.InputError, match="ReLU"):
        fs.injectivity(fs.ReLULayer(np.eye(2), high=6.0), None)
    with pytest.raises(fs.InputError, match="Box"):
        fs.injectivity(layer, fs.Box([0.0, 0.0, 0.0], 1.0))
