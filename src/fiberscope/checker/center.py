"""An input through a chain of layers in float64, with bounds on what rounding changes; no ball around it enters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    BoolArray,
    FloatArray,
    NotProvedError,
    entries,
    flushes_subnormal_numbers,
    norm_above,
    product_error,
    relative_error,
    row_norms_above,
)
from fiberscope.checker.reading import LayerRows
from fiberscope.checker.slopes import images


@dataclass(frozen=True, eq=False)
class Center:
    """What units receive at an input c.

    Attributes:
        chain: the layers.
        z: of each layer (m,) these numbers, as computed.
        error: of each layer (m,) bounds on what rounding changed.
    """

    chain: tuple[LayerRows, ...]
    z: tuple[FloatArray, ...]
    error: tuple[FloatArray, ...]

    def kept(self) -> Center:
        """Of the last layer only the rows that may be on at c: of no ball around it are others on everywhere."""
        layer = self.chain[-1]
        low, high = ends(self.z[-1], self.error[-1])
        rows = np.flatnonzero(~_beyond(layer, low, high))
        last = replace(
            layer,
            weight=layer.weight[rows],
            bias=layer.bias[rows],
            low=layer.low[rows],
            high=layer.high[rows],
            curves=layer.curves.of(rows),
        )
        return Center(
            (*self.chain[:-1], last), (*self.z[:-1], self.z[-1][rows]), (*self.error[:-1], self.error[-1][rows])
        )


def center_of(chain: Sequence[LayerRows], point: FloatArray) -> Center:
    """A point (n,) through a chain.

    Raises:
        NotProvedError: this is no chain of affine maps and units, or the point is none of its inputs.
    """
    _check(chain, point)
    h, doubt = point, np.zeros(len(point))
    z: list[FloatArray] = []
    error: list[FloatArray] = []
    with np.errstate(all="ignore"):
        for number, layer in enumerate(chain):
            received, off = _applied(layer, h, doubt)
            z.append(received)
            error.append(off)
            if number + 1 < len(chain):
                h, doubt = _given(layer, received, off)
    return Center(tuple(chain), tuple(z), tuple(error))


def ends(z: FloatArray, reach: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m,) ``z - reach`` and ``z + reach``, rounded outwards; NaN stays."""
    with np.errstate(all="ignore"):
        reach = reach * ROUNDING + 2.0**-50 * np.abs(z) + SMALLEST_NORMAL
        return z - reach, z + reach


def pieces(layer: LayerRows, low: FloatArray, high: FloatArray) -> tuple[BoolArray, BoolArray]:
    """(m,) the units that are on while they receive numbers of ``[low, high]``, and those that are off."""
    on = (low > layer.low) & (high < layer.high)
    return on, ~on & _beyond(layer, low, high)


def _beyond(layer: LayerRows, low: FloatArray, high: FloatArray) -> BoolArray:
    return (high <= layer.low) | (low >= layer.high)


def _given(layer: LayerRows, z: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What units give, and bounds on how far that is off."""
    curved = layer.curves.monotone
    value, doubt = images(layer.curves, z, error)
    off = _beyond(layer, *ends(z, error))
    return np.where(curved, value, np.clip(z, layer.low, layer.high)), np.where(
        curved, doubt, np.where(off, 0.0, error)
    )


def _applied(layer: LayerRows, h: FloatArray, doubt: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``A h + b`` and bounds on its errors, where h is known up to ``doubt``."""
    A, b = layer.weight, layer.bias
    z, terms = np.asarray(A @ h) + b, len(h)
    own = product_error(row_norms_above(A), norm_above(h), terms + 1) + relative_error(terms + 1) * np.abs(b)
    carried = abs(A) @ doubt * (1.0 + relative_error(terms))
    return z, (own + carried) * ROUNDING


def _check(chain: Sequence[LayerRows], center: FloatArray) -> None:
    if flushes_subnormal_numbers():
        raise NotProvedError("this thread flushes subnormal numbers to zero, so no error bound holds")
    if not chain or center.ndim != 1 or not np.isfinite(center).all():
        raise NotProvedError("expected layers and a finite center")
    size = len(center)
    for layer in chain:
        m = len(layer.bias)
        sizes = layer.weight.shape == (m, size) and layer.low.shape == layer.high.shape == (m,)
        if not sizes or layer.definitions or not (layer.low <= layer.high).all():
            raise NotProvedError("expected affine maps that follow each other, with units between them")
        if not (np.isfinite(entries(layer.weight)).all() and np.isfinite(layer.bias).all()):
            raise NotProvedError("the weights are not finite")
        size = m
    if chain[-1].curves.monotone.any():
        raise NotProvedError("expected a last affine map that ends in clips, or in nothing")


__all__ = ["Center", "center_of", "ends", "pieces"]
