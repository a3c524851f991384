"""Interpolation on grids as weighted sums: along each axis a matrix, and together their products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import combined, combined_weights
from fiberscope.network.structured import NOTHING

TAPS = 2
"""Places of an axis that one interpolated place depends on."""


def linear_weights(size: int, wanted: int, *, align_corners: bool = False, scale: float | None = None) -> FloatArray:
    """The matrix (wanted, size) of linear interpolation along one axis: torch gives it, applied to unit vectors.

    Args:
        size: places of the axis.
        wanted: places of the result.
        align_corners: whether the first and the last places fall together, instead of the edges of the axis.
        scale: how much longer the result is, where torch computes with that; None for the quotient of the sizes.
    """
    unit = torch.eye(size, dtype=torch.float64)[None]
    with torch.no_grad():
        return torch.ops.aten.upsample_linear1d.default(unit, [wanted], align_corners, scale)[0].T.numpy()


def interpolated(positions: IntArray, matrices: Sequence[FloatArray]) -> tuple[IntArray, FloatArray]:
    """The sums that interpolation along the last axes is.

    Args:
        positions: (..., *grid) the positions of the entries of a value.
        matrices: one per axis of the grid, with at most two entries a row.

    Returns:
        Positions (..., *wanted, taps), -1 for none, and their weights, broadcast to that shape.
    """
    windows: list[IntArray] = []
    weights: list[FloatArray] = []
    for matrix in matrices:
        taps = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :TAPS]
        weight = np.take_along_axis(matrix, taps, axis=1)
        windows.append(np.where(weight != 0, taps, NOTHING))
        weights.append(weight)
    index = combined(positions, windows)
    return index, np.broadcast_to(combined_weights(weights), index.shape)


__all__ = ["interpolated", "linear_weights"]
