"""Distances to the end of a linear region, against rational numbers and square roots of many digits."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import mpmath
import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.checker.region_ends import Ends
from fiberscope.checker.spectra import Written
from fiberscope.checker.stored import read_stages
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage

n, m = 5, 6
WINDOWS = np.array([[0, 1, 2], [3, 2, -1], [4, 0, 5]])
BENDS = {
    "relu": Pointwise(PointwiseKind.RELU, m),
    "leaky": Pointwise(PointwiseKind.LEAKY_RELU, m, slope=np.array([0.3, 1.0, -0.5, 0.1, 2.0, 0.7])),
    "clip": Pointwise(PointwiseKind.CLIP, m, alpha=-0.25, beta=0.5),
    "pool": Maximum(WINDOWS, m),
}


def network(name: str, seed: int, exponent: int, *, dead: bool) -> Network:
    """Two affine maps, with a bend behind each of them; numbers grow by a power of two."""
    rng, bend = np.random.default_rng(seed), BENDS[name]
    first, second = rng.standard_normal((m, n)), rng.standard_normal((m, 3 if name == "pool" else m))
    if dead:
        first[2] = second[4] = 0.0
    bias = np.ldexp(rng.standard_normal(m) * ~(dead & (np.arange(m) == 2)), exponent)
    maps = [Dense(np.ldexp(first, exponent), bias), Dense(second, rng.standard_normal(m))]
    stages = (
        affine_stage("first", maps[0]),
        Stage("bend", activation=bend),
        affine_stage("second", maps[1]),
        Stage("again", activation=bend),
    )
    return Network(stages, (n,))


def exact_ends(name: str, seed: int, exponent: int, x: np.ndarray, *, dead: bool) -> list[mpmath.mpf]:
    """The distances of the two bends, by rational numbers."""
    found: list[mpmath.mpf] = []
    z, J = np.array([Fraction(v) for v in x]), np.array([[Fraction(int(i == j)) for j in range(n)] for i in range(n)])
    nearest = mpmath.mpf(inf)
    for stage in (0, 2):
        affine = network(name, seed, exponent, dead=dead).stages[stage].maps[0]
        assert isinstance(affine, Dense)
        A = np.array([[Fraction(float(v)) for v in row] for row in affine.weight])
        z, J = A @ z + np.array([Fraction(float(v)) for v in affine.bias]), A @ J
        for gap, row in comparisons(name, z, J):
            square = sum(v * v for v in row)
            if square:
                length = mpmath.sqrt(mpmath.mpf(square.numerator) / square.denominator)
                nearest = min(nearest, mpmath.mpf(gap.numerator) / gap.denominator / length)
        found.append(nearest)
        z, J = behind(name, z, J)
    return found


def comparisons(name: str, z: np.ndarray, J: np.ndarray) -> list[tuple[Fraction, np.ndarray]]:
    if name == "pool":
        found = []
        for window in WINDOWS:
            places = [i for i in window if i >= 0]
            winner = max(places, key=lambda i: z[i])
            found += [(z[winner] - z[i], J[winner] - J[i]) for i in places if i != winner]
        return found
    kinks = (Fraction(-1, 4), Fraction(1, 2)) if name == "clip" else (Fraction(0),)
    bent = BENDS["leaky"].slope if name == "leaky" else np.zeros(m)
    return [(abs(z[i] - t), J[i]) for i in range(m) for t in kinks if bent[i] != 1.0]


def behind(name: str, z: np.ndarray, J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if name == "pool":
        winners = [max((i for i in window if i >= 0), key=lambda i: z[i]) for window in WINDOWS]
        return z[winners], J[winners]
    low, high = (Fraction(-1, 4), Fraction(1, 2)) if name == "clip" else (Fraction(0), None)
    slopes = [Fraction(float(v)) for v in (BENDS["leaky"].slope if name == "leaky" else np.zeros(m))]
    slope = [Fraction(1) if v > low and (high is None or v < high) else s for v, s in zip(z, slopes, strict=True)]
    bent = [min(max(v, low), high) if high is not None else v * s for v, s in zip(z, slope, strict=True)]
    return np.array(bent), J * np.array(slope)[:, None]


def ends_of(net: Network, x: np.ndarray) -> Ends:
    written = Written(read_stages(net.to_bytes()))
    values = {number: value[0].numpy() for number, value in net.stage_outputs(torch.tensor(x)[None])}
    ends = Ends(written.stages, x, values, written.errors(x, values))
    for number, J in written.derivatives(x, np.eye(n), values):
        ends.add(number, J)
    return ends


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("exponent", [0, 30, -30, 200])
@pytest.mark.parametrize("name", BENDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_distance_and_the_computed_one_are_within(name: str, exponent: int, seed: int, *, dead: bool) -> None:
    net, x = network(name, seed, exponent, dead=dead), np.random.default_rng(seed + 10).standard_normal(n)
    ends, right = ends_of(net, x), exact_ends(name, seed, exponent, x, dead=dead)
    for number, exact in zip((1, 3), right, strict=True):
        low, high = ends.within[number]
        assert low <= exact <= high
        if exact < inf:
            assert high - low < 1e-10 * high
        computed = fs.linearize(net, x, number).region_distance
        assert ends.contradicts(number, computed) == ""
        if 0 < computed < inf:
            assert "the region ends" in ends.contradicts(number, computed * (1.0 + 1e-9))
            assert "the region ends" in ends.contradicts(number, computed * (1.0 - 1e-9))
    assert "the region ends" in ends.contradicts(1, None)


def test_on_a_kink_the_distance_is_zero_and_none_behind_what_is_not_bent() -> None:
    net = network("relu", 0, 0, dead=True)
    affine = net.stages[0].maps[0]
    assert isinstance(affine, Dense)
    x = np.linalg.lstsq(np.asarray(affine.weight)[:2], -np.asarray(affine.bias)[:2], rcond=None)[0]
    low, high = ends_of(net, x).within[1]
    assert low == 0.0
    assert high < 1e-12
    assert ends_of(net, x).within[0] == (inf, inf)
