"""One table of layers with known answers, used by every part of the tests.

The expectations are worked out by hand from the theory (each case says why) and confirmed by exact oracles in
``preimage/test_cases.py``. Large cases are confirmed by exact linear programming only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.network.domains import Box, Domain, HalfSpaces, NonNegative


@dataclass(frozen=True, eq=False)
class Case:
    """A layer, a point or an output, a domain, and what the preimage is.

    ``wide_range`` marks numbers whose exact fractions are too long for an oracle or hopeless for a float proof.
    """

    name: str
    weight: np.ndarray[Any, Any]
    bias: np.ndarray[Any, Any]
    x: np.ndarray[Any, Any] | None
    y: np.ndarray[Any, Any] | None
    domain: Domain | None
    kind: str
    dimension: int
    why: str
    wide_range: bool = False

    @property
    def question(self) -> dict[str, Any]:
        """The keyword arguments of ``fs.preimage`` beside the layer."""
        asked = {"x": self.x} if self.y is None else {"y": self.y}
        return asked | {"domain": self.domain}

    @property
    def is_large(self) -> bool:
        """Whether listing all vertices may be hopeless."""
        return self.weight.shape[1] > 6


def _case(
    name: str,
    weight: Any,
    expected: tuple[str, int],
    why: str,
    *,
    b: Any = None,
    x: Any = None,
    y: Any = None,
    domain: Domain | None = None,
    wide_range: bool = False,
) -> Case:
    matrix = np.asarray(weight, dtype=np.float64)
    bias = np.zeros(matrix.shape[0]) if b is None else np.asarray(b, dtype=np.float64)
    point, output = (None if v is None else np.asarray(v, dtype=np.float64) for v in (x, y))
    return Case(name, matrix, bias, point, output, domain, *expected, why, wide_range)


EMPTY = ("empty", -1)
SINGLETON = ("singleton", 0)


def _bounded(dimension: int) -> tuple[str, int]:
    return "bounded", dimension


def _unbounded(dimension: int) -> tuple[str, int]:
    return "unbounded", dimension


# ---------------------------------------------------------------- where the printed Algorithm 1 answers "finite"

ALGORITHM_1_ERRS = (
    _case("printed: antiparallel pair and one row", [[1, 0], [-1, 0], [0, 1]], _unbounded(1), "d = (0, -1)", x=[0, -1]),
    _case(
        "printed: zero row",
        [[1, 0], [0, 1], [0, 0]],
        _unbounded(2),
        "d = (-1, -1); the zero row says nothing",
        x=[-1, -1],
    ),
    _case(
        "printed: rank-deficient antiparallel pair", [[1, 0], [-1, 0], [2, 0]], _unbounded(1), "x2 is free", x=[0, 3]
    ),
    _case(
        "printed: zero row behind a positive row",
        [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]],
        _unbounded(2),
        "in null(A_P) the rows are those of the case before",
        x=[-1, -1, 2],
    ),
)
"""The inputs of theory section 1 on which 0 lies in the closed hull but not in its interior."""


# ---------------------------------------------------------------- zero rows (dead neurons)

_ZERO_ROWS = (
    _case(
        "zero row in N with bias 0",
        [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]],
        SINGLETON,
        "cReLU pairs at 0; the zero row says nothing",
        x=[0, 0],
    ),
    _case("zero row in N with negative bias", [[0, 0], [1, 1]], _unbounded(2), "one half-space", b=[-1, 0], x=[-1, 0]),
    _case("zero row in P", [[0, 0], [1, 0]], _unbounded(1), "0 = 0 is an equality of rank 0", b=[2, 0], x=[1, 5]),
    _case(
        "zero row in P, wrong output",
        [[0, 0], [1, 0]],
        EMPTY,
        "the bias of a zero row is its output",
        b=[2, 0],
        y=[3, 1],
    ),
    _case("zero row in N, positive bias", [[0, 0], [1, 0]], EMPTY, "the bias 2 cannot give 0", b=[2, 0], y=[0, 1]),
    _case("only zero rows", [[0, 0, 0], [0, 0, 0]], _unbounded(3), "no row says anything", x=[1, 2, 3]),
    _case(
        "only zero rows in a box",
        [[0, 0], [0, 0]],
        _bounded(2),
        "the preimage is the box",
        x=[0.25, 0.5],
        domain=Box(0, 1),
    ),
    _case("negative zeros", [[-0.0, -0.0], [1, -0.0]], _unbounded(2), "-0.0 is 0", x=[-0.0, 0.0]),
    _case(
        "zero half-space in the domain",
        [[1, 0], [0, 1]],
        SINGLETON,
        "0 <= 0 says nothing",
        x=[1, 1],
        domain=HalfSpaces([[0, 0]], [0]),
    ),
    _case(
        "impossible zero half-space", [[1, 0], [0, 1]], EMPTY, "0 <= -1", y=[1, 1], domain=HalfSpaces([[0, 0]], [-1])
    ),
)


# ---------------------------------------------------------------- duplicate, antiparallel and dependent rows

_DEPENDENT_ROWS = (
    _case("duplicate rows in P", [[1, 2], [1, 2], [3, 4]], SINGLETON, "rank 2 of 3 positive rows", x=[1, 1]),
    _case("only duplicates in P", [[1, 2], [1, 2], [2, 4]], _unbounded(1), "rank 1", x=[1, 1]),
    _case("duplicates in P, outputs that disagree", [[1, 2], [1, 2]], EMPTY, "one row cannot be 3 and 4", y=[3, 4]),
    _case("scaled duplicates in P, outputs that disagree", [[1, 2], [3, 6]], EMPTY, "3 and 8, not 9", y=[3, 8]),
    _case("duplicate rows in N", [[1, 0], [1, 0], [0, 1], [0, 1]], _unbounded(2), "a quadrant", x=[-1, -1]),
    _case(
        "antiparallel, both tight, scaled by 2",
        [[1, 1], [-2, -2], [0, 1]],
        _unbounded(1),
        "the line x1 + x2 = 0, half of it",
        x=[2, -2],
    ),
    _case(
        "antiparallel, both tight, scaled by 3",
        [[1, 2], [-3, -6], [2, 1], [-6, -3]],
        SINGLETON,
        "two lines that cross",
        x=[0, 0],
    ),
    _case("antiparallel slab", [[1, 1], [-1, -1]], _unbounded(2), "-1 <= x1 + x2 <= 1", b=[-1, -1], x=[0, 0]),
    _case(
        "two antiparallel slabs, scaled",
        [[1, 1], [-3, -3], [2, -1], [-4, 2]],
        _bounded(2),
        "a parallelogram",
        b=[-1, -2, -1, -1],
        x=[0, 0],
    ),
    _case(
        "antiparallel though rounded",
        [[0.1, 0.2, 0], [-3 * 0.1, -3 * 0.2, 0], [0, 0, 1], [0, 0, -1]],
        _unbounded(1),
        "3 * 0.1 and 3 * 0.2 are both rounded up, by the same factor: exactly antiparallel after all",
        x=[0, 0, 0],
    ),
    _case(
        "nearly antiparallel, wedge",
        [[0.1, 0.3], [-0.3, -0.9]],
        _unbounded(2),
        "0.9 / 0.3 is not exactly 0.3 / 0.1: a wedge, not a line",
        x=[0, 0],
    ),
    _case(
        "rank-deficient A", [[1, 1, 0], [-1, 0, 0], [0, -1, 0]], _unbounded(1), "only x1 = x2 = 0 is known", x=[0, 0, 7]
    ),
    _case(
        "rank-deficient A in a box",
        [[1, 1, 0], [-1, 0, 0], [0, -1, 0]],
        _bounded(1),
        "x3 runs through the box",
        x=[0, 0, 0.5],
        domain=Box(-1, 1),
    ),
    _case(
        "row of N in the span of P, slack",
        [[1, 0, 0], [0, 1, 0], [-1, -1, 0], [0, 0, 1]],
        _unbounded(1),
        "only x3 <= 0 is left",
        x=[1, 1, -1],
    ),
    _case(
        "row of N in the span of P, tight",
        [[1, 0, 0], [0, 1, 0], [1, -1, 0], [0, 0, 1]],
        _unbounded(1),
        "x1 - x2 = 0 follows from P and adds no rank",
        x=[1, 1, -1],
    ),
    _case(
        "rows of N antiparallel modulo P",
        [[1, 1, 1], [1, 0, 0], [-3, -2, -2], [0, 1, -1]],
        _unbounded(1),
        "row 3 is -row 2 - 2 row 1: x1 = 0 on the preimage",
        b=[0, 0, 2, 0],
        x=[0, 0, 1],
    ),
    _case("more than n rows in P", [[1, 0], [0, 1], [1, 1], [2, 1], [1, 3]], SINGLETON, "rank 2", x=[1, 2]),
    _case(
        "more than n rows in P, rank-deficient",
        [[1, 1, 0], [2, 2, 0], [1, 2, 0], [1, 3, 0]],
        _unbounded(1),
        "rank 2 of 3",
        x=[1, 1, 1],
    ),
)


# ---------------------------------------------------------------- points on hyperplanes, singletons by inequality, faces

_TIGHT = (
    _case("simplex at its apex", [[1, 0], [0, 1], [-1, -1]], SINGLETON, "three tight omnidirectional rows", x=[0, 0]),
    _case("simplex with room", [[1, 0], [0, 1], [-1, -1]], _bounded(2), "a triangle", b=[-1, -1, -1], x=[0, 0]),
    _case(
        "simplex, at a vertex of it",
        [[1, 0], [0, 1], [-1, -1]],
        _bounded(2),
        "x is a vertex of the triangle",
        b=[-1, -1, -1],
        x=[1, 1],
    ),
    _case(
        "simplex reached by y only",
        [[1, 0], [0, 1], [-1, -1]],
        SINGLETON,
        "x1 <= 1, x2 <= 1, x1 + x2 >= 2",
        b=[-1, -1, 2],
        y=[0, 0, 0],
    ),
    _case(
        "simplex that misses",
        [[1, 0], [0, 1], [-1, -1]],
        EMPTY,
        "x1 <= 1, x2 <= 1, x1 + x2 >= 3",
        b=[-1, -1, 3],
        y=[0, 0, 0],
    ),
    _case(
        "singleton at thirds",
        [[3, 0], [0, 3], [-1, -1]],
        SINGLETON,
        "x = (1/3, 2/3): no float holds it",
        b=[-1, -2, 1],
        y=[0, 0, 0],
    ),
    _case("zero bias at 0", [[1, 2], [3, -1], [-2, -1]], SINGLETON, "5, 3 and 7 times the rows sum to 0", x=[0, 0]),
    _case(
        "zero bias at 0, a cone",
        [[1, 2], [3, 1], [-1, 1]],
        _unbounded(2),
        "d = (0, -1) is strict for two rows and (-1, -2) for all",
        x=[0, 0],
    ),
    _case("on one hyperplane", [[1, 1], [1, -1]], _unbounded(2), "x is on the first hyperplane only", x=[-1, 1]),
    _case(
        "implicit equalities with room elsewhere",
        [[1, 0], [-1, 0], [0, 1], [0, -1]],
        _bounded(1),
        "x1 = 0, -1 <= x2 <= 1",
        b=[0, 0, -1, -1],
        x=[0, 0],
    ),
    _case(
        "directions, nowhere strict",
        [[1, 0, 0], [-1, 0, 0], [5, 1, 0], [-3, -1, 0], [1, 1, 1]],
        _unbounded(1),
        "x1 = x2 = 0, then x3 <= 0",
        x=[0, 0, 0],
    ),
    _case(
        "recession nowhere strict, interior strict",
        [[1, 0], [-1, 0], [0, 1]],
        _unbounded(2),
        "a half-strip",
        b=[-1, -1, -1],
        x=[0, 0],
    ),
    _case(
        "recession is a line",
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]],
        _unbounded(3),
        "a square times a line",
        b=[-1] * 4,
        x=[0, 0, 0],
    ),
    _case(
        "cReLU at a generic point",
        [[1, 2], [-1, -2], [2, -1], [-2, 1]],
        SINGLETON,
        "one of each pair is positive",
        x=[1, 0],
    ),
    _case(
        "cReLU on a hyperplane",
        [[1, 2], [-1, -2], [2, -1], [-2, 1]],
        SINGLETON,
        "one pair is tight on both sides",
        x=[2, -1],
    ),
    _case(
        "cReLU with a dead zone",
        [[1, 0], [-1, 0], [0, 1], [0, -1]],
        _bounded(2),
        "|x1| <= 1 and |x2| <= 1",
        b=[-1] * 4,
        x=[0, 0],
    ),
    _case("one output, one input, positive", [[2]], SINGLETON, "x = 1", x=[1]),
    _case("one output, one input, zero", [[2]], _unbounded(1), "x <= 0", x=[-1]),
    _case("one output, one input, tight", [[2]], _unbounded(1), "x <= 0", x=[0]),
    _case("interval", [[1], [-1]], _bounded(1), "-1 <= x <= 1", b=[-1, -1], x=[0]),
    _case("point between two rows", [[1], [-3]], SINGLETON, "x <= 2 and x >= 2", b=[-2, 6], y=[0, 0]),
    _case("m = 1, positive", [[1, 2, 3]], _unbounded(2), "a hyperplane", x=[1, 1, 1]),
    _case("m = 1, zero", [[1, 2, 3]], _unbounded(3), "a half-space", x=[-1, -1, -1]),
    _case("m < n", [[1, 0, 0, 1], [0, 1, 0, 1]], _unbounded(3), "one equality of four unknowns", x=[1, -1, 0, 0]),
)


# ---------------------------------------------------------------- domains

_DOMAINS = (
    _case(
        "pixels exactly on the box",
        [[1, 1, 1]],
        SINGLETON,
        "x1 + x2 + x3 = 3 holds only in the corner",
        x=[1, 1, 1],
        domain=Box(0, 1),
    ),
    _case(
        "some pixels on the box",
        [[1, 1, 1]],
        _bounded(2),
        "the triangle around the corner",
        x=[1, 1, 0.5],
        domain=Box(0, 1),
    ),
    _case("box makes bounded", [[1, 0]], _bounded(1), "x1 = 0.5, x2 in [0, 1]", x=[0.5, 0.5], domain=Box(0, 1)),
    _case(
        "box with fixed coordinates",
        [[1, 1, 0]],
        SINGLETON,
        "x2 and x3 are fixed, x1 follows",
        x=[1, 2, 3],
        domain=Box([0, 2, 3], [5, 2, 3]),
    ),
    _case("box that is a point", [[-1, -1]], SINGLETON, "low == high everywhere", x=[1, 2], domain=Box([1, 2], [1, 2])),
    _case(
        "box that is a point, by y", [[-1, -1]], SINGLETON, "low == high everywhere", y=[0], domain=Box([1, 2], [1, 2])
    ),
    _case(
        "box without some bounds",
        [[1, 1]],
        _unbounded(2),
        "x1 + x2 <= 0, x1 <= 0",
        x=[-1, -1],
        domain=Box([-np.inf, -np.inf], [0, np.inf]),
    ),
    _case(
        "box with a face tight on all",
        [[1, 1]],
        _bounded(1),
        "x1 + x2 <= 0 with x1 >= 0, x2 >= -1 and x1 <= 0",
        x=[0, -1],
        domain=Box([0, -1], [0, 1]),
    ),
    _case(
        "nonnegative singleton at 0", [[1, 2]], SINGLETON, "x1 + 2 x2 <= 0 and x >= 0", x=[0, 0], domain=NonNegative()
    ),
    _case("nonnegative, row dead", [[-1, -2]], _unbounded(2), "the whole orthant", x=[1, 1], domain=NonNegative()),
    _case("nonnegative simplex", [[1, 2]], _bounded(1), "a segment", x=[1, 1], domain=NonNegative()),
    _case("nonnegative ray", [[1, -1]], _unbounded(1), "x1 - x2 = 1 runs off", x=[2, 1], domain=NonNegative()),
    _case(
        "nonnegative vertex",
        [[1, 0, 1], [0, 1, 0]],
        _bounded(1),
        "x2 = 1, x1 + x3 = 1",
        x=[1, 1, 0],
        domain=NonNegative(),
    ),
    _case(
        "point only in the domain",
        [[1, 1]],
        SINGLETON,
        "x1 + x2 = 2 touches the square in (1, 1)",
        y=[2],
        domain=Box(0, 1),
    ),
    _case("touches nothing of the domain", [[1, 1]], EMPTY, "x1 + x2 = 3 misses the square", y=[3], domain=Box(0, 1)),
    _case(
        "half-spaces that exclude each other",
        [[0, 1]],
        EMPTY,
        "x1 <= 0 and x1 >= 1",
        y=[0],
        domain=HalfSpaces([[1, 0], [-1, 0]], [0, -1]),
    ),
    _case(
        "half-spaces exclude a positive row",
        [[1, 0]],
        EMPTY,
        "x1 = 2 and x1 <= 1",
        y=[2],
        domain=HalfSpaces([[1, 0]], [1]),
    ),
    _case(
        "half-spaces meet in a line",
        [[0, 0, 1]],
        _unbounded(1),
        "x1 = x2 = 0, x3 <= 0",
        x=[0, 0, -1],
        domain=HalfSpaces([[1, 0, 0], [0, 1, 0], [-1, -1, 0]], [0, 0, 0]),
    ),
    _case(
        "domain equal to the layer",
        [[1, 1], [1, -1]],
        _unbounded(2),
        "each row twice",
        x=[-1, 0],
        domain=HalfSpaces([[1, 1], [1, -1]], [0, 0]),
    ),
    _case(
        "intersection",
        [[1, -1]],
        _bounded(2),
        "orthant, x1 <= x2, x1 + x2 <= 4",
        x=[1, 2],
        domain=NonNegative() & HalfSpaces([[1, 1]], [4]),
    ),
    _case(
        "intersection of boxes",
        [[-1, 0]],
        _bounded(2),
        "the square [1, 2] x [0, 2]",
        x=[1, 1],
        domain=Box(0, 2) & Box([1, -5], [7, 5]),
    ),
    _case(
        "intersection that is a point",
        [[-1, 0]],
        SINGLETON,
        "[0, 1] and [1, 2] meet in 1",
        y=[0],
        domain=Box(0, 1) & Box(1, 2),
    ),
    _case(
        "intersection that is empty",
        [[-1, 0]],
        EMPTY,
        "[0, 1] and [2, 3] do not meet",
        y=[0],
        domain=Box(0, 1) & Box(2, 3),
    ),
    _case(
        "not representable bounds",
        [[1, 1]],
        SINGLETON,
        "x1 + x2 = 0.1 + 0.2 exactly rounded down",
        x=[0.1, 0.2],
        domain=Box([-9, -9], [0.1, 0.2]),
    ),
)


# ---------------------------------------------------------------- outputs that no input has, rounding, wide ranges

_THREE_ROWS = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.7]])
_EPSILON = 2.0**-52

_ROUNDING = (
    _case("y far from every output", [[1, 0], [0, 1], [1, 1]], EMPTY, "1 + 1 is not 5", y=[1, 1, 5]),
    _case("y is an output", [[1, 0], [0, 1], [1, 1]], SINGLETON, "1 + 1 is 2", y=[1, 1, 2]),
    _case(
        "y misses by one rounding", _THREE_ROWS, EMPTY, "the rounded products are no output", y=_THREE_ROWS @ [0.3, 0.7]
    ),
    _case("the same by x", _THREE_ROWS, SINGLETON, "the exact output belongs to x", x=[0.3, 0.7]),
    _case("y misses by one unit of 1", [[1, 0], [0, 1], [1, 1]], EMPTY, "2 + 2^-51", y=[1, 1, 2 + 2 * _EPSILON]),
    _case("y with a negative entry", [[1, 0], [0, 1]], EMPTY, "no ReLU gives -1", y=[-1, 1]),
    _case("y with a tiny negative entry", [[1, 0], [0, 1]], EMPTY, "-5e-324 is negative", y=[-5e-324, 1]),
    _case("y negative in a box", [[1, 0], [0, 1]], EMPTY, "no ReLU gives -1", y=[0, -1], domain=Box(0, 1)),
    _case("y = -0.0", [[1, 0], [-1, 0]], _unbounded(1), "-0.0 is 0", y=[-0.0, 0]),
    _case("y with P at thirds", [[3, 0], [0, 7]], SINGLETON, "x = (1/3, 1/7)", y=[1, 1]),
    _case(
        "y with P at thirds, tight row",
        [[3, 0, 0], [-6, 0, 0], [0, 1, 0], [0, 0, 1]],
        _unbounded(2),
        "row 2 is -2 at x1 = 1/3, and its bias 2",
        b=[0, 2, 0, 0],
        y=[1, 0, 0, 0],
    ),
    _case(
        "y with P at thirds, row violated",
        [[3, 0], [-6, 0]],
        EMPTY,
        "row 2 is -2 at x1 = 1/3, and its bias 2 + 2^-51",
        b=[0, 2 + 2 * _EPSILON],
        y=[1, 0],
    ),
    _case(
        "sign lost in float arithmetic",
        [[1, 1, -1], [0, 1, 0]],
        _unbounded(1),
        "2^53 + 1 - 2^53 is 1, not 0",
        x=[2.0**53, 1, 2.0**53],
    ),
    _case(
        "sign of 0.1 + 0.2 - 0.3",
        [[1, 1]],
        _unbounded(1),
        "positive: the stored 0.3 is below the sum",
        b=[-0.3],
        x=[0.1, 0.2],
    ),
    _case(
        "almost parallel positive rows", [[1, 1], [1, 1 + _EPSILON]], SINGLETON, "the determinant is 2^-52", x=[1, 1]
    ),
    _case(
        "barely omnidirectional",
        [[1, 2.0**-60], [-1, 2.0**-60], [0, -1]],
        SINGLETON,
        "row 1 + row 2 + 2^-59 row 3 = 0",
        x=[0, 0],
    ),
    _case(
        "barely not omnidirectional",
        [[1, -(2.0**-60)], [-1, -(2.0**-60)], [0, -1]],
        _unbounded(2),
        "d = (0, 1)",
        x=[0, 0],
    ),
    _case(
        "barely bounded",
        [[1, 2.0**-60], [-1, 2.0**-60], [0, -1]],
        _bounded(2),
        "a triangle 2^60 long",
        b=[-1, -1, -1],
        x=[0, 0],
    ),
    _case(
        "huge weights",
        [[1e200, 0], [0, 1]],
        SINGLETON,
        "rank 2, but the output overflows",
        x=[1e200, 1],
        wide_range=True,
    ),
    _case(
        "tiny weights",
        [[1e-200, 0], [0, 1e-200]],
        SINGLETON,
        "rank 2, but squares underflow",
        x=[1, 1],
        wide_range=True,
    ),
    _case(
        "tiny weights in N",
        [[1e-200, 0], [0, 1e-200], [-1e-200, -1e-200]],
        SINGLETON,
        "the simplex, scaled",
        x=[0, 0],
        wide_range=True,
    ),
    _case(
        "rows of very different length",
        [[1e-150, 0], [0, 1e150], [-1e100, -1e-100]],
        SINGLETON,
        "the simplex, rows scaled",
        x=[0, 0],
        wide_range=True,
    ),
    _case(
        "y beyond all scales",
        [[5e-324], [5e-324]],
        EMPTY,
        "x would have to be 2^1074 times 1e-180 and 2^1074 times 1e300",
        y=[1e-180, 1.7e308],
        wide_range=True,
    ),
    _case(
        "tight rows 2^250 apart in a box that is a point",
        [[2.0**97, 0], [-(2.0**9), 2.0**-46], [2.0**208, 2.0**151]],
        SINGLETON,
        "low == high; multipliers of the long rows are tiny beside those of the box",
        b=[-(2.0**73), 2.0**-15, -(2.0**184)],
        x=[2.0**-24, 0],
        domain=Box([2.0**-24, 0], [2.0**-24, 0]),
        wide_range=True,
    ),
    _case(
        "tight rows 2^250 apart",
        [[2.0**97, 0], [-(2.0**9), 2.0**-46], [2.0**208, 2.0**151]],
        SINGLETON,
        "the same in a box with room",
        b=[-(2.0**73), 2.0**-15, -(2.0**184)],
        x=[2.0**-24, 0],
        domain=Box(0, [2.0**-24, 0]),
        wide_range=True,
    ),
    _case(
        "ranges 2^300 apart in the multipliers",
        [[3, 0, 2.0**-300], [-1, 0, 0], [0, 3, 1], [0, -2, 2.0**-200], [0, 0, -1]],
        SINGLETON,
        "x1 = 0 = x3 from three rows, then x2 = 0 from two",
        y=[0, 0, 0, 0, 0],
        wide_range=True,
    ),
    _case(
        "denormal row",
        [[5e-324, 0], [0, 1]],
        _unbounded(1),
        "x1 = 1 at an output of 5e-324",
        x=[1, -1],
        wide_range=True,
    ),
)


# ---------------------------------------------------------------- larger and structured


def _half_precision() -> Case:
    generator = np.random.default_rng(7)
    weight = generator.normal(size=(9, 4)).astype(np.float16)
    x = generator.normal(size=4).astype(np.float16)
    return _case("float16 grid", weight, SINGLETON, "5 or more rows positive; confirmed by the oracle", x=x)


def _float32_gaussian(m: int, seed: int, domain: Domain | None, expected: tuple[str, int], why: str) -> Case:
    """A random layer with 20 inputs, 8 of them exactly 0; what it is was found, and is confirmed, by exact linear programming."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(m, 20)).astype(np.float32)
    x = np.abs(generator.normal(size=20)).astype(np.float32)
    x[:8] = 0
    if isinstance(domain, Box):
        x = np.minimum(x, 2)
    return _case(
        f"float32 gaussian {m} x 20, seed {seed}, {type(domain).__name__}", weight, expected, why, x=x, domain=domain
    )


def _large() -> tuple[Case, ...]:
    identity, ones = np.eye(50), np.ones((1, 50))
    pair, simplex = np.vstack([identity, -identity]), np.vstack([identity, -ones])
    signs = np.where(np.arange(50) < 30, 1.0, -1.0)
    part = np.where(np.arange(50) < 30, 1.0, 0.0)
    return (
        _case("identity", identity, _unbounded(20), "the 20 negative coordinates are free below", x=signs),
        _case(
            "identity, nonnegative", identity, SINGLETON, "0 <= x_j <= 0 for the others", x=part, domain=NonNegative()
        ),
        _case(
            "identity in a box",
            identity,
            _bounded(20),
            "the negative coordinates run through [-1, 0]",
            x=signs / 2,
            domain=Box(-1, 1),
        ),
        _case("cReLU", pair, SINGLETON, "a pair is tight or one of it positive", x=part),
        _case("cReLU at 0", pair, SINGLETON, "100 tight rows", x=np.zeros(50)),
        _case("cReLU with a dead zone of 50", pair, _bounded(50), "a cube", b=-np.ones(100), x=np.zeros(50)),
        _case("simplex at 0", simplex, SINGLETON, "51 tight omnidirectional rows", x=np.zeros(50)),
        _case("simplex of 50", simplex, _bounded(50), "a simplex", b=-np.ones(51), x=np.zeros(50)),
        _case(
            "simplex without one row", simplex[1:], _unbounded(50), "50 rows cannot be omnidirectional", x=np.zeros(50)
        ),
        _case("simplex, 30 positive", simplex, _bounded(20), "a simplex in the 20 coordinates", x=2 * part - 1 / 64),
    )


_GAUSSIAN = (
    _float32_gaussian(40, 1, None, _bounded(4), "16 positives, 24 rows omnidirectional in R^4"),
    _float32_gaussian(40, 1, NonNegative(), SINGLETON, "16 positives, 8 tight coordinates omnidirectional in R^4"),
    _float32_gaussian(40, 3, None, SINGLETON, "20 positives"),
    _float32_gaussian(40, 7, Box(0, 2), _bounded(7), "13 positives, and tight coordinates that leave room"),
    _float32_gaussian(30, 1, None, _unbounded(6), "14 positives, 16 rows not omnidirectional in R^6"),
    _float32_gaussian(30, 1, NonNegative(), _bounded(6), "14 positives, bounded by the orthant"),
    _float32_gaussian(30, 7, None, _unbounded(13), "7 positives"),
)

CASES: tuple[Case, ...] = (
    *ALGORITHM_1_ERRS,
    *_ZERO_ROWS,
    *_DEPENDENT_ROWS,
    *_TIGHT,
    *_DOMAINS,
    *_ROUNDING,
    _half_precision(),
    *_large(),
    *_GAUSSIAN,
)
