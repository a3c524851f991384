"""Proved bounds as intervals, and as a picture of what is uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.plots.axes import axes_of, no_data
from fiberscope.plots.montage import format_of
from fiberscope.showing.colours import MAIN, MARK, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 0.08
"""By which share of what is drawn an infinite interval is longer than that."""


def intervals(
    low: FloatArray,
    high: FloatArray,
    reached: tuple[FloatArray, FloatArray] | None = None,
    middle: FloatArray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """An interval for each number, and within it what is attained; arrows where there is no bound.

    Args:
        low: (k,) proved lower bounds, or -inf.
        high: (k,) proved upper bounds, or inf.
        reached: values (k,) below and above that are attained.
        middle: (k,) a guess.
        ax: axes of matplotlib; None for new ones.
    """
    axes = axes_of(ax)
    drawn = [low, high, *(reached or ()), *(() if middle is None else (middle,))]
    known = np.concatenate([part[np.isfinite(part)] for part in drawn])
    if not len(known):
        return no_data(axes, "no bounds are proved")
    room = _ROOM * (float(known.max() - known.min()) or 1.0)
    ends = float(known.min()) - room, float(known.max()) + room
    index = np.arange(len(low))
    axes.vlines(index, np.maximum(low, ends[0]), np.minimum(high, ends[1]), color=MAIN, label="proved")
    if reached is not None:
        axes.vlines(index, reached[0], reached[1], color=OTHER, linewidth=3, label="attained")
    if middle is not None:
        axes.plot(index, middle, ".", color=OTHER, label="the guess")
    for open_end, at, marker in ((np.isneginf(low), ends[0], "v"), (np.isposinf(high), ends[1], "^")):
        if open_end.any():
            axes.plot(index[open_end], np.full(int(open_end.sum()), at), marker, color=MARK)
    axes.set_xlabel("coordinate")
    axes.legend()
    return axes


def uncertainty(width: FloatArray, shape: tuple[int, ...], ax: Axes | None = None) -> Axes:
    """The widths of proved bounds as a picture of the input; of a colour picture, the widest channel of each pixel.

    Args:
        width: as many numbers as the input has; inf where nothing is proved, which is left blank.
        shape: of the input.
        ax: axes of matplotlib; None for new ones.

    Raises:
        InputError: the input is no picture.
    """
    layout = format_of(np.zeros((1, *shape)))
    planes = width.reshape(layout.channels, layout.height, layout.width)
    axes = axes_of(ax)
    shown = np.where(np.isfinite(planes), planes, np.nan).max(axis=0)
    image = axes.imshow(shown, cmap="cividis", vmin=0.0, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="width of the proved bounds")
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


__all__ = ["intervals", "uncertainty"]
