"""False claims about layers that are not written out: rows that are said to be independent in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from lies import Lie
from scipy.sparse import csr_array

from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.verdicts import System
from fiberscope.preimages.certificate import Direction, Independence
from plain_claims import certificate, claim, floats, numbers


def pointwise(matrix: Any, box: Any) -> System:
    """A layer that is a convolution of a picture of one pixel, which is a matrix, in the box from -box to box."""
    W = floats(matrix)
    m, n = W.shape
    weight = Convolution(W[:, :, None, None].copy(), (n, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    sides = np.zeros(m), np.full(m, np.inf), -floats(box), floats(box)
    return System(weight, np.zeros(m), *sides, csr_array((0, n)), np.zeros(0))


def tiles(rows: Any, columns: Any, values: Any, row_cells: Any) -> Direction:
    """A direction of a layer of as many rows, which are factored as they are on some columns; the others are held."""
    cells = numbers([0]), numbers(row_cells), numbers([0, len(columns)])
    still = len(rows) + np.setdiff1d(np.arange(len(values)), columns)
    part = Independence(numbers(rows), numbers(columns), 0, 0, *cells)
    return Direction(np.concatenate([numbers(rows), still]), floats(values), 0.5, None, part)


def of_tiles() -> Iterator[Lie]:
    """Rows that no cell holds, and points."""
    small = pointwise([[1.0, 0.0, 0.0], [0.0, 1e-9, 0.0]], [np.inf, np.inf, 1.0])
    away = tiles([0, 1], [0, 1], [0.0, 1.0, 0.0], [0, 1])
    said = certificate("unbounded", None, recession=(None, away))
    yield Lie("a row in no cell", small, (claim("unbounded", None, said, x=[1.0, 1.0, 0.0], m=2, bounds=(1, 3)),))
    flat = pointwise([[1.0, 0.0]], [1.0, 1.0])
    at_zero = certificate("bounded", None, tangent=(None, tiles([0], [0, 1], [0.0, 0.0], [0, 1])))
    yield Lie("a point in tiles", flat, (claim("bounded", None, at_zero, y=[5.0], bounds=(1, 1)),))


__all__ = ["of_tiles"]
