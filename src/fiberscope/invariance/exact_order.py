"""Signs that rounding leaves open, of what a stage right behind the input computes, in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.network.affine import AffineMap
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.combination import is_exact
from fiberscope.network.network import Network
from fiberscope.network.rows import Rows
from fiberscope.network.signs import row_entries
from fiberscope.network.stage import INPUT

UNKNOWN = 2

MOST_TERMS = 2_000_000
"""Terms that are added in rational arithmetic at most: a few seconds."""


def exact_map(network: Network, stage: int) -> AffineMap | None:
    """The map by which a stage is computed from the input, where it is one and its matrix needs no rounding."""
    if stage == INPUT or network.sources(stage) != (INPUT,) or not network.stages[stage].maps:
        return None
    (affine,) = network.stages[stage].maps
    return affine if is_exact(affine) else None


def exact_order(
    network: Network,
    stage: int,
    x: Float64[FloatArray, " n"],
    first: Int64[Tensor, " k"],
    second: Int64[Tensor, " k"],
    constant: float = 0.0,
) -> Int64[Tensor, " k"]:
    """The signs of ``z[first] - z[second]`` of what a stage gives at x; 2 where they are not settled.

    The index -1 stands for the constant.
    """
    unknown = torch.full((len(first),), UNKNOWN)
    if not len(first):
        return unknown
    if stage == INPUT:
        padded = np.append(x, constant)
        left, right = padded[first.numpy()], padded[second.numpy()]
        return torch.tensor(np.where(left > right, 1, np.where(left < right, -1, 0)).astype(np.int64))
    affine = exact_map(network, stage)
    if affine is None:
        return unknown
    units = np.unique(np.concatenate([first.numpy(), second.numpy()]))
    units = units[units >= 0]
    rows = affine.rows(units)
    if _terms(rows, x) > MOST_TERMS:
        return unknown
    bias = affine.bias.numpy()
    exact = {int(unit): _value(rows, i, x, float(bias[unit])) for i, unit in enumerate(units)}
    exact[-1] = Fraction(constant)
    left, right = ([exact[int(unit)] for unit in units.numpy()] for units in (first, second))
    return torch.tensor([(a > b) - (a < b) for a, b in zip(left, right, strict=True)])


def exactly_equal(
    network: Network, stage: int, x: Float64[FloatArray, " n"], other: Float64[FloatArray, " n"], units: IntArray
) -> Bool[BoolArray, " k"]:
    """Which units of a stage receive exactly the same at both inputs; False where that is not settled."""
    affine = exact_map(network, stage)
    if affine is None:
        return np.zeros(len(units), dtype=np.bool_)
    rows, change = (
        affine.rows(units),
        [Fraction(b) - Fraction(a) for a, b in zip(x.tolist(), other.tolist(), strict=True)],
    )
    if _terms(rows, other - x) > MOST_TERMS:
        return np.zeros(len(units), dtype=np.bool_)
    same: BoolArray = np.zeros(len(units), dtype=np.bool_)
    for i in range(len(units)):
        columns, entries = row_entries(rows, i)
        terms: list[Fraction] = [
            Fraction(a) * change[j] for a, j in zip(entries.tolist(), columns.tolist(), strict=True)
        ]
        same[i] = sum(terms, Fraction(0)) == 0
    return same


def _terms(rows: Rows, x: FloatArray) -> int:
    return sum(int(np.count_nonzero(x[row_entries(rows, i)[0]])) for i in range(rows.shape[0]))


def _value(rows: Rows, i: int, x: FloatArray, constant: float) -> Fraction:
    columns, entries = row_entries(rows, i)
    support: IntArray = np.flatnonzero((x[columns] != 0) & (entries != 0))
    terms = zip(entries[support].tolist(), x[columns[support]].tolist(), strict=True)
    return sum((Fraction(a) * Fraction(v) for a, v in terms), Fraction(constant))


__all__ = ["UNKNOWN", "exact_map", "exact_order", "exactly_equal"]
