"""Outputs known to a precision, of images with black pixels: a point strictly inside is found, and proves the kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages.budget import NO_LIMIT, Budget, TooLargeError
from fiberscope.preimages.exact_algebra import inconsistent_rows
from fiberscope.preimages.interior_point import find_point
from fiberscope.preimages.sides import Outputs
from fiberscope.preimages.system import build_at_output


def layer_and_image(m=90, n=40, black=25):
    generator = np.random.default_rng(0)
    x = np.where(np.arange(n) < black, 0.0, generator.uniform(size=n))
    return generator.standard_normal((m, n)) / 6, generator.standard_normal(m) / 4 - 0.2, x


@pytest.mark.parametrize("eps", [1e-6, 1e-3])
@pytest.mark.parametrize("power", [-40, 0, 40])
def test_black_pixels_are_left_strictly_inside(eps, power):
    A, b, x = layer_and_image()
    row, column = 2.0 ** (power * (np.arange(len(b)) % 2)), 2.0 ** (power * (np.arange(len(x)) % 3 == 0))
    generator = np.random.default_rng(1)
    y = np.maximum(A @ x + b, 0.0)
    y = np.maximum(y + eps * generator.uniform(-0.5, 0.5, len(y)), 0.0) * row
    layer = fs.ReLULayer(A * row[:, None] / column, b * row)
    for domain, kind in ((fs.Box(0, column), "bounded"), (fs.NonNegative(), "bounded"), (None, None)):
        for asked in ({"y": y, "within": eps * row}, {"y": fs.Interval(y - eps * row, y + eps * row)}):
            p = fs.preimage(layer, domain=domain, **asked)
            assert p.kind == kind or (kind is None and p.kind in ("bounded", "unbounded"))
            assert p.dimension == len(x)
            assert fs.verify(p)
            assert p.contains(p.point())


def test_intervals_that_only_meet_have_no_point_inside():
    # z1 = x1 + x2 <= 1 and z2 = -z1 + 3 <= 2: z1 = 1 alone
    layer = fs.ReLULayer([[1.0, 1.0], [-1.0, -1.0]], [0.0, 3.0])
    p = fs.preimage(layer, y=fs.Interval([0.5, 1.5], [1.0, 2.0]), domain=fs.Box(0, 1))
    assert (p.kind, p.dimension) == ("bounded", 1)
    assert fs.verify(p)
    apart = fs.preimage(layer, y=fs.Interval([0.5, 1.5], [1.0, 1.75]), domain=fs.Box(0, 1))
    assert apart.kind == "empty"
    assert fs.verify(apart)


def test_no_step_begins_when_the_time_is_over():
    """Of an output that is given alone: neither the search for a point, nor the comparison of rows."""
    A, b, x = layer_and_image()
    y = np.maximum(A @ x + b, 0.0)
    told = list[str]()
    p = fs.preimage(fs.ReLULayer(A, b), y=y, domain=fs.Box(0, 1), seconds=1e-9, progress=told.append)
    assert p.kind == "undecided"
    assert "the budget of 1e-09 seconds ended while" in p.reason
    over = Budget(1.0, 0.0, told.append)
    layer = fs.ReLULayer(A[:20], b[:20] + 9.0)
    known = Outputs(A[:20] @ x + b[:20] + 9.0, A[:20] @ x + b[:20] + 9.0, np.zeros(20))
    system = replace(build_at_output(layer, as_polyhedron(fs.Box(0, 1), 40), known), budget=over)
    with pytest.raises(TooLargeError, match="ended while a point strictly inside was looked for"):
        find_point(system)
    assert find_point(replace(system, budget=NO_LIMIT)) is not None
    with pytest.raises(TooLargeError, match="comparing 90 positive rows with each other would take"):
        inconsistent_rows(A, y, -b, over)
    assert inconsistent_rows(A, y, -b, NO_LIMIT) is not None, "y is rounded"
    assert told[-1] == "comparing 90 positive rows with each other"
