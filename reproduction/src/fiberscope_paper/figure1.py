"""Figure 1: omnidirectional tuples, and the ways to fail, drawn from computed verdicts [section 2.1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.algorithm1 import algorithm1
from fiberscope.preimages.omnidirectional import Omnidirectionality, omnidirectional
from fiberscope.preimages.verify import verify
from fiberscope_paper.context import Context
from fiberscope_paper.drawing import BLUE, GREY, RED, panels
from fiberscope_paper.outcome import Claim, Outcome

SIDE = 2.2
"""The panels show p in the middle of a square of twice this side."""

TITLE = "Omnidirectional tuples (A, b), and the ways to fail"


@dataclass(frozen=True, eq=False)
class Tuple:
    """Rows and offsets in the plane, and what the paper shows with such a tuple.

    Attributes:
        name: of the panel.
        A: (m, 2).
        b: (m,).
        p: (2,) the point.
        paper: what the paper says about a tuple of this kind.
        meets: whether it says that all hyperplanes meet in p.
        directional: whether it says that the rows are omnidirectional.
    """

    name: str
    A: Float64[FloatArray, "m 2"]
    b: Float64[FloatArray, " m"]
    p: Float64[FloatArray, " 2"]
    paper: str
    meets: bool
    directional: bool


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is decided about a tuple.

    Attributes:
        shown: the tuple.
        rows: whether the rows are omnidirectional.
        whole: whether the tuple is, for p.
        proved: whether both certificates prove it, in rational arithmetic.
        printed: whether Algorithm 1 answers that ``{x : A x <= 0}`` is finite.
    """

    shown: Tuple
    rows: Omnidirectionality
    whole: Omnidirectionality
    proved: bool
    printed: bool

    @property
    def vector_free(self) -> Float64[FloatArray, " 2"] | None:
        """Where there is one, d with ``A d <= 0``: the open half-space ``<v, d> > 0`` holds no row."""
        recession = self.rows.certificate.recession
        found = None if recession is None else recession.direction
        if found is None or not isinstance(found.values, np.ndarray):
            return None  # none, or one in rational numbers
        values = np.asarray(found.values, np.float64)
        return values / float(np.linalg.norm(values))


def tuples() -> tuple[Tuple, ...]:
    """Four tuples of the kinds that the paper draws; the coordinates are ours."""
    p = np.array([0.5, -0.25])

    def through_p(*rows: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
        A = np.array(rows)
        return A, -A @ p

    around, half = [(1.0, 0.25), (-0.5, 1.0), (-0.5, -1.0)], [(1.0, 0.5), (0.25, 1.0), (-0.5, 1.0)]
    closed = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0)]
    A, b = through_p(*around)
    free = "the hyperplanes meet in p, but there is a vector-free half-space: not omnidirectional"
    return (
        Tuple("omnidirectional", A, b, p, "hyperplanes meet in p, rows omnidirectional: an omnidirectional tuple",
              meets=True, directional=True),
        Tuple("vector-free half-space", *through_p(*half), p, free, meets=True, directional=False),
        Tuple("rows on its border", *through_p(*closed), p, free, meets=True, directional=False),
        Tuple("no common point", A, b - np.array([0.5, 0.5, 0.5]), p,
              "the hyperplanes do not meet in a point, but rows are omnidirectional", meets=False, directional=True),
    )  # fmt: skip


def judged(shown: Tuple) -> Verdict:
    """Decide and prove what holds for a tuple."""
    rows, whole = omnidirectional(shown.A), omnidirectional(shown.A, shown.b, shown.p)
    proved = all(bool(verify(each.cone, exact=True)) for each in (rows, whole))
    zeros = np.zeros(len(shown.A))
    return Verdict(shown, rows, whole, proved, algorithm1(shown.A, zeros, zeros))


def figure1(context: Context) -> Outcome:
    """Draw four tuples with what is decided about each."""
    del context  # nothing is chosen at random, and there is nothing to do less of
    verdicts = [judged(shown) for shown in tuples()]
    wrong = [verdict.shown.name for verdict in verdicts if verdict.printed != verdict.rows.holds]
    caption = (
        "Grey: hyperplanes a_i x + b_i = 0; arrows: the rows a_i, drawn from a point of their hyperplane; black: p. "
        "Red: a half-space that holds no row, as the computed certificate says. Coordinates are ours, four tuples of "
        f"the kinds that the paper draws; no data and no network. {sum(v.proved for v in verdicts)} of {len(verdicts)} "
        "verdicts are proved in rational arithmetic."
    )
    facts = {"tuples": [_facts(verdict) for verdict in verdicts], "algorithm1_wrong_at": wrong}
    return Outcome(
        TITLE,
        caption,
        facts,
        (*(claim(verdict) for verdict in verdicts), printed_claim(verdicts)),
        figure=panels(TITLE, 11.0, 3.4, verdicts, _panel),
        numbers=_numbers(verdicts),
        unproved=sum(not verdict.proved for verdict in verdicts),
    )


def claim(verdict: Verdict) -> Claim:
    """The paper's caption beside the verdict on one tuple."""
    shown, rows, whole = verdict.shown, verdict.rows.holds, verdict.whole.holds
    wanted = (shown.directional, shown.directional and shown.meets)
    good = (rows, whole) == wanted
    meet = "b = -A p" if np.array_equal(shown.b, -shown.A @ shown.p) else "b is not -A p"
    told = f"rows omnidirectional: {_word(rows)}; {meet}; the tuple is omnidirectional for p: {_word(whole)}"
    return Claim(f"{shown.name}: {shown.paper}", told, good, "" if good else "these coordinates show something else")


def printed_claim(verdicts: list[Verdict]) -> Claim:
    """Algorithm 1 on the rows of the panels."""
    wrong = [verdict.shown.name for verdict in verdicts if verdict.printed != verdict.rows.holds]
    told = "the same as the verdicts" if not wrong else f"finite for: {', '.join(wrong)}; these are unbounded"
    why = (
        "here 0 lies on the border of the hull of the rows; Theorem 5 asks for the interior, and the algorithm does not"
    )
    return Claim(
        "0 can be assumed not to lie on the boundary of the convex hull of the rows (appendix A3), so that Algorithm 1 "
        "tells finite from infinite",
        told,
        not wrong,
        why if wrong else "",
    )


def _word(holds: bool | None) -> str:
    return {True: "yes", False: "no", None: "undecided"}[holds]


def _facts(verdict: Verdict) -> dict[str, Any]:
    free = verdict.vector_free
    return {
        "name": verdict.shown.name,
        "A": verdict.shown.A.tolist(),
        "b": verdict.shown.b.tolist(),
        "p": verdict.shown.p.tolist(),
        "rows_omnidirectional": verdict.rows.holds,
        "tuple_omnidirectional": verdict.whole.holds,
        "vector_free_direction": None if free is None else free.tolist(),
        "algorithm1_finite": verdict.printed,
        "proved": verdict.proved,
    }


def _numbers(verdicts: list[Verdict]) -> dict[str, Any]:
    rows = [
        (v.shown.name, *a.tolist(), float(c), v.rows.holds, v.whole.holds)
        for v in verdicts
        for a, c in zip(v.shown.A, v.shown.b, strict=True)
    ]
    names = ("panel", "a1", "a2", "b", "rows_omnidirectional", "tuple_omnidirectional")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _panel(axes: Axes, verdict: Verdict) -> None:
    shown = verdict.shown
    for a, offset in zip(shown.A, shown.b, strict=True):
        size = float(np.linalg.norm(a))
        foot = shown.p - (a @ shown.p + offset) * a / size**2  # the point of the hyperplane next to p
        along = np.array([-a[1], a[0]]) / size
        line = np.stack([foot - 3 * SIDE * along, foot + 3 * SIDE * along])
        axes.plot(line[:, 0], line[:, 1], color=GREY, linewidth=1.0)
        axes.annotate("", xy=tuple(foot + a), xytext=tuple(foot), arrowprops={"arrowstyle": "-|>", "color": BLUE})
    free = verdict.vector_free
    if free is not None:
        along = np.array([-free[1], free[0]])
        corners = np.stack([shown.p + s * 5 * along + t * 5 * free for s, t in ((-1, 0), (1, 0), (1, 1), (-1, 1))])
        axes.fill(corners[:, 0], corners[:, 1], color=RED, alpha=0.2, linewidth=0)
    axes.plot(*shown.p, "o", color="black", markersize=4)
    axes.annotate("p", xy=tuple(shown.p), xytext=(5, 5), textcoords="offset points")
    axes.set_xlim(float(shown.p[0]) - SIDE, float(shown.p[0]) + SIDE)
    axes.set_ylim(float(shown.p[1]) - SIDE, float(shown.p[1]) + SIDE)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    words = f"rows: {_word(verdict.rows.holds)}; for p: {_word(verdict.whole.holds)}"
    axes.set_title(f"{shown.name}\n{words}", fontsize=8)


__all__ = ["Tuple", "Verdict", "claim", "figure1", "judged", "printed_claim", "tuples"]
