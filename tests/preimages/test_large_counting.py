"""The best choice of cells, against all choices; what is counted, against the rows written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages.counting import undetermined
from fiberscope.preimages.large_cones import LargeCones, Sides
from fiberscope.preimages.large_counting import Cells, counted

SHAPES = {
    "padding": ((2, 2, 3), (2, 7), (1,), ((1, 1),), (1,), 1),
    "strides": ((3, 2, 3), (2, 8), (2,), ((1, 0),), (1,), 1),
    "dilation": ((2, 1, 2), (1, 9), (1,), ((0, 0),), (3,), 1),
    "groups": ((4, 1, 2), (2, 5), (1,), ((0, 1),), (1,), 2),
}


def cones_of(name: str, seed: int) -> LargeCones:
    """The cones of a layer at an input with zeros."""
    rng = np.random.default_rng(seed)
    shape, inputs, *rest = SHAPES[name]
    conv = Convolution(rng.normal(size=shape), inputs, rng.normal(size=shape[0]), *rest)
    none = np.zeros(conv.outputs, dtype=np.bool_)
    layer = fs.ReLULayer.of_map(
        lambda: (conv.rows(), conv.bias.numpy()), conv.input_shape, conv.output_shape, none, operator=conv
    )
    x = np.maximum(rng.normal(size=conv.inputs), 0.0)
    return LargeCones.of(layer, as_polyhedron(fs.NonNegative(), conv.inputs), x, np.zeros((2, conv.outputs)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", list(SHAPES))
def test_no_choice_of_cells_counts_more(name: str, seed: int):
    cones = cones_of(name, seed)
    sides = Sides.tangent(cones)
    chosen, left = counted(cones, sides)
    conditions, free = sides.equal | (sides.upper != 0), ~sides.fixed & (sides.signs == 0)
    rows = cones.operator.rows()
    cells = Cells.of(cones.operator)

    def beyond(columns: np.ndarray) -> int:
        reads = abs(rows[:, np.flatnonzero(columns)]).sum(axis=1) > 0
        return int(columns.sum()) - int((conditions & reads).sum())

    inside = np.zeros_like(free)
    inside[chosen] = True
    assert not (inside & ~free).any()
    assert left == beyond(inside)
    count = int(cells.columns.max()) + 1
    choices = (np.array(choice, dtype=np.bool_)[cells.columns] & free for choice in product((0, 1), repeat=count))
    assert left == max(beyond(columns) for columns in choices)
    assert left <= undetermined(rows[np.flatnonzero(conditions)], np.flatnonzero(free))[1], "single rows count more"
