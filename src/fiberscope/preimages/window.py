"""Questions about a part of the input: coordinates outside a window stay as they are at x.

That is a domain which fixes them. Nothing else is new: verdicts, proofs and sizes mean the whole input.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Bool

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Box, Domain, as_polyhedron
from fiberscope.network.layer import Layer
from fiberscope.preimages.system import check_inside


def window_of(layer: Layer, window: Any) -> Bool[BoolArray, " n"]:
    """(n,) which coordinates lie in a window, given by a slice or a number for each axis of the input's shape.

    Raises:
        InputError: something else, another number of axes, beyond the shape, or no coordinate.
    """
    shape = layer.input_shape
    given: Any = window
    parts: tuple[Any, ...] = cast("tuple[Any, ...]", given) if type(given) is tuple else (given,)
    fits = len(parts) == len(shape) and all(_fits(part, size) for part, size in zip(parts, shape, strict=True))
    inside = np.zeros(shape, dtype=np.bool_)
    if fits:
        inside[parts] = True
    if not inside.any():
        raise InputError(
            "window",
            expected=f"a slice or a number within each axis of the input's shape {shape}, with a coordinate in common",
            got=shown(window),
            hint="write it with numpy's s_, as np.s_[:, 8:16, 8:16] of a picture",
        )
    return inside.ravel()


def _fits(part: Any, size: int) -> bool:
    """Whether a slice, or a number, lies within an axis."""
    if isinstance(part, slice):
        given = cast("slice[Any, Any, Any]", part)
        ends, step = (given.start, given.stop), given.step
        return all(end is None or (_is_whole(end) and -size <= end <= size) for end in ends) and (
            step is None or (_is_whole(step) and step != 0)
        )
    return _is_whole(part) and -size <= part < size


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def fixed_outside(layer: Layer, domain: Domain | None, x: FloatArray, inside: Bool[BoolArray, " n"]) -> Domain:
    """The inputs of a domain that are as x outside a window.

    Raises:
        InputError: x lies outside the domain.
    """
    check_inside(as_polyhedron(domain, layer.inputs), x)
    fixed = Box(np.where(inside, -np.inf, x), np.where(inside, np.inf, x))
    return fixed if domain is None else fixed & domain


__all__ = ["fixed_outside", "window_of"]
