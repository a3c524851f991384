"""Projection onto cones in an orthant, strict directions, and the verdicts that come of them, against exact answers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.central_path import follow
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows, Projected, project
from fiberscope.preimages.strict_direction import strict_direction

Array = np.ndarray[Any, Any]
NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)


def random_cones(seed: int) -> tuple[Array, Array, Array, Array]:
    """Integer rows, and which of them are equal, upper and lower in each of 12 cones."""
    random = np.random.default_rng(seed)
    A = random.integers(-2, 3, size=(7, 6)).astype(float)
    A[A.any(axis=1) == 0, 0] = 1.0
    side = random.integers(0, 4, size=(12, 7))
    return A, side == 0, side == 1, side == 2


def has_ray(A: Array, equal: Array, upper: Array, lower: Array, signs: Array) -> bool:
    """Whether some d != 0 is in the cone, by a linear program over the simplex."""
    held = np.vstack([A[equal] * signs, np.abs(signs)[None]])
    below = np.vstack([A[upper], -A[lower]]) * signs
    found = linprog(
        np.zeros(A.shape[1]),
        A_ub=below if len(below) else None,
        b_ub=np.zeros(len(below)) if len(below) else None,
        A_eq=held,
        b_eq=np.append(np.zeros(int(equal.sum())), 1.0),
    )
    return found.status == 0


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("signs", [(1,) * 6, (-1,) * 6, (1, -1, 1, -1, 1, 1)])
def test_projection_says_which_cones_are_zero(form: Any, signs: tuple[int, ...]) -> None:
    s = np.array(signs, dtype=float)
    for seed in range(5):
        A, equal, upper, lower = random_cones(seed)
        domain = fs.Box(np.where(s > 0, 0.0, -np.inf), np.where(s < 0, 0.0, np.inf))
        rows = OrthantRows.of(fs.ReLULayer(form(A)), as_polyhedron(domain, 6))
        assert rows.bounds_all
        for k, found in enumerate(project(rows, OrthantCones(equal, upper, lower))):
            if found is not None:  # else it is a border, and another method has the word
                assert_answers(found, A, (equal[k], upper[k], lower[k]), s)


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("signs", [(1,) * 6, (1, -1, 1, -1, 1, 1), (1, 0, 0, -1, 1, 1)])
def test_the_path_of_interior_points_settles_every_cone(form: Any, signs: tuple[int, ...]) -> None:
    """Also those that only have rays on a face, and rows that depend on each other; a sign of 0 fixes a coordinate."""
    s = np.array(signs, dtype=float)
    for seed in range(5):
        A, equal, upper, lower = random_cones(seed)
        A[6] = A[5] * (1.0 if seed % 2 else -2.0)
        domain = fs.Box(np.where(s >= 0, 0.0, -np.inf), np.where(s <= 0, 0.0, np.inf))
        rows = OrthantRows.of(fs.ReLULayer(form(A)), as_polyhedron(domain, 6))
        for k in range(len(equal)):
            cone = OrthantCones(equal, upper, lower).chosen(np.array([k]))
            found = follow(rows, cone)
            assert found is not None, (seed, k)
            assert_answers(found, A, (equal[k], upper[k], lower[k]), s)


@pytest.mark.parametrize("power", [-400, 400])
def test_the_path_is_the_same_for_rows_of_any_size(power: int) -> None:
    A, equal, upper, lower = random_cones(2)
    for k in range(len(equal)):
        cone = OrthantCones(equal, upper, lower).chosen(np.array([k]))
        plain, other = (
            follow(OrthantRows.of(fs.ReLULayer(rows), as_polyhedron(fs.NonNegative(), 6)), cone)
            for rows in (A, np.ldexp(A, power))
        )
        assert sort_of(plain) == sort_of(other)


def assert_answers(found: Projected, A: Array, cone: tuple[Array, Array, Array], s: Array) -> None:
    """That it is what an independent linear program says, and holds."""
    equal, upper, lower = cone
    truth = has_ray(A, equal, upper, lower, s)
    assert isinstance(found.part, Direction) == truth
    assert 0.0 <= found.margin <= 1.0
    if isinstance(found.part, Multipliers):
        assert_multipliers_are_signs(found.part, A, equal, upper, lower)
        return
    d = np.asarray(found.part.values)
    assert d.any()
    assert (s * d >= 0).all()
    assert not d[s == 0].any()
    assert np.abs(A[equal] @ d).max(initial=0.0) < 1e-12
    assert (A[upper] @ d).max(initial=0.0) < 1e-12
    assert (A[lower] @ d).min(initial=0.0) > -1e-12


def assert_multipliers_are_signs(part: Multipliers, A: Array, equal: Array, upper: Array, lower: Array) -> None:
    """In exact numbers: the rows' combination c has the signs that the bounds balance, and is nowhere 0."""
    m, n = A.shape
    c = [Fraction(0)] * n
    for number, value in zip(part.rows.tolist(), np.asarray(part.values).tolist(), strict=True):
        is_lower = number >= m + 2 * n
        row = number - m - 2 * n if is_lower else number
        if row < m:
            assert equal[row] or ((lower if is_lower else upper)[row] and value > 0)
            sign = -1 if is_lower else 1
            c = [entry + sign * Fraction(value) * Fraction(a) for entry, a in zip(c, A[row].tolist(), strict=True)]
    for number, value in zip(part.rows.tolist(), np.asarray(part.values).tolist(), strict=True):
        if m <= number < m + 2 * n:
            j, sign = (number - m) % n, -1 if number - m >= n else 1
            assert value > 0
            assert sign * c[j] > 0


def test_projection_is_the_same_in_every_batch() -> None:
    A, equal, upper, lower = random_cones(3)
    rows = OrthantRows.of(fs.ReLULayer(csr_array(A)), as_polyhedron(fs.NonNegative(), 6))
    cones = OrthantCones(equal, upper, lower)
    order = np.random.default_rng(0).permutation(len(cones))
    shuffled = project(rows, cones.chosen(order))
    for place, k in enumerate(order.tolist()):
        (alone,) = project(rows, cones.chosen(np.array([k])))
        assert sort_of(alone) == sort_of(shuffled[place])


def sort_of(found: Projected | None) -> type | None:
    return None if found is None else type(found.part)


@NEEDS_CDD
def test_little_room_ends_in_another_method() -> None:
    """d1 = d2 and d1 = (1 - e) d2 hold only 0, but multipliers are of size 1 / e."""
    for e in (2.0**-10, 2.0**-24, 2.0**-40):
        A = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0 - e, 0.0], [0.0, 0.0, -1.0], [1.0, 1.0, 2.0]])
        x = np.array([1.0, 1.0, 0.0])
        bias = np.array([1.0, 1.0, 0.0, -5.0])  # the last two are off: d3 >= 0 says nothing more
        for form in (np.array, csr_array):
            p = fs.preimage(fs.ReLULayer(form(A), bias), x=x, domain=fs.NonNegative())
            truth = oracles.cdd_answer(oracles.mixed_system(A, bias, x=x, domain=fs.NonNegative()))
            assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension)
            assert fs.verify(p)


# ---- strict directions


@pytest.mark.parametrize("power", [-300, 0, 300])
def test_strict_directions_are_strict(power: int) -> None:
    random = np.random.default_rng(1)
    found = 0
    for _ in range(20):
        H, W = random.integers(-2, 3, size=(2, 7)).astype(float), random.integers(-2, 3, size=(2, 7)).astype(float)
        if not (H.any(axis=1).all() and W.any(axis=1).all()):
            continue
        signs = random.integers(-1, 2, size=7).astype(float)
        fixed = random.uniform(size=7) < 0.2
        signs[fixed] = 0.0
        d = strict_direction(np.ldexp(H, power), np.ldexp(W, -power), signs, fixed)
        A = np.vstack([W, -np.diag(signs)[signs != 0]])[:, ~fixed]
        best = linprog(
            np.append(np.zeros(int((~fixed).sum())), -1.0),
            A_ub=np.column_stack([A, np.ones(len(A))]),
            b_ub=np.zeros(len(A)),
            A_eq=np.column_stack([H[:, ~fixed], np.zeros(2)]),
            b_eq=np.zeros(2),
            bounds=[(-1, 1)] * int((~fixed).sum()) + [(None, 1)],
        )
        if d is None:
            assert -best.fun < 1e-6 or np.linalg.matrix_rank(H[:, ~fixed]) < 2
            continue
        found += 1
        assert -best.fun > 0
        assert not d[fixed].any()
        assert (signs * d)[signs != 0].min(initial=1.0) > 0
        assert (W @ d).max() < 0
        assert np.abs(H @ d).max() < 1e-10 * np.linalg.norm(d)
    assert found > 5


def test_no_direction_is_strict_where_an_equality_has_one_sign() -> None:
    H = np.array([[1.0, 2.0, 0.0, 0.0]])
    none, fixed = np.zeros((0, 4)), np.zeros(4, dtype=np.bool_)
    assert strict_direction(H, none, np.array([1.0, 1.0, 0.0, 1.0]), fixed) is None
    fixed[:2] = True
    d = strict_direction(H, none, np.array([0.0, 0.0, 0.0, 1.0]), fixed)
    assert d is not None
    assert d[3] > 0


# ---- layers


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "padding": {"padding": ((1, 1), (1, 1))},
    "stride": {"stride": (2, 2)},
    "groups": {"groups": 2},
    "dilation": {"dilation": (2, 2)},
    "dead channel": {"dead": True},
    "equal filters": {"equal": True},
}


def layer_and_inputs(options: dict[str, Any], samples: int) -> tuple[csr_array, Array, Array]:
    """Integer filters of a small convolution, and inputs that a ReLU gives."""
    options = dict(options)
    dead, equal = options.pop("dead", False), options.pop("equal", False)
    random = np.random.default_rng(len(str(options)) + 7)
    filters = random.integers(-2, 3, size=(4, 2 // options.get("groups", 1), 2, 2)).astype(float)
    if dead:
        filters[1] = 0.0
    if equal:
        filters[2] = filters[0]
    rows = Convolution(filters, (2, 2, 3) if dead else (2, 3, 3), **options).rows()
    bias = random.integers(-1, 2, size=rows.shape[0]).astype(float)
    X = np.maximum(random.integers(-2, 3, size=(samples, rows.shape[1])), 0).astype(float)
    return csr_array(rows), bias, X


@pytest.mark.exhaustive(every=3)
@NEEDS_CDD
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_behind_a_relu_in_batches(name: str) -> None:
    rows, bias, X = layer_and_inputs(CONVOLUTIONS[name], 5)
    weight, domain = rows.toarray(), fs.NonNegative()
    truth = [oracles.cdd_answer(oracles.mixed_system(weight, bias, x=x, domain=domain)) for x in X]
    order = np.array([3, 0, 4, 2, 1])
    for layer in (fs.ReLULayer(rows, bias), fs.ReLULayer(weight, bias)):
        together, shuffled = fs.classify(layer, X, domain), fs.classify(layer, X[order], domain)
        for i, answer in enumerate(truth):
            assert (str(together[i].kind), together[i].dimension) == (answer.kind, answer.dimension), i
        assert (together.kind[order] == shuffled.kind).all()
        assert (together.dimension[order] == shuffled.dimension).all()
        assert together.verify().all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_powers_of_two_change_nothing(sign: int) -> None:
    rows, bias, X = layer_and_inputs({"padding": ((1, 1), (1, 1))}, 6)
    random = np.random.default_rng(2)
    r, c = sign * random.integers(-20, 21, size=rows.shape[0]), sign * random.integers(-20, 21, size=rows.shape[1])
    scaled = csr_array(np.ldexp(np.ldexp(rows.toarray(), r[:, None]), c))
    plain = fs.classify(fs.ReLULayer(rows, bias), X, fs.NonNegative())
    other = fs.classify(fs.ReLULayer(scaled, np.ldexp(bias, r)), np.ldexp(X, -c), fs.NonNegative())
    assert (plain.kind == other.kind).all()
    assert (plain.dimension == other.dimension).all()
    assert (plain.kind != "undecided").all()
    assert other.verify().all()
