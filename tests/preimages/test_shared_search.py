"""The pieces of deciding many samples: sets, patterns, null spaces, the search, and groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

import fiberscope as fs
from drawn_examples import examples
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages import bitsets
from fiberscope.preimages.bitsets import Bitsets
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.grouping import Cones, intersections, unions
from fiberscope.preimages.hinge import Cone, search
from fiberscope.preimages.null_space import DependentRowsError, NullSpace
from fiberscope.preimages.patterns import exact_patterns
from fiberscope.preimages.row_pool import RowPool
from fiberscope.preimages.shared_proofs import shared_proofs
from fiberscope.preimages.system import build_at_input

PRECISE = torch.float64


@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 9))
def test_bitsets_are_the_sets_they_are_made_from(seed: int, size: int, count: int) -> None:
    members = np.random.default_rng(seed).random((count, size)) < 0.4
    sets = Bitsets.of(members)
    assert np.array_equal(sets.matrix(), members)
    assert np.array_equal(sets.counts(), members.sum(axis=1))
    assert np.array_equal(bitsets.mask(bitsets.union(sets.words), size), members.any(axis=0))
    assert np.array_equal(bitsets.mask(bitsets.intersection(sets.words), size), members.all(axis=0))
    assert np.array_equal(bitsets.members(sets.words[0], size), np.flatnonzero(members[0]))
    kept = np.flatnonzero(np.random.default_rng(seed + 1).random(size) < 0.5)
    assert np.array_equal(sets.columns(kept).matrix(), members[:, kept])


@pytest.mark.parametrize(
    "domain", [None, fs.Box(0, 2), fs.NonNegative(), fs.HalfSpaces([[1, 1, 0], [0, 0, 0]], [4, 0])]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_patterns_are_those_of_one_sample_at_a_time(domain: fs.Box | None, threads: int) -> None:
    generator = np.random.default_rng(1)
    layer = fs.ReLULayer(generator.integers(-1, 2, (9, 3)), generator.integers(-1, 2, 9))
    X = generator.integers(0, 3, (700, 3)).astype(np.float64)
    polyhedron = as_polyhedron(domain, 3)
    found = exact_patterns(layer, polyhedron, X, np.zeros((700, 2, 9)), threads)
    for i in range(0, 700, 7):
        system = build_at_input(layer, polyhedron, X[i])
        assert np.array_equal(np.flatnonzero(found.positive.matrix()[i]), system.positive)
        assert np.array_equal(np.flatnonzero(found.tight.matrix()[i]), system.tight)
        assert found.positives[i] == len(system.positive)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize(("q", "n"), [(0, 4), (1, 2), (5, 9), (60, 61), (120, 200)])
def test_the_null_space_is_one(q: int, n: int, precision: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(q)
    H = torch.nn.functional.normalize(torch.randn((q, n), generator=generator, dtype=PRECISE), dim=1)
    space = NullSpace.of(H.to(precision))
    assert space.basis.shape == (n, n - q)
    tolerance = (1e-4 if precision is torch.float32 else 1e-12) * float(space.basis.norm()) * max(q, 1)
    assert float((H @ space.basis.to(PRECISE)).norm()) < tolerance
    assert torch.allclose(space.metric(), space.basis.T @ space.basis, rtol=1e-4, atol=1e-4)
    d = torch.randn(n, generator=generator, dtype=PRECISE)
    corrected = d
    for _ in range(4):
        corrected = corrected - space.correction(H @ corrected)
    assert float((H @ corrected).norm()) < 1e-9 * float(corrected.norm())
    if precision is PRECISE:
        mu = torch.randn(q, generator=generator, dtype=PRECISE)
        assert torch.allclose(space.multipliers(H, -H.T @ mu), mu, atol=1e-8)


def test_dependent_rows_have_no_null_space_here() -> None:
    H = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]], dtype=PRECISE)
    with pytest.raises(DependentRowsError):
        NullSpace.of(H)


def _has_strict_direction(H: np.ndarray, W: np.ndarray) -> bool:
    """By a linear program: is there d with ``H d = 0``, ``W d <= -1``?"""
    n = W.shape[1]
    answer = linprog(np.zeros(n), W, -np.ones(len(W)), H, np.zeros(len(H)), bounds=(None, None), method="highs")
    return answer.status == 0


@given(st.integers(0, 2**32))
@examples(60)
def test_the_search_finds_what_a_linear_program_says_is_there(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n, q = int(generator.integers(2, 12)), int(generator.integers(0, 5))
    m = int(generator.integers(q + 1, 4 * n))
    q = min(q, n - 1)
    A = generator.standard_normal((m, n)) + 0.5 * generator.random()
    pool = RowPool.of(fs.ReLULayer(A), as_polyhedron(None, n))
    held = np.sort(generator.choice(m, q, replace=False))
    others = np.setdiff1d(np.arange(m), held)
    outcome = search(pool, [Cone(held)], PRECISE)[0]
    if _has_strict_direction(A[held], A[others]):
        assert outcome.direction is not None
        assert np.abs(A[held] @ outcome.direction).max(initial=0.0) < 1e-9 * np.abs(outcome.direction).max()
        assert (A[others] @ outcome.direction < 0).all()
        assert 0 < outcome.margin <= 1
    else:
        assert outcome.multipliers is not None
        unit = A / np.linalg.norm(A, axis=1)[:, None]
        values = outcome.multipliers
        assert np.abs(unit[outcome.places].T @ values).max() < 1e-9 * np.abs(values).max()
        assert (values[len(held) :] > 0).all()
        assert np.array_equal(outcome.places[: len(held)], held)
        assert np.linalg.matrix_rank(unit[outcome.places]) == n


def test_many_cones_at_once_are_answered_as_each_alone() -> None:
    generator = np.random.default_rng(2)
    A = generator.standard_normal((60, 20)) + 0.3
    pool = RowPool.of(fs.ReLULayer(A), as_polyhedron(fs.Box(-1, 1), 20))
    cones = [Cone(np.sort(generator.choice(60, int(k), replace=False))) for k in generator.integers(0, 19, 12)]
    tight = np.sort(generator.choice(np.arange(60, 100), 9, replace=False))
    cones += [Cone(cone.held, tight) for cone in cones]
    for together, cone in zip(search(pool, cones, PRECISE), cones, strict=True):
        single = search(pool, [cone], PRECISE)[0]
        assert (together.direction is None) == (single.direction is None)
        assert (together.multipliers is None) == (single.multipliers is None)


@pytest.mark.parametrize("exponent", [-60, 0, 60])
@pytest.mark.parametrize("seed", range(4))
def test_rows_that_depend_on_each_other_are_set_aside(seed: int, exponent: int) -> None:
    """H with a copy and a sum of its rows; of W, one row is minus a sum of H's, and others are strict."""
    generator = np.random.default_rng(seed)
    H = generator.integers(-3, 4, (3, 9)).astype(float)
    H = np.vstack([H, -2.0 * H[0], H[1] + H[2]])
    W = np.vstack([-(H[0] + H[1]), generator.integers(-3, 4, (3, 9)).astype(float)])
    rows = np.ldexp(np.vstack([H, W]), exponent)
    assert np.linalg.matrix_rank(rows) == 6, "the case has a strict direction"
    pool = RowPool.of(fs.ReLULayer(rows), as_polyhedron(None, 9))
    (found,) = search(pool, [Cone(np.arange(5))], torch.float64, degenerate=True)
    assert found.direction is not None
    slopes = rows @ found.direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(found.direction)
    assert np.abs(slopes[:6]).max() < 1e-14
    assert slopes[6:].max() < -1e-9
    assert len(found.held) == np.linalg.matrix_rank(H) == 3
    assert found.vanishing.tolist() == [5]
    assert found.dependence is not None
    assert found.dependence[-1] > 0
    places = np.concatenate([found.held, found.vanishing])
    unit = rows[places] / np.linalg.norm(rows[places], axis=1)[:, None]
    assert np.abs(unit.T @ found.dependence).max() < 1e-13
    assert search(pool, [Cone(np.arange(5))], torch.float64)[0].direction is None, "many leave such rows to one"


def test_a_pool_of_some_rows_has_their_numbers() -> None:
    generator = np.random.default_rng(0)
    layer, n = fs.ReLULayer(generator.standard_normal((6, 4))), 4
    box = as_polyhedron(fs.Box(-1, [1, 2, np.inf, 4]), n)
    numbers = np.array([1, 4, 6, 9, 10, 12, 13])  # two units; x0 and x3 from below; x0, x2 (no bound) and x3 from above
    chosen = np.zeros(6 + 2 * n, dtype=np.bool_)
    chosen[numbers] = True
    some, whole = RowPool.of(layer, box, chosen), RowPool.of(layer, box)
    assert some.numbers.tolist() == [1, 4, 6, 9, 10, 13]
    d = torch.from_numpy(generator.standard_normal((n, 2)))
    assert torch.equal(some.slopes(d), whole.slopes(d)[np.searchsorted(whole.numbers, some.numbers)])
    assert np.array_equal(some.lower_numbers, whole.lower_numbers[np.searchsorted(whole.numbers, some.numbers)])


def _cones(count: int, rows: int, seed: int, *, bounds: bool) -> Cones:
    """Patterns in clusters; with bounds, the last 2 k rows bound k coordinates from both sides."""
    generator = np.random.default_rng(seed)
    centers = generator.random((5, rows)) < 0.3
    held = centers[generator.integers(0, 5, count)] ^ (generator.random((count, rows)) < 0.05)
    if not bounds:
        return Cones(Bitsets.of(held))
    k = rows // 4
    held[:, rows - 2 * k :] = False
    tight = np.zeros_like(held)
    side = generator.integers(0, 3, (5, k))[generator.integers(0, 5, count)]
    tight[:, rows - 2 * k : rows - k], tight[:, rows - k :] = side == 1, side == 2
    opposite = np.zeros_like(tight)
    opposite[:, rows - 2 * k : rows - k], opposite[:, rows - k :] = side == 2, side == 1
    return Cones(Bitsets.of(held), Bitsets.of(tight), Bitsets.of(opposite))


@pytest.mark.parametrize("bounds", [False, True])
def test_groups_hold_every_sample_once_and_ask_what_serves_all(bounds: bool) -> None:
    cones = _cones(600, 120, 3, bounds=bounds)
    loads = cones.loads()
    ceiling, floor = float(np.quantile(loads, 0.9)), float(np.quantile(loads, 0.2))
    low, high = np.flatnonzero(loads <= ceiling), np.flatnonzero(loads >= floor)
    for groups, chosen in ((unions(cones.chosen(low), ceiling), low), (intersections(cones.chosen(high), floor), high)):
        members = np.concatenate([group.members for group in groups])
        assert np.array_equal(np.sort(members), np.arange(len(chosen)))
        assert len(groups) < 0.8 * len(chosen)
    held, tight = cones.chosen(low).held.words, cones.chosen(low).inequalities
    for group in unions(cones.chosen(low), ceiling):
        assert not (held[group.members] & ~group.held).any()
        load = float(bitsets.sizes(group.held))
        if tight is not None:
            assert group.inequalities is not None
            assert not (tight.words[group.members] & ~group.inequalities).any()
            both = bitsets.mask(group.inequalities, 120)[60:].reshape(2, 30)
            assert not both.all(axis=0).any(), "no direction falls along both bounds of a coordinate"
            load += 0.5 * float(bitsets.sizes(group.inequalities))
        assert load <= ceiling
    held = cones.chosen(high).held.words
    for group in intersections(cones.chosen(high), floor):
        assert not (group.held & ~held[group.members]).any()


def test_a_proof_serves_every_sample_that_it_is_given_to() -> None:
    generator = np.random.default_rng(4)
    A = generator.standard_normal((120, 30)) + 0.2
    pool = RowPool.of(fs.ReLULayer(A), as_polyhedron(None, 30))
    centers = generator.random((4, 120)) < np.array([0.05, 0.1, 0.2, 0.22])[:, None]
    held = centers[generator.integers(0, 4, 300)] & (generator.random((300, 120)) < 0.8)
    counted: list[int] = []
    settled = shared_proofs(pool, Cones(Bitsets.of(held)), 2, counted.append)
    assert (settled.of >= 0).sum() == sum(counted)
    assert (settled.of >= 0).mean() > 0.95
    assert len(settled.proofs) < 150
    for i in np.flatnonzero(settled.of >= 0):
        part = settled.proofs[settled.of[i]].part
        positive = np.flatnonzero(held[i])
        if isinstance(part, Direction):
            assert np.isin(positive, part.equalities).all()
            free = np.setdiff1d(np.arange(120), part.equalities)
            assert (A[free] @ part.values < 0).all()
            assert np.abs(A[part.equalities] @ part.values).max(initial=0.0) < 1e-9 * np.abs(part.values).max()
        else:
            assert isinstance(part, Multipliers)
            assert (part.values[~np.isin(part.rows, positive)] > 0).all()
            assert np.abs(A[part.rows].T @ part.values).max() < 1e-9 * np.abs(part.values).max()
