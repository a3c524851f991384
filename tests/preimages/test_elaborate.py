"""Candidates written down as certificates: signs, independent rows, units, and what many of them share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import linprog
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.network.arrays import FloatArray
from fiberscope.preimages import candidate as found
from fiberscope.preimages.candidate import Candidate
from fiberscope.preimages.elaborate import elaborate, elaborate_many
from fiberscope.preimages.geometry import system_of
from fiberscope.preimages.independent_rows import in_order
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.sided_rows import Numbering, Sides
from fiberscope.preimages.verify import verify, verify_in_float, verify_many

Kind = fs.Kind
SIMPLEX = np.array([[1.0, 0.25], [-0.5, 1.0], [-0.5, -1.0]])

pytestmark = pytest.mark.usefixtures("unchecked")  # parts of claims are missing on purpose


def claim(layer: fs.ReLULayer, candidate: Candidate, dimension: int, domain: Any = None, **given: Any) -> Preimage:
    """The verdict that a candidate stands for, with the certificate that says it."""
    asked = {name: None if value is None else np.asarray(value, dtype=np.float64) for name, value in given.items()}
    asked = {"x": None, "y": None} | asked
    question = Preimage(layer, domain, **asked, kind=candidate.kind, dimension=dimension, margin=0.0, certificate=None)
    return replace(question, certificate=elaborate(question, candidate, system_of(question)))


def direction_for(rows: FloatArray, strict: FloatArray) -> FloatArray:
    """A direction that is zero on rows and negative on strict ones, by a linear program."""
    basis = scipy.linalg.null_space(rows) if len(rows) else np.eye(strict.shape[1])
    k = basis.shape[1]
    reduced = np.column_stack([strict @ basis, np.ones(len(strict))])
    answer = linprog(-np.eye(k + 1)[k], A_ub=reduced, b_ub=np.zeros(len(strict)), bounds=[(-1, 1)] * (k + 1))
    assert answer.x[k] > 1e-6, "the case has a direction"
    return basis @ answer.x[:k]


def multipliers_for(rows: FloatArray, free: int) -> FloatArray:
    """Weights of rows that cancel, of at least one but on the first ones."""
    bounds = [(None, None)] * free + [(1, 50)] * (len(rows) - free)
    answer = linprog(np.zeros(len(rows)), A_eq=rows.T, b_eq=np.zeros(rows.shape[1]), bounds=bounds)
    return answer.x - np.linalg.pinv(rows.T) @ (rows.T @ answer.x)


# ---- signs


def test_both_sides_of_a_row_are_one_weight() -> None:
    # x1 is pinned by its bounds, and x2 >= 0 is tight beside -x2 <= 0
    layer, box = fs.ReLULayer([[0.0, -1.0]]), fs.Box([1, 0], [1, 2])
    rows = np.array([0, 1, 2, 3])  # the layer's row, x1 and x2 from below, x1 from above
    weights = np.array([-1.0, 3.0, 1.0, 3.0])
    p = claim(layer, Candidate(Kind.SINGLETON, 0, implicit=found.Multipliers(rows[[0, 1, 3]], weights[[0, 1, 3]])),
              0, box, x=[1, 0])  # fmt: skip
    tangent = p.certificate.tangent
    assert tangent is None or tangent.multipliers is None or 1 not in tangent.multipliers.rows, "a pinned row is none"


def test_lower_sides_count_negatively() -> None:
    # x = (0, 0): x1 >= 0 and x2 >= 0 are tight, and so is x1 + x2 <= 0
    layer = fs.ReLULayer([[1.0, 1.0]])
    implicit = found.Multipliers(np.array([0, 1, 2]), np.array([2.0, 2.0, 2.0]))
    p = claim(layer, Candidate(Kind.SINGLETON, 0, implicit=implicit), 0, fs.NonNegative(), x=[0, 0])
    assert p.certificate.tangent is not None
    multipliers = p.certificate.tangent.multipliers
    assert multipliers is not None
    assert multipliers.rows.tolist() == [0, 1, 2]
    assert np.sign(multipliers.values).tolist() == [1, -1, -1]
    assert verify_in_float(p)
    assert verify(p, exact=True)


def test_the_lower_side_of_a_unit_that_is_saturated() -> None:
    """ReLU6 of x1 at its top, of x2 at its bottom: a quadrant, whose lower side has the number m + 2 n + q + i."""
    layer = fs.ReLULayer(np.eye(2), low=0, high=6)
    ray = found.Direction(np.zeros(0, dtype=np.int64), np.array([1.0, -1.0]))
    p = claim(layer, Candidate(Kind.UNBOUNDED, 2, interior=ray, recession=ray), 2, x=[6, 0])
    assert verify_in_float(p)
    wrong = found.Direction(np.zeros(0, dtype=np.int64), np.array([-1.0, -1.0]))
    assert not verify(claim(layer, Candidate(Kind.UNBOUNDED, 2, interior=wrong, recession=wrong), 2, x=[6, 0]))
    held = found.Multipliers(np.array([2 + 4, 0]), np.array([1.0, 1.0]))  # the lower side of row 0, and row 0 itself
    one = fs.ReLULayer([[1.0], [1.0]], [0.0, 0.0], low=[0, -6], high=[6, 0])
    p = claim(one, Candidate(Kind.SINGLETON, 0, implicit=replace(held, rows=np.array([0, 2 + 2 + 1]))), 0, x=[0])
    assert p.certificate.tangent is not None
    assert p.certificate.tangent.multipliers is not None
    assert np.sign(p.certificate.tangent.multipliers.values).tolist() == [1, -1]
    assert verify_in_float(p)


def test_multipliers_that_weigh_nothing_are_left_out() -> None:
    """x1 is pinned, so that x1 <= 1 is no implicit row, and what its multipliers say of x2 is nothing."""
    layer, box = fs.ReLULayer([[0.0, 1.0]]), fs.Box([1, 0], [1, 2])
    implicit = found.Multipliers(np.array([1, 3]), np.ones(2))  # x1 from below and from above
    candidate = Candidate(Kind.SINGLETON, 0, point=np.ones(2), implicit=implicit)
    p = claim(layer, candidate, 0, box, y=[1])
    assert p.certificate.tangent is not None
    assert p.certificate.tangent.multipliers is None
    assert verify_in_float(p)


# ---- independent rows


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("factor", [1.0, -0.5, 1024.0])
def test_copies_of_rows(form: Any, factor: float) -> None:
    generator = np.random.default_rng(1)
    rows = generator.standard_normal((5, 12))
    x, weight = generator.standard_normal(12), np.concatenate([rows, factor * rows[:2], -rows])
    bias = np.concatenate([1 - rows @ x, 1 - factor * rows[:2] @ x, rows @ x - 1])  # the last ones are off
    layer, held = fs.ReLULayer(form(weight), bias), np.arange(7)
    d = direction_for(rows, np.zeros((1, 12)) - 1.0)
    ray = found.Direction(np.arange(12), d)
    p = claim(layer, Candidate(Kind.UNBOUNDED, 7, recession=ray), 7, x=x)
    assert len(held) - len(p.certificate.recession.direction.basis) == 2
    assert verify_in_float(p)
    assert not verify(replace(p, dimension=6))


def test_rows_that_fix_coordinates_though_there_are_more_of_them() -> None:
    """Six rows see three coordinates only, so that these are held; the seventh sees all."""
    generator = np.random.default_rng(2)
    weight = np.zeros((7, 8))
    weight[:6, :3], weight[6] = generator.standard_normal((6, 3)), generator.standard_normal(8)
    layer = fs.ReLULayer(weight, np.ones(7))
    d = scipy.linalg.null_space(weight)[:, 0]
    p = claim(layer, Candidate(Kind.UNBOUNDED, 4, recession=found.Direction(np.arange(7), d)), 4, x=np.zeros(8))
    assert p.certificate.zero.tolist() == [0, 1, 2]
    assert verify_in_float(p)


def test_relations_beyond_copies() -> None:
    weight = np.array([[1.0, 2.0, 0.0, 1.0], [0.5, -1.0, 1.0, 0.0], [1.5, 1.0, 1.0, 1.0]])
    relation = found.Dependencies(np.array([0, 3]), np.arange(3), np.array([1.0, 1.0, -1.0]))
    ray = found.Direction(np.arange(3), np.linalg.svd(weight)[2][3])
    for bit, dimension in ((0.0, 2), (2.0**-52, 1)):
        weight[2, 3] = 1.0 + bit
        candidate = Candidate(Kind.UNBOUNDED, 2, recession=ray, dependencies=relation)
        p = claim(fs.ReLULayer(weight), candidate, 2, x=[1, 0, 1, 1])
        assert bool(verify_in_float(p)) == (dimension == 2)


def test_the_row_in_front_of_a_relation_is_in_no_later_one() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        named = [tuple(generator.permutation(8)[:3].tolist()) for _ in range(6)]
        relations = [(rows, (1.0, 2.0, 3.0)) for rows in named]
        ordered = in_order(relations, {}, [False] * len(relations))
        for k, (rows, values) in enumerate(ordered):
            assert all(rows[0] not in later for later, _ in ordered[k + 1 :])
            assert (set(rows), sorted(values)) in [(set(r), sorted(v)) for r, v in relations]


# ---- units


@pytest.mark.parametrize("columns", [0, 60, 300])
def test_powers_of_two_change_no_proof(columns: int) -> None:
    generator = np.random.default_rng(4)
    A, x = generator.standard_normal((20, 10)), generator.standard_normal(10)
    b = np.where(np.arange(20) < 6, 1.0, -1.0) - A @ x
    d = direction_for(A[:6], A[6:12])
    r, c = generator.integers(-60, 61, 12), generator.integers(-columns, columns + 1, 10)
    layer = fs.ReLULayer(np.ldexp(A[:12], r[:, None] + c), np.ldexp(b[:12], r))
    ray = found.Direction(np.arange(6), np.ldexp(d, -c))
    p = claim(layer, Candidate(Kind.UNBOUNDED, 4, recession=ray), 4, x=np.ldexp(x, -c))
    assert verify_in_float(p)
    assert (p.certificate.scaling is not None) or columns == 0


def test_a_ray_whose_entries_differ_by_many_orders_of_magnitude() -> None:
    chain = np.array([[1.0, -(2.0**-30), 0.0], [0.0, 1.0, -(2.0**-30)]])
    d = np.array([2.0**-60, 2.0**-30, 1.0]) * (1 + 2.0**-52)
    layer = fs.ReLULayer(np.concatenate([chain, [[-1.0, 0.0, 0.0]]]), [1.0, 1.0, -1.0])
    p = claim(layer, Candidate(Kind.UNBOUNDED, 1, recession=found.Direction(np.arange(2), d)), 1, x=np.zeros(3))
    assert verify_in_float(p)


def test_points_and_contradictions_of_an_output() -> None:
    generator = np.random.default_rng(5)
    A = generator.standard_normal((6, 8))
    x = generator.standard_normal(8)
    b = np.where(np.arange(6) < 3, 1.0, -1.0) - A @ x
    layer = fs.ReLULayer(A, b)
    ray = found.Direction(np.arange(3), direction_for(A[:3], A[3:]))
    inside = Candidate(Kind.UNBOUNDED, 5, point=x + 1e-12, recession=ray)
    assert verify_in_float(claim(layer, inside, 5, y=np.append(np.ones(3), np.zeros(3))))
    # x1 = 3, x1 <= 1
    box, weights = fs.Box(0, 1), found.Multipliers(np.array([0, 1 + 1]), np.array([-1.0, 1.0]))
    p = claim(fs.ReLULayer([[1.0]]), Candidate(Kind.EMPTY, -1, infeasible=weights), -1, box, y=[3])
    assert verify_in_float(p)
    assert not verify(claim(fs.ReLULayer([[1.0]]), Candidate(Kind.EMPTY, -1, infeasible=weights), -1, box, y=[1]))


# ---- many


def nearby(seed: int, m: int, n: int, positives: int) -> tuple[fs.ReLULayer, FloatArray]:
    generator = np.random.default_rng(seed)
    weight, center = generator.standard_normal((m, n)), generator.standard_normal(n)
    layer = fs.ReLULayer(weight, np.full(m, -np.sort(weight @ center)[-positives]))
    return layer, center + 0.05 * generator.standard_normal((12, n))


def rank_of(layer: fs.ReLULayer, x: FloatArray) -> int:
    return int(np.linalg.matrix_rank(layer.weight[layer(x) > 0])) if (layer(x) > 0).any() else 0


def unbounded(seed: int) -> tuple[fs.ReLULayer, FloatArray, Candidate, Any]:
    layer, X = nearby(seed, 24, 20, 4)
    active = (layer(X) > 0).any(axis=0)
    d = direction_for(layer.weight[active], layer.weight[~active])
    return layer, X, Candidate(Kind.UNBOUNDED, None, recession=found.Direction(np.flatnonzero(active), d)), None


def bounded(seed: int) -> tuple[fs.ReLULayer, FloatArray, Candidate, Any]:
    layer, X = nearby(seed, 60, 12, 6)
    always = (layer(X) > 0).all(axis=0)
    order = np.concatenate([np.flatnonzero(always), np.flatnonzero(~always)])
    weights = multipliers_for(layer.weight[order], int(always.sum()))
    X = X[[rank_of(layer, x) < 12 for x in X]]
    return layer, X, Candidate(Kind.BOUNDED, None, recession=found.Multipliers(order, weights)), None


def singletons_by_rank(seed: int) -> tuple[fs.ReLULayer, FloatArray, Candidate, Any]:
    layer, X = nearby(seed, 60, 12, 25)
    return layer, X[[rank_of(layer, x) == 12 for x in X]], Candidate(Kind.SINGLETON, None), None


def in_a_box(seed: int) -> tuple[fs.ReLULayer, FloatArray, Candidate, Any]:
    generator, n = np.random.default_rng(seed), 30
    X = np.where((generator.random((12, n)) < 0.3) & (np.arange(n) < 10), 0.0, generator.uniform(0.1, 0.9, (12, n)))
    weight = generator.standard_normal((20, n))
    layer = fs.ReLULayer(weight, -np.median(weight @ X.T, axis=1))
    active, zero = (layer(X) > 0).any(axis=0), (X == 0).any(axis=0)
    interior = found.Direction(np.flatnonzero(active), direction_for(weight[active], -np.eye(n)[zero]))
    return layer, X, Candidate(Kind.BOUNDED, None, interior=interior, recession=found.BoundedDomain()), fs.Box(0, 1)


def singletons_in_a_box(seed: int) -> tuple[fs.ReLULayer, FloatArray, Candidate, Any]:
    generator, n, zeros = np.random.default_rng(seed), 12, 9
    weight = np.concatenate([generator.standard_normal((8, n)), np.ones((1, n))])
    X = np.concatenate([np.zeros((10, zeros)), generator.uniform(0.1, 0.9, (10, n - zeros))], axis=1)
    layer = fs.ReLULayer(weight, np.append(np.full(8, 9.0), 0.5))
    weights = multipliers_for(np.concatenate([weight, -np.eye(n)[:zeros]]), 9)
    implicit = found.Multipliers(np.concatenate([np.arange(9), 9 + np.arange(zeros)]), weights)
    return layer, X, Candidate(Kind.SINGLETON, None, implicit=implicit), fs.Box(0, 1)


FAMILIES = (unbounded, bounded, singletons_by_rank, in_a_box, singletons_in_a_box)


def many(family: Any, seed: int) -> list[Preimage]:
    layer, X, candidate, domain = family(seed)
    dimensions = [0 if candidate.kind is Kind.SINGLETON else layer.inputs - rank_of(layer, x) for x in X]
    questions = [
        Preimage(layer, domain, x, None, candidate.kind, dimension, 0.0, fs.Certificate(candidate.kind, None))
        for x, dimension in zip(X, dimensions, strict=True)
    ]
    systems = [system_of(question) for question in questions]
    rows = Numbering.of(layer, systems[0].domain)
    sides = [Sides.of(system, rows) for system in systems]
    certificates = elaborate_many(questions, [candidate] * len(questions), rows, sides)
    return [replace(q, certificate=certificate) for q, certificate in zip(questions, certificates, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_share_a_certificate(family: Any) -> None:
    claims = many(family, 0)
    assert len(claims) > 1
    assert verify_many(claims).all()
    assert all(verify_in_float(p) for p in claims)
    assert verify(claims[0], exact=True)
    assert len({id(p.certificate) for p in claims}) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_what_holds_for_one_sample_says_nothing_of_another(family: Any) -> None:
    claims = many(family, 1)
    lies = [replace(p, x=1.0 - p.x if p.domain is not None else -3.0 * p.x) for p in claims]
    lies += [replace(p, dimension=p.dimension + 1) for p in claims if p.kind is not Kind.SINGLETON]
    proved = verify_many([*claims, *lies])
    assert proved[: len(claims)].all()
    truths = [p.kind is Kind.SINGLETON and rank_of(p.layer, p.x) == p.layer.inputs for p in lies]
    assert not (proved[len(claims) :] & ~np.array(truths)).any()


def test_neither_threads_nor_order_matter() -> None:
    claims = [p for family in FAMILIES for p in many(family, 2)]
    claims += [replace(p, dimension=p.dimension + 1) for p in claims[::5] if p.kind is not Kind.SINGLETON]
    order = np.random.default_rng(1).permutation(len(claims))
    proved = verify_many(claims)
    assert 0 < np.count_nonzero(~proved) < len(claims) / 3
    assert verify_many(claims, threads=3).tolist() == proved.tolist()
    assert verify_many([claims[k] for k in order], threads=2).tolist() == proved[order].tolist()
