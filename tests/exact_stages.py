"""What the stages of a network give, by the rows that the network itself writes out, one fraction after the other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import fiberscope as fs
from fiberscope.checker.stored import read_stages
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.stage import Stage


def read(net: fs.Network) -> Any:
    """The network as the checker reads it."""
    return read_stages(net.to_bytes())


def by_hand(part: Stage, before: list[list[Fraction]]) -> list[Fraction]:
    """What a stage gives for what its sources give."""
    if isinstance(part.activation, Maximum):
        return [max(before[0][i] for i in window if i >= 0) for window in part.activation.index.tolist()]
    if isinstance(part.activation, Pointwise):
        activation = part.activation
        if activation.slope is not None:
            return [v if v > 0 else v * Fraction(s) for v, s in zip(before[0], activation.slope.tolist(), strict=True)]
        low, *high = activation.kinks()
        out = [max(v, Fraction(low)) for v in before[0]]
        return [min(v, Fraction(high[0])) for v in out] if high else out
    out = None
    for affine, values in zip(part.maps, before, strict=True):
        for factor in getattr(affine, "factors", (affine,)):
            values = times(factor.rows(), factor.bias.tolist(), values)
        out = values if out is None else [a + b for a, b in zip(out, values, strict=True)]
    return out


def times(rows: Any, bias: Any, values: list[Fraction]) -> list[Fraction]:
    matrix = rows.toarray() if hasattr(rows, "toarray") else rows
    return [
        sum((Fraction(w) * v for w, v in zip(row, values, strict=True) if w), Fraction(c))
        for row, c in zip(np.asarray(matrix).tolist(), bias, strict=True)
    ]
