"""What a named precision says of a layer's outputs at an input, computed from the layer's numbers alone.

``docs/certificates.md`` has the formulas. All numbers are rounded up to 20 significant binary digits, exactly, so that
they do not depend on how sums are formed; float64 settles nearly all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np

from fiberscope.checker import exact, inverses
from fiberscope.checker.curves import ELU, LEAKY_RELU, OTHER, SIGMOID, SOFTPLUS, TANH, Curves
from fiberscope.checker.matrices import ROUNDING, FloatArray, Matrix, NotProvedError, entries, is_dense
from fiberscope.checker.system import System

DIGITS = 20
SHARE = Fraction(1, 2**40)
FLOATS = {
    "float32": (Fraction(1, 2**24), Fraction(1, 2**24), Fraction(1, 2**126), np.float32),
    "float16": (Fraction(1, 2**11), Fraction(1, 2**24), Fraction(1, 2**25), np.float16),
}
"""Of each type the unit roundoff u, that of its sums v, the absolute rounding e, and the type."""


def within(system: System, curves: Curves, X: FloatArray, precision: str, step: float | None) -> FloatArray:
    """(N, 2, m) how far below and above the exact outputs at N inputs those lie that are the same at a precision.

    Args:
        system: the layer.
        curves: what its units compute; those of which nothing is known are known exactly, at every precision.
        X: (N, n) inputs.
        precision: "exact", "float32", "float16", "int8", or a number.
        step: of the codes of "int8".

    Raises:
        NotProvedError: there is no such precision.
    """
    loose = curves.curve != OTHER
    curves.check(np.flatnonzero(loose & curves.monotone))
    if precision in FLOATS:
        return np.repeat((_rounding(system, curves, X, precision) * loose)[:, None], 2, axis=1)
    if precision == "int8":
        if step is None or not 0.0 < step < np.inf:
            raise NotProvedError("codes without a step")
        return np.where(loose, _cells(system, curves, X, step), 0.0)
    eps = 0.0 if precision == "exact" else float(precision)
    if not 0.0 <= eps < np.inf:
        raise NotProvedError(f"{precision} is no precision")
    return np.broadcast_to(np.where(loose, eps, 0.0), (len(X), 2, len(loose)))


def _rounding(system: System, curves: Curves, X: FloatArray, precision: str) -> FloatArray:
    u, v, e, dtype = FLOATS[precision]
    weight, sizes_x = _absolute(system.weight), np.asarray(np.abs(X), dtype=np.float64)
    n = X.shape[1]
    terms = np.asarray((weight > 0).sum(axis=1)).ravel()
    sizes, lengths = np.asarray(weight.sum(axis=1)).ravel(), sizes_x.sum(axis=1)
    growth = 4.0 * float(u) + (terms + 2.0) * float(v)
    if (growth > 0.5).any():
        raise NotProvedError(f"sums too long for {precision}")
    moved = np.max([_moved(end, dtype) for end in (system.low, system.high)], axis=0)
    sums = _products(weight, sizes_x) + np.abs(system.bias)
    absolute = 2.0 * float(e) * (lengths[:, None] + sizes + 3.0 * terms + 6.0)
    off: FloatArray = np.asarray(growth / (1.0 - growth) * sums + absolute)
    (slope, over), (fixed, width), share = _activations(curves)
    own: FloatArray = 8.0 * float(u) * (fixed / width + share * (sums + off)) + 2.0 * float(e)
    value: FloatArray = np.asarray(np.where(curves.monotone, slope / over * off + own, off) + np.asarray(moved))
    used = (system.weight, system.bias, X, (sums + off + value) * ROUNDING)
    if not max(float(np.abs(entries(part)).max(initial=0.0)) for part in used) <= float(np.finfo(dtype).max):
        raise NotProvedError(f"numbers that {precision} does not hold")

    def exactly(j: int, i: int) -> Fraction:
        row = weight[[i]]
        k = 4 * u + (int(terms[i]) + 2) * v
        total = exact.products(row, sizes_x[j])[0] + Fraction(abs(float(system.bias[i])))
        size = exact.products(row, np.ones(int(n)))[0] + exact.total(sizes_x[j].tolist())
        off = k / (1 - k) * total + 2 * e * (size + 3 * int(terms[i]) + 6)
        if curves.monotone[i]:
            s, o, f, w, p = (Fraction(float(part[i])) for part in (slope, over, fixed, width, share))
            off = s / o * off + 8 * u * (f / w + p * (total + off)) + 2 * e
        return off + Fraction(float(moved[i]))

    return _up(value, 2.0**-50 * (n + 16.0) * value, exactly)


def _activations(curves: Curves) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray], FloatArray]:
    """Of each unit the steepest slope, what its own rounding is a share of (quotients), and a share of what it gets."""
    a, b, c = curves.alpha, curves.beta, curves.curve
    one, nothing = np.ones(len(c)), np.zeros(len(c))
    steep = {LEAKY_RELU: (np.maximum(a, 1.0), one), ELU: (np.maximum(a, b), b), SIGMOID: (one, 4.0 * one)}
    fixed = {LEAKY_RELU: (nothing, one), ELU: (a, one), SOFTPLUS: (one, b)}
    share = {LEAKY_RELU: a, SOFTPLUS: one}
    chosen = [
        tuple(np.select([c == curve for curve in table], [pair[k] for pair in table.values()], 1.0) for k in (0, 1))
        for table in (steep, fixed)
    ]
    shares = np.select([c == curve for curve in share], list(share.values()), 0.0)
    return (chosen[0][0], chosen[0][1]), (chosen[1][0], chosen[1][1]), shares


def _cells(system: System, curves: Curves, X: FloatArray, step: float) -> FloatArray:
    clipped, smooth = curves.curve != OTHER, np.flatnonzero((curves.curve != OTHER) & curves.monotone)
    first, last = (-128, 127) if (_lowest(curves, system.low)[clipped] < 0).any() else (0, 255)
    s, low, high = Fraction(step), system.low, system.high
    z = _products(system.weight, X) + system.bias
    y = np.clip(z, low, high)
    units = dict(curves.units(smooth))
    sums = _products(_absolute(system.weight), np.abs(X)) + np.abs(system.bias) + np.finfo(np.float64).tiny
    doubt = 2.0**-50 * (X.shape[1] + 8.0) * sums
    doubt = np.where((z + doubt < low) | (z - doubt > high), 0.0, doubt)  # cut off for certain
    for i, unit in units.items():
        for j in range(len(X)):
            y[j, i], doubt[j, i] = inverses.rounded(unit, z[j, i], doubt[j, i])

    def output(j: int, i: int) -> Fraction:
        z = exact.products(system.weight[[i]], X[j])[0] + Fraction(float(system.bias[i]))
        if i in units:
            return inverses.output(units[i], Fraction(z))
        z = z if low[i] == -np.inf or z > Fraction(float(low[i])) else Fraction(float(low[i]))
        return z if high[i] == np.inf or z < Fraction(float(high[i])) else Fraction(float(high[i]))

    parts = y / step
    code, unsure = np.rint(parts), doubt / step + 2.0**-48 * np.abs(parts)
    for j, i in np.argwhere((np.abs(np.abs(parts - code) - 0.5) <= unsure) & clipped):
        code[j, i] = round(output(int(j), int(i)) / s)
    code = np.clip(code, first, last)

    def away(sign: int, end: int) -> FloatArray:
        def exactly(j: int, i: int) -> Fraction:
            return max(sign * ((int(code[j, i]) + Fraction(sign, 2)) * s - output(j, i)), Fraction(0)) + SHARE * s

        distance = np.maximum(sign * ((code + 0.5 * sign) * step - y), 0.0) + float(SHARE) * step
        error = doubt + 2.0**-48 * (np.abs(y) + step * (np.abs(code) + 1.0))
        known = ~clipped | (code == end)
        return np.where(code == end, np.inf, _up(distance, np.where(known, 0.0, error), exactly))

    return np.stack([away(-1, first), away(1, last)], axis=1)


def _lowest(curves: Curves, low: FloatArray) -> FloatArray:
    """(m,) the smallest outputs, or what they are all above."""
    bottoms = {ELU: -curves.alpha, SOFTPLUS: 0.0, TANH: -1.0, SIGMOID: 0.0}
    return np.select([curves.curve == curve for curve in bottoms], list(bottoms.values()), low)


def _up(value: FloatArray, error: FloatArray, exactly: Callable[[int, int], Fraction]) -> FloatArray:
    """Numbers rounded up to 20 digits."""
    low, high = (_ceiling(np.maximum(value + error * sign, 0.0)) for sign in (-1, 1))
    for j, i in np.argwhere(low != high):
        number, exponent = exactly(int(j), int(i)), 0
        while number >= 2**DIGITS:
            number, exponent = number / 2, exponent + 1
        while number < 2 ** (DIGITS - 1):
            number, exponent = number * 2, exponent - 1
        high[j, i] = np.ldexp(float(ceil(number)), exponent)
    return high


def _ceiling(values: FloatArray) -> FloatArray:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.ceil(mantissa * 2.0**DIGITS), exponent - DIGITS)


def _moved(end: FloatArray, dtype: type) -> FloatArray:
    """How far the ends of clips move when they are rounded."""
    finite = np.where(np.isfinite(end), end, 0.0)
    return np.abs(finite.astype(dtype).astype(np.float64) - finite)


def _products(matrix: Matrix, X: FloatArray) -> FloatArray:
    return np.asarray((matrix @ X.T).T)


def _absolute(matrix: Matrix) -> Matrix:
    return np.abs(matrix) if is_dense(matrix) else abs(matrix)


__all__ = ["within"]
