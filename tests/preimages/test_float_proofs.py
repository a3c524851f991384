"""Real layers have dead inputs, dead neurons and copies of neurons: the float proof closes on them all the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.verify import verify_in_float

SEED = 3


def layer_of(m: int, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Float32 weights and biases, and an input."""
    generator = np.random.default_rng(SEED)
    weight = generator.standard_normal((m, n)).astype(np.float32).astype(np.float64)
    return weight, generator.standard_normal(m).astype(np.float32).astype(np.float64), generator.standard_normal(n)


@pytest.mark.parametrize("domain", [None, fs.NonNegative(), fs.Box(0, 8)], ids=["whole space", "orthant", "box"])
@pytest.mark.parametrize(("m", "n"), [(60, 20), (20, 20), (30, 20), (15, 20)])
def test_dead_inputs(m: int, n: int, domain: fs.Box | fs.NonNegative | None) -> None:
    weight, bias, x = layer_of(m, n)
    weight[:, :5] = 0
    p = fs.preimage(fs.ReLULayer(weight, bias), x=np.maximum(x, 0), domain=domain)
    assert p.dimension is not None
    assert p.dimension >= np.count_nonzero(x[:5] > 0)
    assert verify_in_float(p)


def test_a_dead_neuron_and_a_copied_one_given_the_output() -> None:
    weight, bias, x = layer_of(40, 40)
    active = np.flatnonzero(weight @ x + bias > 0)
    weight[active[1]], bias[active[1]] = weight[active[0]], bias[active[0]]
    weight[active[2]], bias[active[2]] = 4 * weight[active[0]], 4 * bias[active[0]]
    weight[active[3]], bias[active[3]] = 0, 0
    layer = fs.ReLULayer(weight, bias)
    y = layer(x)
    y[active[1]], y[active[2]] = y[active[0]], 4 * y[active[0]]  # products of equal rows may still round differently
    p = fs.preimage(layer, y=y)
    assert p.kind == fs.Kind.UNBOUNDED
    assert p.dimension == 40 - (np.count_nonzero(y) - 2)
    assert verify_in_float(p)
    for copy in active[1:3]:  # a copy that says something else contradicts the row
        other = y.copy()
        other[copy] = np.nextafter(y[copy], np.inf)
        assert not fs.verify(replace(p, y=other))
        assert fs.preimage(layer, y=other).kind == fs.Kind.EMPTY


def test_rows_whose_squares_overflow() -> None:
    p = fs.preimage(fs.ReLULayer(np.diag([1e200, 1e-200])), x=[1, 1])
    assert p.kind == fs.Kind.SINGLETON
    assert verify_in_float(p)


def test_subnormal_numbers_that_are_flushed_prove_nothing() -> None:
    p = fs.preimage(fs.ReLULayer([[1.0]]), x=[1.0])
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such mode")
    try:
        proofs = [fs.verify(p), fs.verify(p, exact=True)]
    finally:
        torch.set_flush_denormal(False)
    assert not any(proofs)
    assert all("subnormal" in proof.reason for proof in proofs)
    assert fs.verify(p)
