"""What features say of outputs, by a number or by a named precision.

A float type bounds what a runtime gives at any input of a bounded domain: its bound at an input grows with the
absolute values of what layers receive. A code says that an output lies in its cell; the last codes at either end stand
for all that is beyond them, which is as far as outputs at inputs of the domain reach.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import absolute
from fiberscope.preimages.losses import output_ends
from fiberscope.preimages.precision import SHARE, Precision, codes
from fiberscope.preimages.sides import check_loose, checked_within
from fiberscope.recovery.question import Subject
from fiberscope.recovery.reach import reach
from fiberscope.recovery.runtime import accumulated

OUTWARDS = 2.0**-50
"""A share of numbers that are added up or divided, for their rounding."""


def to_precision(
    subject: Subject, features: Float64[FloatArray, "N m"], within: Any, domain: Domain | None
) -> tuple[Float64[FloatArray, "N m"], Float64[FloatArray, "N m"]]:
    """Numbers y, and by how much outputs may differ from them.

    Raises:
        InputError: a precision that does not fit, or that says nothing on this domain.
    """
    named = Precision(within) if isinstance(within, str) else within
    if not isinstance(named, Precision):
        return features, np.broadcast_to(_within_of(subject, named), features.shape)
    check_loose(subject.features_of, np.ones(subject.features_of.outputs, dtype=np.bool_))
    box = as_polyhedron(domain, subject.inputs)
    if named.name == "int8":
        return _cells(subject, features, named.scale, box)
    if not (np.isfinite(box.low) & np.isfinite(box.high)).all():
        hint = "give domain=Box(low, high), or a number, by how much every output may differ"
        raise InputError("domain", expected=f"a bounded one beside {named.name}", got="another", hint=hint)
    return features, np.broadcast_to(_off(subject, named, box), features.shape)


def _off(subject: Subject, named: Precision, box: Polyhedron) -> Float64[FloatArray, " m"]:
    """What a runtime may be off at any input of a box."""
    if subject.network is None:
        return named.within(subject.features_of, np.maximum(np.abs(box.low), np.abs(box.high))[None])[0, 0]
    net = subject.network
    sources = [placed.source for placed in net.placed_layers[: subject.layer + 1]]
    ends = [(box.low, box.high) if source < 0 else reach(net, source, box.low, box.high) for source in sources]
    sizes = [np.maximum(np.abs(low), np.abs(high))[None] for low, high in ends]
    return accumulated(net, subject.layer, sizes, named)[0, 0]


def _cells(
    subject: Subject, features: FloatArray, scale: float | int | None, box: Polyhedron
) -> tuple[FloatArray, FloatArray]:
    layer = subject.features_of
    first, last = codes(layer)
    step = float(np.abs(features).max()) / last if scale is None else float(scale)
    if not step > 0.0:
        hint = 'give the step of the codes: Precision("int8", scale=...)'
        raise InputError("precision", expected="features that are not all 0", got="a scale of 0", hint=hint)
    code = np.clip(np.rint(features / step), first, last)
    widened = float(SHARE) + OUTWARDS * (np.abs(code) + 1.0)
    lowest, highest = _reached(subject, box)
    low = np.where(code == first, np.minimum(lowest, (code - 0.5) * step), (code - 0.5 - widened) * step)
    high = np.where(code == last, np.maximum(highest, (code + 0.5) * step), (code + 0.5 + widened) * step)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        hint = "give domain=Box(low, high), or a number, by how much every output may differ"
        raise InputError("domain", expected="a bounded one, beside codes that saturate", got="another", hint=hint)
    y = low / 2.0 + high / 2.0
    return y, np.nextafter(np.maximum(high - y, y - low) * (1.0 + OUTWARDS), np.inf)


def _reached(subject: Subject, box: Polyhedron) -> tuple[FloatArray, FloatArray]:
    """What outputs lie between, at all inputs of a box."""
    if subject.network is not None:
        return reach(subject.network, subject.network.placed_layers[subject.layer].stage, box.low, box.high)
    layer = subject.features_of
    assert isinstance(layer, ReLULayer), "another layer is known as part of a network alone"
    least, most = output_ends(layer)
    if not (np.isfinite(box.low) & np.isfinite(box.high)).all():
        return least, most
    middle, spread = box.low / 2.0 + box.high / 2.0, (box.high - box.low) / 2.0
    size = np.abs(np.asarray(layer.weight @ middle)) + np.abs(layer.bias)
    widest = (size + np.asarray(absolute(layer.weight) @ spread)) * (1.0 + 2.0**-40)
    if layer.monotone is None:
        return np.clip(-widest, least, most), np.clip(widest, least, most)
    below, above = (layer.monotone.value(end) for end in (-widest, widest))
    rounding = 2.0**-40 * (np.abs(below) + np.abs(above))
    below, above = (
        np.where(layer.injective, below - rounding, -widest),
        np.where(layer.injective, above + rounding, widest),
    )
    return np.clip(below, least, most), np.clip(above, least, most)


def _within_of(subject: Subject, within: Any) -> Float64[FloatArray, " m"]:
    """By how much each unit may differ, (m,).

    Raises:
        InputError: negative, of another shape, or not finite.
    """
    if isinstance(subject.features_of, ReLULayer):
        return checked_within(subject.features_of, within)[0]
    array, m = as_float64(within, "within"), subject.features_of.outputs
    if array.shape not in ((), (m,)) or (array < 0).any():
        got = shown(within) if array.shape == () else f"shape {array.shape}"
        raise InputError("within", expected=f"a number of at least 0, or {m} of them", got=got)
    return np.broadcast_to(array, (m,)).copy()


__all__ = ["to_precision"]
