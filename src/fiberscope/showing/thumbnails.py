"""Inputs and directions as the small pictures of a card, where they are pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fiberscope.showing.pictures import picture, picture_format, signed_picture
from fiberscope.showing.shown import Picture


def inputs_as_pictures(inputs: Mapping[str, Any], shape: tuple[int, ...] = ()) -> tuple[Picture, ...]:
    """Inputs by caption on one scale, from black for their least number to white for their largest.

    Args:
        inputs: arrays of one size, by caption.
        shape: the shape of an input; () for that of the arrays.

    Returns:
        Nothing where they are no pictures, or not finite.
    """
    stack = np.stack([np.asarray(each, dtype=np.float64).reshape(shape or np.shape(each)) for each in inputs.values()])
    layout = picture_format(stack) if np.isfinite(stack).all() and stack.size else None
    if layout is None:
        return ()
    return tuple(Picture(caption, picture(each, layout)) for caption, each in zip(inputs, stack, strict=True))


def width_as_picture(width: Any, shape: tuple[int, ...]) -> tuple[Picture, ...]:
    """How far bounds are apart, from black for 0, which is known, to white for the largest; nothing without pictures.

    Args:
        width: as many numbers as an input has.
        shape: of the input.
    """
    widths = np.asarray(width, dtype=np.float64).reshape(1, *shape)
    layout = picture_format(widths) if np.isfinite(widths).all() and widths.size else None
    return () if layout is None else (Picture("proved width", picture(widths[0], replace(layout, low=0.0))),)


def directions_as_pictures(captions: Sequence[str], directions: Any) -> tuple[Picture, ...]:
    """Directions (k, ...), each on a scale symmetric around 0; nothing where they are no pictures."""
    vectors = np.asarray(directions, dtype=np.float64)
    layout = picture_format(vectors) if vectors.size and np.isfinite(vectors).all() else None
    if layout is None:
        return ()
    return tuple(
        Picture(caption, signed_picture(each, layout)) for caption, each in zip(captions, vectors, strict=True)
    )


__all__ = ["directions_as_pictures", "inputs_as_pictures", "width_as_picture"]
