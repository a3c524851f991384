"""Definition 7: admissible index sets, and the activation patterns that data visit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from fiberscope.preimages.exact_face import TooLargeError
from fiberscope.stability import admissible
from fiberscope.stability.admissible import Admissibility, is_admissible, visited_patterns

NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)

Matrix = np.ndarray[Any, Any]


def all_patterns(m: int) -> Iterator[Matrix]:
    yield from (np.array(pattern, dtype=bool) for pattern in product([False, True], repeat=m))


def admissible_by_rays(A: Matrix, b: Matrix, inactive: Matrix) -> bool:
    """By the list of rays of the homogenised cone: every strict row must be negative on one of them."""
    rows = [oracles.exact_vector(row) for row in np.column_stack([A, b])]
    rows = [row if off else tuple(-v for v in row) for row, off in zip(rows, inactive, strict=True)]
    rows.append((*(Fraction(0),) * A.shape[1], Fraction(-1)))
    strict = [*(row for row, off in zip(rows[:-1], inactive, strict=True) if not off), rows[-1]]
    answer = oracles.cdd_answer(oracles.System(A.shape[1] + 1, (), tuple((row, Fraction(0)) for row in rows)))
    lines_are_held = all(oracles.dot(row, line) == 0 for row in rows for line in answer.lines)
    assert lines_are_held, "a line of a cone is zero on its rows"
    return all(any(oracles.dot(row, ray) < 0 for ray in answer.rays) for row in strict)


def check(layer: fs.ReLULayer, inactive: Matrix, answer: Admissibility) -> None:
    """A point has the pattern in fractions; a refusal rests on a proof that the exact checker takes, too."""
    A = layer.weight if isinstance(layer.weight, np.ndarray) else layer.weight.toarray()
    assert 0 <= answer.margin <= 1
    assert bool(answer) is (answer.holds is True)
    assert bool(answer.reason) is (answer.point is None)
    if answer.cone is not None:
        assert fs.verify(answer.cone)
        assert fs.verify(answer.cone, exact=True)
    exact = answer.exact_point
    points = [] if answer.point is None else [answer.point.tolist()]
    points += [] if exact is None else [[Fraction(p, exact.denominator) for p in exact.numerators]]
    assert len(points) == (answer.holds is True)
    for point in points:
        x = oracles.exact_vector(point)
        values = [oracles.dot(oracles.exact_vector(a), x) + Fraction(c) for a, c in zip(A, layer.bias, strict=True)]
        assert [v <= 0 for v in values] == inactive.tolist()


PART_OF_49 = [[49.0, 0], [-49, 0], [0, 1]], [-1.0, 1, -2]
"""Both of the first are inactive only where 49 x_1 = 1; no float is 1/49, and 49 times the nearest is not 1."""


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize(
    ("A", "b", "inactive", "expected", "why"),
    [
        ([[1.0], [-1.0]], [0, 0], [0, 1], True, "x = 0 is the only point"),
        ([[1.0], [-1.0]], [0, 0], [], False, "x > 0 and -x > 0"),
        ([[1.0], [1.0]], [0, 0], [0], False, "x <= 0 and x > 0: only the boundary is missing"),
        ([[1.0], [1.0]], [0, 2.0**-60], [0], True, "a gap of 2^-60 is enough"),
        ([[1.0], [1.0]], [2.0**-60, 0], [0], False, "an overlap of 2^-60 the other way is not"),
        ([[1.0], [-1.0]], [-1, -1], [], False, "x > 1 and x < -1: the offsets alone exclude each other"),
        ([[1.0], [-1.0]], [1, 1], [], True, "-1 < x < 1"),
        ([[1.0, 0], [1, 0]], [0, 1], [1], False, "x_1 <= -1 and x_1 > 0 in the plane"),
        ([[1.0, 0], [0, 1]], [0, 0], [0], True, "independent rows have every pattern"),
        ([[0.0, 0]], [0], [0], True, "a dead neuron is inactive"),
        ([[0.0, 0]], [0], [], False, "and never active"),
        ([[0.0, 0]], [1], [], True, "unless its bias says so"),
        ([[0.0, 0]], [1], [0], False, "and then it is never inactive"),
        ([[0.0, 0]], [-1], [], False, "a negative bias keeps it inactive"),
        ([[1e-200, 0]], [0], [], True, "a row whose square underflows is not zero"),
        ([[1e200, 0], [1, 0]], [0, -1], [], True, "nor does a large one overflow"),
        ([[1e200, 0], [1, 0]], [0, 1], [1], False, "x <= -1 and 1e200 x > 0"),
        (*PART_OF_49, [2], False, "49 x > 1 and 49 x < 1"),
        (*PART_OF_49, [0, 1, 2], True, "49 x = 1 exactly, which no float is"),
        ([[1.0, 1], [-1, -1], [1, -1]], [-3, 3, 0], [0, 1], True, "x + y = 3 and x > y"),
        ([[1.0, 1], [-1, -1], [1, 1]], [-3, 3, -3], [0, 1], False, "x + y = 3 and x + y > 3"),
    ],
)
def test_by_hand(A: Any, b: Any, inactive: list[int], expected: bool, why: str):
    layer = fs.ReLULayer(A, b)
    mask = np.isin(np.arange(layer.outputs), inactive)
    answer = is_admissible(layer, inactive)
    assert answer.holds is expected, why
    check(layer, mask, answer)
    assert is_admissible(layer, mask).holds is expected
    assert is_admissible(fs.ReLULayer(csr_array(layer.weight), b), mask).holds is expected


def test_a_point_that_float64_does_not_hold_is_given_in_fractions():
    answer = is_admissible(fs.ReLULayer(*PART_OF_49), [0, 1])
    assert answer.point is None
    assert answer.exact_point is not None
    assert Fraction(answer.exact_point.numerators[0], answer.exact_point.denominator) == Fraction(1, 49)
    assert answer.margin == 0


def test_a_point_of_short_numbers_is_found_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    """x + y = 1 and 0 < x < y: thirds, which the exact method finds, are no floats, but sixteenths are."""
    A, b = [[1.0, 1], [-1, -1], [1, 0], [0, 1], [-1, 1]], [-1.0, 1, 0, 0, 0]
    layer, inactive = fs.ReLULayer(A, b), np.arange(5) < 2
    answer = is_admissible(layer, inactive)
    assert answer.point is not None
    check(layer, inactive, answer)
    monkeypatch.setattr(admissible, "ROUNDINGS", ())
    exact = is_admissible(layer, inactive)
    assert exact.point is None
    check(layer, inactive, exact)


def test_reasons_name_the_neurons():
    answer = is_admissible(fs.ReLULayer([[1.0, 0], [0, 1], [1, 0]], [0, 0, 0]), [2])
    assert "neurons 0 are active" in answer.reason
    answer = is_admissible(fs.ReLULayer([[0.0], [1.0]], [0, 1]), [1])
    assert "neuron 0 is 0 everywhere" in answer.reason
    assert answer.cone is None


def test_margin_of_a_point():
    """In front of the hyperplane x = 0: the best ``|x| / |(x, 1)|`` tends to 1, and no margin is above it."""
    answer = is_admissible(fs.ReLULayer([[2.0]], [0.0]), [])
    assert answer.point is not None
    x = answer.point[0]
    assert answer.margin == pytest.approx(x / np.hypot(x, 1))


@pytest.mark.exhaustive
@NEEDS_CDD
def test_all_patterns_of_degenerate_layers_agree_with_the_list_of_rays():
    generator = np.random.default_rng(5)
    found: Counter[bool] = Counter()
    only_boundary = 0
    for _ in range(20):
        n, m = int(generator.integers(1, 3)), int(generator.integers(2, 5))
        A, b = generator.integers(-1, 2, (m, n)).astype(float), generator.integers(-1, 2, m).astype(float)
        A[-1], b[-1] = -A[0], -b[0]  # inactive together only where both are 0
        layer = fs.ReLULayer(A, b)
        for inactive in all_patterns(m):
            answer = is_admissible(layer, inactive)
            truth = admissible_by_rays(A, b, inactive)
            assert answer.holds is truth, (A.tolist(), b.tolist(), inactive.tolist())
            check(layer, inactive, answer)
            found[truth] += 1
            only_boundary += truth and answer.margin == 0
    assert min(found.values()) > 50, found
    assert only_boundary > 20, "patterns that no open set has must be among them"


def test_random_layers_have_the_patterns_that_points_have_and_no_others():
    """Lines in general position cut the plane into 1 + m + C(m, 2) cells, and random points meet only those."""
    generator = np.random.default_rng(6)
    for m in (3, 5):
        layer = fs.ReLULayer(generator.normal(size=(m, 2)), generator.normal(size=m))
        patterns = {tuple(p.tolist()) for p in all_patterns(m) if is_admissible(layer, p)}
        assert len(patterns) == 1 + m + comb(m, 2)
        points = generator.normal(size=(100_000, 2)) * 10 ** generator.uniform(-1, 3, (100_000, 1))
        met = {tuple(p) for p in np.unique(points @ layer.weight.T + layer.bias <= 0, axis=0).tolist()}
        assert met <= patterns
        assert len(met) >= len(patterns) - 3, "most cells are large enough to be met"


def test_layers_of_other_activations_are_refused_and_undecided_cones_stay_undecided(monkeypatch: pytest.MonkeyPatch):
    decide = admissible.decide_at_input

    def undecided(*args: Any) -> fs.Preimage:
        return replace(decide(*args), kind=fs.Kind.UNDECIDED, reason="out of luck")

    monkeypatch.setattr(admissible, "decide_at_input", undecided)
    layer = fs.ReLULayer([[1.0], [-1.0]], [1, 1])
    answer = is_admissible(layer, [])
    assert answer.holds is None
    assert not answer
    assert answer.reason == "out of luck"
    visited = visited_patterns(layer, [[0.0]])
    assert visited.possible is None
    assert visited.share is None
    assert "out of luck" in visited.reason


def test_a_point_that_only_the_exact_method_finds_may_be_out_of_reach(monkeypatch: pytest.MonkeyPatch):
    def too_large(_: Any) -> Any:
        raise TooLargeError("too large")

    monkeypatch.setattr(admissible, "certify_exactly", too_large)
    answer = is_admissible(fs.ReLULayer(*PART_OF_49), [0, 1, 2])
    assert answer.holds is True
    assert answer.cone is not None
    assert fs.verify(answer.cone, exact=True)
    assert (answer.point, answer.exact_point) == (None, None)
    assert "too large" in answer.reason


def test_patterns_of_a_trained_layer(external: Path):
    """That of an input is admissible, as are all neurons active at once; half of them at random are not."""
    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    layer = fs.ReLULayer(weights["0.weight"], weights["0.bias"])
    x = np.random.default_rng(0).uniform(size=784)
    inactive = layer.weight @ x + layer.bias <= 0
    there = is_admissible(layer, inactive)
    assert there.point is not None
    np.testing.assert_array_equal(layer.weight @ there.point + layer.bias <= 0, inactive)
    assert is_admissible(layer, []).point is not None
    nowhere = is_admissible(layer, np.random.default_rng(1).random(3500) < 0.5)
    assert nowhere.holds is False
    assert nowhere.cone is not None
    assert fs.verify(nowhere.cone)


def test_visited_patterns_by_hand():
    """Two lines through 0 in the plane, and points in three of the four quadrants, one of them on a line."""
    layer = fs.ReLULayer(np.eye(2))
    visited = visited_patterns(layer, [[1.0, 1], [2, 3], [4, 1], [-1, 2], [-1, 0], [-2, -2], [0, -1]])
    assert visited.patterns.tolist() == [[False, False], [True, True], [False, True]]
    assert visited.counts.tolist() == [3, 3, 1]
    assert (visited.visited, visited.possible, visited.upper_bound) == (3, 4, 4)
    assert (visited.share, visited.share_at_least) == (0.75, 0.75)
    assert visited.reason == ""


def test_signs_of_visited_patterns_are_exact():
    """``10^16 + 1 - 10^16`` is 0 in float64, and the neuron is active all the same."""
    A, x, b = np.array([[1.0, 1], [-1, -1]]), np.array([1e16, 1.0]), np.array([-1e16, 1e16])
    assert (A @ x + b).tolist() == [0, 0]
    assert visited_patterns(fs.ReLULayer(A, b), [x]).patterns.tolist() == [[True, False]]


def test_visited_patterns_agree_with_a_counter(monkeypatch: pytest.MonkeyPatch):
    generator = np.random.default_rng(7)
    layer = fs.ReLULayer(generator.normal(size=(7, 2)), generator.normal(size=7))
    X = generator.normal(size=(400, 2))
    expected = Counter(map(tuple, (X @ layer.weight.T + layer.bias > 0).tolist()))
    whole = visited_patterns(layer, X)
    monkeypatch.setattr(admissible, "BLOCK_SIGNS", 7 * 9)
    for visited in (whole, visited_patterns(layer, X)):
        assert {tuple(p): c for p, c in zip(visited.patterns.tolist(), visited.counts, strict=True)} == expected
        assert (np.diff(visited.counts) <= 0).all()
        assert visited.counts.sum() == 400
        assert visited.possible == visited.upper_bound == 1 + 7 + comb(7, 2)
        assert visited.share == len(expected) / visited.upper_bound


@pytest.mark.exhaustive
@NEEDS_CDD
def test_possible_patterns_of_degenerate_layers_are_counted():
    """Parallel, equal and opposite rows, and dead neurons: fewer patterns than the bound, and as many as rays say."""
    generator = np.random.default_rng(8)
    below = 0
    for _ in range(4):
        A, b = generator.integers(-1, 2, (5, 2)).astype(float), generator.integers(-1, 2, 5).astype(float)
        visited = visited_patterns(fs.ReLULayer(A, b), [[0.0, 0.0]])
        assert visited.possible == sum(admissible_by_rays(A, b, inactive) for inactive in all_patterns(5))
        assert 1 <= visited.possible <= visited.upper_bound == 16
        below += visited.possible < 16
    assert below >= 2


def test_independent_rows_have_all_patterns():
    layer = fs.ReLULayer(np.random.default_rng(9).normal(size=(60, 100)))
    visited = visited_patterns(layer, np.ones((1, 100)))
    assert visited.possible == visited.upper_bound == 2**60
    dependent = fs.ReLULayer(np.vstack([np.eye(3), np.eye(3)[:1]]), np.zeros(4))
    assert visited_patterns(dependent, np.ones((1, 3))).possible == 8
    assert visited_patterns(fs.ReLULayer([[1.0, 0, 0], [2, 0, 0]]), np.ones((1, 3))).possible == 2


def test_counting_stops_at_its_cap():
    layer = fs.ReLULayer(np.random.default_rng(10).normal(size=(6, 2)))
    needed = 6 + comb(6, 2) + comb(6, 3)
    assert visited_patterns(layer, [[1.0, 1]], max_decisions=needed).possible == 13, "12 sectors and 0"
    capped = visited_patterns(layer, [[1.0, 1]], max_decisions=needed - 1)
    assert capped.possible is None
    assert f"up to {needed} decisions, more than {needed - 1}" in capped.reason
    assert capped.upper_bound == 22
    wide = visited_patterns(fs.ReLULayer(np.ones((3000, 200))), np.ones((2, 200)))
    assert (wide.visited, wide.counts.tolist(), wide.possible) == (1, [2], None)
    assert wide.upper_bound == sum(comb(3000, i) for i in range(201))


LAYER = fs.ReLULayer([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.5]], [0.0, 1.0, -1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: is_admissible(fs.ReLULayer(np.eye(2), injective=np.array([True, False])), []),
            "has other activations",
        ),
        (lambda: is_admissible(LAYER, [3]), "inactive: .*got the index 3"),
        (lambda: is_admissible(LAYER, [-1]), "got the index -1"),
        (lambda: is_admissible(LAYER, [1, 1]), "an index that comes twice"),
        (lambda: is_admissible(LAYER, [0.0]), "an array of type float64"),
        (lambda: is_admissible(LAYER, [[0]]), "and shape"),
        (lambda: is_admissible(LAYER, 1), "and shape"),
        (lambda: is_admissible(LAYER, [True, False]), "a mask of shape"),
        (lambda: is_admissible(LAYER, [[0], [0, 1]]), "got list"),
        (lambda: is_admissible(LAYER, None), "an array of type object"),
        (lambda: visited_patterns(LAYER, [0.0, 0, 0]), "X: expected shape"),
        (lambda: visited_patterns(LAYER, [[0.0]]), "X: expected shape"),
        (lambda: visited_patterns(LAYER, [[0.0, np.nan]]), "X: expected finite numbers"),
        (lambda: visited_patterns(LAYER, np.zeros((0, 2))), "X: expected at least one number"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str):
    with pytest.raises(fs.InputError, match=message):
        call()


def test_layers_that_are_one_only_around_a_sample_are_refused():
    import torch

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x + self.outer(torch.relu(self.inner(x))))

    layer = fs.from_torch(Residual().eval(), input_shape=(2,)).relu_layers[1]
    with pytest.raises(fs.InputError, match="a layer that is one only around a sample"):
        is_admissible(layer, [])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("call", [lambda: is_admissible(None, []), lambda: visited_patterns([[1.0]], [[1.0]])])
def test_what_is_no_layer_is_refused(call: Callable[[], object]):
    """The tests' own type checking would stop it first, so it is tried without."""
    with pytest.raises(fs.InputError, match=r"^layer: expected a ReLULayer, or one of a network's relu_layers, got "):
        call()


def test_a_layer_without_bias_that_no_half_space_serves_is_refused_in_proof():
    """An omnidirectional set and b = 0: with t as a coordinate its cone would be a ray, which floats cannot prove."""
    layer = fs.ReLULayer(np.random.default_rng(11).normal(size=(60, 12)))
    answer = is_admissible(layer, [])
    assert answer.holds is False
    assert answer.cone is not None
    assert answer.cone.kind == fs.Kind.SINGLETON
    assert answer.margin > 0.001
    none = is_admissible(layer, range(60))
    assert none.point is not None
    assert not none.point.any()
