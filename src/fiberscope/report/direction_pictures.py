"""A sample beside the input directions that its features depend on most, least, and not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fiberscope.errors import InputError
from fiberscope.files import atomic_path
from fiberscope.network.arrays import FloatArray
from fiberscope.showing.pictures import PictureFormat, direction_pixels, picture_format, shades
from fiberscope.stability.directions import InputDirections
from fiberscope.stability.inverse_stability import InverseStability

SIDE = 1.5
"""Inches of a picture's side."""
DOTS = 150
"""Dots per inch."""
SMALLEST = 1e-12
"""Relative length up to which the invariant part of a direction is rounding, and is not drawn."""


@dataclass(frozen=True, eq=False)
class DirectionRow:
    """One line of pictures.

    Attributes:
        title: what they are.
        vectors: the directions.
        labels: what is written over each.
    """

    title: str
    vectors: list[FloatArray]
    labels: list[str]


def write_direction_pictures(
    stability: InverseStability,
    path: str | os.PathLike[str],
    *,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Draw the directions at a sample into a PNG or SVG file, which appears whole or not at all.

    Every direction is drawn on a scale of its own that is symmetric around 0: of grey images in blue (below 0), white
    and red (above 0); of colour images as deviations from grey, channel by channel.

    Args:
        stability: of a network whose inputs are grey or colour images, channels first.
        path: the file to write; its suffix says the format.
        changes: further directions by name, such as the difference of two images; of each, the part is drawn in which
            the features do not change, with its share of the length.

    Returns:
        The path.

    Raises:
        InputError: the inputs are no images, or a change does not fit, or the invariant directions are not known.
        ResultsError: the file cannot be written.
    """
    layout = picture_format(stability.x[None])
    if layout is None:
        expected = "a network of grey or colour images, channels first"
        raise InputError("stability", expected=expected, got=f"inputs of shape {stability.x.shape}")
    figure = _figure(stability, direction_rows(stability, changes or {}), layout)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DOTS)
    return Path(path)


def direction_rows(stability: InverseStability, changes: Mapping[str, Any]) -> list[DirectionRow]:
    """The directions at a sample, line by line: strongest, weakest and invariant ones, as far as they are known.

    Where there are so few that some would be both, these are among the strongest only.

    Raises:
        InputError: a change does not fit, or the invariant directions are not known.
    """
    rows = [_stretched("strongest", stability.strongest)]
    if stability.weakest is not None and stability.rank is not None:
        both = max(0, len(stability.strongest) + len(stability.weakest) - stability.rank)
        rows.append(_stretched("weakest", stability.weakest, both))
    if stability.invariant is not None and len(stability.invariant):
        rows.append(_invariant(stability, stability.invariant, columns=max(2, len(stability.strongest))))
    if changes:
        rows.append(_changes(stability, "invariant part of", changes))
    return [row for row in rows if row.vectors]


def _stretched(title: str, directions: InputDirections, skipped: int = 0) -> DirectionRow:
    labels = [
        f"|J v| = {value:.3g}\n" + (f"angle < {angle:.0e}" if angle < 1 else "not determined")
        for value, angle in zip(directions.values, directions.angle, strict=True)
    ]
    return DirectionRow(title, list(directions.vectors)[skipped:], labels[skipped:])


def _invariant(stability: InverseStability, directions: InputDirections, columns: int) -> DirectionRow:
    """The invariant part of the sample itself, and as many directions as there is room for."""
    row = _changes(stability, "invariant", {"part of the sample": stability.x})
    labels = [f"|J v| < {residual:.0e}" for residual in directions.residual]
    return DirectionRow(row.title, [*row.vectors, *directions.vectors][:columns], [*row.labels, *labels][:columns])


def _changes(stability: InverseStability, title: str, changes: Mapping[str, Any]) -> DirectionRow:
    row = DirectionRow(title, [], [])
    for name, change in changes.items():
        part = stability.invariant_part(change).reshape(stability.x.shape)
        length = float(np.linalg.norm(np.asarray(change)))
        share = float(np.linalg.norm(part)) / length if length else 0.0
        row.vectors.append(part if share > SMALLEST else np.zeros_like(part))
        row.labels.append(f"{name}\n{share:.0%} of its length")
    return row


def _figure(stability: InverseStability, rows: list[DirectionRow], layout: PictureFormat) -> Any:
    columns = 1 + max((len(row.vectors) for row in rows), default=0)
    lines = max(1, len(rows))
    wide = SIDE * min(2.0, max(1.0, layout.width / layout.height))
    figure: Any = Figure(figsize=(wide * columns + 0.3, (SIDE + 0.4) * lines + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    sample = shades(stability.x[None], layout)[0]
    _draw(axes[0, 0], np.broadcast_to(sample, (*sample.shape[:2], 3)), "sample")
    for line, row in enumerate(rows):
        for column, (vector, label) in enumerate(zip(row.vectors, row.labels, strict=True), start=1):
            _draw(axes[line, column], direction_pixels(vector, layout), label)
        beside = axes[line, 1]
        beside.text(-0.05, 0.5, row.title, transform=beside.transAxes, rotation=90, va="center", ha="right", fontsize=9)
    figure.suptitle(_heading(stability), fontsize=9)
    return figure


def _heading(stability: InverseStability) -> str:
    stage = stability.J.local.network.stages[stability.J.stage]
    parts = [f"largest value {stability.largest:.3g}"]
    if stability.spectrum is not None:
        parts.append(f"smallest {stability.smallest_nonzero:.3g}, {stability.invariant_dimension} invariant dimensions")
    if stability.region_distance is not None:
        parts.append(f"up to distance {stability.region_distance:.3g}")
    return f"Input directions up to stage {stability.J.stage} ({stage.name})\n" + ", ".join(parts)


def _draw(axis: Any, pixels: Any, label: str) -> None:
    axis.imshow(pixels, interpolation="nearest")
    frame = Rectangle((-0.5, -0.5), pixels.shape[1], pixels.shape[0], fill=False, edgecolor="0.6", linewidth=0.8)
    axis.add_patch(frame)  # directions are white where they are 0
    axis.set_title(label, fontsize=8)


__all__ = ["DirectionRow", "direction_rows", "write_direction_pictures"]
