"""Figure 2: a ReLU removes a row and leaves rows that are strongly correlated [section 3.1]."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from fiberscope.network.arrays import FloatArray
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.stability.admissible import Admissibility, is_admissible
from fiberscope.stability.correlation import CorrelationBound, correlation_bound
from fiberscope.stability.singular_values import singular_values
from fiberscope.stability.spectrum import Spectrum
from fiberscope_paper.context import Context
from fiberscope_paper.drawing import BLUE, GREY, LIGHT_GREY, RED, panels
from fiberscope_paper.outcome import Claim, Outcome

TITLE = "Removing a row by ReLU leaves strongly correlated rows: an unstable inverse"

ANGLE = 0.15
"""Half the angle between the two rows that stay, in radians: both are only weakly correlated to the one removed."""

SIDE = 2.0

CLOSE_TO_ONE = 0.1
"""What "close to one" is taken to mean."""

ILL_CONDITIONED = 3.0
"""By how much the condition number must grow to say so."""


ROUNDING = 1e-12
"""Relative: in these systems Lemma 9's bound is attained, and both sides are rounded some ten times."""


@dataclass(frozen=True, eq=False)
class System:
    """Three rows in the plane, of which a ReLU removes one at x.

    Attributes:
        name: of the panel.
        A: (3, 2).
        b: (3,).
        x: (2,) the marked point.
    """

    name: str
    A: Float64[FloatArray, "3 2"]
    b: Float64[FloatArray, 3]
    x: Float64[FloatArray, 2]

    @property
    def removed(self) -> tuple[int, ...]:
        """The rows whose output at x is zero."""
        return tuple(int(i) for i in np.flatnonzero(self.A @ self.x + self.b <= 0))


@dataclass(frozen=True, eq=False)
class Measured:
    """What the removal does.

    Attributes:
        system: the rows.
        before: singular values of A.
        after: singular values of the rows that stay.
        admissible: whether exactly these rows can be removed [definition 7].
        bound: Lemma 9's, for the removed row.
    """

    system: System
    before: Spectrum
    after: Spectrum
    admissible: Admissibility
    bound: CorrelationBound


def systems() -> tuple[System, System]:
    """The unbiased and the biased setting; coordinates are ours."""
    c, s = float(np.cos(ANGLE)), float(np.sin(ANGLE))
    A = np.array([[c, s], [c, -s]]) / np.sqrt(2.0)
    rows = np.vstack([A, [0.0, 1.0]])
    return (
        System("unbiased", rows, np.zeros(3), np.array([1.2, -0.12])),
        System("biased", rows, np.array([0.4, 0.5, -0.6]), np.array([0.6, 0.0])),
    )


def measured(system: System) -> Measured:
    """Singular values before and after, and what the lemmas say."""
    kept = np.setdiff1d(np.arange(len(system.A)), system.removed)
    return Measured(
        system,
        singular_values(system.A),
        singular_values(system.A[kept]),
        is_admissible(ReLULayer(system.A, system.b), list(system.removed)),
        correlation_bound(system.A, kept, system.removed[0]),
    )


def figure2(context: Context) -> Outcome:
    """Draw both settings with the rows, the regions, and the singular values."""
    del context  # nothing is chosen at random, and there is nothing to do less of
    both = [measured(system) for system in systems()]
    caption = (
        "Arrows: the rows a_i; grey lines: where a_i x + b_i = 0; black: the marked point x; red cross: the row that "
        "the ReLU removes there. Blue: the region in which exactly this row is removed; other regions in greys by the "
        "number of rows that stay. Coordinates are ours, for what the paper draws; no data and no network."
    )
    return Outcome(
        TITLE,
        caption,
        {"systems": [_facts(each) for each in both]},
        tuple(claim for each in both for claim in claims(each)),
        figure=panels(TITLE, 9.0, 4.9, both, _panel),
        numbers=_numbers(both),
    )


def claims(found: Measured) -> tuple[Claim, ...]:
    """The paper's statements about one setting."""
    name, before, after = found.system.name, found.before.values, found.after.values
    close = bool((np.abs(before - 1.0) <= CLOSE_TO_ONE).all())
    growth = found.after.condition_number / found.before.condition_number
    rows = found.system.A / np.linalg.norm(found.system.A, axis=1, keepdims=True)
    kept = [i for i in range(len(rows)) if i not in found.system.removed]
    weak = float(np.abs(rows[kept] @ rows[found.system.removed[0]]).max())
    strong = float(abs(rows[kept[0]] @ rows[kept[1]]))
    return (
        _claim(f"{name}: the two singular values of the 3-vectors-system are close to one",
               f"{before[0]:.3f} and {before[1]:.3f}", good=close, why="the rows are others than the paper's"),
        _claim(f"{name}: the remaining vectors are weakly correlated to the removed one, and strongly to each other",
               f"cosines {weak:.2f} to the removed row, {strong:.2f} to each other", good=weak < strong / 2,
               why="the rows are others than the paper's"),
        _claim(f"{name}: what is left after the removal is badly conditioned",
               f"{after[0]:.3f} and {after[1]:.3f}: the condition number grows from "
               f"{found.before.condition_number:.2f} to {found.after.condition_number:.2f}",
               good=growth >= ILL_CONDITIONED, why="the removed row was not needed"),
        _claim(f"{name}: the removal happens for some inputs (the index set is admissible)",
               f"{'some' if found.admissible.holds else 'no'} inputs remove exactly this row",
               good=found.admissible.holds, why="no input removes exactly this row"),
        _claim(f"{name}: Lemma 9 bounds the smallest singular value after the removal",
               f"{found.bound.smallest_nonzero:.4f} measured, at most {found.bound.printed:.4f} as printed",
               good=_bounded(found.bound),
               why="the removed row is not orthogonal to the null space of the others, as the lemma asks"),
    )  # fmt: skip


def _bounded(bound: CorrelationBound) -> bool | None:
    """Whether Lemma 9 applies and its bound holds, up to the rounding of both sides."""
    if not bound.applies or bound.smallest_nonzero is None:
        return False
    return bound.smallest_nonzero <= bound.printed * (1.0 + ROUNDING) + bound.tolerance


def _claim(paper: str, told: str, *, good: bool | None, why: str) -> Claim:
    return Claim(paper, told, good, "" if good else why)


def _facts(found: Measured) -> dict[str, Any]:
    return {
        "name": found.system.name,
        "A": found.system.A.tolist(),
        "b": found.system.b.tolist(),
        "x": found.system.x.tolist(),
        "removed_rows": list(found.system.removed),
        "singular_values_before": found.before.values.tolist(),
        "singular_values_after": found.after.values.tolist(),
        "condition_number_before": found.before.condition_number,
        "condition_number_after": found.after.condition_number,
        "admissible": found.admissible.holds,
        "lemma9_printed": found.bound.printed,
        "lemma9_direct": found.bound.direct,
    }


def _numbers(both: list[Measured]) -> dict[str, Any]:
    rows = [
        (found.system.name, i, *a.tolist(), float(found.system.b[i]), i in found.system.removed)
        for found in both
        for i, a in enumerate(found.system.A)
    ]
    names = ("panel", "row", "a1", "a2", "b", "removed")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _panel(axes: Axes, found: Measured) -> None:
    system = found.system
    for signs in product((False, True), repeat=len(system.A)):
        corners = region(system, signs)
        if len(corners):
            kept = sum(signs)
            mine = tuple(i for i, positive in enumerate(signs) if not positive) == system.removed
            shade = 0.1 + 0.22 * (len(signs) - kept)
            colour, alpha = (BLUE, 0.35) if mine else (LIGHT_GREY, shade)
            axes.fill(corners[:, 0], corners[:, 1], color=colour, alpha=alpha, linewidth=0)
    for i, (a, offset) in enumerate(zip(system.A, system.b, strict=True)):
        size = float(np.linalg.norm(a))
        foot = -offset * a / size**2
        along = 3 * SIDE * np.array([-a[1], a[0]]) / size
        axes.plot(*np.stack([foot - along, foot + along]).T, color=GREY, linewidth=1.0)
        axes.annotate("", xy=tuple(foot + a), xytext=tuple(foot), arrowprops={"arrowstyle": "-|>", "color": "black"})
        if i in system.removed:
            axes.plot(*(foot + a / 2), "x", color=RED, markersize=14, markeredgewidth=2.5)
    axes.plot(*system.x, "o", color="black", markersize=4)
    axes.annotate("x", xy=tuple(system.x), xytext=(5, 4), textcoords="offset points")
    axes.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal", xticks=[], yticks=[])
    before, after = (", ".join(f"{v:.2f}" for v in s.values) for s in (found.before, found.after))
    axes.set_title(f"{system.name}: singular values {before} before, {after} after", fontsize=8)


def region(system: System, signs: tuple[bool, ...]) -> Float64[FloatArray, "k 2"]:
    """The part of the panel in which exactly the rows with True are positive, as a polygon; (0, 2) where empty."""
    corners: FloatArray = SIDE * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for a, offset, positive in zip(system.A, system.b, signs, strict=True):
        corners = _clipped(corners, a if positive else -a, float(offset if positive else -offset))
    return corners


def _clipped(corners: FloatArray, a: FloatArray, offset: float) -> FloatArray:
    """The part of a convex polygon with ``a x + offset >= 0`` (Sutherland and Hodgman)."""
    kept: list[FloatArray] = []
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        value, other = float(a @ here) + offset, float(a @ there) + offset
        if value >= 0:
            kept.append(here)
        if (value > 0 > other) or (value < 0 < other):
            kept.append(here + (there - here) * value / (value - other))
    return np.array(kept) if len(kept) > 2 else np.zeros((0, 2))


__all__ = ["Measured", "System", "claims", "figure2", "measured", "region", "systems"]
