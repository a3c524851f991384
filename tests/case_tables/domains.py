"""Cases about domains."""

from __future__ import annotations

import numpy as np

from case_tables.case import EMPTY, SINGLETON, bounded, case, unbounded
from fiberscope.network.domains import Box, HalfSpaces, NonNegative

DOMAINS = (
    case(
        "pixels exactly on the box",
        [[1, 1, 1]],
        SINGLETON,
        "x1 + x2 + x3 = 3 holds only in the corner",
        x=[1, 1, 1],
        domain=Box(0, 1),
    ),
    case(
        "some pixels on the box",
        [[1, 1, 1]],
        bounded(2),
        "the triangle around the corner",
        x=[1, 1, 0.5],
        domain=Box(0, 1),
    ),
    case("box makes bounded", [[1, 0]], bounded(1), "x1 = 0.5, x2 in [0, 1]", x=[0.5, 0.5], domain=Box(0, 1)),
    case(
        "box with fixed coordinates",
        [[1, 1, 0]],
        SINGLETON,
        "x2 and x3 are fixed, x1 follows",
        x=[1, 2, 3],
        domain=Box([0, 2, 3], [5, 2, 3]),
    ),
    case("box that is a point", [[-1, -1]], SINGLETON, "low == high everywhere", x=[1, 2], domain=Box([1, 2], [1, 2])),
    case(
        "box that is a point, by y", [[-1, -1]], SINGLETON, "low == high everywhere", y=[0], domain=Box([1, 2], [1, 2])
    ),
    case(
        "box without some bounds",
        [[1, 1]],
        unbounded(2),
        "x1 + x2 <= 0, x1 <= 0",
        x=[-1, -1],
        domain=Box([-np.inf, -np.inf], [0, np.inf]),
    ),
    case(
        "box with a face tight on all",
        [[1, 1]],
        bounded(1),
        "x1 + x2 <= 0 with x1 >= 0, x2 >= -1 and x1 <= 0",
        x=[0, -1],
        domain=Box([0, -1], [0, 1]),
    ),
    case(
        "nonnegative singleton at 0", [[1, 2]], SINGLETON, "x1 + 2 x2 <= 0 and x >= 0", x=[0, 0], domain=NonNegative()
    ),
    case("nonnegative, row dead", [[-1, -2]], unbounded(2), "the whole orthant", x=[1, 1], domain=NonNegative()),
    case("nonnegative simplex", [[1, 2]], bounded(1), "a segment", x=[1, 1], domain=NonNegative()),
    case("nonnegative ray", [[1, -1]], unbounded(1), "x1 - x2 = 1 runs off", x=[2, 1], domain=NonNegative()),
    case(
        "nonnegative vertex",
        [[1, 0, 1], [0, 1, 0]],
        bounded(1),
        "x2 = 1, x1 + x3 = 1",
        x=[1, 1, 0],
        domain=NonNegative(),
    ),
    case(
        "point only in the domain",
        [[1, 1]],
        SINGLETON,
        "x1 + x2 = 2 touches the square in (1, 1)",
        y=[2],
        domain=Box(0, 1),
    ),
    case("touches nothing of the domain", [[1, 1]], EMPTY, "x1 + x2 = 3 misses the square", y=[3], domain=Box(0, 1)),
    case(
        "half-spaces that exclude each other",
        [[0, 1]],
        EMPTY,
        "x1 <= 0 and x1 >= 1",
        y=[0],
        domain=HalfSpaces([[1, 0], [-1, 0]], [0, -1]),
    ),
    case(
        "half-spaces exclude a positive row",
        [[1, 0]],
        EMPTY,
        "x1 = 2 and x1 <= 1",
        y=[2],
        domain=HalfSpaces([[1, 0]], [1]),
    ),
    case(
        "half-spaces meet in a line",
        [[0, 0, 1]],
        unbounded(1),
        "x1 = x2 = 0, x3 <= 0",
        x=[0, 0, -1],
        domain=HalfSpaces([[1, 0, 0], [0, 1, 0], [-1, -1, 0]], [0, 0, 0]),
    ),
    case(
        "domain equal to the layer",
        [[1, 1], [1, -1]],
        unbounded(2),
        "each row twice",
        x=[-1, 0],
        domain=HalfSpaces([[1, 1], [1, -1]], [0, 0]),
    ),
    case(
        "intersection",
        [[1, -1]],
        bounded(2),
        "orthant, x1 <= x2, x1 + x2 <= 4",
        x=[1, 2],
        domain=NonNegative() & HalfSpaces([[1, 1]], [4]),
    ),
    case(
        "intersection of boxes",
        [[-1, 0]],
        bounded(2),
        "the square [1, 2] x [0, 2]",
        x=[1, 1],
        domain=Box(0, 2) & Box([1, -5], [7, 5]),
    ),
    case(
        "intersection that is a point",
        [[-1, 0]],
        SINGLETON,
        "[0, 1] and [1, 2] meet in 1",
        y=[0],
        domain=Box(0, 1) & Box(1, 2),
    ),
    case(
        "intersection that is empty",
        [[-1, 0]],
        EMPTY,
        "[0, 1] and [2, 3] do not meet",
        y=[0],
        domain=Box(0, 1) & Box(2, 3),
    ),
    case(
        "not representable bounds",
        [[1, 1]],
        SINGLETON,
        "x1 + x2 = 0.1 + 0.2 exactly rounded down",
        x=[0.1, 0.2],
        domain=Box([-9, -9], [0.1, 0.2]),
    ),
)
