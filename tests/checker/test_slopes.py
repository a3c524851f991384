"""What strictly increasing units give, and the slopes of their secants: against numbers of 700 digits, and pairs."""

from __future__ import annotations

import sys
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "recovery"))

from networks import as_rows, in_ball, random_chain

from fiberscope.checker.curves import CLIP, ELU, LEAKY_RELU, SIGMOID, SOFTPLUS, TANH, Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.modulus import modulus, near
from fiberscope.checker.reading import LayerRows
from fiberscope.checker.slopes import images, secants

KINDS = {LEAKY_RELU: (0.25, 1.0), ELU: (1.5, 0.5), SOFTPLUS: (1.0, 2.0), TANH: (1.0, 1.0), SIGMOID: (1.0, 1.0)}


def curves(kind: int, m: int) -> Curves:
    alpha, beta = KINDS.get(kind, (1.0, 1.0))
    return Curves(np.full(m, kind), np.full(m, alpha), np.full(m, beta))


def exact(kind: int, z: float) -> Decimal:
    """The unit's output to all digits asked for, by the decimal module."""
    alpha, beta, t = *map(Decimal, KINDS[kind]), Decimal(z)
    match kind:
        case _ if kind == LEAKY_RELU:
            return t if t >= 0 else alpha * t
        case _ if kind == ELU:
            return t if t >= 0 else alpha * ((t / beta).exp() - 1)
        case _ if kind == SOFTPLUS:
            return (1 + (beta * t).exp()).ln() / beta
        case _ if kind == TANH:
            return 1 - 2 / ((2 * t).exp() + 1)
        case _:
            return 1 / (1 + (-t).exp())


def rounded(kind: int, Z: np.ndarray) -> np.ndarray:
    """The same in long doubles."""
    (alpha, beta), Z = KINDS[kind], Z.astype(np.longdouble)
    if kind == LEAKY_RELU:
        return np.where(Z >= 0, Z, alpha * Z)
    if kind == ELU:
        return np.where(Z >= 0, Z, alpha * np.expm1(np.minimum(Z, 0) / beta))
    if kind == SOFTPLUS:
        return np.logaddexp(0, beta * Z) / beta
    return np.tanh(Z) if kind == TANH else 1 / (1 + np.exp(-Z))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_slopes_of_pairs_lie_in_what_is_said(kind: int):
    generator = np.random.default_rng(kind)
    Z = np.concatenate(
        [generator.normal(size=16) * 10.0 ** generator.integers(-6, 3, 16), [0.0, -0.0, 1.0, -1.0, 30.0]]
    )
    errors = np.abs(Z) * generator.choice([0.0, 2.0**-50, 0.1], len(Z))
    value, doubt = images(curves(kind, len(Z)), Z, errors)
    with localcontext() as context:
        context.prec = 700  # digits: slopes of 1e-300 are what is left of outputs of 1
        for z, error, at, off in zip(Z, errors, value, doubt, strict=True):
            for end in (Decimal(z) - Decimal(error), Decimal(z) + Decimal(error)):
                assert abs(exact(kind, end) - Decimal(at)) <= Decimal(off)
        low, high = Z - errors - 1e-3, Z + errors + 1e-3
        least, most = secants(curves(kind, len(Z)), low, high)
        for a, b, below, above in zip(low, high, least, most, strict=True):
            points = [Decimal(float(point)) for point in np.linspace(a, b, 4)]
            images_of = [exact(kind, point) for point in points]
            slopes = [(images_of[j] - images_of[i]) / (points[j] - points[i]) for i in range(4) for j in range(i)]
            assert Decimal(below) <= min(slopes)
            assert max(slopes) <= Decimal(above)
    assert (least <= most).all()
    assert (doubt[errors == 0] <= 1e-14 * (1 + np.abs(value[errors == 0]))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_ends_far_away_and_infinite_are_held(kind: int):
    far = np.array([1e3, -1e3, 1e9, -1e9, 1e300, -1e300])
    value, doubt = images(curves(kind, 6), far, np.zeros(6))
    for z, at, off in zip(far[:2], value, doubt, strict=False):
        assert abs(float(rounded(kind, np.array([z]))[0]) - at) <= off + 1e-12 * abs(at)
    assert np.isfinite(value).all()
    assert np.isfinite(doubt).all()
    ends = np.array([-np.inf, np.nan, 0.0, -1e300, 1e300, 5.0])
    least, most = secants(curves(kind, 6), ends, np.array([np.inf, np.nan, np.inf, 1e300, 1e300, np.inf]))
    whole = secants(curves(kind, 1), np.array([-1.0]), np.array([1.0]))
    assert (least[[0, 1, 3]] <= whole[0]).all()
    assert (most[[0, 1, 3]] >= whole[1]).all()
    assert (least >= 0).all()
    assert np.isfinite(most).all()


def test_other_units_are_clips_and_unknown_curves_are_refused():
    value, doubt = images(curves(CLIP, 2), np.ones(2), np.zeros(2))
    assert not value.any()
    assert secants(curves(CLIP, 2), -np.ones(2), np.ones(2))[1].tolist() == [1.0, 1.0]
    assert (doubt >= 0).all()
    unknown = Curves.unknown(np.ones(2, dtype=bool))
    for ask in (lambda: images(unknown, np.ones(2), np.zeros(2)), lambda: secants(unknown, -np.ones(2), np.ones(2))):
        with pytest.raises(NotProvedError):
            ask()
    with pytest.raises(NotProvedError, match="beyond float64"):
        images(curves(TANH, 1), np.array([np.inf]), np.zeros(1))


def smooth_chain(generator: np.random.Generator, kind: int, mixed: bool) -> tuple[LayerRows, ...]:
    """Affine maps with curves between them, some units of clips among them, and nothing behind the last."""
    n = int(generator.integers(1, 4))
    widths = (n, *(int(generator.integers(2 * n, 4 * n + 4)) for _ in range(int(generator.integers(2, 4)))))
    chain = list(as_rows(random_chain(generator, widths)))
    for k, rows in enumerate(chain):
        m = len(rows.bias)
        curved = (generator.random(m) < 0.6) | (not mixed)
        if k + 1 == len(chain):
            chain[k] = LayerRows(rows.weight, rows.bias, np.full(m, -np.inf), np.full(m, np.inf), rows.curves)
            continue
        given, clips = curves(kind, m), curves(CLIP, m)
        units = Curves(*(np.where(curved, a, b) for a, b in (
            (given.curve, clips.curve), (given.alpha, clips.alpha), (given.beta, clips.beta)
        )))  # fmt: skip
        low, high = np.where(curved, -np.inf, rows.low), np.where(curved, np.inf, rows.high)
        chain[k] = LayerRows(rows.weight, rows.bias, low, high, units)
    return tuple(chain)


def given(chain: tuple[LayerRows, ...], kind: int, X: np.ndarray) -> np.ndarray:
    X = X.astype(np.longdouble)
    for rows in chain:
        Z = X @ np.asarray(rows.weight).T + rows.bias
        X = np.where(rows.curves.monotone, rounded(kind, Z), np.clip(Z, rows.low, rows.high))
    return X


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_pair_is_closer_than_the_modulus_says_and_near_inputs_are_near(kind: int, mixed: bool):
    generator, proved, found_near = np.random.default_rng(10 + kind), 0, 0
    for _ in range(25):
        chain = smooth_chain(generator, kind, mixed)
        n = chain[0].weight.shape[1]
        center, radius = generator.standard_normal(n), float(10.0 ** generator.uniform(-3, 0))
        lower = modulus(chain, center, radius).lower
        X = in_ball(generator, center, radius, 100)
        Y = generator.permutation(X)
        apart, moved = (
            np.linalg.norm(X - Y, axis=1),
            np.linalg.norm(given(chain, kind, X) - given(chain, kind, Y), axis=1),
        )
        some = apart > 1e-6 * apart.max()
        assert lower <= float((moved[some] / apart[some]).min()) * (1 + 1e-8)
        proved += lower > 0
        y = np.asarray(given(chain, kind, X[:1])[0], dtype=np.float64)
        eps = 1e-3 * radius
        claim = near(chain, center, radius, y - eps, y + eps, 2)
        inside = (np.abs(given(chain, kind, X) - y) <= eps).all(axis=1)
        assert (np.linalg.norm(X[inside] - center, axis=1) <= claim.distance * (1 + 1e-12)).all()
        assert (np.abs(X[inside] - center) <= claim.widths * (1 + 1e-12)).all()
        found_near += claim.distance < radius
    assert proved > 5
    assert found_near > 2


def test_without_the_widths_of_slopes_it_would_be_violated(monkeypatch: pytest.MonkeyPatch):
    def middles(units: Curves, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        least, most = secants(units, low, high)
        return (least + most) / 2, (least + most) / 2

    monkeypatch.setattr("fiberscope.checker.midpoint.secants", middles)
    generator, violated = np.random.default_rng(3), 0
    for _ in range(60):
        chain = smooth_chain(generator, TANH, False)
        center = generator.standard_normal(chain[0].weight.shape[1])
        X = in_ball(generator, center, 2.0, 200)
        Y = generator.permutation(X)
        apart = np.linalg.norm(X - Y, axis=1)
        some = apart > 1e-6 * apart.max()
        moved = np.linalg.norm(given(chain, TANH, X) - given(chain, TANH, Y), axis=1)
        violated += modulus(chain, center, 2.0).lower > float((moved[some] / apart[some]).min())
    assert violated > 5
