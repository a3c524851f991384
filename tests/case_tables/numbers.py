"""Cases about numbers: outputs that no input has, verdicts that hang on one rounding, extreme sizes."""

from __future__ import annotations

import numpy as np

from case_tables.case import EMPTY, SINGLETON, bounded, case, unbounded
from fiberscope.network.domains import Box

_THREE_ROWS = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.7]])
_EPSILON = 2.0**-52

ROUNDING = (
    case("y far from every output", [[1, 0], [0, 1], [1, 1]], EMPTY, "1 + 1 is not 5", y=[1, 1, 5]),
    case("y is an output", [[1, 0], [0, 1], [1, 1]], SINGLETON, "1 + 1 is 2", y=[1, 1, 2]),
    case(
        "y misses by one rounding", _THREE_ROWS, EMPTY, "the rounded products are no output", y=_THREE_ROWS @ [0.3, 0.7]
    ),
    case("the same by x", _THREE_ROWS, SINGLETON, "the exact output belongs to x", x=[0.3, 0.7]),
    case("y misses by one unit of 1", [[1, 0], [0, 1], [1, 1]], EMPTY, "2 + 2^-51", y=[1, 1, 2 + 2 * _EPSILON]),
    case("y with a negative entry", [[1, 0], [0, 1]], EMPTY, "no ReLU gives -1", y=[-1, 1]),
    case("y with a tiny negative entry", [[1, 0], [0, 1]], EMPTY, "-5e-324 is negative", y=[-5e-324, 1]),
    case("y negative in a box", [[1, 0], [0, 1]], EMPTY, "no ReLU gives -1", y=[0, -1], domain=Box(0, 1)),
    case("y = -0.0", [[1, 0], [-1, 0]], unbounded(1), "-0.0 is 0", y=[-0.0, 0]),
    case("y with P at thirds", [[3, 0], [0, 7]], SINGLETON, "x = (1/3, 1/7)", y=[1, 1]),
    case(
        "y with P at thirds, tight row",
        [[3, 0, 0], [-6, 0, 0], [0, 1, 0], [0, 0, 1]],
        unbounded(2),
        "row 2 is -2 at x1 = 1/3, and its bias 2",
        b=[0, 2, 0, 0],
        y=[1, 0, 0, 0],
    ),
    case(
        "y with P at thirds, row violated",
        [[3, 0], [-6, 0]],
        EMPTY,
        "row 2 is -2 at x1 = 1/3, and its bias 2 + 2^-51",
        b=[0, 2 + 2 * _EPSILON],
        y=[1, 0],
    ),
    case(
        "sign lost in float arithmetic",
        [[1, 1, -1], [0, 1, 0]],
        unbounded(1),
        "2^53 + 1 - 2^53 is 1, not 0",
        x=[2.0**53, 1, 2.0**53],
    ),
    case(
        "sign of 0.1 + 0.2 - 0.3",
        [[1, 1]],
        unbounded(1),
        "positive: the stored 0.3 is below the sum",
        b=[-0.3],
        x=[0.1, 0.2],
    ),
    case("almost parallel positive rows", [[1, 1], [1, 1 + _EPSILON]], SINGLETON, "the determinant is 2^-52", x=[1, 1]),
    case(
        "barely omnidirectional",
        [[1, 2.0**-60], [-1, 2.0**-60], [0, -1]],
        SINGLETON,
        "row 1 + row 2 + 2^-59 row 3 = 0",
        x=[0, 0],
    ),
    case(
        "barely not omnidirectional",
        [[1, -(2.0**-60)], [-1, -(2.0**-60)], [0, -1]],
        unbounded(2),
        "d = (0, 1)",
        x=[0, 0],
    ),
    case(
        "barely bounded",
        [[1, 2.0**-60], [-1, 2.0**-60], [0, -1]],
        bounded(2),
        "a triangle 2^60 long",
        b=[-1, -1, -1],
        x=[0, 0],
    ),
    case(
        "huge weights",
        [[1e200, 0], [0, 1]],
        SINGLETON,
        "rank 2, but the output overflows",
        x=[1e200, 1],
        wide_range=True,
    ),
    case(
        "tiny weights",
        [[1e-200, 0], [0, 1e-200]],
        SINGLETON,
        "rank 2, but squares underflow",
        x=[1, 1],
        wide_range=True,
    ),
    case(
        "tiny weights in N",
        [[1e-200, 0], [0, 1e-200], [-1e-200, -1e-200]],
        SINGLETON,
        "the simplex, scaled",
        x=[0, 0],
        wide_range=True,
    ),
    case(
        "rows of very different length",
        [[1e-150, 0], [0, 1e150], [-1e100, -1e-100]],
        SINGLETON,
        "the simplex, rows scaled",
        x=[0, 0],
        wide_range=True,
    ),
    case(
        "y beyond all scales",
        [[5e-324], [5e-324]],
        EMPTY,
        "x would have to be 2^1074 times 1e-180 and 2^1074 times 1e300",
        y=[1e-180, 1.7e308],
        wide_range=True,
    ),
    case(
        "tight rows 2^250 apart in a box that is a point",
        [[2.0**97, 0], [-(2.0**9), 2.0**-46], [2.0**208, 2.0**151]],
        SINGLETON,
        "low == high; multipliers of the long rows are tiny beside those of the box",
        b=[-(2.0**73), 2.0**-15, -(2.0**184)],
        x=[2.0**-24, 0],
        domain=Box([2.0**-24, 0], [2.0**-24, 0]),
        wide_range=True,
    ),
    case(
        "tight rows 2^250 apart",
        [[2.0**97, 0], [-(2.0**9), 2.0**-46], [2.0**208, 2.0**151]],
        SINGLETON,
        "the same in a box with room",
        b=[-(2.0**73), 2.0**-15, -(2.0**184)],
        x=[2.0**-24, 0],
        domain=Box(0, [2.0**-24, 0]),
        wide_range=True,
    ),
    case(
        "ranges 2^300 apart in the multipliers",
        [[3, 0, 2.0**-300], [-1, 0, 0], [0, 3, 1], [0, -2, 2.0**-200], [0, 0, -1]],
        SINGLETON,
        "x1 = 0 = x3 from three rows, then x2 = 0 from two",
        y=[0, 0, 0, 0, 0],
        wide_range=True,
    ),
    case(
        "denormal row",
        [[5e-324, 0], [0, 1]],
        unbounded(1),
        "x1 = 1 at an output of 5e-324",
        x=[1, -1],
        wide_range=True,
    ),
)
