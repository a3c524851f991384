"""Independent answers: what the preimage of a ReLU layer is, from other people's programs and exact arithmetic.

Nothing here uses the package's deciding or checking code. The mixed system is written out in fractions and handed to

- ``cddexec_gmp`` (cddlib): all vertices, rays and lines, from which kind and dimension are read off;
- ``esolver`` (QSopt_ex): two exact linear programs that give kind and dimension by another route, for more variables;
- ``scipy.optimize.linprog``: widths and Chebyshev radii, in floating point.

Each has an ``available`` function; a test that needs one that is absent skips and says so.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

Row = tuple[Fraction, ...]

_CDD = "cddexec_gmp"
_ESOLVER = "esolver"
_LONGEST_NUMBER = 1000
"""cddlib reads a number into a buffer of 1024 characters."""


@dataclass(frozen=True)
class System:
    """``row . x = value`` for the equalities and ``row . x <= value`` for the inequalities, in exact fractions.

    ``contradiction`` is set where no x can satisfy the system whatever its rows: an output below zero.
    """

    n: int
    equalities: tuple[tuple[Row, Fraction], ...]
    inequalities: tuple[tuple[Row, Fraction], ...]
    contradiction: bool = False

    def holds(self, x: Sequence[Any]) -> bool:
        """Whether the point x satisfies the whole system exactly."""
        point = exact_vector(x)
        return (
            not self.contradiction
            and all(dot(row, point) == value for row, value in self.equalities)
            and all(dot(row, point) <= value for row, value in self.inequalities)
        )


@dataclass(frozen=True)
class Answer:
    """Kind and dimension of a polyhedron; vertices, rays and lines where the oracle lists them."""

    kind: str
    dimension: int
    vertices: tuple[Row, ...] = ()
    rays: tuple[Row, ...] = ()
    lines: tuple[Row, ...] = ()


def exact_vector(values: Iterable[Any]) -> Row:
    """The exact numbers that floats (or integers, or fractions) store."""
    return tuple(value if isinstance(value, Fraction) else Fraction(float(value)) for value in values)


def dot(a: Row, b: Row) -> Fraction:
    """The exact inner product."""
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


def exact_output(weight: Any, bias: Any, x: Any) -> Row:
    """``ReLU(A x + b)`` in exact arithmetic on the stored numbers."""
    point = exact_vector(x)
    rows = zip(np.asarray(weight, dtype=np.float64), exact_vector(bias), strict=True)
    return tuple(max(Fraction(0), dot(exact_vector(row), point) + b) for row, b in rows)


def domain_rows(domain: Any, n: int) -> list[tuple[Row, Fraction]]:
    """The domain as rows of ``row . x <= value``, from the arguments it was made with."""
    if domain is None:
        return []
    match type(domain).__name__:
        case "Box":
            low, high = (
                np.broadcast_to(np.asarray(bound, dtype=np.float64), (n,)) for bound in (domain.low, domain.high)
            )
            rows = [(_unit(n, j, -1), -Fraction(float(low[j]))) for j in range(n) if np.isfinite(low[j])]
            return rows + [(_unit(n, j, 1), Fraction(float(high[j]))) for j in range(n) if np.isfinite(high[j])]
        case "NonNegative":
            return [(_unit(n, j, -1), Fraction(0)) for j in range(n)]
        case "HalfSpaces":
            G = np.asarray(domain.G, dtype=np.float64)
            return [(exact_vector(row), value) for row, value in zip(G, exact_vector(domain.h), strict=True)]
        case "Intersection":
            return [row for part in domain.parts for row in domain_rows(part, n)]
        case other:
            raise TypeError(f"no oracle for a domain of type {other}")


def mixed_system(weight: Any, bias: Any, *, x: Any = None, y: Any = None, domain: Any = None) -> System:
    """The mixed system (1)+(2) of the paper for the output y, or for the exact output at x."""
    matrix = np.asarray(weight, dtype=np.float64)
    n = matrix.shape[1]
    rows, offsets = [exact_vector(row) for row in matrix], exact_vector(bias)
    output = exact_output(weight, bias, x) if y is None else exact_vector(y)
    equalities = tuple((row, v - b) for row, b, v in zip(rows, offsets, output, strict=True) if v > 0)
    inequalities = [(row, -b) for row, b, v in zip(rows, offsets, output, strict=True) if v <= 0]
    return System(n, equalities, (*inequalities, *domain_rows(domain, n)), any(v < 0 for v in output))


def _moved(value: Any, by: Fraction) -> Any:
    """The exact sum; of an infinite number, that number."""
    return float(value) if math.isinf(value) else Fraction(float(value)) + by


def interval_system(
    weight: Any,
    bias: Any,
    *,
    low: Any = 0.0,
    high: Any = math.inf,
    x: Any = None,
    y: tuple[Any, Any] | None = None,
    within: Any = 0.0,
    domain: Any = None,
) -> System:
    """``{x' : |clip(A x' + b) - y| <= within}`` for the output y at x, or for outputs y between two vectors.

    Within may say (2, m) how far below and above, inf for no side.
    Unit by unit from the definition: ``clip(z) <= v`` says ``z <= v`` unless v >= high, and nothing then.
    """
    matrix = np.asarray(weight, dtype=np.float64)
    m, n = matrix.shape
    rows, offsets = [exact_vector(row) for row in matrix], exact_vector(bias)
    bottom, top = (np.broadcast_to(np.asarray(v, dtype=np.float64), (m,)).tolist() for v in (low, high))
    below, above = np.broadcast_to(np.asarray(within, dtype=np.float64), (2, m)).tolist()
    equalities: list[tuple[Row, Fraction]] = []
    inequalities: list[tuple[Row, Fraction]] = []
    contradiction = False
    for i, (row, b) in enumerate(zip(rows, offsets, strict=True)):
        if x is not None:
            z = dot(row, exact_vector(x)) + b
            value: Any = z if z > bottom[i] else Fraction(bottom[i])
            value = value if value < top[i] else Fraction(top[i])
            least = value - Fraction(below[i]) if below[i] < math.inf else -math.inf
            most = value + Fraction(above[i]) if above[i] < math.inf else math.inf
        else:
            assert y is not None
            least, most = (_moved(np.asarray(y[k])[i], (-Fraction(below[i]), Fraction(above[i]))[k]) for k in (0, 1))
        contradiction |= bool(most < bottom[i] or least > top[i])
        bounded_below, bounded_above = least > bottom[i], most < top[i]
        if bounded_below and bounded_above and least == most:
            equalities.append((row, least - b))
            continue
        if bounded_above:
            inequalities.append((row, most - b))
        if bounded_below:
            inequalities.append((tuple(-v for v in row), b - least))
    return System(n, tuple(equalities), (*inequalities, *domain_rows(domain, n)), contradiction)


# ------------------------------------------------------------------------------------------------ cddlib


def cdd_available() -> bool:
    """Whether the double description program of cddlib is installed."""
    return shutil.which(_CDD) is not None


def cdd_answer(system: System) -> Answer:
    """Kind and dimension from the list of vertices, rays and lines."""
    if system.contradiction:
        return Answer("empty", -1)
    vertices, rays, lines = _double_description(system)
    if not any(value for _, value in (*system.equalities, *system.inequalities)):
        vertices = [(Fraction(0),) * system.n]  # cddlib does not list the apex of a cone
    if not vertices:
        return Answer("empty", -1)
    differences = [tuple(p - q for p, q in zip(vertex, vertices[0], strict=True)) for vertex in vertices[1:]]
    dimension = rank([*differences, *rays, *lines])
    kind = "unbounded" if rays or lines else ("singleton" if len(vertices) == 1 else "bounded")
    return Answer(kind, dimension, tuple(vertices), tuple(rays), tuple(lines))


def relative_interior_point(answer: Answer) -> Row:
    """The mean of the vertices plus all rays: no inequality is tight there that is not tight everywhere."""
    columns = zip(*answer.vertices, strict=True)
    center = [sum(column, Fraction(0)) / len(answer.vertices) for column in columns]
    return tuple(c + sum((ray[j] for ray in answer.rays), Fraction(0)) for j, c in enumerate(center))


def _double_description(system: System) -> tuple[list[Row], list[Row], list[Row]]:
    constraints = [_integers((value, *(-v for v in row))) for row, value in (*system.equalities, *system.inequalities)]
    constraints = constraints or [[0] * (system.n + 1)]
    linearity = " ".join(str(i) for i in range(1, len(system.equalities) + 1))
    text = "\n".join(
        ["H-representation", f"linearity {len(system.equalities)} {linearity}" if linearity else "", "begin"]
        + [f"{len(constraints)} {system.n + 1} rational"]
        + [" ".join(map(str, row)) for row in constraints]
        + ["end", ""]
    )
    if max(len(word) for word in text.split()) > _LONGEST_NUMBER:
        raise ValueError("a number is too long for cddlib")
    run = subprocess.run([_CDD, "--rep"], input=text, capture_output=True, text=True, check=True, timeout=60)
    return _read_representation(run.stdout)


def _read_representation(text: str) -> tuple[list[Row], list[Row], list[Row]]:
    lines = text.splitlines()
    if "V-representation" not in lines:
        raise RuntimeError(f"cddlib gave no V-representation: {text!r}")
    lines = lines[lines.index("V-representation") + 1 :]
    linear: set[int] = set()
    if lines[0].startswith("linearity"):
        linear = {int(word) for word in lines[0].split()[2:]}
    begin = lines.index("begin")
    rows = [tuple(Fraction(word) for word in line.split()) for line in lines[begin + 2 : lines.index("end")]]
    vertices = [tuple(v / row[0] for v in row[1:]) for row in rows if row[0] != 0]
    rays = [row[1:] for i, row in enumerate(rows, 1) if row[0] == 0 and i not in linear]
    return vertices, rays, [row[1:] for i, row in enumerate(rows, 1) if row[0] == 0 and i in linear]


# ------------------------------------------------------------------------------------------------ QSopt_ex


def esolver_available() -> bool:
    """Whether the exact linear programming solver QSopt_ex is installed."""
    return shutil.which(_ESOLVER) is not None


def esolver_answer(system: System) -> Answer:
    """Kind and dimension from two exact linear programs.

    ``max sum t`` over ``E x = e s, a_i x + t_i <= h_i s, s >= 1, 0 <= t <= 1``: infeasible iff the polyhedron is empty;
    at the optimum every t_i is 0 (row i is tight everywhere) or 1. The same with s = 0 gives the recession cone.
    """
    if system.contradiction or _impossible_zero_row(system):
        return Answer("empty", -1)
    slack = _largest_slacks(system, homogeneous=False)
    if slack is None:
        return Answer("empty", -1)
    equalities = [row for row, _ in system.equalities]
    rows = [row for row, _ in system.inequalities]
    dimension = system.n - rank(equalities + [row for row, t in zip(rows, slack, strict=True) if t == 0])
    cone = _largest_slacks(system, homogeneous=True)
    assert cone is not None, "a cone holds its apex"
    bounded = not any(cone) and rank(equalities + rows) == system.n
    return Answer("singleton" if dimension == 0 else "bounded" if bounded else "unbounded", dimension)


def exact_range(system: System, direction: Sequence[Any]) -> tuple[Fraction, Fraction] | None:
    """The exact least and greatest value of ``direction . x`` on a bounded polyhedron; None where it is empty."""
    if system.contradiction or _impossible_zero_row(system):
        return None
    objective = {f"x{j}": v for j, v in enumerate(exact_vector(direction)) if v}
    ends: list[Fraction] = []
    for sign in (-1, 1):
        program = _Program({name: sign * v for name, v in objective.items()})
        for row, value in system.equalities:
            program.add(_terms(row), "=", value)
        for row, value in system.inequalities:
            program.add(_terms(row), "<=", value)
        solution = program.solve(free=[f"x{j}" for j in range(system.n)])
        if solution is None:
            return None
        ends.append(sum((v * solution.get(name, Fraction(0)) for name, v in objective.items()), Fraction(0)))
    return ends[0], ends[1]


def _impossible_zero_row(system: System) -> bool:
    return any(not any(row) and value != 0 for row, value in system.equalities) or any(
        not any(row) and value < 0 for row, value in system.inequalities
    )


def _largest_slacks(system: System, *, homogeneous: bool) -> list[Fraction] | None:
    """The optimal t of the programs above; a zero row has slack iff its right-hand side is positive."""
    names = [f"t{i}" for i, (row, _) in enumerate(system.inequalities) if any(row)]
    program = _Program(dict.fromkeys(names, Fraction(1)) or {"x0": Fraction(0)})
    scale = {} if homogeneous else {"s": Fraction(1)}
    for row, value in system.equalities:
        program.add(_terms(row) | {name: -value for name in scale if value}, "=", Fraction(0))
    for i, (row, value) in enumerate(system.inequalities):
        if any(row):
            program.add(
                _terms(row) | {f"t{i}": Fraction(1)} | {name: -value for name in scale if value}, "<=", Fraction(0)
            )
    program.add(scale, ">=", Fraction(1))
    for name in names:
        program.add({name: Fraction(1)}, "<=", Fraction(1))
    solution = program.solve(free=[f"x{j}" for j in range(system.n)])
    if solution is None:
        return None
    flat = [Fraction(0) if homogeneous or value == 0 else Fraction(1) for _, value in system.inequalities]
    return [
        solution.get(f"t{i}", Fraction(0)) if any(row) else flat[i] for i, (row, _) in enumerate(system.inequalities)
    ]


def _terms(row: Row) -> dict[str, Fraction]:
    return {f"x{j}": v for j, v in enumerate(row) if v}


class _Program:
    """A linear program ``max objective`` in esolver's LP format; every variable that is not free is nonnegative."""

    def __init__(self, objective: dict[str, Fraction]) -> None:
        self._objective = _expression(objective)
        self._rows: list[str] = []
        self._variables = set(objective)

    def add(self, terms: dict[str, Fraction], relation: str, value: Fraction) -> None:
        if terms:
            self._rows.append(f" c{len(self._rows)}: {_expression(terms)} {relation} {value}")
            self._variables |= set(terms)

    def solve(self, free: list[str]) -> dict[str, Fraction] | None:
        """The optimal values of the variables that are not zero, or None where the program is infeasible."""
        if not self._rows:
            return {}
        bounds = [f" {name} free" for name in free if name in self._variables]
        text = "\n".join(
            ["Maximize", f" obj: {self._objective}", "Subject To", *self._rows, "Bounds", *bounds, "End", ""]
        )
        with tempfile.TemporaryDirectory() as folder:
            problem, answer = Path(folder, "p.lp"), Path(folder, "p.sol")
            problem.write_text(text)
            subprocess.run(
                [_ESOLVER, "-L", "-O", str(answer), str(problem)], capture_output=True, check=False, timeout=60
            )
            return _read_solution(answer.read_text())


def _read_solution(text: str) -> dict[str, Fraction] | None:
    lines = text.splitlines()
    status = lines[0].split("=")[-1].strip()
    if status == "INFEASIBLE":
        return None
    if status != "OPTIMAL":
        raise RuntimeError(f"esolver: {status}")
    values = lines[lines.index("VARS:") + 1 : lines.index("REDUCED COST:")]
    return {name.strip(): Fraction(value.strip()) for name, value in (line.split("=") for line in values)}


def _expression(terms: dict[str, Fraction]) -> str:
    pieces = [f"{'-' if v < 0 else '+'} {abs(v)} {name}" for name, v in terms.items()]
    return "\n  ".join(" ".join(pieces[i : i + 8]) for i in range(0, len(pieces), 8))


# ------------------------------------------------------------------------------------------------ floating point


def linprog_range(system: System, direction: Any) -> tuple[float, float]:
    """The least and greatest value of ``direction . x`` by HiGHS; infinite where it is not bounded."""
    from scipy.optimize import linprog

    ends: list[float] = []
    for sign in (1.0, -1.0):
        result = linprog(sign * np.asarray(direction, dtype=np.float64), **_float_rows(system), bounds=(None, None))
        assert result.status in (0, 3), result.message
        ends.append(sign * result.fun if result.status == 0 else -sign * math.inf)
    return ends[0], ends[1]


def linprog_chebyshev_radius(system: System) -> float:
    """The radius of the largest ball inside a full-dimensional polyhedron, by HiGHS."""
    from scipy.optimize import linprog

    rows = _float_rows(system)
    assert rows["A_eq"] is None, "the polyhedron has an equality, so it holds no ball"
    lengths = np.linalg.norm(rows["A_ub"], axis=1)
    objective = np.r_[np.zeros(system.n), -1.0]
    bounds = [(None, None)] * system.n + [(0, None)]
    result = linprog(objective, A_ub=np.column_stack([rows["A_ub"], lengths]), b_ub=rows["b_ub"], bounds=bounds)
    return -result.fun if result.status == 0 else math.inf


def _float_rows(system: System) -> dict[str, Any]:
    def part(rows: tuple[tuple[Row, Fraction], ...]) -> tuple[Any, Any]:
        if not rows:
            return None, None
        return np.array([[float(v) for v in row] for row, _ in rows]), np.array([float(v) for _, v in rows])

    A_eq, b_eq = part(system.equalities)
    A_ub, b_ub = part(system.inequalities)
    return {"A_eq": A_eq, "b_eq": b_eq, "A_ub": A_ub, "b_ub": b_ub}


# ------------------------------------------------------------------------------------------------ exact arithmetic


def rank(rows: Sequence[Row]) -> int:
    """The exact rank, by elimination in fractions."""
    remaining = [list(row) for row in rows if any(row)]
    found = 0
    while remaining:
        pivot_row = remaining.pop()
        column = next(j for j, v in enumerate(pivot_row) if v)
        for row in remaining:
            if row[column]:
                factor = row[column] / pivot_row[column]
                row[:] = [v - factor * p for v, p in zip(row, pivot_row, strict=True)]
        remaining = [row for row in remaining if any(row)]
        found += 1
    return found


def omnidirectional(A: Any) -> bool:
    """Corollary 2 iv, by listing the cone ``{d : A d <= 0}``."""
    matrix = np.asarray(A, dtype=np.float64)
    rows = tuple((exact_vector(row), Fraction(0)) for row in matrix)
    return cdd_answer(System(matrix.shape[1], (), rows)).kind == "singleton"


def _unit(n: int, j: int, sign: int) -> Row:
    return tuple(Fraction(sign if i == j else 0) for i in range(n))


def _integers(row: Row) -> list[int]:
    scale = math.lcm(*(v.denominator for v in row))
    numbers = [int(v * scale) for v in row]
    divisor = math.gcd(*numbers) or 1
    return [v // divisor for v in numbers]
