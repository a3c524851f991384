"""Figures 6 and 11 as drawings."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope_paper.drawing import new_figure
from fiberscope_paper.figure6_variants import Shown, Variant

SQUARES = {784: 28}
"""Flat samples that are known to be square pictures."""


def draw(shown: Shown, title: str) -> Figure:
    """A row per source: it, and for each target the target, the variant and the change."""
    columns = 1 + 3 * max(len(row) for row in shown.variants)
    count = len(shown.variants)
    figure, axes = new_figure(1.5 * columns, 0.6 + 1.75 * count, title, rows=count, columns=columns)
    for place in axes:
        place.axis("off")
    for number, row in enumerate(shown.variants):
        places = axes[number * columns : (number + 1) * columns]
        count = int(shown.positives[row[0].source])
        _picture(
            places[0],
            row[0].example.source,
            shown.limits,
            f'original "{row[0].source_class}"\n{count} positive outputs',
        )
        for position, variant in enumerate(row):
            _variant(places[1 + 3 * position : 4 + 3 * position], variant, shown.limits)
    return figure


def _variant(places: list[Axes], variant: Variant, limits: tuple[float, float]) -> None:
    example = variant.example
    target = example.target
    assert target is not None, "every example here has one"
    proved = "proved" if variant.verification else "not proved"
    _picture(places[0], target, limits, f'target "{variant.target_class}"')
    _picture(places[1], example.x, limits, f"same features\n{proved}")
    change = as_picture(example.x - example.source)
    largest = float(np.abs(change).max()) or 1.0
    grey = change if change.ndim == 2 else change.mean(axis=2)
    places[2].imshow(grey, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    places[2].set_title("change", fontsize=8)


def _picture(axes: Axes, sample: FloatArray, limits: tuple[float, float], title: str) -> None:
    low, high = limits
    picture = (as_picture(sample) - low) / (high - low)
    axes.imshow(picture.clip(0.0, 1.0), interpolation="nearest", cmap="gray", vmin=0.0, vmax=1.0)
    axes.set_title(title, fontsize=8)


def as_picture(sample: FloatArray) -> FloatArray:
    """A sample as (height, width) or (height, width, 3).

    Raises:
        InputError: it is no picture.
    """
    shape = tuple(size for size in sample.shape if size != 1)
    match shape:
        case (pixels,) if pixels in SQUARES:
            return sample.reshape(SQUARES[pixels], SQUARES[pixels])
        case (_, _):
            return sample.reshape(shape)
        case (3, _, _):
            return np.moveaxis(sample.reshape(shape), 0, -1)
        case _:
            got = f"shape {sample.shape}"
            raise InputError("--data", expected="pictures: 784 pixels, height x width, or 3 channels", got=got)


__all__ = ["as_picture", "draw"]
