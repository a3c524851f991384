"""Figures by matplotlib's objects alone: no window system, no global state, the same bytes every time."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

RED, BLUE, GREY, LIGHT_GREY = "#c8102e", "#1f5fa8", "#8a8a8a", "#d9d9d9"
"""Unbounded and bounded in the paper's colours, told apart by readers with any colour vision; and its two strips."""

DOTS_PER_INCH = 160

LETTERS_PER_INCH = 12
"""Of a title, at most."""

T = TypeVar("T")

_rc_context = cast(Any, matplotlib).rc_context  # its type names every setting there is

_SETTINGS: Any = {"svg.hashsalt": "fiberscope", "font.size": 9.0, "axes.titlesize": 9.0}


def new_figure(width: float, height: float, title: str, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of some inches under a title of as many lines as it takes, and its axes row by row."""
    with _rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        figure.suptitle(textwrap.fill(title, width=int(LETTERS_PER_INCH * width)), fontsize=10)
    return figure, list(grid.ravel())


def panels(title: str, width: float, height: float, shown: Sequence[T], draw: Callable[[Axes, T], None]) -> Figure:
    """A figure of some inches with a panel for each thing that is shown, side by side."""
    figure, axes = new_figure(width, height, title, columns=len(shown))
    for place, each in zip(axes, shown, strict=True):
        draw(place, each)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG image."""
    buffer = io.BytesIO()
    with _rc_context(_SETTINGS):
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, with neither a date nor random names in it."""
    buffer = io.BytesIO()
    with _rc_context(_SETTINGS):
        FigureCanvasSVG(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


__all__ = ["BLUE", "DOTS_PER_INCH", "GREY", "LIGHT_GREY", "RED", "new_figure", "panels", "png_bytes", "svg_bytes"]
