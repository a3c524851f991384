"""False claims about the faces of a preimage: kinds, dimensions, ranks, counted coordinates, and cones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from lies import UP_DOWN, Lie, one

from plain_claims import certificate, claim, direction, floats, multipliers, relations, system


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
    corner, none = system([[1.0], [1.0]], [-1.0, 0.0], box=(0.0, 5.0)), direction([], [0.0])
    for name, way in (("a second point that is none", none), ("a second point outside", direction([], [1.0]))):
        yield one(name, corner, "bounded", None, bounds=(1, 1), tangent=(None, way), x=[0.0])
        yield one(f"{name}, away", corner, "bounded", None, bounds=(1, 1), recession=(None, way), x=[0.0])
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


def of_batches() -> Iterator[Lie]:
    """Two samples that share a certificate, and hold different coordinates."""
    layer = system([[1.0, 1.0, 0.0]], box=(0.0, np.inf))
    ray, weights = direction([0, 1, 2], [0.0, 0.0, 1.0]), multipliers([0, 1, 2], [1.0, 0.0, 0.0])
    said = certificate("unbounded", None, tangent=(weights, ray), recession=(None, ray))
    claims = tuple(claim("unbounded", 1, said, x=x, m=1) for x in ([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]))
    yield Lie("other coordinates in a batch", layer, claims, (1,))


def of_rows_in_a_batch() -> Iterator[Lie]:
    """Rows that several certificates of a batch hold, and that are equal, or told apart by a held coordinate alone."""
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
