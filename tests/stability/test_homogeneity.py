"""Units of measure do not matter: inputs, hidden numbers and outputs times powers of two scale every number exactly.

The same question in other units has the same floats but for their exponents, so that nothing absolute may decide.
"""

from __future__ import annotations

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.convolution import Convolution
from fiberscope.network.stage import Stage, affine_stage

UNITS = [(-37, 0, 0), (0, 45, 0), (0, 0, -51), (23, -60, 41), (-3, 7, 60)]
"""Exponents for inputs, hidden numbers and outputs; odd ones, whose roots are no powers of two."""


def scales(within):
    """Those, or smaller ones: the smallest float32 is a number of its own, 2**-126, which an allowance for it has."""
    return [tuple(np.sign(u) * np.abs(u) // 4) for u in np.array(UNITS)] if within == "float32" else UNITS


def maps(kind):
    """A and b of two layers, as what makes a map of them."""
    generator = np.random.default_rng(3)
    if kind == "dense":
        A, B = generator.standard_normal((24, 3)), generator.standard_normal((40, 24))
        return Dense, (A, 0.3 * generator.standard_normal(24)), (B, 0.3 * generator.standard_normal(40)), (3,)

    def convolution(weight, bias):
        sides = {9: (1, 9, 9), 6: (9, 7, 7)}[weight.shape[0]]
        return Convolution(weight, sides, bias)

    A, B = generator.standard_normal((9, 1, 3, 3)), generator.standard_normal((6, 9, 2, 2))
    return convolution, (A, 0.3 * generator.standard_normal(9)), (B, 0.3 * generator.standard_normal(6)), (1, 9, 9)


def in_units(kind, units):
    """The network where inputs, hidden numbers and outputs are 2**units times as large."""
    make, (A, b), (B, c), shape = maps(kind)
    i, h, o = units
    first, second = make(np.ldexp(A, h - i), np.ldexp(b, h)), make(np.ldexp(B, o - h), np.ldexp(c, o))
    stages: list[Stage] = []
    for number, affine in enumerate((first, second)):
        relu = Pointwise(PointwiseKind.RELU, affine.outputs)
        stages += [affine_stage(f"affine {number}", affine), Stage(f"relu {number}", activation=relu)]
    return fs.Network(tuple(stages), shape)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_moduli_and_radii(kind):
    shape = maps(kind)[-1]
    x = np.random.default_rng(5).random(shape)
    near = 1e-3
    one, ball = (
        fs.stability_radius(in_units(kind, (0, 0, 0)), x),
        fs.inverse_modulus(in_units(kind, (0, 0, 0)), x, near),
    )
    assert one.radius > one.region_distance
    assert 0 < ball.lower < ball.upper
    for units in UNITS:
        i, _, o = units
        network, point = in_units(kind, units), np.ldexp(x, i)
        other = fs.stability_radius(network, point)
        assert np.ldexp([other.radius, other.region_distance], -i).tolist() == [one.radius, one.region_distance]
        assert np.ldexp(other.lower, i - o) == one.lower
        assert other.verify()
        found = fs.inverse_modulus(network, point, float(np.ldexp(near, i)))
        assert np.ldexp([found.lower, found.upper], i - o).tolist() == [ball.lower, ball.upper]
        assert (found.rows, found.unsure) == (ball.rows, ball.unsure)


def test_injectivity_on_a_box():
    generator = np.random.default_rng(5)
    A, b = generator.standard_normal((12, 2)), 0.1 * generator.standard_normal(12) + 0.3
    one = fs.injectivity(fs.ReLULayer(A, b), fs.Box(-1, 1), 30)
    assert one.holds
    for i, _, o in UNITS:
        side = 2.0**i
        other = fs.injectivity(fs.ReLULayer(np.ldexp(A, o - i), np.ldexp(b, o)), fs.Box(-side, side), 30)
        assert (other.holds, other.nodes) == (one.holds, one.nodes)
        assert np.ldexp([other.lower, other.upper], i - o).tolist() == [one.lower, one.upper]


@pytest.mark.parametrize("within", [0.0, 2.0**-6, "float32"])
def test_walks_with_features_up_to_eps(within):
    x, target = np.random.default_rng(7).random((2, 3))
    walk = fs.walk_regions(in_units("dense", (0, 0, 0)), x, target, 1, fs.Box(0, 1), max_regions=4, within=within)
    for units in scales(within):
        i, _, o = units
        eps = within if isinstance(within, str) else float(np.ldexp(within, o))
        network, box = in_units("dense", units), fs.Box(0, 2.0**i)
        other = fs.walk_regions(network, np.ldexp(x, i), np.ldexp(target, i), 1, box, max_regions=4, within=eps)
        assert np.ldexp(other.x, -i).tolist() == walk.x.tolist()
        assert [visit.outcome for visit in other.visits] == [visit.outcome for visit in walk.visits]
        assert (other.ended, bool(other.verify())) == (walk.ended, bool(walk.verify()))


@pytest.mark.parametrize("within", [0.0, 2.0**-6, "float32"])
@pytest.mark.parametrize("objective", ["towards", "nearest_l2"])
def test_examples_with_features_up_to_eps(within, objective):
    x, target = np.random.default_rng(8).random((2, 3))
    options = {"objective": objective}
    one = fs.invariance_example(in_units("dense", (0, 0, 0)), x, target, 0, fs.Box(0, 1), within=within, **options)
    for units in scales(within):
        i, h, _ = units
        eps = within if isinstance(within, str) else float(np.ldexp(within, h))
        network, box = in_units("dense", units), fs.Box(0, 2.0**i)
        other = fs.invariance_example(network, np.ldexp(x, i), np.ldexp(target, i), 0, box, within=eps, **options)
        assert np.ldexp(other.x, -i).tolist() == one.x.tolist()
        assert np.ldexp(other.feature_bound, -h) == one.feature_bound
        assert np.ldexp(other.within, -h).tolist() == np.asarray(one.within).tolist()
        assert bool(other.verify()) == bool(one.verify())
