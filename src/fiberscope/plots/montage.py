"""Several inputs or directions side by side on one pair of axes, where they are pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError
from fiberscope.plots.axes import axes_of
from fiberscope.showing.pictures import PictureFormat, direction_pixels, picture_format, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 0.12
"""Between pictures, of their width."""

_COLUMNS = 8
"""Pictures in a row."""


def format_of(stack: NDArray[Any]) -> PictureFormat:
    """How inputs (k, ...) become pictures on one scale.

    Raises:
        InputError: they are no pictures.
    """
    layout = picture_format(stack) if np.isfinite(stack).all() and stack.size else None
    if layout is None:
        expected = "inputs that are grey or colour pictures, channels first"
        raise InputError("plot", expected=expected, got=f"inputs of shape {stack.shape[1:]}")
    return layout


def inputs_as_pixels(stack: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """Inputs (k, ...) as pixels, from black for their least number to white for their largest."""
    return [_in_colour(each) for each in shades(stack, format_of(stack))]


def directions_as_pixels(vectors: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """Directions (k, ...) as pixels, each on a scale of its own that is symmetric around 0."""
    layout = format_of(vectors)
    return [_in_colour(direction_pixels(each, layout)) for each in vectors]


def _in_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()


def montage(captions: Sequence[str], pictures: Sequence[NDArray[np.uint8]], ax: Axes | None = None) -> Axes:
    """Pictures (height, width, 3) in rows, each below its caption.

    Args:
        captions: a text for each.
        pictures: of one size.
        ax: axes of matplotlib; None for new ones, as large as they need to be.
    """
    height, width = pictures[0].shape[:2]
    columns = min(len(pictures), _COLUMNS)
    rows = -(-len(pictures) // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    across, down = width * (1 + _GAP), height * (1 + _GAP) + 0.16 * lines * width
    axes = axes_of(ax)
    if ax is None:
        axes.figure.set_size_inches(1.5 * columns, 1.5 * rows * down / across)
    for i, (caption, picture) in enumerate(zip(captions, pictures, strict=True)):
        x, y = (i % columns) * across, (i // columns) * down
        axes.imshow(picture, extent=(x, x + width, y + height, y), interpolation="nearest")
        axes.plot([x, x + width, x + width, x, x], [y, y, y + height, y + height, y], color="0.6", linewidth=0.8)
        axes.text(x + width / 2, y - 0.04 * height, caption, ha="center", va="bottom", fontsize=8)
    axes.set_xlim(-_GAP * width, columns * across)
    axes.set_ylim(rows * down - 0.16 * lines * width, -0.18 * lines * width)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


__all__ = ["directions_as_pixels", "format_of", "inputs_as_pixels", "montage"]
