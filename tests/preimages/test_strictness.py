"""Strict directions whose entries differ by orders of magnitude, beside rational numbers."""

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.preimages.budget import NO_LIMIT
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.room_program import roomiest_direction
from fiberscope.preimages.strict_direction import PATIENT_STEPS, strict_direction
from fiberscope.preimages.system import build_at_input

SIDE = 5
n = SIDE * SIDE
LENGTH = 12
NONE = np.zeros((0, LENGTH))


def chain(ratio: float) -> np.ndarray:
    """Rows ``d_(j+1) = ratio d_j``: one vector, which grows by ratio**11."""
    return np.eye(LENGTH)[1:] - ratio * np.eye(LENGTH)[:-1]


@pytest.mark.parametrize("ratio", [1.0, 0.01, 100.0])
@pytest.mark.parametrize("exponent", [0, 40, -40])
def test_a_direction_that_grows(ratio: float, exponent: int):
    H, free = chain(ratio), np.zeros(LENGTH, dtype=np.bool_)
    rows = 2.0 ** (exponent * np.arange(LENGTH - 1) / 8).round()
    d = strict_direction(H * rows[:, None], NONE, np.ones(LENGTH), free, steps=PATIENT_STEPS)
    assert d is not None
    np.testing.assert_allclose(d[1:] / d[:-1], ratio, rtol=1e-9)
    signs = np.ones(LENGTH)
    signs[LENGTH // 2] = -1.0
    assert strict_direction(H, NONE, signs, free, steps=PATIENT_STEPS) is None


def test_room_of_a_cone():
    """Of two half-planes, the direction in the middle; none where they touch in a line."""
    W = np.array([[-3.0, 0.0], [0.0, -1.0]])
    d = roomiest_direction(np.zeros((0, 2)), W, NO_LIMIT)
    assert d is not None
    np.testing.assert_allclose(d / d[0], [1.0, 1.0], rtol=1e-6)
    assert roomiest_direction(np.zeros((0, 2)), np.vstack([W, [3.0, 0.0]]), NO_LIMIT) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("domain", [None, fs.NonNegative(), fs.Box(0, 1)], ids=["R^n", "orthant", "box"])
@pytest.mark.parametrize("name", ["black", "half"])
@pytest.mark.parametrize("biases", [(0.0, 0.0), (0.5, -0.5)], ids=["zero", "other"])
def test_convolutions_without_equalities_somewhere(
    seed: int, domain: Domain | None, name: str, biases: tuple[float, float]
):
    """Black parts: all rows there are tight, or none; then rays lie where no equality reads."""
    rng = np.random.default_rng(seed)
    rows = Convolution(rng.standard_normal((2, 1, 2, 2)).astype(np.float32), (1, SIDE, SIDE)).rows()
    layer = fs.ReLULayer(rows, np.repeat(biases, rows.shape[0] // 2))
    x = rng.random((SIDE, SIDE)) * (name == "half")
    x[:, :3] = 0.0
    right = certify_exactly(build_at_input(layer, as_polyhedron(domain, n), x.ravel()))
    p = fs.preimage(layer, x=x.ravel(), domain=domain)
    assert (p.kind, p.dimension) == (right.kind, right.dimension), p.reason
    assert fs.verify(p)
    assert not fs.verify(replace(p, dimension=n + 1))
