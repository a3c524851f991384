"""Cases about rows: zero, duplicate, antiparallel, dependent, and rows that are tight at the point."""

from __future__ import annotations

from case_tables.case import EMPTY, SINGLETON, bounded, case, unbounded
from fiberscope.network.domains import Box, HalfSpaces

ALGORITHM_1_ERRS = (
    case("printed: antiparallel pair and one row", [[1, 0], [-1, 0], [0, 1]], unbounded(1), "d = (0, -1)", x=[0, -1]),
    case(
        "printed: zero row",
        [[1, 0], [0, 1], [0, 0]],
        unbounded(2),
        "d = (-1, -1); the zero row says nothing",
        x=[-1, -1],
    ),
    case("printed: rank-deficient antiparallel pair", [[1, 0], [-1, 0], [2, 0]], unbounded(1), "x2 is free", x=[0, 3]),
    case(
        "printed: zero row behind a positive row",
        [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]],
        unbounded(2),
        "in null(A_P) the rows are those of the case before",
        x=[-1, -1, 2],
    ),
)
"""The inputs of theory section 1 on which 0 lies in the closed hull but not in its interior."""


ZERO_ROWS = (
    case(
        "zero row in N with bias 0",
        [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]],
        SINGLETON,
        "cReLU pairs at 0; the zero row says nothing",
        x=[0, 0],
    ),
    case("zero row in N with negative bias", [[0, 0], [1, 1]], unbounded(2), "one half-space", b=[-1, 0], x=[-1, 0]),
    case("zero row in P", [[0, 0], [1, 0]], unbounded(1), "0 = 0 is an equality of rank 0", b=[2, 0], x=[1, 5]),
    case(
        "zero row in P, wrong output",
        [[0, 0], [1, 0]],
        EMPTY,
        "the bias of a zero row is its output",
        b=[2, 0],
        y=[3, 1],
    ),
    case("zero row in N, positive bias", [[0, 0], [1, 0]], EMPTY, "the bias 2 cannot give 0", b=[2, 0], y=[0, 1]),
    case("only zero rows", [[0, 0, 0], [0, 0, 0]], unbounded(3), "no row says anything", x=[1, 2, 3]),
    case(
        "only zero rows in a box",
        [[0, 0], [0, 0]],
        bounded(2),
        "the preimage is the box",
        x=[0.25, 0.5],
        domain=Box(0, 1),
    ),
    case("negative zeros", [[-0.0, -0.0], [1, -0.0]], unbounded(2), "-0.0 is 0", x=[-0.0, 0.0]),
    case(
        "zero half-space in the domain",
        [[1, 0], [0, 1]],
        SINGLETON,
        "0 <= 0 says nothing",
        x=[1, 1],
        domain=HalfSpaces([[0, 0]], [0]),
    ),
    case("impossible zero half-space", [[1, 0], [0, 1]], EMPTY, "0 <= -1", y=[1, 1], domain=HalfSpaces([[0, 0]], [-1])),
)


DEPENDENT_ROWS = (
    case("duplicate rows in P", [[1, 2], [1, 2], [3, 4]], SINGLETON, "rank 2 of 3 positive rows", x=[1, 1]),
    case("only duplicates in P", [[1, 2], [1, 2], [2, 4]], unbounded(1), "rank 1", x=[1, 1]),
    case("duplicates in P, outputs that disagree", [[1, 2], [1, 2]], EMPTY, "one row cannot be 3 and 4", y=[3, 4]),
    case("scaled duplicates in P, outputs that disagree", [[1, 2], [3, 6]], EMPTY, "3 and 8, not 9", y=[3, 8]),
    case("duplicate rows in N", [[1, 0], [1, 0], [0, 1], [0, 1]], unbounded(2), "a quadrant", x=[-1, -1]),
    case(
        "antiparallel, both tight, scaled by 2",
        [[1, 1], [-2, -2], [0, 1]],
        unbounded(1),
        "the line x1 + x2 = 0, half of it",
        x=[2, -2],
    ),
    case(
        "antiparallel, both tight, scaled by 3",
        [[1, 2], [-3, -6], [2, 1], [-6, -3]],
        SINGLETON,
        "two lines that cross",
        x=[0, 0],
    ),
    case("antiparallel slab", [[1, 1], [-1, -1]], unbounded(2), "-1 <= x1 + x2 <= 1", b=[-1, -1], x=[0, 0]),
    case(
        "two antiparallel slabs, scaled",
        [[1, 1], [-3, -3], [2, -1], [-4, 2]],
        bounded(2),
        "a parallelogram",
        b=[-1, -2, -1, -1],
        x=[0, 0],
    ),
    case(
        "antiparallel though rounded",
        [[0.1, 0.2, 0], [-3 * 0.1, -3 * 0.2, 0], [0, 0, 1], [0, 0, -1]],
        unbounded(1),
        "3 * 0.1 and 3 * 0.2 are both rounded up, by the same factor: exactly antiparallel after all",
        x=[0, 0, 0],
    ),
    case(
        "nearly antiparallel, wedge",
        [[0.1, 0.3], [-0.3, -0.9]],
        unbounded(2),
        "0.9 / 0.3 is not exactly 0.3 / 0.1: a wedge, not a line",
        x=[0, 0],
    ),
    case(
        "rank-deficient A", [[1, 1, 0], [-1, 0, 0], [0, -1, 0]], unbounded(1), "only x1 = x2 = 0 is known", x=[0, 0, 7]
    ),
    case(
        "rank-deficient A in a box",
        [[1, 1, 0], [-1, 0, 0], [0, -1, 0]],
        bounded(1),
        "x3 runs through the box",
        x=[0, 0, 0.5],
        domain=Box(-1, 1),
    ),
    case(
        "row of N in the span of P, slack",
        [[1, 0, 0], [0, 1, 0], [-1, -1, 0], [0, 0, 1]],
        unbounded(1),
        "only x3 <= 0 is left",
        x=[1, 1, -1],
    ),
    case(
        "row of N in the span of P, tight",
        [[1, 0, 0], [0, 1, 0], [1, -1, 0], [0, 0, 1]],
        unbounded(1),
        "x1 - x2 = 0 follows from P and adds no rank",
        x=[1, 1, -1],
    ),
    case(
        "rows of N antiparallel modulo P",
        [[1, 1, 1], [1, 0, 0], [-3, -2, -2], [0, 1, -1]],
        unbounded(1),
        "row 3 is -row 2 - 2 row 1: x1 = 0 on the preimage",
        b=[0, 0, 2, 0],
        x=[0, 0, 1],
    ),
    case("more than n rows in P", [[1, 0], [0, 1], [1, 1], [2, 1], [1, 3]], SINGLETON, "rank 2", x=[1, 2]),
    case(
        "more than n rows in P, rank-deficient",
        [[1, 1, 0], [2, 2, 0], [1, 2, 0], [1, 3, 0]],
        unbounded(1),
        "rank 2 of 3",
        x=[1, 1, 1],
    ),
)


TIGHT = (
    case("simplex at its apex", [[1, 0], [0, 1], [-1, -1]], SINGLETON, "three tight omnidirectional rows", x=[0, 0]),
    case("simplex with room", [[1, 0], [0, 1], [-1, -1]], bounded(2), "a triangle", b=[-1, -1, -1], x=[0, 0]),
    case(
        "simplex, at a vertex of it",
        [[1, 0], [0, 1], [-1, -1]],
        bounded(2),
        "x is a vertex of the triangle",
        b=[-1, -1, -1],
        x=[1, 1],
    ),
    case(
        "simplex reached by y only",
        [[1, 0], [0, 1], [-1, -1]],
        SINGLETON,
        "x1 <= 1, x2 <= 1, x1 + x2 >= 2",
        b=[-1, -1, 2],
        y=[0, 0, 0],
    ),
    case(
        "simplex that misses",
        [[1, 0], [0, 1], [-1, -1]],
        EMPTY,
        "x1 <= 1, x2 <= 1, x1 + x2 >= 3",
        b=[-1, -1, 3],
        y=[0, 0, 0],
    ),
    case(
        "singleton at thirds",
        [[3, 0], [0, 3], [-1, -1]],
        SINGLETON,
        "x = (1/3, 2/3): no float holds it",
        b=[-1, -2, 1],
        y=[0, 0, 0],
    ),
    case("zero bias at 0", [[1, 2], [3, -1], [-2, -1]], SINGLETON, "5, 3 and 7 times the rows sum to 0", x=[0, 0]),
    case(
        "zero bias at 0, a cone",
        [[1, 2], [3, 1], [-1, 1]],
        unbounded(2),
        "d = (0, -1) is strict for two rows and (-1, -2) for all",
        x=[0, 0],
    ),
    case("on one hyperplane", [[1, 1], [1, -1]], unbounded(2), "x is on the first hyperplane only", x=[-1, 1]),
    case(
        "implicit equalities with room elsewhere",
        [[1, 0], [-1, 0], [0, 1], [0, -1]],
        bounded(1),
        "x1 = 0, -1 <= x2 <= 1",
        b=[0, 0, -1, -1],
        x=[0, 0],
    ),
    case(
        "directions, nowhere strict",
        [[1, 0, 0], [-1, 0, 0], [5, 1, 0], [-3, -1, 0], [1, 1, 1]],
        unbounded(1),
        "x1 = x2 = 0, then x3 <= 0",
        x=[0, 0, 0],
    ),
    case(
        "recession nowhere strict, interior strict",
        [[1, 0], [-1, 0], [0, 1]],
        unbounded(2),
        "a half-strip",
        b=[-1, -1, -1],
        x=[0, 0],
    ),
    case(
        "recession is a line",
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]],
        unbounded(3),
        "a square times a line",
        b=[-1] * 4,
        x=[0, 0, 0],
    ),
    case(
        "cReLU at a generic point",
        [[1, 2], [-1, -2], [2, -1], [-2, 1]],
        SINGLETON,
        "one of each pair is positive",
        x=[1, 0],
    ),
    case(
        "cReLU on a hyperplane",
        [[1, 2], [-1, -2], [2, -1], [-2, 1]],
        SINGLETON,
        "one pair is tight on both sides",
        x=[2, -1],
    ),
    case(
        "cReLU with a dead zone",
        [[1, 0], [-1, 0], [0, 1], [0, -1]],
        bounded(2),
        "|x1| <= 1 and |x2| <= 1",
        b=[-1] * 4,
        x=[0, 0],
    ),
    case("one output, one input, positive", [[2]], SINGLETON, "x = 1", x=[1]),
    case("one output, one input, zero", [[2]], unbounded(1), "x <= 0", x=[-1]),
    case("one output, one input, tight", [[2]], unbounded(1), "x <= 0", x=[0]),
    case("interval", [[1], [-1]], bounded(1), "-1 <= x <= 1", b=[-1, -1], x=[0]),
    case("point between two rows", [[1], [-3]], SINGLETON, "x <= 2 and x >= 2", b=[-2, 6], y=[0, 0]),
    case("m = 1, positive", [[1, 2, 3]], unbounded(2), "a hyperplane", x=[1, 1, 1]),
    case("m = 1, zero", [[1, 2, 3]], unbounded(3), "a half-space", x=[-1, -1, -1]),
    case("m < n", [[1, 0, 0, 1], [0, 1, 0, 1]], unbounded(3), "one equality of four unknowns", x=[1, -1, 0, 0]),
)
