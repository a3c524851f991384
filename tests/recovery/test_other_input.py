"""Second inputs with the same features: against numpy in long doubles, and never where the features tell them apart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.recovery.recovery import Scope

sys.path.insert(0, str(Path(__file__).parent))

from networks import as_network, outputs, random_chain

WITHIN = 1e-3


def few_numbers(seed: int, power: int = 0) -> tuple[list, fs.Network, np.ndarray, fs.Recovery]:
    """Features of six inputs that are four numbers or fewer; inputs, biases and features times a power of two."""
    size, chain = 2.0**power, random_chain(np.random.default_rng(seed), (6, 5, 4))
    chain = [(A, b * size, low * size, high * size) for A, b, low, high in chain]
    net, x = as_network(chain), np.random.default_rng(seed + 100).uniform(0.1, 0.9, 6) * size
    y = outputs(chain, x)
    found = fs.recover(net, y, layer=1, within=WITHIN * size, domain=fs.Box(0, size))
    assert isinstance(found, fs.Recovery)
    return chain, net, y, found


def test_a_second_input_has_the_features_as_numpy_computes_them_and_lies_in_the_domain():
    count = 0
    for seed in range(12):
        chain, _, y, found = few_numbers(seed)
        if found.scope is not Scope.NONE or found.other is None:
            continue
        for x in (found.x, found.other):
            exact = outputs([(A.astype(np.longdouble), *rest) for A, *rest in chain], x.astype(np.longdouble))
            assert np.abs(exact - y).max() <= WITHIN
            assert ((x >= 0) & (x <= 1)).all()
        assert found.verify()
        assert "away from the guess" in found.reason
        count += float(np.linalg.norm(found.other - found.x)) > 0.01
    assert count > 3


def with_other() -> fs.Recovery:
    return next(found for seed in range(12) if (found := few_numbers(seed)[3]).other is not None)


def test_changed_second_inputs_are_not_proved():
    r = with_other()
    assert r.scope is Scope.NONE
    false = {
        "the guess": replace(r, other=r.x),
        "another": replace(r, other=np.clip(1.0 - r.other, 0, 1)),
        "another guess": replace(r, x=np.clip(1.0 - r.x, 0, 1)),
        "outside": replace(r, other=r.other + 2.0),
        "fewer numbers": replace(r, other=r.other[:-1]),
        "no numbers": replace(r, other=r.other * np.nan),
        "a text": replace(r, other="x"),
        "more precise": replace(r, within=r.within * 0.0),
        "narrower bounds": replace(r, low=np.maximum(r.low, 0.25)),
        "a distance": replace(r, distance=1.0),
        "a radius": replace(r, radius=1.0),
        "everywhere": replace(r, scope=Scope.DOMAIN),
        "exact": replace(r, exact=True, grid=1 / 255),
        "a smaller domain": replace(r, domain=fs.Box(0, 2.0**-10)),
        "half-spaces": replace(r, domain=fs.Box(0, 1) & fs.HalfSpaces(np.ones((1, 6)), np.zeros(1))),
        "none": replace(r, other=None),
    }
    assert [what for what, claim in false.items() if claim.verify()] == []
    assert r.verify()


def test_where_features_tell_inputs_apart_there_is_none():
    chain = random_chain(np.random.default_rng(0), (3, 30, 40), clips=0.0)
    x = np.full(3, 0.5)
    found = fs.recover(as_network(chain), outputs(chain, x), layer=1, within=0.0)
    assert found.other is None


@pytest.mark.parametrize("power", [-30, 30])
def test_powers_of_two_scale_the_second_input(power: int):
    seed = next(seed for seed in range(12) if few_numbers(seed)[3].other is not None)
    one, other = few_numbers(seed)[3], few_numbers(seed, power)[3]
    assert other.other is not None
    assert other.verify()
    np.testing.assert_allclose(other.other / 2.0**power, one.other, atol=1e-6)
