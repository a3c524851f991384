"""Axes to draw on: matplotlib is imported when something is drawn, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiberscope.errors import FiberscopeError, InputError, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_of(ax: Axes | None) -> Any:
    """The axes to draw on: those that were given, or new ones of pyplot, which notebooks show.

    Raises:
        FiberscopeError: matplotlib is not installed.
        InputError: something else was given.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise FiberscopeError("plots need matplotlib; install it with: pip install matplotlib") from error
    if ax is None:
        import matplotlib.pyplot as plt

        made: Any = plt.subplots()[1]
        return made
    if not isinstance(ax, Axes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("ax", expected="axes of matplotlib, as plt.subplots() gives, or None", got=shown(ax))
    return ax


def no_data(ax: Any, text: str) -> Any:
    """Axes that say why nothing is drawn."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", wrap=True)
    ax.set_axis_off()
    return ax


__all__ = ["axes_of", "no_data"]
