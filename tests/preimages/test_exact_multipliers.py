"""Exact multipliers of which some vanish: equations that weigh nothing span all the same."""

import numpy as np
import pytest

import fiberscope as fs


def test_opposite_bounds_that_cancel():
    """x3 = 2 and x2 = -2 x1 with x1 from -1 to 2: a segment, which no weight of an equation shows to be bounded."""
    layer = fs.ReLULayer(
        [[2.0, 1.0, 1.0], [-2.0, -1.0, -2.0], [-1.0, 0.0, -2.0]], [-1.0, 3.0, 2.0], low=[0.0, -np.inf, 0.0]
    )
    domain = fs.Box([-1.0, -np.inf, -np.inf], [2.0, np.inf, 2.0])
    p = fs.preimage(layer, y=[1.0, -1.0, 0.0], domain=domain)
    assert (p.kind, p.dimension) == (fs.Kind.BOUNDED, 1)
    assert fs.verify(p, exact=True)
    np.testing.assert_allclose(p.bounding_box(), [[-1.0, -4.0, 2.0], [2.0, 2.0, 2.0]], atol=1e-9)


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("seed", range(4))
def test_boxes_with_some_sides_are_decided_alike_by_input_and_by_output(seed: int):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        n, m = (int(rng.integers(1, high)) for high in (5, 6))
        low = np.where(rng.random(n) < 0.4, -np.inf, rng.integers(-2, 1, n))
        high = np.where(rng.random(n) < 0.4, np.inf, rng.integers(1, 3, n))
        x, domain = np.clip(rng.integers(-2, 3, n) * 1.0, low, high), fs.Box(low, high)
        floor = np.where(rng.random(m) < 0.3, -np.inf, 0.0)
        layer = fs.ReLULayer(rng.integers(-2, 3, (m, n)) * 1.0, rng.integers(-2, 3, m) * 1.0, low=floor)
        p, q = fs.preimage(layer, x=x, domain=domain), fs.preimage(layer, y=layer(x[None])[0], domain=domain)
        assert p.kind is not fs.Kind.UNDECIDED
        assert (p.kind, p.dimension) == (q.kind, q.dimension), (layer.weight, layer.bias, x, low, high, floor)
