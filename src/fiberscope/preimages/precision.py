"""Named precisions: how far the numbers that a runtime gives for a layer's outputs may be from the exact ones.

**Float types.** A runtime rounds weights, bias and input to its type, of unit roundoff u, adds the t products of a row
and the bias in any order, with or without fused operations, in arithmetic of unit roundoff v <= u, and rounds to its
type when the products are added up and when the bias is. Each product then has at most ``4`` factors ``1 + d`` with
``|d| <= u`` and ``t + 2`` with ``|d| <= v``, so that by lemma 3.1 of Higham (Accuracy and Stability of Numerical
Algorithms) with ``k = 4 u + (t + 2) v < 1``

    |z' - z| <= k / (1 - k) (sum_j |a_ij| |x_j| + |b_i|).

Where rounding is absolute, below the smallest normal number, an entry changes by ``e`` at most, and so does a product,
a sum and a result; with ``k <= 1/2`` this adds no more than ``2 e (sum_j |x_j| + sum_j |a_ij| + 3 t + 6)``. A clip
moves no number further. float32 numbers are added in float32 (``u = v = 2^-24``, and ``e = 2^-126``, since many
runtimes flush what is smaller to zero), float16 numbers in float32 or better, as graphics cards and libraries do
(``u = 2^-11``, ``e = 2^-25``). A strictly monotone activation of steepest slope L
is taken to be computed to within ``8 u s``, where s is 1 of tanh and sigmoids, ``alpha`` of an ELU, ``|z'| + 1 / beta``
of a softplus and ``alpha |z'|`` of a leaky ReLU: then ``|y' - y| <= L |z' - z| + 8 u s + 2 e``. No standard says so of
tanh and the like; torch and onnxruntime keep it on processors, as measured. Not covered: sums in float16 itself,
TensorFloat-32, transforms such as Winograd's, and runtimes that compute a layer in several steps which were folded into
one map here.

**Codes.** An int8 quantiser with step s gives ``y`` the nearest of 256 whole numbers of steps: from 0 where no output
is negative, else from -128. A code says that y lies within half a step of it; the last codes at either end stand for
all that is beyond them as well. Cells are widened by a share of a step, so that no output lies at the end of one.

All of it is rounded up to ``DIGITS`` significant binary digits, exactly: the numbers depend on no order of adding, and
whoever checks a verdict computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray
from fiberscope.network.layer import Layer, local_form
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, absolute
from fiberscope.network.signs import exact_sum, row_entries
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.activated import Activated, opaque_units, pre_activation_exactly, value_exactly
from fiberscope.preimages.sides import check_loose, checked_within
from fiberscope.scalars import as_number
from fiberscope.showing.shown import Shown

DIGITS = 20
"""Significant binary digits of what is known; more would have to be settled by exact sums more often."""
OVER = 1.0 + 2.0**-20
"""By how much less an output must reach than a type holds, so that no rounding matters."""
SHARE = Fraction(1, 2**40)
"""By what share of a step cells are widened."""


@dataclass(frozen=True)
class _FloatType:
    """A float type, and how a runtime calculates with it.

    Attributes:
        roundoff: u.
        sums: v.
        smallest: e.
        largest: the largest finite number.
        dtype: numpy's.
    """

    roundoff: float
    sums: float
    smallest: float
    largest: float
    dtype: Any


FLOAT_TYPES = {
    "float32": _FloatType(2.0**-24, 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max), np.float32),
    "float16": _FloatType(2.0**-11, 2.0**-24, 2.0**-25, float(np.finfo(np.float16).max), np.float16),
}
NAMES = (*FLOAT_TYPES, "int8")
"""All names of precisions."""


@dataclass(frozen=True, repr=False)
class Precision(Shown):
    """What a runtime gives of a layer's outputs: numbers of a float type, or 8-bit codes.

    Args:
        name: "float32", "float16" or "int8".
        scale: of codes, their step in the outputs' units; None for the largest output at the samples over 255, or over
            127 where outputs may be negative.

    Raises:
        InputError: another name, a scale that is not positive, or one of a float type.
    """

    name: str
    scale: float | int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in NAMES:  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "or give a number: by how much every output may differ"
            raise InputError("precision", expected=f"one of {', '.join(NAMES)}", got=shown(self.name), hint=hint)
        if self.scale is None:
            return
        if self.name != "int8":
            raise InputError("scale", expected=f"none beside {self.name}", got=shown(self.scale), hint="codes have one")
        object.__setattr__(self, "scale", as_number(self.scale, "scale", above=0.0, below=np.inf))

    def within(self, layer: Layer, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N 2 m"]:
        """How far below and above the exact outputs at X the numbers lie that say the same; inf where a code saturates.

        Raises:
            InputError: outputs that the type cannot hold, sums too long for a bound, activations whose function is not
                known, or float types of a layer in which branches meet, whose sums a runtime does not form.
        """
        check_loose(layer, np.ones(layer.outputs, dtype=np.bool_))
        if self.name == "int8":
            return _cells(layer, X, self.scale)
        if isinstance(layer, RegionLayer):
            hint = "give a number, by how much every output may differ, or int8"
            raise InputError(
                "precision", expected="a layer of one affine map", got="one in which branches meet", hint=hint
            )
        bound = _rounding(layer, X, self.name)
        return np.broadcast_to(bound[:, None], (len(X), 2, layer.outputs))

    def _line(self) -> str:
        return repr(self.name) if self.scale is None else f"{self.name!r}, scale={self.scale:.6g}"


def within_at(layer: Layer, X: Float64[FloatArray, "*N n"], within: Any) -> Float64[FloatArray, "*N 2 m"]:
    """How far outputs at an input, or at N of them, may be off, below and above, as it is given to ``classify``.

    Raises:
        InputError: see ``checked_within`` and ``Precision``.
    """
    named = Precision(within) if isinstance(within, str) else within
    if not isinstance(named, Precision):
        return checked_within(layer, named, len(X) if X.ndim == 2 else None)
    return named.within(layer, X) if X.ndim == 2 else named.within(layer, X[None])[0]


def _rounding(layer: ReLULayer, X: FloatArray, name: str) -> Float64[FloatArray, "N m"]:
    """A bound on how far a runtime's outputs are from the exact ones."""
    kind, (magnitudes, doubt) = FLOAT_TYPES[name], _magnitudes(layer, X)
    terms, sizes = _terms(layer.weight)
    k = 4.0 * kind.roundoff + (terms + 2.0) * kind.sums
    if (k > 0.5).any():
        raise InputError("precision", expected=f"shorter sums for a bound in {name}", got=f"{int(terms.max())} terms")
    moved, curves = _rounded_clips(layer, kind.dtype), Activated.of(layer)
    lengths = np.abs(X).sum(axis=1)[:, None] + sizes + 3.0 * terms + 6.0
    summed = k / (1.0 - k) * magnitudes + 2.0 * kind.smallest * lengths
    bound = curves.moved(summed, magnitudes, kind.roundoff, kind.smallest) + moved
    _check_held(layer, X, (magnitudes + summed + bound) * OVER, name)

    def exactly(j: int, i: int) -> Fraction:
        columns, entries = row_entries(layer.weight, i)
        size = sum(map(abs, map(Fraction, X[j].tolist()))) + sum(map(abs, map(Fraction, entries.tolist())))
        total = exact_sum(np.abs(entries), np.abs(X[j, columns])) + abs(Fraction(float(layer.bias[i])))
        growth, rest = Fraction(float(k[i])), Fraction(3 * int(terms[i]) + 6)
        along = growth / (1 - growth) * total + 2 * Fraction(kind.smallest) * (size + rest)
        return curves.exactly(i, along, total, kind.roundoff, kind.smallest) + Fraction(float(moved[i]))

    spread = curves.moved(2.0 * k / (1.0 - k) * doubt, doubt, kind.roundoff, 0.0)
    return _rounded_up(bound, spread + 2.0**-50 * (layer.inputs + 16.0) * bound, exactly)


def _check_held(layer: ReLULayer, X: FloatArray, reach: FloatArray, name: str) -> None:
    """InputError where the type ends before an input, a weight, or what an output may reach."""
    most = FLOAT_TYPES[name].largest
    largest = max(float(np.abs(part).max()) for part in (_entries(layer.weight), layer.bias, X))
    if max(largest, float(reach.max())) <= most:
        return
    got = f"an input or a weight of {largest:.3g}"
    if largest <= most:
        got = f"up to {reach.max():.3g} at unit {int(np.argmax(reach.max(axis=0)))}"
    raise InputError("precision", expected=f"numbers that {name} holds, at most {most:.6g}", got=got)


def _rounded_clips(layer: ReLULayer, dtype: Any) -> Float64[FloatArray, " m"]:
    """(m,) how far the ends of clips move when they are rounded."""
    moved = np.zeros(layer.outputs)
    for end in (layer.low, layer.high):
        finite = np.isfinite(end)
        with np.errstate(over="ignore"):
            moved[finite] = np.maximum(
                moved[finite], np.abs(end[finite].astype(dtype).astype(np.float64) - end[finite])
            )
    return moved


def _cells(layer: Layer, X: FloatArray, scale: float | int | None) -> Float64[FloatArray, "N 2 m"]:
    """How far the ends of their code's cell are from the exact outputs; where branches meet, around each input."""
    step = code_step(layer, X) if scale is None else float(scale)
    if not step > 0.0:
        hint = 'give the step of the codes: Precision("int8", scale=...)'
        raise InputError("precision", expected="outputs that are not all 0", got="a scale of 0", hint=hint)
    if not isinstance(layer, RegionLayer):
        return _cells_at(layer, X, step)
    each = [local_form(layer, None, x) for x in X]
    return np.concatenate([_cells_at(local, at[None], step)[..., local.definitions :] for local, _, at in each])


def code_step(layer: Layer, X: Float64[FloatArray, "N n"]) -> float:
    """The step of codes whose last one is the largest output at X; 0 where all are 0."""
    each = [local_form(layer, None, x) for x in X] if isinstance(layer, RegionLayer) else []
    parts = [(local, at[None]) for local, _, at in each] if isinstance(layer, RegionLayer) else [(layer, X)]
    largest = max(float(np.abs(_outputs(local, at)[0][:, local.definitions :]).max()) for local, at in parts)
    return largest / codes(layer)[1]


def codes(layer: Layer) -> tuple[int, int]:
    """The first code and the last one."""
    units = layer.injective
    low = np.broadcast_to(layer.low, units.shape)
    if layer.monotone is not None:
        low = np.where(units, np.broadcast_to(layer.monotone.least, units.shape), low)
    return (-128, 127) if ((low < 0) & ~opaque_units(layer)).any() else (0, 255)


def _cells_at(layer: ReLULayer, X: FloatArray, step: float) -> Float64[FloatArray, "N 2 m"]:
    (first, last), (outputs, doubt) = codes(layer), _outputs(layer, X)

    def output(j: int, i: int) -> Fraction:
        z = pre_activation_exactly(layer, i, X[j])
        if layer.monotone is not None and layer.injective[i]:
            return value_exactly(layer.monotone, i, z)
        z = max(z, Fraction(float(layer.low[i]))) if np.isfinite(layer.low[i]) else z
        return min(z, Fraction(float(layer.high[i]))) if np.isfinite(layer.high[i]) else z

    code, unsure = np.rint(outputs / step), doubt / step + 2.0**-50 * np.abs(outputs / step)
    for j, i in np.argwhere(np.abs(np.abs(outputs / step - code) - 0.5) <= unsure):
        code[j, i] = round(output(int(j), int(i)) / Fraction(step))  # a half goes to the even neighbour
    code = np.clip(code, first, last)
    below, above = (outputs - (code - 0.5) * step, (code + 0.5) * step - outputs)
    widened, rest = step * float(SHARE), doubt + 2.0**-50 * (np.abs(outputs) + step * np.abs(code) + step)

    def exactly(sign: int, j: int, i: int) -> Fraction:
        edge = (Fraction(int(code[j, i])) + Fraction(sign, 2)) * Fraction(step)
        return max(sign * (edge - output(j, i)), Fraction(0)) + SHARE * Fraction(step)

    ends = [
        np.where(
            code == end,
            np.inf,
            _rounded_up(np.maximum(away, 0.0) + widened, np.where(code == end, 0.0, rest), partial(exactly, sign)),
        )
        for away, sign, end in ((below, -1, first), (above, 1, last))
    ]
    return np.stack(ends, axis=1)


def _outputs(layer: ReLULayer, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N, m) the outputs at X in float64, and a bound on their rounding, which is 0 where a clip surely cuts off."""
    z, doubt = pre_activations(layer, X)
    cut = ((z + doubt < layer.low) | (z - doubt > layer.high)) & ~layer.injective
    if layer.monotone is None:
        return np.where(layer.injective, z, np.clip(z, layer.low, layer.high)), np.where(cut, 0.0, doubt)
    y, steep = layer.monotone.value(z), Activated.of(layer).steepest
    own = steep * doubt + 2.0**-46 * (np.abs(y) + np.abs(layer.monotone.alpha))
    return np.where(layer.injective, y, np.clip(z, layer.low, layer.high)), np.where(
        layer.injective, own, np.where(cut, 0.0, doubt)
    )


def pre_activations(layer: ReLULayer, X: Float64[FloatArray, "N n"]) -> tuple[FloatArray, FloatArray]:
    """(N, m) ``A x + b`` as float64 gives it, and a bound on its rounding."""
    return (layer.weight @ X.T).T + layer.bias, _magnitudes(layer, X)[1]


def _magnitudes(layer: ReLULayer, X: FloatArray) -> tuple[Float64[FloatArray, "N m"], Float64[FloatArray, "N m"]]:
    """``sum_j |a_ij| |x_j| + |b_i|`` as float64 gives it, and a bound on its rounding, and on that of ``A x + b``."""
    sums = (absolute(layer.weight) @ np.abs(X).T).T + np.abs(layer.bias)
    # four times gamma_(n+1), for the bound's own rounding; below the smallest normal number it is absolute
    return sums, 2.0**-51 * (layer.inputs + 4.0) * (sums + np.finfo(np.float64).tiny)


def _rounded_up(
    values: Float64[FloatArray, "N m"], doubt: Float64[FloatArray, "N m"], exactly: Callable[[int, int], Fraction]
) -> Float64[FloatArray, "N m"]:
    """Numbers rounded up to ``DIGITS`` digits; exactly where what is known of them leaves two answers."""
    least, most = (_ceiling(np.maximum(values + sign * doubt, 0.0)) for sign in (-1.0, 1.0))
    for j, i in np.argwhere(least != most):
        number = exactly(int(j), int(i))
        exponent = int(np.frexp(float(number))[1]) - DIGITS
        exponent -= number < Fraction(2) ** (exponent + DIGITS - 1)  # where the float was rounded to a power of two
        most[j, i] = np.ldexp(float(ceil(number / Fraction(2) ** exponent)), exponent)
    return most


def _ceiling(values: FloatArray) -> FloatArray:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.ceil(np.ldexp(mantissa, DIGITS)), exponent - DIGITS)


def _terms(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """(m,) the number of entries of each row, and the sum of their absolute values."""
    places = absolute(rows)
    ones = np.ones(rows.shape[1])
    if isinstance(places, SparseRows):
        return np.diff(places.indptr).astype(np.float64), np.asarray(places @ ones)
    return np.count_nonzero(places, axis=1).astype(np.float64), places @ ones


def _entries(rows: Rows) -> FloatArray:
    return rows.data if isinstance(rows, SparseRows) else rows


__all__ = ["NAMES", "SHARE", "Precision", "code_step", "codes", "pre_activations", "within_at"]
