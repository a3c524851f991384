"""One false claim for each condition of the checker: what only that condition refuses.

Each is a system and claims about it, of which one at least is false and none of the false ones may be proved. Names say
what the certificate lies about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fiberscope.checker.verdicts import Claim, System, prove
from plain_claims import certificate, claim, direction, floats, multipliers, radius, relations, scaling, system

UP_DOWN = [[1.0], [-1.0]]


@dataclass(frozen=True, eq=False)
class Lie:
    """Claims that are proved together, and which of them are false."""

    name: str
    system: System
    claims: tuple[Claim, ...]
    lies: tuple[int, ...] = (0,)

    def proved(self) -> bool:
        """Whether a lie is proved, in floats or in rational numbers."""
        return any(prove(self.system, self.claims, exact=exact)[k] == "" for exact in (False, True) for k in self.lies)


def one(name: str, about: System, kind: str, dimension: int | None, *, bounds: Any = None, **said: Any) -> Lie:
    """A false claim with a certificate of the same kind and dimension."""
    asked = {key: said.pop(key) for key in ("x", "y", "within") if key in said}
    written = certificate(kind, dimension, **said)
    return Lie(name, about, (claim(kind, dimension, written, m=about.weight.shape[0], bounds=bounds, **asked),))


def of_dimensions() -> Iterator[Lie]:
    """Kinds and dimensions that are not shown."""
    line, plane = system([[1.0, 0.0]]), system([[0.0, 0.0]], [-1.0])
    along = direction([0], [0.0, 1.0])
    yield one("more than is shown", line, "unbounded", 2, tangent=(None, along), recession=(None, along), x=[1.0, 0.0])
    yield one("less than is shown", plane, "unbounded", 1, counted=[0, 1], x=[0.0, 0.0])
    between = system(UP_DOWN, [-1.0, -1.0])
    both = multipliers([0, 1], [1.0, 1.0])
    ends = multipliers([0, 1], [1.0, 1.0], 1.0)
    yield one("a point of bounds", between, "singleton", None, bounds=(0, 5), x=[0.0])
    yield one("no end", system([[1.0]], [-1.0]), "bounded", 1, x=[0.0])
    yield one("no ray", between, "unbounded", 1, x=[0.0])
    yield one("rows that are not tight", between, "singleton", 0, tangent=(ends, None), x=[0.0])
    yield one("rows that are not tight, no sigma", between, "singleton", 0, tangent=(both, None), x=[0.0])
    yield one("an output of room", between, "singleton", 0, tangent=(both, direction([], [0.0])), y=[0.0, 0.0])
    yield one(
        "a point beside a row",
        system([[1.0], [1.0]]),
        "singleton",
        0,
        tangent=(None, direction([0], [1.0])),
        y=[1.0, 0.0],
    )
    yield one(
        "a point beside an equation",
        system([[1.0], [1.0]]),
        "singleton",
        0,
        tangent=(None, direction([0], [1.0])),
        y=[1.0, 2.0],
    )
    yield one(
        "a point below",
        system([[1.0]], high=1.0, box=(-9.0, 9.0)),
        "bounded",
        1,
        tangent=(None, direction([], [0.0])),
        y=[2.0],
    )
    clipped = system([[1.0], [-1.0]], [0.0, 3.0], high=1.0, box=(-9.0, 0.5))
    yield one("a point on the wrong side", clipped, "bounded", 1, tangent=(None, direction([], [0.0])), y=[1.0, 1.0])
    yield one("no point", system([[1.0]]), "singleton", 0, y=[1.0])
    yield one("outside the domain", system([[0.0]], [-1.0], box=(-9.0, 9.0)), "bounded", 1, x=[10.0])
    flat = system([[1.0, 0.0], [-1.0, 0.0]])
    yield one("rows that do not span", flat, "singleton", 0, tangent=(both, None), x=[0.0, 0.0])
    yield one("rows that do not span, of sigma", flat, "singleton", 0, tangent=(ends, None), x=[0.0, 0.0])
    corner = system([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, 0.0, 0.0], box=(-9.0, 9.0))
    down = direction([], [0.0, -1.0])
    yield one("off an equation", corner, "bounded", 1, tangent=(None, down), x=[0.0, 0.0])
    tight, pinched = system(UP_DOWN, box=(-9.0, 9.0)), system([[1.0]], box=(0.0, 9.0))
    saturated = system(UP_DOWN, [1.0, 1.0], high=1.0, box=(-9.0, 9.0))
    yield one("above an upper row", tight, "bounded", 1, tangent=(None, direction([], [1.0])), x=[0.0])
    yield one("below a lower row", pinched, "bounded", 1, tangent=(None, direction([], [-1.0])), x=[0.0])
    yield one("below a saturated row", saturated, "bounded", 1, tangent=(None, direction([], [1.0])), x=[0.0])
    yield one("nothing strict", tight, "bounded", 1, x=[0.0])
    yield one("nothing strict, saturated", saturated, "bounded", 1, x=[0.0])
    yield one("zero is not strict", tight, "bounded", 1, tangent=(None, direction([0, 1], [0.0])), x=[0.0])


def of_ranks() -> Iterator[Lie]:
    """Rows that are said to be independent, or to depend on others."""
    parallel = system([[1.0, 0.0], [2.0, 0.0]])
    apart = system(np.eye(2))
    three = system([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    yield one("parallel rows", parallel, "singleton", 0, x=[1.0, 0.0])
    yield one("a basis of parallel rows", parallel, "singleton", 0, basis=[0, 1], x=[1.0, 0.0])
    yield one("a basis of others' rows", apart, "singleton", 0, basis=[0, 1], x=[1.0, -1.0])
    yield one("a basis of too many rows", three, "singleton", 0, basis=[0, 1, 2], x=[1.0, -9.0])
    pinned = system([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]], box=([0.0, -np.inf, -np.inf], [0.0, np.inf, np.inf]))
    moving = direction([0, 1], [0.0, 0.0, 1.0], 0.1)
    at = [0.0, 1.0, 0.0]
    yield one("a basis on other columns", pinned, "singleton", 0, tangent=(None, moving), x=at)
    yield one("zeros that are held", pinned, "singleton", 0, zero=[0, 1], x=at)
    yield one("zeros that are not held", system([[0.0]]), "singleton", 0, zero=[0], x=[0.0])
    yield one("zeros of rows that read more", system([[1.0, 1.0]]), "singleton", 0, zero=[0], x=[1.0, 0.0])
    yield one("zeros of parallel rows", parallel, "singleton", 0, zero=[0, 1], x=[1.0, 0.0])
    # with a tight row that nothing is strict on, so that nothing bounds the dimension from below
    leaning = system([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -9.0])
    yield one("a basis of too many rows, of which one is equal", leaning, "singleton", 0, basis=[0, 1, 2], x=[1.0, 0.0])
    doubling = system([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    yield one("a basis of too many rows, of which two are", doubling, "singleton", 0, basis=[0, 1, 2], x=[1.0, 0.0])
    slanted = system([[1.0, 1.0], [0.0, 1.0]])
    yield one("zeros of rows that read more, and a tight one", slanted, "singleton", 0, zero=[0], x=[1.0, 0.0])
    yield one("zeros of rows that are not equal", system([[1.0]]), "singleton", 0, zero=[0], x=[0.0])
    nothing = multipliers([0], [0.0])
    yield one("one row of two columns", slanted, "singleton", 0, tangent=(nothing, None), x=[1.0, 0.0])
    # rows that depend on others, by relations that are none: a line is a plane, where it is held by one of two rows
    two = system([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], [1.0, 1.0])
    line = direction([0, 1], [0.0, 0.0, 1.0], 0.1, [0])
    plane = {"tangent": (None, line), "recession": (None, line), "x": [0.0, 0.0, 0.0]}
    yield one("no relation", two, "unbounded", 2, **plane)
    yield one("a relation that does not hold", two, "unbounded", 2, relations=relations(([1, 0], [1.0, -1.0])), **plane)
    yield one(
        "a long relation that does not hold", two, "unbounded", 2, relations=relations(([1, 0], [3.0, -1.0])), **plane
    )
    doubled = system([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1.0, 1.0, 1.0])
    line = direction([0, 1, 2], [0.0, 0.0, 1.0], 0.1, [0])
    plane = {"tangent": (None, line), "recession": (None, line), "x": [0.0, 0.0, 0.0]}
    twice = relations(([1, 0], [1.0, -2.0]), ([0, 1], [-2.0, 1.0]))
    yield one("a relation that is named twice", doubled, "unbounded", 2, relations=twice, **plane)
    nothing = relations(([2, 1, 0], [0.0, 1.0, -2.0]), ([1, 0], [1.0, -2.0]))
    yield one("a relation in which its first row counts nothing", doubled, "unbounded", 2, relations=nothing, **plane)
    apart = system([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1.0, 1.0])
    line = direction([0, 1], [0.0, 0.0, 1.0], 0.1, [0])
    plane = {"tangent": (None, line), "recession": (None, line), "x": [0.0, 0.0, 0.0]}
    for name, alike in (("one row", [1, 1]), ("a coordinate", [3, 0])):
        yield one(f"a relation of {name}", apart, "unbounded", 2, relations=relations((alike, [1.0, -1.0])), **plane)
    dead = system([[1.0, 0.0], [0.0, 0.0]], [1.0, -1.0])
    gone = relations(([1], [1.0]))
    along = direction([0], [1.0, 0.0], 0.1, [])
    yield one(
        "relations of zero rows",
        dead,
        "unbounded",
        2,
        tangent=(None, along),
        recession=(None, along),
        relations=gone,
        x=[0.0, 0.0],
    )


def of_other_relations() -> Iterator[Lie]:
    """Relations of rows that are not held."""
    beside = system([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, -2.0]], [1.0, 1.0, -1.0, -1.0])
    line = direction([0, 1], [0.0, 0.0, 1.0], 0.1, [0])
    said = {"relations": relations(([2, 3], [2.0, -1.0])), "x": [0.0, 0.0, 0.0], "recession": (None, line)}
    yield one("a relation of rows that are not held", beside, "unbounded", 2, tangent=(None, line), **said)


def of_counting() -> Iterator[Lie]:
    """Counted coordinates that rows hold."""
    boxed = {"box": (-9.0, 9.0)}
    yield one("an equation is not counted", system([[1.0]], **boxed), "bounded", 1, counted=[0], basis=[], x=[0.5])
    yield one("tight rows are not counted", system(UP_DOWN, **boxed), "bounded", 1, counted=[0], x=[0.0])
    yield one("bounds are not counted", system([[1.0]], box=(0.0, 9.0)), "bounded", 1, counted=[0], x=[0.0])
    between = system(UP_DOWN, [-1.0, -1.0])
    yield one("rows with room are not counted", between, "unbounded", 1, counted=[0], x=[0.0])
    yield one("two sides are not counted", system([[1.0]]), "unbounded", 1, counted=[0], x=[5.0], within=1.0)
    yield one("far bounds are not counted", system([[0.0]], **boxed), "unbounded", 1, counted=[0], x=[0.0])
    two = system([[1.0, 0.0]], [-1.0], **boxed)
    yield one(
        "half-spaces are not counted", system([[0.0]], G=UP_DOWN, h=[1.0, 1.0]), "unbounded", 1, counted=[0], x=[0.0]
    )
    yield one(
        "a coordinate is counted twice", system([[1.0], [0.0]]), "unbounded", 1, counted=[0, 0], basis=[], x=[1.0]
    )
    yield one("coordinates beyond the last", two, "unbounded", 2, counted=[0, 1, 2], x=[0.0, 0.0])


def of_cones() -> Iterator[Lie]:
    """Directions that leave the recession cone, and weights that do not close it."""
    between = system(UP_DOWN, [-1.0, -1.0])
    ends = multipliers([0, 1], [1.0, 1.0], 1.0)
    held = direction([0, 1], [0.0])
    yield one("no direction", between, "unbounded", 1, recession=(None, held), x=[0.0])
    yield one(
        "a direction of rounding", between, "unbounded", 1, recession=(None, direction([0, 1], [1e-300], 0.5)), x=[0.0]
    )
    yield one(
        "away from two sides",
        system([[1.0]]),
        "unbounded",
        1,
        recession=(None, direction([], [1.0])),
        x=[5.0],
        within=1.0,
    )
    yield one("above a row", between, "unbounded", 1, recession=(None, direction([], [1.0])), x=[0.0])
    yield one(
        "below a bound",
        system([[1.0]], [-1.0], box=(0.0, np.inf)),
        "unbounded",
        1,
        recession=(None, direction([], [-1.0])),
        x=[0.5],
    )
    yield one(
        "through a half-space",
        system([[-1.0]], [-1.0], G=[[1.0]], h=[1.0]),
        "unbounded",
        1,
        recession=(None, direction([], [1.0])),
        x=[0.0],
    )
    strip = system([[1.0, 0.0], [-1.0, 0.0]], [-1.0, -1.0])
    yield one("a strip", strip, "bounded", 2, recession=(ends, None), x=[0.0, 0.0])
    yield one("a strip, exactly", strip, "bounded", 2, recession=(multipliers([0, 1], [1.0, 1.0]), None), x=[0.0, 0.0])
    same = system([[1.0], [2.0]], [-1.0, -1.0])
    yield one("a negative weight", same, "bounded", 1, recession=(multipliers([0, 1], [2.0, -1.0]), None), x=[0.0])
    yield one(
        "a positive weight of a lower row",
        system([[-1.0]], [-1.0], box=(0.0, np.inf)),
        "bounded",
        1,
        recession=(multipliers([0, 1], [1.0, 0.0]), None),
        x=[0.5],
    )
    yield one(
        "a weight of a row without sides",
        system([[1.0], [-1.0]], [-1.0, 5.0], high=[np.inf, 5.0], low=[0.0, 5.0]),
        "bounded",
        1,
        recession=(ends, None),
        x=[0.0],
    )
    yield one(
        "one coordinate of two", system([[0.0, 0.0]], box=([0.0, -np.inf], [1.0, np.inf])), "bounded", 2, x=[0.5, 0.0]
    )
    yield one("bounds on one side", system([[0.0]], box=(0.0, np.inf)), "bounded", 1, x=[0.5])
    yield one(
        "held off the direction",
        system([[1.0]], [1.0]),
        "unbounded",
        1,
        tangent=(None, direction([0], [1.0])),
        recession=(None, direction([0], [1.0])),
        x=[1.0],
    )
    pinned = system([[0.0]], box=(1.0, 1.0))
    yield one(
        "a held coordinate that moves",
        pinned,
        "unbounded",
        1,
        tangent=(None, direction([1], [1.0])),
        recession=(None, direction([1], [1.0])),
        x=[1.0],
    )


def of_residuals() -> Iterator[Lie]:
    """What float64 leaves: more than a certificate says, or singular values that are smaller."""
    wide = system([[1.0, 1.0]])
    yield one(
        "more columns than rows", wide, "singleton", 0, tangent=(multipliers([0], [1.0], 0.5), None), x=[1.0, 1.0]
    )
    nearly = system([[1.0, 0.0], [-1.0, 2.0**-10]])
    for sigma in (0.0, 1.0):
        weights = multipliers([0, 1], [1.0, 1.0], sigma)
        yield one(f"nearly parallel rows, {sigma}", nearly, "singleton", 0, tangent=(weights, None), x=[0.0, 0.0])
    small_step = 2.0**-10
    turning = system([[1.0, 1.0], [small_step / 2 - 1.0, small_step - 1.0]], box=([0.0, -np.inf], np.inf))
    absorbing = multipliers([0, 1, 2], [1.0, 1.0, 0.0], 1.0)
    yield one("a weight that a correction turns", turning, "singleton", 0, tangent=(absorbing, None), x=[0.0, 0.0])
    small = multipliers([0, 1], [1e-3, 1e-3], 1.4)
    yield one("weights within their residual", system([[1.0], [1.0]]), "singleton", 0, tangent=(small, None), x=[0.0])
    # x_2 = 0 up to a residual, and two rows that only that residual leaves open
    corner = system([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, 0.0, 0.0], box=(-9.0, 9.0))
    for sigma in (0.0, 0.5, 100.0):
        off = direction([0], [0.0, -(2.0**-30)], sigma)
        yield one(f"off an equation, {sigma}", corner, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
        yield one(
            f"off an equation exactly, {sigma}",
            corner,
            "bounded",
            1,
            tangent=(None, direction([0], ([0, -1], 2**30), sigma)),
            x=[0.0, 0.0],
        )
    basis = direction([0], [0.0, -1.0], 0.5, [])
    yield one("no basis", corner, "bounded", 1, tangent=(None, basis), x=[0.0, 0.0])
    other = direction([0], [0.0, -1.0], 0.5, [1])
    yield one(
        "a basis that is not held",
        system([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, -9.0, 0.0, 0.0], box=(-9.0, 9.0)),
        "bounded",
        1,
        tangent=(None, other),
        x=[0.0, 0.0],
    )
    many = system(
        [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 0.0]], [1.0, 1.0, 0.0, 0.0, 1.0], box=(-9.0, 9.0)
    )
    full = direction([0, 1, 4], [-(2.0**-40), -(2.0**-30)], 0.5)
    yield one("more rows than columns", many, "bounded", 1, tangent=(None, full), basis=[0], x=[0.0, 0.0])


def of_corrections() -> Iterator[Lie]:
    """Directions that are exact only after a correction, which undoes what they seem to show."""
    e = 2.0**-30
    equal = system([[1.0, -1.0]], [1.0], box=([0.0, -9.0], [9.0, 0.0]))
    apart = direction([0], [e, -e], 1.4)
    yield one("coordinates within a correction", equal, "bounded", 1, tangent=(None, apart), x=[0.0, 0.0])
    leaning = system([[1.0, 2.0**-10], [-1.0, 0.0], [0.0, -1.0]], [1.0, -1.0, -1.0])
    yield one(
        "a row on what a correction moves",
        leaning,
        "unbounded",
        1,
        recession=(None, direction([0], [0.0, 1.0], 0.9)),
        x=[0.0, 0.0],
    )
    pinched = system([[1.0]])
    tiny = direction([0], [1e-300], 0.5)
    yield one("a direction within its correction", pinched, "unbounded", 1, recession=(None, tiny), x=[5.0], within=1.0)
    tenths = system([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [0.1, 0.2, -0.3], [0.0, 0.0, -1.0]], [1.0, 1.0, -1.0, -1.0])
    ones = direction([0, 1], [1.0, 1.0, 1.0])
    yield one("a row that rounding hides", tenths, "unbounded", 1, recession=(None, ones), x=[0.0, 0.0, 0.0])
    chain, last = np.eye(5)[:4] - np.eye(5, k=1)[:4], -np.eye(5)[4:]
    big = 1e16  # in one of these orders of terms, 1 vanishes beside it
    for row in ([big, 1.0, -big, 0.0, -0.5], [big, -big, 1.0, 0.0, -0.5], [0.0, 1.0, -big, big, -0.5]):
        steep = system([*chain, *last, row], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0], box=(-9.0, 9.0))
        part = direction([0, 1, 2, 3], np.ones(5))
        yield one(f"a row that rounding turns, {row}", steep, "bounded", 1, tangent=(None, part), x=np.zeros(5))
    e = 1e-20
    hidden = system(
        [[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 1.0, -1.0]], [1.0, 1.0], box=([0.0, -9.0, -9.0, -9.0], [9.0, 0.0, 9.0, 9.0])
    )
    part = direction([0, 1], [e, -e, 1.0, 1.0], 0.5)
    yield one("a residual that rounding hides", hidden, "bounded", 2, tangent=(None, part), x=np.zeros(4))


def of_reading() -> Iterator[Lie]:
    """Numbers that name a row twice, or another than they seem to; sizes that are none."""
    ray = system([[1.0]])
    twice = multipliers([0, 0], [-1.0, 1.0])
    yield one("a row that is named twice", ray, "singleton", 0, tangent=(twice, None), x=[0.0])
    behind = multipliers([0, -3, 2], [-1.0, 1.0, 0.0])
    corner = system([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    yield one("a row that is counted from the end", corner, "singleton", 0, tangent=(behind, None), x=[0.0, 1.0])
    held = system([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, 0.0, 0.0], box=(-9.0, 9.0))
    for number in (-1.0, np.nan):
        off = direction([0], [0.0, -(2.0**-30)], number)
        yield one(f"a size of {number}", held, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
    moved = direction([3], [0.0, -1.0], 0.0)
    right = direction([], [1.0])
    half = system([[-1.0]], [-1.0], G=[[1.0]], h=[1.0])
    units = {"scaling": scaling([0], [0]), "recession": (None, right), "x": [0.0]}
    yield one("units for the layer only", half, "unbounded", 1, **units)
    yield one("units for no coordinate", system([[0.0]]), "singleton", 0, scaling=scaling([0], []), x=[0.0])
    pinned = system([[1.0, 1.0], [-1.0, 1.0]], box=([-9.0, 0.0], [9.0, 0.0]))
    yield one("a pinned coordinate that moves", pinned, "bounded", 1, tangent=(None, moved), x=[0.0, 0.0])


def of_outputs() -> Iterator[Lie]:
    """Outputs that are said to have no preimage, or a point that is none."""
    zero = multipliers([0, 1], [1.0, 1.0])
    yield one("sides that sum to 0", system(UP_DOWN), "empty", None, tangent=(zero, None), y=[0.0, 0.0])
    yield one("nothing that contradicts", system(UP_DOWN), "empty", None, y=[0.0, 0.0])
    yield one("an input", system(UP_DOWN), "empty", None, tangent=(zero, None), x=[0.0])
    tops = system([[1.0], [1.0]], [2.0, 0.0], high=1.0)
    apart = multipliers([0, 1], [1.0, -1.0])
    yield one("an upper side that is missing", tops, "empty", None, tangent=(apart, None), y=[1.0, 1.0])
    yield one(
        "a lower side that is missing",
        system([[1.0], [1.0]], [2.0, 0.0]),
        "empty",
        None,
        tangent=(apart, None),
        y=[0.0, 0.0],
    )
    far = multipliers([0, 1], [-1.0, 1e-3], 5e-11)
    yield one(
        "a sign that is not certain",
        system([[1.0], [1000.0]], [0.0, -5000.0]),
        "empty",
        None,
        tangent=(far, None),
        y=[1.0, 0.0],
    )
    close = 1.0 + 2.0**-20
    yield one(
        "a residual of equations",
        system([[1.0], [close]]),
        "empty",
        None,
        tangent=(multipliers([0, 1], [1.0, -1.0], 1.0), None),
        y=[1.0, close],
    )
    third = system([[1.0], [close], [1.0]], [0.0, 0.0, -5.0])
    unsigned = multipliers([0, 1, 2], [1.0, -1.0, 0.0], 1.7)
    yield one("a weight of 0 up to a residual", third, "empty", None, tangent=(unsigned, None), y=[1.0, close, 0.0])
    absorbed = multipliers([0, 1], [1.0, 0.0])
    yield one("a bound that is missing", system([[1.0]], [1.0]), "empty", None, tangent=(absorbed, None), y=[0.0])
    yield one(
        "a bound that is on the other side",
        system([[1.0]], [1.0], box=(-np.inf, 0.0)),
        "empty",
        None,
        tangent=(absorbed, None),
        y=[0.0],
    )
    v, place = floats([[0.1], [0.2], [-0.3]]), 2.0**50
    tenths = system(v, -v[:, 0] * place, box=(place, place))
    yield one(
        "weights that rounding makes",
        tenths,
        "empty",
        None,
        tangent=(multipliers([0, 1, 2, 3], [1.0, 1.0, 1.0, 0.0]), None),
        y=[0.0, 0.0, 0.0],
    )
    mirrored = system(-v, -v[:, 0] * place, box=(-place, -place))
    weights = multipliers([0, 1, 2, 3], [1.0, 1.0, 1.0, 0.0])
    yield one("weights that rounding makes, mirrored", mirrored, "empty", None, tangent=(weights, None), y=[0.0] * 3)
    ranks = multipliers([0, 1], None)
    yield one(
        "rows that are no equations",
        system([[1.0], [1.0]], [0.0, -1.0]),
        "empty",
        None,
        tangent=(ranks, None),
        y=[0.0, 0.0],
    )
    yield one(
        "a coordinate among equations", system([[2.0]], box=(1.0, 1.0)), "empty", None, tangent=(ranks, None), y=[2.0]
    )
    yield one("equations that agree", system([[1.0], [2.0]]), "empty", None, tangent=(ranks, None), y=[1.0, 2.0])
    yield one(
        "dependent equations that agree",
        system([[1.0, 0.0], [2.0, 0.0]]),
        "empty",
        None,
        tangent=(ranks, None),
        y=[1.0, 2.0],
    )
    # points of outputs
    beyond = system([[1.0]], box=(-9.0, 1.0 - 2.0**-31))
    near = direction([0], [1.0 - 2.0**-30], 0.9)
    yield one("a bound within a correction", beyond, "singleton", 0, tangent=(None, near), y=[1.0])
    eps = 2.0**-30
    equation = system([[1.0], [1.0]], [0.0, -1.0 + eps / 2], box=(-9.0, 9.0))
    yield one(
        "a point within its residual",
        equation,
        "singleton",
        0,
        tangent=(None, direction([0], [1.0 - eps], 0.9)),
        y=[1.0, 0.0],
    )
    clashing = system([[1.0], [1.0]])
    apart_by_rounding = {"tangent": (None, direction([0, 1], [1.0], 0.9)), "basis": [0], "y": [1.0, 1.0 + 2.0**-40]}
    yield one("more equations than coordinates", clashing, "singleton", 0, **apart_by_rounding)
    yield one(
        "equations that disagree",
        clashing,
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0], 0.5, [0])),
        relations=relations(([1, 0], [1.0, -1.0])),
        y=[1.0, 2.0],
    )
    yield one(
        "equations that disagree, of no sigma",
        clashing,
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0])),
        y=[1.0, 2.0],
    )
    yield one(
        "inequalities that hold a point",
        system([[1.0], [-1.0]], [1.0, 0.0]),
        "singleton",
        0,
        tangent=(multipliers([0, 1], [1.0, 1.0]), direction([0, 1], [0.0], 0.5, [0])),
        relations=relations(([1, 0], [1.0, 1.0])),
        y=[0.0, 0.0],
    )
    zeros = system([[0.0], [1.0]])
    yield one(
        "a zero row off its side", zeros, "singleton", 0, tangent=(None, direction([0, 1], [1.0], 0.5)), y=[1.0, 1.0]
    )
    yield one(
        "a zero row above its side",
        system([[0.0], [1.0]], [1.0, 0.0]),
        "singleton",
        0,
        tangent=(None, direction([1], [1.0], 0.5)),
        y=[0.0, 1.0],
    )
    yield one(
        "a coordinate held off its bounds",
        system([[0.0]], box=(1.0, 1.0)),
        "singleton",
        0,
        tangent=(None, direction([1], [0.0])),
        y=[0.0],
    )
    yield one(
        "a coordinate beyond its bound",
        system([[1.0]], box=(-np.inf, 0.0)),
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0])),
        y=[1.0],
    )
    yield one(
        "a coordinate below its bound",
        system([[-1.0]], box=(0.0, np.inf)),
        "singleton",
        0,
        tangent=(None, direction([0, 1], [-1.0])),
        y=[1.0],
    )
    monotone = system([[1.0], [1.0]], monotone=[True, False])
    yield one(
        "outputs that are no rational numbers",
        monotone,
        "unbounded",
        1,
        recession=(None, direction([], [-1.0])),
        tangent=(None, direction([], [-1.0])),
        y=[0.0, 0.0],
    )
    impossible = system([[1.0]])
    yield one(
        "an output of no input",
        impossible,
        "unbounded",
        1,
        tangent=(None, direction([], [-2.0])),
        recession=(None, direction([], [-1.0])),
        y=[-1.0],
    )


def of_batches() -> Iterator[Lie]:
    """Two samples that share a certificate, and hold different coordinates."""
    layer = system([[1.0, 1.0, 0.0]], box=(0.0, np.inf))
    ray, weights = direction([0, 1, 2], [0.0, 0.0, 1.0]), multipliers([0, 1, 2], [1.0, 0.0, 0.0])
    said = certificate("unbounded", None, tangent=(weights, ray), recession=(None, ray))
    claims = tuple(claim("unbounded", 1, said, x=x, m=1) for x in ([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]))
    yield Lie("other coordinates in a batch", layer, claims, (1,))


def of_shared_products() -> Iterator[Lie]:
    """Products of rows that many proofs ask for, where they are not what is asked for."""
    near = 2.0**-20
    weight = [[1.0, 1.0, 0.0, 0.0], [-1.0, 1.0, near, 0.0], [0.0, 0.0, -1.0, 1.0], [0.0, 0.0, -1.0, -1.0]]
    layer = replace(system(weight, [1.0, 1.0, -1.0, -1.0]), box_low=floats([0.0, *[-np.inf] * 3]))
    layer = replace(layer, box_high=floats([0.0, *[np.inf] * 3]))
    asking = [_along(held, [0.0] * 4, 0.5) for held in ([0], [0, 1])]
    off = _along([0, 1, 4], [0.0, 0.0, 1.0, 0.0], 0.5)
    claims = [claim("unbounded", 1, said, x=[0.0] * 4, m=4) for said in (*asking, off)]
    yield Lie("rows that only a held coordinate tells apart", layer, tuple(claims), (2,))
    weight = [[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [1.0, 0, 0, 0, 0], [0, 0, 1.0, 0, 0]]
    layer = system(weight, [1.0, 1.0, 1.0, -1.0])
    asking = [_along(held, [0.0] * 5, 0.5) for held in ([0], [0, 1], [0, 1, 3])]
    ray = direction([0, 1, 2], [0.0, 0.0, 0.0, 1.0, 0.0])
    equal = certificate("unbounded", None, recession=(None, ray), basis=[0, 1, 2])
    claims = [claim("unbounded", 2, said, x=[0.0] * 5, m=4) for said in (*asking, equal)]
    yield Lie("equal rows, one of them in no product", layer, tuple(claims), (3,))


def _along(held: list[int], values: list[float], sigma: float) -> bytes:
    """A certificate with this direction, of both cones."""
    part = direction(held, values, sigma)
    return certificate("unbounded", None, tangent=(None, part), recession=(None, part)).to_bytes()


def of_precisions() -> Iterator[Lie]:
    """Outputs at an input that are known up to something."""
    rank = certificate("singleton", 0)
    claims = [claim("singleton", 0, rank, x=[2.0], m=1, within=within) for within in (0.0, 5.0)]
    yield Lie("an output that is less well known than another", system([[1.0]]), tuple(claims), (1,))
    up, down = multipliers([0, 1], [1.0, 1.0]), multipliers([0, 1], [-1.0, -1.0])
    for name, low, high, weights in (("low", 0.0, np.inf, up), ("high", -1.0, 0.0, down)):
        clip = system(UP_DOWN, low=low, high=high)
        yield one(f"a kink near by, {name}", clip, "singleton", 0, tangent=(weights, None), x=[0.0], within=0.5)
    for name, x, weights in (("over", 10.0, [-1.0, 1.0]), ("under", -10.0, [1.0, -1.0])):
        clip = system([[1.0]], high=1.0, box=(-np.inf, 20.0) if x > 0 else (-20.0, np.inf))
        ends = (multipliers([0, 1], weights), None)
        yield one(f"a precision {name} the whole clip", clip, "bounded", 1, recession=ends, x=[x], within=2.0)
    held = {"recession": (multipliers([0], [1.0], 0.5), None), "x": [2.0]}
    for name, within in (("below", [[np.inf], [1.0]]), ("above", [[1.0], [np.inf]])):
        yield one(f"no end {name}", system([[1.0]]), "bounded", 1, within=within, **held)
    corner, apart = system(UP_DOWN, [0.0, 4.0]), [[0.0, 0.0], [1.0, 1.0]]
    yield one("ends at the output itself", corner, "bounded", 1, within=apart, **held)


def of_sides() -> Iterator[Lie]:
    """Where an output that is known to an interval has no side, and where it has one."""
    never = multipliers([0, 1], [1.0, 1.0]), None
    yield one(
        "an end at infinity",
        system(UP_DOWN, [0.0, 1.0]),
        "empty",
        -1,
        tangent=never,
        y=([1.0, 0.0], [np.inf, 0.0]),
    )
    yield one(
        "a side that rounding hides",
        system([[1.0]], low=1.0, box=(-np.inf, 5.0)),
        "unbounded",
        1,
        tangent=(None, direction([], [3.0])),
        recession=(None, direction([], [-1.0])),
        y=([1.0 + 2.0**-52], [4.0]),
        within=2.0**-53 + 2.0**-60,
    )


def of_statements() -> Iterator[Lie]:
    """Claims that contradict themselves, their certificate, or what a claim is."""
    between, point = system(UP_DOWN, [-1.0, -1.0], box=(-9.0, 9.0)), system([[1.0]])
    honest = certificate("bounded", 1)
    for name, kind, dimension, bounds in (
        *(("another kind", "singleton", 0, None), ("another dimension", "bounded", 2, None)),
        *(("no kind", "full", 1, None), ("bounds upside down", "bounded", None, (2, 1))),
        *(("too low", "bounded", None, (-5, 0)), ("a point of a dimension", "singleton", 1, None)),
    ):
        yield Lie(name, between, (claim(kind, dimension, honest, x=[0.0], m=2, bounds=bounds),))
    yield Lie("of two dimensions", between, (claim("bounded", 1, certificate("bounded", 2), x=[0.0], m=2),))
    yield Lie("empty of a dimension", point, (claim("empty", None, certificate("empty"), y=[-1.0], bounds=(1, 1)),))
    yield Lie("empty of dimension 0", point, (claim("empty", 0, certificate("empty"), y=[-1.0]),))
    single = certificate("singleton", 0)
    for name, asked in (
        *(("x and y", {"x": [1.0], "y": [2.0]}), ("neither", {"m": 1}), ("no number", {"x": [np.nan], "m": 1})),
        *(("infinite", {"x": [np.inf], "m": 1}), ("negative", {"x": [1.0], "m": 1, "within": -1.0})),
        *(("long", {"x": [1.0, 2.0], "m": 1}), ("NaN within", {"x": [1.0], "m": 1, "within": np.nan})),
        *(("endless", {"x": [1.0], "m": 1, "within": np.inf}), ("a matrix", {"x": [[1.0]], "m": 1})),
    ):
        yield Lie(f"an input: {name}", point, (claim("singleton", 0, single, **asked),))
    place = certificate("singleton", 0, tangent=(None, direction([0], [1.0])))
    for low, high in (([2.0], [1.0]), ([np.inf], [np.inf]), ([np.nan], [1.0]), ([1.0, 1.0], [1.0, 1.0])):
        said = claim("singleton", 0, place, y=(low, high), m=1)
        yield Lie(f"an output: {low} {high}", point, (said,))
    nothing = certificate("empty")
    yield Lie("an interval upside down", point, (claim("empty", None, nothing, y=([2.0], [-1.0])),))
    yield Lie("minus infinity", point, (claim("empty", None, nothing, y=([-np.inf], [-np.inf])),))
    yield Lie("a negative precision", point, (claim("empty", None, nothing, y=[0.0], within=-1.0),))


def of_numbers() -> Iterator[Lie]:
    """Arrays that are not made of finite float64 numbers, and sparse rows that store a place more than once."""
    left, right = _both_ways()
    down, up = (certificate("unbounded", 1, recession=(None, part), tangent=(None, part)) for part in (left, right))
    ray = system([[1.0]], [-(2.0**53)])
    said = replace(claim("unbounded", 1, down, x=[0.0], m=1), x=np.array([2**53 + 1]))
    yield Lie("an input of integers that float64 rounds", ray, (said,))
    whole = replace(ray, weight=np.array([[2**53 + 1]]))
    yield Lie("a weight of integers that float64 rounds", whole, (claim("unbounded", 1, down, x=[1.0], m=1),))
    yield Lie("an input at infinity", system([[1.0]]), (claim("unbounded", 1, down, x=[np.inf], m=1),))
    for name, written in (("down", down), ("up", up)):
        endless = system([[np.inf]], [-1.0])
        yield Lie(f"a weight of infinity, {name}", endless, (claim("unbounded", 1, written, x=[0.0], m=1),))
    neither = replace(system([[1.0]] * 3), monotone=np.array([2, 2, 2]))
    yield one("units that are not yes or no", neither, "singleton", 0, x=[1.0])
    ends = multipliers([0, 1], [1.0, 1.0], 1.0)
    between = {"recession": (ends, None), "x": [-5.0]}
    yield one("one bias for two units", replace(system(UP_DOWN), bias=floats([-1.0])), "bounded", 1, **between)
    endless = replace(system([[1.0]]), bias=floats([-np.inf]))
    yield Lie("an infinite bias", endless, (claim("unbounded", 1, down, x=[0.0], m=1),))
    beside = replace(system(UP_DOWN), bias=np.array([-(2**53) - 1, 2**53]))
    yield one("a bias of integers that float64 rounds", beside, "singleton", 0, tangent=(ends, None), x=[2.0**53])
    step = replace(system([[-1.0]], [2.0**53], G=[[1.0]], h=[0.0]), h=np.array([2**53 + 1]))
    sides = multipliers([0, 2], [1.0, 1.0], 1.0)
    yield one("a half-space of integers that float64 rounds", step, "singleton", 0, tangent=(sides, None), x=[2.0**53])
    # nine times the same place: the row is 9 there, and as long as 3
    data, places = np.ones(21), [1, 0, *[1] * 9, 0, *[1] * 9]
    data[11] = -1.0
    stored = csr_array((data, np.array(places), np.array([0, 1, 11, 21])), shape=(3, 2))
    corner = replace(system([[0.0, 1.0]] * 3, [1.0, 0.0, 0.0], box=(-9.0, 9.0)), weight=stored, G=csr_array((0, 2)))
    off = direction([0], [0.0, -(2.0**-30)], 0.9)
    yield one("a place that is stored nine times", corner, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
    free = system([[0.0]], [-1.0])
    yield Lie(
        "a bound that is no number",
        replace(free, box_high=floats([np.nan])),
        (claim("unbounded", 1, up, x=[0.0], m=1),),
    )
    pinned = replace(free, box_low=np.array([2**53 + 1]), box_high=np.array([2**53 + 1]))
    yield one("bounds of integers that float64 rounds", pinned, "singleton", 0, x=[2.0**53])
    short = replace(system([[0.0, 0.0]], [-1.0]), box_high=floats([1.0]))
    diagonal = direction([], [-1.0, -1.0])
    yield one("one bound for two coordinates", short, "unbounded", 2, recession=(None, diagonal), x=[0.0, 0.0])
    yield one("outputs that no number is", system([[1.0]], low=np.inf), "unbounded", 1, recession=(None, left), x=[0.0])
    known = {"recession": (multipliers([0], [1.0], 0.5), None), "x": [0.0], "within": 1.0}
    yield one("a precision of a monotone unit", system([[1.0]], monotone=True), "bounded", 1, **known)


def _both_ways() -> tuple[Any, Any]:
    return direction([], [-1.0]), direction([], [1.0])


def all_of_them() -> list[Lie]:
    """The table."""
    families = (
        *(
            of_dimensions,
            of_ranks,
            of_other_relations,
            of_counting,
            of_cones,
            of_residuals,
            of_corrections,
            of_reading,
            of_outputs,
            of_batches,
            of_shared_products,
            of_precisions,
            of_sides,
            of_statements,
            of_numbers,
        ),
    )
    return [each for family in families for each in family()]


def short_radii() -> list[str]:
    """Bounds on sizes that are too small."""
    out: list[str] = []
    between = system(UP_DOWN, [-0.1, -0.45])
    for sigma in (0.0, 0.5, 1.41):
        said = certificate("bounded", 1, recession=(multipliers([0, 1], [1.0, 1.0], sigma), None))
        if not radius(between, claim("bounded", 1, said, x=[0.0], m=2), floats([0.0])) >= 0.45:
            out.append(f"a segment of sigma {sigma}")
    return out
